// SPDX-License-Identifier: Apache-2.0
//
// RunTasks: runs a small program of tasks that wait for nothing but each other, without a reactor and a clock, in about
// a microsecond. For the tests and the benchmark of schedules.

#ifndef TANDEM_SIM_SCHEDULE_RUN_TASKS_H_
#define TANDEM_SIM_SCHEDULE_RUN_TASKS_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "tandem/core/async/executor.h"

namespace tandem::sim {

enum class TasksEnd : uint8_t {
  kDone,     // Every task has ended.
  kStuck,    // The tasks that are left wait for each other.
  kEndless,  // After `max_turns` they still run.
};

// Calls `start`, which spawns the first tasks, and runs them under `policy`, null for first in, first out. Tasks that
// are left are destroyed. The clock stands still at zero.
TasksEnd RunTasks(SchedulePolicy* policy, absl::FunctionRef<void()> start, uint64_t max_turns = 100'000);

}  // namespace tandem::sim

#endif  // TANDEM_SIM_SCHEDULE_RUN_TASKS_H_
