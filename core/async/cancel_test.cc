// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/cancel.h"

#include <csignal>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/gate_for_test.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"

namespace tandem {
namespace {

constexpr absl::StatusCode kCancelled = absl::StatusCode::kCancelled;
constexpr absl::StatusCode kDeadlineExceeded = absl::StatusCode::kDeadlineExceeded;

Task<absl::StatusOr<int>> Pass(Gate* gate) { co_return co_await gate->Pass(); }

Task<void> OpenLater(Gate* gate, absl::Duration delay, int value) {
  const absl::Status status = co_await Sleep(delay);
  if (status.ok()) gate->Open(value);
}

Task<void> CancelLater(CancelScope* scope, absl::Duration delay) {
  static_cast<void>(co_await Sleep(delay));
  scope->Cancel();
}

// --- Sleep ---

TEST(SleepTest, IsNeverEarly) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    for (const auto duration : {absl::Nanoseconds(1), absl::Milliseconds(3), absl::Hours(50)}) {
      const Instant before = Now();
      const absl::Status status = co_await Sleep(duration);
      EXPECT_TRUE(status.ok());
      EXPECT_GE(Now() - before, duration);
    }
  }());
}

TEST(PauseTest, WaitsAsASleepAndEndsWithItsScope) {
  FakeShard shard;
  std::vector<absl::Duration> times;
  shard.Run([](std::vector<absl::Duration>* times) -> Task<void> {
    const Instant start = Now();
    co_await Pause(absl::Seconds(3));
    times->push_back(Now() - start);
    const absl::Status stopped = co_await WithTimeout(absl::Seconds(2), []() -> Task<absl::Status> {
      co_await Pause(absl::Hours(1));
      absl::Status next = co_await Yield();
      co_return next;
    }());
    EXPECT_EQ(stopped, DeadlineExceededStatus());
    times->push_back(Now() - start);
  }(&times));
  EXPECT_EQ(times, (std::vector<absl::Duration>{absl::Seconds(3), absl::Seconds(5)}));
}

TEST(SleepTest, ZeroOrLessReturnsAtOnce) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const Instant before = Now();
    absl::Status status = co_await Sleep(absl::ZeroDuration());
    EXPECT_TRUE(status.ok());
    status = co_await Sleep(-absl::InfiniteDuration());
    EXPECT_TRUE(status.ok());
    EXPECT_EQ(Now(), before);
  }());
}

TEST(SleepTest, WakesInOrderOfTime) {
  FakeShard shard;
  std::vector<int> order;
  shard.Run([](std::vector<int>* order) -> Task<void> {
    auto sleeper = [](std::vector<int>* order, int n) -> Task<void> {
      static_cast<void>(co_await Sleep(absl::Milliseconds(n)));
      order->push_back(n);
    };
    for (const int n : {5, 1, 4, 2, 3}) Spawn(sleeper, order, n);
    static_cast<void>(co_await Sleep(absl::Seconds(1)));
  }(&order));
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4, 5}));
}

TEST(SleepTest, EndlessSleepEndsByCancellation) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    CancelScope scope;
    Spawn(CancelLater, &scope, absl::Seconds(1));
    auto body = []() -> Task<absl::Status> { co_return co_await Sleep(absl::InfiniteDuration()); };
    const absl::Status status = co_await scope.Run(body());
    EXPECT_EQ(status, CancelledStatus());
  }());
}

TEST(SleepTest, DeadlineOfACallCutsASleep) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const Instant before = Now();
    const absl::Status status = co_await Sleep(absl::Hours(1)).By(before + absl::Seconds(1));
    EXPECT_EQ(status, DeadlineExceededStatus());
    EXPECT_EQ(Now(), before + absl::Seconds(1));
  }());
}

// --- Time passes in a turn ---

TEST(NowTest, IsTheInstantOfTheCall) {
  FakeShard shard;
  shard.Run([](FakeReactor* reactor) -> Task<void> {
    const Instant before = Now();
    reactor->Advance(absl::Milliseconds(5));
    EXPECT_EQ(Now(), before + absl::Milliseconds(5));
    co_return;
  }(&shard.reactor()));
}

