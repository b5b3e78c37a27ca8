// SPDX-License-Identifier: Apache-2.0
//
// The simulated TCP, seen through the reactor: how connections begin.

#include <cerrno>
#include <cstdint>

#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/ephemeral_ports.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/tcp/tcp_socket.h"
#include "tandem/sim/testing/tcp_test_world.h"
#include "tandem/sim/testing/test_programs.h"
#include "tandem/sim/time/event_queue.h"

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
  const int64_t before = world.room.events.now_ns();

  EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), SocketAddress::Ipv4({10, 9, 9, 9}, kPort)),
            -EHOSTUNREACH);
  EXPECT_EQ((world.room.events.now_ns() - before) / kSecond, 3);
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

TEST(TcpConnectTest, OverLoopbackAConnectIsDoneWhenTheCallReturns) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Listen(world.client, SocketAddress::AnyIpv4(kPort));
  const SocketId id = TcpWorld::Open(world.client);
  const int64_t before = world.room.events.now_ns();
  TestOperation connect;

  world.StartConnect(world.client, connect, id, SocketAddress::LoopbackIpv4(kPort));
  EXPECT_GE(world.client.reactor().TryAccept(listener), 0);
  TestOperation refused;
  world.StartConnect(world.client, refused, TcpWorld::Open(world.client), SocketAddress::LoopbackIpv4(kPort + 1));
  world.room.RunUntil([&] { return connect.completions + refused.completions == 2; });
  EXPECT_EQ(connect.result, 0);
  EXPECT_EQ(refused.result, -ECONNREFUSED);
  EXPECT_EQ(world.room.events.now_ns(), before);
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

// Pairs of addresses that are taken, or not quite. What Linux does was tried on its kernel, with one ephemeral port.

SocketId OpenBound(TestHost& host, const SocketAddress& address) {
  const SocketId id = TcpWorld::Open(host);
  EXPECT_EQ(host.reactor().SetOption(id, SocketOption::kReuseAddress, 1), 0);
  EXPECT_EQ(host.reactor().Bind(id, address), 0);
  return id;
}

TEST(TcpConnectTest, ATakenPairOfAddressesIsNotAvailable) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const SocketId first = OpenBound(world.client, world.client.Address(5000));
  const SocketId second = OpenBound(world.client, world.client.Address(5000));

  EXPECT_EQ(world.Connect(world.client, first, world.server.Address(kPort)), 0);
  EXPECT_EQ(world.Connect(world.client, second, world.server.Address(kPort)), -EADDRNOTAVAIL);
  // Also while the first waits for the other end to close: its program may still read.
  ASSERT_GE(world.Accept(world.server, listener), 0);
  ASSERT_EQ(world.client.stack().Shutdown(first, ShutdownHow::kWrite), 0);
  world.room.RunFor(2 * kSecond);
  ASSERT_EQ(TcpWorld::State(world.client, first), TcpState::kFinWait2);
  EXPECT_EQ(world.Connect(world.client, second, world.server.Address(kPort)), -EADDRNOTAVAIL);
}

TEST(TcpConnectTest, APairInTimeWaitMakesWayForABoundSocket) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const SocketId first = OpenBound(world.client, world.client.Address(5000));
  ASSERT_EQ(world.Connect(world.client, first, world.server.Address(kPort)), 0);
  ASSERT_EQ(world.client.stack().Shutdown(first, ShutdownHow::kWrite), 0);
  ASSERT_EQ(world.Close(world.server, world.Accept(world.server, listener)), 0);
  world.Settle();
  ASSERT_EQ(TcpWorld::State(world.client, first), TcpState::kTimeWait);

  const SocketId second = OpenBound(world.client, world.client.Address(5000));
  EXPECT_EQ(world.Connect(world.client, second, world.server.Address(kPort)), 0);
  EXPECT_EQ(world.Send(world.client, second, "new"), 3);
  EXPECT_EQ(world.Receive(world.server, world.Accept(world.server, listener)), "new");
  EXPECT_EQ(world.Receive(world.client, first), "|EOF");
}

// The other end still has the old connection: it answers the SYN, hears of its end by the reset of that answer, and the
// next SYN, which follows at once, finds the listener.
TEST(TcpConnectTest, AClosedEndMakesWayForABoundSocketAndItsPeerIsReset) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const SocketId first = OpenBound(world.client, world.client.Address(5000));
  ASSERT_EQ(world.Connect(world.client, first, world.server.Address(kPort)), 0);
  const SocketId old_peer = world.Accept(world.server, listener);
  ASSERT_EQ(world.Close(world.client, first), 0);
  world.Settle();
  ASSERT_EQ(TcpWorld::State(world.server, old_peer), TcpState::kCloseWait);
  const int64_t before = world.room.events.now_ns();

  const SocketId second = OpenBound(world.client, world.client.Address(5000));
  EXPECT_EQ(world.Connect(world.client, second, world.server.Address(kPort)), 0);
  EXPECT_LT(world.room.events.now_ns() - before, kSecond / 10);
  EXPECT_EQ(world.Send(world.server, old_peer, "x"), -EPIPE);
  EXPECT_EQ(world.Send(world.client, second, "new"), 3);
  EXPECT_EQ(world.Receive(world.server, world.Accept(world.server, listener)), "new");
}

