// SPDX-License-Identifier: Apache-2.0
//
// What the files about a run call its events, hosts and times.

#ifndef TANDEM_TESTING_REPORT_EVENT_WORDS_H_
#define TANDEM_TESTING_REPORT_EVENT_WORDS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {

// "e17".
std::string EventName(uint64_t event);

// "0.250310000", in seconds.
std::string TimeName(int64_t time_ns);

// `none` for kNoHost.
absl::string_view HostName(const Recording& recording, int32_t host, absl::string_view none);

// What stands in the text of a read before the number of the event that has written its bytes.
inline constexpr absl::string_view kWrittenIn = ", written in ";
// The text without that: what is the same in another run, where events have other numbers.
absl::string_view OwnText(const RecordedEvent& event);

// "reads 12 bytes from socket 4". Any bytes.
std::string WhatHappened(const RecordedEvent& event);

// The same in few words, for tables: "> server: SYN", "HandleConnection goes on".
std::string InBrief(const Recording& recording, const RecordedEvent& event);

// What nobody asks for, who looks for what went wrong.
bool IsHousekeeping(const RecordedEvent& event);

// Whether a table has a row for it, if it belongs there: it is no detail, no housekeeping, and there are words for it.
bool IsTold(const RecordedEvent& event);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_EVENT_WORDS_H_
