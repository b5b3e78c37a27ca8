// SPDX-License-Identifier: Apache-2.0
//
// The simulated TCP, seen through the reactor: options and what they do, keep-alive, the user timeout.

#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/tcp/tcp_ack_delay.h"
#include "tandem/sim/testing/tcp_test_world.h"
#include "tandem/sim/testing/test_programs.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {
namespace {

TEST(TcpOptionTest, RangesAndDefaultsAreThoseOfLinux) {
  TcpWorld world;
  const SocketId id = TcpWorld::Open(world.client);
  const SocketId v6 = TcpWorld::Open(world.client, AddressFamily::kIpv6);
  const auto set = [&](SocketId socket, SocketOption option, int value) {
    const int result = world.client.reactor().SetOption(socket, option, value);
    return result < 0 ? result : TcpWorld::Option(world.client, socket, option);
  };
  const auto defaults = [&](SocketOption option) { return TcpWorld::Option(world.client, id, option); };
  EXPECT_EQ(defaults(SocketOption::kKeepAlive), 0);
  EXPECT_EQ(defaults(SocketOption::kKeepAliveIdle), 7200);
  EXPECT_EQ(defaults(SocketOption::kKeepAliveInterval), 75);
  EXPECT_EQ(defaults(SocketOption::kKeepAliveCount), 9);
  EXPECT_EQ(defaults(SocketOption::kUserTimeout), 0);
  EXPECT_EQ(defaults(SocketOption::kQuickAck), 1);
  EXPECT_EQ(defaults(SocketOption::kTrafficClass), 0);
  EXPECT_EQ(defaults(SocketOption::kTimeToLive), 64);
  EXPECT_EQ(defaults(SocketOption::kLinger), -1);

  for (const SocketOption option : {SocketOption::kKeepAliveIdle, SocketOption::kKeepAliveInterval}) {
    EXPECT_EQ(set(id, option, 0), -EINVAL);
    EXPECT_EQ(set(id, option, 1), 1);
    EXPECT_EQ(set(id, option, 32767), 32767);
    EXPECT_EQ(set(id, option, 32768), -EINVAL);
  }
  EXPECT_EQ(set(id, SocketOption::kKeepAliveCount, 0), -EINVAL);
  EXPECT_EQ(set(id, SocketOption::kKeepAliveCount, 127), 127);
  EXPECT_EQ(set(id, SocketOption::kKeepAliveCount, 128), -EINVAL);
  EXPECT_EQ(set(id, SocketOption::kUserTimeout, -1), -EINVAL);
  EXPECT_EQ(set(id, SocketOption::kUserTimeout, 5), 5);
  EXPECT_EQ(set(id, SocketOption::kQuickAck, 0), 0);
  EXPECT_EQ(set(id, SocketOption::kQuickAck, 1), 1);
  EXPECT_EQ(set(id, SocketOption::kTrafficClass, 184), 184);
  EXPECT_EQ(set(id, SocketOption::kTrafficClass, 255), 252);
  EXPECT_EQ(set(v6, SocketOption::kTrafficClass, 255), 252);
  EXPECT_EQ(set(v6, SocketOption::kTrafficClass, 256), -EINVAL);
  EXPECT_EQ(set(id, SocketOption::kTimeToLive, 0), -EINVAL);
  EXPECT_EQ(set(id, SocketOption::kTimeToLive, 256), -EINVAL);
  EXPECT_EQ(set(id, SocketOption::kTimeToLive, 255), 255);
  EXPECT_EQ(set(id, SocketOption::kTimeToLive, -1), -EINVAL);  // The default has no number.
  EXPECT_EQ(set(v6, SocketOption::kTimeToLive, 0), 0);
  EXPECT_EQ(set(id, SocketOption::kLinger, 7), 7);
  EXPECT_EQ(set(id, SocketOption::kLinger, -5), -1);
  EXPECT_EQ(set(id, SocketOption::kIpv6Only, 1), -ENOPROTOOPT);
  int value = 0;
  EXPECT_EQ(world.client.reactor().GetOption(id, SocketOption::kIpv6Only, &value), -EOPNOTSUPP);
  EXPECT_EQ(set(id, SocketOption::kError, 1), -ENOPROTOOPT);
}

TEST(TcpOptionTest, AcceptedSocketsInheritAll) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const std::vector<std::pair<SocketOption, int>> options = {
      {SocketOption::kKeepAlive, 1},      {SocketOption::kKeepAliveIdle, 7}, {SocketOption::kKeepAliveInterval, 8},
      {SocketOption::kKeepAliveCount, 3}, {SocketOption::kUserTimeout, 999}, {SocketOption::kTrafficClass, 184},
      {SocketOption::kTimeToLive, 9},     {SocketOption::kLinger, 3},        {SocketOption::kQuickAck, 0},
  };
  for (const auto& [option, value] : options) EXPECT_EQ(world.server.reactor().SetOption(listener, option, value), 0);
  ASSERT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(kPort)), 0);

  const SocketId s = world.Accept(world.server, listener);
  for (const auto& [option, value] : options) EXPECT_EQ(TcpWorld::Option(world.server, s, option), value);
}

