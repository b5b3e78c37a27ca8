// SPDX-License-Identifier: Apache-2.0
//
// The simulated TCP under faults of the network and of its hosts.

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/base/random.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/testing/tcp_test_world.h"
#include "tandem/sim/testing/test_programs.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {
namespace {

// How long a connection whose packets take `latency_ns` sends to a peer that says nothing any more.
int64_t NsUntilGivenUp(int64_t latency_ns) {
  TcpWorld world;
  LinkConditions conditions;
  conditions.latency = LatencyDistribution::Fixed(latency_ns);
  world.room.network.SetConditions(world.client.stack(), world.server.stack(), conditions);
  world.room.network.SetConditions(world.server.stack(), world.client.stack(), conditions);
  const TcpWorld::Pair pair = world.Connected();
  world.room.network.Block(world.client.stack(), world.server.stack());
  const int64_t before = world.room.events.now_ns();
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  EXPECT_EQ(world.Receive(world.client, pair.client, 3600 * kSecond), "|" + std::to_string(ETIMEDOUT));
  return world.room.events.now_ns() - before;
}

// 200 ms that double nine times, to 102.4 s, and then six times 120 s; or longer, where the first is.
TEST(TcpFaultTest, ASilentPeerEndsInATimeout) {
  EXPECT_EQ(NsUntilGivenUp(kMillisecond / 10) / kSecond, 924);
  EXPECT_GT(NsUntilGivenUp(kSecond / 10), 1000 * kSecond);
}

TEST(TcpFaultTest, AResetBehindALossIsAskedForAgain) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  world.room.network.Block(world.server.stack(), world.client.stack());
  EXPECT_EQ(world.Send(world.server, pair.server, "lost"), 4);
  world.room.network.Unblock(world.server.stack(), world.client.stack());
  world.server.reactor().SetOption(pair.server, SocketOption::kLinger, 0);
  EXPECT_EQ(world.Close(world.server, pair.server), 0);

  // The reset is not the next in sequence: the client does not believe it, asks, and hears an exact one.
  EXPECT_EQ(world.Receive(world.client, pair.client), "|ECONNRESET");
}

TEST(TcpFaultTest, APartitionOfOneDirectionHoldsTheOtherUpToo) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  world.room.network.Block(world.server.stack(), world.client.stack());
  EXPECT_EQ(world.Send(world.client, pair.client, "there"), 5);
  EXPECT_EQ(world.Receive(world.server, pair.server, kSecond), "there");
  EXPECT_EQ(world.Send(world.server, pair.server, "back"), 4);
  EXPECT_EQ(world.Receive(world.client, pair.client, kSecond), "");
  world.room.network.Unblock(world.server.stack(), world.client.stack());

  EXPECT_EQ(world.Receive(world.client, pair.client, 10 * kSecond), "back");
}