// A loop that works for 15 ms and then sleeps for 10 ms has slept, however long the turn was.
TEST(SleepTest, CountsFromTheCallAfterLongWork) {
  FakeShard shard;
  shard.Run([](FakeReactor* reactor) -> Task<void> {
    for (int i = 0; i < 20; ++i) {
      reactor->Advance(absl::Milliseconds(15));
      const Instant before = reactor->ReadClock();
      const absl::Status status = co_await Sleep(absl::Milliseconds(10));
      EXPECT_TRUE(status.ok());
      EXPECT_EQ(reactor->ReadClock() - before, absl::Milliseconds(10));
    }
  }(&shard.reactor()));
}

TEST(DeadlineTest, CountsFromTheCallAfterLongWork) {
  FakeShard shard;
  shard.Run([](FakeReactor* reactor) -> Task<void> {
    Gate gate;
    Spawn(OpenLater, &gate, absl::Milliseconds(350), 7);
    static_cast<void>(co_await Yield());  // The other one sleeps.
    reactor->Advance(absl::Milliseconds(300));
    const absl::StatusOr<int> value = co_await WithTimeout(absl::Milliseconds(100), gate.Pass());
    EXPECT_EQ(value.value_or(0), 7) << value.status();
  }(&shard.reactor()));
}

TEST(WithTimeoutTest, CountsFromTheCallAfterLongWork) {
  FakeShard shard;
  shard.Run([](FakeReactor* reactor) -> Task<void> {
    Gate gate;
    Spawn(OpenLater, &gate, absl::Milliseconds(350), 7);
    static_cast<void>(co_await Yield());
    reactor->Advance(absl::Milliseconds(300));
    const absl::StatusOr<int> value = co_await WithTimeout(absl::Milliseconds(100), Pass(&gate));
    EXPECT_EQ(value.value_or(0), 7) << value.status();
  }(&shard.reactor()));
}

TEST(ShieldTest, CountsFromTheCallAfterLongWork) {
  FakeShard shard;
  shard.Run([](FakeReactor* reactor) -> Task<void> {
    Gate gate;
    Spawn(OpenLater, &gate, absl::Milliseconds(350), 7);
    static_cast<void>(co_await Yield());
    reactor->Advance(absl::Milliseconds(300));
    const absl::StatusOr<int> value = co_await Shield(absl::Milliseconds(100), Pass(&gate));
    EXPECT_EQ(value.value_or(0), 7) << value.status();
  }(&shard.reactor()));
}

// Every await has its result at once, so the task never waits; each takes 100 us.
Task<absl::Status> NeverWait(FakeReactor* reactor, int* awaits) {
  Gate gate;
  for (;;) {
    reactor->Advance(absl::Microseconds(100));
    gate.Open(1);
    const absl::StatusOr<int> value = co_await gate.Pass();
    if (!value.ok()) co_return value.status();
    ++*awaits;
  }
}

TEST(WithTimeoutTest, StopsATaskThatNeverWaits) {
  FakeShard shard;
  shard.Run([](FakeReactor* reactor) -> Task<void> {
    int awaits = 0;
    const absl::Status status = co_await WithTimeout(absl::Milliseconds(50), NeverWait(reactor, &awaits));
    EXPECT_EQ(status, DeadlineExceededStatus());
    EXPECT_GE(awaits, 499);
    EXPECT_LE(awaits, 500 + Executor::kReadyAwaitsInARow);
  }(&shard.reactor()));
}

// A peer that never stops sending does not hold the loop beyond its deadline.
TEST(DeadlineTest, OneForManyCallsBoundsThemAlthoughEachHasItsResult) {
  FakeShard shard;
  shard.Run([](FakeReactor* reactor) -> Task<void> {
    Gate gate;
    const Instant deadline = Now() + absl::Milliseconds(50);
    int calls = 0;
    for (;; ++calls) {
      reactor->Advance(absl::Microseconds(100));
      gate.Open(1);
      const absl::StatusOr<int> value = co_await gate.Pass().By(deadline);
      if (value.ok()) continue;
      EXPECT_EQ(value.status(), DeadlineExceededStatus());
      break;
    }
    EXPECT_LE(calls, 500 + Executor::kReadyAwaitsInARow);
  }(&shard.reactor()));
}

