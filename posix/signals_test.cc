// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/signals.h"

#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "gtest/gtest.h"
#include "tandem/core/io/reactor.h"

namespace tandem::posix {
namespace {

void CountWake(void* context) { static_cast<std::atomic<int>*>(context)->fetch_add(1); }

uint64_t BitOf(int signal) { return uint64_t{1} << (signal - 1); }

TEST(SignalsTest, ASignalWakesAndIsTakenOnce) {
  std::atomic<int> wakes{0};
  Signals signals(&CountWake, &wakes);
  ASSERT_EQ(signals.Watch(SIGTERM, SignalWatch::kOnce), 0);
  ASSERT_EQ(signals.Watch(SIGHUP, SignalWatch::kAlways), 0);
  EXPECT_FALSE(signals.pending());

  ASSERT_EQ(raise(SIGTERM), 0);
  ASSERT_EQ(raise(SIGHUP), 0);
  ASSERT_EQ(raise(SIGHUP), 0);

  EXPECT_EQ(wakes.load(), 3);
  EXPECT_TRUE(signals.pending());
  EXPECT_EQ(signals.TakePending(), BitOf(SIGTERM) | BitOf(SIGHUP));
  EXPECT_FALSE(signals.pending());
}

TEST(SignalsDeathTest, OnceMeansThatTheSecondOneKills) {
  EXPECT_EXIT(
      {
        std::atomic<int> wakes{0};
        Signals signals(&CountWake, &wakes);
        signals.Watch(SIGTERM, SignalWatch::kOnce);
        raise(SIGTERM);
        if (wakes.load() != 1) _exit(3);
        raise(SIGTERM);
      },
      ::testing::KilledBySignal(SIGTERM), "");
}

TEST(SignalsTest, TheOldActionComesBack) {
  struct sigaction before = {};
  struct sigaction after = {};
  sigaction(SIGINT, nullptr, &before);
  {
    std::atomic<int> wakes{0};
    Signals signals(&CountWake, &wakes);
    ASSERT_EQ(signals.Watch(SIGINT, SignalWatch::kAlways), 0);
    sigaction(SIGINT, nullptr, &after);
    EXPECT_NE(after.sa_handler, before.sa_handler);
    ASSERT_EQ(signals.Watch(SIGINT, SignalWatch::kOff), 0);
    sigaction(SIGINT, nullptr, &after);
    EXPECT_EQ(after.sa_handler, before.sa_handler);
    ASSERT_EQ(signals.Watch(SIGINT, SignalWatch::kOnce), 0);
    raise(SIGINT);
  }

  sigaction(SIGINT, nullptr, &after);

  EXPECT_EQ(after.sa_handler, before.sa_handler);
}

TEST(SignalsTest, WhatCannotBeCaughtIsRefused) {
  std::atomic<int> wakes{0};
  Signals signals(&CountWake, &wakes);

  for (const int signal : {0, -1, 65, SIGKILL, SIGSTOP}) {
    EXPECT_EQ(signals.Watch(signal, SignalWatch::kAlways), -EINVAL) << signal;
  }
}

TEST(SignalsTest, SigpipeIsIgnoredMeanwhile) {
  std::atomic<int> wakes{0};
  Signals signals(&CountWake, &wakes);

  raise(SIGPIPE);

  EXPECT_EQ(wakes.load(), 0);
}

// An ignored signal stays ignored across exec(2): a pipeline that this program starts would not end by itself.
TEST(SignalsTest, ProgramsThatAreStartedDoNotIgnoreSigpipe) {
  std::atomic<int> wakes{0};
  Signals signals(&CountWake, &wakes);

  const int status = std::system("kill -PIPE $$; exit 3");

  ASSERT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_EQ(WTERMSIG(status), SIGPIPE);
}

int WaitForChild(pid_t child) {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

TEST(SignalsTest, AChildHasItsSignalsForItself) {
  std::atomic<int> wakes{0};
  Signals signals(&CountWake, &wakes);
  ASSERT_EQ(signals.Watch(SIGTERM, SignalWatch::kAlways), 0);

  const pid_t child = fork();
  if (child == 0) {
    raise(SIGTERM);
    _exit(3);
  }

  const int status = WaitForChild(child);
  ASSERT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
  EXPECT_FALSE(signals.pending());
}

TEST(SignalsTest, AChildMayHaveAnOwnerOfItsOwn) {
  std::atomic<int> wakes{0};
  Signals signals(&CountWake, &wakes);
  ASSERT_EQ(signals.Watch(SIGTERM, SignalWatch::kAlways), 0);

  const pid_t child = fork();
  if (child == 0) {
    std::atomic<int> own_wakes{0};
    {
      Signals own(&CountWake, &own_wakes);
      own.Watch(SIGTERM, SignalWatch::kAlways);
      raise(SIGTERM);
      if (own.TakePending() != BitOf(SIGTERM) || own_wakes != 1 || wakes != 0) _exit(4);
    }
    raise(SIGTERM);
    _exit(3);
  }

  const int status = WaitForChild(child);
  ASSERT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
}

TEST(SignalsDeathTest, SecondOwnerIsRefused) {
  EXPECT_DEATH(
      {
        std::atomic<int> wakes{0};
        Signals first(&CountWake, &wakes);
        Signals second(&CountWake, &wakes);
      },
      "already have an owner");
}

}  // namespace
}  // namespace tandem::posix
