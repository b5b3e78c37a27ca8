// SPDX-License-Identifier: Apache-2.0
//
// The simulated TCP, seen through the reactor: what Linux does, what only a simulator can show, and the faults.

#include "sim/tcp.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/random.h"
#include "core/io/address.h"
#include "core/io/buffer.h"
#include "core/io/reactor.h"
#include "gtest/gtest.h"
#include "sim/chaos.h"
#include "sim/event_queue.h"
#include "sim/network.h"
#include "sim/sim_reactor.h"
#include "sim/test_programs.h"
#include "sim/trace.h"

namespace tandem::sim {
namespace {

constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kSecond = 1'000'000'000;
constexpr uint16_t kPort = 80;

// Two hosts, and calls that run the world until they have an answer.
class World {
 public:
  explicit World(uint64_t seed = 1, const SimReactorOptions& options = SimReactorOptions())
      : room(seed),
        client(room.events, room.network, "client", SocketAddress::Ipv4({10, 0, 0, 1}, 0), options),
        server(room.events, room.network, "server", SocketAddress::Ipv4({10, 0, 0, 2}, 0), options) {}
  ~World() {
    client.Crash();
    server.Crash();
  }

  static SocketId Open(TestHost& host, AddressFamily family = AddressFamily::kIpv4) {
    const int64_t id = host.reactor().OpenSocket(family, SocketType::kStream);
    EXPECT_GE(id, 0);
    return static_cast<SocketId>(id);
  }
  static SocketId Listen(TestHost& host, const SocketAddress& address, int backlog = 128) {
    const SocketId id = Open(host, address.family());
    EXPECT_EQ(host.reactor().Bind(id, address), 0);
    EXPECT_EQ(host.reactor().Listen(id, backlog), 0);
    return id;
  }
  static SocketAddress Local(TestHost& host, SocketId id) {
    SocketAddress address;
    EXPECT_EQ(host.reactor().LocalAddress(id, &address), 0);
    return address;
  }
  static int Peer(TestHost& host, SocketId id) {
    SocketAddress address;
    return host.reactor().PeerAddress(id, &address);
  }
  static int Option(TestHost& host, SocketId id, SocketOption option) {
    int value = 0;
    EXPECT_EQ(host.reactor().GetOption(id, option, &value), 0);
    return value;
  }
  static TcpState State(TestHost& host, SocketId id) { return host.stack().Find(id)->state(); }

  void StartConnect(TestHost& host, TestOperation& operation, SocketId id, const SocketAddress& address) {
    operation.kind = OperationKind::kConnect;
    operation.socket = id;
    operation.address = address;
    host.reactor().Submit(operation);
  }
  int64_t Connect(TestHost& host, SocketId id, const SocketAddress& address) {
    TestOperation operation;
    StartConnect(host, operation, id, address);
    room.RunUntil([&] { return operation.completions == 1; });
    return operation.result;
  }
  int64_t Send(TestHost& host, SocketId id, absl::string_view bytes) {
    TestOperation operation;
    const IoSlice slice{bytes.data(), bytes.size()};
    operation.socket = id;
    operation.slices = absl::MakeConstSpan(&slice, 1);
    host.reactor().Submit(operation);
    room.RunUntil([&] { return operation.completions == 1; });
    return operation.result;
  }
  int64_t Close(TestHost& host, SocketId id) {
    TestOperation operation;
    operation.kind = OperationKind::kClose;
    operation.socket = id;
    host.reactor().Submit(operation);
    room.RunUntil([&] { return operation.completions == 1; });
    return operation.result;
  }
  SocketId Accept(TestHost& host, SocketId listener) {
    TestSource source(Source::Kind::kAccept);
    source.socket = listener;
    host.reactor().Arm(source);
    room.RunUntil([&] { return !source.accepted.empty() || source.ends > 0; });
    if (source.armed()) host.reactor().Disarm(source);
    room.RunUntil([&] { return !source.armed(); });
    if (source.accepted.empty()) return -source.error;
    EXPECT_EQ(source.accepted.size(), 1u);
    return source.accepted.front();
  }
  // What is there now and within `wait_ns`, then why it ended: "data", "data|EOF", "|ECONNRESET", "data|...".
  std::string Receive(TestHost& host, SocketId id, int64_t wait_ns = kSecond, size_t budget = 1 << 20) {
    TestSource source(Source::Kind::kReceive);
    source.socket = id;
    source.budget = budget;
    host.reactor().Arm(source);
    room.RunUntil([&] { return source.ends == 1; }, wait_ns);
    if (source.armed()) host.reactor().Disarm(source);
    room.RunUntil([&] { return !source.armed(); });
    std::string text = source.bytes;
    switch (source.end) {
      case SourceEnd::kEndOfStream:
        return text + "|EOF";
      case SourceEnd::kError:
        return text + (source.error == ECONNRESET ? "|ECONNRESET" : "|" + std::to_string(source.error));
      default:
        return text;
    }
  }

  // A connection from the client to the server.
  struct Pair {
    SocketId client;
    SocketId server;
  };
  Pair Connected(uint16_t port = kPort) {
    const SocketId listener = Listen(server, SocketAddress::AnyIpv4(port));
    Pair pair;
    pair.client = Open(client);
    EXPECT_EQ(Connect(client, pair.client, server.Address(port)), 0);
    pair.server = Accept(server, listener);
    EXPECT_GE(pair.server, 0);
    EXPECT_EQ(Close(server, listener), 0);
    return pair;
  }
  void Settle() { room.RunFor(10 * kMillisecond); }

  MachineRoom room;
  TestHost client;
  TestHost server;
};

// --- Connect ---

TEST(TcpConnectTest, IsRefusedWithoutListenerAndTheSocketIsAsNew) {
  World world;
  const SocketId id = World::Open(world.client);

  EXPECT_EQ(world.Connect(world.client, id, world.server.Address(kPort)), -ECONNREFUSED);
  EXPECT_EQ(World::Option(world.client, id, SocketOption::kError), 0);
  World::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  EXPECT_EQ(world.Connect(world.client, id, world.server.Address(kPort)), 0);
}

TEST(TcpConnectTest, ASecondConnectIsRefused) {
  World world;
  const SocketId listener = World::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const SocketId id = World::Open(world.client);
  TestOperation first, second;
  world.StartConnect(world.client, first, id, world.server.Address(kPort));
  EXPECT_EQ(World::Peer(world.client, id), -ENOTCONN);
  EXPECT_EQ(world.client.stack().Connect(id, world.server.Address(kPort)), -EALREADY);
  world.room.RunUntil([&] { return first.completions == 1; });

  EXPECT_EQ(world.Connect(world.client, id, world.server.Address(kPort)), -EISCONN);
  EXPECT_EQ(world.Connect(world.server, listener, world.client.Address(kPort)), -EISCONN);
}

TEST(TcpConnectTest, TimesOutAfterTheRetriesOfTheSyn) {
  World world;
  world.room.network.Block(world.client.stack(), world.server.stack());
  const int64_t before = world.room.events.now_ns();

  EXPECT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(kPort)), -ETIMEDOUT);
  EXPECT_EQ((world.room.events.now_ns() - before) / kSecond, 127);
}

TEST(TcpConnectTest, AnAddressWithoutHostIsUnreachable) {
  World world;

  EXPECT_EQ(world.Connect(world.client, World::Open(world.client), SocketAddress::Ipv4({10, 9, 9, 9}, kPort)),
            -EHOSTUNREACH);
  EXPECT_EQ(world.Connect(world.client, World::Open(world.client), SocketAddress::Ipv4({224, 0, 0, 1}, kPort)),
            -ENETUNREACH);
}

TEST(TcpConnectTest, TheUnspecifiedAddressIsTheLoopback) {
  World world;
  World::Listen(world.client, SocketAddress::AnyIpv4(kPort));
  const SocketId id = World::Open(world.client);

  EXPECT_EQ(world.Connect(world.client, id, SocketAddress::AnyIpv4(kPort)), 0);
  SocketAddress peer;
  EXPECT_EQ(world.client.reactor().PeerAddress(id, &peer), 0);
  EXPECT_EQ(peer, SocketAddress::LoopbackIpv4(kPort));
}

TEST(TcpConnectTest, PortZeroIsRefusedAndBroadcastIsOutOfReach) {
  World world;
  EXPECT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(0)), -ECONNREFUSED);
  EXPECT_EQ(world.Connect(world.client, World::Open(world.client), SocketAddress::Ipv4({255, 255, 255, 255}, kPort)),
            -ENETUNREACH);
}

TEST(TcpConnectTest, FamiliesDoNotMix) {
  World world;
  const SocketId id = World::Open(world.client);

  EXPECT_EQ(world.client.reactor().Bind(id, SocketAddress::AnyIpv6(1)), -EAFNOSUPPORT);
  EXPECT_EQ(world.Connect(world.client, id, SocketAddress::LoopbackIpv6(1)), -EAFNOSUPPORT);
}