TEST(DeadlineTest, ATimeoutOfZeroDoesNothing) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    gate.Open(7);
    absl::StatusOr<int> value = co_await WithTimeout(absl::ZeroDuration(), gate.Pass());
    EXPECT_EQ(value.status(), DeadlineExceededStatus());
    value = co_await WithTimeout(absl::ZeroDuration(), Pass(&gate));
    EXPECT_EQ(value.status(), DeadlineExceededStatus());
    value = co_await gate.Pass();
    EXPECT_EQ(value.value(), 7);
  }());
}

// How often another task runs while one works in `steps` steps, with a Checkpoint() after each.
int TurnsOfOthers(int steps, absl::Duration step) {
  FakeShard shard;
  return shard.Run([](FakeReactor* reactor, int steps, absl::Duration step) -> Task<int> {
    int others = 0;
    CancelScope scope;
    auto count = [](int* others) -> Task<absl::Status> {
      for (;;) {
        const absl::Status status = co_await Yield();
        if (!status.ok()) co_return status;
        ++*others;
      }
    };
    auto run = [](CancelScope* scope, Task<absl::Status> task) -> Task<void> {
      static_cast<void>(co_await scope->Run(std::move(task)));
    };
    auto body = [&](TaskGroup& group) {
      group.Spawn(run, &scope, count(&others));
      return [](FakeReactor* reactor, CancelScope* scope, int steps, absl::Duration step) -> Task<absl::Status> {
        static_cast<void>(co_await Yield());
        for (int i = 0; i < steps; ++i) {
          reactor->Advance(step);
          const absl::Status status = co_await Checkpoint();
          EXPECT_TRUE(status.ok());
        }
        scope->Cancel();
        co_return absl::OkStatus();
      }(reactor, &scope, steps, step);
    };
    const absl::Status status = co_await WithTaskGroup(body);
    EXPECT_TRUE(status.ok());
    co_return others;
  }(&shard.reactor(), steps, step));
}

TEST(CheckpointTest, GivesWayWhenATimeSliceIsOver) {
  // The first of each turn only looks at the clock.
  EXPECT_GE(TurnsOfOthers(100, absl::Milliseconds(1)), 49);
  EXPECT_GE(TurnsOfOthers(1000, absl::Microseconds(100)), 150);
}

TEST(CheckpointTest, CostsNoTurnWhileTheSliceLasts) {
  EXPECT_LE(TurnsOfOthers(100, absl::ZeroDuration()), 3);
  EXPECT_LE(TurnsOfOthers(100, absl::Microseconds(4)), 3);
}

// --- Deadlines of one call ---

TEST(DeadlineTest, ResultBeforeTheDeadlineWins) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    Spawn(OpenLater, &gate, absl::Seconds(1), 7);
    const absl::StatusOr<int> value = co_await WithTimeout(absl::Seconds(2), gate.Pass());
    EXPECT_EQ(value.value(), 7);
  }());
}

TEST(DeadlineTest, DeadlineConsumesNothing) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    const absl::StatusOr<int> late = co_await WithTimeout(absl::Seconds(2), gate.Pass());
    EXPECT_EQ(late.status(), DeadlineExceededStatus());

    gate.Open(7);
    const absl::StatusOr<int> value = co_await gate.Pass();
    EXPECT_EQ(value.value(), 7);
  }());
}

TEST(DeadlineTest, DeadlineInThePastDoesNothingEvenWhenTheResultIsThere) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    gate.Open(7);
    absl::StatusOr<int> value = co_await gate.Pass().By(Now() - absl::Seconds(1));
    EXPECT_EQ(value.status(), DeadlineExceededStatus());
    value = co_await gate.Pass().By(Now());
    EXPECT_EQ(value.status(), DeadlineExceededStatus());
    value = co_await gate.Pass().By(Now() + absl::Seconds(1));
    EXPECT_EQ(value.value(), 7);
  }());
}

TEST(DeadlineTest, EarliestOfSeveralCounts) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    const Instant start = Now();
    const absl::StatusOr<int> value =
        co_await gate.Pass().By(start + absl::Seconds(3)).By(start + absl::Seconds(1)).By(start + absl::Seconds(2));
    EXPECT_EQ(value.status(), DeadlineExceededStatus());
    EXPECT_EQ(Now(), start + absl::Seconds(1));
  }());
}

