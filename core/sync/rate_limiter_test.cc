// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/rate_limiter.h"

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/sync/sync_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

class RateLimiterTest : public SyncTest {
 protected:
  static Task<absl::Status> Take(RateLimiter* limiter, uint64_t count) { co_return co_await limiter->Acquire(count); }
};

TEST_F(RateLimiterTest, ABurstIsThereAtTheStart) {
  RateLimiter limiter(1, absl::Hours(1), 3);
  EXPECT_OK(Run(limiter.Acquire(2)));
  EXPECT_TRUE(limiter.TryAcquire());
  EXPECT_FALSE(limiter.TryAcquire());
  EXPECT_EQ(limiter.available(), 0u);
}

TEST_F(RateLimiterTest, IsNeverFasterThanItsRate) {
  constexpr absl::Duration kPeriod = absl::Milliseconds(1);
  RateLimiter limiter(1, kPeriod, 2);
  const Instant start = loop_.shard().now();
  for (int i = 0; i < 10; ++i) EXPECT_OK(Run(limiter.Acquire()));
  EXPECT_GE(loop_.shard().now() - start, 8 * kPeriod);
}

TEST_F(RateLimiterTest, MoreThanTheBurstIsAnInvalidArgument) {
  RateLimiter limiter(1000, absl::Seconds(1), 3);
  EXPECT_EQ(Run(limiter.Acquire(4)).code(), Code::kInvalidArgument);
  EXPECT_FALSE(limiter.TryAcquire(4));
  EXPECT_OK(Run(limiter.Acquire(3)));
}

TEST_F(RateLimiterTest, WhoeverWantsManyIsNotOvertaken) {
  RateLimiter limiter(1, absl::Milliseconds(2), 3);
  EXPECT_TRUE(limiter.TryAcquire(3));
  auto many = Start(Take(&limiter, 3));
  auto few = Start(Take(&limiter, 1));
  EXPECT_OK(Wait(few));
  EXPECT_TRUE(many->done());
  EXPECT_OK(Wait(many));
}

TEST_F(RateLimiterTest, WhoeverIsStoppedTakesNothingAndLetsThoseBehindPass) {
  RateLimiter limiter(1, absl::Hours(1), 3);
  EXPECT_TRUE(limiter.TryAcquire(2));
  auto many = Start(Take(&limiter, 3));
  auto few = Start(Take(&limiter, 1));
  EXPECT_FALSE(few->done());
  many->Cancel();
  EXPECT_EQ(Wait(many), CancelledStatus());
  EXPECT_OK(Wait(few));
  EXPECT_EQ(limiter.available(), 0u);
}

TEST_F(RateLimiterTest, ADeadlinePassesWithoutATimerLeft) {
  RateLimiter limiter(1, absl::Hours(1), 1);
  EXPECT_TRUE(limiter.TryAcquire());
  EXPECT_EQ(RunBriefly(limiter.Acquire()), DeadlineExceededStatus());
  EXPECT_EQ(loop_.shard().timers().size(), 0u);
}

TEST(RateLimiterDeathTest, ALimiterThatLetsNothingThroughIsABug) {
  EXPECT_DEATH(
      {
        testing::WorldLoop loop;
        RateLimiter(1, absl::Seconds(1), 0);
      },
      "lets nothing through");
}

}  // namespace
}  // namespace tandem
