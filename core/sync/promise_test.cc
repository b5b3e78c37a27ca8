// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/promise.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/sync/sync_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

using testing::IsOkAndHolds;

template <typename T>
Task<absl::StatusOr<T>> GetFrom(Future<T>* future) {
  absl::StatusOr<T> value = co_await future->Get();
  co_return value;
}

class PromiseTest : public SyncTest {};

TEST_F(PromiseTest, AValueThatIsThereDoesNotMakeWait) {
  auto [promise, future] = MakePromise<std::string>();
  EXPECT_FALSE(future.ready());
  promise.Set("value");
  EXPECT_TRUE(future.ready());
  EXPECT_THAT(Run(future.Get()), IsOkAndHolds("value"));
}

TEST_F(PromiseTest, SetLetsTheCallThatWaitsGoOn) {
  auto [promise, future] = MakePromise<std::unique_ptr<int>>();
  auto getting = Start(GetFrom(&future));
  EXPECT_FALSE(getting->done());
  promise.Set(std::make_unique<int>(7));
  EXPECT_EQ(**Wait(getting), 7);
}

TEST_F(PromiseTest, AResultOfACallGoesThroughAsItIs) {
  auto [promise, future] = MakePromise<absl::Status>();
  promise.Set(absl::NotFoundError("nothing"));
  EXPECT_EQ(Run(future.Get()), absl::NotFoundError("nothing"));
}

TEST_F(PromiseTest, ACallThatIsStoppedLeavesTheValueToTheNext) {
  auto [promise, future] = MakePromise<std::string>();
  EXPECT_EQ(RunBriefly(future.Get()).status(), DeadlineExceededStatus());
  auto getting = Start(GetFrom(&future));
  getting->Cancel();
  EXPECT_EQ(Wait(getting).status(), CancelledStatus());
  promise.Set("kept");
  EXPECT_THAT(Run(future.Get()), IsOkAndHolds("kept"));
}

TEST_F(PromiseTest, AValueThatWasGivenBeforeTheStopIsNotLost) {
  auto [promise, future] = MakePromise<std::string>();
  auto getting = Start(GetFrom(&future));
  promise.Set("given");
  getting->Cancel();
  EXPECT_THAT(Wait(getting), IsOkAndHolds("given"));
}

TEST_F(PromiseTest, APromiseThatGoesWithoutAValueSaysSo) {
  auto [promise, future] = MakePromise<std::string>();
  auto getting = Start(GetFrom(&future));
  std::optional<Promise<std::string>> moved = std::move(promise);
  Settle();
  EXPECT_FALSE(getting->done());  // A promise that was moved from says nothing.
  moved.reset();
  EXPECT_EQ(Wait(getting).status().code(), Code::kAborted);
  EXPECT_TRUE(future.ready());
  EXPECT_EQ(Run(future.Get()).status().code(), Code::kAborted);
}

TEST_F(PromiseTest, AnotherPromiseInItsPlaceBreaksTheFirst) {
  auto [first, first_future] = MakePromise<int>();
  auto [second, second_future] = MakePromise<int>();
  first = std::move(second);
  EXPECT_EQ(Run(first_future.Get()).status().code(), Code::kAborted);
  first.Set(2);
  EXPECT_THAT(Run(second_future.Get()), IsOkAndHolds(2));
}

TEST_F(PromiseTest, EitherMayGoFirst) {
  std::optional<Promise<std::string>> kept;
  {
    auto [promise, future] = MakePromise<std::string>();
    kept = std::move(promise);
  }
  kept->Set("for nobody");
  std::optional<Future<std::string>> left;
  {
    auto [promise, future] = MakePromise<std::string>();
    promise.Set("left");
    left = std::move(future);
  }
  EXPECT_THAT(Run(left->Get()), IsOkAndHolds("left"));
}

TEST(PromiseDeathTest, MisuseIsNamed) {
  EXPECT_DEATH(
      {
        testing::WorldLoop loop;
        auto pair = MakePromise<int>();
        Future<int> moved = std::move(pair.second);
        (void)pair.second.ready();
      },
      "a moved-from Future is used");
  EXPECT_DEATH(
      {
        testing::WorldLoop loop;
        auto pair = MakePromise<int>();
        pair.first.Set(1);
        pair.first.Set(2);
      },
      "a promise was set twice");
  EXPECT_DEATH(
      {
        testing::WorldLoop loop;
        auto pair = MakePromise<int>();
        pair.first.Set(1);
        EXPECT_OK(loop.Run(GetFrom(&pair.second)).status());
        EXPECT_OK(loop.Run(GetFrom(&pair.second)).status());
      },
      "the value of a future was taken before");
  EXPECT_DEATH(
      {
        testing::WorldLoop loop;
        auto pair = MakePromise<int>();
        auto first = loop.Start(GetFrom(&pair.second));
        auto second = loop.Start(GetFrom(&pair.second));
        EXPECT_OK(loop.Run(Yield()));
        EXPECT_OK(loop.Run(Yield()));
      },
      "two calls wait for one future");
  EXPECT_DEATH(
      {
        testing::WorldLoop loop;
        auto pair = MakePromise<int>();
        const Promise<int> moved = std::move(pair.first);
        pair.first.Set(1);
      },
      "a moved-from Promise is used");
}

}  // namespace
}  // namespace tandem