TEST(TcpConnectTest, ASocketCanConnectToItself) {
  World world;
  const SocketId id = World::Open(world.client);
  ASSERT_EQ(world.client.reactor().Bind(id, SocketAddress::LoopbackIpv4(5000)), 0);

  EXPECT_EQ(world.Connect(world.client, id, SocketAddress::LoopbackIpv4(5000)), 0);
  EXPECT_EQ(world.Send(world.client, id, "hello"), 5);
  EXPECT_EQ(world.Receive(world.client, id), "hello");
}

TEST(TcpConnectTest, TwoEndsCanOpenAtOnce) {
  World world;
  const SocketId a = World::Open(world.client);
  const SocketId b = World::Open(world.server);
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

TEST(TcpConnectTest, ATakenPairOfAddressesIsNotAvailable) {
  World world;
  World::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  std::array<SocketId, 2> ids;
  for (SocketId& id : ids) {
    id = World::Open(world.client);
    ASSERT_EQ(world.client.reactor().SetOption(id, SocketOption::kReuseAddress, 1), 0);
    ASSERT_EQ(world.client.reactor().Bind(id, world.client.Address(5000)), 0);
  }

  EXPECT_EQ(world.Connect(world.client, ids[0], world.server.Address(kPort)), 0);
  EXPECT_EQ(world.Connect(world.client, ids[1], world.server.Address(kPort)), -EADDRNOTAVAIL);
}

TEST(TcpConnectTest, AWriteBeforeTheConnectionIsUpFollowsIt) {
  World world;
  const SocketId listener = World::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const SocketId id = World::Open(world.client);
  TestOperation connect;
  world.StartConnect(world.client, connect, id, world.server.Address(kPort));

  EXPECT_EQ(world.Send(world.client, id, "early"), 5);
  EXPECT_EQ(world.Receive(world.server, world.Accept(world.server, listener)), "early");
}

TEST(TcpConnectTest, ACancelledConnectReportsThat) {
  World world;
  world.room.network.Block(world.client.stack(), world.server.stack());
  const SocketId id = World::Open(world.client);
  TestOperation connect;
  world.StartConnect(world.client, connect, id, world.server.Address(kPort));
  world.Settle();

  world.client.reactor().Cancel(connect);
  world.room.RunUntil([&] { return connect.completions == 1; });

  EXPECT_EQ(connect.result, -ECANCELED);
  EXPECT_EQ(world.Close(world.client, id), 0);
  EXPECT_EQ(connect.completions, 1);
}

// --- Bind, listen, accept ---

TEST(TcpListenTest, PortsAreGivenAndGuarded) {
  World world;
  SimReactor& reactor = world.server.reactor();
  const SocketId a = World::Open(world.server);
  ASSERT_EQ(reactor.Listen(a, 1), 0);
  EXPECT_NE(World::Local(world.server, a).port(), 0);
  EXPECT_TRUE(World::Local(world.server, a).is_any());
  EXPECT_EQ(reactor.Bind(a, SocketAddress::AnyIpv4(0)), -EINVAL);
  EXPECT_EQ(reactor.Bind(World::Open(world.server), SocketAddress::Ipv4({10, 0, 0, 77}, 0)), -EADDRNOTAVAIL);

  World::Listen(world.server, SocketAddress::LoopbackIpv4(kPort));
  for (int reuse : {0, 1}) {
    const SocketId b = World::Open(world.server);
    reactor.SetOption(b, SocketOption::kReuseAddress, reuse);
    EXPECT_EQ(reactor.Bind(b, SocketAddress::LoopbackIpv4(kPort)), -EADDRINUSE);
    EXPECT_EQ(reactor.Bind(b, SocketAddress::AnyIpv4(kPort)), -EADDRINUSE);
    EXPECT_EQ(reactor.Bind(b, SocketAddress::Ipv4({127, 0, 0, static_cast<uint8_t>(2 + reuse)}, kPort)), 0);
  }
}

TEST(TcpListenTest, WithoutAFreePortBindAndConnectAreRefused) {
  World world;
  SimReactor& reactor = world.client.reactor();
  SocketId id = kNoSocket;
  int result = 0;
  for (int bound = -1; result == 0; ++bound) {
    ASSERT_LE(bound, 60999 - 32768 + 1);
    id = World::Open(world.client);
    result = reactor.Bind(id, SocketAddress::AnyIpv4(0));
  }
  EXPECT_EQ(result, -EADDRINUSE);
  EXPECT_EQ(reactor.Listen(id, 1), -EADDRINUSE);
  EXPECT_EQ(world.Connect(world.client, id, world.server.Address(80)), -EADDRNOTAVAIL);
}

TEST(TcpListenTest, TwoMayBindForReuseButOneListens) {
  World world;
  SimReactor& reactor = world.server.reactor();
  std::array<SocketId, 2> ids;
  for (SocketId& id : ids) {
    id = World::Open(world.server);
    reactor.SetOption(id, SocketOption::kReuseAddress, 1);
    EXPECT_EQ(reactor.Bind(id, SocketAddress::AnyIpv4(kPort)), 0);
  }

  EXPECT_EQ(reactor.Listen(ids[0], 1), 0);
  EXPECT_EQ(reactor.Listen(ids[1], 1), -EADDRINUSE);
}

TEST(TcpListenTest, ReusePortSpreadsConnections) {
  World world;
  SimReactor& reactor = world.server.reactor();
  std::array<std::unique_ptr<TestSource>, 2> sources;
  for (auto& source : sources) {
    source = std::make_unique<TestSource>(Source::Kind::kAccept);
    source->socket = World::Open(world.server);
    reactor.SetOption(source->socket, SocketOption::kReusePort, 1);
    EXPECT_EQ(reactor.Bind(source->socket, SocketAddress::AnyIpv4(kPort)), 0);
    EXPECT_EQ(reactor.Listen(source->socket, 128), 0);
    reactor.Arm(*source);
  }
  EXPECT_EQ(reactor.Bind(World::Open(world.server), SocketAddress::AnyIpv4(kPort)), -EADDRINUSE);

  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(kPort)), 0);
  }
  world.Settle();

  EXPECT_GT(sources[0]->accepted.size(), 0u);
  EXPECT_GT(sources[1]->accepted.size(), 0u);
  EXPECT_EQ(sources[0]->accepted.size() + sources[1]->accepted.size(), 64u);
  world.server.Crash();
}

TEST(TcpListenTest, TimeWaitHoldsThePortUnlessTheOldListenerAllowedReuse) {
  for (int old_reuse : {0, 1}) {
    World world;
    SimReactor& reactor = world.server.reactor();
    const SocketId listener = World::Open(world.server);
    reactor.SetOption(listener, SocketOption::kReuseAddress, old_reuse);
    ASSERT_EQ(reactor.Bind(listener, SocketAddress::AnyIpv4(kPort)), 0);
    ASSERT_EQ(reactor.Listen(listener, 1), 0);
    const SocketId c = World::Open(world.client);
    ASSERT_EQ(world.Connect(world.client, c, world.server.Address(kPort)), 0);
    const SocketId s = world.Accept(world.server, listener);
    world.Close(world.server, s);
    EXPECT_EQ(world.Receive(world.client, c), "|EOF");
    world.Close(world.client, c);
    world.Close(world.server, listener);
    world.Settle();

    const SocketId again = World::Open(world.server);
    reactor.SetOption(again, SocketOption::kReuseAddress, 1);
    EXPECT_EQ(reactor.Bind(again, SocketAddress::AnyIpv4(kPort)), old_reuse == 1 ? 0 : -EADDRINUSE);
    world.room.RunFor(61 * kSecond);
    EXPECT_EQ(reactor.Bind(again, SocketAddress::AnyIpv4(kPort)), old_reuse == 1 ? -EINVAL : 0);
  }
}

TEST(TcpListenTest, ListenAndAcceptWantTheRightSocket) {
  World world;
  const World::Pair pair = world.Connected();

  EXPECT_EQ(world.client.reactor().Listen(pair.client, 1), -EINVAL);
  EXPECT_EQ(world.Accept(world.client, pair.client), -EINVAL);
  EXPECT_EQ(world.Accept(world.client, World::Open(world.client)), -EINVAL);

  TestSource source(Source::Kind::kAccept);
  source.socket = World::Listen(world.server, SocketAddress::AnyIpv4(81));
  world.server.reactor().Arm(source);
  EXPECT_EQ(world.server.reactor().Shutdown(source.socket, ShutdownHow::kBoth), 0);
  world.room.RunUntil([&] { return source.ends == 1; });
  EXPECT_EQ(source.error, EINVAL);
}

