// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/process/isolation/isolation.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tandem::sim {

Isolation::Isolation(std::vector<GlobalVariable> variables, absl::AnyInvocable<void(absl::string_view finding)> report)
    : guards_(variables.size(), '\0'), report_(std::move(report)) {
  for (GlobalVariable& variable : variables) {
    const size_t offset = seen_.size();
    seen_.append(variable.address, variable.bytes);
    variables_.push_back({std::move(variable), offset, "", "", false});
  }
}

bool Isolation::HasChanged(const Watched& watched) const {
  return std::memcmp(seen_.data() + watched.offset, watched.variable.address, watched.variable.bytes) != 0;
}

void Isolation::Remember(const Watched& watched) {
  std::memcpy(seen_.data() + watched.offset, watched.variable.address, watched.variable.bytes);
}

void Isolation::BeginTurn() {
  for (size_t i = 0; i < variables_.size(); ++i) {
    const Watched& watched = variables_[i];
    if (watched.variable.guard != nullptr) guards_[i] = *watched.variable.guard;
    if (HasChanged(watched)) Remember(watched);
  }
}

void Isolation::EndTurn(absl::string_view host) {
  for (size_t i = 0; i < variables_.size(); ++i) {
    Watched& watched = variables_[i];
    if (!HasChanged(watched)) continue;
    const bool initialised = watched.variable.guard != nullptr && guards_[i] != *watched.variable.guard;
    if (!initialised && watched.writer.empty()) {
      watched.writer = host;
      watched.before = seen_.substr(watched.offset, watched.variable.bytes);
    } else if (!initialised && watched.writer != host) {
      Report(watched, absl::StrCat("hosts ", watched.writer, " and ", host, " have both written the global variable ",
                                   watched.variable.name));
    }
    Remember(watched);
  }
}

void Isolation::OnCrash(absl::string_view host) {
  for (Watched& watched : variables_) {
    if (watched.writer != host) continue;
    const absl::string_view now(watched.variable.address, watched.variable.bytes);
    if (now == watched.before) continue;
    Report(watched, absl::StrCat("the global variable ", watched.variable.name, " keeps what host ", host,
                                 " wrote to it, though the host has crashed"));
  }
}

void Isolation::Report(Watched& watched, absl::string_view finding) {
  if (std::exchange(watched.reported, true)) return;
  report_(absl::StrCat(finding, ": hosts share one process; make it a tandem::HostLocal"));
}

}  // namespace tandem::sim
