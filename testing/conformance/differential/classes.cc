// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/conformance/differential/classes.h"

#include <array>
#include <cstddef>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"

namespace tandem::testing {

std::vector<std::string> Classify(const Program& program, std::vector<std::string> results) {
  std::array<bool, kSockets> told{};
  for (size_t i = 0; i < results.size() && i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    std::string& result = results[i];
    result = absl::StrReplaceAll(
        result, {{"UNAVAILABLE ECONNRESET", "UNAVAILABLE reset"}, {"UNAVAILABLE EPIPE", "UNAVAILABLE reset"}});
    const bool reads = step.verb == Verb::kRead || step.verb == Verb::kTryRead || step.verb == Verb::kPeek;
    bool& was_told = told[static_cast<size_t>(step.socket)];
    const bool tells = absl::StrContains(result, "UNAVAILABLE reset");
    if (was_told && reads) {
      result = absl::StrReplaceAll(result, {{"UNAVAILABLE reset", "gone"}, {"end", "gone"}});
    }
    was_told = was_told || tells;
  }
  return results;
}

}  // namespace tandem::testing
