// SPDX-License-Identifier: Apache-2.0
//
// The story of a failure on one screen of a terminal: a row for each event that led to it, a column for each host that
// has some; of many hosts for those that have most, and the others are named in their rows. A text that is wider
// than its column goes on below the next ones. What is of no host begins left of all columns.
//
//        seconds        client                               server                              at
//   e12  0.000020000    connects socket 3 to server:7                                            ping_test.cc:31
//   e14  0.000020000    > server: SYN                                                            ping_test.cc:31
//   e19  0.000270000                                         < client: SYN
//   e23  0.000500000  * FAILS: no answer                                                         ping_test.cc:40

#ifndef TANDEM_TESTING_REPORT_TABLE_H_
#define TANDEM_TESTING_REPORT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tandem/testing/report/recording.h"

namespace tandem::testing {

struct TableSize {
  size_t rows = 40;      // Of events; those that came last.
  size_t columns = 134;  // Of characters, unless there are many hosts.
};

// The slice of `report`, without the details, and where it is long without handshakes and the like; empty if it has
// none. Ends with a line break.
std::string SliceTable(const Report& report, const TableSize& size = {});

// The events that it has rows for.
std::vector<uint64_t> SliceRows(const Report& report, const TableSize& size = {});

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_TABLE_H_
