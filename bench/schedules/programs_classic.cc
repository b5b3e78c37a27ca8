// SPDX-License-Identifier: Apache-2.0
//
// The small programs of SCTBench's CS collection.

#include <array>
#include <cstddef>
#include <vector>

#include "tandem/bench/schedules/program.h"
#include "tandem/bench/schedules/shared.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"

namespace tandem::bench {
namespace {

// A driver is stopped between the look at its flag and the count of requests that goes up.
class Bluetooth final : public Program {
 public:
  void Start() override {
    Spawn(&Bluetooth::Stop, this);
    Spawn(&Bluetooth::Use, this);
  }

 private:
  Task<void> Stop() {
    co_await stopping_.Store(true);
    co_await Decrement();
    const bool none_left = co_await event_.Load();
    if (none_left) co_await stopped_.Store(true);
  }
  Task<void> Use() {
    const bool stopping = co_await stopping_.Load();
    if (!stopping) {
      co_await pending_.Add(1);
      const bool stopped = co_await stopped_.Load();
      Check(!stopped);
      co_await Decrement();
    }
  }
  Task<void> Decrement() {
    const int left = co_await pending_.Add(-1);
    if (left == 0) co_await event_.Store(true);
  }

  Shared<int> pending_{1};
  Shared<bool> stopping_;
  Shared<bool> event_;
  Shared<bool> stopped_;
};

// Three tasks pass a number on, in an order that nothing enforces.
class TokenRing final : public Program {
 public:
  void Start() override {
    Spawn(&TokenRing::First, this);
    Spawn(&TokenRing::Second, this);
    Spawn(&TokenRing::Third, this);
  }
  void AtEnd() override { Check(x1_.value() == x2_.value() && x2_.value() == x3_.value()); }

 private:
  Task<void> First() {
    co_await lock_.Acquire();
    const int x3 = co_await x3_.Load();
    co_await x1_.Store((x3 + 1) % 4);
    lock_.Release();
  }
  Task<void> Second() {
    co_await lock_.Acquire();
    const int x1 = co_await x1_.Load();
    co_await x2_.Store(x1);
    lock_.Release();
  }
  Task<void> Third() {
    co_await lock_.Acquire();
    const int x2 = co_await x2_.Load();
    co_await x3_.Store(x2);
    lock_.Release();
  }

  Lock lock_;
  Shared<int> x1_{1};
  Shared<int> x2_{2};
  Shared<int> x3_{1};
};

// One task fills a queue and one empties it, each an item a round while its flag is on; a round that finds the flag off
// is lost, and the numbers of the rounds no longer match.
template <int kRounds, bool kStartsFull>
class FlaggedQueue final : public Program {
 public:
  void Start() override {
    Spawn(&FlaggedQueue::Fill, this);
    Spawn(&FlaggedQueue::Empty, this);
  }

 private:
  Task<void> Fill() {
    if (kStartsFull) co_await Put(0);
    for (int i = kStartsFull ? 1 : 0; i < kRounds; ++i) {
      co_await lock_.Acquire();
      const bool may_fill = co_await may_fill_.Load();
      lock_.Release();
      if (may_fill) co_await Put(i);
    }
  }
  Task<void> Put(int item) {
    co_await lock_.Acquire();
    const int tail = co_await tail_.Load();
    items_[static_cast<size_t>(tail)] = item;
    co_await tail_.Store(tail + 1);
    co_await may_fill_.Store(kStartsFull && tail == 0);
    co_await may_empty_.Store(true);
    lock_.Release();
  }
  Task<void> Empty() {
    int head = 0;
    for (int i = 0; i < kRounds; ++i) {
      co_await lock_.Acquire();
      const bool may_empty = co_await may_empty_.Load();
      if (may_empty) {
        const int tail = co_await tail_.Load();
        if (head < tail) Check(items_[static_cast<size_t>(head++)] == i);
        co_await may_empty_.Store(false);
        co_await may_fill_.Store(true);
      }
      lock_.Release();
    }
  }

  Lock lock_;
  Shared<bool> may_fill_{true};
  Shared<bool> may_empty_;
  Shared<int> tail_;
  std::array<int, kRounds> items_ = {};
};

// The flag says that something was pushed, not that something is left.
class Stack final : public Program {
 public:
  void Start() override {
    Spawn(&Stack::Push, this);
    Spawn(&Stack::Pop, this);
  }

 private:
  static constexpr int kItems = 10;

  Task<void> Push() {
    for (int i = 0; i < kItems; ++i) {
      co_await lock_.Acquire();
      const int top = co_await top_.Load();
      co_await top_.Store(top + 1);
      co_await pushed_.Store(true);
      lock_.Release();
    }
  }
  Task<void> Pop() {
    for (int i = 0; i < kItems; ++i) {
      co_await lock_.Acquire();
      const bool pushed = co_await pushed_.Load();
      if (pushed) {
        const int top = co_await top_.Load();
        Check(top > 0);
        if (top > 0) co_await top_.Store(top - 1);
      }
      lock_.Release();
    }
  }

