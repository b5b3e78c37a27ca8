// SPDX-License-Identifier: Apache-2.0
//
// The simulated TCP, seen through the reactor: names and ports, listeners, and what waits to be accepted.

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>

#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/testing/tcp_test_world.h"
#include "tandem/sim/testing/test_programs.h"

namespace tandem::sim {
namespace {

TEST(TcpListenTest, PortsAreGivenAndGuarded) {
  TcpWorld world;
  SimReactor& reactor = world.server.reactor();
  const SocketId a = TcpWorld::Open(world.server);
  ASSERT_EQ(reactor.Listen(a, 1), 0);
  EXPECT_NE(TcpWorld::Local(world.server, a).port(), 0);
  EXPECT_TRUE(TcpWorld::Local(world.server, a).is_any());
  EXPECT_EQ(reactor.Bind(a, SocketAddress::AnyIpv4(0)), -EINVAL);
  EXPECT_EQ(reactor.Bind(TcpWorld::Open(world.server), SocketAddress::Ipv4({10, 0, 0, 77}, 0)), -EADDRNOTAVAIL);

  TcpWorld::Listen(world.server, SocketAddress::LoopbackIpv4(kPort));
  for (int reuse : {0, 1}) {
    const SocketId b = TcpWorld::Open(world.server);
    reactor.SetOption(b, SocketOption::kReuseAddress, reuse);
    EXPECT_EQ(reactor.Bind(b, SocketAddress::LoopbackIpv4(kPort)), -EADDRINUSE);
    EXPECT_EQ(reactor.Bind(b, SocketAddress::AnyIpv4(kPort)), -EADDRINUSE);
    EXPECT_EQ(reactor.Bind(b, SocketAddress::Ipv4({127, 0, 0, static_cast<uint8_t>(2 + reuse)}, kPort)), 0);
  }
}

TEST(TcpListenTest, WithoutAFreePortBindAndConnectAreRefused) {
  TcpWorld world;
  SimReactor& reactor = world.client.reactor();
  SocketId id = kNoSocket;
  int result = 0;
  for (int bound = -1; result == 0; ++bound) {
    ASSERT_LE(bound, 60999 - 32768 + 1);
    id = TcpWorld::Open(world.client);
    result = reactor.Bind(id, SocketAddress::AnyIpv4(0));
  }
  EXPECT_EQ(result, -EADDRINUSE);
  EXPECT_EQ(reactor.Listen(id, 1), -EADDRINUSE);
  EXPECT_EQ(world.Connect(world.client, id, world.server.Address(80)), -EADDRNOTAVAIL);
}

TEST(TcpListenTest, TwoMayBindForReuseButOneListens) {
  TcpWorld world;
  SimReactor& reactor = world.server.reactor();
  std::array<SocketId, 2> ids;
  for (SocketId& id : ids) {
    id = TcpWorld::Open(world.server);
    reactor.SetOption(id, SocketOption::kReuseAddress, 1);
    EXPECT_EQ(reactor.Bind(id, SocketAddress::AnyIpv4(kPort)), 0);
  }

  EXPECT_EQ(reactor.Listen(ids[0], 1), 0);
  EXPECT_EQ(reactor.Listen(ids[1], 1), -EADDRINUSE);
}

TEST(TcpListenTest, ReusePortSpreadsConnections) {
  TcpWorld world;
  SimReactor& reactor = world.server.reactor();
  std::array<std::unique_ptr<TestSource>, 2> sources;
  for (auto& source : sources) {
    source = std::make_unique<TestSource>(Source::Kind::kAccept);
    source->socket = TcpWorld::Open(world.server);
    reactor.SetOption(source->socket, SocketOption::kReusePort, 1);
    EXPECT_EQ(reactor.Bind(source->socket, SocketAddress::AnyIpv4(kPort)), 0);
    EXPECT_EQ(reactor.Listen(source->socket, 128), 0);
    reactor.Arm(*source);
  }
  EXPECT_EQ(reactor.Bind(TcpWorld::Open(world.server), SocketAddress::AnyIpv4(kPort)), -EADDRINUSE);

  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(kPort)), 0);
  }
  world.Settle();

  EXPECT_GT(sources[0]->accepted.size(), 0u);
  EXPECT_GT(sources[1]->accepted.size(), 0u);
  EXPECT_EQ(sources[0]->accepted.size() + sources[1]->accepted.size(), 64u);
  world.server.Crash();
}

