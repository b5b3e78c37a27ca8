// SPDX-License-Identifier: Apache-2.0
//
// CS/reorder_N and CS/twostage_N: of many tasks that write twice, one is caught between its writes, and the others have
// not come so far.

#include "tandem/bench/schedules/program.h"
#include "tandem/bench/schedules/shared.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"

namespace tandem::bench {
namespace {

// N - 1 tasks write a, then b; one looks.
template <int kTasks>
class Reorder final : public Program {
 public:
  void Start() override {
    for (int i = 1; i < kTasks; ++i) Spawn(&Reorder::Set, this);
    Spawn(&Reorder::Look, this);
  }

 private:
  Task<void> Set() {
    co_await a_.Store(1);
    co_await b_.Store(-1);
  }
  Task<void> Look() {
    const int a = co_await a_.Load();
    const int b = co_await b_.Load();
    Check((a == 0 && b == 0) || (a == 1 && b == -1) || a == 0);
  }

  Shared<int> a_;
  Shared<int> b_;
};

// N - 1 tasks set one number and then, under another lock, a second one from it; one task compares.
template <int kTasks>
class TwoStage final : public Program {
 public:
  void Start() override {
    for (int i = 1; i < kTasks; ++i) Spawn(&TwoStage::Set, this);
    Spawn(&TwoStage::Compare, this);
  }

 private:
  Task<void> Set() {
    co_await first_lock_.Acquire();
    co_await first_.Store(1);
    first_lock_.Release();
    co_await second_lock_.Acquire();
    const int first = co_await first_.Load();
    co_await second_.Store(first + 1);
    second_lock_.Release();
  }
  Task<void> Compare() {
    co_await first_lock_.Acquire();
    const int first = co_await first_.Load();
    first_lock_.Release();
    if (first == 0) co_return;
    co_await second_lock_.Acquire();
    const int second = co_await second_.Load();
    second_lock_.Release();
    Check(second == first + 1);
  }

  Lock first_lock_;
  Lock second_lock_;
  Shared<int> first_;
  Shared<int> second_;
};

}  // namespace

std::vector<ProgramInfo> OrderPrograms() {
  return {
      MakeInfo<Reorder<3>>("CS/reorder_3", 223, 241),      MakeInfo<Reorder<5>>("CS/reorder_5", 4377, 1126),
      MakeInfo<Reorder<10>>("CS/reorder_10", 0, 2356),     MakeInfo<Reorder<50>>("CS/reorder_50", 0, 12346),
      MakeInfo<Reorder<100>>("CS/reorder_100", 0, 7447),   MakeInfo<TwoStage<2>>("CS/twostage", 15, 9),
      MakeInfo<TwoStage<20>>("CS/twostage_20", 185, 188),  MakeInfo<TwoStage<50>>("CS/twostage_50", 1984, 849),
      MakeInfo<TwoStage<100>>("CS/twostage_100", 0, 3888),
  };
}

}  // namespace tandem::bench
