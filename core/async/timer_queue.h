// SPDX-License-Identifier: Apache-2.0
//
// The timers of one shard: an intrusive 4-ary heap ordered by (deadline, order of arming).
//
// A timer is a node in its owner, so arming allocates nothing once the heap's array has grown to the number of timers
// that are armed at once. Cancelling takes the node out at once: no dead entries.

#ifndef TANDEM_CORE_ASYNC_TIMER_QUEUE_H_
#define TANDEM_CORE_ASYNC_TIMER_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/log/check.h"
#include "tandem/core/base/instant.h"

namespace tandem {

class TimerQueue;

class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  bool armed() const { return index_ != kNotArmed; }
  Instant deadline() const { return deadline_; }

 protected:
  ~Timer() { DCHECK(!armed()); }
  // The deadline has passed; the timer is no longer armed.
  virtual void OnTimer() = 0;

 private:
  friend class TimerQueue;
  static constexpr size_t kNotArmed = ~size_t{0};

  Instant deadline_;
  uint64_t order_ = 0;
  size_t index_ = kNotArmed;
};

// Told of each timer. Production has none.
class TimerObserver {
 public:
  virtual void OnArm(Instant deadline) = 0;
  virtual void OnFire(Instant deadline) = 0;

 protected:
  ~TimerObserver() = default;
};

class TimerQueue {
 public:
  TimerQueue() = default;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;
  ~TimerQueue() { DCHECK(heap_.empty()); }

  // REQUIRES !timer.armed().
  void Arm(Timer& timer, Instant deadline);
  // Does nothing when `timer` is not armed.
  void Disarm(Timer& timer);
  // Fires the timers with a deadline at or before `now`, earliest first, up to the first one that was armed during this
  // call: a timer that arms itself anew for the past waits, with those behind it, for the next call.
  void FireUntil(Instant now);
  // The earliest deadline, InfiniteFuture() when nothing is armed.
  Instant next_deadline() const { return heap_.empty() ? Instant::InfiniteFuture() : heap_[0]->deadline_; }
  size_t size() const { return heap_.size(); }
  // `observer` outlives the queue or is replaced by null.
  void set_observer(TimerObserver* observer) { observer_ = observer; }

 private:
  static constexpr size_t kArity = 4;

  static bool Before(const Timer& a, const Timer& b) {
    return a.deadline_ != b.deadline_ ? a.deadline_ < b.deadline_ : a.order_ < b.order_;
  }
  void Place(size_t index, Timer* timer) {
    heap_[index] = timer;
    timer->index_ = index;
  }
  void SiftUp(size_t index);
  void SiftDown(size_t index);

  std::vector<Timer*> heap_;
  uint64_t next_order_ = 0;
  TimerObserver* observer_ = nullptr;
};

}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_TIMER_QUEUE_H_