// A completion that came before the stop has taken effect is the result.
TEST(DeadlineTest, CompletionThatRacesTheDeadlineWins) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    gate.set_lingers();
    Spawn(
        [](Gate* gate) -> Task<void> {
          while (!gate->has_stopped()) static_cast<void>(co_await Sleep(absl::Nanoseconds(1)));
          gate->EndStopped(7);
        },
        &gate);
    const absl::StatusOr<int> value = co_await WithTimeout(absl::Nanoseconds(1), gate.Pass());
    EXPECT_EQ(value.value(), 7);
  }());
}

TEST(LeafDeathTest, WakeUpOnAnotherShardIsABug) {
  EXPECT_DEATH(
      {
        Gate gate;
        FakeShard shard;
        shard.Start([](Gate* gate) -> Task<void> {
          static_cast<void>(co_await gate->Pass().By(Now() + absl::Hours(1)));
        }(&gate));
        static_cast<void>(shard.shard().Turn(Instant::InfinitePast()));
        FakeShard other;
        gate.Open(7);
      },
      "on another shard");
}

// --- Scopes ---

TEST(CancelScopeTest, CancelsWhatIsSuspended) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    CancelScope scope;
    Spawn(CancelLater, &scope, absl::Seconds(1));
    const absl::StatusOr<int> value = co_await scope.Run(Pass(&gate));
    EXPECT_EQ(value.status(), CancelledStatus());
    EXPECT_TRUE(scope.cancelled());
  }());
}

TEST(CancelScopeTest, CancelBeforehandStopsTheFirstCall) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    gate.Open(7);
    CancelScope scope;
    scope.Cancel();
    const absl::StatusOr<int> value = co_await scope.Run(Pass(&gate));
    EXPECT_EQ(value.status(), CancelledStatus());

    // The value was not consumed, and the caller's own scope is untouched.
    const absl::StatusOr<int> left = co_await gate.Pass();
    EXPECT_EQ(left.value(), 7);
  }());
}

TEST(CancelScopeTest, CancelAfterwardsChangesNothing) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    gate.Open(7);
    CancelScope scope;
    const absl::StatusOr<int> value = co_await scope.Run(Pass(&gate));
    scope.Cancel();
    EXPECT_EQ(value.value(), 7);
    const absl::Status status = co_await Sleep(absl::Seconds(1));
    EXPECT_TRUE(status.ok());
  }());
}

TEST(CancelScopeTest, IsStickyWhetherDataIsReadyOrNot) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    CancelScope scope;
    auto body = [](CancelScope* scope) -> Task<absl::Status> {
      Gate ready;
      Gate empty;
      ready.Open(1);
      scope->Cancel();
      for (int i = 0; i < 3; ++i) {
        const absl::StatusOr<int> first = co_await ready.Pass();
        EXPECT_EQ(first.status(), CancelledStatus());
        const absl::StatusOr<int> second = co_await empty.Pass();
        EXPECT_EQ(second.status(), CancelledStatus());
        const absl::Status yielded = co_await Yield();
        EXPECT_EQ(yielded, CancelledStatus());
        const absl::Status slept = co_await Sleep(absl::ZeroDuration());
        EXPECT_EQ(slept, CancelledStatus());
      }
      co_return absl::OkStatus();
    };
    const absl::Status status = co_await scope.Run(body(&scope));
    EXPECT_TRUE(status.ok());
  }());
}

TEST(CancelScopeTest, ReachesNestedScopesButNotItsParent) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    CancelScope outer;
    CancelScope inner;
    auto middle = [](CancelScope* inner, Gate* gate) -> Task<absl::StatusOr<int>> {
      co_return co_await inner->Run(Pass(gate));
    };
    Spawn(CancelLater, &outer, absl::Seconds(1));
    const absl::StatusOr<int> value = co_await outer.Run(middle(&inner, &gate));
    EXPECT_EQ(value.status(), CancelledStatus());
    EXPECT_TRUE(inner.cancelled());
    const absl::Status own = co_await Sleep(absl::Seconds(1));
    EXPECT_TRUE(own.ok());
  }());
}