TEST(TcpListenTest, ABacklogOfTwoTakesThreeAndTheRestOnTheRetry) {
  World world;
  const SocketId listener = World::Listen(world.server, SocketAddress::AnyIpv4(kPort), 2);
  std::array<TestOperation, 6> connects;
  for (TestOperation& connect : connects) {
    world.StartConnect(world.client, connect, World::Open(world.client), world.server.Address(kPort));
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
  World world;
  const SocketId listener = World::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const SocketId c = World::Open(world.client);
  ASSERT_EQ(world.Connect(world.client, c, world.server.Address(kPort)), 0);
  EXPECT_EQ(world.Send(world.client, c, "hello"), 5);
  world.Close(world.client, c);
  world.Settle();

  EXPECT_EQ(world.Receive(world.server, world.Accept(world.server, listener)), "hello|EOF");
}

TEST(TcpListenTest, AResetBeforeAcceptIsSeenAfterIt) {
  World world;
  const SocketId listener = World::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const SocketId c = World::Open(world.client);
  ASSERT_EQ(world.Connect(world.client, c, world.server.Address(kPort)), 0);
  world.Settle();
  world.client.reactor().SetOption(c, SocketOption::kLinger, 0);
  world.Close(world.client, c);
  world.Settle();

  const SocketId s = world.Accept(world.server, listener);
  ASSERT_GE(s, 0);
  EXPECT_EQ(World::Peer(world.server, s), -ENOTCONN);
  EXPECT_EQ(world.Receive(world.server, s), "|ECONNRESET");
  EXPECT_EQ(world.Receive(world.server, s), "|EOF");
}

TEST(TcpListenTest, AcceptInheritsOptions) {
  World world;
  const SocketId listener = World::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  world.server.reactor().SetOption(listener, SocketOption::kNoDelay, 1);
  const SocketId c = World::Open(world.client);
  ASSERT_EQ(world.Connect(world.client, c, world.server.Address(kPort)), 0);

  EXPECT_EQ(World::Option(world.server, world.Accept(world.server, listener), SocketOption::kNoDelay), 1);
}

TEST(TcpListenTest, ClosingResetsWhatWasNotAccepted) {
  World world;
  const SocketId listener = World::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const SocketId c = World::Open(world.client);
  ASSERT_EQ(world.Connect(world.client, c, world.server.Address(kPort)), 0);
  world.Settle();
  world.Close(world.server, listener);

  EXPECT_EQ(world.Receive(world.client, c), "|ECONNRESET");
  EXPECT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(kPort)), -ECONNREFUSED);
}

TEST(TcpListenTest, AFullDescriptorTableDelaysAccepts) {
  World world;
  TestSource source(Source::Kind::kAccept);
  source.socket = World::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  world.server.stack().set_descriptor_limit(2);
  world.server.reactor().Arm(source);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(kPort)), 0);
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
  World world;
  const SocketId listener = World::Listen(world.server, SocketAddress::AnyIpv6(kPort));
  EXPECT_EQ(world.server.reactor().Bind(World::Open(world.server), SocketAddress::AnyIpv4(kPort)), -EADDRINUSE);
  ASSERT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(kPort)), 0);

  const SocketId s = world.Accept(world.server, listener);
  SocketAddress peer;
  ASSERT_EQ(world.server.reactor().PeerAddress(s, &peer), 0);
  EXPECT_EQ(peer.HostToString(), "::ffff:10.0.0.1");
}

TEST(TcpListenTest, AnIpv6OnlyListenerLeavesIpv4Alone) {
  World world;
  SimReactor& reactor = world.server.reactor();
  const SocketId v6 = World::Open(world.server, AddressFamily::kIpv6);
  EXPECT_EQ(reactor.SetOption(v6, SocketOption::kIpv6Only, 1), 0);
  ASSERT_EQ(reactor.Bind(v6, SocketAddress::AnyIpv6(kPort)), 0);
  EXPECT_EQ(reactor.SetOption(v6, SocketOption::kIpv6Only, 0), -EINVAL);
  ASSERT_EQ(reactor.Listen(v6, 1), 0);
  EXPECT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(kPort)), -ECONNREFUSED);

  World::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  EXPECT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(kPort)), 0);
  const SocketId only = World::Open(world.client, AddressFamily::kIpv6);
  EXPECT_EQ(world.client.reactor().SetOption(only, SocketOption::kIpv6Only, 1), 0);
  EXPECT_EQ(world.Connect(world.client, only, SocketAddress::ParseHost("::ffff:10.0.0.2", kPort).value()),
            -ENETUNREACH);
}

TEST(TcpListenTest, AShutListenerAcceptsNoMoreAndCanListenAgain) {
  World world;
  SimReactor& reactor = world.server.reactor();
  const SocketId listener = World::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  EXPECT_EQ(reactor.Shutdown(listener, ShutdownHow::kWrite), 0);
  EXPECT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(kPort)), 0);
  EXPECT_EQ(reactor.Shutdown(listener, ShutdownHow::kRead), 0);
  EXPECT_EQ(reactor.TryAccept(listener), -EINVAL);
  EXPECT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(kPort)), -ECONNREFUSED);
  EXPECT_EQ(reactor.Listen(listener, 1), 0);
  EXPECT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(kPort)), 0);

  const SocketId any = World::Listen(world.server, SocketAddress::AnyIpv4(0));
  const uint16_t port = World::Local(world.server, any).port();
  EXPECT_EQ(reactor.Shutdown(any, ShutdownHow::kBoth), 0);
  EXPECT_EQ(reactor.Listen(any, 1), 0);
  EXPECT_EQ(World::Local(world.server, any).port(), port);
}

// --- Reading, writing, closing ---

TEST(TcpStreamTest, TheFirstSendAfterThePeerClosedIsTakenAndTheSecondFails) {
  World world;
  const World::Pair pair = world.Connected();
  world.Close(world.server, pair.server);
  world.Settle();

  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  world.Settle();
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -EPIPE);
  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
}

TEST(TcpStreamTest, CloseWithUnreadDataResetsAndWhatWasSentIsStillRead) {
  World world;
  const World::Pair pair = world.Connected();
  EXPECT_EQ(world.Send(world.client, pair.client, "0123456789"), 10);
  world.Settle();
  EXPECT_EQ(world.Send(world.server, pair.server, "reply"), 5);
  world.Close(world.server, pair.server);
  world.Settle();

  EXPECT_EQ(World::Peer(world.client, pair.client), -ENOTCONN);
  EXPECT_EQ(world.Receive(world.client, pair.client), "reply|ECONNRESET");
  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -EPIPE);
}

TEST(TcpStreamTest, ResetOnCloseIsReportedOnceWhoeverAsksFirst) {
  World world;
  const World::Pair pair = world.Connected();
  world.server.reactor().SetOption(pair.server, SocketOption::kLinger, 0);
  world.Close(world.server, pair.server);
  world.Settle();

  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -ECONNRESET);
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -EPIPE);
  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
}

TEST(TcpStreamTest, TheEndOfTheStreamComesAfterTheDataAndStays) {
  World world;
  const World::Pair pair = world.Connected();
  world.Send(world.server, pair.server, "abc");
  world.Close(world.server, pair.server);
  world.Settle();

  EXPECT_EQ(World::Peer(world.client, pair.client), 0);
  EXPECT_EQ(world.Receive(world.client, pair.client, kSecond, 2), "ab");
  EXPECT_EQ(world.Receive(world.client, pair.client, kSecond, 1), "c");
  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
}

TEST(TcpStreamTest, AHalfClosedConnectionStillCarriesTheOtherHalf) {
  World world;
  const World::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().Shutdown(pair.client, ShutdownHow::kWrite), 0);
  EXPECT_EQ(world.client.reactor().Shutdown(pair.client, ShutdownHow::kWrite), 0);

  EXPECT_EQ(world.Receive(world.server, pair.server), "|EOF");
  EXPECT_EQ(world.Send(world.server, pair.server, "late"), 4);
  EXPECT_EQ(world.Receive(world.client, pair.client), "late");
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -EPIPE);
  EXPECT_EQ(World::State(world.client, pair.client), TcpState::kFinWait2);
  EXPECT_EQ(World::State(world.server, pair.server), TcpState::kCloseWait);
  world.Close(world.server, pair.server);
  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
}

TEST(TcpStreamTest, AFreshSocketIsNotConnected) {
  World world;
  const SocketId id = World::Open(world.client);

  EXPECT_EQ(world.client.reactor().Shutdown(id, ShutdownHow::kBoth), -ENOTCONN);
  EXPECT_EQ(world.Receive(world.client, id), "|" + std::to_string(ENOTCONN));
  EXPECT_EQ(world.Send(world.client, id, "x"), -EPIPE);
  EXPECT_EQ(World::Peer(world.client, id), -ENOTCONN);
}

TEST(TcpStreamTest, ShutdownReadEndsTheStreamButNotTheData) {
  World world;
  const World::Pair pair = world.Connected();
  TestSource source(Source::Kind::kReceive);
  source.socket = pair.client;
  source.budget = 100;
  world.client.reactor().Arm(source);
  EXPECT_EQ(world.client.reactor().Shutdown(pair.client, ShutdownHow::kRead), 0);
  world.room.RunUntil([&] { return source.ends == 1; });
  EXPECT_EQ(source.end, SourceEnd::kEndOfStream);

  EXPECT_EQ(world.Send(world.server, pair.server, "new"), 3);
  world.Settle();
  EXPECT_EQ(world.Receive(world.client, pair.client), "new|EOF");
}

