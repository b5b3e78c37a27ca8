// SPDX-License-Identifier: Apache-2.0
//
// How many steps the tasks of a program took in another run of it, in sums: by these schedules aim points in the lives
// of tasks.

#ifndef TANDEM_SIM_SCHEDULE_STEP_TOTALS_H_
#define TANDEM_SIM_SCHEDULE_STEP_TOTALS_H_

#include <cstdint>

namespace tandem::sim {

struct StepTotals {
  uint64_t longest = 0;  // The most that one task took.
  uint64_t total = 0;    // All of them together.
  uint64_t tasks = 0;

  friend bool operator==(const StepTotals&, const StepTotals&) = default;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_SCHEDULE_STEP_TOTALS_H_
