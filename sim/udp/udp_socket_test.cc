// SPDX-License-Identifier: Apache-2.0
//
// The simulated UDP, seen through the reactor: names, sending and receiving, connected sockets, options.

#include "tandem/sim/udp/udp_socket.h"

#include <array>
#include <cerrno>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/testing/test_programs.h"
#include "tandem/sim/testing/udp_test_world.h"

namespace tandem::sim {
namespace {

// --- Names ---

TEST(UdpBindTest, ASocketWithoutANameGetsAPortWhenItSends) {
  UdpWorld world;
  const SocketId id = UdpWorld::Open(world.a);
  EXPECT_EQ(UdpWorld::Local(world.a, id), SocketAddress::AnyIpv4(0));
  EXPECT_EQ(world.Send(world.a, id, "x", world.b.Address(kPort)), 1);

  const SocketAddress local = UdpWorld::Local(world.a, id);
  EXPECT_TRUE(local.is_any());
  EXPECT_GE(local.port(), 32768);
  EXPECT_LE(local.port(), 60999);
}

TEST(UdpBindTest, ConflictsAreThoseOfLinux) {
  UdpWorld world;
  SimReactor& reactor = world.a.reactor();
  const SocketId first = UdpWorld::Bound(world.a, SocketAddress::LoopbackIpv4(kPort));
  EXPECT_EQ(reactor.Bind(first, SocketAddress::LoopbackIpv4(kPort + 1)), -EINVAL);
  EXPECT_EQ(reactor.Bind(UdpWorld::Open(world.a), SocketAddress::LoopbackIpv4(kPort)), -EADDRINUSE);
  EXPECT_EQ(reactor.Bind(UdpWorld::Open(world.a), SocketAddress::AnyIpv4(kPort)), -EADDRINUSE);
  EXPECT_EQ(reactor.Bind(UdpWorld::Open(world.a, AddressFamily::kIpv6), SocketAddress::AnyIpv6(kPort)), -EADDRINUSE);
  EXPECT_EQ(reactor.Bind(UdpWorld::Open(world.a), world.a.Address(kPort)), 0);
  EXPECT_EQ(reactor.Bind(UdpWorld::Open(world.a), world.b.Address(kPort)), -EADDRNOTAVAIL);
  EXPECT_EQ(reactor.Bind(UdpWorld::Open(world.a), SocketAddress::AnyIpv6(kPort)), -EAFNOSUPPORT);
  const SocketId only = UdpWorld::Open(world.a, AddressFamily::kIpv6);
  UdpWorld::Set(world.a, only, SocketOption::kIpv6Only, 1);
  EXPECT_EQ(reactor.Bind(only, SocketAddress::AnyIpv6(kPort)), 0);
}

TEST(UdpBindTest, PortsAreNotThoseOfTcp) {
  UdpWorld world;
  UdpWorld::Bound(world.a, SocketAddress::AnyIpv4(kPort));
  const auto stream = static_cast<SocketId>(world.a.reactor().OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  EXPECT_EQ(world.a.reactor().Bind(stream, SocketAddress::AnyIpv4(kPort)), 0);
}

TEST(UdpBindTest, WithReuseAddressTheLastBoundReceives) {
  UdpWorld world;
  std::array<SocketId, 2> ids;
  for (SocketId& id : ids) {
    id = UdpWorld::Open(world.b);
    UdpWorld::Set(world.b, id, SocketOption::kReuseAddress, 1);
    EXPECT_EQ(world.b.reactor().Bind(id, SocketAddress::AnyIpv4(kPort)), 0);
  }
  EXPECT_EQ(world.Send(world.a, UdpWorld::Open(world.a), "x", world.b.Address(kPort)), 1);
  world.Settle();

  EXPECT_EQ(UdpWorld::Received(world.b, ids[0]), "");
  EXPECT_EQ(UdpWorld::Received(world.b, ids[1]), "x");
}

TEST(UdpBindTest, ReusePortSpreadsByTheAddresses) {
  UdpWorld world;
  std::array<SocketId, 3> ids;
  for (SocketId& id : ids) {
    id = UdpWorld::Open(world.b);
    UdpWorld::Set(world.b, id, SocketOption::kReusePort, 1);
    EXPECT_EQ(world.b.reactor().Bind(id, SocketAddress::AnyIpv4(kPort)), 0);
  }
  std::map<SocketId, int> senders;
  for (int sender = 0; sender < 30; ++sender) {
    const SocketId from = UdpWorld::Open(world.a);
    EXPECT_EQ(world.Send(world.a, from, "x", world.b.Address(kPort)), 1);
    EXPECT_EQ(world.Send(world.a, from, "y", world.b.Address(kPort)), 1);
    world.Settle();
    for (const SocketId id : ids) {
      const std::string received = UdpWorld::Received(world.b, id);
      if (received.empty()) continue;
      EXPECT_EQ(received, "x,y");  // A sender stays with its receiver.
      ++senders[id];
    }
  }
  EXPECT_EQ(senders.size(), 3u);
}

TEST(UdpBindTest, TheMoreExactNameReceives) {
  UdpWorld world;
  const SocketId any = UdpWorld::Open(world.b);
  const SocketId exact = UdpWorld::Open(world.b);
  for (const SocketId id : {exact, any}) UdpWorld::Set(world.b, id, SocketOption::kReuseAddress, 1);
  EXPECT_EQ(world.b.reactor().Bind(exact, world.b.Address(kPort)), 0);
  EXPECT_EQ(world.b.reactor().Bind(any, SocketAddress::AnyIpv4(kPort)), 0);
  EXPECT_EQ(world.Send(world.a, UdpWorld::Open(world.a), "x", world.b.Address(kPort)), 1);
  EXPECT_EQ(world.Send(world.b, UdpWorld::Open(world.b), "y", SocketAddress::LoopbackIpv4(kPort)), 1);
  world.Settle();

  EXPECT_EQ(UdpWorld::Received(world.b, exact), "x");
  EXPECT_EQ(UdpWorld::Received(world.b, any), "y");
}

TEST(UdpBindTest, UnixSocketsAreNotThere) {
  UdpWorld world;
  SimReactor& reactor = world.a.reactor();
  const SocketAddress name = *SocketAddress::Unix("/run/a");
  SocketId pair[2];
  EXPECT_EQ(reactor.OpenSocket(AddressFamily::kUnix, SocketType::kStream), -EOPNOTSUPP);
  EXPECT_EQ(reactor.OpenSocket(AddressFamily::kUnix, SocketType::kDatagram), -EOPNOTSUPP);
  EXPECT_EQ(reactor.OpenSocketPair(SocketType::kStream, pair), -EOPNOTSUPP);
  EXPECT_EQ(reactor.Bind(UdpWorld::Open(world.a), name), -EOPNOTSUPP);
  EXPECT_EQ(reactor.ConnectDatagrams(UdpWorld::Open(world.a), name), -EOPNOTSUPP);
  EXPECT_EQ(world.Send(world.a, UdpWorld::Open(world.a), "x", name), -EAFNOSUPPORT);
}

// --- Sending and receiving ---

TEST(UdpSendTest, DatagramsArriveWholeInOrderAndWithTheirSource) {
  UdpWorld world;
  const SocketId server = UdpWorld::Bound(world.b, world.b.Address(kPort));
  const SocketId client = UdpWorld::Bound(world.a, SocketAddress::AnyIpv4(1000));
  TestSource source(Source::Kind::kReceiveDatagrams);
  source.socket = server;
  source.budget = 100;
  world.b.reactor().Arm(source);
  std::vector<OutgoingDatagram> datagrams;
  const std::string longest(kMaxDatagramIpv4, 'x');
  for (absl::string_view data : {"one", "", "three", longest.c_str()}) {
    datagrams.emplace_back(data, world.b.Address(kPort));
  }
  EXPECT_EQ(world.SendAll(world.a, client, datagrams), 4);
  world.Settle();

  ASSERT_EQ(source.datagrams.size(), 4u);
  EXPECT_EQ(source.datagrams[0].data, "one");
  EXPECT_EQ(source.datagrams[1].data, "");
  EXPECT_EQ(source.datagrams[2].data, "three");
  EXPECT_EQ(source.datagrams[3].data, longest);
  EXPECT_EQ(source.datagrams[0].source, world.a.Address(1000));
  EXPECT_EQ(source.datagrams[0].destination, SocketAddress());  // Nobody asked for packet info.
  world.b.reactor().Disarm(source);
  world.Settle();
  EXPECT_EQ(source.end, SourceEnd::kDisarmed);
}

TEST(UdpSendTest, ErrorsAreThoseOfLinux) {
  UdpWorld world;
  const SocketId id = UdpWorld::Open(world.a);
  const SocketAddress peer = world.b.Address(kPort);
  const SocketId ipv6 = UdpWorld::Open(world.a, AddressFamily::kIpv6);
  const SocketId loopback = UdpWorld::Bound(world.a, SocketAddress::LoopbackIpv4(0));
  EXPECT_EQ(world.Send(world.a, id, "x"), -EDESTADDRREQ);
  EXPECT_EQ(world.Send(world.a, id, "x", peer.WithPort(0)), -EINVAL);
  EXPECT_EQ(world.Send(world.a, id, "x", SocketAddress::LoopbackIpv6(kPort)), -EAFNOSUPPORT);
  EXPECT_EQ(world.Send(world.a, id, "x", kEverybody), -EACCES);
  EXPECT_EQ(world.Send(world.a, id, std::string(65507, 'x'), peer), 1);
  EXPECT_EQ(world.Send(world.a, id, std::string(65508, 'x'), peer), -EMSGSIZE);
  EXPECT_EQ(world.Send(world.a, id, std::string(65536, 'x')), -EMSGSIZE);
  EXPECT_EQ(world.Send(world.a, ipv6, std::string(65527, 'x'), SocketAddress::LoopbackIpv6(kPort)), 1);
  EXPECT_EQ(world.Send(world.a, ipv6, std::string(65528, 'x'), SocketAddress::LoopbackIpv6(kPort)), -EMSGSIZE);
  EXPECT_EQ(world.Send(world.a, loopback, "x", peer), -EINVAL);
  EXPECT_EQ(world.Send(world.a, 77, "x", peer), -EBADF);
  EXPECT_EQ(UdpWorld::TrySend(world.a, id, "x"), -EDESTADDRREQ);
}

TEST(UdpSendTest, ABatchStopsAtTheFirstThatFails) {
  UdpWorld world;
  const SocketId server = UdpWorld::Bound(world.b, world.b.Address(kPort));
  const std::vector<OutgoingDatagram> datagrams = {OutgoingDatagram("one", world.b.Address(kPort)),
                                                   OutgoingDatagram("two", world.b.Address(0)),
                                                   OutgoingDatagram("three", world.b.Address(kPort))};
  const SocketId client = UdpWorld::Open(world.a);
  EXPECT_EQ(world.SendAll(world.a, client, datagrams), 1);
  EXPECT_EQ(world.SendAll(world.a, client, absl::MakeConstSpan(datagrams).subspan(1)), -EINVAL);
  EXPECT_EQ(world.a.reactor().TrySendDatagrams(client, datagrams), 1);
  world.Settle();
  EXPECT_EQ(UdpWorld::Received(world.b, server), "one,one");
}

TEST(UdpSendTest, AnyMeansThisHost) {
  UdpWorld world;
  const SocketId server = UdpWorld::Bound(world.a, SocketAddress::AnyIpv4(kPort));
  EXPECT_EQ(world.Send(world.a, UdpWorld::Open(world.a), "x", SocketAddress::AnyIpv4(kPort)), 1);
  world.Settle();
  EXPECT_EQ(UdpWorld::Received(world.a, server), "x");
}

TEST(UdpReceiveTest, TheBudgetIsExactAndNothingIsLostBetweenArmings) {
  for (const bool read_ahead : {false, true}) {
    SimReactorOptions options;
    options.read_ahead = read_ahead;
    UdpWorld world(1, options);
    const SocketId server = UdpWorld::Bound(world.b, world.b.Address(kPort));
    const SocketId client = UdpWorld::Open(world.a);
    for (const char* data : {"1", "2", "3", "4"})
      EXPECT_EQ(world.Send(world.a, client, data, world.b.Address(kPort)), 1);
    world.Settle();
    TestSource source(Source::Kind::kReceiveDatagrams);
    source.socket = server;
    source.budget = 2;
    world.b.reactor().Arm(source);
    world.Settle();
    EXPECT_EQ(source.end, SourceEnd::kBudget);
    EXPECT_EQ(source.datagrams.size(), 2u);

    world.b.reactor().Arm(source);
    world.b.reactor().Disarm(source);
    world.Settle();
    EXPECT_EQ(source.ends, 2);
    EXPECT_EQ(source.datagrams.size(), read_ahead ? 4u : 2u);
    EXPECT_EQ(UdpWorld::Received(world.b, server), read_ahead ? "" : "3,4");
  }
}

TEST(UdpReceiveTest, AFullBufferDropsAndCounts) {
  UdpWorld world;
  const SocketId server = UdpWorld::Bound(world.b, world.b.Address(kPort));
  UdpWorld::Set(world.b, server, SocketOption::kReceiveBufferSize, 1);
  EXPECT_EQ(UdpWorld::Option(world.b, server, SocketOption::kReceiveBufferSize), 2304);
  const SocketId client = UdpWorld::Open(world.a);
  for (const char* data : {"1", "2", "3", "4"}) EXPECT_EQ(world.Send(world.a, client, data, world.b.Address(kPort)), 1);
  world.Settle();

  EXPECT_EQ(UdpWorld::Received(world.b, server), "1,2");
  EXPECT_EQ(world.room.network.statistics().datagrams_dropped, 2u);
  // One fits always.
  EXPECT_EQ(world.Send(world.a, client, std::string(60000, 'x'), world.b.Address(kPort)), 1);
  world.Settle();
  EXPECT_EQ(UdpWorld::Received(world.b, server).size(), 60000u);
}

TEST(UdpReceiveTest, PacketInfoSaysWhereItArrived) {
  UdpWorld world;
  const SocketId server = UdpWorld::Bound(world.b, SocketAddress::AnyIpv4(kPort));
  UdpWorld::Set(world.b, server, SocketOption::kPacketInfo, 1);
  EXPECT_EQ(world.Send(world.a, UdpWorld::Open(world.a), "x", world.b.Address(kPort)), 1);
  EXPECT_EQ(world.Send(world.b, UdpWorld::Open(world.b), "y", SocketAddress::LoopbackIpv4(kPort)), 1);
  world.Settle();

  Datagram datagram = UdpWorld::ReceiveOne(world.b, server);
  EXPECT_EQ(datagram.destination, SocketAddress::LoopbackIpv4(kPort));  // Loopback is faster.
  EXPECT_EQ(datagram.interface_index, kLoopbackInterface);
  datagram = UdpWorld::ReceiveOne(world.b, server);
  EXPECT_EQ(datagram.destination, world.b.Address(kPort));
  EXPECT_EQ(datagram.interface_index, kNetworkInterface);
}

TEST(UdpReceiveTest, AnIpv6SocketServesBothFamilies) {
  UdpWorld world;
  const SocketId server = UdpWorld::Bound(world.b, SocketAddress::AnyIpv6(kPort));
  const SocketId client = UdpWorld::Bound(world.a, SocketAddress::AnyIpv4(1000));
  EXPECT_EQ(world.Send(world.a, client, "x", world.b.Address(kPort)), 1);
  world.Settle();
  Datagram datagram = UdpWorld::ReceiveOne(world.b, server);
  EXPECT_EQ(datagram.source.ToString(), "[::ffff:10.0.0.1]:1000");

  EXPECT_EQ(world.Send(world.b, server, "y", datagram.source), 1);
  world.Settle();
  EXPECT_EQ(UdpWorld::Received(world.a, client), "y");
}

// --- Connected sockets ---

TEST(UdpConnectTest, ChoosesTheSourceAndFiltersOthers) {
  UdpWorld world;
  SimReactor& reactor = world.a.reactor();
  const SocketId id = UdpWorld::Open(world.a);
  SocketAddress peer;
  EXPECT_EQ(reactor.PeerAddress(id, &peer), -ENOTCONN);
  EXPECT_EQ(reactor.ConnectDatagrams(id, world.b.Address(kPort)), 0);
  const SocketAddress local = UdpWorld::Local(world.a, id);
  EXPECT_EQ(local, world.a.Address(local.port()));
  EXPECT_EQ(reactor.PeerAddress(id, &peer), 0);
  EXPECT_EQ(peer, world.b.Address(kPort));

  EXPECT_EQ(world.Send(world.c, UdpWorld::Bound(world.c, world.c.Address(kPort)), "stranger", local), 1);
  const SocketId server = UdpWorld::Bound(world.b, world.b.Address(kPort));
  EXPECT_EQ(world.Send(world.b, server, "friend", local), 1);
  EXPECT_EQ(world.Send(world.a, id, "to the peer"), 1);
  world.Settle();
  EXPECT_EQ(UdpWorld::Received(world.a, id), "friend");
  EXPECT_EQ(UdpWorld::Received(world.b, server), "to the peer");
}

TEST(UdpConnectTest, CanStillSendElsewhereAndConnectAnew) {
  UdpWorld world;
  const SocketId b = UdpWorld::Bound(world.b, world.b.Address(kPort));
  const SocketId c = UdpWorld::Bound(world.c, world.c.Address(kPort));
  const SocketId id = UdpWorld::Open(world.a);
  EXPECT_EQ(world.a.reactor().ConnectDatagrams(id, world.b.Address(kPort)), 0);
  EXPECT_EQ(world.Send(world.a, id, "elsewhere", world.c.Address(kPort)), 1);
  EXPECT_EQ(world.a.reactor().ConnectDatagrams(id, world.c.Address(kPort)), 0);
  EXPECT_EQ(world.Send(world.a, id, "anew"), 1);
  EXPECT_EQ(world.Send(world.b, b, "old", UdpWorld::Local(world.a, id)), 1);
  EXPECT_EQ(world.Send(world.c, c, "new", UdpWorld::Local(world.a, id)), 1);
  world.Settle();

  EXPECT_EQ(UdpWorld::Received(world.c, c), "elsewhere,anew");
  EXPECT_EQ(UdpWorld::Received(world.a, id), "new");
}

TEST(UdpConnectTest, DissolvingGivesUpWhatWasNotChosen) {
  UdpWorld world;
  SimReactor& reactor = world.a.reactor();
  const SocketId loose = UdpWorld::Open(world.a);
  const SocketId bound = UdpWorld::Bound(world.a, world.a.Address(kPort));
  for (const SocketId id : {loose, bound}) {
    EXPECT_EQ(reactor.ConnectDatagrams(id, world.b.Address(kPort)), 0);
    EXPECT_EQ(reactor.ConnectDatagrams(id, SocketAddress()), 0);
    EXPECT_EQ(world.Send(world.a, id, "x"), -EDESTADDRREQ);
    SocketAddress peer;
    EXPECT_EQ(reactor.PeerAddress(id, &peer), -ENOTCONN);
  }
  EXPECT_TRUE(UdpWorld::Local(world.a, loose).is_any());
  EXPECT_EQ(UdpWorld::Local(world.a, bound), world.a.Address(kPort));
  EXPECT_EQ(world.Send(world.c, UdpWorld::Open(world.c), "y", world.a.Address(kPort)), 1);
  world.Settle();
  EXPECT_EQ(UdpWorld::Received(world.a, bound), "y");
}

TEST(UdpConnectTest, ErrorsAreThoseOfLinux) {
  UdpWorld world;
  SimReactor& reactor = world.a.reactor();
  EXPECT_EQ(reactor.ConnectDatagrams(UdpWorld::Open(world.a), kEverybody), -EACCES);
  EXPECT_EQ(reactor.ConnectDatagrams(UdpWorld::Open(world.a), SocketAddress::LoopbackIpv6(kPort)), -EAFNOSUPPORT);
  EXPECT_EQ(reactor.ConnectDatagrams(UdpWorld::Bound(world.a, SocketAddress::LoopbackIpv4(0)), world.b.Address(kPort)),
            -EINVAL);
  EXPECT_EQ(reactor.ConnectDatagrams(77, world.b.Address(kPort)), -EBADF);
  EXPECT_EQ(reactor.Listen(UdpWorld::Open(world.a), 5), -EOPNOTSUPP);
  const SocketId only = UdpWorld::Open(world.a, AddressFamily::kIpv6);
  UdpWorld::Set(world.a, only, SocketOption::kIpv6Only, 1);
  EXPECT_EQ(reactor.ConnectDatagrams(only, *SocketAddress::Parse("[::ffff:10.0.0.2]:53")), -ENETUNREACH);
}

TEST(UdpConnectTest, ShutdownNeedsAPeerAndWorksWithoutOne) {
  UdpWorld world;
  SimReactor& reactor = world.a.reactor();
  const SocketId loose = UdpWorld::Open(world.a);
  EXPECT_EQ(reactor.Shutdown(loose, ShutdownHow::kWrite), -ENOTCONN);
  EXPECT_EQ(world.Send(world.a, loose, "x", world.b.Address(kPort)), -EPIPE);
  const SocketId connected = UdpWorld::Open(world.a);
  EXPECT_EQ(reactor.ConnectDatagrams(connected, world.b.Address(kPort)), 0);
  TestSource source(Source::Kind::kReceiveDatagrams);
  source.socket = connected;
  source.budget = 1;
  reactor.Arm(source);
  EXPECT_EQ(reactor.Shutdown(connected, ShutdownHow::kBoth), 0);
  world.Settle();
  EXPECT_EQ(source.end, SourceEnd::kEndOfStream);
  EXPECT_EQ(world.Send(world.a, connected, "x"), -EPIPE);
}

TEST(UdpConnectTest, AClosedPortRefusesOnce) {
  UdpWorld world;
  const SocketId id = UdpWorld::Open(world.a);
  EXPECT_EQ(world.a.reactor().ConnectDatagrams(id, world.b.Address(kPort)), 0);
  EXPECT_EQ(world.Send(world.a, id, "x"), 1);
  world.Settle();
  EXPECT_EQ(world.Send(world.a, id, "x"), -ECONNREFUSED);
  EXPECT_EQ(UdpWorld::Received(world.a, id), "");
  EXPECT_EQ(world.Send(world.a, id, "x"), 1);
  world.Settle();
  EXPECT_EQ(UdpWorld::Option(world.a, id, SocketOption::kError), ECONNREFUSED);
  EXPECT_EQ(UdpWorld::Option(world.a, id, SocketOption::kError), 0);
  EXPECT_EQ(world.Send(world.a, id, "x"), 1);
  world.Settle();
  EXPECT_EQ(UdpWorld::Received(world.a, id), "-111");
}

TEST(UdpConnectTest, ARefusalEndsAnArmingAndTakesNothingWithIt) {
  UdpWorld world;
  const SocketId server = UdpWorld::Bound(world.b, world.b.Address(kPort));
  const SocketId id = UdpWorld::Open(world.a);
  EXPECT_EQ(world.a.reactor().ConnectDatagrams(id, world.b.Address(kPort)), 0);
  EXPECT_EQ(world.Send(world.b, server, "before", UdpWorld::Local(world.a, id)), 1);
  world.b.stack().Close(server);
  EXPECT_EQ(world.Send(world.a, id, "x"), 1);
  world.Settle();
  TestSource source(Source::Kind::kReceiveDatagrams);
  source.socket = id;
  source.budget = 10;
  world.a.reactor().Arm(source);
  world.Settle();
  EXPECT_EQ(source.end, SourceEnd::kError);
  EXPECT_EQ(source.error, ECONNREFUSED);
  EXPECT_TRUE(source.datagrams.empty());

  world.a.reactor().Arm(source);
  world.Settle();
  ASSERT_EQ(source.datagrams.size(), 1u);
  EXPECT_EQ(source.datagrams[0].data, "before");
  world.a.reactor().Disarm(source);
  world.Settle();
}

TEST(UdpConnectTest, WithoutAPeerNobodyHearsOfARefusal) {
  UdpWorld world;
  const SocketId id = UdpWorld::Open(world.a);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(world.Send(world.a, id, "x", world.b.Address(kPort)), 1);
    world.Settle();
  }
  EXPECT_EQ(UdpWorld::Received(world.a, id), "");
  EXPECT_EQ(UdpWorld::Option(world.a, id, SocketOption::kError), 0);
}

TEST(UdpConnectTest, ARefusalTravelsOverTheLink) {
  UdpWorld world;
  const SocketId id = UdpWorld::Open(world.a);
  EXPECT_EQ(world.a.reactor().ConnectDatagrams(id, world.b.Address(kPort)), 0);
  world.room.network.Block(world.b.stack(), world.a.stack());
  EXPECT_EQ(world.Send(world.a, id, "x"), 1);
  world.Settle();
  EXPECT_EQ(UdpWorld::Option(world.a, id, SocketOption::kError), 0);
}

// --- Options ---

TEST(UdpOptionTest, CanBeSetAndRead) {
  UdpWorld world;
  const SocketId id = UdpWorld::Open(world.a);
  const std::vector<std::pair<SocketOption, int>> defaults = {{SocketOption::kReceiveBufferSize, 212992},
                                                              {SocketOption::kSendBufferSize, 212992},
                                                              {SocketOption::kReuseAddress, 0},
                                                              {SocketOption::kReusePort, 0},
                                                              {SocketOption::kTrafficClass, 0},
                                                              {SocketOption::kTimeToLive, 64},
                                                              {SocketOption::kBroadcast, 0},
                                                              {SocketOption::kMulticastTimeToLive, 1},
                                                              {SocketOption::kMulticastLoop, 1},
                                                              {SocketOption::kMulticastInterface, 0},
                                                              {SocketOption::kPacketInfo, 0},
                                                              {SocketOption::kLinger, -1}};
  for (const auto& [option, value] : defaults) {
    EXPECT_EQ(UdpWorld::Option(world.a, id, option), value) << static_cast<int>(option);
    const bool buffer = option == SocketOption::kReceiveBufferSize || option == SocketOption::kSendBufferSize;
    const int changed = buffer ? 10000 : value == 1 ? 0 : 1;
    UdpWorld::Set(world.a, id, option, changed);
    EXPECT_EQ(UdpWorld::Option(world.a, id, option), buffer ? 2 * changed : changed) << static_cast<int>(option);
  }
  SimReactor& reactor = world.a.reactor();
  int value = 0;
  EXPECT_EQ(reactor.SetOption(id, SocketOption::kTimeToLive, 0), -EINVAL);
  EXPECT_EQ(reactor.SetOption(id, SocketOption::kMulticastTimeToLive, 256), -EINVAL);
  EXPECT_EQ(reactor.SetOption(id, SocketOption::kMulticastInterface, 3), -ENODEV);
  EXPECT_EQ(reactor.SetOption(id, SocketOption::kNoDelay, 1), -ENOPROTOOPT);
  EXPECT_EQ(reactor.GetOption(id, SocketOption::kNoDelay, &value), -EOPNOTSUPP);
  EXPECT_EQ(reactor.GetOption(UdpWorld::Open(world.a, AddressFamily::kIpv6), SocketOption::kNoDelay, &value),
            -ENOPROTOOPT);
  EXPECT_EQ(reactor.SetOption(id, SocketOption::kIpv6Only, 1), -ENOPROTOOPT);
  EXPECT_EQ(reactor.GetOption(id, SocketOption::kIpv6Only, &value), -EOPNOTSUPP);
}

}  // namespace
}  // namespace tandem::sim