TEST(TcpStreamTest, ShutdownReadLeavesWhatIsThereAndACloseResetsForWhatIsNotRead) {
  World world;
  const World::Pair pair = world.Connected();
  EXPECT_EQ(world.Send(world.server, pair.server, "pending"), 7);
  world.Settle();
  EXPECT_EQ(world.client.reactor().Shutdown(pair.client, ShutdownHow::kRead), 0);
  EXPECT_EQ(world.Receive(world.client, pair.client), "pending|EOF");
  world.room.RunFor(100 * kMillisecond);
  EXPECT_EQ(world.Send(world.server, pair.server, "unread"), 6);
  world.Settle();
  world.Close(world.client, pair.client);
  EXPECT_EQ(world.Receive(world.server, pair.server), "|ECONNRESET");
}

TEST(TcpStreamTest, ShutdownOfBothHalvesEndsBoth) {
  World world;
  const World::Pair pair = world.Connected();
  TestSource source(Source::Kind::kReceive);
  source.socket = pair.client;
  source.budget = 100;
  world.client.reactor().Arm(source);
  EXPECT_EQ(world.client.reactor().Shutdown(pair.client, ShutdownHow::kBoth), 0);
  world.room.RunUntil([&] { return source.ends == 1; });
  EXPECT_EQ(source.end, SourceEnd::kEndOfStream);

  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -EPIPE);
  EXPECT_EQ(world.Receive(world.server, pair.server), "|EOF");
  // Nobody will read it, and Linux says so in FIN_WAIT2.
  EXPECT_EQ(world.Send(world.server, pair.server, "x"), 1);
  world.Settle();
  EXPECT_EQ(world.Send(world.server, pair.server, "x"), -EPIPE);
}

TEST(TcpStreamTest, AResetAfterTheEndIsAPipeErrorOnce) {
  World world;
  const World::Pair pair = world.Connected();
  world.Close(world.server, pair.server);
  world.Settle();
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  world.Settle();

  EXPECT_EQ(World::Option(world.client, pair.client, SocketOption::kError), EPIPE);
  EXPECT_EQ(World::Option(world.client, pair.client, SocketOption::kError), 0);
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -EPIPE);
  EXPECT_EQ(World::State(world.client, pair.client), TcpState::kClosed);
}

TEST(TcpStreamTest, LingerZeroResetsAfterTheData) {
  World world;
  const World::Pair pair = world.Connected();
  world.server.reactor().SetOption(pair.server, SocketOption::kLinger, 0);
  EXPECT_EQ(world.Send(world.server, pair.server, "data"), 4);
  world.Settle();
  world.Close(world.server, pair.server);
  world.Settle();

  EXPECT_EQ(world.Receive(world.client, pair.client), "data|ECONNRESET");
  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
}

TEST(TcpStreamTest, BothEndsCanShutDownAtOnce) {
  World world;
  const World::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().Shutdown(pair.client, ShutdownHow::kWrite), 0);
  EXPECT_EQ(world.server.reactor().Shutdown(pair.server, ShutdownHow::kWrite), 0);
  world.Settle();

  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
  EXPECT_EQ(world.Receive(world.server, pair.server), "|EOF");
  EXPECT_EQ(World::State(world.client, pair.client), TcpState::kTimeWait);
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -EPIPE);
}

TEST(TcpStreamTest, ASendWaitsForAReaderAndACancelTellsWhatWent) {
  World world;
  const World::Pair pair = world.Connected();
  std::string bytes(1 << 20, ' ');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + i / 256);
  TestOperation send;
  const IoSlice slice{bytes.data(), bytes.size()};
  send.socket = pair.client;
  send.slices = absl::MakeConstSpan(&slice, 1);
  world.client.reactor().Submit(send);
  world.room.RunFor(10 * kSecond);
  ASSERT_EQ(send.completions, 0);

  world.client.reactor().Cancel(send);
  world.room.RunUntil([&] { return send.completions == 1; });
  ASSERT_GT(send.result, 0);
  ASSERT_LT(send.result, static_cast<int64_t>(bytes.size()));
  world.Close(world.client, pair.client);

  EXPECT_EQ(world.Receive(world.server, pair.server, 1000 * kSecond),
            bytes.substr(0, static_cast<size_t>(send.result)) + "|EOF");
}

