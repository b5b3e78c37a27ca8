// SPDX-License-Identifier: Apache-2.0
//
// A report of any size about a failure that looks like a real one, for tests of what shows reports.
//
// Three servers keep a register: n1 leads, n2 and n3 follow, and ann and bob put and get. Packets are lost and come
// twice, hosts pause, links are slow. At the end n1 is cut off, answers a put of ann's that no follower has, and bob,
// who asks n2, gets the value before it.

#ifndef TANDEM_TESTING_REPORT_REPORT_FOR_TEST_H_
#define TANDEM_TESTING_REPORT_REPORT_FOR_TEST_H_

#include <cstddef>

#include "tandem/testing/report/recording.h"

namespace tandem::testing {

// How many events tell of the failure.
inline constexpr size_t kFewestEventsForTest = 25;

// With `events` events, the same each time. REQUIRES events >= kFewestEventsForTest.
Report ReportForTest(size_t events);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_REPORT_FOR_TEST_H_
