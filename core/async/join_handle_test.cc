// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/join_handle.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/base/result.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"

namespace tandem {
namespace {

Task<absl::StatusOr<int>> ValueAfter(absl::Duration delay, int value) {
  const absl::Status status = co_await Sleep(delay);
  if (!status.ok()) co_return status;
  co_return value;
}

Task<void> ThrowAfter(absl::Duration delay, std::string message) {
  static_cast<void>(co_await Sleep(delay));
  throw std::runtime_error(message);
}

Task<absl::Status> EndSlowly(bool* ended) {
  const absl::Status status = co_await Sleep(absl::Hours(1));
  auto clean_up = []() -> Task<absl::Status> { co_return co_await Sleep(absl::Seconds(3)); };
  static_cast<void>(co_await Shield(absl::Seconds(10), clean_up()));
  *ended = true;
  co_return status;
}

TEST(JoinHandleTest, JoinWaitsAndGivesTheResult) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const Instant before = Now();
    JoinHandle<absl::StatusOr<int>> handle = SpawnJoinable(ValueAfter, absl::Seconds(1), 7);
    EXPECT_FALSE(handle.done());
    const absl::StatusOr<int> value = co_await handle.Join();
    EXPECT_EQ(value.value(), 7);
    EXPECT_EQ(Now(), before + absl::Seconds(1));
    EXPECT_TRUE(handle.done());
  }());
}

TEST(JoinHandleTest, BeginsInTheNextTurnAndJoinAfterTheEndReturnsAtOnce) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    JoinHandle<absl::StatusOr<int>> handle = SpawnJoinable(ValueAfter, absl::ZeroDuration(), 7);
    EXPECT_FALSE(handle.done());
    static_cast<void>(co_await Yield());
    EXPECT_TRUE(handle.done());
    const absl::StatusOr<int> value = co_await handle.Join();
    EXPECT_EQ(value.value(), 7);
  }());
}

TEST(JoinHandleTest, GivesResultsOfAnyType) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto nothing = []() -> Task<void> { co_return; };
    const absl::Status ended = co_await SpawnJoinable(nothing).Join();
    EXPECT_TRUE(ended.ok());
    auto owned = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(4); };
    const absl::StatusOr<std::unique_ptr<int>> pointer = co_await SpawnJoinable(owned).Join();
    EXPECT_EQ(**pointer, 4);
    auto transfer = []() -> Task<IoResult> { co_return IoResult{absl::OkStatus(), 5}; };
    const IoResult result = co_await SpawnJoinable(transfer).Join();
    EXPECT_EQ(result.bytes, 5u);
    auto fail = []() -> Task<absl::Status> { co_return absl::InternalError("broken"); };
    const absl::Status status = co_await SpawnJoinable(fail).Join();
    EXPECT_EQ(status, absl::InternalError("broken"));
  }());
}

class Server {
 public:
  Task<absl::Status> Run(std::string text) { co_return absl::InternalError(text); }
};

TEST(JoinHandleTest, TakesMemberFunctions) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Server server;
    JoinHandle<absl::Status> handle = SpawnJoinable(&Server::Run, &server, std::string("ran"));
    const absl::Status status = co_await handle.Join();
    EXPECT_EQ(status, absl::InternalError("ran"));
  }());
}

TEST(JoinHandleTest, CancelReachesTheTaskAndJoinWaitsForItsEnd) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    bool ended = false;
    JoinHandle<absl::Status> handle = SpawnJoinable(EndSlowly, &ended);
    static_cast<void>(co_await Yield());
    handle.Cancel();
    handle.Cancel();
    EXPECT_FALSE(handle.done());
    const absl::Status status = co_await handle.Join();
    EXPECT_EQ(status, CancelledStatus());
    EXPECT_TRUE(ended);
    handle.Cancel();
  }());
}

TEST(JoinHandleTest, CancelBeforeTheTaskBeganStopsItsFirstCall) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    JoinHandle<absl::StatusOr<int>> handle = SpawnJoinable(ValueAfter, absl::Seconds(1), 7);
    handle.Cancel();
    const absl::StatusOr<int> value = co_await handle.Join();
    EXPECT_EQ(value.status(), CancelledStatus());
  }());
}