TEST(TcpStreamTest, ACloseGoesOnSendingWhatItHas) {
  World world;
  const World::Pair pair = world.Connected();
  const std::string bytes(100'000, 'x');
  EXPECT_EQ(world.Send(world.client, pair.client, bytes), 100'000);
  world.Close(world.client, pair.client);

  EXPECT_EQ(world.Receive(world.server, pair.server, 100 * kSecond), bytes + "|EOF");
}

TEST(TcpStreamTest, BufferSizesAreDoubledAndBounded) {
  World world;
  const SocketId id = World::Open(world.client);
  SimReactor& reactor = world.client.reactor();

  reactor.SetOption(id, SocketOption::kReceiveBufferSize, 20000);
  EXPECT_EQ(World::Option(world.client, id, SocketOption::kReceiveBufferSize), 40000);
  reactor.SetOption(id, SocketOption::kReceiveBufferSize, 1);
  EXPECT_EQ(World::Option(world.client, id, SocketOption::kReceiveBufferSize), 2304);
  reactor.SetOption(id, SocketOption::kSendBufferSize, 1);
  EXPECT_EQ(World::Option(world.client, id, SocketOption::kSendBufferSize), 4608);
}

TEST(TcpStreamTest, TinyBuffersStillCarryEverything) {
  World world;
  const SocketId listener = World::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  world.server.reactor().SetOption(listener, SocketOption::kReceiveBufferSize, 1);
  const SocketId c = World::Open(world.client);
  world.client.reactor().SetOption(c, SocketOption::kSendBufferSize, 1);
  ASSERT_EQ(world.Connect(world.client, c, world.server.Address(kPort)), 0);
  const SocketId s = world.Accept(world.server, listener);
  const std::string bytes(50'000, 'x');
  TestOperation send;
  const IoSlice slice{bytes.data(), bytes.size()};
  send.socket = c;
  send.slices = absl::MakeConstSpan(&slice, 1);
  world.client.reactor().Submit(send);

  EXPECT_EQ(world.Receive(world.server, s, 1000 * kSecond, bytes.size()), bytes);
  world.Settle();
  EXPECT_EQ(send.result, 50'000);
}

TEST(TcpStreamTest, AReaderThatPausesIsWokenByProbesWhenAWindowUpdateIsLost) {
  World world;
  const World::Pair pair = world.Connected();
  const std::string bytes(180'000, 'x');
  TestOperation send;
  const IoSlice slice{bytes.data(), bytes.size()};
  send.socket = pair.client;
  send.slices = absl::MakeConstSpan(&slice, 1);
  world.client.reactor().Submit(send);
  world.room.RunFor(5 * kSecond);
  world.room.network.Block(world.server.stack(), world.client.stack());
  std::string got = world.Receive(world.server, pair.server, kMillisecond);
  world.room.RunFor(kSecond);
  world.room.network.Unblock(world.server.stack(), world.client.stack());

  got += world.Receive(world.server, pair.server, 300 * kSecond, bytes.size() - got.size());
  EXPECT_EQ(got, bytes);
  world.Settle();
  EXPECT_EQ(send.result, 180'000);
}

TEST(TcpStreamTest, ProbesOfAClosedWindowDoNotCountAsLossesAfterwards) {
  World world;
  const World::Pair pair = world.Connected();
  const std::string bytes(120'000, 'x');
  EXPECT_EQ(world.Send(world.client, pair.client, bytes), 120'000);
  EXPECT_EQ(world.Close(world.client, pair.client), 0);
  world.room.RunFor(200 * kSecond);  // More probes than a closed socket has tries.
  world.room.network.Block(world.client.stack(), world.server.stack());
  std::string got = world.Receive(world.server, pair.server, kSecond / 20);
  world.room.network.Unblock(world.client.stack(), world.server.stack());

  got += world.Receive(world.server, pair.server, kSecond);
  EXPECT_EQ(got, bytes + "|EOF");
}

TEST(TcpStreamTest, ABudgetEndsTheArmingAtExactlyThatManyBytes) {
  World world;
  const World::Pair pair = world.Connected();
  world.Send(world.client, pair.client, std::string(1000, 'x'));
  world.Settle();
  TestSource source(Source::Kind::kReceive);
  source.socket = pair.server;
  source.budget = 333;
  world.server.reactor().Arm(source);
  world.room.RunUntil([&] { return source.ends == 1; });

  EXPECT_EQ(source.bytes.size(), 333u);
  EXPECT_EQ(source.end, SourceEnd::kBudget);
  EXPECT_EQ(world.Receive(world.server, pair.server).size(), 667u);
}

TEST(TcpStreamTest, DisarmEndsOnceInBothWaysOfReading) {
  for (const bool read_ahead : {false, true}) {
    SimReactorOptions options;
    options.read_ahead = read_ahead;
    World world(1, options);
    const World::Pair pair = world.Connected();
    world.Send(world.client, pair.client, "hello");
    world.Settle();
    TestSource source(Source::Kind::kReceive);
    source.socket = pair.server;
    source.budget = 100;
    world.server.reactor().Arm(source);
    world.server.reactor().Disarm(source);
    world.Settle();

    EXPECT_EQ(source.ends, 1);
    EXPECT_EQ(source.end, SourceEnd::kDisarmed);
    EXPECT_EQ(source.bytes, read_ahead ? "hello" : "");
    EXPECT_EQ(source.bytes + world.Receive(world.server, pair.server), "hello");
  }
}

TEST(TcpStreamTest, RequestAndResponseNeedTwoPacketsAndNoTimer) {
  World world;
  const World::Pair pair = world.Connected();
  world.Settle();
  const uint64_t before = world.room.network.statistics().packets_sent;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(world.Send(world.client, pair.client, "request"), 7);
    EXPECT_EQ(world.Receive(world.server, pair.server, kSecond, 7), "request");
    EXPECT_EQ(world.Send(world.server, pair.server, "response"), 8);
    EXPECT_EQ(world.Receive(world.client, pair.client, kSecond, 8), "response");
  }

  EXPECT_LE(world.room.network.statistics().packets_sent - before, 205u);
}

TEST(TcpStreamTest, ABulkTransferIsNotHeldUpByTimers) {
  for (const bool reorder : {false, true}) {
    World world;
    const World::Pair pair = world.Connected();
    LinkConditions conditions;
    if (reorder) conditions.reorder = Probability::Ratio(1, 50);
    world.room.network.SetDefaultConditions(conditions);
    const std::string bytes(4 << 20, 'x');
    TestOperation send;
    const IoSlice slice{bytes.data(), bytes.size()};
    send.socket = pair.client;
    send.slices = absl::MakeConstSpan(&slice, 1);
    const int64_t start = world.room.events.now_ns();
    world.client.reactor().Submit(send);
    EXPECT_EQ(world.Receive(world.server, pair.server, 100 * kSecond, bytes.size()).size(), bytes.size());
    // A window of 64 KiB in each round trip of some hundred microseconds.
    EXPECT_LT(world.room.events.now_ns() - start, 150 * kMillisecond);
    world.Settle();
    EXPECT_EQ(send.result, static_cast<int64_t>(bytes.size()));
  }
}

TEST(TcpStreamTest, AReaderThatGoesOnReopensTheWindowAtOnce) {
  World world;
  const World::Pair pair = world.Connected();
  const std::string bytes(180'000, 'x');
  TestOperation send;
  const IoSlice slice{bytes.data(), bytes.size()};
  send.socket = pair.client;
  send.slices = absl::MakeConstSpan(&slice, 1);
  world.client.reactor().Submit(send);
  world.room.RunFor(50 * kMillisecond);
  const int64_t start = world.room.events.now_ns();

  EXPECT_EQ(world.Receive(world.server, pair.server, kSecond, bytes.size()).size(), bytes.size());
  EXPECT_LT(world.room.events.now_ns() - start, 20 * kMillisecond);
  world.Settle();
  EXPECT_EQ(send.result, 180'000);
}

// --- Calls that do not wait ---

TEST(TcpTryTest, AcceptTakesWhatIsThere) {
  World world;
  const SocketId listener = World::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  SimReactor& reactor = world.server.reactor();
  EXPECT_EQ(reactor.TryAccept(listener), -EAGAIN);
  ASSERT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(kPort)), 0);
  world.Settle();

  EXPECT_GE(reactor.TryAccept(listener), 0);
  EXPECT_EQ(reactor.TryAccept(listener), -EAGAIN);
  EXPECT_EQ(reactor.TryAccept(World::Open(world.server)), -EINVAL);
  EXPECT_EQ(reactor.TryAccept(12345), -EBADF);
}

TEST(TcpTryTest, ReceiveTakesWhatIsThereThenTheErrorOnceThenTheEnd) {
  World world;
  const World::Pair pair = world.Connected();
  SimReactor& reactor = world.client.reactor();
  std::array<char, 8> target;
  const auto receive = [&](size_t size) {
    const int64_t count = reactor.TryReceive(pair.client, absl::MakeSpan(target).subspan(0, size));
    return count <= 0 ? std::to_string(count) : std::string(target.data(), static_cast<size_t>(count));
  };
  EXPECT_EQ(receive(8), std::to_string(-EAGAIN));
  EXPECT_EQ(receive(0), std::to_string(-EAGAIN));
  EXPECT_EQ(world.server.reactor().SetOption(pair.server, SocketOption::kNoDelay, 1), 0);
  EXPECT_EQ(world.Send(world.client, pair.client, "unread"), 6);
  EXPECT_EQ(world.Send(world.server, pair.server, "first "), 6);
  EXPECT_EQ(world.Send(world.server, pair.server, "second"), 6);
  world.Settle();
  EXPECT_EQ(world.Close(world.server, pair.server), 0);
  world.Settle();

  EXPECT_EQ(receive(0), "0");
  EXPECT_EQ(receive(8), "first se");
  EXPECT_EQ(receive(8), "cond");
  EXPECT_EQ(receive(8), std::to_string(-ECONNRESET));
  EXPECT_EQ(receive(8), "0");
  EXPECT_EQ(reactor.TryReceive(World::Open(world.client), absl::MakeSpan(target)), -ENOTCONN);
}

TEST(TcpTryTest, SendTakesWhatThereIsRoomFor) {
  World world;
  const World::Pair pair = world.Connected();
  const std::string bytes(1 << 20, 'x');
  const IoSlice slice{bytes.data(), bytes.size()};
  const auto send = [&](SocketId id) { return world.client.reactor().TrySend(id, absl::MakeConstSpan(&slice, 1)); };
  const int64_t first = send(pair.client);
  EXPECT_EQ(first, kDefaultSendBuffer / 2);
  EXPECT_EQ(send(pair.client), -EAGAIN);

  EXPECT_EQ(world.Receive(world.server, pair.server, kSecond).size(), static_cast<size_t>(first));
  EXPECT_GT(send(pair.client), 0);
  EXPECT_EQ(send(World::Open(world.client)), -EPIPE);
  EXPECT_EQ(world.client.reactor().TrySend(pair.client, {}), 0);
}

TEST(TcpTryTest, ASlowSendLeavesNothingToTheNextOnes) {
  World world;
  const World::Pair pair = world.Connected();
  world.client.stack().faults().slow_write = Probability::Ratio(1, 1);
  EXPECT_EQ(world.Send(world.client, pair.client, std::string(1000, 'x')), 1000);
  world.client.stack().faults().slow_write = Probability();
  const std::string bytes(10'000, 'y');
  const IoSlice slice{bytes.data(), bytes.size()};
  EXPECT_EQ(world.client.reactor().TrySend(pair.client, absl::MakeConstSpan(&slice, 1)), 10'000);
}

TEST(TcpTryTest, AnAcceptNeedsADescriptorAlsoWhenNothingWaits) {
  World world;
  const SocketId listener = World::Open(world.server);
  EXPECT_EQ(world.server.reactor().Listen(listener, 1), 0);
  EXPECT_EQ(world.server.reactor().TryAccept(listener), -EAGAIN);
  world.server.stack().set_descriptor_limit(1);
  EXPECT_EQ(world.server.reactor().TryAccept(listener), -EMFILE);

  // A source starves only when there is something to accept.
  TestSource source(Source::Kind::kAccept);
  source.socket = listener;
  world.server.reactor().Arm(source);
  world.Settle();
  EXPECT_EQ(world.server.reactor().statistics().descriptor_shortages, 0u);
  world.server.reactor().Disarm(source);
  world.Settle();
  EXPECT_EQ(source.ends, 1);
}

// --- Files ---

// A file with `size` bytes that differ, without a name.
class TestFile {
 public:
  explicit TestFile(size_t size) : file_(std::tmpfile()), bytes_(size, ' ') {
    CHECK(file_ != nullptr);
    for (size_t i = 0; i < size; ++i) bytes_[i] = static_cast<char>(i * 7 + i / 256);
    CHECK_EQ(std::fwrite(bytes_.data(), 1, size, file_), size);
    CHECK_EQ(std::fflush(file_), 0);
  }
  ~TestFile() { std::fclose(file_); }
  int descriptor() const { return fileno(file_); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::FILE* const file_;
  std::string bytes_;
};

TestOperation& StartSendFile(World& world, TestOperation& operation, SocketId id, const FileRange& range) {
  operation.kind = OperationKind::kSendFile;
  operation.socket = id;
  operation.file = &range;
  world.client.reactor().Submit(operation);
  return operation;
}

FileRange Range(int descriptor, uint64_t offset, uint64_t count) {
  FileRange range;
  range.descriptor = descriptor;
  range.offset = offset;
  range.count = count;
  return range;
}

TEST(TcpSendFileTest, SendsThePartThatIsThere) {
  World world;
  const World::Pair pair = world.Connected();
  const TestFile file(500'000);
  struct Case {
    uint64_t offset;
    uint64_t count;
    size_t sent;
  };
  for (const Case& part : {Case{0, 500'000, 500'000}, Case{100, 20'000, 20'000}, Case{499'990, 1'000'000, 10},
                           Case{0, UINT64_MAX, 500'000}, Case{500'000, 10, 0}}) {
    const FileRange range = Range(file.descriptor(), part.offset, part.count);
    TestOperation send;
    StartSendFile(world, send, pair.client, range);
    const std::string received = part.sent == 0 ? "" : world.Receive(world.server, pair.server, kSecond, part.sent);
    world.Settle();
    EXPECT_EQ(send.result, static_cast<int64_t>(part.sent));
    EXPECT_EQ(received, file.bytes().substr(part.offset, part.sent));
  }
}

TEST(TcpSendFileTest, ACancelTellsWhatWent) {
  World world;
  const World::Pair pair = world.Connected();
  const TestFile file(1 << 20);
  const FileRange range = Range(file.descriptor(), 0, 1 << 20);
  TestOperation send;
  StartSendFile(world, send, pair.client, range);
  world.room.RunFor(kSecond);
  ASSERT_EQ(send.completions, 0);

  world.client.reactor().Cancel(send);
  world.room.RunUntil([&] { return send.completions == 1; });
  ASSERT_GT(send.result, 0);
  ASSERT_LT(send.result, 1 << 20);
  world.Close(world.client, pair.client);
  EXPECT_EQ(world.Receive(world.server, pair.server, 100 * kSecond),
            file.bytes().substr(0, static_cast<size_t>(send.result)) + "|EOF");
}

TEST(TcpSendFileTest, ErrorsAreThoseOfTheFileAndOfTheSocket) {
  World world;
  const World::Pair pair = world.Connected();
  const TestFile file(10);
  const FileRange no_file = Range(12345, 0, 10);
  TestOperation bad;
  StartSendFile(world, bad, pair.client, no_file);
  world.Settle();
  EXPECT_EQ(bad.result, -EBADF);

  world.client.reactor().Shutdown(pair.client, ShutdownHow::kWrite);
  const FileRange range = Range(file.descriptor(), 0, 10);
  TestOperation closed;
  StartSendFile(world, closed, pair.client, range);
  world.Settle();
  EXPECT_EQ(closed.result, -EPIPE);
}

// --- Options ---

TEST(TcpOptionTest, RangesAndDefaultsAreThoseOfLinux) {
  World world;
  const SocketId id = World::Open(world.client);
  const SocketId v6 = World::Open(world.client, AddressFamily::kIpv6);
  const auto set = [&](SocketId socket, SocketOption option, int value) {
    const int result = world.client.reactor().SetOption(socket, option, value);
    return result < 0 ? result : World::Option(world.client, socket, option);
  };
  const auto defaults = [&](SocketOption option) { return World::Option(world.client, id, option); };
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
  EXPECT_EQ(set(id, SocketOption::kTimeToLive, -1), 64);
  EXPECT_EQ(set(v6, SocketOption::kTimeToLive, 0), 0);
  EXPECT_EQ(set(id, SocketOption::kLinger, 7), 7);
  EXPECT_EQ(set(id, SocketOption::kLinger, -5), -1);
  EXPECT_EQ(set(id, SocketOption::kIpv6Only, 1), -ENOPROTOOPT);
  int value = 0;
  EXPECT_EQ(world.client.reactor().GetOption(id, SocketOption::kIpv6Only, &value), -EOPNOTSUPP);
  EXPECT_EQ(set(id, SocketOption::kError, 1), -ENOPROTOOPT);
}

TEST(TcpOptionTest, AcceptedSocketsInheritAll) {
  World world;
  const SocketId listener = World::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  const std::vector<std::pair<SocketOption, int>> options = {
      {SocketOption::kKeepAlive, 1},      {SocketOption::kKeepAliveIdle, 7}, {SocketOption::kKeepAliveInterval, 8},
      {SocketOption::kKeepAliveCount, 3}, {SocketOption::kUserTimeout, 999}, {SocketOption::kTrafficClass, 184},
      {SocketOption::kTimeToLive, 9},     {SocketOption::kLinger, 3},        {SocketOption::kQuickAck, 0},
  };
  for (const auto& [option, value] : options) EXPECT_EQ(world.server.reactor().SetOption(listener, option, value), 0);
  ASSERT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(kPort)), 0);

  const SocketId s = world.Accept(world.server, listener);
  for (const auto& [option, value] : options) EXPECT_EQ(World::Option(world.server, s, option), value);
}

TEST(TcpOptionTest, QuickAckAnswersAtOnceUntilTheProgramAnswers) {
  World world;
  const World::Pair pair = world.Connected();
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
  EXPECT_EQ(World::Option(world.server, pair.server, SocketOption::kQuickAck), 0);
  EXPECT_EQ(packets_for_one_byte(), 1u);
}

// --- Keep-alive, the user timeout, lingering ---

void SetKeepAlive(TestHost& host, SocketId id, int idle, int interval, int count) {
  EXPECT_EQ(host.reactor().SetOption(id, SocketOption::kKeepAlive, 1), 0);
  EXPECT_EQ(host.reactor().SetOption(id, SocketOption::kKeepAliveIdle, idle), 0);
  EXPECT_EQ(host.reactor().SetOption(id, SocketOption::kKeepAliveInterval, interval), 0);
  EXPECT_EQ(host.reactor().SetOption(id, SocketOption::kKeepAliveCount, count), 0);
}

TEST(TcpKeepAliveTest, ASilentPeerEndsTheConnectionAfterTheProbes) {
  World world;
  const World::Pair pair = world.Connected();
  SetKeepAlive(world.client, pair.client, 10, 5, 3);
  world.room.network.Block(world.client.stack(), world.server.stack());
  const int64_t start = world.room.events.now_ns();

  EXPECT_EQ(world.Receive(world.client, pair.client, 3600 * kSecond), "|" + std::to_string(ETIMEDOUT));
  EXPECT_EQ((world.room.events.now_ns() - start) / kSecond, 10 + 3 * 5 - 1);
}

TEST(TcpKeepAliveTest, APeerThatAnswersKeepsTheConnection) {
  World world;
  const World::Pair pair = world.Connected();
  SetKeepAlive(world.client, pair.client, 10, 5, 3);
  const uint64_t before = world.room.network.statistics().packets_sent;
  world.room.RunFor(100 * kSecond + kSecond);

  EXPECT_EQ(world.room.network.statistics().packets_sent - before, 20u);  // A probe and an answer every 10 s.
  EXPECT_EQ(world.Send(world.server, pair.server, "still here"), 10);
  EXPECT_EQ(world.Receive(world.client, pair.client), "still here");
}

TEST(TcpKeepAliveTest, ATransferNeedsNoProbe) {
  World world;
  const World::Pair pair = world.Connected();
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
  World world;
  const World::Pair pair = world.Connected();
  SetKeepAlive(world.client, pair.client, 10, 5, 3);
  world.server.Crash();
  world.server.Start();

  EXPECT_EQ(world.Receive(world.client, pair.client, 20 * kSecond), "|ECONNRESET");
}

TEST(TcpKeepAliveTest, WithoutItASilentConnectionLives) {
  World world;
  const World::Pair pair = world.Connected();
  SetKeepAlive(world.client, pair.client, 10, 5, 3);
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kKeepAlive, 0), 0);
  world.room.network.Block(world.client.stack(), world.server.stack());

  EXPECT_EQ(world.Receive(world.client, pair.client, 36'000 * kSecond), "");
}

TEST(TcpUserTimeoutTest, UnacknowledgedBytesEndTheConnectionThen) {
  World world;
  const World::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kUserTimeout, 3000), 0);
  world.room.network.Block(world.client.stack(), world.server.stack());
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  const int64_t start = world.room.events.now_ns();

  EXPECT_EQ(world.Receive(world.client, pair.client, 3600 * kSecond), "|" + std::to_string(ETIMEDOUT));
  EXPECT_GE(world.room.events.now_ns() - start, 3 * kSecond);
  EXPECT_LT(world.room.events.now_ns() - start, 3 * kSecond + 10 * kMillisecond);
}

TEST(TcpUserTimeoutTest, ItBoundsConnectAndKeepAliveToo) {
  World world;
  const World::Pair pair = world.Connected();
  SetKeepAlive(world.client, pair.client, 10, 1, 100);
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kUserTimeout, 15'000), 0);
  const SocketId id = World::Open(world.client);
  EXPECT_EQ(world.client.reactor().SetOption(id, SocketOption::kUserTimeout, 5000), 0);
  world.room.network.Block(world.client.stack(), world.server.stack());
  const int64_t start = world.room.events.now_ns();

  EXPECT_EQ(world.Connect(world.client, id, world.server.Address(kPort)), -ETIMEDOUT);
  EXPECT_EQ((world.room.events.now_ns() - start) / kSecond, 5);
  EXPECT_EQ(world.Receive(world.client, pair.client, 3600 * kSecond), "|" + std::to_string(ETIMEDOUT));
  EXPECT_LE((world.room.events.now_ns() - start) / kSecond, 16);
}

TEST(TcpUserTimeoutTest, AClosedWindowCountsThoughThePeerAnswers) {
  World world;
  const World::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kUserTimeout, 5000), 0);
  EXPECT_EQ(world.Send(world.client, pair.client, std::string(150'000, 'x')), 150'000);
  const int64_t start = world.room.events.now_ns();

  EXPECT_EQ(world.Receive(world.client, pair.client, 3600 * kSecond), "|" + std::to_string(ETIMEDOUT));
  EXPECT_LE((world.room.events.now_ns() - start) / kSecond, 6);
}

TEST(TcpUserTimeoutTest, APeerThatComesBackInTimeHurtsNothing) {
  World world;
  const World::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kUserTimeout, 3000), 0);
  for (int i = 0; i < 5; ++i) {
    world.room.network.Block(world.client.stack(), world.server.stack());
    EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
    world.room.RunFor(kSecond);
    world.room.network.Unblock(world.client.stack(), world.server.stack());
    EXPECT_EQ(world.Receive(world.server, pair.server, 10 * kSecond, 1), "x");
  }
}

// Starts a close that may wait.
void StartClose(World& world, TestOperation& close, SocketId id, bool may_block = true) {
  close.kind = OperationKind::kClose;
  close.socket = id;
  close.may_block = may_block;
  world.client.reactor().Submit(close);
  EXPECT_EQ(world.client.stack().open_descriptors(), 0u);
}

TEST(TcpLingerTest, TheCloseWaitsUntilAllIsAcknowledged) {
  World world;
  const World::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kLinger, 30), 0);
  world.room.network.Block(world.client.stack(), world.server.stack());
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  TestOperation close;
  StartClose(world, close, pair.client);
  world.room.RunFor(5 * kSecond);
  EXPECT_EQ(close.completions, 0);
  world.room.network.Unblock(world.client.stack(), world.server.stack());

  world.room.RunFor(10 * kSecond);
  EXPECT_EQ(close.completions, 1);
  EXPECT_EQ(close.result, 0);
  EXPECT_EQ(world.Receive(world.server, pair.server), "x|EOF");
}

TEST(TcpLingerTest, WhatIsLeftAfterTheTimeIsStillSent) {
  World world;
  const World::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kLinger, 1), 0);
  const std::string bytes(100'000, 'x');
  EXPECT_EQ(world.Send(world.client, pair.client, bytes), 100'000);
  TestOperation close;
  const int64_t start = world.room.events.now_ns();
  StartClose(world, close, pair.client);
  world.room.RunUntil([&] { return close.completions == 1; });

  EXPECT_EQ(world.room.events.now_ns() - start, kSecond);
  EXPECT_EQ(world.Receive(world.server, pair.server, 100 * kSecond), bytes + "|EOF");
}

TEST(TcpLingerTest, AResetEndsTheWait) {
  World world;
  const World::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kLinger, 30), 0);
  EXPECT_EQ(world.Send(world.client, pair.client, std::string(100'000, 'x')), 100'000);
  TestOperation close;
  StartClose(world, close, pair.client);
  world.Settle();
  EXPECT_EQ(close.completions, 0);
  EXPECT_EQ(world.Close(world.server, pair.server), 0);
  world.Settle();

  EXPECT_EQ(close.completions, 1);
}

TEST(TcpLingerTest, ACloseThatMayNotBlockDoesNotWait) {
  World world;
  const World::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kLinger, 30), 0);
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  TestOperation close;
  StartClose(world, close, pair.client, /*may_block=*/false);
  world.room.RunFor(0);
  EXPECT_EQ(close.completions, 1);
}

TEST(TcpLingerTest, ACrashWhileClosingIsSurvived) {
  World world;
  const World::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kLinger, 30), 0);
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  TestOperation close;
  StartClose(world, close, pair.client);
  world.client.Crash();
  EXPECT_TRUE(close.abandoned);
  world.room.RunDry();
  EXPECT_EQ(close.completions, 0);
}

