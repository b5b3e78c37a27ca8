// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/condition.h"

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/sync/sync_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

class ConditionTest : public SyncTest {
 protected:
  struct Log {
    Condition changed;
    int length = 0;
    std::vector<int> order;
  };
  static Task<absl::Status> WaitForLength(Log* log, int length) {
    const auto reached = [&] { return log->length >= length; };
    absl::Status status = co_await log->changed.Wait(reached);
    if (status.ok()) {
      EXPECT_GE(log->length, length);
      log->order.push_back(length);
    }
    co_return status;
  }
  // Takes one of `length`.
  static Task<absl::Status> Take(Log* log, int number) {
    const auto some = [&] { return log->length > 0; };
    absl::Status status = co_await log->changed.Wait(some);
    if (!status.ok()) co_return status;
    EXPECT_GT(log->length, 0);
    --log->length;
    log->order.push_back(number);
    co_return status;
  }
};

TEST_F(ConditionTest, WhatIsTrueAlreadyDoesNotMakeWait) {
  Log log;
  EXPECT_OK(Run(WaitForLength(&log, 0)));
}

TEST_F(ConditionTest, NotifyLetsThoseGoOnWhosePredicateIsTrue) {
  Log log;
  auto two = Start(WaitForLength(&log, 2));
  auto one = Start(WaitForLength(&log, 1));
  log.length = 1;
  Settle();
  EXPECT_FALSE(one->done());  // Nobody has said so.
  log.changed.Notify();
  EXPECT_OK(Wait(one));
  Settle();
  EXPECT_FALSE(two->done());
  log.length = 2;
  log.changed.Notify();
  EXPECT_OK(Wait(two));
}

TEST_F(ConditionTest, ThePredicateIsTrueStillWhenTheCallReturns) {
  Log log;
  auto first = Start(Take(&log, 1));
  auto second = Start(Take(&log, 2));
  log.length = 1;  // Enough for one of them, and both are told.
  log.changed.Notify();
  Settle();
  EXPECT_EQ(log.length, 0);
  EXPECT_NE(first->done(), second->done());
  log.length = 1;
  log.changed.Notify();
  EXPECT_OK(Wait(first));
  EXPECT_OK(Wait(second));
  EXPECT_EQ(log.length, 0);
}

TEST_F(ConditionTest, APredicateThatIsFalseAgainBeforeTheCallGoesOnMakesItWait) {
  Log log;
  auto waiting = Start(WaitForLength(&log, 1));
  log.length = 1;
  log.changed.Notify();
  log.length = 0;
  Settle();
  EXPECT_FALSE(waiting->done());
  log.length = 1;
  log.changed.Notify();
  EXPECT_OK(Wait(waiting));
}

TEST_F(ConditionTest, ACallThatIsStoppedLeavesTheOthersInLine) {
  Log log;
  auto first = Start(WaitForLength(&log, 1));
  auto stopped = Start(WaitForLength(&log, 1));
  auto last = Start(WaitForLength(&log, 1));
  stopped->Cancel();
  EXPECT_EQ(Wait(stopped), CancelledStatus());
  EXPECT_EQ(Run(WithTimeout(absl::Milliseconds(1), WaitForLength(&log, 1))), DeadlineExceededStatus());
  log.length = 1;
  log.changed.Notify();
  EXPECT_OK(Wait(first));
  EXPECT_OK(Wait(last));
}

TEST(ConditionDeathTest, DestroyingOneThatIsWaitedForIsABug) {
  EXPECT_DEATH(
      {
        testing::WorldLoop loop;
        auto condition = std::make_unique<Condition>();
        auto wait = [](Condition* condition) -> Task<absl::Status> {
          const auto never = [] { return false; };
          co_return co_await condition->Wait(never);
        };
        auto waiting = loop.Start(wait(condition.get()));
        EXPECT_OK(loop.Run(Yield()));
        EXPECT_OK(loop.Run(Yield()));
        condition.reset();
      },
      "a condition was destroyed while a call waits for it");
}

}  // namespace
}  // namespace tandem
