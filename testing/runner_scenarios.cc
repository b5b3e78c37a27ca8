// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_scenarios.h"

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <ios>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/testing/report/gist.h"
#include "tandem/testing/runner_place.h"
#include "tandem/testing/runner_registry.h"

namespace tandem::testing {
namespace {

bool IsTest(absl::string_view name) {
  for (const SimTestCase* test = FirstSimTest(); test != nullptr; test = test->next) {
    if (name == absl::StrCat(test->suite, ".", test->name)) return true;
  }
  return false;
}

}  // namespace

std::string TestNames() {
  std::string names = "; there are:";
  for (const SimTestCase* test = FirstSimTest(); test != nullptr; test = test->next) {
    absl::StrAppend(&names, "\n  ", test->suite, ".", test->name);
  }
  return names;
}

absl::StatusOr<ScenarioFile> ReadScenarioFile(absl::string_view flag, const std::string& name) {
  const std::string prefix = absl::StrCat("--", flag, "=", name, ": ");
  constexpr size_t kBytesMax = 64 << 20;  // A device never ends.
  std::ifstream file(name);
  std::string text;
  std::string part(64 << 10, '\0');
  while (text.size() <= kBytesMax &&
         (file.read(part.data(), static_cast<std::streamsize>(part.size())) || file.gcount() > 0)) {
    text.append(part, 0, static_cast<size_t>(file.gcount()));
  }
  if (!file.is_open() || file.bad()) return absl::NotFoundError(absl::StrCat(prefix, "cannot be read"));
  if (text.size() > kBytesMax) return absl::InvalidArgumentError(absl::StrCat(prefix, "has more than 64 MiB"));
  if (text.empty()) text = "#";
  absl::StatusOr<sim::Scenario> scenario = sim::Scenario::Parse(text);
  if (!scenario.ok()) return absl::InvalidArgumentError(absl::StrCat(prefix, scenario.status().message()));
  // A scenario of a test that was given another name would be passed over in silence.
  if (!scenario->test.empty() && !IsTest(scenario->test)) {
    return absl::NotFoundError(absl::StrCat(prefix, "there is no test ", scenario->test, TestNames()));
  }
  return ScenarioFile{name, std::move(text), std::move(scenario->test), scenario->seed};
}

absl::StatusOr<std::vector<ScenarioFile>> ReadRegressions(const std::vector<std::string>& names) {
  std::vector<ScenarioFile> regressions;
  for (const std::string& name : names) {
    absl::StatusOr<ScenarioFile> file = ReadScenarioFile("regression", name);
    if (!file.ok()) return file.status();
    if (!file->seed.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("--regression=", name, ": it has no seed line"));
    }
    regressions.push_back(*std::move(file));
  }
  return regressions;
}

absl::Status WriteScenarioFile(const std::string& place, absl::string_view remark, absl::string_view text) {
  std::string line = FailureGist(remark);
  std::replace_if(line.begin(), line.end(), absl::ascii_iscntrl, '?');  // A scenario is a text.
  const absl::Status written = WriteWholeFile(place, absl::StrCat("# ", line, "\n", text));
  return written.ok() ? written : absl::UnavailableError(absl::StrCat(place, " ", written.message()));
}

}  // namespace tandem::testing