TEST(TcpOptionTest, QuickAckAnswersAtOnceUntilTheProgramAnswers) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  const auto packets_for_one_byte = [&] {
    const uint64_t before = world.room.network.statistics().packets_sent;
    EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
    world.Settle();
    return world.room.network.statistics().packets_sent - before;
  };
  EXPECT_EQ(packets_for_one_byte(), 1u);
  const uint64_t before = world.room.network.statistics().packets_sent;
  EXPECT_EQ(world.server.reactor().SetOption(pair.server, SocketOption::kQuickAck, 1), 0);
  EXPECT_EQ(world.room.network.statistics().packets_sent - before, 1u);
  world.Settle();
  for (int i = 0; i < kQuickAcks; ++i) EXPECT_EQ(packets_for_one_byte(), 2u);
  EXPECT_EQ(packets_for_one_byte(), 1u);

  EXPECT_EQ(world.server.reactor().SetOption(pair.server, SocketOption::kQuickAck, 1), 0);
  world.Settle();
  EXPECT_EQ(packets_for_one_byte(), 2u);
  EXPECT_EQ(world.Send(world.server, pair.server, "answer"), 6);
  world.Settle();
  EXPECT_EQ(TcpWorld::Option(world.server, pair.server, SocketOption::kQuickAck), 0);
  EXPECT_EQ(packets_for_one_byte(), 1u);
}

// --- Keep-alive and the user timeout ---

void SetKeepAlive(TestHost& host, SocketId id, int idle, int interval, int count) {
  EXPECT_EQ(host.reactor().SetOption(id, SocketOption::kKeepAlive, 1), 0);
  EXPECT_EQ(host.reactor().SetOption(id, SocketOption::kKeepAliveIdle, idle), 0);
  EXPECT_EQ(host.reactor().SetOption(id, SocketOption::kKeepAliveInterval, interval), 0);
  EXPECT_EQ(host.reactor().SetOption(id, SocketOption::kKeepAliveCount, count), 0);
}

TEST(TcpKeepAliveTest, ASilentPeerEndsTheConnectionAfterTheProbes) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  SetKeepAlive(world.client, pair.client, 10, 5, 3);
  world.room.network.Block(world.client.stack(), world.server.stack());
  const int64_t start = world.room.events.now_ns();

  EXPECT_EQ(world.Receive(world.client, pair.client, 3600 * kSecond), "|" + std::to_string(ETIMEDOUT));
  EXPECT_EQ((world.room.events.now_ns() - start) / kSecond, 10 + 3 * 5 - 1);
}