TEST(CancelScopeTest, InnerCancellationLeavesTheOuterScopeAlone) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    CancelScope outer;
    auto middle = [](Gate* gate) -> Task<absl::Status> {
      CancelScope inner;
      inner.Cancel();
      const absl::StatusOr<int> value = co_await inner.Run(Pass(gate));
      EXPECT_EQ(value.status(), CancelledStatus());
      co_return co_await Sleep(absl::Seconds(1));
    };
    const absl::Status status = co_await outer.Run(middle(&gate));
    EXPECT_TRUE(status.ok());
    EXPECT_FALSE(outer.cancelled());
  }());
}

TEST(CancelScopeTest, MayBeUsedAgainWhenItIsNotCancelled) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    CancelScope scope;
    for (int i = 0; i < 3; ++i) {
      Gate gate;
      gate.Open(i);
      const absl::StatusOr<int> value = co_await scope.Run(Pass(&gate));
      EXPECT_EQ(value.value(), i);
    }
  }());
}

TEST(CancelScopeDeathTest, TwoTasksAtOnceAreABug) {
  EXPECT_DEATH(
      {
        FakeShard shard;
        shard.Run([]() -> Task<void> {
          Gate gate;
          CancelScope scope;
          auto results = co_await WhenAll(scope.Run(Pass(&gate)), scope.Run(Pass(&gate)));
          static_cast<void>(results);
        }());
      },
      "two tasks at once");
}

Task<absl::Status> NestTimeouts(int depth) {
  if (depth == 0) co_return co_await Sleep(absl::InfiniteDuration());
  co_return co_await WithTimeout(absl::Hours(1), NestTimeouts(depth - 1));
}

// As deep as calls may be nested: nothing in it recurses.
TEST(CancelScopeTest, CancelsAHundredThousandNestedScopes) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    CancelScope scope;
    Spawn(CancelLater, &scope, absl::Seconds(1));
    const absl::Status status = co_await scope.Run(NestTimeouts(100'000));
    EXPECT_EQ(status, CancelledStatus());
  }());
}

TEST(WithTimeoutTest, StopsAHundredThousandNestedScopes) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const absl::Status status = co_await WithTimeout(absl::Seconds(1), NestTimeouts(100'000));
    EXPECT_EQ(status, DeadlineExceededStatus());
  }());
}

Task<absl::Status> LogStop(std::vector<std::string>* log, std::string name) {
  const absl::Status status = co_await Sleep(absl::InfiniteDuration());
  log->push_back(name);
  co_return status;
}

Task<absl::Status> LogStopBelow(std::vector<std::string>* log, std::string name) {
  auto both = co_await WhenAll(LogStop(log, name + "1"), LogStop(log, name + "2"));
  co_return std::get<0>(both);
}

TEST(CancelScopeTest, StopsDepthFirstInTheOrderOfTheScopes) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    std::vector<std::string> log;
    auto all = [](std::vector<std::string>* log) -> Task<absl::Status> {
      auto results =
          co_await WhenAll(LogStop(log, "a"), LogStopBelow(log, "b"), LogStopBelow(log, "c"), LogStop(log, "d"));
      co_return std::get<0>(results);
    };
    const absl::Status status = co_await WithTimeout(absl::Seconds(1), all(&log));
    EXPECT_EQ(status, DeadlineExceededStatus());
    EXPECT_EQ(log, (std::vector<std::string>{"a", "d", "b1", "b2", "c1", "c2"}));
  }());
}

// --- What a coroutine can ask about itself ---

TEST(CurrentDeadlineTest, IsTheEarliestOfTheScopesAround) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    EXPECT_EQ(CurrentDeadline(), Instant::InfiniteFuture());
    const Instant start = Now();
    auto ask = []() -> Task<absl::StatusOr<Instant>> { co_return CurrentDeadline(); };
    auto nested = [](auto ask, absl::Duration inner) -> Task<absl::StatusOr<Instant>> {
      co_return co_await WithTimeout(inner, ask());
    };
    absl::StatusOr<Instant> deadline = co_await WithTimeout(absl::Seconds(5), nested(ask, absl::Seconds(9)));
    EXPECT_EQ(*deadline, start + absl::Seconds(5));
    deadline = co_await WithTimeout(absl::Seconds(5), nested(ask, absl::Seconds(2)));
    EXPECT_EQ(*deadline, start + absl::Seconds(2));
    EXPECT_EQ(CurrentDeadline(), Instant::InfiniteFuture());
  }());
}

