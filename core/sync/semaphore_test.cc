// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/semaphore.h"

#include <limits>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/sync/sync_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

class SemaphoreTest : public SyncTest {
 protected:
  static Task<absl::Status> Take(Semaphore* semaphore, size_t count) {
    absl::StatusOr<Semaphore::Guard> guard = co_await semaphore->Acquire(count);
    if (guard.ok()) guard->Keep();
    co_return guard.status();
  }
};

TEST_F(SemaphoreTest, GuardGivesThePermitsBack) {
  Semaphore semaphore(3);
  {
    auto guard = Run(semaphore.Acquire(2));
    ASSERT_OK(guard.status());
    EXPECT_EQ(semaphore.available(), 1u);
    EXPECT_EQ(semaphore.TryAcquire(2), std::nullopt);
  }
  EXPECT_EQ(semaphore.available(), 3u);
}

TEST_F(SemaphoreTest, KeptPermitsComeBackByRelease) {
  Semaphore semaphore(1);
  EXPECT_OK(Run(Take(&semaphore, 1)));
  EXPECT_EQ(semaphore.available(), 0u);
  semaphore.Release();
  EXPECT_EQ(semaphore.available(), 1u);
}

TEST_F(SemaphoreTest, WhoeverWantsManyIsNotOvertaken) {
  Semaphore semaphore(0);
  auto many = Start(Take(&semaphore, 3));
  auto few = Start(Take(&semaphore, 1));
  semaphore.Release(2);
  Settle();
  EXPECT_FALSE(many->done());
  EXPECT_FALSE(few->done());
  EXPECT_EQ(semaphore.TryAcquire(1), std::nullopt);

  semaphore.Release(2);
  EXPECT_OK(Wait(many));
  EXPECT_OK(Wait(few));
  EXPECT_EQ(semaphore.available(), 0u);
}

TEST_F(SemaphoreTest, WhoeverIsStoppedLetsThoseBehindPass) {
  Semaphore semaphore(1);
  auto many = Start(Take(&semaphore, 2));
  auto few = Start(Take(&semaphore, 1));
  many->Cancel();
  EXPECT_EQ(Wait(many), CancelledStatus());
  EXPECT_OK(Wait(few));
}

TEST_F(SemaphoreTest, AnAcquireThatIsStoppedTakesNothing) {
  Semaphore semaphore(1);
  EXPECT_EQ(RunBriefly(semaphore.Acquire(2)).status(), DeadlineExceededStatus());
  EXPECT_EQ(semaphore.available(), 1u);
}

TEST_F(SemaphoreTest, OneReleaseServesSeveral) {
  Semaphore semaphore(0);
  auto first = Start(Take(&semaphore, 1));
  auto second = Start(Take(&semaphore, 2));
  semaphore.Release(3);
  EXPECT_OK(Wait(first));
  EXPECT_OK(Wait(second));
}

TEST_F(SemaphoreTest, GuardsMove) {
  Semaphore semaphore(5);
  Semaphore::Guard guard = *semaphore.TryAcquire(2);
  guard = *semaphore.TryAcquire(1);
  EXPECT_EQ(semaphore.available(), 4u);
  guard.Release();
  guard.Release();
  EXPECT_EQ(semaphore.available(), 5u);
}

TEST(SemaphoreDeathTest, TooManyPermitsAreABug) {
  Semaphore semaphore(std::numeric_limits<size_t>::max());
  EXPECT_DEATH(semaphore.Release(), "too many permits");
}

}  // namespace
}  // namespace tandem
