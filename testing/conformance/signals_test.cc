// SPDX-License-Identifier: Apache-2.0
//
// SignalListener on the real reactors. What the simulator delivers is in sim/world/tests/signals_test.cc.

#include <csignal>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/runtime/signal_listener.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

class SignalsTest : public SocketConformanceTest {
 protected:
  SignalListener Listen(std::initializer_list<int> signals) {
    auto listener = SignalListener::Listen(signals);
    CHECK(listener.ok()) << listener.status();
    return *std::move(listener);
  }
};

Task<absl::StatusOr<int>> NextOf(SignalListener* listener) {
  absl::StatusOr<int> signal = co_await listener->Next();
  co_return signal;
}

TEST_F(SignalsTest, ASignalWakesTheCallThatWaits) {
  SignalListener listener = Listen({SIGUSR1});
  auto next = Start(NextOf(&listener));
  Settle();
  EXPECT_FALSE(next->done());
  raise(SIGUSR1);
  EXPECT_EQ(*Wait(next), SIGUSR1);
}

TEST_F(SignalsTest, ASignalThatCameBeforeIsNotLost) {
  SignalListener listener = Listen({SIGUSR1, SIGUSR2});
  raise(SIGUSR2);
  raise(SIGUSR1);
  raise(SIGUSR1);
  Settle();
  EXPECT_EQ(*Run(listener.Next()), SIGUSR1);
  EXPECT_EQ(*Run(listener.Next()), SIGUSR2);
  EXPECT_EQ(Run(listener.Next().By(Now() + absl::Milliseconds(5))).status().code(), kDeadlineExceeded);
}

TEST_F(SignalsTest, ACancelledCallLosesNoSignal) {
  SignalListener listener = Listen({SIGUSR1});
  auto next = Start(NextOf(&listener));
  Settle();
  raise(SIGUSR1);
  next->Cancel();
  const absl::StatusOr<int> result = Wait(next);
  if (result.ok()) return;
  EXPECT_EQ(result.status().code(), kCancelled);
  EXPECT_EQ(*Run(listener.Next()), SIGUSR1);
}

TEST_F(SignalsTest, ACallThatIsStoppedBeforeItBeginsLeavesTheSignal) {
  SignalListener listener = Listen({SIGUSR1});
  raise(SIGUSR1);
  Settle();
  EXPECT_EQ(Run(listener.Next().By(Now() - absl::Seconds(1))).status().code(), kDeadlineExceeded);
  auto next = Start(NextOf(&listener));
  next->Cancel();
  EXPECT_EQ(Wait(next).status().code(), kCancelled);
  EXPECT_EQ(*Run(listener.Next()), SIGUSR1);
}

TEST_F(SignalsTest, SeveralListenersHearOneSignal) {
  SignalListener one = Listen({SIGUSR1});
  SignalListener two = Listen({SIGUSR1, SIGHUP});
  raise(SIGUSR1);
  EXPECT_EQ(*Run(one.Next()), SIGUSR1);
  EXPECT_EQ(*Run(two.Next()), SIGUSR1);
}

TEST_F(SignalsTest, TheActionComesBackWithTheLastListener) {
  struct sigaction before = {};
  struct sigaction now = {};
  sigaction(SIGUSR1, nullptr, &before);
  {
    std::optional<SignalListener> one = Listen({SIGUSR1});
    const SignalListener two = Listen({SIGUSR1});
    one.reset();
    sigaction(SIGUSR1, nullptr, &now);
    EXPECT_NE(now.sa_handler, before.sa_handler);
  }
  sigaction(SIGUSR1, nullptr, &now);
  EXPECT_EQ(now.sa_handler, before.sa_handler);
}

TEST_F(SignalsTest, AListenerTakesSigtermFromTheRuntime) {
  SignalListener listener = Listen({SIGTERM});
  for (int i = 0; i < 3; ++i) {
    raise(SIGTERM);
    EXPECT_EQ(*Run(listener.Next()), SIGTERM);
  }
}

TEST_F(SignalsTest, WhatCannotBeCaughtIsRefused) {
  for (const int signal : {SIGKILL, SIGSTOP, 0, -1, 65}) {
    EXPECT_EQ(SignalListener::Listen({signal}).status().code(), kInvalidArgument) << signal;
  }
  EXPECT_EQ(SignalListener::Listen({}).status().code(), kInvalidArgument);
}

}  // namespace
}  // namespace tandem::testing
