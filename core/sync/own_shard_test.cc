// SPDX-License-Identifier: Apache-2.0
//
// Every object of this package on another shard than its own.

#include "tandem/core/sync/own_shard.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"
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

struct All {
  Barrier barrier{1};
  Channel<int> channel{1};
  Condition condition;
  Event event;
  Mutex mutex;
  RateLimiter limiter{1, absl::Seconds(1), 1};
  Semaphore semaphore{1};
  SharedMutex shared_mutex;
  Ticker ticker{absl::Seconds(1), Instant::FromNanoseconds(0)};
  WaitGroup group;
  Watch<int> watch{0};
  std::pair<Promise<int>, Future<int>> promise = MakePromise<int>();
  std::optional<Mutex::Guard> guard;
  std::optional<Semaphore::Guard> permit;
  std::optional<SharedMutex::Guard> shared_guard;
};

// Makes the objects this shard's.
Task<void> UseAll(All* all) {
  static_cast<void>(co_await all->barrier.Arrive());
  static_cast<void>(all->channel.TryReceive());
  all->condition.Notify();
  all->event.Reset();
  all->guard = all->mutex.TryLock();
  static_cast<void>(all->limiter.TryAcquire());
  all->permit = all->semaphore.TryAcquire();
  all->shared_guard = all->shared_mutex.TryLock();
  static_cast<void>(co_await all->ticker.Next());
  all->group.Add();
  all->watch.Set(1);
  static_cast<void>(co_await all->promise.second.Get().By(Now() + absl::Seconds(1)));
}

template <typename Use>
struct Misuse {
  std::string object;
  Use use;
};
using Call = Misuse<std::function<void(All&)>>;
using Await = Misuse<std::function<Task<void>(All*)>>;

template <typename Start>
void OnTheWrongShard(const std::string& object, Start start) {
  EXPECT_DEATH(
      {
        All all;
        FakeShard first;
        first.shard().set_name("first");
        first.Start(UseAll(&all));
        EXPECT_TRUE(first.RunUntilEnd());
        FakeShard second;
        second.shard().set_name("second");
        start(second, all);
      },
      absl::StrCat("the ", object, " of shard \"first\" is used on shard \"second\""));
}

TEST(OwnShardDeathTest, ACallOnAnotherShardNamesBoth) {
  const std::vector<Call> calls = {
      {"channel", [](All& all) { static_cast<void>(all.channel.TrySend(1)); }},
      {"channel", [](All& all) { static_cast<void>(all.channel.TryReceive()); }},
      {"channel", [](All& all) { all.channel.Close(); }},
      {"condition", [](All& all) { all.condition.Notify(); }},
      {"event", [](All& all) { all.event.Set(); }},
      {"event", [](All& all) { all.event.Reset(); }},
      {"mutex", [](All& all) { static_cast<void>(all.mutex.TryLock()); }},
      {"mutex", [](All& all) { all.guard->Unlock(); }},
      {"rate limiter", [](All& all) { static_cast<void>(all.limiter.TryAcquire()); }},
      {"semaphore", [](All& all) { static_cast<void>(all.semaphore.TryAcquire()); }},
      {"semaphore", [](All& all) { all.semaphore.Release(); }},
      {"semaphore", [](All& all) { all.permit.reset(); }},
      {"shared mutex", [](All& all) { static_cast<void>(all.shared_mutex.TryLockShared()); }},
      {"shared mutex", [](All& all) { all.shared_guard.reset(); }},
      {"wait group", [](All& all) { all.group.Add(); }},
      {"wait group", [](All& all) { all.group.Done(); }},
      {"watch", [](All& all) { all.watch.Set(2); }},
      {"watch", [](All& all) { all.watch.Close(); }},
      {"promise", [](All& all) { all.promise.first.Set(1); }},
  };
  for (const Call& call : calls) {
    OnTheWrongShard(call.object, [&](FakeShard&, All& all) { call.use(all); });
  }
}

TEST(OwnShardDeathTest, AnAwaitOnAnotherShardNamesBoth) {
  const std::vector<Await> awaits = {
      {"barrier", [](All* all) -> Task<void> { static_cast<void>(co_await all->barrier.Arrive()); }},
      {"channel", [](All* all) -> Task<void> { static_cast<void>(co_await all->channel.Receive()); }},
      {"channel",
       [](All* all) -> Task<void> {
         int item = 1;
         static_cast<void>(co_await all->channel.Send(std::move(item)));
       }},
      {"condition",
       [](All* all) -> Task<void> {
         const auto never = [] { return false; };
         static_cast<void>(co_await all->condition.Wait(never));
       }},
      {"event", [](All* all) -> Task<void> { static_cast<void>(co_await all->event.Wait()); }},
      {"mutex", [](All* all) -> Task<void> { static_cast<void>(co_await all->mutex.Lock()); }},
      {"rate limiter", [](All* all) -> Task<void> { static_cast<void>(co_await all->limiter.Acquire()); }},
      {"semaphore", [](All* all) -> Task<void> { static_cast<void>(co_await all->semaphore.Acquire()); }},
      {"shared mutex", [](All* all) -> Task<void> { static_cast<void>(co_await all->shared_mutex.LockShared()); }},
      {"ticker", [](All* all) -> Task<void> { static_cast<void>(co_await all->ticker.Next()); }},
      {"wait group", [](All* all) -> Task<void> { static_cast<void>(co_await all->group.Wait()); }},
      {"promise", [](All* all) -> Task<void> { static_cast<void>(co_await all->promise.second.Get()); }},
      {"watch",
       [](All* all) -> Task<void> {
         Watch<int>::Observer observer = all->watch.Observe();
         static_cast<void>(co_await observer.Next());
       }},
  };
  for (const Await& await : awaits) {
    OnTheWrongShard(await.object, [&](FakeShard& second, All& all) {
      second.Start(await.use(&all));
      second.RunUntilEnd();
    });
  }
}

TEST(OwnShardDeathTest, AThreadWithoutAShardIsNamed) {
  EXPECT_DEATH(
      {
        Event event;
        FakeShard shard;
        event.Set();
        std::thread([&] { event.Set(); }).join();
      },
      "the event of shard \"main\" is used on a thread without a shard");
}

// Where nothing runs at the same time: before the shard, and after it on its thread.
TEST(OwnShardTest, BeforeAndAfterTheShardAnObjectMayBeUsed) {
  Channel<int> channel(2);
  EXPECT_TRUE(channel.TrySend(1));
  {
    FakeShard shard;
    shard.Run([](Channel<int>* channel) -> Task<void> { static_cast<void>(co_await channel->Receive()); }(&channel));
    EXPECT_TRUE(channel.TrySend(2));
  }
  EXPECT_EQ(channel.TryReceive(), 2);
}

}  // namespace
}  // namespace tandem
