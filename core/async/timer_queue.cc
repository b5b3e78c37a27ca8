// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/timer_queue.h"

#include <algorithm>

namespace tandem {

void TimerQueue::Arm(Timer& timer, Instant deadline) {
  CHECK(!timer.armed());
  timer.deadline_ = deadline;
  timer.order_ = next_order_++;
  heap_.push_back(nullptr);
  Place(heap_.size() - 1, &timer);
  SiftUp(heap_.size() - 1);
  if (observer_ != nullptr) [[unlikely]] {
    observer_->OnArm(deadline);
  }
}

void TimerQueue::Disarm(Timer& timer) {
  if (!timer.armed()) return;
  const size_t index = timer.index_;
  timer.index_ = Timer::kNotArmed;
  Timer* last = heap_.back();
  heap_.pop_back();
  if (last == &timer) return;
  Place(index, last);
  SiftUp(index);
  SiftDown(last->index_);
}

void TimerQueue::FireUntil(Instant now) {
  const uint64_t armed_before = next_order_;
  while (!heap_.empty() && heap_[0]->deadline_ <= now && heap_[0]->order_ < armed_before) {
    Timer& timer = *heap_[0];
    Disarm(timer);
    if (observer_ != nullptr) [[unlikely]] {
      observer_->OnFire(timer.deadline_);
    }
    timer.OnTimer();
  }
}

void TimerQueue::SiftUp(size_t index) {
  Timer* timer = heap_[index];
  while (index > 0) {
    const size_t parent = (index - 1) / kArity;
    if (!Before(*timer, *heap_[parent])) break;
    Place(index, heap_[parent]);
    index = parent;
  }
  Place(index, timer);
}

void TimerQueue::SiftDown(size_t index) {
  Timer* timer = heap_[index];
  for (;;) {
    const size_t first = index * kArity + 1;
    if (first >= heap_.size()) break;
    size_t best = first;
    const size_t end = std::min(first + kArity, heap_.size());
    for (size_t child = first + 1; child < end; ++child) {
      if (Before(*heap_[child], *heap_[best])) best = child;
    }
    if (!Before(*heap_[best], *timer)) break;
    Place(index, heap_[best]);
    index = best;
  }
  Place(index, timer);
}

}  // namespace tandem
