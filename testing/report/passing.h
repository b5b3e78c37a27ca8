// SPDX-License-Identifier: Apache-2.0
//
// A run that fails beside one that passes: where they part, and how they go on.
//
//      seconds      host    fails                                         host    passes
//      0.001200000  client  > server: 5 bytes "ADD 1"                   = client  > server: 5 bytes "ADD 1"
// >>>  0.001300000  client  fault refuses                                 server  < client: 5 bytes "ADD 1"

#ifndef TANDEM_TESTING_REPORT_PASSING_H_
#define TANDEM_TESTING_REPORT_PASSING_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "tandem/testing/report/recording.h"

namespace tandem::testing {

// The number of the first event of `failing` that `passing` does not have; of the one behind its last where it has all.
// Remarks about faults do not count: what a fault does is what matters.
uint64_t FirstDifference(const Recording& failing, const Recording& passing);

struct SideBySideSize {
  size_t before = 3;     // Rows before the first difference, at most,
  size_t after = 9;      // and from it on.
  size_t columns = 150;  // Of characters.
};

// Both runs around their first difference, which is marked; from there on without what both do. Where there is none, as
// when they differ in what the test itself does, the end of both. Details, and what nobody asks for, have no rows. Ends
// with a line break.
std::string SideBySide(const Recording& failing, const PassingRun& passing, const SideBySideSize& size = {});

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_PASSING_H_
