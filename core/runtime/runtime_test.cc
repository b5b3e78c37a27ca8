// SPDX-License-Identifier: Apache-2.0
//
// What Runtime promises in every world.

#include "tandem/core/runtime/runtime.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/runtime/host_local.h"
#include "tandem/core/runtime/shard.h"

namespace tandem {
namespace {

TEST(RuntimeTest, BlockOnReturnsWhatMainReturns) {
  Runtime runtime;
  EXPECT_EQ(runtime.BlockOn([]() -> Task<int> { co_return 7; }()), 7);
}

// Nothing is ready and nothing will come: the loop must not wait.
TEST(RuntimeTest, MainThatEndsAtOnceEndsBlockOn) {
  Runtime runtime;
  runtime.BlockOn([]() -> Task<void> { co_return; }());
}

TEST(RuntimeTest, BlockOnReturnsMoveOnlyResults) {
  Runtime runtime;
  const auto result = runtime.BlockOn([]() -> Task<std::unique_ptr<int>> {
    static_cast<void>(co_await Sleep(absl::Milliseconds(1)));
    co_return std::make_unique<int>(7);
  }());
  EXPECT_EQ(*result, 7);
}

TEST(RuntimeTest, BlockOnThrowsWhatMainThrows) {
  Runtime runtime;
  EXPECT_THROW(runtime.BlockOn([]() -> Task<int> {
    static_cast<void>(co_await Yield());
    throw std::runtime_error("broken");
  }()),
               std::runtime_error);
}

TEST(RuntimeTest, CreateSaysWhyItFails) {
  auto runtime = Runtime::Create();
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  EXPECT_EQ((*runtime)->BlockOn([]() -> Task<int> { co_return 1; }()), 1);
}

TEST(RuntimeTest, OneRuntimeMayFollowAnother) {
  for (int i = 0; i < 5; ++i) {
    Runtime runtime;
    EXPECT_EQ(runtime.BlockOn([](int i) -> Task<int> { co_return i; }(i)), i);
  }
}

TEST(RuntimeTest, TasksThatAreLeftAreCancelledAndJoined) {
  std::vector<std::string> log;
  Runtime runtime;
  runtime.BlockOn([](std::vector<std::string>* log) -> Task<void> {
    Spawn(
        [](std::vector<std::string>* log) -> Task<void> {
          const absl::Status status = co_await Sleep(absl::Hours(1));
          auto clean_up = []() -> Task<absl::Status> { co_return co_await Sleep(absl::Milliseconds(5)); };
          static_cast<void>(co_await Shield(absl::Seconds(5), clean_up()));
          log->push_back(status.ToString());
        },
        log);
    static_cast<void>(co_await Yield());
    log->push_back("main");
  }(&log));
  EXPECT_EQ(log, (std::vector<std::string>{"main", "CANCELLED: "}));
}

TEST(RuntimeTest, RequestStopCancelsMain) {
  Runtime runtime;
  const absl::Status status = runtime.BlockOn([](Runtime* runtime) -> Task<absl::Status> {
    Spawn(
        [](Runtime* runtime) -> Task<void> {
          static_cast<void>(co_await Sleep(absl::Milliseconds(1)));
          runtime->RequestStop();
        },
        runtime);
    co_return co_await Sleep(absl::Hours(1));
  }(&runtime));
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

TEST(RuntimeTest, RequestStopBeforehandCancelsTheFirstCall) {
  Runtime runtime;
  runtime.RequestStop();
  const absl::Status status = runtime.BlockOn([]() -> Task<absl::Status> {
    static_cast<void>(co_await Yield());
    co_return co_await Sleep(absl::Hours(1));
  }());
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

TEST(RuntimeTest, PostRunsOnTheShardInOrder) {
  Runtime runtime;
  std::vector<int> order;
  runtime.Post([&] { order.push_back(1); });
  runtime.BlockOn([](Runtime* runtime, std::vector<int>* order) -> Task<void> {
    for (int i = 2; i < 5; ++i) {
      runtime->Post([order, i] {
        EXPECT_TRUE(Executor::HasCurrent());
        order->push_back(i);
      });
    }
    while (order->size() < 4) static_cast<void>(co_await Sleep(absl::Milliseconds(1)));
  }(&runtime, &order));
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4}));
}

// A thread that waits for its function to run would otherwise wait for ever.
TEST(RuntimeTest, WhatIsAcceptedRunsAndWhatComesTooLateIsRefused) {
  Runtime runtime;
  auto destroyed = std::make_shared<int>(0);
  int ran = 0;
  bool late_accepted = true;
  EXPECT_TRUE(runtime.Post([&] { ++ran; }));
  runtime.BlockOn([](Runtime* runtime, int* ran, bool* late_accepted) -> Task<void> {
    EXPECT_TRUE(runtime->Post([=] {
      ++*ran;
      // From here on by itself, after main and every task: as long as it is accepted.
      struct Again {
        static void Run(Runtime* runtime, int* ran, bool* accepted) {
          ++*ran;
          *accepted = runtime->Post([=] { Run(runtime, ran, accepted); });
        }
      };
      Again::Run(runtime, ran, late_accepted);
    }));
    co_return;
  }(&runtime, &ran, &late_accepted));
  EXPECT_GE(ran, 3);
  EXPECT_FALSE(late_accepted);
  const int before = ran;
  EXPECT_FALSE(runtime.Post([&ran, destroyed] { ++ran; }));
  EXPECT_EQ(ran, before);
  EXPECT_EQ(destroyed.use_count(), 1);  // Destroyed, unrun.
  runtime.RequestStop();                // Does nothing any more.
}

// What the last letters start is joined.
TEST(RuntimeTest, ATaskThatTheLastLetterSpawnsIsJoined) {
  Runtime runtime;
  bool ended = false;
  struct Spawner {
    static void Run(Runtime* runtime, bool* ended) {
      if (runtime->Post([=] { Run(runtime, ended); })) return;
      Spawn(
          [](bool* ended) -> Task<void> {
            static_cast<void>(co_await Sleep(absl::Hours(1)));
            *ended = true;
          },
          ended);
    }
  };
  runtime.BlockOn([](Runtime* runtime, bool* ended) -> Task<void> {
    Spawner::Run(runtime, ended);
    co_return;
  }(&runtime, &ended));
  EXPECT_TRUE(ended);
}

TEST(RuntimeTest, RandomStreamsAreNamed) {
  Runtime runtime;
  runtime.BlockOn([]() -> Task<void> {
    EXPECT_EQ(&Random("a"), &Random("a"));
    EXPECT_NE(Random("a").key(), Random("b").key());
    EXPECT_NE(Random("a", 1).key(), Random("a", 2).key());
    co_return;
  }());
}

TEST(RuntimeTest, ClocksGoForward) {
  Runtime runtime;
  runtime.BlockOn([]() -> Task<void> {
    const Instant before = Now();
    const absl::Time wall_before = WallNow();
    static_cast<void>(co_await Sleep(absl::Milliseconds(5)));
    EXPECT_GE(Now() - before, absl::Milliseconds(5));
    EXPECT_GE(WallNow() - wall_before, absl::Milliseconds(5) - absl::Milliseconds(1));
    EXPECT_GT(WallNow(), absl::FromUnixSeconds(1'500'000'000));
  }());
}

// --- HostLocal ---

struct Holder {
  ~Holder() {
    if (destroyed != nullptr) *destroyed = true;
  }
  int value = 0;
  bool* destroyed = nullptr;
  TcpStream stream;
};
HostLocal<Holder> holder;

TEST(HostLocalTest, IsOneForEachRuntimeAndEndsWithIt) {
  for (int i = 0; i < 2; ++i) {
    bool destroyed = false;
    Runtime runtime;
    runtime.BlockOn([](bool* destroyed) -> Task<void> {
      EXPECT_EQ(holder->value++, 0);
      EXPECT_EQ(holder->value, 1);
      holder->destroyed = destroyed;
      co_return;
    }(&destroyed));
    EXPECT_TRUE(destroyed);
  }
}

TEST(HostLocalTest, StreamInsideIsClosedAndDrained) {
  Runtime runtime;
  runtime.BlockOn([]() -> Task<void> {
    auto listener = TcpListener::Listen(SocketAddress::LoopbackIpv4(0));
    auto stream = co_await TcpStream::Connect(listener->LocalAddress());
    EXPECT_TRUE(stream.ok()) << stream.status();
    if (stream.ok()) holder->stream = *std::move(stream);
  }());
  EXPECT_EQ(runtime.shard().reactor().in_flight(), 0u);
}

// --- Stopping ---

// What tasks spawn while they are being stopped is stopped, too.
TEST(RuntimeTest, TasksThatAreSpawnedWhileStoppingAreJoined) {
  struct Counts {
    int spawned = 0;
    int ended = 0;
  } counts;
  struct Spawner {
    static Task<void> Run(Counts* counts, int generations) {
      EXPECT_TRUE(absl::IsCancelled(co_await Sleep(absl::InfiniteDuration())));
      if (generations > 0) {
        ++counts->spawned;
        Spawn(&Run, counts, generations - 1);
      }
      ++counts->ended;
    }
  };
  Runtime runtime;
  runtime.BlockOn([](Counts* counts) -> Task<void> {
    for (int i = 0; i < 10; ++i) {
      ++counts->spawned;
      Spawn(&Spawner::Run, counts, 20);
    }
    static_cast<void>(co_await Yield());
  }(&counts));
  EXPECT_EQ(counts.spawned, 210);
  EXPECT_EQ(counts.ended, counts.spawned);
}

TEST(RuntimeTest, AHundredThousandTasksAreJoined) {
  constexpr int kTasks = 100'000;
  Runtime runtime;
  int ended = 0;
  runtime.BlockOn([](int* ended) -> Task<void> {
    const auto child = [](int* ended) -> Task<void> {
      static_cast<void>(co_await Sleep(absl::Hours(1)));
      ++*ended;
    };
    for (int i = 0; i < kTasks; ++i) Spawn(child, ended);
    static_cast<void>(co_await Yield());
    static_cast<void>(co_await Yield());
  }(&ended));
  EXPECT_EQ(ended, kTasks);
}

TEST(RuntimeDeathTest, SecondBlockOnIsABug) {
  EXPECT_DEATH(
      {
        Runtime runtime;
        runtime.BlockOn([]() -> Task<void> { co_return; }());
        runtime.BlockOn([]() -> Task<void> { co_return; }());
      },
      "BlockOn\\(\\) was called twice");
}

TEST(RuntimeDeathTest, SecondRuntimeAtTheSameTimeIsABug) {
  EXPECT_DEATH(
      {
        Runtime first;
        first.BlockOn([]() -> Task<void> {
          Runtime second;
          second.BlockOn([]() -> Task<void> { co_return; }());
          co_return;
        }());
      },
      "already");
}

// --- Ends with a report ---

TEST(RuntimeDeathTest, TasksThatDoNotEndAreNamedAndTheExitCodeIsTwo) {
  EXPECT_EXIT(
      {
        Runtime runtime(RuntimeOptions().set_grace(absl::Milliseconds(20)));
        runtime.BlockOn([]() -> Task<void> {
          Spawn([]() -> Task<void> {
            auto stubborn = []() -> Task<absl::Status> { co_return co_await Sleep(absl::Hours(1)); };
            static_cast<void>(co_await Shield(absl::Hours(2), stubborn()));
          });
          static_cast<void>(co_await Yield());
        }());
      },
      ::testing::ExitedWithCode(2),
      "1 task\\(s\\) did not end within 20ms(.|\n)*waits for: a timer in(.|\n)*core/runtime/runtime_test.cc:");
}

}  // namespace
}  // namespace tandem