TEST(TcpKeepAliveTest, APeerThatAnswersKeepsTheConnection) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  SetKeepAlive(world.client, pair.client, 10, 5, 3);
  const uint64_t before = world.room.network.statistics().packets_sent;
  world.room.RunFor(100 * kSecond + kSecond);

  EXPECT_EQ(world.room.network.statistics().packets_sent - before, 20u);  // A probe and an answer every 10 s.
  EXPECT_EQ(world.Send(world.server, pair.server, "still here"), 10);
  EXPECT_EQ(world.Receive(world.client, pair.client), "still here");
}

TEST(TcpKeepAliveTest, ATransferNeedsNoProbe) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  SetKeepAlive(world.client, pair.client, 2, 1, 1);
  world.Settle();
  const uint64_t before = world.room.network.statistics().packets_sent;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
    world.room.RunFor(kSecond);
  }

  EXPECT_EQ(world.room.network.statistics().packets_sent - before, 20u);
}

TEST(TcpKeepAliveTest, ARestartedPeerResets) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  SetKeepAlive(world.client, pair.client, 10, 5, 3);
  world.server.Crash();
  world.server.Start();

  EXPECT_EQ(world.Receive(world.client, pair.client, 20 * kSecond), "|ECONNRESET");
}

TEST(TcpKeepAliveTest, WithoutItASilentConnectionLives) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  SetKeepAlive(world.client, pair.client, 10, 5, 3);
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kKeepAlive, 0), 0);
  world.room.network.Block(world.client.stack(), world.server.stack());

  EXPECT_EQ(world.Receive(world.client, pair.client, 36'000 * kSecond), "");
}

TEST(TcpUserTimeoutTest, UnacknowledgedBytesEndTheConnectionThen) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kUserTimeout, 3000), 0);
  world.room.network.Block(world.client.stack(), world.server.stack());
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  const int64_t start = world.room.events.now_ns();

  EXPECT_EQ(world.Receive(world.client, pair.client, 3600 * kSecond), "|" + std::to_string(ETIMEDOUT));
  EXPECT_GE(world.room.events.now_ns() - start, 3 * kSecond);
  EXPECT_LT(world.room.events.now_ns() - start, 3 * kSecond + 10 * kMillisecond);
}

TEST(TcpUserTimeoutTest, ItBoundsConnectAndKeepAliveToo) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  SetKeepAlive(world.client, pair.client, 10, 1, 100);
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kUserTimeout, 15'000), 0);
  const SocketId id = TcpWorld::Open(world.client);
  EXPECT_EQ(world.client.reactor().SetOption(id, SocketOption::kUserTimeout, 5000), 0);
  world.room.network.Block(world.client.stack(), world.server.stack());
  const int64_t start = world.room.events.now_ns();

  EXPECT_EQ(world.Connect(world.client, id, world.server.Address(kPort)), -ETIMEDOUT);
  EXPECT_EQ((world.room.events.now_ns() - start) / kSecond, 5);
  EXPECT_EQ(world.Receive(world.client, pair.client, 3600 * kSecond), "|" + std::to_string(ETIMEDOUT));
  EXPECT_LE((world.room.events.now_ns() - start) / kSecond, 16);
}

TEST(TcpUserTimeoutTest, AClosedWindowCountsThoughThePeerAnswers) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kUserTimeout, 5000), 0);
  EXPECT_EQ(world.Send(world.client, pair.client, std::string(150'000, 'x')), 150'000);
  const int64_t start = world.room.events.now_ns();

  EXPECT_EQ(world.Receive(world.client, pair.client, 3600 * kSecond), "|" + std::to_string(ETIMEDOUT));
  EXPECT_LE((world.room.events.now_ns() - start) / kSecond, 6);
}

TEST(TcpUserTimeoutTest, APeerThatComesBackInTimeHurtsNothing) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kUserTimeout, 3000), 0);
  for (int i = 0; i < 5; ++i) {
    world.room.network.Block(world.client.stack(), world.server.stack());
    EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
    world.room.RunFor(kSecond);
    world.room.network.Unblock(world.client.stack(), world.server.stack());
    EXPECT_EQ(world.Receive(world.server, pair.server, 10 * kSecond, 1), "x");
  }
}

}  // namespace
}  // namespace tandem::sim
