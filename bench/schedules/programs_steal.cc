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

class StealProgram : public Program {
 public:
  void AtEnd() override {
    for (int count : taken_) Check(count == 1);
  }

 protected:
  virtual Task<void> Push(int item) = 0;
  // False when there was none.
  virtual Task<bool> Pop() = 0;
  void Take(int item) { ++taken_[static_cast<size_t>(item)]; }

  // Pushes two and pops one, and pops the others at the end.
  Task<void> Own() {
    for (int i = 0; i < kItems; i += 2) {
      co_await Push(i);
      co_await Push(i + 1);
      static_cast<void>(co_await Pop());
    }
    for (int i = 0; i < kItems / 2; ++i) static_cast<void>(co_await Pop());
  }
  // Pushes all and pops all.
  Task<void> OwnAll() {
    for (int i = 0; i < kItems; ++i) co_await Push(i);
    for (int i = 0; i < kItems; ++i) static_cast<void>(co_await Pop());
  }

 private:
  std::array<int, kItems> taken_ = {};
};

// Both look before they claim, so that owner and thief may take the same last item.
class WorkStealQueue final : public StealProgram {
 public:
  void Start() override {
    Spawn(&WorkStealQueue::Steal, this);
    Spawn(&WorkStealQueue::Own, this);
  }

 private:
  Task<void> Push(int item) override {
    const int tail = co_await tail_.Load();
    items_[static_cast<size_t>(tail)] = item;
    co_await tail_.Store(tail + 1);
  }
  Task<bool> Pop() override {
    const int tail = co_await tail_.Load() - 1;
    const int head = co_await head_.Load();
    if (head <= tail) {
      co_await tail_.Store(tail);
      Take(items_[static_cast<size_t>(tail)]);
      co_return true;
    }
    co_await lock_.Acquire();
    const int head_now = co_await head_.Load();
    const bool any = head_now <= tail;
    if (any) {
      co_await tail_.Store(tail);
      Take(items_[static_cast<size_t>(tail)]);
    }
    lock_.Release();
    co_return any;
  }
  Task<void> Steal() {
    for (int i = 0; i < kAttempts; ++i) {
      co_await lock_.Acquire();
      const int head = co_await head_.Load();
      const int tail = co_await tail_.Load();
      if (head < tail) {
        co_await head_.Store(head + 1);
        Take(items_[static_cast<size_t>(head)]);
      }
      lock_.Release();
    }
  }

  Lock lock_;
  Shared<int> head_;
  Shared<int> tail_;
  std::array<int, kItems + 1> items_ = {};
};

// Both claim before they look, and where they meet use a lock that is tried: who finds it taken gives up, and with it
// an item that it was to push or pop. The queue has room for one item at first, so that pushes need the lock as well.
class TryLockQueue : public StealProgram {
 public:
  void Start() override {
    Spawn(&TryLockQueue::Steal, this);
    Spawn(&TryLockQueue::Own, this);
  }

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
    items_[static_cast<size_t>(tail)] = item;
    co_await tail_.Store(tail + 1);
    if (!has_room) co_await lock_.Store(0);
  }
  Task<bool> Pop() override {
    const int tail = co_await tail_.Load() - 1;
    co_await tail_.Store(tail);
    const int head = co_await head_.Load();
    bool any = head <= tail;
    if (!any) {
      co_await tail_.Store(tail + 1);
      const int locked = co_await lock_.CompareExchange(0, 1);
      if (locked != 0) co_return false;
      const int head_now = co_await head_.Load();
      any = head_now <= tail;
      if (any) co_await tail_.Store(tail);
      co_await lock_.Store(0);
    }
    if (any) Take(items_[static_cast<size_t>(tail)]);
    co_return any;
  }
  Task<void> Steal() {
    for (int i = 0; i < kAttempts; ++i) {
      const int locked = co_await lock_.CompareExchange(0, 1);
      if (locked != 0) continue;
      const int head = co_await head_.Load();
      co_await head_.Store(head + 1);
      const int tail = co_await tail_.Load();
      if (head < tail) {
        Take(items_[static_cast<size_t>(head)]);
      } else {
        co_await head_.Store(head);
      }
      co_await lock_.Store(0);
    }
  }

 private:
  int room_ = 1;  // The owner's.
  Shared<int> lock_;
  Shared<int> head_;
  Shared<int> tail_;
  std::array<int, kItems + 1> items_ = {};
};

// The same with two thieves, and an owner that pushes everything first.
class TwoThieves final : public TryLockQueue {
 public:
  void Start() override {
    for (int i = 0; i < 2; ++i) Spawn(&TwoThieves::Steal, this);
    Spawn(&TwoThieves::OwnAll, this);
  }
};

// Without a lock: a thief claims by compare-exchange, but the owner takes the last item without one.
class InterlockedQueue final : public StealProgram {
 public:
  void Start() override {
    Spawn(&InterlockedQueue::Steal, this);
    Spawn(&InterlockedQueue::Own, this);
  }

 private:
  Task<void> Push(int item) override {
    const int tail = co_await tail_.Load();
    items_[static_cast<size_t>(tail)] = item;
    co_await tail_.Store(tail + 1);
  }
  Task<bool> Pop() override {
    const int head = co_await head_.Load();
    const int tail = co_await tail_.Load() - 1;
    if (head > tail) co_return false;
    co_await tail_.Store(tail);
    Take(items_[static_cast<size_t>(tail)]);
    co_return true;
  }
  Task<void> Steal() {
    for (int i = 0; i < kAttempts; ++i) {
      const int head = co_await head_.Load();
      const int tail = co_await tail_.Load();
      if (head >= tail) continue;
      const int before = co_await head_.CompareExchange(head, head + 1);
      if (before == head) Take(items_[static_cast<size_t>(head)]);
    }
  }

  Shared<int> head_;
  Shared<int> tail_;
  std::array<int, kItems + 1> items_ = {};
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