TEST(TcpListenTest, TimeWaitHoldsThePortUnlessTheOldListenerAllowedReuse) {
  for (int old_reuse : {0, 1}) {
    TcpWorld world;
    SimReactor& reactor = world.server.reactor();
    const SocketId listener = TcpWorld::Open(world.server);
    reactor.SetOption(listener, SocketOption::kReuseAddress, old_reuse);
    ASSERT_EQ(reactor.Bind(listener, SocketAddress::AnyIpv4(kPort)), 0);
    ASSERT_EQ(reactor.Listen(listener, 1), 0);
    const SocketId c = TcpWorld::Open(world.client);
    ASSERT_EQ(world.Connect(world.client, c, world.server.Address(kPort)), 0);
    const SocketId s = world.Accept(world.server, listener);
    world.Close(world.server, s);
    EXPECT_EQ(world.Receive(world.client, c), "|EOF");
    world.Close(world.client, c);
    world.Close(world.server, listener);
    world.Settle();

    const SocketId again = TcpWorld::Open(world.server);
    reactor.SetOption(again, SocketOption::kReuseAddress, 1);
    EXPECT_EQ(reactor.Bind(again, SocketAddress::AnyIpv4(kPort)), old_reuse == 1 ? 0 : -EADDRINUSE);
    world.room.RunFor(61 * kSecond);
    EXPECT_EQ(reactor.Bind(again, SocketAddress::AnyIpv4(kPort)), old_reuse == 1 ? -EINVAL : 0);
  }
}

TEST(TcpListenTest, ListenAndAcceptWantTheRightSocket) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();

  EXPECT_EQ(world.client.reactor().Listen(pair.client, 1), -EINVAL);
  EXPECT_EQ(world.Accept(world.client, pair.client), -EINVAL);
  EXPECT_EQ(world.Accept(world.client, TcpWorld::Open(world.client)), -EINVAL);

  TestSource source(Source::Kind::kAccept);
  source.socket = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(81));
  world.server.reactor().Arm(source);
  EXPECT_EQ(world.server.reactor().Shutdown(source.socket, ShutdownHow::kBoth), 0);
  world.room.RunUntil([&] { return source.ends == 1; });
  EXPECT_EQ(source.error, EINVAL);
}

TEST(TcpListenTest, ABacklogOfTwoTakesThreeAndTheRestOnTheRetry) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort), 2);
  std::array<TestOperation, 6> connects;
  for (TestOperation& connect : connects) {
    world.StartConnect(world.client, connect, TcpWorld::Open(world.client), world.server.Address(kPort));
    world.Settle();
  }
  const auto connected = [&] {
    return std::count_if(connects.begin(), connects.end(), [](const TestOperation& c) { return c.result == 0; });
  };
  EXPECT_EQ(connected(), 3);

  TestSource source(Source::Kind::kAccept);
  source.socket = listener;
  world.server.reactor().Arm(source);
  EXPECT_TRUE(world.room.RunUntil([&] { return connected() == 6; }, 2 * kSecond));
  world.Settle();
  EXPECT_EQ(source.accepted.size(), 6u);
  world.server.Crash();
}

TEST(TcpListenTest, DataAndEndBeforeAcceptAreThereAfterIt) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const SocketId c = TcpWorld::Open(world.client);
  ASSERT_EQ(world.Connect(world.client, c, world.server.Address(kPort)), 0);
  EXPECT_EQ(world.Send(world.client, c, "hello"), 5);
  world.Close(world.client, c);
  world.Settle();

  EXPECT_EQ(world.Receive(world.server, world.Accept(world.server, listener)), "hello|EOF");
}

TEST(TcpListenTest, AResetBeforeAcceptIsSeenAfterIt) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const SocketId c = TcpWorld::Open(world.client);
  ASSERT_EQ(world.Connect(world.client, c, world.server.Address(kPort)), 0);
  world.Settle();
  world.client.reactor().SetOption(c, SocketOption::kLinger, 0);
  world.Close(world.client, c);
  world.Settle();

  const SocketId s = world.Accept(world.server, listener);
  ASSERT_GE(s, 0);
  EXPECT_EQ(TcpWorld::Peer(world.server, s), -ENOTCONN);
  EXPECT_EQ(world.Receive(world.server, s), "|ECONNRESET");
  EXPECT_EQ(world.Receive(world.server, s), "|EOF");
}

