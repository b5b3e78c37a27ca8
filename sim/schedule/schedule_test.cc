// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/schedule/schedule.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/random.h"
#include "tandem/sim/schedule/policies.h"
#include "tandem/sim/schedule/run_tasks.h"
#include "tandem/sim/schedule/step_counts.h"

namespace tandem::sim {
namespace {

constexpr ScheduleKind kKinds[] = {ScheduleKind::kFifo, ScheduleKind::kRandom, ScheduleKind::kPct,
                                   ScheduleKind::kPos,  ScheduleKind::kUrw,    ScheduleKind::kDelay};

// --- Names and the portfolio ---

TEST(ScheduleTest, EachKindHasANameThatParses) {
  for (ScheduleKind kind : kKinds) EXPECT_EQ(ParseSchedule(ScheduleName(kind)), kind);
  EXPECT_EQ(ParseSchedule("no such"), std::nullopt);
  EXPECT_EQ(ParseSchedule(""), std::nullopt);
}

TEST(ScheduleTest, SeedsChooseEveryKindAndAQuarterIsFifo) {
  std::map<ScheduleKind, int> count;
  for (uint64_t seed = 0; seed < 1000; ++seed) ++count[ChooseSchedule(seed)];

  EXPECT_GE(count[ScheduleKind::kFifo], 248);
  EXPECT_LE(count[ScheduleKind::kFifo], 252);
  for (ScheduleKind kind : kKinds) EXPECT_GT(count[kind], 60) << ScheduleName(kind);
}

TEST(ScheduleTest, EachShardOfARunHasEveryKind) {
  for (uint64_t shards : {2, 3, 4, 8, 16, 50}) {
    for (uint64_t shard = 0; shard < shards; ++shard) {
      std::map<ScheduleKind, int> count;
      for (uint64_t seed = shard; seed < 1000 * shards; seed += shards) ++count[ChooseSchedule(seed)];
      for (ScheduleKind kind : kKinds)
        EXPECT_GT(count[kind], 20) << ScheduleName(kind) << " " << shard << "/" << shards;
    }
  }
}

TEST(ScheduleTest, FifoHasNoPolicy) { EXPECT_EQ(MakeSchedule(ScheduleKind::kFifo, 1), nullptr); }

// --- What a schedule does with tasks ---

struct Log {
  std::string steps;
};

Task<void> Walk(Log* log, char name, int yields) {
  for (int i = 0; i < yields; ++i) {
    log->steps.push_back(name);
    static_cast<void>(co_await Yield());
  }
  log->steps.push_back(name);
}

// Four tasks of six steps.
std::string StepsUnder(SchedulePolicy* policy) {
  Log log;
  EXPECT_EQ(RunTasks(policy,
                     [&log] {
                       for (char name : {'a', 'b', 'c', 'd'}) Spawn(Walk, &log, name, 5);
                     }),
            TasksEnd::kDone);
  return log.steps;
}

TEST(ScheduleTest, TheSameSeedGivesTheSameOrderAndSeedsDiffer) {
  const std::string fifo = StepsUnder(nullptr);
  EXPECT_EQ(fifo, "abcdabcdabcdabcdabcdabcd");
  for (ScheduleKind kind : kKinds) {
    if (kind == ScheduleKind::kFifo) continue;
    std::map<std::string, int> orders;
    for (uint64_t seed = 0; seed < 100; ++seed) {
      const std::string order = StepsUnder(MakeSchedule(kind, seed).get());
      EXPECT_EQ(StepsUnder(MakeSchedule(kind, seed).get()), order) << ScheduleName(kind) << " " << seed;
      for (char name : {'a', 'b', 'c', 'd'}) EXPECT_EQ(std::count(order.begin(), order.end(), name), 6);
      ++orders[order];
    }
    EXPECT_GE(orders.size(), 30u) << ScheduleName(kind);
  }
}

// The first bug of its kind: A has to be held back at its one Yield() until B has gone on eleven times.
struct Flag {
  int x = 0;
  bool flag = false;
  bool bug = false;
};

Task<void> SetAndLook(Flag* state) {
  state->x = 1;
  static_cast<void>(co_await Yield());
  if (state->flag) state->bug = true;
}

Task<void> YieldTenTimesAndSet(Flag* state) {
  for (int i = 0; i < 10; ++i) static_cast<void>(co_await Yield());
  state->flag = state->x == 1;
}

bool FindsFlag(SchedulePolicy* policy) {
  Flag state;
  EXPECT_EQ(RunTasks(policy,
                     [&state] {
                       Spawn(SetAndLook, &state);
                       Spawn(YieldTenTimesAndSet, &state);
                     }),
            TasksEnd::kDone);
  return state.bug;
}

// The first seed, or `limit`.
uint64_t FirstSeed(ScheduleKind kind, uint64_t limit) {
  for (uint64_t seed = 0; seed < limit; ++seed) {
    if (FindsFlag(MakeSchedule(kind, seed).get())) return seed;
  }
  return limit;
}

TEST(ScheduleTest, EachPolicyHoldsATaskBackForTenStepsOfAnother) {
  // One in 2^11 for a random walk, and one in about 12 for a priority for each step.
  EXPECT_LT(FirstSeed(ScheduleKind::kRandom, 20'000), 20'000u);
  EXPECT_LT(FirstSeed(ScheduleKind::kUrw, 20'000), 20'000u);
  EXPECT_LT(FirstSeed(ScheduleKind::kPct, 100), 100u);
  EXPECT_LT(FirstSeed(ScheduleKind::kPos, 100), 100u);
  EXPECT_LT(FirstSeed(ScheduleKind::kDelay, 100), 100u);
}

TEST(ScheduleTest, FifoNeverHoldsATaskBack) {
  EXPECT_FALSE(FindsFlag(nullptr));
  StepCounts counts;
  CountingSchedule counting(counts);
  EXPECT_FALSE(FindsFlag(&counting));
  EXPECT_EQ(counts.totals().longest, 11u);
}

TEST(ScheduleTest, StepsAreCountedByTask) {
  StepCounts counts;
  CountingSchedule counting(counts);
  EXPECT_FALSE(FindsFlag(&counting));
  EXPECT_EQ(counts.totals().tasks, 2u);
  EXPECT_EQ(counts.totals().longest, 11u);
  EXPECT_EQ(counts.totals().total, 13u);
  EXPECT_EQ(counts.StepsOf(12345), 0u);
  // Once more changes nothing.
  CountingSchedule again(counts);
  EXPECT_FALSE(FindsFlag(&again));
  EXPECT_EQ(counts.totals().total, 13u);
}

TEST(ScheduleTest, StepsAreCountedUnderAnyPolicy) {
  for (ScheduleKind kind : kKinds) {
    StepCounts counts;
    CountingSchedule counting(counts, MakeSchedule(kind, 3));
    const std::string steps = StepsUnder(&counting);
    EXPECT_EQ(counts.totals(), (StepTotals{6, 24, 4})) << ScheduleName(kind);
    EXPECT_EQ(steps, StepsUnder(MakeSchedule(kind, 3).get())) << "counting changes nothing";
  }
}

TEST(ScheduleTest, KnownStepsAimPctAndDelays) {
  StepCounts counts;
  CountingSchedule counting(counts);
  FindsFlag(&counting);
  for (ScheduleKind kind : {ScheduleKind::kPct, ScheduleKind::kDelay}) {
    int blind = 0;
    int aimed = 0;
    for (uint64_t seed = 0; seed < 3000; ++seed) {
      blind += FindsFlag(MakeSchedule(kind, seed).get()) ? 1 : 0;
      aimed += FindsFlag(MakeSchedule(kind, seed, &counts).get()) ? 1 : 0;
    }
    EXPECT_GT(aimed, blind) << ScheduleName(kind);
  }
}

TEST(ScheduleTest, WeightsByStepsMakeEachOrderAsLikely) {
  StepCounts counts;
  CountingSchedule counting(counts);
  FindsFlag(&counting);
  int found = 0;
  for (uint64_t seed = 0; seed < 7800; ++seed) {
    found += FindsFlag(MakeSchedule(ScheduleKind::kUrw, seed, &counts).get()) ? 1 : 0;
  }
  // A has 2 steps and B 11: 78 orders, and in 11 of them A's first step is before B's last and its second is behind.
  EXPECT_GT(found, 900);
  EXPECT_LT(found, 1300);
}

TEST(ScheduleTest, ARandomWalkIsUniform) {
  // Which of the four is first, second, ... at the first step, and how long a task waits for its first.
  std::map<char, int> first;
  int second_is_the_same = 0;
  constexpr int kRuns = 8000;
  for (uint64_t seed = 0; seed < kRuns; ++seed) {
    const std::string order = StepsUnder(MakeSchedule(ScheduleKind::kRandom, seed).get());
    ++first[order[0]];
    second_is_the_same += order[0] == order[1] ? 1 : 0;
  }
  for (char name : {'a', 'b', 'c', 'd'}) EXPECT_NEAR(first[name], kRuns / 4.0, 200) << name;
  EXPECT_NEAR(second_is_the_same, kRuns / 4.0, 200);
}

// --- Fairness ---

struct Spin {
  bool released = false;
  uint64_t spins = 0;
};

Task<void> SpinUntilReleased(Spin* state) {
  while (!state->released) {
    ++state->spins;
    static_cast<void>(co_await Yield());
  }
}

Task<void> Release(Spin* state) {
  static_cast<void>(co_await Yield());
  state->released = true;
}

uint64_t SpinsUnder(SchedulePolicy* policy) {
  Spin state;
  EXPECT_EQ(RunTasks(policy,
                     [&state] {
                       for (int i = 0; i < 3; ++i) Spawn(SpinUntilReleased, &state);
                       Spawn(Release, &state);
                     }),
            TasksEnd::kDone);
  return state.spins;
}

TEST(ScheduleTest, LoopsOfYieldsStarveNobody) {
  for (ScheduleKind kind : kKinds) {
    uint64_t most = 0;
    for (uint64_t seed = 0; seed < 500; ++seed) most = std::max(most, SpinsUnder(MakeSchedule(kind, seed).get()));
    EXPECT_LE(most, 2 * (Executor::kHoldsMax + 8)) << ScheduleName(kind);
    if (kind == ScheduleKind::kPct) EXPECT_LE(most, 20 * Pct::kSpinSteps);
  }
}

// The last one to be ready goes on: the tasks that spin keep the first from ever being taken.
class LastInFirstOut final : public SchedulePolicy {
 public:
  void Add(TaskContext& task) override { ready_.push_back(&task); }
  TaskContext& Take() override {
    TaskContext& task = *ready_.back();
    ready_.pop_back();
    return task;
  }
  void Clear() override { ready_.clear(); }

 private:
  std::vector<TaskContext*> ready_;
};

TEST(ScheduleTest, TheExecutorBoundsHowLongAPolicyHoldsATask) {
  Spin state;
  LastInFirstOut policy;
  EXPECT_EQ(RunTasks(&policy,
                     [&state] {
                       Spawn(Release, &state);
                       Spawn(SpinUntilReleased, &state);
                     }),
            TasksEnd::kDone);
  EXPECT_GE(state.spins, Executor::kHoldsMax);
  EXPECT_LE(state.spins, 2 * (Executor::kHoldsMax + 4));
}

TEST(ScheduleTest, TasksThatAreHeldCanBeDestroyed) {
  Spin state;
  for (ScheduleKind kind : kKinds) {
    const std::unique_ptr<SchedulePolicy> policy = MakeSchedule(kind, 1);
    const auto start = [&state] {
      for (int i = 0; i < 3; ++i) Spawn(SpinUntilReleased, &state);
    };
    EXPECT_EQ(RunTasks(policy.get(), start, 10), TasksEnd::kEndless);
    // Nothing of the first run is left in the policy.
    EXPECT_EQ(RunTasks(policy.get(), [] {}), TasksEnd::kDone);
  }
}

// --- Draws ---

using Draws = std::map<std::pair<uint64_t, uint64_t>, uint64_t>;

// What was drawn for which address while two tasks run, and others beside them.
Draws DrawsOf(ScheduleKind kind, int others) {
  Draws drawn;
  Log log;
  ScheduleDraws draws = [&drawn](uint64_t entity, uint64_t n) {
    return drawn[{entity, n}] = HashCombine(HashCombine(7, entity), n);
  };
  const std::unique_ptr<SchedulePolicy> policy = MakeSchedule(kind, std::move(draws));
  EXPECT_EQ(RunTasks(policy.get(),
                     [&log, others] {
                       Spawn(Walk, &log, 'a', 20);
                       Spawn(Walk, &log, 'b', 20);
                       for (int i = 0; i < others; ++i) Spawn(Walk, &log, 'x', i);
                     }),
            TasksEnd::kDone);
  return drawn;
}

TEST(ScheduleTest, MoreTasksLeaveTheDrawsOfTheOthers) {
  for (ScheduleKind kind : kKinds) {
    if (kind == ScheduleKind::kFifo) continue;
    const Draws alone = DrawsOf(kind, 0);
    const Draws beside = DrawsOf(kind, 5);
    EXPECT_FALSE(alone.empty());
    EXPECT_GT(beside.size(), alone.size());
    for (const auto& [address, value] : alone) {
      const auto found = beside.find(address);
      ASSERT_NE(found, beside.end()) << ScheduleName(kind) << " asks for another number of the same task";
      EXPECT_EQ(found->second, value);
    }
  }
}

// The order of two tasks among themselves.
std::string OrderOfTwo(ScheduleKind kind, uint64_t seed, int others) {
  Log log;
  RunTasks(MakeSchedule(kind, seed).get(), [&log, others] {
    Spawn(Walk, &log, 'a', 8);
    Spawn(Walk, &log, 'b', 8);
    for (int i = 0; i < others; ++i) Spawn(Walk, &log, 'x', 4);
  });
  std::erase(log.steps, 'x');
  return log.steps;
}

TEST(ScheduleTest, MoreTasksLeaveTheOrderOfTheOthers) {
  // But for a delay, which counts the steps of all tasks.
  for (ScheduleKind kind : {ScheduleKind::kRandom, ScheduleKind::kPct, ScheduleKind::kPos, ScheduleKind::kUrw}) {
    for (uint64_t seed = 0; seed < 200; ++seed) {
      EXPECT_EQ(OrderOfTwo(kind, seed, 3), OrderOfTwo(kind, seed, 0)) << ScheduleName(kind) << " " << seed;
    }
  }
}

TEST(ScheduleTest, LogUniformStaysInItsBoundAndReachesIt) {
  for (uint64_t log2_bound = 1; log2_bound <= 6; ++log2_bound) {
    std::map<uint64_t, int> count;
    for (uint64_t i = 0; i < 6000; ++i) ++count[LogUniform(MixBits(i + 1), log2_bound)];
    EXPECT_EQ(count.begin()->first, 1u);
    EXPECT_EQ(count.rbegin()->first, (uint64_t{1} << log2_bound) - 1);
    EXPECT_NEAR(count[1], 6000.0 / static_cast<double>(log2_bound), 200);
  }
}

TEST(ScheduleTest, NegativeLog2IsThatOfAFraction) {
  constexpr uint64_t kOne = uint64_t{1} << 32;
  EXPECT_EQ(NegativeLog2(~uint64_t{0}), 0u);
  EXPECT_EQ(NegativeLog2((uint64_t{1} << 63) - 1), kOne);
  EXPECT_EQ(NegativeLog2(0), 64 * kOne);
  // log2(0.75) = -0.41504.
  EXPECT_NEAR(static_cast<double>(NegativeLog2(uint64_t{3} << 62)) / static_cast<double>(kOne), 0.41504, 0.01);
  uint64_t last = NegativeLog2(0);
  for (uint64_t i = 1; i < 1000; ++i) {
    const uint64_t value = NegativeLog2(i * (~uint64_t{0} / 1000));
    EXPECT_LT(value, last);
    last = value;
  }
}

}  // namespace
}  // namespace tandem::sim
