// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/schedule/explore.h"

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/sim/schedule/run_tasks.h"

namespace tandem::sim {
namespace {

Task<void> Walk(std::string* log, char name, int steps) {
  for (int i = 1; i < steps; ++i) {
    log->push_back(name);
    static_cast<void>(co_await Yield());
  }
  log->push_back(name);
}

struct Seen {
  Exploration exploration;
  std::set<std::string> orders;
};

// Tasks 'a', 'b', ... of so many steps.
Seen ExploreSteps(const std::vector<int>& steps, uint64_t max = 1'000'000) {
  Seen seen;
  seen.exploration = Explore(max, [&](SchedulePolicy& policy) {
    std::string log;
    EXPECT_EQ(RunTasks(&policy,
                       [&] {
                         char name = 'a';
                         for (int count : steps) Spawn(Walk, &log, name++, count);
                       }),
              TasksEnd::kDone);
    seen.orders.insert(log);
    return true;
  });
  return seen;
}

uint64_t Binomial(uint64_t n, uint64_t k) {
  uint64_t result = 1;
  for (uint64_t i = 1; i <= k; ++i) result = result * (n - k + i) / i;
  return result;
}

TEST(ExploreTest, VisitsEachOrderOfTwoTasksOnce) {
  for (int m = 1; m <= 6; ++m) {
    for (int n = 1; n <= 6; ++n) {
      const Seen seen = ExploreSteps({m, n});
      EXPECT_TRUE(seen.exploration.complete);
      EXPECT_EQ(seen.exploration.schedules, Binomial(static_cast<uint64_t>(m + n), static_cast<uint64_t>(m)));
      EXPECT_EQ(seen.orders.size(), seen.exploration.schedules);
    }
  }
}

TEST(ExploreTest, VisitsEachOrderOfThreeTasksOnce) {
  const Seen seen = ExploreSteps({2, 3, 4});
  EXPECT_TRUE(seen.exploration.complete);
  EXPECT_EQ(seen.exploration.schedules, 1260u);  // 9! / (2! 3! 4!)
  EXPECT_EQ(seen.orders.size(), 1260u);
}

TEST(ExploreTest, OneTaskHasOneSchedule) {
  const Seen seen = ExploreSteps({5});
  EXPECT_TRUE(seen.exploration.complete);
  EXPECT_EQ(seen.exploration.schedules, 1u);
}

TEST(ExploreTest, SaysThatItIsNotDoneAtItsLimit) {
  EXPECT_FALSE(ExploreSteps({2, 3}, 9).exploration.complete);
  EXPECT_EQ(ExploreSteps({2, 3}, 9).exploration.schedules, 9u);
  EXPECT_TRUE(ExploreSteps({2, 3}, 10).exploration.complete);
  EXPECT_FALSE(ExploreSteps({2, 3}, 0).exploration.complete);
}

TEST(ExploreTest, StopsWhenItIsTold) {
  std::vector<std::string> orders;
  const Exploration exploration = Explore(100, [&](SchedulePolicy& policy) {
    std::string log;
    RunTasks(&policy, [&] {
      Spawn(Walk, &log, 'a', 2);
      Spawn(Walk, &log, 'b', 2);
    });
    orders.push_back(log);
    return log != "abba";
  });
  EXPECT_FALSE(exploration.complete);
  EXPECT_EQ(exploration.schedules, orders.size());
  EXPECT_EQ(orders.front(), "abab") << "the first is first in, first out";
  EXPECT_EQ(orders.back(), "abba");
}

TEST(ExploreDeathTest, RefusesAProgramThatChanges) {
  const auto explore = [] {
    int runs = 0;
    Explore(100, [&](SchedulePolicy& policy) {
      std::string log;
      ++runs;
      RunTasks(&policy, [&] {
        for (int i = 0; i < 1 + runs; ++i) Spawn(Walk, &log, 'a', 2);
      });
      return true;
    });
  };
  EXPECT_DEATH(explore(), "other tasks ready than before");
}

}  // namespace
}  // namespace tandem::sim
