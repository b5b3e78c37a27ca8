// SPDX-License-Identifier: Apache-2.0

#ifndef TANDEM_TESTING_REPORT_GIST_H_
#define TANDEM_TESTING_REPORT_GIST_H_

#include <string>

#include "absl/strings/string_view.h"

namespace tandem::testing {

// The line of the message of a failure that says most, for where there is room for one: of a failed expectation what
// its author says, else the error that it saw, else what was compared and its values; of other failures the first line.
// A "file:line: " before it stays.
std::string FailureGist(absl::string_view message);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_GIST_H_