TEST(CurrentDeadlineTest, ReachesTheChildrenOfGroupsAndCombinators) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const Instant expected = Now() + absl::Seconds(5);
    auto ask = [](Instant expected) -> Task<absl::Status> {
      static_cast<void>(co_await Yield());
      EXPECT_EQ(CurrentDeadline(), expected);
      co_return absl::OkStatus();
    };
    auto grouped = [](auto ask, Instant expected) -> Task<absl::Status> {
      auto both = co_await WhenAll(ask(expected), ask(expected));
      static_cast<void>(both);
      co_return co_await WithTaskGroup([&](TaskGroup& group) {
        group.Spawn(ask, expected);
        return ask(expected);
      });
    };
    const absl::Status status = co_await WithTimeout(absl::Seconds(5), grouped(ask, expected));
    EXPECT_TRUE(status.ok());
  }());
}

TEST(CurrentDeadlineTest, EndsAtAShieldWhichHasItsOwn) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const Instant expected = Now() + absl::Seconds(9);
    auto ask = [](Instant expected) -> Task<absl::Status> {
      EXPECT_EQ(CurrentDeadline(), expected);
      EXPECT_FALSE(CancelRequested());
      co_return absl::OkStatus();
    };
    auto shielded = [](auto ask, Instant expected) -> Task<absl::Status> {
      co_return co_await Shield(absl::Seconds(9), ask(expected));
    };
    const absl::Status status = co_await WithTimeout(absl::Seconds(1), shielded(ask, expected));
    EXPECT_TRUE(status.ok());
  }());
}

TEST(CurrentDeadlineTest, IsNotThatOfASpawnedTask) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto spawner = []() -> Task<absl::Status> {
      Spawn([]() -> Task<void> {
        EXPECT_EQ(CurrentDeadline(), Instant::InfiniteFuture());
        co_return;
      });
      co_return co_await Yield();
    };
    const absl::Status status = co_await WithTimeout(absl::Seconds(1), spawner());
    EXPECT_TRUE(status.ok());
  }());
}

TEST(CancelRequestedTest, IsTrueOnceTheScopeWasCancelled) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    CancelScope scope;
    auto ask = [](CancelScope* scope) -> Task<absl::Status> {
      EXPECT_FALSE(CancelRequested());
      scope->Cancel();
      EXPECT_TRUE(CancelRequested());
      co_return absl::OkStatus();
    };
    const absl::Status status = co_await scope.Run(ask(&scope));
    EXPECT_TRUE(status.ok());
    EXPECT_FALSE(CancelRequested());
  }());
}

// No cancellation can reach work without an await: it can ask.
TEST(CancelRequestedTest, IsTrueOnceTheDeadlineHasPassedInTheSameTurn) {
  FakeShard shard;
  shard.Run([](FakeReactor* reactor) -> Task<void> {
    auto work = [](FakeReactor* reactor) -> Task<absl::Status> {
      int steps = 0;
      for (; !CancelRequested(); ++steps) reactor->Advance(absl::Milliseconds(1));
      EXPECT_EQ(steps, 100);
      co_return CancelledStatus();
    };
    const absl::Status status = co_await WithTimeout(absl::Milliseconds(100), work(reactor));
    EXPECT_TRUE(absl::IsCancelled(status));  // The timer has not fired yet, so it is the task's own word.
  }(&shard.reactor()));
}

TEST(CancelRequestedDeathTest, OutsideOfACoroutineIsABug) {
  FakeShard shard;
  EXPECT_DEATH(CancelRequested(), "no coroutine runs here");
}

// --- Results of others ---

// What another party has cancelled is a result: only what this library's scopes say is not.
Task<absl::Status> KilledWhenStopped() {
  static_cast<void>(co_await Sleep(absl::InfiniteDuration()));
  co_return absl::CancelledError("query killed by an administrator");
}

