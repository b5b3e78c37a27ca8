// SPDX-License-Identifier: Apache-2.0
//
// Explore: every schedule of a small program.
//
//   Exploration all = Explore(100'000, [](SchedulePolicy& policy) {
//     RunTasks(&policy, ...);
//     return true;
//   });
//   if (!all.complete) ...
//
// A schedule is the list of choices "which of the ready tasks goes on", made where more than one is ready. They are
// visited depth first: each run repeats the choices of the one before but for the last that has an alternative left.
// The first is first in, first out.

#ifndef TANDEM_SIM_SCHEDULE_EXPLORE_H_
#define TANDEM_SIM_SCHEDULE_EXPLORE_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "tandem/core/async/executor.h"

namespace tandem::sim {

struct Exploration {
  uint64_t schedules = 0;  // Visited.
  bool complete = false;   // There is no other.
};

// Calls `run` with a policy of its own for each schedule, `max` at most, until it returns false. `run` runs the program
// to its end under that policy, the same program each time (CHECKed, as far as the numbers of ready tasks show it).
Exploration Explore(uint64_t max, absl::FunctionRef<bool(SchedulePolicy& policy)> run);

}  // namespace tandem::sim

#endif  // TANDEM_SIM_SCHEDULE_EXPLORE_H_