TEST(TcpFaultTest, BandwidthTakesItsTime) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  LinkConditions conditions;
  conditions.latency = LatencyDistribution::Fixed(kMillisecond);
  conditions.bytes_per_second = 100'000;
  world.room.network.SetConditions(world.client.stack(), world.server.stack(), conditions);
  const int64_t start = world.room.events.now_ns();
  EXPECT_EQ(world.Send(world.client, pair.client, std::string(100'000, 'x')), 100'000);
  EXPECT_EQ(world.Receive(world.server, pair.server, 100 * kSecond, 100'000).size(), 100'000u);

  const int64_t took = world.room.events.now_ns() - start;
  EXPECT_GE(took, kSecond);
  EXPECT_LE(took, 2 * kSecond);
}

TEST(TcpFaultTest, ACrashedMachineIsSilentAndThenResets) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  world.server.Crash();
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  EXPECT_EQ(world.Receive(world.client, pair.client, 5 * kSecond), "");
  world.server.Start();

  EXPECT_EQ(world.Receive(world.client, pair.client, 60 * kSecond), "|ECONNRESET");
}

// What a reader sends are acknowledgements of what it takes. Nobody sends them again: those that a machine misses while
// it is down tell the reader nothing, ever; those that it gets afterwards it answers with a reset.
TEST(TcpFaultTest, AReaderHearsOfACrashFromWhatItSendsAfterwards) {
  TcpWorld world;
  const TcpWorld::Pair early = world.Connected(80);
  const TcpWorld::Pair late = world.Connected(81);
  const std::string more_than_fits(size_t{8} << 20, 'x');
  const IoSlice slice{more_than_fits.data(), more_than_fits.size()};
  TestOperation sends[2];
  sends[0].socket = early.server;
  sends[1].socket = late.server;
  for (TestOperation& send : sends) {
    send.slices = absl::MakeConstSpan(&slice, 1);
    world.server.reactor().Submit(send);
  }
  world.Settle();
  world.server.Crash();
  const uint64_t before = world.room.network.statistics().packets_sent;
  EXPECT_GT(world.Receive(world.client, early.client).size(), 60'000u);
  EXPECT_GT(world.room.network.statistics().packets_sent, before);
  world.server.Start();

  const std::string read_late = world.Receive(world.client, late.client);
  EXPECT_GT(read_late.size(), 60'000u);
  EXPECT_TRUE(absl::EndsWith(read_late, "|ECONNRESET"));
  EXPECT_EQ(world.Receive(world.client, early.client, 36'000 * kSecond), "");
}

TEST(TcpFaultTest, AKilledProcessSendsFinOrReset) {
  TcpWorld world;
  const TcpWorld::Pair clean = world.Connected(80);
  const TcpWorld::Pair unread = world.Connected(81);
  EXPECT_EQ(world.Send(world.client, unread.client, "x"), 1);
  world.Settle();
  world.server.Kill();

  EXPECT_EQ(world.Receive(world.client, clean.client), "|EOF");
  EXPECT_EQ(world.Receive(world.client, unread.client), "|ECONNRESET");
  EXPECT_EQ(world.server.stack().open_descriptors(), 0u);
}

TEST(TcpFaultTest, AfterAbandonNothingIsReportedAndNothingGetsOut) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  TestSource source(Source::Kind::kReceive);
  source.socket = pair.server;
  source.budget = 10;
  world.server.reactor().Arm(source);
  world.server.Crash();
  EXPECT_TRUE(source.abandoned);

  TestOperation send;
  const IoSlice slice{"x", 1};
  send.socket = pair.server;
  send.slices = absl::MakeConstSpan(&slice, 1);
  world.server.reactor().Submit(send);
  const uint64_t sent = world.room.network.statistics().packets_sent;
  world.room.RunFor(kSecond);
  EXPECT_EQ(send.completions, 0);
  EXPECT_EQ(world.room.network.statistics().packets_sent, sent);
  world.server.reactor().Abandon();
  EXPECT_TRUE(send.abandoned);
  EXPECT_EQ(source.ends, 0);
}

TEST(TcpFaultTest, ResetConnectionHitsBothEnds) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  EXPECT_EQ(world.server.stack().established_connections(), 1u);
  world.server.stack().ResetConnections([](Entity) { return false; });
  EXPECT_EQ(world.server.stack().established_connections(), 1u);
  world.server.stack().ResetConnections(
      [&](Entity connection) { return connection == *Entity::Parse("client/tcp/server/accepted"); });
  EXPECT_EQ(world.server.stack().established_connections(), 0u);

  EXPECT_EQ(world.Receive(world.client, pair.client), "|ECONNRESET");
  EXPECT_EQ(world.Receive(world.server, pair.server), "|ECONNRESET");
}

TEST(TcpFaultTest, ConnectsCanBeRefusedOrTimedOut) {
  TcpWorld world;
  TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  world.client.stack().faults().connect_refused = Probability::Always();
  EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(kPort)), -ECONNREFUSED);
  world.client.stack().faults() = StackFaults();
  world.client.stack().faults().connect_timed_out = Probability::Always();
  EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(kPort)), -ETIMEDOUT);
  world.client.stack().faults() = StackFaults();
  EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(kPort)), 0);
}

TEST(TcpFaultTest, WatchedSignalsReachTheHandler) {
  TcpWorld world;
  std::vector<int> calls;
  EXPECT_FALSE(world.client.reactor().DeliverSignal(SIGTERM));
  world.client.reactor().SetSignalHandler([&](int signal) { calls.push_back(signal); });
  EXPECT_FALSE(world.client.reactor().DeliverSignal(SIGTERM));
  EXPECT_EQ(world.client.reactor().WatchSignal(SIGKILL, SignalWatch::kAlways), -EINVAL);
  ASSERT_EQ(world.client.reactor().WatchSignal(SIGTERM, SignalWatch::kOnce), 0);
  ASSERT_EQ(world.client.reactor().WatchSignal(SIGHUP, SignalWatch::kAlways), 0);
  EXPECT_TRUE(world.client.reactor().DeliverSignal(SIGTERM));
  world.Settle();
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(world.client.reactor().DeliverSignal(SIGHUP));
    world.Settle();
  }

  EXPECT_EQ(calls, (std::vector<int>{SIGTERM, SIGHUP, SIGHUP}));
  EXPECT_FALSE(world.client.reactor().DeliverSignal(SIGTERM));
}

}  // namespace
}  // namespace tandem::sim
