// SPDX-License-Identifier: Apache-2.0
//
// The order in which the ready tasks of a simulated host run.
//
// A task's place depends on the seed, on its path (the spawns that led to it) and on how often it has run, and on
// nothing else: an await or a draw that is added to one task moves no other task.

#ifndef TANDEM_SIM_SCHEDULE_H_
#define TANDEM_SIM_SCHEDULE_H_

#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "tandem/core/async/executor.h"

namespace tandem::sim {

enum class ScheduleKind : uint8_t {
  kFifo,    // In the order of their wake-ups, as in production.
  kRandom,  // A new order in each turn.
  kPct,     // Each task has a priority, which changes at a few points of its life only. Finds bugs that need one task
            // to be slow for long, which a new order in each turn hardly ever gives.
};

// "fifo", "random", "pct".
absl::string_view ScheduleName(ScheduleKind kind);

// The kind for `seed`: a quarter of the seeds are kFifo, the others half and half.
ScheduleKind ChooseSchedule(uint64_t seed);

// Null for kFifo: an executor without a policy is first in, first out.
std::unique_ptr<SchedulePolicy> MakeSchedule(ScheduleKind kind, uint64_t seed);

}  // namespace tandem::sim

#endif  // TANDEM_SIM_SCHEDULE_H_
