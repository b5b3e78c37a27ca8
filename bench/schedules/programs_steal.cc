// SPDX-License-Identifier: Apache-2.0
//
// The work-stealing queues of the Chess collection: an owner pushes and pops at one end, thieves take from the other,
// and each item is to be taken once. The tests are those of the collection (items, thieves, attempts); the queues are
// written anew, and each claims items in another wrong way.

#include <array>
#include <cstddef>
#include <vector>

#include "tandem/bench/schedules/program.h"
#include "tandem/bench/schedules/shared.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"

namespace tandem::bench {
namespace {

constexpr int kItems = 4;
constexpr int kAttempts = 2;

// The queue is between the head, which thieves move, and the tail, which is the owner's.
class StealProgram : public Program {
 public:
  explicit StealProgram(int thieves = 1) : thieves_(thieves) {}
  void Start() override {
    for (int i = 0; i < thieves_; ++i) Spawn(&StealProgram::StealAll, this);
    Spawn(&StealProgram::Own, this);
  }
  void AtEnd() override {
    for (int count : taken_) Check(count == 1);
  }

 protected:
  virtual Task<void> Push(int item) {
    const int tail = co_await tail_.Load();
    Put(tail, item);
    co_await tail_.Store(tail + 1);
  }
  // Takes the last item, if there is one.
  virtual Task<void> Pop() = 0;
  // Tries once to take the first.
  virtual Task<void> Steal() = 0;
  // Pushes two and pops one, and pops the others at the end.
  virtual Task<void> Own() {
    for (int i = 0; i < kItems; i += 2) {
      co_await Push(i);
      co_await Push(i + 1);
      co_await Pop();
    }
    for (int i = 0; i < kItems / 2; ++i) co_await Pop();
  }

  void Put(int place, int item) { items_[static_cast<size_t>(place)] = item; }
  void Take(int place) { ++taken_[static_cast<size_t>(items_[static_cast<size_t>(place)])]; }

  Shared<int> head_;
  Shared<int> tail_;

 private:
  Task<void> StealAll() {
    for (int i = 0; i < kAttempts; ++i) co_await Steal();
  }

  const int thieves_;
  std::array<int, kItems + 1> items_ = {};
  std::array<int, kItems> taken_ = {};
};

// Both look before they claim, so that owner and thief may take the same last item.
class WorkStealQueue final : public StealProgram {
 private:
  Task<void> Pop() override {
    const int tail = co_await tail_.Load() - 1;
    const int head = co_await head_.Load();
    if (head <= tail) {
      co_await tail_.Store(tail);
      Take(tail);
      co_return;
    }
    co_await lock_.Acquire();
    const int head_now = co_await head_.Load();
    if (head_now <= tail) {
      co_await tail_.Store(tail);
      Take(tail);
    }
    lock_.Release();
  }
  Task<void> Steal() override {
    co_await lock_.Acquire();
    const int head = co_await head_.Load();
    const int tail = co_await tail_.Load();
    if (head < tail) {
      co_await head_.Store(head + 1);
      Take(head);
    }
    lock_.Release();
  }

  Lock lock_;
};

// Both claim before they look, and where they meet use a lock that is tried: who finds it taken gives up, and with it
// an item that it was to push or pop. The queue has room for one item at first, so that pushes need the lock as well.
class TryLockQueue : public StealProgram {
 public:
  explicit TryLockQueue(int thieves = 1) : StealProgram(thieves) {}

 protected:
  Task<void> Push(int item) override {
    int tail = co_await tail_.Load();
    const int head = co_await head_.Load();
    const bool has_room = tail < head + room_;
    if (!has_room) {
      const int locked = co_await lock_.CompareExchange(0, 1);
      if (locked != 0) co_return;
      room_ = 2 * room_ + 1;
      tail = co_await tail_.Load();
    }
    Put(tail, item);
    co_await tail_.Store(tail + 1);
    if (!has_room) co_await lock_.Store(0);
  }
  Task<void> Pop() override {
    const int tail = co_await tail_.Load() - 1;
    co_await tail_.Store(tail);
    const int head = co_await head_.Load();
    bool any = head <= tail;
    if (!any) {
      co_await tail_.Store(tail + 1);
      const int locked = co_await lock_.CompareExchange(0, 1);
      if (locked != 0) co_return;
      const int head_now = co_await head_.Load();
      any = head_now <= tail;
      if (any) co_await tail_.Store(tail);
      co_await lock_.Store(0);
    }
    if (any) Take(tail);
  }
  Task<void> Steal() override {
    const int locked = co_await lock_.CompareExchange(0, 1);
    if (locked != 0) co_return;
    const int head = co_await head_.Load();
    co_await head_.Store(head + 1);
    const int tail = co_await tail_.Load();
    if (head < tail) {
      Take(head);
    } else {
      co_await head_.Store(head);
    }
    co_await lock_.Store(0);
  }

 private:
  int room_ = 1;  // The owner's.
  Shared<int> lock_;
};

// The same with two thieves, and an owner that pushes everything first.
class TwoThieves final : public TryLockQueue {
 public:
  TwoThieves() : TryLockQueue(2) {}

 private:
  Task<void> Own() override {
    for (int i = 0; i < kItems; ++i) co_await Push(i);
    for (int i = 0; i < kItems; ++i) co_await Pop();
  }
};

// Without a lock: a thief claims by compare-exchange, but the owner takes the last item without one.
class InterlockedQueue final : public StealProgram {
 private:
  Task<void> Pop() override {
    const int head = co_await head_.Load();
    const int tail = co_await tail_.Load() - 1;
    if (head > tail) co_return;
    co_await tail_.Store(tail);
    Take(tail);
  }
  Task<void> Steal() override {
    const int head = co_await head_.Load();
    const int tail = co_await tail_.Load();
    if (head >= tail) co_return;
    const int before = co_await head_.CompareExchange(head, head + 1);
    if (before == head) Take(head);
  }
};

}  // namespace

std::vector<ProgramInfo> StealPrograms() {
  return {
      MakeInfo<WorkStealQueue>("Chess/WorkStealQueue", 10, 12),
      MakeInfo<TryLockQueue>("Chess/InterlockedWorkStealQueue", 1, 24),
      MakeInfo<TwoThieves>("Chess/StateWorkStealQueue", 1, 12),
      MakeInfo<InterlockedQueue>("Chess/InterlockedWorkStealQueueWithState", 9, 16),
  };
}

}  // namespace tandem::bench
