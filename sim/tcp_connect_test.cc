// SPDX-License-Identifier: Apache-2.0
//
// The simulated TCP, seen through the reactor: how connections begin.

#include <array>
#include <cerrno>
#include <cstdint>

#include "core/io/address.h"
#include "core/io/reactor.h"
#include "gtest/gtest.h"
#include "sim/event_queue.h"
#include "sim/host_stack.h"
#include "sim/network.h"
#include "sim/sim_reactor.h"
#include "sim/tcp.h"
#include "sim/tcp_test_world.h"
#include "sim/test_programs.h"

namespace tandem::sim {
namespace {

TEST(TcpConnectTest, IsRefusedWithoutListenerAndTheSocketIsAsNew) {
  TcpWorld world;
  const SocketId id = TcpWorld::Open(world.client);

  EXPECT_EQ(world.Connect(world.client, id, world.server.Address(kPort)), -ECONNREFUSED);
  EXPECT_EQ(TcpWorld::Option(world.client, id, SocketOption::kError), 0);
  TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  EXPECT_EQ(world.Connect(world.client, id, world.server.Address(kPort)), 0);
}

TEST(TcpConnectTest, ASecondConnectIsRefused) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const SocketId id = TcpWorld::Open(world.client);
  TestOperation first, second;
  world.StartConnect(world.client, first, id, world.server.Address(kPort));
  EXPECT_EQ(TcpWorld::Peer(world.client, id), -ENOTCONN);
  EXPECT_EQ(world.client.stack().Connect(id, world.server.Address(kPort)), -EALREADY);
  world.room.RunUntil([&] { return first.completions == 1; });

  EXPECT_EQ(world.Connect(world.client, id, world.server.Address(kPort)), -EISCONN);
  EXPECT_EQ(world.Connect(world.server, listener, world.client.Address(kPort)), -EISCONN);
}

TEST(TcpConnectTest, TimesOutAfterTheRetriesOfTheSyn) {
  TcpWorld world;
  world.room.network.Block(world.client.stack(), world.server.stack());
  const int64_t before = world.room.events.now_ns();

  EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(kPort)), -ETIMEDOUT);
  EXPECT_EQ((world.room.events.now_ns() - before) / kSecond, 127);
}

TEST(TcpConnectTest, AnAddressWithoutHostIsUnreachable) {
  TcpWorld world;

  EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), SocketAddress::Ipv4({10, 9, 9, 9}, kPort)),
            -EHOSTUNREACH);
  EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), SocketAddress::Ipv4({224, 0, 0, 1}, kPort)),
            -ENETUNREACH);
}

TEST(TcpConnectTest, TheUnspecifiedAddressIsTheLoopback) {
  TcpWorld world;
  TcpWorld::Listen(world.client, SocketAddress::AnyIpv4(kPort));
  const SocketId id = TcpWorld::Open(world.client);

  EXPECT_EQ(world.Connect(world.client, id, SocketAddress::AnyIpv4(kPort)), 0);
  SocketAddress peer;
  EXPECT_EQ(world.client.reactor().PeerAddress(id, &peer), 0);
  EXPECT_EQ(peer, SocketAddress::LoopbackIpv4(kPort));
}

TEST(TcpConnectTest, PortZeroIsRefusedAndBroadcastIsOutOfReach) {
  TcpWorld world;
  EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(0)), -ECONNREFUSED);
  EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), SocketAddress::Ipv4({255, 255, 255, 255}, kPort)),
            -ENETUNREACH);
}

TEST(TcpConnectTest, FamiliesDoNotMix) {
  TcpWorld world;
  const SocketId id = TcpWorld::Open(world.client);

  EXPECT_EQ(world.client.reactor().Bind(id, SocketAddress::AnyIpv6(1)), -EAFNOSUPPORT);
  EXPECT_EQ(world.Connect(world.client, id, SocketAddress::LoopbackIpv6(1)), -EAFNOSUPPORT);
}