TEST(TcpLingerTest, TheNextProcessHearsNothingOfACloseThatWaited) {
  World world;
  const World::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kLinger, 30), 0);
  world.room.network.Block(world.client.stack(), world.server.stack());
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  TestOperation close;
  StartClose(world, close, pair.client);
  world.client.Kill();
  EXPECT_TRUE(close.abandoned);
  world.client.Start();

  world.room.RunFor(35 * kSecond);
  EXPECT_EQ(close.completions, 0);
  world.room.network.Unblock(world.client.stack(), world.server.stack());
  EXPECT_EQ(world.Receive(world.server, pair.server, 100 * kSecond), "x|EOF");  // The kernel still sends it.
}

// --- The network's faults ---

TEST(TcpFaultTest, ASilentPeerEndsInATimeout) {
  World world;
  const World::Pair pair = world.Connected();
  world.room.network.Block(world.client.stack(), world.server.stack());
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);

  EXPECT_EQ(world.Receive(world.client, pair.client, 3600 * kSecond), "|" + std::to_string(ETIMEDOUT));
  EXPECT_GT(world.room.events.now_ns(), 600 * kSecond);
}

TEST(TcpFaultTest, AResetBehindALossIsAskedForAgain) {
  World world;
  const World::Pair pair = world.Connected();
  world.room.network.Block(world.server.stack(), world.client.stack());
  EXPECT_EQ(world.Send(world.server, pair.server, "lost"), 4);
  world.room.network.Unblock(world.server.stack(), world.client.stack());
  world.server.reactor().SetOption(pair.server, SocketOption::kLinger, 0);
  EXPECT_EQ(world.Close(world.server, pair.server), 0);

  // The reset is not the next in sequence: the client does not believe it, asks, and hears an exact one.
  EXPECT_EQ(world.Receive(world.client, pair.client), "|ECONNRESET");
}

