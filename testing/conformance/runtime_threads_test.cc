// SPDX-License-Identifier: Apache-2.0
//
// What a runtime does in the real world alone: other threads and signals.

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/runtime/run_blocking.h"
#include "tandem/core/runtime/runtime.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/core/sync/channel.h"

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

struct Jobs {
  std::vector<int> taken;
  Channel<int> queue{16};
};

Task<void> Work(Jobs* jobs) {
  for (;;) {
    absl::StatusOr<int> job = co_await jobs->queue.Receive();
    jobs->taken.push_back(job.ok() ? *job : -1);
    if (!job.ok()) co_return;
  }
}

// Before: CHECK at the channel, or a use after free.
TEST(RuntimeSignalDeathTest, LocalsOfMainOutliveTheTasksThatUseThem) {
  EXPECT_EXIT(
      {
        Runtime runtime;
        const absl::Status status = runtime.BlockOn([]() -> Task<absl::Status> {
          Jobs jobs;
          for (int i = 0; i < 8; ++i) Spawn(&Work, &jobs);
          static_cast<void>(co_await Yield());
          static_cast<void>(co_await Yield());
          std::raise(SIGTERM);
          absl::Status stopped = co_await Sleep(absl::InfiniteDuration());
          EXPECT_EQ(jobs.taken, std::vector<int>(8, -1));
          co_return stopped;
        }());
        std::exit(absl::IsCancelled(status) && !::testing::Test::HasFailure() ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

// Blocking work cannot be stopped: the process ends without it, and says so.
TEST(RuntimeSignalDeathTest, TheGraceTimeEndsAStopThatWaitsForBlockingWork) {
  EXPECT_EXIT(
      {
        Runtime runtime(RuntimeOptions().set_grace(absl::Milliseconds(1100)));
        runtime.BlockOn([]() -> Task<void> {
          Spawn([]() -> Task<void> {
            static_cast<void>(co_await Sleep(absl::Milliseconds(20)));
            std::raise(SIGTERM);
            std::raise(SIGTERM);
          });
          static_cast<void>(co_await RunBlocking([] { std::this_thread::sleep_for(std::chrono::hours(1)); }));
        }());
      },
      ::testing::ExitedWithCode(2),
      "shutdown: waits for 1 task\\(s\\) and 1 operation\\(s\\) in flight(.|\n)*waits for: blocking work(.|\n)*"
      "1 task\\(s\\) did not end within 1.1s of being cancelled");
}

TEST(RuntimeThreadsTest, StatisticsMayBeReadByAnyThread) {
  Runtime runtime;
  std::atomic<bool> end = false;
  std::atomic<int> reads = 0;
  uint64_t polls = 0;
  std::thread reader([&] {
    for (; !end; ++reads) polls = runtime.statistics().polls;
  });
  // Until some were read while the loop turns.
  runtime.BlockOn([](const std::atomic<int>* reads) -> Task<void> {
    for (int i = 0; i < 100 || *reads < 100; ++i) static_cast<void>(co_await Yield());
  }(&reads));
  end = true;
  reader.join();
  EXPECT_GE(runtime.statistics().polls, 100u);
  EXPECT_LE(polls, runtime.statistics().polls);
}

TEST(RuntimeThreadsTest, PostIsRefusedAfterTheEndAndNothingAcceptedIsLost) {
  Runtime runtime;
  std::atomic<int> ran = 0;
  int accepted = 0;
  std::thread poster([&] {
    while (runtime.Post([&] { ++ran; })) ++accepted;
  });
  runtime.BlockOn([]() -> Task<void> { static_cast<void>(co_await Sleep(absl::Milliseconds(5))); }());
  poster.join();
  EXPECT_EQ(ran, accepted);
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
