// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/mutex.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/sync/sync_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

class MutexTest : public SyncTest {
 protected:
  // Notes its number while it has the lock.
  static Task<absl::Status> LockAndNote(Mutex* mutex, int number, std::vector<int>* notes) {
    absl::StatusOr<Mutex::Guard> guard = co_await mutex->Lock();
    if (!guard.ok()) co_return guard.status();
    notes->push_back(number);
    absl::Status status = co_await Yield();
    EXPECT_EQ(notes->back(), number);  // Nobody came between.
    co_return status;
  }
};

TEST_F(MutexTest, GuardHoldsTheLock) {
  Mutex mutex;
  {
    auto guard = Run(mutex.Lock());
    ASSERT_OK(guard.status());
    EXPECT_TRUE(mutex.locked());
    EXPECT_EQ(mutex.TryLock(), std::nullopt);
  }
  EXPECT_FALSE(mutex.locked());
  EXPECT_TRUE(mutex.TryLock().has_value());
}

TEST_F(MutexTest, OneAtATimeInTheOrderOfAsking) {
  Mutex mutex;
  std::vector<int> notes;
  auto guard = mutex.TryLock();
  std::vector<Background<absl::Status>> tasks;
  tasks.reserve(5);
  for (int i = 0; i < 5; ++i) tasks.push_back(Start(LockAndNote(&mutex, i, &notes)));
  EXPECT_TRUE(notes.empty());
  guard.reset();
  for (auto& task : tasks) EXPECT_OK(Wait(task));
  EXPECT_EQ(notes, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST_F(MutexTest, NobodyOvertakesThoseThatWait) {
  Mutex mutex;
  std::vector<int> notes;
  auto guard = mutex.TryLock();
  auto waiting = Start(LockAndNote(&mutex, 1, &notes));
  guard.reset();
  EXPECT_EQ(mutex.TryLock(), std::nullopt);  // It is the other's already, who has not run yet.
  EXPECT_OK(Wait(waiting));
}

TEST_F(MutexTest, ALockThatIsStoppedLeavesTheLine) {
  Mutex mutex;
  auto guard = mutex.TryLock();
  EXPECT_EQ(RunBriefly(mutex.Lock()).status(), DeadlineExceededStatus());
  guard->Unlock();
  EXPECT_FALSE(mutex.locked());
}

TEST_F(MutexTest, ALockHandedOverBeatsTheCancellationAndIsGivenBack) {
  Mutex mutex;
  std::vector<int> notes;
  auto guard = mutex.TryLock();
  auto first = Start(LockAndNote(&mutex, 1, &notes));
  auto second = Start(LockAndNote(&mutex, 2, &notes));
  guard.reset();
  first->Cancel();
  EXPECT_EQ(Wait(first), CancelledStatus());  // That of its Yield().
  EXPECT_OK(Wait(second));
  EXPECT_EQ(notes, (std::vector<int>{1, 2}));
}

TEST_F(MutexTest, MovingAGuardMovesTheLock) {
  Mutex left;
  Mutex right;
  Mutex::Guard guard = *left.TryLock();
  Mutex::Guard other = *right.TryLock();
  guard = std::move(other);
  EXPECT_FALSE(left.locked());
  EXPECT_TRUE(right.locked());
  guard.Unlock();
  guard.Unlock();
  EXPECT_FALSE(right.locked());
}

TEST(MutexDeathTest, DestroyingALockedMutexIsABug) {
  auto mutex = std::make_unique<Mutex>();
  auto guard = mutex->TryLock();
  EXPECT_DEATH(mutex.reset(), "a mutex was destroyed while it was locked");
}

}  // namespace
}  // namespace tandem
