// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/ticker.h"

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/sync/sync_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

constexpr absl::Duration kPeriod = absl::Milliseconds(2);

class TickerTest : public SyncTest {
 protected:
  static Task<absl::StatusOr<Instant>> Next(Ticker* ticker) {
    absl::StatusOr<Instant> tick = co_await ticker->Next();
    co_return tick;
  }
};

TEST_F(TickerTest, TicksAreOnTheGridAndNeverEarly) {
  const Instant start = loop_.shard().now();
  Ticker ticker(kPeriod, start + kPeriod);
  Instant last = start;
  for (int i = 0; i < 5; ++i) {
    auto tick = Run(ticker.Next());
    ASSERT_OK(tick.status());
    EXPECT_GT(*tick, last);
    EXPECT_LE(*tick, loop_.shard().now());
    EXPECT_EQ((*tick - start) % kPeriod, absl::ZeroDuration());
    last = *tick;
  }
}

TEST_F(TickerTest, TicksThatPassedAreOne) {
  const Instant start = loop_.shard().now();
  Ticker ticker(kPeriod, start + kPeriod);
  EXPECT_OK(Run(Sleep(10 * kPeriod)));
  auto late = Run(ticker.Next());
  ASSERT_OK(late.status());
  EXPECT_GE(*late, start + 10 * kPeriod);

  auto next = Run(ticker.Next());
  ASSERT_OK(next.status());
  EXPECT_GT(*next, *late);
}

TEST_F(TickerTest, ACallThatIsStoppedTakesNoTick) {
  const Instant first = loop_.shard().now() + absl::Milliseconds(20);
  Ticker ticker(absl::Hours(1), first);
  EXPECT_EQ(Run(ticker.Next().By(first - absl::Milliseconds(19))).status(), DeadlineExceededStatus());
  EXPECT_THAT(Run(ticker.Next()), testing::IsOkAndHolds(first));
}

TEST_F(TickerTest, ACancelledCallEnds) {
  Ticker ticker(absl::Hours(1), loop_.shard().now() + absl::Hours(1));
  auto waiting = Start(Next(&ticker));
  waiting->Cancel();
  EXPECT_EQ(Wait(waiting).status(), CancelledStatus());
  EXPECT_EQ(loop_.shard().timers().size(), 0u);
}

TEST(TickerDeathTest, APeriodOfZeroIsABug) {
  EXPECT_DEATH(Ticker(absl::ZeroDuration(), Instant()), "a period of at least a nanosecond");
}

}  // namespace
}  // namespace tandem