TEST(JoinHandleTest, AJoinThatWasStoppedMayBeMadeAgain) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    JoinHandle<absl::StatusOr<int>> handle = SpawnJoinable(ValueAfter, absl::Seconds(3), 7);
    absl::StatusOr<int> value = co_await WithTimeout(absl::Seconds(1), handle.Join());
    EXPECT_EQ(value.status(), DeadlineExceededStatus());
    EXPECT_FALSE(handle.done());

    CancelScope scope;
    auto join = [](JoinHandle<absl::StatusOr<int>>* handle) -> Task<absl::StatusOr<int>> {
      co_return co_await handle->Join();
    };
    scope.Cancel();
    value = co_await scope.Run(join(&handle));
    EXPECT_EQ(value.status(), CancelledStatus());

    value = co_await handle.Join();
    EXPECT_EQ(value.value(), 7);
  }());
}

TEST(JoinHandleTest, TheHandleMayMoveWhileJoinWaits) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    JoinHandle<absl::StatusOr<int>> handle = SpawnJoinable(ValueAfter, absl::Seconds(2), 7);
    std::optional<JoinHandle<absl::StatusOr<int>>> moved;
    auto move = [](JoinHandle<absl::StatusOr<int>>* handle,
                   std::optional<JoinHandle<absl::StatusOr<int>>>* moved) -> Task<void> {
      static_cast<void>(co_await Sleep(absl::Seconds(1)));
      moved->emplace(std::move(*handle));
      moved->reset();
    };
    Spawn(move, &handle, &moved);
    const absl::StatusOr<int> value = co_await handle.Join();
    EXPECT_EQ(value.value(), 7);
    EXPECT_FALSE(handle.valid());
  }());
}

TEST(JoinHandleTest, WithoutItsHandleATaskRunsOn) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    bool ended = false;
    auto note = [](bool* ended) -> Task<void> {
      static_cast<void>(co_await Sleep(absl::Seconds(1)));
      *ended = true;
    };
    {
      const JoinHandle<void> handle = SpawnJoinable(note, &ended);
    }
    static_cast<void>(co_await Sleep(absl::Seconds(2)));
    EXPECT_TRUE(ended);
  }());
}

TEST(JoinHandleTest, TheRuntimeCancelsAndJoinsIt) {
  FakeShard shard;
  bool ended = false;
  JoinHandle<absl::Status> handle;
  shard.Run([](JoinHandle<absl::Status>* handle, bool* ended) -> Task<void> {
    *handle = SpawnJoinable(EndSlowly, ended);
    static_cast<void>(co_await Yield());
  }(&handle, &ended));
  EXPECT_TRUE(ended);
  EXPECT_TRUE(handle.done());
}

TEST(JoinHandleTest, TheSpawnersScopeIsNotTheTasks) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    JoinHandle<absl::StatusOr<int>> handle;
    auto spawner = [](JoinHandle<absl::StatusOr<int>>* handle) -> Task<absl::Status> {
      *handle = SpawnJoinable(ValueAfter, absl::Seconds(5), 7);
      co_return co_await Sleep(absl::Hours(1));
    };
    const absl::Status status = co_await WithTimeout(absl::Seconds(1), spawner(&handle));
    EXPECT_EQ(status, DeadlineExceededStatus());
    const absl::StatusOr<int> value = co_await handle.Join();
    EXPECT_EQ(value.value(), 7);
  }());
}

// --- Exceptions ---

TEST(JoinHandleTest, JoinThrowsWhatEscapedTheTask) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    for (const auto delay : {absl::ZeroDuration(), absl::Seconds(2)}) {
      JoinHandle<void> handle = SpawnJoinable(ThrowAfter, delay, std::string("broken"));
      static_cast<void>(co_await Sleep(absl::Seconds(1)));
      std::string caught;
      try {
        static_cast<void>(co_await handle.Join());
      } catch (const std::runtime_error& error) {
        caught = error.what();
      }
      EXPECT_EQ(caught, "broken");
    }
  }());
}

Task<void> JoinAndNote(JoinHandle<void>* handle, std::string* caught) {
  try {
    static_cast<void>(co_await handle->Join());
  } catch (const std::runtime_error& error) {
    *caught = error.what();
  }
}

// The call of Join() has its result at once, and lets others run first.
Task<void> JoinLateAndNote(JoinHandle<void>* handle, std::string* caught) {
  Executor::Current().UseUpReadyAwaits();
  co_await JoinAndNote(handle, caught);
}

