// SPDX-License-Identifier: Apache-2.0
//
// How many steps each task of a program took in another run of it: what a schedule may be aimed by.

#ifndef TANDEM_SIM_SCHEDULE_STEP_COUNTS_H_
#define TANDEM_SIM_SCHEDULE_STEP_COUNTS_H_

#include <algorithm>
#include <cstdint>
#include <map>

#include "tandem/core/async/executor.h"

namespace tandem::sim {

class StepCounts {
 public:
  // `task` is to take step number `task.resumes`.
  void Note(const TaskContext& task) {
    uint64_t& steps = by_path_[task.path];
    if (task.resumes < steps) return;
    total_ += task.resumes + 1 - steps;
    steps = task.resumes + 1;
    longest_ = std::max(longest_, steps);
  }
  // How many steps the task of this path took; 0: there was none.
  uint64_t StepsOf(uint64_t path) const {
    const auto found = by_path_.find(path);
    return found == by_path_.end() ? 0 : found->second;
  }
  // The most that one task took.
  uint64_t longest() const { return longest_; }
  // All of them together, and how many tasks there were.
  uint64_t total() const { return total_; }
  uint64_t tasks() const { return by_path_.size(); }

 private:
  std::map<uint64_t, uint64_t> by_path_;
  uint64_t longest_ = 0;
  uint64_t total_ = 0;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_SCHEDULE_STEP_COUNTS_H_