TEST(TcpListenTest, AcceptInheritsOptions) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  world.server.reactor().SetOption(listener, SocketOption::kNoDelay, 1);
  const SocketId c = TcpWorld::Open(world.client);
  ASSERT_EQ(world.Connect(world.client, c, world.server.Address(kPort)), 0);

  EXPECT_EQ(TcpWorld::Option(world.server, world.Accept(world.server, listener), SocketOption::kNoDelay), 1);
}

TEST(TcpListenTest, ClosingResetsWhatWasNotAccepted) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const SocketId c = TcpWorld::Open(world.client);
  ASSERT_EQ(world.Connect(world.client, c, world.server.Address(kPort)), 0);
  world.Settle();
  world.Close(world.server, listener);

  EXPECT_EQ(world.Receive(world.client, c), "|ECONNRESET");
  EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(kPort)), -ECONNREFUSED);
}

TEST(TcpListenTest, AFullDescriptorTableDelaysAccepts) {
  TcpWorld world;
  TestSource source(Source::Kind::kAccept);
  source.socket = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  world.server.stack().set_descriptor_limit(2);
  world.server.reactor().Arm(source);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(kPort)), 0);
  }
  world.Settle();
  ASSERT_EQ(source.accepted.size(), 1u);
  EXPECT_EQ(world.server.reactor().OpenSocket(AddressFamily::kIpv4, SocketType::kStream), -EMFILE);

  world.Close(world.server, source.accepted.front());
  world.Settle();
  EXPECT_EQ(source.accepted.size(), 2u);
  EXPECT_GT(world.server.reactor().statistics().descriptor_shortages, 0u);
  world.server.Crash();
}

TEST(TcpListenTest, ADualStackListenerShowsMappedAddresses) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv6(kPort));
  EXPECT_EQ(world.server.reactor().Bind(TcpWorld::Open(world.server), SocketAddress::AnyIpv4(kPort)), -EADDRINUSE);
  ASSERT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(kPort)), 0);

  const SocketId s = world.Accept(world.server, listener);
  SocketAddress peer;
  ASSERT_EQ(world.server.reactor().PeerAddress(s, &peer), 0);
  EXPECT_EQ(peer.HostToString(), "::ffff:10.0.0.1");
}

TEST(TcpListenTest, AnIpv6OnlyListenerLeavesIpv4Alone) {
  TcpWorld world;
  SimReactor& reactor = world.server.reactor();
  const SocketId v6 = TcpWorld::Open(world.server, AddressFamily::kIpv6);
  EXPECT_EQ(reactor.SetOption(v6, SocketOption::kIpv6Only, 1), 0);
  ASSERT_EQ(reactor.Bind(v6, SocketAddress::AnyIpv6(kPort)), 0);
  EXPECT_EQ(reactor.SetOption(v6, SocketOption::kIpv6Only, 0), -EINVAL);
  ASSERT_EQ(reactor.Listen(v6, 1), 0);
  EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(kPort)), -ECONNREFUSED);

  TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(kPort)), 0);
  const SocketId only = TcpWorld::Open(world.client, AddressFamily::kIpv6);
  EXPECT_EQ(world.client.reactor().SetOption(only, SocketOption::kIpv6Only, 1), 0);
  EXPECT_EQ(world.Connect(world.client, only, SocketAddress::ParseHost("::ffff:10.0.0.2", kPort).value()),
            -ENETUNREACH);
}

TEST(TcpListenTest, AShutListenerAcceptsNoMoreAndCanListenAgain) {
  TcpWorld world;
  SimReactor& reactor = world.server.reactor();
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  EXPECT_EQ(reactor.Shutdown(listener, ShutdownHow::kWrite), 0);
  EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(kPort)), 0);
  EXPECT_EQ(reactor.Shutdown(listener, ShutdownHow::kRead), 0);
  EXPECT_EQ(reactor.TryAccept(listener), -EINVAL);
  EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(kPort)), -ECONNREFUSED);
  EXPECT_EQ(reactor.Listen(listener, 1), 0);
  EXPECT_EQ(world.Connect(world.client, TcpWorld::Open(world.client), world.server.Address(kPort)), 0);

  const SocketId any = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(0));
  const uint16_t port = TcpWorld::Local(world.server, any).port();
  EXPECT_EQ(reactor.Shutdown(any, ShutdownHow::kBoth), 0);
  EXPECT_EQ(reactor.Listen(any, 1), 0);
  EXPECT_EQ(TcpWorld::Local(world.server, any).port(), port);
}

}  // namespace
}  // namespace tandem::sim
