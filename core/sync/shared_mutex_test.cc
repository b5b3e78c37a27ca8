// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/shared_mutex.h"

#include <memory>
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

using Guard = SharedMutex::Guard;

class SharedMutexTest : public SyncTest {
 protected:
  static Task<absl::StatusOr<Guard>> Lock(SharedMutex* mutex) {
    absl::StatusOr<Guard> guard = co_await mutex->Lock();
    co_return guard;
  }
  static Task<absl::StatusOr<Guard>> LockShared(SharedMutex* mutex) {
    absl::StatusOr<Guard> guard = co_await mutex->LockShared();
    co_return guard;
  }
};

TEST_F(SharedMutexTest, ReadersShareItAndAWriterHasItAlone) {
  SharedMutex mutex;
  std::optional<Guard> first = mutex.TryLockShared();
  std::optional<Guard> second = mutex.TryLockShared();
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_EQ(mutex.readers(), 2u);
  EXPECT_EQ(mutex.TryLock(), std::nullopt);
  first->Unlock();
  first->Unlock();
  EXPECT_EQ(mutex.readers(), 1u);
  second.reset();
  EXPECT_FALSE(mutex.locked());

  std::optional<Guard> writer = mutex.TryLock();
  ASSERT_TRUE(writer.has_value());
  EXPECT_TRUE(mutex.locked());
  EXPECT_EQ(mutex.TryLock(), std::nullopt);
  EXPECT_EQ(mutex.TryLockShared(), std::nullopt);
}

TEST_F(SharedMutexTest, FirstComeFirstServed) {
  SharedMutex mutex;
  auto reading = Start(LockShared(&mutex));
  auto writer = Start(Lock(&mutex));
  auto late_one = Start(LockShared(&mutex));
  auto late_two = Start(LockShared(&mutex));
  auto last_writer = Start(Lock(&mutex));
  EXPECT_TRUE(reading->done());
  EXPECT_FALSE(writer->done() || late_one->done() || late_two->done());  // The writer is not overtaken.
  EXPECT_EQ(mutex.TryLockShared(), std::nullopt);

  Wait(reading)->Unlock();
  absl::StatusOr<Guard> writing = Wait(writer);
  ASSERT_OK(writing.status());
  Settle();
  EXPECT_FALSE(late_one->done() || late_two->done());

  writing->Unlock();
  absl::StatusOr<Guard> one = Wait(late_one);
  absl::StatusOr<Guard> two = Wait(late_two);
  EXPECT_EQ(mutex.readers(), 2u);
  Settle();
  EXPECT_FALSE(last_writer->done());
  one->Unlock();
  Settle();
  EXPECT_FALSE(last_writer->done());
  *two = *std::move(one);  // Gives back what it had.
  EXPECT_OK(Wait(last_writer).status());
}

TEST_F(SharedMutexTest, AWriterThatIsStoppedLetsTheReadersBehindItGoOn) {
  SharedMutex mutex;
  std::optional<Guard> reading = mutex.TryLockShared();
  auto writer = Start(Lock(&mutex));
  auto reader = Start(LockShared(&mutex));
  EXPECT_FALSE(reader->done());
  writer->Cancel();
  EXPECT_EQ(Wait(writer).status(), CancelledStatus());
  EXPECT_OK(Wait(reader).status());
}

TEST_F(SharedMutexTest, ACallThatIsStoppedHasNothing) {
  SharedMutex mutex;
  std::optional<Guard> writing = mutex.TryLock();
  EXPECT_EQ(RunBriefly(mutex.Lock()).status(), DeadlineExceededStatus());
  EXPECT_EQ(RunBriefly(mutex.LockShared()).status(), DeadlineExceededStatus());
  writing.reset();
  EXPECT_FALSE(mutex.locked());
}

// It was handed over already when the stop came.
TEST_F(SharedMutexTest, ALockThatWasGrantedIsNotLostByAStop) {
  SharedMutex mutex;
  std::optional<Guard> writing = mutex.TryLock();
  auto reader = Start(LockShared(&mutex));
  writing.reset();
  reader->Cancel();
  EXPECT_OK(Wait(reader).status());
  EXPECT_FALSE(mutex.locked());
}

TEST(SharedMutexDeathTest, DestroyingALockedOneIsABug) {
  EXPECT_DEATH(
      {
        testing::WorldLoop loop;
        auto mutex = std::make_unique<SharedMutex>();
        const std::optional<Guard> guard = mutex->TryLockShared();
        mutex.reset();
      },
      "a shared mutex was destroyed while it was locked");
}

}  // namespace
}  // namespace tandem