TEST(TcpFaultTest, APartitionOfOneDirectionHoldsTheOtherUpToo) {
  World world;
  const World::Pair pair = world.Connected();
  world.room.network.Block(world.server.stack(), world.client.stack());
  EXPECT_EQ(world.Send(world.client, pair.client, "there"), 5);
  EXPECT_EQ(world.Receive(world.server, pair.server, kSecond), "there");
  EXPECT_EQ(world.Send(world.server, pair.server, "back"), 4);
  EXPECT_EQ(world.Receive(world.client, pair.client, kSecond), "");
  world.room.network.Unblock(world.server.stack(), world.client.stack());

  EXPECT_EQ(world.Receive(world.client, pair.client, 10 * kSecond), "back");
}

TEST(TcpFaultTest, AClogDelaysAndLosesNothing) {
  World world;
  const World::Pair pair = world.Connected();
  const int64_t until = world.room.events.now_ns() + kSecond / 10;
  world.room.network.Clog(world.client.stack(), world.server.stack(), until);
  EXPECT_EQ(world.Send(world.client, pair.client, "late"), 4);
  TestSource source(Source::Kind::kReceive);
  source.socket = pair.server;
  source.budget = 4;
  world.server.reactor().Arm(source);
  world.room.RunUntil([&] { return source.ends == 1; });

  EXPECT_EQ(source.bytes, "late");
  EXPECT_GE(world.room.events.now_ns(), until);
}

TEST(TcpFaultTest, BandwidthTakesItsTime) {
  World world;
  const World::Pair pair = world.Connected();
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
  World world;
  const World::Pair pair = world.Connected();
  world.server.Crash();
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  EXPECT_EQ(world.Receive(world.client, pair.client, 5 * kSecond), "");
  world.server.Start();

  EXPECT_EQ(world.Receive(world.client, pair.client, 60 * kSecond), "|ECONNRESET");
}

TEST(TcpFaultTest, AKilledProcessSendsFinOrReset) {
  World world;
  const World::Pair clean = world.Connected(80);
  const World::Pair unread = world.Connected(81);
  EXPECT_EQ(world.Send(world.client, unread.client, "x"), 1);
  world.Settle();
  world.server.Kill();

  EXPECT_EQ(world.Receive(world.client, clean.client), "|EOF");
  EXPECT_EQ(world.Receive(world.client, unread.client), "|ECONNRESET");
  EXPECT_EQ(world.server.stack().open_descriptors(), 0u);
}

