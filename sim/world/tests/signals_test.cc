// SPDX-License-Identifier: Apache-2.0

#include <csignal>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/core/runtime/signal_listener.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/tests/ping.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

TEST(SignalsTest, HostsTalkOverTcp) {
  World world;
  int failures = 0;
  world.AddHost("server", [] { return Serve(); });
  Host& client = world.AddHost("client", [&] { return Ping("server:7", 100, &failures); });

  absl::Status status = world.RunUntilDone(client, absl::Minutes(1));

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(failures, 0);
}

TEST(SignalsTest, AStopSignalCancelsMain) {
  World world;
  Host& server = world.AddHost("server", [] { return Serve(); });
  world.After(absl::Seconds(1), [&] { server.DeliverSignal(SIGTERM); });

  absl::Status status = world.RunUntilDone(server, absl::Minutes(1));

  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
}

TEST(SignalsTest, ASecondSigtermChangesNothingAndASecondSigintKills) {
  World world;
  Host& told_twice = world.AddHost("stopped", [] { return Serve(); });
  Host& killed = world.AddHost("killed", [] { return Serve(); });
  world.After(absl::Seconds(1), [&] {
    for (int i = 0; i < 2; ++i) {
      told_twice.DeliverSignal(SIGTERM);
      killed.DeliverSignal(SIGINT);
    }
  });

  const absl::Status stopped = world.RunUntilDone(told_twice, absl::Minutes(1));

  EXPECT_EQ(stopped.code(), absl::StatusCode::kCancelled) << stopped;
  EXPECT_FALSE(killed.alive());
}

Task<absl::Status> CountSignals(std::vector<int>* signals) {
  absl::StatusOr<SignalListener> listener = SignalListener::Listen({SIGHUP, SIGUSR1});
  if (!listener.ok()) co_return listener.status();
  for (;;) {
    absl::StatusOr<int> signal = co_await listener->Next();
    if (!signal.ok()) co_return signal.status();
    signals->push_back(*signal);
  }
}

TEST(SignalsTest, ASignalReachesTheTaskThatListens) {
  World world;
  std::vector<int> signals;
  Host& server = world.AddHost("server", [&] { return CountSignals(&signals); });
  world.After(absl::Seconds(1), [&] { server.DeliverSignal(SIGHUP); });
  world.After(absl::Seconds(2), [&] { server.DeliverSignal(SIGUSR1); });
  world.After(absl::Seconds(3), [&] { server.DeliverSignal(SIGHUP); });
  world.After(absl::Seconds(4), [&] { server.DeliverSignal(SIGTERM); });

  absl::Status status = world.RunUntilDone(server, absl::Minutes(1));

  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
  EXPECT_EQ(signals, (std::vector<int>{SIGHUP, SIGUSR1, SIGHUP}));
}

TEST(SignalsTest, ASignalThatNobodyListensForKillsUnlessItIsIgnored) {
  World world;
  Host& server = world.AddHost("server", [] { return Serve(); });
  bool alive_after_sigchld = false;
  world.After(absl::Seconds(1), [&] { server.DeliverSignal(SIGCHLD); });
  world.After(absl::Seconds(2), [&] { alive_after_sigchld = server.alive(); });
  world.After(absl::Seconds(3), [&] { server.DeliverSignal(SIGUSR1); });
  bool alive_after_sigusr1 = true;
  world.After(absl::Seconds(4), [&] { alive_after_sigusr1 = server.alive(); });

  static_cast<void>(world.RunFor(absl::Seconds(5)));

  EXPECT_TRUE(alive_after_sigchld);
  EXPECT_FALSE(alive_after_sigusr1);
}

}  // namespace
}  // namespace tandem::sim
