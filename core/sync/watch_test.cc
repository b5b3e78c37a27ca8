// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/watch.h"

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/sync/sync_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

using testing::IsOkAndHolds;
using Words = Watch<std::string>;

class WatchTest : public SyncTest {
 protected:
  static Task<absl::StatusOr<std::string>> Next(Words::Observer* observer) {
    absl::StatusOr<std::string> value = co_await observer->Next();
    co_return value;
  }
};

TEST_F(WatchTest, AnObserverSeesTheCurrentValueAtOnceAndThenEachChange) {
  Words words("one");
  Words::Observer observer = words.Observe();
  EXPECT_TRUE(observer.changed());
  EXPECT_THAT(Run(observer.Next()), IsOkAndHolds("one"));
  EXPECT_FALSE(observer.changed());
  auto next = Start(Next(&observer));
  EXPECT_FALSE(next->done());
  words.Set("two");
  EXPECT_EQ(words.value(), "two");
  EXPECT_THAT(Wait(next), IsOkAndHolds("two"));
}

TEST_F(WatchTest, TheLatestValueIsSeenAndNoneTwice) {
  Words words("one");
  Words::Observer observer = words.Observe();
  words.Set("two");
  words.Set("three");
  EXPECT_EQ(observer.value(), "three");
  EXPECT_THAT(Run(observer.Next()), IsOkAndHolds("three"));
  auto next = Start(Next(&observer));
  words.Set("four");
  words.Set("five");  // Before the call goes on.
  EXPECT_THAT(Wait(next), IsOkAndHolds("five"));
  EXPECT_EQ(RunBriefly(observer.Next()).status(), DeadlineExceededStatus());
}

TEST_F(WatchTest, AnEqualValueIsAChange) {
  Words words("one");
  Words::Observer observer = words.Observe();
  EXPECT_THAT(Run(observer.Next()), IsOkAndHolds("one"));
  words.Set("one");
  EXPECT_THAT(Run(observer.Next()), IsOkAndHolds("one"));
}

TEST_F(WatchTest, EachObserverSeesForItself) {
  Words words("one");
  Words::Observer first = words.Observe();
  EXPECT_THAT(Run(first.Next()), IsOkAndHolds("one"));
  Words::Observer copy = first;  // Has seen as much.
  Words::Observer second = words.Observe();
  EXPECT_FALSE(copy.changed());
  EXPECT_TRUE(second.changed());
  auto one = Start(Next(&first));
  auto two = Start(Next(&copy));
  words.Set("two");
  EXPECT_THAT(Wait(one), IsOkAndHolds("two"));
  EXPECT_THAT(Wait(two), IsOkAndHolds("two"));
  EXPECT_THAT(Run(second.Next()), IsOkAndHolds("two"));
}

TEST_F(WatchTest, ACallThatIsStoppedHasSeenNothing) {
  Words words("one");
  Words::Observer observer = words.Observe();
  EXPECT_THAT(Run(observer.Next()), IsOkAndHolds("one"));
  auto next = Start(Next(&observer));
  next->Cancel();
  EXPECT_EQ(Wait(next).status(), CancelledStatus());
  words.Set("two");
  EXPECT_THAT(Run(observer.Next()), IsOkAndHolds("two"));
}

TEST_F(WatchTest, CallsOfOneObserverThatWaitTogetherSeeTheSameChange) {
  Words words("one");
  Words::Observer observer = words.Observe();
  EXPECT_THAT(Run(observer.Next()), IsOkAndHolds("one"));
  auto first = Start(Next(&observer));
  auto second = Start(Next(&observer));
  words.Set("two");
  EXPECT_THAT(Wait(first), IsOkAndHolds("two"));
  EXPECT_THAT(Wait(second), IsOkAndHolds("two"));
  EXPECT_EQ(RunBriefly(observer.Next()).status(), DeadlineExceededStatus());
}

TEST_F(WatchTest, AWatchThatIsGoneEndsItsObserversAfterTheLastValue) {
  auto words = std::make_unique<Words>("one");
  Words::Observer late = words->Observe();
  Words::Observer observer = words->Observe();
  EXPECT_THAT(Run(observer.Next()), IsOkAndHolds("one"));
  auto next = Start(Next(&observer));
  words.reset();
  EXPECT_EQ(Wait(next).status().code(), Code::kOutOfRange);
  EXPECT_THAT(Run(late.Next()), IsOkAndHolds("one"));
  EXPECT_EQ(Run(late.Next()).status().code(), Code::kOutOfRange);
  EXPECT_EQ(late.value(), "one");
}

TEST_F(WatchTest, CloseEndsTheWaiting) {
  Words words("one");
  Words::Observer observer = words.Observe();
  EXPECT_THAT(Run(observer.Next()), IsOkAndHolds("one"));
  auto next = Start(Next(&observer));
  words.Close();
  words.Close();
  EXPECT_TRUE(words.closed());
  EXPECT_EQ(Wait(next).status().code(), Code::kOutOfRange);
}

TEST(WatchDeathTest, AChangeAfterCloseIsABug) {
  EXPECT_DEATH(
      {
        testing::WorldLoop loop;
        Words words("one");
        words.Close();
        words.Set("two");
      },
      "a watch was set after it was closed");
}

}  // namespace
}  // namespace tandem