TEST(TcpFaultTest, AfterAbandonNothingIsReportedAndNothingGetsOut) {
  World world;
  const World::Pair pair = world.Connected();
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
  World world;
  const World::Pair pair = world.Connected();
  EXPECT_EQ(world.server.stack().established_connections(), 1u);
  EXPECT_TRUE(world.server.stack().ResetConnection(12345));
  EXPECT_FALSE(world.server.stack().ResetConnection(12345));

  EXPECT_EQ(world.Receive(world.client, pair.client), "|ECONNRESET");
  EXPECT_EQ(world.Receive(world.server, pair.server), "|ECONNRESET");
}

TEST(TcpFaultTest, ConnectsCanBeRefusedOrTimedOut) {
  World world;
  World::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  world.client.stack().faults().connect_refused = Probability::Always();
  EXPECT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(kPort)), -ECONNREFUSED);
  world.client.stack().faults() = StackFaults();
  world.client.stack().faults().connect_timed_out = Probability::Always();
  EXPECT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(kPort)), -ETIMEDOUT);
  world.client.stack().faults() = StackFaults();
  EXPECT_EQ(world.Connect(world.client, World::Open(world.client), world.server.Address(kPort)), 0);
}

TEST(TcpFaultTest, WatchedSignalsReachTheHandler) {
  World world;
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

// --- Every byte, in order, whatever the network does ---

// A stream of random pieces, and its end, in one direction; goes on after short sends, and after cancels and disarms,
// of which it makes some itself.
class Transfer {
 public:
  Transfer(TestHost& from, SocketId sender, TestHost& to, SocketId receiver, RandomStream random, size_t size)
      : from_(from), to_(to), random_(random), bytes_(size, ' '), source_(Source::Kind::kReceive) {
    for (char& c : bytes_) c = static_cast<char>(random_.Next());
    send_.socket = sender;
    source_.socket = receiver;
  }

  // Starts what is not running; true when nothing more will happen.
  bool Step() {
    StepSender();
    StepReceiver();
    return send_ended_ && receive_ended_;
  }
  bool intact() const { return source_.bytes == bytes_ && source_.end == SourceEnd::kEndOfStream; }
  bool prefix() const { return source_.bytes == bytes_.substr(0, source_.bytes.size()); }

 private:
  void StepSender() {
    if (send_ended_) return;
    if (send_.in_flight()) {
      if (random_.Below(16) == 0) from_.reactor().Cancel(send_);
      return;
    }
    EXPECT_LE(send_.completions, 1);
    if (send_.completions == 1 && send_.result == -ECANCELED) {
      send_.completions = 0;
      send_.result = 0;
    }
    if (send_.abandoned || (send_.completions == 1 && send_.result < 0)) {
      send_ended_ = true;
      return;
    }
    if (send_.completions == 1) {
      EXPECT_GT(send_.result, 0);
      sent_ += static_cast<size_t>(send_.result);
      send_.completions = 0;
    }
    if (sent_ == bytes_.size()) {
      from_.reactor().Shutdown(send_.socket, ShutdownHow::kWrite);
      send_ended_ = true;
      return;
    }
    const size_t size = 1 + random_.Below(std::min<size_t>(bytes_.size() - sent_, 20'000));
    slice_ = IoSlice{bytes_.data() + sent_, size};
    send_.slices = absl::MakeConstSpan(&slice_, 1);
    from_.reactor().Submit(send_);
  }
  void StepReceiver() {
    if (receive_ended_) return;
    if (source_.armed()) {
      if (random_.Below(16) == 0) to_.reactor().Disarm(source_);
      return;
    }
    EXPECT_LE(source_.ends, 1);
    const bool goes_on = source_.end == SourceEnd::kBudget || source_.end == SourceEnd::kDisarmed;
    if (source_.abandoned || (source_.ends > 0 && !goes_on)) {
      receive_ended_ = true;
      return;
    }
    source_.ends = 0;
    source_.budget = 1 + random_.Below(10'000);
    to_.reactor().Arm(source_);
  }

  TestHost& from_;
  TestHost& to_;
  RandomStream random_;
  std::string bytes_;
  size_t sent_ = 0;
  bool send_ended_ = false;
  bool receive_ended_ = false;
  IoSlice slice_;
  TestOperation send_;
  TestSource source_;
};

enum class Storm { kLossy, kDeadly };

// Something that ends connections.
void DoHarm(World& world, RandomStream& random) {
  const bool to_client = random.Below(2) == 0;
  TestHost& one = to_client ? world.client : world.server;
  TestHost& other = to_client ? world.server : world.client;
  switch (random.Below(6)) {
    case 0:
      one.stack().ResetConnection(random.Next());
      return;
    case 1:
      if (!one.reactor().abandoned()) one.Crash();
      return;
    case 2:
      if (!one.reactor().abandoned()) one.Kill();
      return;
    case 3:
      if (!one.stack().up()) one.stack().StartMachine();
      return;
    case 4:
      world.room.network.Block(one.stack(), other.stack());
      return;
    default:
      world.room.network.Unblock(one.stack(), other.stack());
      return;
  }
}

// Runs one seed with everything that is legal to go wrong, and returns the digest.
TraceDigest RunStorm(uint64_t seed, Storm storm, Network::Statistics* statistics = nullptr) {
  RandomStream random = RandomStream(seed).Child(HashName("storm"));
  SimReactorOptions options;
  options.read_ahead = random.Below(2) == 0;
  World world(seed, options);
  LinkConditions conditions;
  conditions.latency = random.Below(2) == 0 ? LatencyDistribution::Uniform(100'000, 5 * kMillisecond)
                                            : LatencyDistribution::LongTail(2 * kMillisecond);
  conditions.loss = Probability::Ratio(random.Below(20), 100);
  conditions.duplicate = Probability::Ratio(random.Below(10), 100);
  conditions.reorder = Probability::Ratio(random.Below(30), 100);
  if (random.Below(3) == 0) {
    conditions.bytes_per_second = 1'000'000;
    conditions.queue_limit_bytes = 20'000;
  }
  world.room.network.SetDefaultConditions(conditions);
  const World::Pair pair = world.Connected();
  for (TestHost* host : {&world.client, &world.server}) {
    StackFaults& faults = host->stack().faults();
    faults.short_read = Probability::Ratio(random.Below(50), 100);
    faults.short_write = Probability::Ratio(random.Below(50), 100);
    faults.slow_write = Probability::Ratio(random.Below(20), 100);
    if (random.Below(2) == 0) faults.completion_jitter_max_ns = kMillisecond;
    if (random.Below(2) == 0) faults = DrawChaos(random.Child(3 + host->stack().index()));
  }
  const size_t there_size = 1 + random.Below(50'000);
  const size_t back_size = 1 + random.Below(50'000);
  Transfer there(world.client, pair.client, world.server, pair.server, random.Child(1), there_size);
  Transfer back(world.server, pair.server, world.client, pair.client, random.Child(2), back_size);
  const auto done = [&] {
    const bool there_done = there.Step();
    const bool back_done = back.Step();
    return there_done && back_done;
  };
  if (storm == Storm::kDeadly) {
    for (int harm = 0; harm < 8; ++harm) {
      const auto pause_ns = static_cast<int64_t>(random.Below(40 * kMillisecond));
      if (world.room.RunUntil(done, pause_ns)) break;
      DoHarm(world, random);
    }
    // What is left ends by itself: by time-outs if nothing else.
    world.room.RunUntil(done, 7200 * kSecond);
    EXPECT_TRUE(there.prefix() && back.prefix()) << "seed " << seed;
  } else {
    EXPECT_TRUE(world.room.RunUntil(done, 3600 * kSecond)) << "seed " << seed;
    EXPECT_TRUE(there.intact() && back.intact()) << "seed " << seed;
  }
  const TraceDigest digest = world.room.trace.digest();
  if (statistics != nullptr) *statistics = world.room.network.statistics();
  world.client.Crash();
  world.server.Crash();
  return digest;
}

TEST(TcpStormTest, NoByteIsLostRepeatedOrMoved) {
  uint64_t with_loss = 0;
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    Network::Statistics statistics;
    RunStorm(seed, Storm::kLossy, &statistics);
    if (HasFailure()) return;
    if (statistics.packets_lost > 0 && statistics.retransmissions > 0) ++with_loss;
  }
  EXPECT_GT(with_loss, 1500u);
}

TEST(TcpStormTest, WhatArrivesBeforeTheEndIsABeginning) {
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    RunStorm(seed, Storm::kDeadly);
    if (HasFailure()) return;
  }
}

TEST(TcpStormTest, TheSeedDecidesEverything) {
  for (const Storm storm : {Storm::kLossy, Storm::kDeadly}) {
    std::vector<TraceDigest> digests;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      const TraceDigest digest = RunStorm(seed, storm);
      EXPECT_EQ(digest, RunStorm(seed, storm)) << "seed " << seed;
      for (const TraceDigest& other : digests) EXPECT_FALSE(digest == other);
      digests.push_back(digest);
    }
    // For comparing builds by hand.
    RecordProperty(storm == Storm::kLossy ? "digest_lossy" : "digest_deadly", digests.back().ToString());
  }
}

}  // namespace
}  // namespace tandem::sim