TEST(WithTimeoutTest, KeepsACancellationOfAnotherSource) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    absl::Status status = co_await WithTimeout(absl::Seconds(1), KilledWhenStopped());
    EXPECT_EQ(status, absl::CancelledError("query killed by an administrator"));
    status = co_await Shield(absl::Seconds(1), KilledWhenStopped());
    EXPECT_EQ(status, absl::CancelledError("query killed by an administrator"));
  }());
}

TEST(WhenAnyTest, KeepsACancellationOfAnotherSource) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto results = co_await WhenAny(KilledWhenStopped(), Sleep(absl::Seconds(1)));
    EXPECT_TRUE(std::get<0>(results).has_value());
    EXPECT_EQ(std::get<0>(results).value_or(absl::OkStatus()),
              absl::CancelledError("query killed by an administrator"));
  }());
}

// --- WithTimeout on tasks ---

TEST(WithTimeoutTest, ReturnsTheValueInTime) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    Spawn(OpenLater, &gate, absl::Seconds(1), 7);
    const absl::StatusOr<int> value = co_await WithTimeout(absl::Seconds(2), Pass(&gate));
    EXPECT_EQ(value.value(), 7);
  }());
}

TEST(WithTimeoutTest, TurnsItsOwnCancellationIntoDeadlineExceeded) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    const Instant before = Now();
    const absl::StatusOr<int> value = co_await WithTimeout(absl::Seconds(2), Pass(&gate));
    EXPECT_EQ(value.status(), DeadlineExceededStatus());
    EXPECT_EQ(Now(), before + absl::Seconds(2));
  }());
}

TEST(WithTimeoutTest, CancellationFromOutsideStaysCancelled) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    CancelScope scope;
    Spawn(CancelLater, &scope, absl::Seconds(1));
    const absl::StatusOr<int> value = co_await scope.Run(WithTimeout(absl::Seconds(2), Pass(&gate)));
    EXPECT_EQ(value.status(), CancelledStatus());
  }());
}

TEST(WithTimeoutTest, ValueThatCompletesInSpiteOfTheTimeoutWins) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto stubborn = []() -> Task<absl::StatusOr<int>> {
      const absl::Status status = co_await Sleep(absl::Hours(1));
      EXPECT_EQ(status, CancelledStatus());
      co_return 7;
    };
    const absl::StatusOr<int> value = co_await WithTimeout(absl::Seconds(1), stubborn());
    EXPECT_EQ(value.value(), 7);
  }());
}

TEST(WithTimeoutTest, OtherErrorsOfTheTaskStay) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto failing = []() -> Task<absl::Status> {
      static_cast<void>(co_await Sleep(absl::Hours(1)));
      co_return absl::NotFoundError("gone");
    };
    const absl::Status status = co_await WithTimeout(absl::Seconds(1), failing());
    EXPECT_EQ(status, absl::NotFoundError("gone"));
  }());
}

TEST(WithTimeoutTest, KeepsTheBytesOfACutShortTransfer) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto transfer = []() -> Task<IoResult> {
      absl::Status status = co_await Sleep(absl::Hours(1));
      co_return IoResult{status, 5};
    };
    const IoResult result = co_await WithTimeout(absl::Seconds(1), transfer());
    EXPECT_EQ(result.status, DeadlineExceededStatus());
    EXPECT_EQ(result.bytes, 5u);
  }());
}

TEST(WithTimeoutTest, InnermostDeadlineThatFiresNamesTheCause) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    auto inner = [](Gate* gate, absl::Duration timeout) -> Task<absl::Status> {
      const absl::StatusOr<int> value = co_await WithTimeout(timeout, Pass(gate));
      co_return value.status();
    };
    // The inner one fires: its status passes through the outer one.
    absl::Status status = co_await WithTimeout(absl::Seconds(9), inner(&gate, absl::Seconds(1)));
    EXPECT_EQ(status, DeadlineExceededStatus());
    // The outer one fires: kCancelled inside, kDeadlineExceeded outside.
    auto watch = [](Gate* gate, absl::Status* seen) -> Task<absl::Status> {
      const absl::StatusOr<int> value = co_await WithTimeout(absl::Seconds(9), Pass(gate));
      *seen = value.status();
      co_return value.status();
    };
    absl::Status seen;
    status = co_await WithTimeout(absl::Seconds(1), watch(&gate, &seen));
    EXPECT_EQ(seen, CancelledStatus());
    EXPECT_EQ(status, DeadlineExceededStatus());
  }());
}

