// SPDX-License-Identifier: Apache-2.0
//
// The files of scenarios that a run reads and writes: --scenario, --regression, --pin, and what was found on the way.

#ifndef TANDEM_TESTING_RUNNER_SCENARIOS_H_
#define TANDEM_TESTING_RUNNER_SCENARIOS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem::testing {

struct ScenarioFile {
  std::string name;
  std::string text;              // Not empty: an empty scenario, which has no faults, is a remark.
  std::string test;              // Empty: any.
  std::optional<uint64_t> seed;  // None: it is the caller's.
};

// Reads the file `name` that was given to `flag`.
//
// Errors: kNotFound: there is no such file, or the test that it names is not in this binary; kInvalidArgument: a line
// of it is wrong.
absl::StatusOr<ScenarioFile> ReadScenarioFile(absl::string_view flag, const std::string& name);

// Reads those of --regression, which have a seed.
absl::StatusOr<std::vector<ScenarioFile>> ReadRegressions(const std::vector<std::string>& names);

// Writes `text`, with what it shows as a remark before it.
//
// Errors: kUnavailable: it cannot be written there.
absl::Status WriteScenarioFile(const std::string& place, absl::string_view remark, absl::string_view text);

// The names of all tests, to be shown to whoever has asked for another one.
std::string TestNames();

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_SCENARIOS_H_
