// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/schedule/ranked_schedule.h"

#include <algorithm>

#include "absl/log/check.h"

namespace tandem::sim {

void RankedSchedule::Add(TaskContext& task) {
  const uint64_t rank = Rank(task);
  heap_.push_back({rank, next_order_++, &task});
  std::push_heap(heap_.begin(), heap_.end(), IsAfter);
}

TaskContext& RankedSchedule::Take() {
  CHECK(!heap_.empty()) << "no task is ready";
  std::pop_heap(heap_.begin(), heap_.end(), IsAfter);
  const Ready first = heap_.back();
  heap_.pop_back();
  OnTake(*first.task, first.rank);
  return *first.task;
}

}  // namespace tandem::sim
