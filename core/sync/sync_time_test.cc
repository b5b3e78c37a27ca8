// SPDX-License-Identifier: Apache-2.0
//
// Ticker and RateLimiter to the nanosecond, on a clock that jumps; and a simulated crash, which destroys what waits and
// what is waited for in an order that neither can choose.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/random.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/core/sync/barrier.h"
#include "tandem/core/sync/channel.h"
#include "tandem/core/sync/condition.h"
#include "tandem/core/sync/event.h"
#include "tandem/core/sync/mutex.h"
#include "tandem/core/sync/promise.h"
#include "tandem/core/sync/rate_limiter.h"
#include "tandem/core/sync/semaphore.h"
#include "tandem/core/sync/shared_mutex.h"
#include "tandem/core/sync/ticker.h"
#include "tandem/core/sync/wait_group.h"
#include "tandem/core/sync/watch.h"

namespace tandem {
namespace {

TEST(TickerTimeTest, DoesNotDrift) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const Instant start = Now();
    Ticker ticker(absl::Nanoseconds(1001));
    for (int i = 1; i <= 1000; ++i) {
      absl::StatusOr<Instant> tick = co_await ticker.Next();
      EXPECT_EQ(*tick, start + absl::Nanoseconds(1001 * i));
      EXPECT_EQ(Now(), *tick);
      (void)co_await Sleep(absl::Nanoseconds(i % 1001));  // Work that takes less than a period.
    }
  }());
}

TEST(TickerTimeTest, TheLatestOfTheTicksThatPassedIsTaken) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const Instant start = Now();
    Ticker ticker(absl::Seconds(1));
    (void)co_await Sleep(absl::Milliseconds(4500));
    absl::StatusOr<Instant> tick = co_await ticker.Next();
    EXPECT_EQ(*tick, start + absl::Seconds(4));
    tick = co_await ticker.Next();
    EXPECT_EQ(*tick, start + absl::Seconds(5));
  }());
}

TEST(TickerTimeTest, ATickAtTheDeadlineIsTakenOnce) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const Instant start = Now();
    Ticker ticker(absl::Seconds(1));
    absl::StatusOr<Instant> tick = co_await ticker.Next().By(start + absl::Seconds(1));
    if (!tick.ok()) tick = co_await ticker.Next();
    EXPECT_EQ(*tick, start + absl::Seconds(1));
    tick = co_await ticker.Next();
    EXPECT_EQ(*tick, start + absl::Seconds(2));
  }());
}

TEST(RateLimiterTimeTest, TokensComeExactlyWhenTheyAreDue) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    // A token every 333,333,333 1/3 ns.
    RateLimiter limiter(3, absl::Seconds(1), 1);
    (void)co_await limiter.Acquire();
    const Instant start = Now();
    for (int64_t i = 1; i <= 3000; ++i) {
      (void)co_await limiter.Acquire();
      EXPECT_EQ(Now() - start, absl::Nanoseconds((i * 1'000'000'000 + 2) / 3));
    }
  }());
}

TEST(RateLimiterTimeTest, APauseFillsTheBucketUpToTheBurst) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    RateLimiter limiter(10, absl::Seconds(1), 5);
    (void)co_await limiter.Acquire(5);
    (void)co_await Sleep(absl::Milliseconds(250));
    EXPECT_EQ(limiter.available(), 2u);
    (void)co_await Sleep(absl::Hours(24 * 365));
    EXPECT_EQ(limiter.available(), 5u);
  }());
}

TEST(RateLimiterTimeTest, TheLargestNumbersDoNotOverflow) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    RateLimiter fast(~uint64_t{0}, absl::Nanoseconds(1), ~uint64_t{0});
    EXPECT_TRUE(fast.TryAcquire(~uint64_t{0}));
    RateLimiter slow(1, absl::Nanoseconds(INT64_MAX), ~uint64_t{0});
    EXPECT_TRUE(slow.TryAcquire(~uint64_t{0}));
    absl::Status status = co_await slow.Acquire(~uint64_t{0}).By(Now() + absl::Hours(1));
    EXPECT_TRUE(absl::IsDeadlineExceeded(status));
    status = co_await fast.Acquire(~uint64_t{0});
    EXPECT_TRUE(status.ok());
  }());
}

Task<void> AcquireOne(RateLimiter* limiter, uint64_t count, std::vector<uint64_t>* order) {
  absl::Status status = co_await limiter->Acquire(count);
  if (status.ok()) order->push_back(count);
}

