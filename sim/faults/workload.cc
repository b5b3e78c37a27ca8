// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/faults/workload.h"

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tandem::sim {
namespace {

using Words = std::vector<absl::string_view>;

bool ParseHost(const Words& words, Workload& workload) {
  if (words.size() != 16) return false;
  Workload::Host& host = workload.hosts[std::string(words[1])];
  return absl::SimpleAtoi(words[3], &host.calls) && absl::SimpleAtoi(words[5], &host.connects) &&
         absl::SimpleAtoi(words[7], &host.lookups) && absl::SimpleAtoi(words[9], &host.works) &&
         absl::SimpleAtoi(words[11], &host.accepts) && absl::SimpleAtoi(words[13], &host.changed_lookups) &&
         absl::SimpleAtoi(words[15], &host.timers);
}

bool ParseVisits(const Words& words, Workload& workload) {
  if (words.size() != 4) return false;
  return absl::SimpleAtoi(words[3], &workload.hosts[std::string(words[1])].visits[std::string(words[2])]);
}

bool ParseSteps(const Words& words, Workload& workload) {
  if (words.size() != 6) return false;
  StepTotals& steps = workload.steps;
  return absl::SimpleAtoi(words[1], &steps.longest) && absl::SimpleAtoi(words[3], &steps.total) &&
         absl::SimpleAtoi(words[5], &steps.tasks);
}

bool ParseLink(const Words& words, Workload& workload) {
  if (words.size() != 9) return false;
  Workload::Link& link = workload.links[{std::string(words[1]), std::string(words[2])}];
  return absl::SimpleAtoi(words[4], &link.packets) && absl::SimpleAtoi(words[6], &link.datagrams) &&
         absl::SimpleAtoi(words[8], &link.largest);
}

bool ParseLine(absl::string_view line, Workload& workload) {
  const Words words = absl::StrSplit(line, ' ');
  if (words[0] == "host") return ParseHost(words, workload);
  if (words[0] == "visits") return ParseVisits(words, workload);
  if (words[0] == "link") return ParseLink(words, workload);
  if (words[0] == "steps") return ParseSteps(words, workload);
  return words[0] == "end" && words.size() == 2 && absl::SimpleAtoi(words[1], &workload.end_ns);
}

}  // namespace

std::string Workload::ToString() const {
  std::string text;
  for (const auto& [name, host] : hosts) {
    absl::StrAppend(&text, "host ", name, " calls ", host.calls, " connects ", host.connects, " lookups ", host.lookups,
                    " works ", host.works, " accepts ", host.accepts, " changed ", host.changed_lookups, " timers ",
                    host.timers, "\n");
    for (const auto& [site, count] : host.visits) absl::StrAppend(&text, "visits ", name, " ", site, " ", count, "\n");
  }
  for (const auto& [ends, link] : links) {
    absl::StrAppend(&text, "link ", ends.first, " ", ends.second, " packets ", link.packets, " datagrams ",
                    link.datagrams, " largest ", link.largest, "\n");
  }
  absl::StrAppend(&text, "steps ", steps.longest, " of ", steps.total, " tasks ", steps.tasks, "\n");
  // Comes last: a text without it is cut off.
  absl::StrAppend(&text, "end ", end_ns, "\n");
  return text;
}

absl::StatusOr<Workload> Workload::Parse(absl::string_view text) {
  Workload workload;
  absl::string_view last;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (!ParseLine(line, workload)) return absl::InvalidArgumentError(absl::StrCat("workload: \"", line, "\""));
    last = line;
  }
  if (last.substr(0, 4) != "end " || text.back() != '\n') return absl::InvalidArgumentError("workload: cut off");
  return workload;
}

}  // namespace tandem::sim
