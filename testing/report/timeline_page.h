// SPDX-License-Identifier: Apache-2.0

#ifndef TANDEM_TESTING_REPORT_TIMELINE_PAGE_H_
#define TANDEM_TESTING_REPORT_TIMELINE_PAGE_H_

#include "absl/strings/string_view.h"

namespace tandem::testing {

// timeline.html with its style and scripts, made by timeline_page.sh. "@data@" stands for the data.
extern const absl::string_view kTimelinePage;

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_TIMELINE_PAGE_H_