TEST(TcpConnectTest, TheUserTimeoutCountsFromTheFirstSynAlsoWhenTheSecondFollowsAtOnce) {
  TcpWorld world;
  LinkConditions conditions;
  conditions.latency = LatencyDistribution::Fixed(5 * kMillisecond);
  world.room.network.SetConditions(world.client.stack(), world.server.stack(), conditions);
  world.room.network.SetConditions(world.server.stack(), world.client.stack(), conditions);
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const SocketId first = OpenBound(world.client, world.client.Address(5000));
  ASSERT_EQ(world.Connect(world.client, first, world.server.Address(kPort)), 0);
  ASSERT_GE(world.Accept(world.server, listener), 0);
  ASSERT_EQ(world.Close(world.client, first), 0);
  world.room.RunFor(kSecond);

  const SocketId second = OpenBound(world.client, world.client.Address(5000));
  ASSERT_EQ(world.client.reactor().SetOption(second, SocketOption::kUserTimeout, 500), 0);
  EXPECT_EQ(world.Connect(world.client, second, world.server.Address(kPort)), 0);
}

// A client whose connections share one ephemeral port, since all the others are taken: the first has ended, and the
// next one is asked for `wait_ns` later.
enum class Ended { kByBoth, kHere };
int64_t ConnectOnTheOnlyPort(bool over_loopback, Ended ended, int64_t wait_ns) {
  TcpWorld world;
  for (uint16_t port = EphemeralPorts::kFirst; port < EphemeralPorts::kLast; ++port) {
    const SocketId id = TcpWorld::Open(world.client);
    EXPECT_EQ(world.client.reactor().Bind(id, SocketAddress::AnyIpv4(port)), 0);
  }
  TestHost& listening = over_loopback ? world.client : world.server;
  const SocketId listener = TcpWorld::Listen(listening, SocketAddress::AnyIpv4(kPort));
  const SocketAddress peer = over_loopback ? SocketAddress::LoopbackIpv4(kPort) : world.server.Address(kPort);
  const SocketId first = TcpWorld::Open(world.client);
  EXPECT_EQ(world.Connect(world.client, first, peer), 0);
  EXPECT_EQ(TcpWorld::Local(world.client, first).port(), EphemeralPorts::kLast);
  const SocketId accepted = world.Accept(listening, listener);
  EXPECT_EQ(world.Close(world.client, first), 0);
  world.Settle();
  if (ended == Ended::kByBoth) {
    EXPECT_EQ(world.Close(listening, accepted), 0);
    world.Settle();
  }

  world.room.RunFor(wait_ns);
  return world.Connect(world.client, TcpWorld::Open(world.client), peer);
}

TEST(TcpConnectTest, OverLoopbackAPortInTimeWaitIsTakenAgainAfterASecond) {
  EXPECT_EQ(ConnectOnTheOnlyPort(/*over_loopback=*/true, Ended::kByBoth, kSecond / 2), -EADDRNOTAVAIL);
  EXPECT_EQ(ConnectOnTheOnlyPort(/*over_loopback=*/true, Ended::kByBoth, kSecond), 0);
}

TEST(TcpConnectTest, OverANetworkAPortInTimeWaitIsKeptForAMinute) {
  EXPECT_EQ(ConnectOnTheOnlyPort(/*over_loopback=*/false, Ended::kByBoth, kTimeWaitNs - kSecond), -EADDRNOTAVAIL);
  EXPECT_EQ(ConnectOnTheOnlyPort(/*over_loopback=*/false, Ended::kByBoth, kTimeWaitNs), 0);
}

TEST(TcpConnectTest, APortWhoseOtherEndIsOpenIsKeptForAMinute) {
  EXPECT_EQ(ConnectOnTheOnlyPort(/*over_loopback=*/true, Ended::kHere, kTimeWaitNs - kSecond), -EADDRNOTAVAIL);
  EXPECT_EQ(ConnectOnTheOnlyPort(/*over_loopback=*/true, Ended::kHere, kTimeWaitNs), 0);
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
  EXPECT_EQ(TcpWorld::Option(world.client, id, SocketOption::kError), 0);
  EXPECT_EQ(world.Close(world.client, id), 0);
  EXPECT_EQ(connect.completions, 1);
}

}  // namespace
}  // namespace tandem::sim
