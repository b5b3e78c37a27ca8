// SPDX-License-Identifier: Apache-2.0
//
// How many steps each task of a program took in another run of it: what a schedule may be aimed by.

#ifndef TANDEM_SIM_SCHEDULE_STEP_COUNTS_H_
#define TANDEM_SIM_SCHEDULE_STEP_COUNTS_H_

#include <algorithm>
#include <cstdint>
#include <map>

#include "tandem/core/async/executor.h"
#include "tandem/sim/schedule/step_totals.h"

namespace tandem::sim {

class StepCounts {
 public:
  // `task` is to take step number `task.resumes`.
  void Note(const TaskContext& task) { Note(task.path, task.resumes + 1); }
  // The task of this path has taken so many steps.
  void Note(uint64_t path, uint64_t count) {
    uint64_t& steps = by_path_[path];
    if (count <= steps) return;
    totals_.total += count - steps;
    steps = count;
    totals_.longest = std::max(totals_.longest, steps);
    totals_.tasks = by_path_.size();
  }
  // How many steps the task of this path took; 0: there was none.
  uint64_t StepsOf(uint64_t path) const {
    const auto found = by_path_.find(path);
    return found == by_path_.end() ? 0 : found->second;
  }
  const StepTotals& totals() const { return totals_; }

 private:
  std::map<uint64_t, uint64_t> by_path_;
  StepTotals totals_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_SCHEDULE_STEP_COUNTS_H_
