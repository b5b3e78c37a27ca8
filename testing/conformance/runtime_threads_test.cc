// SPDX-License-Identifier: Apache-2.0
//
// What a runtime does in the real world alone: other threads and signals.

#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/async/combinators.h"
#include "core/async/executor.h"
#include "core/async/task.h"
#include "core/io/buffer.h"
#include "core/io/reactor.h"
#include "core/runtime/runtime.h"
#include "core/runtime/shard.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

TEST(RuntimeThreadsTest, PostFromOtherThreadsRunsEveryFunctionOnceOnTheShard) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 5000;
  Runtime runtime;
  int count = 0;  // Touched on the shard alone.
  std::vector<int> last(kThreads, -1);
  bool in_order = true;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) {
        runtime.Post([&, t, i] {
          in_order = in_order && last[t] < i;
          last[t] = i;
          ++count;
        });
      }
    });
  }
  runtime.BlockOn([](int* count) -> Task<void> {
    while (*count < kThreads * kPosts) static_cast<void>(co_await Sleep(absl::Milliseconds(1)));
  }(&count));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, kThreads * kPosts);
  EXPECT_TRUE(in_order);
}

TEST(RuntimeThreadsDeathTest, ABufferDiesOnItsOwnShard) {
  EXPECT_DEATH(
      {
        Runtime runtime;
        runtime.BlockOn([](Runtime* runtime) -> Task<void> {
          Buffer buffer = runtime->shard().reactor().heap_buffers().Copy("x");
          std::thread([&buffer] { buffer.Reset(); }).join();
          co_return;
        }(&runtime));
      },
      "a Buffer was destroyed on another shard");
}

// The loop sleeps in the kernel, without a timer: only the wake-up can end that.
TEST(RuntimeThreadsTest, RequestStopFromAnotherThreadWakesASleepingShard) {
  for (int i = 0; i < 20; ++i) {
    Runtime runtime;
    std::thread stopper([&] { runtime.RequestStop(); });
    const absl::Status status =
        runtime.BlockOn([]() -> Task<absl::Status> { co_return co_await Sleep(absl::InfiniteDuration()); }());
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
    stopper.join();
  }
}

TEST(RuntimeSignalDeathTest, SignalsCancelMain) {
  for (const int signal : {SIGTERM, SIGINT}) {
    EXPECT_EXIT(
        {
          Runtime runtime;
          const absl::Status status = runtime.BlockOn([](int signal) -> Task<absl::Status> {
            static_cast<void>(co_await Yield());
            std::raise(signal);
            co_return co_await Sleep(absl::InfiniteDuration());
          }(signal));
          std::exit(absl::IsCancelled(status) ? 0 : 1);
        },
        ::testing::ExitedWithCode(0), "");
  }
}

// timeout(1) sends it to the process and to its group.
TEST(RuntimeSignalDeathTest, MoreSigtermsChangeNothing) {
  EXPECT_EXIT(
      {
        Runtime runtime;
        const absl::Status status = runtime.BlockOn([]() -> Task<absl::Status> {
          static_cast<void>(co_await Yield());
          std::raise(SIGTERM);
          std::raise(SIGTERM);
          const absl::Status cancelled = co_await Sleep(absl::InfiniteDuration());
          std::raise(SIGTERM);
          co_return cancelled;
        }());
        std::exit(absl::IsCancelled(status) ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(RuntimeSignalDeathTest, SecondSigintKills) {
  EXPECT_EXIT(
      {
        Runtime runtime;
        runtime.BlockOn([]() -> Task<void> {
          static_cast<void>(co_await Yield());
          std::raise(SIGINT);
          static_cast<void>(co_await Sleep(absl::InfiniteDuration()));
          std::raise(SIGINT);
          auto stubborn = []() -> Task<absl::Status> { co_return co_await Sleep(absl::Seconds(30)); };
          static_cast<void>(co_await Shield(absl::Seconds(30), stubborn()));
        }());
      },
      ::testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace tandem
