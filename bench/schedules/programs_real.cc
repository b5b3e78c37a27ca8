// SPDX-License-Identifier: Apache-2.0
//
// Bugs of real programs, cut down to what they are made of: Inspect, CB and ConVul.

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "tandem/bench/schedules/program.h"
#include "tandem/bench/schedules/shared.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"

namespace tandem::bench {
namespace {

// The pool of FreeBSD's qsort_mt: who allocates a worker marks it as working under the lock of the pool, and gives it
// its part of the array afterwards, under the lock of the worker. A worker that looks in between sorts its last part
// again, and the new part never.
class QsortMt final : public Program {
 public:
  void Start() override {
    for (int& number : numbers_) number = static_cast<int>(&number - numbers_.data()) * 5 % kNumbers;
    workers_[0].state = Shared<State>(State::kWorks);
    workers_[0].count = kNumbers;
    for (size_t i = 0; i < kWorkers; ++i) Spawn(&QsortMt::Work, this, i);
  }
  void AtEnd() override { Check(std::is_sorted(numbers_.begin(), numbers_.end())); }

 private:
  enum class State { kIdle, kWorks, kEnds };
  struct Worker {
    Lock lock;
    Condition condition;
    Shared<State> state{State::kIdle};
    int first = 0;
    int count = 0;
  };
  static constexpr size_t kWorkers = 3;
  static constexpr int kNumbers = 12;

  Task<void> Work(size_t index) {
    Worker& self = workers_[index];
    for (bool goes_on = true; goes_on;) {
      co_await self.lock.Acquire();
      State state = co_await self.state.Load();
      while (state == State::kIdle) {
        co_await self.condition.Wait(&self.lock);
        state = co_await self.state.Load();
      }
      self.lock.Release();
      if (state == State::kEnds) co_return;
      co_await Sort(self.first, self.count);
      goes_on = co_await BecomeIdle(&self);
    }
  }
  // False when no worker works any more, which this one tells the others.
  Task<bool> BecomeIdle(Worker* self) {
    co_await pool_.Acquire();
    co_await self->state.Store(State::kIdle);
    ++idle_;
    if (idle_ < static_cast<int>(kWorkers)) {
      pool_.Release();
      co_return true;
    }
    for (Worker& other : workers_) {
      if (&other == self) continue;
      co_await other.lock.Acquire();
      co_await other.state.Store(State::kEnds);
      other.condition.Signal();
      other.lock.Release();
    }
    pool_.Release();
    co_return false;
  }
  Task<void> Sort(int first, int count) {
    while (count > 3) {
      int* const begin = numbers_.data() + first;
      std::nth_element(begin, begin + count / 2, begin + count);
      const int left = count / 2;
      Worker* const other = co_await Allocate();
      if (other == nullptr) {
        co_await Sort(first, left);
      } else {
        other->first = first;
        other->count = left;
        other->condition.Signal();
        other->lock.Release();
      }
      first += left;
      count -= left;
    }
    co_await Step();
    std::sort(numbers_.data() + first, numbers_.data() + first + count);
  }
  Task<Worker*> Allocate() {
    co_await pool_.Acquire();
    for (Worker& worker : workers_) {
      const State state = co_await worker.state.Load();
      if (state != State::kIdle) continue;
      --idle_;
      co_await worker.state.Store(State::kWorks);
      co_await worker.lock.Acquire();
      pool_.Release();
      co_return &worker;
    }
    pool_.Release();
    co_return nullptr;
  }

  Lock pool_;
  int idle_ = static_cast<int>(kWorkers) - 1;  // Guarded by pool_.
  std::array<Worker, kWorkers> workers_;
  std::array<int, kNumbers> numbers_ = {};
};

// One condition for "not full" and "not empty", and one waiter woken: it may be one of the wrong kind.
class BoundedBuffer final : public Program {
 public:
  void Start() override {
    for (int i = 0; i < 2; ++i) Spawn(&BoundedBuffer::Produce, this);
    for (int i = 0; i < 2; ++i) Spawn(&BoundedBuffer::Consume, this);
  }

 private:
  static constexpr int kRounds = 2;

  Task<void> Produce() {
    for (int i = 0; i < kRounds; ++i) {
      co_await lock_.Acquire();
      while (count_ == 1) co_await changed_.Wait(&lock_);
      ++count_;
      changed_.Signal();
      lock_.Release();
    }
  }
  Task<void> Consume() {
    for (int i = 0; i < kRounds; ++i) {
      co_await lock_.Acquire();
      while (count_ == 0) co_await changed_.Wait(&lock_);
      --count_;
      changed_.Signal();
      lock_.Release();
    }
  }

  Lock lock_;
  Condition changed_;
  int count_ = 0;  // Guarded by lock_.
};

// Java 1.4's StringBuffer.append(other): asks for the length of the other under its lock, and copies so many characters
// under its lock, but not under one lock.
class StringBuffer final : public Program {
 public:
  void Start() override {
    Spawn(&StringBuffer::Append, this);
    Spawn(&StringBuffer::Erase, this);
  }

