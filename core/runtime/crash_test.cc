// SPDX-License-Identifier: Apache-2.0
//
// A simulated crash destroys tasks wherever they are; and a shard goes on turning whatever its tasks do.

#include <csignal>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/net/connection_pool.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"
#include "tandem/core/runtime/host_local.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/core/runtime/signal_listener.h"

namespace tandem {
namespace {

void RunSomeTurns(FakeShard& shard) {
  for (int i = 0; i < 5; ++i) (void)shard.shard().Turn(Instant::InfinitePast());
}

void Crash(FakeShard& shard) {
  shard.shard().Die();
  shard.shard().Abandon();
  EXPECT_EQ(shard.shard().task_count(), 0u);
}

Task<absl::Status> SleepLong() { co_return co_await Sleep(absl::Hours(1)); }

// The Sleep operations are in the awaiting frame, and linked into a scope of a younger frame, which goes first.
TEST(CrashTest, LeavesInsideWhenAnyAreDestroyed) {
  FakeShard shard;
  shard.Start([]() -> Task<void> { (void)co_await WhenAny(Sleep(absl::Hours(1)), Sleep(absl::Hours(2))); }());
  RunSomeTurns(shard);

  Crash(shard);
}

Task<absl::Status> SleepBelow(int depth) {
  if (depth > 0) co_return co_await SleepBelow(depth - 1);
  co_return co_await Sleep(absl::Hours(1));
}

// Each frame is a local of the one that awaits it: destroyed from the outside in, a chain this deep needs more stack
// than there is.
TEST(CrashTest, AMillionNestedFramesAreDestroyed) {
  FakeShard shard;
  shard.Start([]() -> Task<void> { (void)co_await SleepBelow(1'000'000); }());
  RunSomeTurns(shard);

  Crash(shard);
}

struct SpawnsAtEnd {
  int uses = 0;
  ~SpawnsAtEnd() {
    Spawn([]() -> Task<void> { co_return; });
  }
};
HostLocal<SpawnsAtEnd> spawns_at_end;

TEST(CrashTest, WhatAHostLocalSpawnsInItsDestructorNeverRuns) {
  FakeShard shard;
  shard.Start([]() -> Task<void> {
    ++spawns_at_end->uses;
    (void)co_await Sleep(absl::Hours(1));
  }());
  RunSomeTurns(shard);

  Crash(shard);
}

struct CancelsAtEnd {
  CancelScope* scope;
  ~CancelsAtEnd() { scope->Cancel(); }
};

// Each cancellation stops a sleep of an older task, which must not make that task ready: it is about to be destroyed.
TEST(CrashTest, DestructorsMayCancelScopes) {
  CancelScope first;
  CancelScope second;
  FakeShard shard;
  shard.Start([]() -> Task<void> { co_return; }());
  const auto run = [](CancelScope* scope) -> Task<void> { (void)co_await scope->Run(SleepLong()); };
  const auto run_and_cancel = [](CancelScope* scope, CancelScope* other) -> Task<void> {
    const CancelsAtEnd at_end{other};
    (void)co_await scope->Run(SleepLong());
  };
  const auto sleep_and_cancel = [](CancelScope* other) -> Task<void> {
    const CancelsAtEnd at_end{other};
    (void)co_await Sleep(absl::Hours(1));
  };
  Spawn(run, &second);
  Spawn(run_and_cancel, &first, &second);
  Spawn(sleep_and_cancel, &first);
  RunSomeTurns(shard);

  Crash(shard);
}

// The scope is younger than the task that runs in it, and so it dies first.
TEST(CrashTest, AScopeMayDieBeforeWhatRunsInIt) {
  FakeShard shard;
  shard.Start([]() -> Task<void> { co_return; }());
  static CancelScope* shared;
  shared = nullptr;
  Spawn([]() -> Task<void> {
    while (shared == nullptr) (void)co_await Yield();
    (void)co_await shared->Run(SleepLong());
  });
  Spawn([]() -> Task<void> {
    CancelScope scope;
    shared = &scope;
    (void)co_await Sleep(absl::Hours(1));
  });
  RunSomeTurns(shard);

  Crash(shard);
}

TEST(ShardTest, MainStartsWithTheTimeAtWhichItStarts) {
  FakeShard shard;
  shard.reactor().Advance(absl::Seconds(30));  // A program that loads its configuration first.
  const Instant start = shard.reactor().ReadClock();

  shard.Start([]() -> Task<void> { (void)co_await Sleep(absl::Seconds(1)); }());
  shard.RunUntilEnd();

  EXPECT_GE(shard.reactor().ReadClock() - start, absl::Seconds(1));
  shard.Drain();
}

struct Progress {
  int64_t rounds = 0;
  bool end = false;
};

Task<void> IgnoreCancellation(Progress* progress) {
  for (; !progress->end; ++progress->rounds) (void)co_await Sleep(absl::Seconds(1));
}

Task<void> SpawnStubbornTask(Progress* progress) {
  Spawn(IgnoreCancellation, progress);
  (void)co_await Sleep(absl::Seconds(1));
}

TEST(ShardTest, ALoopThatIgnoresCancellationLetsTheShardTurn) {
  FakeShard shard;
  Progress progress;
  shard.Start(SpawnStubbornTask(&progress));
  shard.RunUntilEnd();
  shard.shard().BeginShutdown();

  for (int i = 0; i < 100; ++i) (void)shard.shard().Turn(Instant::InfinitePast());
  EXPECT_GE(progress.rounds, 100 / 2 * (Executor::kReadyAwaitsInARow - 1));
  EXPECT_LE(progress.rounds, 102 * Executor::kReadyAwaitsInARow);

  progress.end = true;
  shard.Drain();
}

struct Inner {
  int value = 1;
};
HostLocal<Inner> inners[64];
struct Outer {
  int sum = 0;
  Outer() {
    for (HostLocal<Inner>& inner : inners) sum += inner->value;
  }
};
HostLocal<Outer> outer;

TEST(HostLocalTest, AConstructorMayUseOthers) {
  FakeShard shard;
  shard.Start([]() -> Task<void> {
    EXPECT_EQ(outer->sum, 64);
    co_return;
  }());
  shard.RunUntilEnd();
  shard.Drain();
}

// --- Objects that die before the calls on them ---

Task<void> WaitForSignal(SignalListener** listener) {
  while (*listener == nullptr) (void)co_await Yield();
  (void)co_await (*listener)->Next();
}

TEST(CrashTest, ASignalListenerMayDieBeforeTheCallThatWaits) {
  FakeShard shard;
  static SignalListener* shared;
  shared = nullptr;
  shard.Start(WaitForSignal(&shared));
  Spawn([]() -> Task<void> {
    absl::StatusOr<SignalListener> listener = SignalListener::Listen({SIGHUP});
    shared = &*listener;
    (void)co_await Sleep(absl::Hours(1));
  });
  RunSomeTurns(shard);

  Crash(shard);
}

TEST(CrashTest, ASignalListenerMayDieAfterTheCallThatWaits) {
  FakeShard shard;
  static SignalListener* shared;
  shared = nullptr;
  shard.Start([]() -> Task<void> {
    absl::StatusOr<SignalListener> listener = SignalListener::Listen({SIGHUP});
    shared = &*listener;
    (void)co_await Sleep(absl::Hours(1));
  }());
  Spawn(WaitForSignal, &shared);
  RunSomeTurns(shard);

  Crash(shard);
}

using Pool = ConnectionPool<int>;

Task<absl::StatusOr<int>> MakeConnection(std::string) { co_return 1; }

Task<void> UseConnection(Pool** pool) {
  while (*pool == nullptr) (void)co_await Yield();
  const absl::StatusOr<Pool::Lease> lease = co_await (*pool)->Acquire("host");
  (void)co_await Sleep(absl::Hours(1));
}

TEST(CrashTest, APoolMayDieBeforeTheCallsThatWait) {
  FakeShard shard;
  static Pool* shared;
  shared = nullptr;
  shard.Start(UseConnection(&shared));
  Spawn(UseConnection, &shared);
  Spawn([]() -> Task<void> {
    Pool pool(&MakeConnection, PoolOptions().set_max_per_host(1));
    const absl::StatusOr<Pool::Lease> lease = co_await pool.Acquire("host");
    shared = &pool;
    (void)co_await Sleep(absl::Hours(1));
  });
  RunSomeTurns(shard);
  EXPECT_EQ(shared->statistics().waiting, 2u);

  Crash(shard);
}

TEST(CrashTest, APoolMayDieAfterTheCallsThatWait) {
  FakeShard shard;
  static Pool* shared;
  shared = nullptr;
  shard.Start([]() -> Task<void> {
    Pool pool(&MakeConnection, PoolOptions().set_max_per_host(1));
    shared = &pool;
    (void)co_await Sleep(absl::Hours(1));
  }());
  Spawn(UseConnection, &shared);
  Spawn(UseConnection, &shared);
  RunSomeTurns(shard);
  EXPECT_EQ(shared->statistics().waiting, 1u);

  Crash(shard);
}

}  // namespace
}  // namespace tandem