// The outer timer was armed first, so it fires first: for the inner scope that is a cancellation from outside.
TEST(WithTimeoutTest, OfEqualDeadlinesTheOuterOneFires) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const Instant deadline = Now() + absl::Seconds(1);
    const auto inner = [](Instant deadline) -> Task<absl::Status> {
      Gate gate;
      const absl::StatusOr<int> value = co_await WithDeadlineAt(deadline, Pass(&gate));
      EXPECT_EQ(value.status(), CancelledStatus());
      co_return value.status();
    };
    const absl::Status status = co_await WithDeadlineAt(deadline, inner(deadline));
    EXPECT_EQ(status, DeadlineExceededStatus());
    EXPECT_EQ(Now(), deadline);
  }());
}

TEST(WithTimeoutTest, PastDeadlineStopsTheFirstCall) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    gate.Open(7);
    const absl::StatusOr<int> value = co_await WithTimeout(absl::ZeroDuration(), Pass(&gate));
    EXPECT_EQ(value.status(), DeadlineExceededStatus());
    const absl::StatusOr<int> left = co_await gate.Pass();
    EXPECT_EQ(left.value(), 7);
  }());
}

TEST(WithTimeoutTest, ExceptionPassesThrough) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto failing = []() -> Task<absl::Status> {
      static_cast<void>(co_await Yield());
      throw 5;
    };
    int caught = 0;
    try {
      static_cast<void>(co_await WithTimeout(absl::Seconds(1), failing()));
    } catch (int value) {
      caught = value;
    }
    EXPECT_EQ(caught, 5);
  }());
}

// --- Shield ---

TEST(ShieldTest, MasksTheCancellationOfTheEnclosingScopes) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    CancelScope scope;
    auto body = [](CancelScope* scope) -> Task<absl::Status> {
      scope->Cancel();
      auto clean_up = []() -> Task<absl::Status> { co_return co_await Sleep(absl::Seconds(1)); };
      const absl::Status cleaned = co_await Shield(absl::Seconds(5), clean_up());
      EXPECT_TRUE(cleaned.ok()) << cleaned;
      const absl::Status after = co_await Sleep(absl::Seconds(1));
      EXPECT_EQ(after, CancelledStatus());
      co_return absl::OkStatus();
    };
    const absl::Status status = co_await scope.Run(body(&scope));
    EXPECT_TRUE(status.ok());
  }());
}

TEST(ShieldTest, CancellationMeanwhileIsMaskedToo) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    CancelScope scope;
    Spawn(CancelLater, &scope, absl::Seconds(1));
    auto body = []() -> Task<absl::Status> {
      auto clean_up = []() -> Task<absl::Status> { co_return co_await Sleep(absl::Seconds(2)); };
      const absl::Status cleaned = co_await Shield(absl::Seconds(5), clean_up());
      EXPECT_TRUE(cleaned.ok()) << cleaned;
      co_return co_await Yield();
    };
    const absl::Status status = co_await scope.Run(body());
    EXPECT_EQ(status, CancelledStatus());
  }());
}

TEST(ShieldTest, EndsAtItsLimit) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    const Instant before = Now();
    const absl::StatusOr<int> value = co_await Shield(absl::Seconds(5), Pass(&gate));
    EXPECT_EQ(value.status().code(), kDeadlineExceeded);
    EXPECT_EQ(Now(), before + absl::Seconds(5));
  }());
}

// --- The main task ---

TEST(StopTest, SignalCancelsTheMainTask) {
  FakeShard shard;
  absl::Status status;
  shard.Start([](absl::Status* status) -> Task<void> { *status = co_await Sleep(absl::Hours(1)); }(&status));
  EXPECT_TRUE(shard.shard().Turn(Instant::InfinitePast()));

  shard.reactor().DeliverSignal(SIGTERM);

  EXPECT_TRUE(shard.RunUntilEnd());
  EXPECT_EQ(status.code(), kCancelled);
  shard.Drain();
}

}  // namespace
}  // namespace tandem