TEST(JoinHandleTest, JoinThrowsAlsoWhenTheHandleGoesBeforeItReturns) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    for (const bool ended_before : {false, true}) {
      std::string caught;
      const absl::Duration delay = absl::Seconds(ended_before ? 0 : 1);
      auto handle = std::make_unique<JoinHandle<void>>(SpawnJoinable(ThrowAfter, delay, std::string("broken")));
      if (!ended_before) Spawn(&JoinAndNote, handle.get(), &caught);
      static_cast<void>(co_await Sleep(absl::Seconds(1)));
      if (ended_before) Spawn(&JoinLateAndNote, handle.get(), &caught);
      static_cast<void>(co_await Yield());
      EXPECT_TRUE(handle->done());
      EXPECT_EQ(caught, "");
      handle.reset();
      static_cast<void>(co_await Sleep(absl::Seconds(1)));
      EXPECT_EQ(caught, "broken");
    }
  }());
}

TEST(JoinHandleDeathTest, AnExceptionThatNobodyCanJoinEndsTheProcess) {
  const auto die = [](bool detach_first) {
    FakeShard shard;
    shard.Run([](bool detach_first) -> Task<void> {
      {
        JoinHandle<void> handle = SpawnJoinable(ThrowAfter, absl::Seconds(1), std::string("unseen"));
        if (!detach_first) static_cast<void>(co_await Sleep(absl::Seconds(2)));
      }
      static_cast<void>(co_await Sleep(absl::Seconds(2)));
    }(detach_first));
  };
  EXPECT_DEATH(die(true), "escaped a spawned task: unseen(.|\n)*ThrowAfter");
  EXPECT_DEATH(die(false), "escaped a spawned task: unseen(.|\n)*ThrowAfter");
}

// --- Misuse ---

TEST(JoinHandleDeathTest, MisuseIsNamed) {
  EXPECT_DEATH(JoinHandle<void>().Cancel(), "a JoinHandle without a task was used");
  const auto take_twice = [] {
    FakeShard shard;
    shard.Run([]() -> Task<void> {
      JoinHandle<absl::StatusOr<int>> handle = SpawnJoinable(ValueAfter, absl::Seconds(1), 7);
      static_cast<void>(co_await handle.Join());
      static_cast<void>(co_await handle.Join());
    }());
  };
  EXPECT_DEATH(take_twice(), "taken twice");
  const auto wait_twice = [] {
    FakeShard shard;
    shard.Run([]() -> Task<void> {
      JoinHandle<absl::StatusOr<int>> handle = SpawnJoinable(ValueAfter, absl::Seconds(1), 7);
      auto both = co_await WhenAll(handle.Join(), handle.Join());
      static_cast<void>(both);
    }());
  };
  EXPECT_DEATH(wait_twice(), "two calls wait for the end of one task");
}

// --- Crashes ---

TEST(JoinHandleTest, ACrashMayDestroyTaskAndHandleInEitherOrder) {
  for (const bool task_first : {true, false}) {
    FakeShard shard;
    JoinHandle<absl::StatusOr<int>> kept;
    shard.Start([](JoinHandle<absl::StatusOr<int>>* kept, bool task_first) -> Task<void> {
      JoinHandle<absl::StatusOr<int>> handle;
      auto spawn = [](JoinHandle<absl::StatusOr<int>>* handle) -> Task<void> {
        *handle = SpawnJoinable(ValueAfter, absl::Hours(1), 7);
        co_return;
      };
      if (task_first) {
        *kept = SpawnJoinable(ValueAfter, absl::Hours(1), 7);
        co_await spawn(&handle);
        static_cast<void>(co_await handle.Join());
      } else {
        // The main task is the older one: it is destroyed after the spawned one.
        Spawn([](JoinHandle<absl::StatusOr<int>> handle) -> Task<void> { static_cast<void>(co_await handle.Join()); },
              SpawnJoinable(ValueAfter, absl::Hours(1), 7));
        static_cast<void>(co_await Sleep(absl::Hours(1)));
      }
    }(&kept, task_first));
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(shard.shard().Turn(Instant::InfinitePast()));

    shard.shard().Die();
    shard.shard().Abandon();

    EXPECT_EQ(shard.shard().task_count(), 0u);
  }
}

}  // namespace
}  // namespace tandem
