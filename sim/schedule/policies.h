// SPDX-License-Identifier: Apache-2.0
//
// The algorithms behind MakeSchedule().
//
// The rank of a task comes of its own draws and, but for the delays, of its own steps, so that more tasks beside them
// leave the order of two tasks that do not wait for each other as it was.

#ifndef TANDEM_SIM_SCHEDULE_POLICIES_H_
#define TANDEM_SIM_SCHEDULE_POLICIES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "tandem/sim/schedule/draws.h"
#include "tandem/sim/schedule/ranked_schedule.h"
#include "tandem/sim/schedule/step_counts.h"

namespace tandem::sim {

// The 64-bit logarithm that an exponential draw is made of: -log2((u + 1) / 2^64) in units of 2^-32, off by less than
// 1 %. In integers, so that it is the same everywhere.
uint64_t NegativeLog2(uint64_t u);

// Spread evenly over the powers of two in [1, 2^log2_bound), and within each. `log2_bound` is at least 1.
uint64_t LogUniform(uint64_t u, uint64_t log2_bound);

// Steps of a task at which something happens to it: PCT's change points and the delays of the delay-bounded schedule.
//
// The seed decides which part of the tasks has such steps, how many, and within how many steps; a task then has its
// own, early ones as likely as late ones. After so many steps it has others.
class TaskPoints {
 public:
  // `known`, if it is there, says within how many steps.
  TaskPoints(const ScheduleDraws& draws, const std::optional<StepTotals>& known);

  // Whether the next step of `task` is one.
  bool AtPoint(const ScheduleDraws& draws, const TaskContext& task) const;
  // Counts the points' stretches of steps that `task` has begun.
  uint64_t StretchOf(const TaskContext& task) const { return task.resumes >> log2_steps_; }
  bool BeginsStretch(const TaskContext& task) const { return StretchOf(task) << log2_steps_ == task.resumes; }

 private:
  uint64_t points_;
  uint64_t log2_steps_ = 1;
  uint64_t log2_share_ = 0;  // One task of 2^log2_share_ has points.
};

// Where in a task's draws each of its numbers is: kDrawsOfAStretch for each stretch, or one for each step.
inline constexpr uint64_t kDrawsOfAStretch = 8;

// Counts the steps under another policy; null: first in, first out.
class CountingSchedule final : public SchedulePolicy {
 public:
  explicit CountingSchedule(StepCounts& counts, std::unique_ptr<SchedulePolicy> policy = nullptr);

  void Add(TaskContext& task) override {
    counts_.Note(task);
    policy_->Add(task);
  }
  TaskContext& Take() override { return policy_->Take(); }
  void Clear() override { policy_->Clear(); }

 private:
  StepCounts& counts_;
  const std::unique_ptr<SchedulePolicy> policy_;
};

// A random walk: at each step each ready task is as likely as the others, or, when the steps of the tasks are known, as
// likely as it has steps left (URW), which makes each order of all steps about as likely as the others.
//
// Each task waits for a time that is distributed exponentially, and whose time has come goes on. Such a distribution
// forgets how long it has waited, so one draw for each step of a task does what a draw for each task at each step
// would, and the draw does not depend on the other tasks.
class RandomWalk final : public RankedSchedule {
 public:
  // `known`: null for equal weights.
  RandomWalk(ScheduleDraws draws, const StepCounts* known) : draws_(std::move(draws)), known_(known) {}

 private:
  uint64_t Rank(TaskContext& task) override;
  void OnTake(TaskContext&, uint64_t rank) override { now_ = rank; }

  const ScheduleDraws draws_;
  const StepCounts* const known_;
  uint64_t now_ = 0;
};

// Partial order sampling (Yuan, Yang, Gu: CAV 2018): a priority for each step, and the highest of the ready ones goes
// on. Which steps are in conflict is not known here, so that no priority is drawn again while a task waits.
class PartialOrderSampling final : public RankedSchedule {
 public:
  explicit PartialOrderSampling(ScheduleDraws draws) : draws_(std::move(draws)) {}

 private:
  uint64_t Rank(TaskContext& task) override { return draws_(task.path, task.resumes); }
  void OnTake(TaskContext&, uint64_t) override {}

  const ScheduleDraws draws_;
};

// Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte: ASPLOS 2010): a task has a priority,
// which it keeps until a change point puts it below all others. Here each task has change points at steps of its own,
// not the run at steps of all, so that other tasks do not move them.
//
// A task that has taken kSpinSteps in a row while others were ready sinks as well: it may wait for one of them.
class Pct final : public RankedSchedule {
 public:
  static constexpr uint64_t kSpinSteps = 64;

  Pct(ScheduleDraws draws, const std::optional<StepTotals>& known) : draws_(std::move(draws)), points_(draws_, known) {}

 private:
  static constexpr uint64_t kSunk = uint64_t{1} << 63;

  uint64_t Rank(TaskContext& task) override;
  void OnTake(TaskContext& task, uint64_t rank) override;

  const ScheduleDraws draws_;
  const TaskPoints points_;
  uint64_t sunk_ = 0;
  uint64_t last_path_ = 0;  // Of the task that went on last...
  uint64_t in_a_row_ = 0;   // ...and how often it did.
};

// Delay-bounded (Emmi, Qadeer, Rakamaric: POPL 2011): first in, first out, but for tasks that are held back for a
// number of steps at a few points.
class DelayBounded final : public RankedSchedule {
 public:
  DelayBounded(ScheduleDraws draws, const std::optional<StepTotals>& known);

 private:
  uint64_t Rank(TaskContext& task) override;
  void OnTake(TaskContext&, uint64_t) override {}

  const ScheduleDraws draws_;
  const TaskPoints points_;
  uint64_t log2_longest_;
  uint64_t added_ = 0;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_SCHEDULE_POLICIES_H_
