// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/time/loop.h"

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {
namespace {

constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

class Callback final : public Event {
 public:
  explicit Callback(std::function<void()> function) : function_(std::move(function)) {}
  ~Callback() override = default;

 private:
  void Run() override { function_(); }
  const std::function<void()> function_;
};

// Takes turns until it has been told often enough.
class Worker final : public TurnTaker {
 public:
  Worker(Loop& loop, std::function<bool()> turn) : TurnTaker(loop), turn_(std::move(turn)) {}
  ~Worker() override { SetIdle(); }

  int idle() const { return idle_; }

 private:
  bool TakeTurns(int limit) override {
    for (int turns = 0; turns < limit; ++turns) {
      CountTurn();
      if (!turn_()) return false;
    }
    return true;
  }
  void OnIdle() override { ++idle_; }

  const std::function<bool()> turn_;
  int idle_ = 0;
};

class LoopTest : public ::testing::Test {
 protected:
  void RunUntil(int64_t until_ns) {
    while (loop_.Step(until_ns)) {
    }
    queue_.AdvanceTo(until_ns);
  }

  EventQueue queue_;
  Loop loop_{queue_};
};

TEST_F(LoopTest, EventsOfAnInstantComeBeforeTurnsAndTurnsInTheOrderOfTheirReadiness) {
  std::vector<std::string> log;
  const auto note = [&log](std::string what) { return [&log, what] { return log.push_back(what), false; }; };
  Worker a(loop_, note("a"));
  Worker b(loop_, note("b"));
  Callback first([&] { b.SetReady(), a.SetReady(), b.SetReady(); });
  Callback second([&] { log.push_back("second"); });
  Callback later([&] { log.push_back("later"); });
  queue_.Schedule(first, 5);
  queue_.Schedule(second, 5);
  queue_.Schedule(later, 6);

  while (loop_.Step(kForever)) {
  }

  EXPECT_EQ(log, (std::vector<std::string>{"second", "b", "a", "later"}));
  EXPECT_EQ(a.idle(), 1);
  EXPECT_TRUE(loop_.quiescent());
}

TEST_F(LoopTest, NothingAfterTheLimitRuns) {
  Callback event([] {});
  queue_.Schedule(event, 10);

  EXPECT_FALSE(loop_.Step(9));
  EXPECT_EQ(queue_.now_ns(), 0);
  EXPECT_FALSE(loop_.quiescent());
  EXPECT_TRUE(loop_.Step(10));
}

TEST_F(LoopTest, ManyTurnsTakeTimeInStepsOfAnySize) {
  for (const int64_t step_ns : {int64_t{1'000}, kSpinNs / 2, kSpinNs, 10 * kSpinNs}) {
    const int64_t goal_ns = queue_.now_ns() + 10 * kSpinNs;
    Worker worker(loop_, [&] { return queue_.now_ns() < goal_ns; });
    worker.SetReady();

    for (int64_t until_ns = queue_.now_ns() + step_ns; until_ns <= goal_ns; until_ns += step_ns) RunUntil(until_ns);

    EXPECT_EQ(worker.idle(), 1) << step_ns;
    EXPECT_EQ(worker.turns_in_a_row(), 0u);
  }
}

TEST_F(LoopTest, WhatHappensToOthersWakesNobodyWhoSpins) {
  uint64_t turns = 0;
  Worker spinner(loop_, [&] { return ++turns, true; });
  Worker other(loop_, [] { return false; });
  spinner.SetReady();
  Callback happens([&] { other.SetReady(); });
  for (int64_t now_ns = 0; now_ns < kSpinNs; now_ns += kSpinNs / 100) {
    queue_.Schedule(happens, now_ns);
    RunUntil(now_ns);
  }

  EXPECT_EQ(other.idle(), 100);
  EXPECT_EQ(turns, uint64_t{kSpinTurns});
  EXPECT_TRUE(spinner.spinning());
}

TEST_F(LoopTest, WhatHappensToWhoSpinsGivesItAFewTurnsAndNoMoreTime) {
  uint64_t turns = 0;
  Worker spinner(loop_, [&] { return ++turns, true; });
  spinner.SetReady();
  RunUntil(kSpinNs / 2);
  spinner.SetReady();
  RunUntil(kSpinNs - 1);
  EXPECT_EQ(turns, uint64_t{kSpinTurns + kWokenTurns});

  RunUntil(kSpinNs);

  EXPECT_EQ(turns, uint64_t{2 * kSpinTurns + kWokenTurns});
  EXPECT_EQ(spinner.turns_in_a_row(), turns);
}

TEST_F(LoopTest, WhoIsIdleTakesNoTurns) {
  int turns = 0;
  Worker ready(loop_, [&] { return ++turns, false; });
  ready.SetReady();
  ready.SetIdle();
  Worker spinner(loop_, [&] { return ++turns, true; });
  spinner.SetReady();
  RunUntil(1);
  spinner.SetIdle();
  RunUntil(kSpinNs);

  EXPECT_EQ(turns, kSpinTurns);
  EXPECT_TRUE(loop_.quiescent());
  EXPECT_FALSE(spinner.spinning());
}

}  // namespace
}  // namespace tandem::sim
