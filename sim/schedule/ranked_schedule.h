// SPDX-License-Identifier: Apache-2.0
//
// A schedule made of ranks: a task is given one when it becomes ready, and the lowest rank goes on.
//
// Each algorithm here fits: what a step of one task does to the place of another is in how their ranks are made. So a
// step costs the logarithm of how many tasks are ready.

#ifndef TANDEM_SIM_SCHEDULE_RANKED_SCHEDULE_H_
#define TANDEM_SIM_SCHEDULE_RANKED_SCHEDULE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tandem/core/async/executor.h"

namespace tandem::sim {

class RankedSchedule : public SchedulePolicy {
 public:
  void Add(TaskContext& task) final;
  TaskContext& Take() final;
  void Clear() final { heap_.clear(); }

 protected:
  // The rank of a task that becomes ready. Of equal ones the first to become ready goes on.
  virtual uint64_t Rank(TaskContext& task) = 0;
  // `task` goes on.
  virtual void OnTake(TaskContext& task, uint64_t rank) = 0;
  // Tasks that are ready, without the one that Rank() is asked for.
  size_t ready_count() const { return heap_.size(); }

 private:
  struct Ready {
    uint64_t rank;
    uint64_t order;
    TaskContext* task;
  };
  static bool IsAfter(const Ready& a, const Ready& b) { return a.rank != b.rank ? a.rank > b.rank : a.order > b.order; }

  std::vector<Ready> heap_;
  uint64_t next_order_ = 0;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_SCHEDULE_RANKED_SCHEDULE_H_