  Lock lock_;
  Shared<bool> pushed_;
  Shared<int> top_;
};

// The third task comes last.
class Lazy final : public Program {
 public:
  void Start() override {
    Spawn(&Lazy::Add, this, 1);
    Spawn(&Lazy::Add, this, 2);
    Spawn(&Lazy::Look, this);
  }

 private:
  Task<void> Add(int delta) {
    co_await lock_.Acquire();
    const int data = co_await data_.Load();
    co_await data_.Store(data + delta);
    lock_.Release();
  }
  Task<void> Look() {
    co_await lock_.Acquire();
    const int data = co_await data_.Load();
    Check(data < 3);
    lock_.Release();
  }

  Lock lock_;
  Shared<int> data_;
};

// The check that comes after a deposit and a withdrawal has a wrong sum in mind.
class Account final : public Program {
 public:
  void Start() override {
    Spawn(&Account::Deposit, this);
    Spawn(&Account::Withdraw, this);
    Spawn(&Account::Look, this);
  }

 private:
  static constexpr int kBefore = 1;
  static constexpr int kDeposit = 2;
  static constexpr int kWithdrawal = 4;

  Task<void> Deposit() {
    co_await lock_.Acquire();
    const int balance = co_await balance_.Load();
    co_await balance_.Store(balance + kDeposit);
    co_await deposited_.Store(true);
    lock_.Release();
  }
  Task<void> Withdraw() {
    co_await lock_.Acquire();
    const int balance = co_await balance_.Load();
    co_await balance_.Store(balance - kWithdrawal);
    co_await withdrawn_.Store(true);
    lock_.Release();
  }
  Task<void> Look() {
    co_await lock_.Acquire();
    const bool deposited = co_await deposited_.Load();
    const bool withdrawn = co_await withdrawn_.Load();
    const int balance = co_await balance_.Load();
    if (deposited && withdrawn) Check(balance == kBefore - kDeposit - kWithdrawal);
    lock_.Release();
  }

  Lock lock_;
  Shared<int> balance_{kBefore};
  Shared<bool> deposited_;
  Shared<bool> withdrawn_;
};

// Two classes of users exclude each other by a lock that the first of a class takes while it holds the lock of the
// counts.
class Carter final : public Program {
 public:
  void Start() override {
    Spawn(&Carter::Use, this, &first_);
    Spawn(&Carter::Use, this, &second_);
  }

 private:
  Task<void> Use(Shared<int>* users) {
    co_await counts_.Acquire();
    const int before = co_await users->Load();
    co_await users->Store(before + 1);
    if (before == 0) co_await use_.Acquire();
    counts_.Release();
    co_await counts_.Acquire();
    const int after = co_await users->Load();
    co_await users->Store(after - 1);
    if (after == 1) use_.Release();
    counts_.Release();
  }

  Lock counts_;
  Lock use_;
  Shared<int> first_;
  Shared<int> second_;
};

// Two locks in two orders.
class Deadlock final : public Program {
 public:
  void Start() override {
    Spawn(&Deadlock::Count, this, &a_, &b_);
    Spawn(&Deadlock::Count, this, &b_, &a_);
  }

 private:
  Task<void> Count(Lock* outer, Lock* inner) {
    co_await outer->Acquire();
    co_await inner->Acquire();
    const int count = co_await count_.Load();
    co_await count_.Store(count + 1);
    inner->Release();
    outer->Release();
  }

  Lock a_;
  Lock b_;
  Shared<int> count_;
};

// One task counts under one lock, and others under another.
template <int kOthers>
class WrongLock final : public Program {
 public:
  void Start() override {
    Spawn(&WrongLock::CountAndLook, this);
    for (int i = 0; i < kOthers; ++i) Spawn(&WrongLock::Count, this);
  }

 private:
  Task<void> CountAndLook() {
    co_await lock_.Acquire();
    const int before = co_await count_.Load();
    const int count = co_await count_.Load();
    co_await count_.Store(count + 1);
    const int after = co_await count_.Load();
    Check(after == before + 1);
    lock_.Release();
  }
  Task<void> Count() {
    co_await wrong_lock_.Acquire();
    const int count = co_await count_.Load();
    co_await count_.Store(count + 1);
    wrong_lock_.Release();
  }

  Lock lock_;
  Lock wrong_lock_;
  Shared<int> count_;
};

}  // namespace

std::vector<ProgramInfo> ClassicPrograms() {
  return {
      MakeInfo<Bluetooth>("CS/bluetooth_driver", 72, 161),
      MakeInfo<TokenRing>("CS/token_ring", 7, 8),
      MakeInfo<FlaggedQueue<20, true>>("CS/queue", 1, 12),
      MakeInfo<Stack>("CS/stack", 2, 2),
      MakeInfo<Lazy>("CS/lazy01", 5, 10),
      MakeInfo<Account>("CS/account", 1, 9),
      MakeInfo<Carter>("CS/carter01", 2, 5),
      MakeInfo<Deadlock>("CS/deadlock01", 4, 20),
      MakeInfo<FlaggedQueue<10, false>>("CS/circular_buffer", 2, 5),
      MakeInfo<WrongLock<7>>("CS/wronglock", 1, 88),
      MakeInfo<WrongLock<3>>("CS/wronglock_3", 1, 40),
  };
}

}  // namespace tandem::bench