// The alarm of the first is due in this turn, and has not fired yet when the last one asks.
TEST(RateLimiterTimeTest, WhoeverAsksWhenAnAlarmIsDueStillComesAfter) {
  FakeShard shard;
  std::vector<uint64_t> order;
  shard.Run([](std::vector<uint64_t>* order) -> Task<void> {
    RateLimiter limiter(1, absl::Seconds(1), 3);
    (void)co_await limiter.Acquire(3);
    Spawn(&AcquireOne, &limiter, uint64_t{2}, order);
    absl::Status slept = co_await Sleep(absl::Seconds(3));
    EXPECT_TRUE(slept.ok());
    Spawn(&AcquireOne, &limiter, uint64_t{3}, order);
    slept = co_await Sleep(absl::Seconds(2));
    Spawn(&AcquireOne, &limiter, uint64_t{1}, order);
    slept = co_await Sleep(absl::Seconds(10));
  }(&order));
  EXPECT_EQ(order, (std::vector<uint64_t>{2, 3, 1}));
}

// --- A crash ---

// One of each, in one frame.
struct Everything {
  Channel<std::string> empty{1};
  Channel<std::string> full{1};
  Mutex mutex;
  Semaphore semaphore{1};
  Event event;
  WaitGroup group;
  Ticker ticker{absl::Hours(1)};
  RateLimiter limiter{1, absl::Hours(1), 1};
  Barrier barrier{100};
  Condition condition;
  SharedMutex shared_mutex;
  Watch<int> watch{0};
};

Task<void> Own(Everything** place) {
  Everything everything;
  std::string item = "item";
  (void)everything.full.TrySend(std::move(item));
  everything.group.Add();
  (void)everything.limiter.TryAcquire();
  *place = &everything;
  (void)co_await Sleep(absl::Hours(10));
}

Task<void> Hold(Everything** place) {
  while (*place == nullptr) (void)co_await Yield();
  absl::StatusOr<Mutex::Guard> lock = co_await (*place)->mutex.Lock();
  absl::StatusOr<Semaphore::Guard> permit = co_await (*place)->semaphore.Acquire();
  absl::StatusOr<SharedMutex::Guard> shared = co_await (*place)->shared_mutex.LockShared();
  (void)co_await Sleep(absl::Hours(10));
}

Task<void> WaitForAll(Everything** place) {
  while (*place == nullptr) (void)co_await Yield();
  Everything& all = **place;
  std::string item = "item";
  (void)co_await WhenAll(all.empty.Receive(), all.full.Send(std::move(item)), all.mutex.Lock(), all.semaphore.Acquire(),
                         all.event.Wait(), all.group.Wait(), all.limiter.Acquire());
}

Task<void> WaitForMore(Everything** place) {
  while (*place == nullptr) (void)co_await Yield();
  Everything& all = **place;
  auto [promise, future] = MakePromise<int>();
  Watch<int>::Observer observer = all.watch.Observe();
  (void)co_await observer.Next();
  const auto never = [] { return false; };
  (void)co_await WhenAll(all.barrier.Arrive(), all.condition.Wait(never), all.shared_mutex.Lock(),
                         all.shared_mutex.LockShared(), observer.Next(), future.Get());
}

Task<void> WaitForTick(Everything** place) {
  while (*place == nullptr) (void)co_await Yield();
  (void)co_await (*place)->ticker.Next();
}

void CrashWith(bool owner_first) {
  FakeShard shard;
  Everything* everything = nullptr;
  shard.Start([]() -> Task<void> { co_return; }());
  if (owner_first) Spawn(&Own, &everything);
  Spawn(&Hold, &everything);
  Spawn(&WaitForAll, &everything);
  Spawn(&WaitForAll, &everything);
  Spawn(&WaitForTick, &everything);
  Spawn(&WaitForMore, &everything);
  if (!owner_first) Spawn(&Own, &everything);
  for (int i = 0; i < 20; ++i) (void)shard.shard().Turn(Instant::InfinitePast());

  shard.shard().Die();
  shard.shard().Abandon();

  EXPECT_EQ(shard.shard().task_count(), 0u);
}

TEST(SyncCrashTest, WhatIsWaitedForMayDieLast) { CrashWith(/*owner_first=*/true); }
TEST(SyncCrashTest, WhatIsWaitedForMayDieFirst) { CrashWith(/*owner_first=*/false); }

}  // namespace
}  // namespace tandem
