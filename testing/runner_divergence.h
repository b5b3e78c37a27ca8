// SPDX-License-Identifier: Apache-2.0
//
// Where two runs of one seed part.

#ifndef TANDEM_TESTING_RUNNER_DIVERGENCE_H_
#define TANDEM_TESTING_RUNNER_DIVERGENCE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace tandem::testing {

struct Divergence {
  std::string text;                // Empty if there is none.
  std::optional<uint64_t> record;  // The number of the first record that differs, where the trace has numbers.
};

// Compares two traces line by line. The text has the number of the first line that differs, the lines before it and
// both versions. A record has its number behind the last "  #" of its line.
Divergence FindFirstDifference(absl::string_view first, absl::string_view second);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_DIVERGENCE_H_
