// SPDX-License-Identifier: Apache-2.0
//
// The page about a failure: what failed, how to run it again, and the run as a diagram of lanes, arrows and bands.

#ifndef TANDEM_TESTING_REPORT_TIMELINE_HTML_H_
#define TANDEM_TESTING_REPORT_TIMELINE_HTML_H_

#include <cstddef>
#include <string>

#include "tandem/testing/report/excerpt.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {

// The most events that a page shows; of more it has an excerpt (excerpt.h).
inline constexpr size_t kTimelineEventsMax = 50'000;

// One HTML page that needs nothing else and asks no network. Long texts and payloads are cut, those of the slice later
// than others. The bytes depend on `report` and `excerpt` alone.
std::string TimelineHtml(const Report& report, const Excerpt& excerpt);
// With at most kTimelineEventsMax events.
std::string TimelineHtml(const Report& report);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_TIMELINE_HTML_H_
