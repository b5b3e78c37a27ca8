// SPDX-License-Identifier: Apache-2.0
//
// The order in which the ready tasks of a simulated host run.
//
// What is drawn for a task depends on the seed, on its path (the spawns that led to it) and on how often it has run,
// and on nothing else: an await or a draw that is added to one task leaves the draws of the others.

#ifndef TANDEM_SIM_SCHEDULE_SCHEDULE_H_
#define TANDEM_SIM_SCHEDULE_SCHEDULE_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/strings/string_view.h"
#include "tandem/core/async/executor.h"
#include "tandem/sim/schedule/draws.h"
#include "tandem/sim/schedule/step_counts.h"
#include "tandem/sim/schedule/step_totals.h"

namespace tandem::sim {

enum class ScheduleKind : uint8_t {
  kFifo,    // In the order of their wake-ups, as in production.
  kRandom,  // A random walk: at each step each ready task is as likely as the others.
  kPct,  // A task has a priority, and falls below all others at a few steps of its life. Finds bugs that need one task
         // to be slow for long.
  kPos,  // Partial order sampling: a priority for each step.
  kUrw,  // A random walk weighted by the steps that each task has left, where they are known.
  kDelay,  // In the order of their wake-ups, but that a task is held back at a few steps of its life.
};
inline constexpr int kScheduleKindCount = 6;

// "fifo", "random", "pct", "pos", "urw", "delay".
absl::string_view ScheduleName(ScheduleKind kind);
// The kind of this name; none: there is none.
std::optional<ScheduleKind> ParseSchedule(absl::string_view name);

// The portfolio: the kind for `seed`. Of sixteen seeds in a row four are kFifo, as many kPos, and each kind is there.
ScheduleKind ChooseSchedule(uint64_t seed);

// Null for kFifo: an executor without a policy is first in, first out. A policy serves one executor, from its start.
// `known`, when it is not null, has the steps of another run of the program; it outlives the policy.
std::unique_ptr<SchedulePolicy> MakeSchedule(ScheduleKind kind, uint64_t seed, const StepCounts* known = nullptr);
// As above, with other numbers than those of HashDraws().
std::unique_ptr<SchedulePolicy> MakeSchedule(ScheduleKind kind, ScheduleDraws draws, const StepCounts* known = nullptr);
// As above; no more than the sums is known, if anything. kUrw then weighs no task.
std::unique_ptr<SchedulePolicy> MakeSchedule(ScheduleKind kind, ScheduleDraws draws,
                                             const std::optional<StepTotals>& known);
// Whether schedules of this kind are aimed by the sums.
bool UsesStepTotals(ScheduleKind kind);

}  // namespace tandem::sim

#endif  // TANDEM_SIM_SCHEDULE_SCHEDULE_H_
