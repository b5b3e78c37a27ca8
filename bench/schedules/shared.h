// SPDX-License-Identifier: Apache-2.0
//
// What the ported programs share between their tasks: variables, locks and condition variables.
//
// A task yields before each access, so that a schedule may put any step of another task there, as a preemption may in a
// program of threads. Giving a lock back is no such point: nothing that another task does just before it differs from
// what it does just after it.

#ifndef TANDEM_BENCH_SCHEDULES_SHARED_H_
#define TANDEM_BENCH_SCHEDULES_SHARED_H_

#include <deque>
#include <string>
#include <utility>

#include "absl/log/check.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/async/leaf.h"
#include "tandem/core/async/task.h"

namespace tandem::bench {

// Yields, then does `function` and gives its result.
template <typename Function>
class [[nodiscard]] Access final : public Leaf {
 public:
  explicit Access(Function function) : function_(std::move(function)) {}
  std::string Describe() const override { return "its turn to access a variable"; }
  auto TakeResult() { return function_(); }

 private:
  bool Start() override {
    Executor::Current().UseUpReadyAwaits();
    return true;
  }
  void OnStop() override {}

  Function function_;
};

inline auto Step() {
  return Access([] {});
}

// A variable that several tasks use. Each call is one step.
template <typename T>
class Shared {
 public:
  Shared() = default;
  explicit Shared(T value) : value_(value) {}

  auto Load() {
    return Access([this] { return value_; });
  }
  auto Store(T value) {
    return Access([this, value] { value_ = value; });
  }
  // Atomically. Gives the new value.
  auto Add(T delta) {
    return Access([this, delta] { return value_ += delta; });
  }
  // Atomically. Gives the value before.
  auto CompareExchange(T expected, T desired) {
    return Access([this, expected, desired] {
      const T before = value_;
      if (before == expected) value_ = desired;
      return before;
    });
  }
  // At the end, when no task runs.
  const T& value() const { return value_; }

 private:
  T value_{};
};

// Waits in a queue until somebody calls WakeOne() or WakeAll().
class WaitQueue {
 public:
  class [[nodiscard]] Wait final : public Leaf {
   public:
    explicit Wait(WaitQueue& queue) : queue_(queue) {}
    std::string Describe() const override { return "a lock or a condition"; }
    void TakeResult() {}

   private:
    friend class WaitQueue;
    bool Start() override {
      queue_.waits_.push_back(this);
      return false;
    }
    void OnStop() override {}

    WaitQueue& queue_;
  };

  // False when nobody waits.
  bool WakeOne() {
    if (waits_.empty()) return false;
    Wait* const first = waits_.front();
    waits_.pop_front();
    first->Finish();
    return true;
  }
  void WakeAll() {
    while (WakeOne()) {
    }
  }

 private:
  std::deque<Wait*> waits_;
};

class Lock {
 public:
  // One step, and more when the lock is taken.
  Task<void> Acquire() {
    co_await Step();
    bool waits = taken_;
    while (waits) {
      co_await WaitQueue::Wait(waiting_);
      waits = taken_;
    }
    taken_ = true;
  }
  void Release() {
    CHECK(taken_);
    taken_ = false;
    waiting_.WakeOne();
  }

 private:
  bool taken_ = false;
  WaitQueue waiting_;
};

class Condition {
 public:
  // Gives `lock` back meanwhile.
  Task<void> Wait(Lock* lock) {
    lock->Release();
    co_await WaitQueue::Wait(waiting_);
    co_await lock->Acquire();
  }
  void Signal() { waiting_.WakeOne(); }
  void Broadcast() { waiting_.WakeAll(); }

 private:
  WaitQueue waiting_;
};

}  // namespace tandem::bench

#endif  // TANDEM_BENCH_SCHEDULES_SHARED_H_
