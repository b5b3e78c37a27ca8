// SPDX-License-Identifier: Apache-2.0
//
// How a runtime stops: who is cancelled when, and what a program can know of it. In every world.

#include "tandem/core/runtime/stop.h"

#include <optional>
#include <stdexcept>
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
#include "tandem/core/runtime/host_local.h"
#include "tandem/core/runtime/runtime.h"
#include "tandem/core/sync/channel.h"
#include "tandem/core/sync/event.h"
#include "tandem/core/sync/wait_group.h"

namespace tandem {
namespace {

using Log = std::vector<std::string>;

Task<void> StopSoon(Runtime* runtime) {
  static_cast<void>(co_await Sleep(absl::Milliseconds(2)));
  runtime->RequestStop();
}

// --- What main owns ---

// Uses `words` until it is stopped, and after that, too.
Task<void> UseUntilStopped(Channel<std::string>* words, Log* log) {
  while ((co_await words->Receive()).ok()) {
  }
  auto clean_up = []() -> Task<absl::Status> { co_return co_await Sleep(absl::Milliseconds(5)); };
  static_cast<void>(co_await Shield(absl::Seconds(5), clean_up()));
  EXPECT_EQ(words->TryReceive(), std::nullopt);
  log->push_back("worker");
}

Task<absl::Status> LendLocalsToTasks(Runtime* runtime, Log* log) {
  Channel<std::string> words(1);
  for (int i = 0; i < 3; ++i) Spawn(&UseUntilStopped, &words, log);
  Spawn(&StopSoon, runtime);
  absl::Status status = co_await Sleep(absl::Hours(1));
  log->push_back("main");
  co_return status;
}

// Before, main was cancelled alone, and its locals were gone when the others heard of it: CHECK at the channel.
TEST(StopTest, LocalsOfMainOutliveTheTasksThatUseThem) {
  for (int i = 0; i < 5; ++i) {
    Runtime runtime;
    Log log;
    const absl::Status status = runtime.BlockOn(LendLocalsToTasks(&runtime, &log));
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(log.size(), 4u);
    EXPECT_EQ(log.back(), "main");
  }
}

Task<absl::Status> AcceptWork(Channel<std::string>* words, Log* log) {
  Spawn(&UseUntilStopped, words, log);
  co_return co_await Sleep(absl::Hours(1));
}

Task<absl::Status> LendThroughOtherCoroutines(Runtime* runtime, Log* log) {
  Channel<std::string> words(1);
  Spawn(&StopSoon, runtime);
  auto [accepted, slept] = co_await WhenAny(AcceptWork(&words, log), Sleep(absl::Hours(2)));
  EXPECT_FALSE(accepted.has_value() || slept.has_value());
  log->push_back("main");
  co_return absl::CancelledError();
}

TEST(StopTest, MainComesLastAlsoWhenItWaitsForOtherTasks) {
  Runtime runtime;
  Log log;
  EXPECT_TRUE(absl::IsCancelled(runtime.BlockOn(LendThroughOtherCoroutines(&runtime, &log))));
  EXPECT_EQ(log, (Log{"worker", "main"}));
}

TEST(StopTest, MainMaySpawnAndWaitWhenItIsLast) {
  Runtime runtime;
  Log log;
  const absl::Status status = runtime.BlockOn([](Runtime* runtime, Log* log) -> Task<absl::Status> {
    Spawn(&StopSoon, runtime);
    absl::Status stopped = co_await Sleep(absl::Hours(1));
    Event ready;
    Spawn(
        [](Event* ready, Log* log) -> Task<void> {
          EXPECT_TRUE(absl::IsCancelled(co_await Sleep(absl::Seconds(1))));
          ready->Set();
          log->push_back("spawned late");
        },
        &ready, log);
    auto wait = [](Event* ready) -> Task<absl::Status> { co_return co_await ready->Wait(); };
    absl::Status waited = co_await Shield(absl::Seconds(5), wait(&ready));
    EXPECT_TRUE(waited.ok()) << waited;
    log->push_back("main");
    co_return stopped;
  }(&runtime, &log));
  EXPECT_TRUE(absl::IsCancelled(status));
  EXPECT_EQ(log, (Log{"spawned late", "main"}));
}

TEST(StopTest, MainThatThrowsAfterAStopIsHeard) {
  Runtime runtime;
  EXPECT_THROW(runtime.BlockOn([](Runtime* runtime) -> Task<void> {
    Spawn(&StopSoon, runtime);
    static_cast<void>(co_await Sleep(absl::Hours(1)));
    throw std::runtime_error("at the end");
  }(&runtime)),
               std::runtime_error);
}

TEST(StopTest, AStopBeforeMainBeginsCancelsItsFirstCall) {
  Runtime runtime;
  runtime.RequestStop();
  runtime.RequestStop();
  EXPECT_TRUE(absl::IsCancelled(runtime.BlockOn([]() -> Task<absl::Status> {
    EXPECT_TRUE(StopAnnounced());
    co_return co_await Sleep(absl::Hours(1));
  }())));
}

// --- Announced first ---

struct Served {
  Event begun;    // A job.
  Event release;  // It ends then.
  int done = 0;
  bool cancelled = false;
};

Task<absl::Status> Serve(Channel<int>* jobs, Served* served) {
  for (;;) {
    absl::StatusOr<int> job = co_await UntilStop(jobs->Receive());
    if (!job.ok()) co_return job.status();
    served->begun.Set();
    absl::Status worked = co_await served->release.Wait();  // The job; it is not cut off.
    EXPECT_TRUE(worked.ok()) << worked;
    ++served->done;
  }
}

TEST(StopTest, WhatRunsInADrainFinishesWhatItHasBegun) {
  Runtime runtime;
  Channel<int> jobs(10);
  Served served;
  const absl::Status status =
      runtime.BlockOn([](Runtime* runtime, Channel<int>* jobs, Served* served) -> Task<absl::Status> {
        Spawn(
            [](Runtime* runtime, Channel<int>* jobs, Served* served) -> Task<void> {
              EXPECT_TRUE(jobs->TrySend(1));
              EXPECT_TRUE(jobs->TrySend(2));
              static_cast<void>(co_await served->begun.Wait());
              EXPECT_FALSE(StopAnnounced());
              runtime->RequestStop();
              absl::Status told = co_await WaitForStop();
              EXPECT_TRUE(told.ok()) << told;
              EXPECT_TRUE(StopAnnounced());
              served->release.Set();
              served->cancelled = absl::IsCancelled(co_await Sleep(absl::Hours(1)));
              EXPECT_EQ(served->done, 1);  // The drain had ended.
            },
            runtime, jobs, served);
        absl::Status status = co_await WithDrain(absl::Seconds(10), Serve(jobs, served));
        EXPECT_TRUE(served->cancelled);  // Main goes on last.
        co_return status;
      }(&runtime, &jobs, &served));
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(served.done, 1);
  EXPECT_EQ(jobs.size(), 1u);  // Not lost.
}

TEST(StopTest, ADrainThatTakesItsLimitIsCancelled) {
  Runtime runtime;
  const absl::Status status = runtime.BlockOn([](Runtime* runtime) -> Task<absl::Status> {
    Spawn(&StopSoon, runtime);
    auto work = []() -> Task<absl::Status> {
      const Instant start = Now();
      absl::Status status = co_await Sleep(absl::Hours(1));
      EXPECT_GE(Now() - start, absl::Milliseconds(20));
      co_return status;
    };
    co_return co_await WithDrain(absl::Milliseconds(20), work());
  }(&runtime));
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

TEST(StopTest, TheLastOfSeveralDrainsCounts) {
  Runtime runtime;
  Log log;
  runtime.BlockOn([](Runtime* runtime, Log* log) -> Task<void> {
    Spawn(&StopSoon, runtime);
    auto drain = [](absl::Duration time, Log* log) -> Task<absl::Status> {
      absl::Status told = co_await WaitForStop();
      EXPECT_TRUE(told.ok()) << told;
      absl::Status slept = co_await Sleep(time);
      log->push_back(slept.ok() ? "finished" : "cut");
      co_return slept;
    };
    static_cast<void>(co_await WhenAll(WithDrain(absl::Milliseconds(1), drain(absl::Milliseconds(10), log)),
                                       WithDrain(absl::Seconds(10), drain(absl::Milliseconds(20), log)),
                                       WithDrain(absl::InfiniteDuration(), drain(absl::Milliseconds(5), log))));
  }(&runtime, &log));
  EXPECT_EQ(log, (Log{"finished", "finished", "finished"}));
}

Task<absl::Status> EndAfterTheStop(std::string name, absl::Duration time, Log* log) {
  absl::Status told = co_await WaitForStop();
  EXPECT_TRUE(told.ok()) << told;
  absl::Status slept = co_await Sleep(time);
  log->push_back(name);
  co_return slept;
}

Task<void> DrainOfAnother(Log* log) {
  absl::Status status = co_await WithDrain(absl::Seconds(10), EndAfterTheStop("other", absl::Milliseconds(20), log));
  EXPECT_TRUE(status.ok()) << status;
}

TEST(StopTest, MainGoesOnAfterItsDrainWhileThereAreOthers) {
  Runtime runtime;
  Log log;
  runtime.BlockOn([](Runtime* runtime, Log* log) -> Task<void> {
    Spawn(&DrainOfAnother, log);
    Spawn(&StopSoon, runtime);
    absl::Status status = co_await WithDrain(absl::Seconds(10), EndAfterTheStop("main", absl::Milliseconds(5), log));
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(*log, (Log{"main"}));
    // Stopped when the other drain is over.
    status = co_await Sleep(absl::Hours(1));
    EXPECT_EQ(status, CancelledStatus());
    EXPECT_EQ(*log, (Log{"main", "other"}));
  }(&runtime, &log));
}

TEST(StopTest, OtherCancellationsPassADrain) {
  Runtime runtime;
  runtime.BlockOn([]() -> Task<void> {
    auto work = []() -> Task<absl::Status> { co_return co_await Sleep(absl::Hours(1)); };
    absl::Status status = co_await WithTimeout(absl::Milliseconds(1), WithDrain(absl::Hours(1), work()));
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_FALSE(StopAnnounced());
  }());
}

TEST(StopTest, MainThatReturnsEndsADrain) {
  Runtime runtime;
  bool cancelled = false;
  runtime.BlockOn([](bool* cancelled) -> Task<void> {
    Spawn(
        [](bool* cancelled) -> Task<void> {
          auto work = []() -> Task<absl::Status> { co_return co_await Sleep(absl::Hours(1)); };
          *cancelled = absl::IsCancelled(co_await WithDrain(absl::Hours(1), work()));
        },
        cancelled);
    static_cast<void>(co_await Yield());
    static_cast<void>(co_await Yield());
  }(&cancelled));
  EXPECT_TRUE(cancelled);
}

TEST(StopTest, UntilStopLeavesOtherResultsAlone) {
  Runtime runtime;
  runtime.BlockOn([](Runtime* runtime) -> Task<void> {
    auto seven = []() -> Task<absl::StatusOr<int>> { co_return 7; };
    absl::StatusOr<int> value = co_await UntilStop(seven());
    EXPECT_EQ(*value, 7);
    absl::Status slept = co_await UntilStop(Sleep(absl::Milliseconds(1)));
    EXPECT_TRUE(slept.ok()) << slept;
    slept = co_await WithTimeout(absl::Milliseconds(1), UntilStop(Sleep(absl::Hours(1))));
    EXPECT_TRUE(absl::IsDeadlineExceeded(slept)) << slept;
    auto drain = [](Runtime* runtime) -> Task<absl::Status> {
      runtime->RequestStop();
      absl::Status told = co_await WaitForStop();
      EXPECT_TRUE(told.ok());
      absl::Status refused = co_await UntilStop(Sleep(absl::Milliseconds(1)));
      EXPECT_TRUE(absl::IsCancelled(refused)) << refused;
      co_return co_await Sleep(absl::Milliseconds(1));
    };
    absl::Status drained = co_await WithDrain(absl::Seconds(10), drain(runtime));
    EXPECT_TRUE(drained.ok()) << drained;
  }(&runtime));
}

TEST(StopDeathTest, ADrainBelowZeroIsABug) {
  EXPECT_DEATH(
      {
        Runtime runtime;
        runtime.BlockOn([]() -> Task<void> {
          auto work = []() -> Task<absl::Status> { co_return absl::OkStatus(); };
          static_cast<void>(co_await WithDrain(-absl::Seconds(1), work()));
        }());
      },
      "a drain with a limit below zero");
}

// --- The grace time ---

// Main itself does not end: before, the time counted from its end alone.
TEST(StopDeathTest, TheGraceTimeCountsFromTheStopAndWhatIsWaitedForIsSaid) {
  EXPECT_EXIT(
      {
        Runtime runtime(RuntimeOptions().set_grace(absl::Milliseconds(1200)));
        runtime.BlockOn([](Runtime* runtime) -> Task<void> {
          for (int i = 0; i < 20; ++i) {
            Spawn([]() -> Task<void> {
              auto stubborn = []() -> Task<absl::Status> { co_return co_await Sleep(absl::Hours(1)); };
              static_cast<void>(co_await Shield(absl::Hours(2), stubborn()));
            });
          }
          Spawn(&StopSoon, runtime);
          static_cast<void>(co_await Sleep(absl::Hours(1)));
        }(&runtime));
      },
      ::testing::ExitedWithCode(2),
      "shutdown: waits for 21 task\\(s\\) and 0 operation\\(s\\) in flight, up to [0-9.]+ms more\n"
      "(.|\n)*waits for: the end of all other tasks(.|\n)*and 19 more like it\n"
      "(.|\n)*21 task\\(s\\) did not end within 1.2s of being cancelled");
}

}  // namespace
}  // namespace tandem
