// SPDX-License-Identifier: Apache-2.0
//
// Which expectation has failed, of several on one line.

#ifndef TANDEM_TESTING_RUNNER_EXPECTATION_H_
#define TANDEM_TESTING_RUNNER_EXPECTATION_H_

#include <string>

#include "absl/strings/string_view.h"

namespace tandem::testing {

// What of the text of an expectation that failed is the same whenever it does: "(done) > (15)" of EXPECT_GT(done, 15),
// without the values and without what the test adds. Empty where that cannot be told from values, as of ADD_FAILURE().
std::string ExpectationIn(absl::string_view message);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_EXPECTATION_H_