TEST(TcpConnectTest, ASocketCanConnectToItself) {
  TcpWorld world;
  const SocketId id = TcpWorld::Open(world.client);
  ASSERT_EQ(world.client.reactor().Bind(id, SocketAddress::LoopbackIpv4(5000)), 0);

  EXPECT_EQ(world.Connect(world.client, id, SocketAddress::LoopbackIpv4(5000)), 0);
  EXPECT_EQ(world.Send(world.client, id, "hello"), 5);
  EXPECT_EQ(world.Receive(world.client, id), "hello");
}

TEST(TcpConnectTest, TwoEndsCanOpenAtOnce) {
  TcpWorld world;
  const SocketId a = TcpWorld::Open(world.client);
  const SocketId b = TcpWorld::Open(world.server);
  ASSERT_EQ(world.client.reactor().Bind(a, world.client.Address(5000)), 0);
  ASSERT_EQ(world.server.reactor().Bind(b, world.server.Address(5000)), 0);

  TestOperation from_a, from_b;
  world.StartConnect(world.client, from_a, a, world.server.Address(5000));
  world.StartConnect(world.server, from_b, b, world.client.Address(5000));
  world.room.RunUntil([&] { return from_a.completions == 1 && from_b.completions == 1; });

  EXPECT_EQ(from_a.result, 0);
  EXPECT_EQ(from_b.result, 0);
  EXPECT_EQ(world.Send(world.client, a, "hello"), 5);
  EXPECT_EQ(world.Receive(world.server, b), "hello");
}

TEST(TcpConnectTest, AResetThatMeetsASimultaneousOpenIsAReset) {
  TcpWorld world;
  const SocketId a = TcpWorld::Open(world.client);
  const SocketId b = TcpWorld::Open(world.server);
  ASSERT_EQ(world.client.reactor().Bind(a, world.client.Address(5000)), 0);
  ASSERT_EQ(world.server.reactor().Bind(b, world.server.Address(5000)), 0);
  world.room.network.Block(world.client.stack(), world.server.stack());
  TestOperation from_a, from_b;
  world.StartConnect(world.client, from_a, a, world.server.Address(5000));
  world.StartConnect(world.server, from_b, b, world.client.Address(5000));
  world.Settle();
  ASSERT_EQ(TcpWorld::State(world.client, a), TcpState::kSynReceived);

  world.server.Crash();
  world.server.Start();
  world.room.network.Unblock(world.client.stack(), world.server.stack());
  world.room.RunUntil([&] { return from_a.completions == 1; });

  EXPECT_EQ(from_a.result, -ECONNRESET);
}

TEST(TcpConnectTest, ATakenPairOfAddressesIsNotAvailable) {
  TcpWorld world;
  TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  std::array<SocketId, 2> ids;
  for (SocketId& id : ids) {
    id = TcpWorld::Open(world.client);
    ASSERT_EQ(world.client.reactor().SetOption(id, SocketOption::kReuseAddress, 1), 0);
    ASSERT_EQ(world.client.reactor().Bind(id, world.client.Address(5000)), 0);
  }

  EXPECT_EQ(world.Connect(world.client, ids[0], world.server.Address(kPort)), 0);
  EXPECT_EQ(world.Connect(world.client, ids[1], world.server.Address(kPort)), -EADDRNOTAVAIL);
}

TEST(TcpConnectTest, AWriteBeforeTheConnectionIsUpFollowsIt) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const SocketId id = TcpWorld::Open(world.client);
  TestOperation connect;
  world.StartConnect(world.client, connect, id, world.server.Address(kPort));

  EXPECT_EQ(world.Send(world.client, id, "early"), 5);
  EXPECT_EQ(world.Receive(world.server, world.Accept(world.server, listener)), "early");
}

TEST(TcpConnectTest, ACancelledConnectReportsThat) {
  TcpWorld world;
  world.room.network.Block(world.client.stack(), world.server.stack());
  const SocketId id = TcpWorld::Open(world.client);
  TestOperation connect;
  world.StartConnect(world.client, connect, id, world.server.Address(kPort));
  world.Settle();

  world.client.reactor().Cancel(connect);
  world.room.RunUntil([&] { return connect.completions == 1; });

  EXPECT_EQ(connect.result, -ECANCELED);
  EXPECT_EQ(world.Close(world.client, id), 0);
  EXPECT_EQ(connect.completions, 1);
}

}  // namespace
}  // namespace tandem::sim