 private:
  Task<void> Append() {
    co_await own_.Acquire();
    const int length = co_await LengthOfOther();
    const int capacity = co_await capacity_.Load();
    if (length > capacity) co_await capacity_.Store(length);
    co_await other_.Acquire();
    const int count = co_await other_length_.Load();
    Check(count >= length);
    other_.Release();
    own_.Release();
  }
  Task<int> LengthOfOther() {
    co_await other_.Acquire();
    const int length = co_await other_length_.Load();
    other_.Release();
    co_return length;
  }
  Task<void> Erase() {
    const int length = co_await LengthOfOther();
    co_await other_.Acquire();
    const int now = co_await other_length_.Load();
    co_await other_length_.Store(std::max(now - length, 0));
    other_.Release();
  }

  Lock own_;
  Lock other_;
  Shared<int> capacity_{16};
  Shared<int> other_length_{10};
};

// ALSA's sequencer: a port that was just made is in the list, and is used after the list's lock was given back; another
// call takes it out and frees it.
class AlsaPort final : public Program {
 public:
  void Start() override {
    Spawn(&AlsaPort::Create, this);
    Spawn(&AlsaPort::Delete, this);
  }

 private:
  Task<void> Create() {
    for (int i = 0; i < 3; ++i) co_await Step();  // Allocates and fills the port.
    co_await list_lock_.Acquire();
    co_await listed_.Store(true);
    list_lock_.Release();
    const bool freed = co_await freed_.Load();  // Fills in the port's number.
    Check(!freed);
  }
  Task<void> Delete() {
    co_await list_lock_.Acquire();
    const bool found = co_await listed_.Load();
    if (found) co_await listed_.Store(false);
    list_lock_.Release();
    if (!found) co_return;
    for (int i = 0; i < 2; ++i) co_await Step();  // Waits for users, unsubscribes.
    co_await freed_.Store(true);
  }

  Lock list_lock_;
  Shared<bool> listed_;
  Shared<bool> freed_;
};

// Linux' install_user_keyrings(): the first of two pointers says, without a lock, that both are there.
class Keyring final : public Program {
 public:
  void Start() override {
    Spawn(&Keyring::LookUp, this);
    Spawn(&Keyring::LookUp, this);
  }

 private:
  Task<void> LookUp() {
    const bool there = co_await user_keyring_.Load();
    if (!there) co_await Install();
    const bool session_there = co_await session_keyring_.Load();
    Check(session_there);
  }
  Task<void> Install() {
    co_await lock_.Acquire();
    const bool there = co_await user_keyring_.Load();
    if (!there) {
      for (int i = 0; i < 4; ++i) co_await Step();  // Allocates both.
      co_await user_keyring_.Store(true);
      co_await session_keyring_.Store(true);
    }
    lock_.Release();
  }

  Lock lock_;
  Shared<bool> user_keyring_;
  Shared<bool> session_keyring_;
};

// libvpx' once(): the last one out frees the lock and then forgets it; one that comes in between takes a freed lock.
class VpxOnce final : public Program {
 public:
  void Start() override {
    Spawn(&VpxOnce::Once, this);
    Spawn(&VpxOnce::Once, this);
  }

 private:
  Task<void> Once() {
    const bool done = co_await done_.Load();
    if (done) co_return;
    co_await waiters_.Add(1);
    co_await lock_there_.CompareExchange(false, true);
    const bool freed = co_await lock_freed_.Load();
    Check(!freed);
    co_await lock_.Acquire();
    const bool done_by_other = co_await done_.Load();
    if (!done_by_other) co_await done_.Store(true);
    lock_.Release();
    const int left = co_await waiters_.Add(-1);
    if (left > 0) co_return;
    co_await lock_freed_.Store(true);
    co_await lock_there_.Store(false);
    co_await lock_freed_.Store(false);  // The next lock is another.
  }

  Lock lock_;
  Shared<bool> done_;
  Shared<int> waiters_;
  Shared<bool> lock_there_;
  Shared<bool> lock_freed_;
};

}  // namespace

std::vector<ProgramInfo> RealPrograms() {
  return {
      MakeInfo<QsortMt>("Inspect/qsort_mt", 646, 3838),
      MakeInfo<BoundedBuffer>("Inspect/boundedBuffer", 6, 15),
      MakeInfo<StringBuffer>("CB/stringbuffer-jdk1.4", 18, 195),
      MakeInfo<AlsaPort>("ConVul/CVE-2017-15265", 0, 0),
      MakeInfo<Keyring>("ConVul/CVE-2013-1792", 50, 87),
      MakeInfo<VpxOnce>("ConVul/CVE-2016-1972", 86, 0),
  };
}

}  // namespace tandem::bench
