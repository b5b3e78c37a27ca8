// SPDX-License-Identifier: Apache-2.0

#include "posix/stop_signals.h"

#include <signal.h>

#include <atomic>

#include "gtest/gtest.h"

namespace tandem::posix {
namespace {

void CountWake(void* context) { static_cast<std::atomic<int>*>(context)->fetch_add(1); }

TEST(StopSignalsTest, FirstSignalWakesAndIsTakenOnce) {
  std::atomic<int> wakes{0};
  StopSignals signals(&CountWake, &wakes);

  ASSERT_EQ(raise(SIGTERM), 0);

  EXPECT_EQ(wakes.load(), 1);
  EXPECT_TRUE(signals.TakeRequest());
  EXPECT_FALSE(signals.TakeRequest());
}

TEST(StopSignalsDeathTest, SecondSignalKills) {
  EXPECT_EXIT(
      {
        std::atomic<int> wakes{0};
        StopSignals signals(&CountWake, &wakes);
        raise(SIGINT);
        if (wakes.load() != 1) _exit(3);
        raise(SIGTERM);
      },
      ::testing::KilledBySignal(SIGTERM), "");
}

TEST(StopSignalsTest, DestructionPutsOldActionsBack) {
  struct sigaction before = {};
  struct sigaction after = {};
  sigaction(SIGINT, nullptr, &before);
  {
    std::atomic<int> wakes{0};
    StopSignals signals(&CountWake, &wakes);
    sigaction(SIGINT, nullptr, &after);
    EXPECT_NE(after.sa_handler, before.sa_handler);
  }

  sigaction(SIGINT, nullptr, &after);

  EXPECT_EQ(after.sa_handler, before.sa_handler);
}

TEST(StopSignalsTest, SigpipeIsIgnoredMeanwhile) {
  std::atomic<int> wakes{0};
  StopSignals signals(&CountWake, &wakes);

  raise(SIGPIPE);

  EXPECT_EQ(wakes.load(), 0);
}

TEST(StopSignalsDeathTest, SecondOwnerIsRefused) {
  EXPECT_DEATH(
      {
        std::atomic<int> wakes{0};
        StopSignals first(&CountWake, &wakes);
        StopSignals second(&CountWake, &wakes);
      },
      "already have an owner");
}

}  // namespace
}  // namespace tandem::posix
