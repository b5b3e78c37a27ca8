// SPDX-License-Identifier: Apache-2.0
//
// Where two runs of one seed part.

#ifndef TANDEM_TESTING_RUNNER_DIVERGENCE_H_
#define TANDEM_TESTING_RUNNER_DIVERGENCE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace tandem::testing {

// Compares two traces line by line. Returns the number of the first line that differs, the lines before it and both
// versions; an empty string if the traces are equal.
std::string DescribeDivergence(absl::string_view first, absl::string_view second);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_DIVERGENCE_H_
