// SPDX-License-Identifier: Apache-2.0
//
// The simulated UDP, seen through the reactor: what Linux does, what only a simulator can show, and the faults.

#include "sim/udp.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/random.h"
#include "core/io/address.h"
#include "core/io/datagram.h"
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
constexpr uint16_t kPort = 53;

const SocketAddress kEverybody = SocketAddress::Ipv4({255, 255, 255, 255}, kPort);
const SocketAddress kGroup = SocketAddress::Ipv4({239, 1, 2, 3}, kPort);

SocketAddress GroupIpv6(uint16_t port) {
  return SocketAddress::Ipv6({0xff, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, port);
}

// Three hosts, and calls that run the world until they have an answer.
class World {
 public:
  explicit World(uint64_t seed = 1, const SimReactorOptions& options = SimReactorOptions())
      : room(seed),
        a(room.events, room.network, "a", SocketAddress::Ipv4({10, 0, 0, 1}, 0), options),
        b(room.events, room.network, "b", SocketAddress::Ipv4({10, 0, 0, 2}, 0), options),
        c(room.events, room.network, "c", SocketAddress::Ipv4({10, 0, 0, 3}, 0), options) {}
  ~World() {
    for (TestHost* host : hosts()) host->Crash();
  }
  std::array<TestHost*, 3> hosts() { return {&a, &b, &c}; }

  static SocketId Open(TestHost& host, AddressFamily family = AddressFamily::kIpv4) {
    const int64_t id = host.reactor().OpenSocket(family, SocketType::kDatagram);
    EXPECT_GE(id, 0);
    return static_cast<SocketId>(id);
  }
  static SocketId Bound(TestHost& host, const SocketAddress& address) {
    const SocketId id = Open(host, address.family());
    EXPECT_EQ(host.reactor().Bind(id, address), 0) << address.ToString();
    return id;
  }
  static SocketAddress Local(TestHost& host, SocketId id) {
    SocketAddress address;
    EXPECT_EQ(host.reactor().LocalAddress(id, &address), 0);
    return address;
  }
  static int Option(TestHost& host, SocketId id, SocketOption option) {
    int value = 0;
    EXPECT_EQ(host.reactor().GetOption(id, option, &value), 0);
    return value;
  }
  static void Set(TestHost& host, SocketId id, SocketOption option, int value) {
    EXPECT_EQ(host.reactor().SetOption(id, option, value), 0);
  }

  int64_t SendAll(TestHost& host, SocketId id, absl::Span<const OutgoingDatagram> datagrams) {
    TestOperation operation;
    operation.kind = OperationKind::kSendDatagrams;
    operation.socket = id;
    operation.datagrams = datagrams;
    host.reactor().Submit(operation);
    room.RunUntil([&] { return operation.completions == 1; });
    return operation.result;
  }
  // 1, or -errno.
  int64_t Send(TestHost& host, SocketId id, absl::string_view data,
               const SocketAddress& destination = SocketAddress()) {
    const OutgoingDatagram datagram(data, destination);
    return SendAll(host, id, absl::MakeConstSpan(&datagram, 1));
  }
  static int64_t TrySend(TestHost& host, SocketId id, absl::string_view data,
                         const SocketAddress& destination = SocketAddress()) {
    const OutgoingDatagram datagram(data, destination);
    return host.reactor().TrySendDatagrams(id, absl::MakeConstSpan(&datagram, 1));
  }
  // Everything that is there: "one,two", and "-errno" in place of an error.
  static std::string Received(TestHost& host, SocketId id) {
    std::string text;
    for (;;) {
      std::vector<Datagram> datagrams;
      const int64_t result = host.reactor().TryReceiveDatagrams(id, &datagrams);
      if (result == -EAGAIN) return text;
      absl::StrAppend(&text, text.empty() ? "" : ",",
                      result == 1 ? std::string(datagrams.front().data.view()) : absl::StrCat(result));
    }
  }
  // The next one. An empty one, and a failure of the test, when there is none.
  static Datagram ReceiveOne(TestHost& host, SocketId id) {
    std::vector<Datagram> datagrams;
    const int64_t result = host.reactor().TryReceiveDatagrams(id, &datagrams);
    EXPECT_EQ(result, 1);
    return result == 1 ? std::move(datagrams.front()) : Datagram();
  }
  void Settle() { room.RunFor(10 * kMillisecond); }

  MachineRoom room;
  TestHost a;
  TestHost b;
  TestHost c;
};

// --- Names ---

TEST(UdpBindTest, ASocketWithoutANameGetsAPortWhenItSends) {
  World world;
  const SocketId id = World::Open(world.a);
  EXPECT_EQ(World::Local(world.a, id), SocketAddress::AnyIpv4(0));
  EXPECT_EQ(world.Send(world.a, id, "x", world.b.Address(kPort)), 1);

  const SocketAddress local = World::Local(world.a, id);
  EXPECT_TRUE(local.is_any());
  EXPECT_GE(local.port(), 32768);
  EXPECT_LE(local.port(), 60999);
}

TEST(UdpBindTest, ConflictsAreThoseOfLinux) {
  World world;
  SimReactor& reactor = world.a.reactor();
  const SocketId first = World::Bound(world.a, SocketAddress::LoopbackIpv4(kPort));
  EXPECT_EQ(reactor.Bind(first, SocketAddress::LoopbackIpv4(kPort + 1)), -EINVAL);
  EXPECT_EQ(reactor.Bind(World::Open(world.a), SocketAddress::LoopbackIpv4(kPort)), -EADDRINUSE);
  EXPECT_EQ(reactor.Bind(World::Open(world.a), SocketAddress::AnyIpv4(kPort)), -EADDRINUSE);
  EXPECT_EQ(reactor.Bind(World::Open(world.a, AddressFamily::kIpv6), SocketAddress::AnyIpv6(kPort)), -EADDRINUSE);
  EXPECT_EQ(reactor.Bind(World::Open(world.a), world.a.Address(kPort)), 0);
  EXPECT_EQ(reactor.Bind(World::Open(world.a), world.b.Address(kPort)), -EADDRNOTAVAIL);
  EXPECT_EQ(reactor.Bind(World::Open(world.a), SocketAddress::AnyIpv6(kPort)), -EAFNOSUPPORT);
  const SocketId only = World::Open(world.a, AddressFamily::kIpv6);
  World::Set(world.a, only, SocketOption::kIpv6Only, 1);
  EXPECT_EQ(reactor.Bind(only, SocketAddress::AnyIpv6(kPort)), 0);
}

TEST(UdpBindTest, PortsAreNotThoseOfTcp) {
  World world;
  World::Bound(world.a, SocketAddress::AnyIpv4(kPort));
  const auto stream = static_cast<SocketId>(world.a.reactor().OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  EXPECT_EQ(world.a.reactor().Bind(stream, SocketAddress::AnyIpv4(kPort)), 0);
}

TEST(UdpBindTest, WithReuseAddressTheLastBoundReceives) {
  World world;
  std::array<SocketId, 2> ids;
  for (SocketId& id : ids) {
    id = World::Open(world.b);
    World::Set(world.b, id, SocketOption::kReuseAddress, 1);
    EXPECT_EQ(world.b.reactor().Bind(id, SocketAddress::AnyIpv4(kPort)), 0);
  }
  EXPECT_EQ(world.Send(world.a, World::Open(world.a), "x", world.b.Address(kPort)), 1);
  world.Settle();

  EXPECT_EQ(World::Received(world.b, ids[0]), "");
  EXPECT_EQ(World::Received(world.b, ids[1]), "x");
}

TEST(UdpBindTest, ReusePortSpreadsByTheAddresses) {
  World world;
  std::array<SocketId, 3> ids;
  for (SocketId& id : ids) {
    id = World::Open(world.b);
    World::Set(world.b, id, SocketOption::kReusePort, 1);
    EXPECT_EQ(world.b.reactor().Bind(id, SocketAddress::AnyIpv4(kPort)), 0);
  }
  std::map<SocketId, int> senders;
  for (int sender = 0; sender < 30; ++sender) {
    const SocketId from = World::Open(world.a);
    EXPECT_EQ(world.Send(world.a, from, "x", world.b.Address(kPort)), 1);
    EXPECT_EQ(world.Send(world.a, from, "y", world.b.Address(kPort)), 1);
    world.Settle();
    for (const SocketId id : ids) {
      const std::string received = World::Received(world.b, id);
      if (received.empty()) continue;
      EXPECT_EQ(received, "x,y");  // A sender stays with its receiver.
      ++senders[id];
    }
  }
  EXPECT_EQ(senders.size(), 3u);
}

TEST(UdpBindTest, TheMoreExactNameReceives) {
  World world;
  const SocketId any = World::Open(world.b);
  const SocketId exact = World::Open(world.b);
  for (const SocketId id : {exact, any}) World::Set(world.b, id, SocketOption::kReuseAddress, 1);
  EXPECT_EQ(world.b.reactor().Bind(exact, world.b.Address(kPort)), 0);
  EXPECT_EQ(world.b.reactor().Bind(any, SocketAddress::AnyIpv4(kPort)), 0);
  EXPECT_EQ(world.Send(world.a, World::Open(world.a), "x", world.b.Address(kPort)), 1);
  EXPECT_EQ(world.Send(world.b, World::Open(world.b), "y", SocketAddress::LoopbackIpv4(kPort)), 1);
  world.Settle();

  EXPECT_EQ(World::Received(world.b, exact), "x");
  EXPECT_EQ(World::Received(world.b, any), "y");
}

TEST(UdpBindTest, UnixSocketsAreNotThere) {
  World world;
  SimReactor& reactor = world.a.reactor();
  const SocketAddress name = *SocketAddress::Unix("/run/a");
  SocketId pair[2];
  EXPECT_EQ(reactor.OpenSocket(AddressFamily::kUnix, SocketType::kStream), -EOPNOTSUPP);
  EXPECT_EQ(reactor.OpenSocket(AddressFamily::kUnix, SocketType::kDatagram), -EOPNOTSUPP);
  EXPECT_EQ(reactor.OpenSocketPair(SocketType::kStream, pair), -EOPNOTSUPP);
  EXPECT_EQ(reactor.Bind(World::Open(world.a), name), -EOPNOTSUPP);
  EXPECT_EQ(reactor.ConnectDatagrams(World::Open(world.a), name), -EOPNOTSUPP);
  EXPECT_EQ(world.Send(world.a, World::Open(world.a), "x", name), -EAFNOSUPPORT);
}

// --- Sending and receiving ---

TEST(UdpSendTest, DatagramsArriveWholeInOrderAndWithTheirSource) {
  World world;
  const SocketId server = World::Bound(world.b, world.b.Address(kPort));
  const SocketId client = World::Bound(world.a, SocketAddress::AnyIpv4(1000));
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
  World world;
  const SocketId id = World::Open(world.a);
  const SocketAddress peer = world.b.Address(kPort);
  const SocketId ipv6 = World::Open(world.a, AddressFamily::kIpv6);
  const SocketId loopback = World::Bound(world.a, SocketAddress::LoopbackIpv4(0));
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
  EXPECT_EQ(World::TrySend(world.a, id, "x"), -EDESTADDRREQ);
}

TEST(UdpSendTest, ABatchStopsAtTheFirstThatFails) {
  World world;
  const SocketId server = World::Bound(world.b, world.b.Address(kPort));
  const std::vector<OutgoingDatagram> datagrams = {OutgoingDatagram("one", world.b.Address(kPort)),
                                                   OutgoingDatagram("two", world.b.Address(0)),
                                                   OutgoingDatagram("three", world.b.Address(kPort))};
  const SocketId client = World::Open(world.a);
  EXPECT_EQ(world.SendAll(world.a, client, datagrams), 1);
  EXPECT_EQ(world.SendAll(world.a, client, absl::MakeConstSpan(datagrams).subspan(1)), -EINVAL);
  EXPECT_EQ(world.a.reactor().TrySendDatagrams(client, datagrams), 1);
  world.Settle();
  EXPECT_EQ(World::Received(world.b, server), "one,one");
}

TEST(UdpSendTest, AnyMeansThisHost) {
  World world;
  const SocketId server = World::Bound(world.a, SocketAddress::AnyIpv4(kPort));
  EXPECT_EQ(world.Send(world.a, World::Open(world.a), "x", SocketAddress::AnyIpv4(kPort)), 1);
  world.Settle();
  EXPECT_EQ(World::Received(world.a, server), "x");
}

TEST(UdpReceiveTest, TheBudgetIsExactAndNothingIsLostBetweenArmings) {
  for (const bool read_ahead : {false, true}) {
    SimReactorOptions options;
    options.read_ahead = read_ahead;
    World world(1, options);
    const SocketId server = World::Bound(world.b, world.b.Address(kPort));
    const SocketId client = World::Open(world.a);
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
    EXPECT_EQ(World::Received(world.b, server), read_ahead ? "" : "3,4");
  }
}

TEST(UdpReceiveTest, AFullBufferDropsAndCounts) {
  World world;
  const SocketId server = World::Bound(world.b, world.b.Address(kPort));
  World::Set(world.b, server, SocketOption::kReceiveBufferSize, 1);
  EXPECT_EQ(World::Option(world.b, server, SocketOption::kReceiveBufferSize), 2304);
  const SocketId client = World::Open(world.a);
  for (const char* data : {"1", "2", "3", "4"}) EXPECT_EQ(world.Send(world.a, client, data, world.b.Address(kPort)), 1);
  world.Settle();

  EXPECT_EQ(World::Received(world.b, server), "1,2");
  EXPECT_EQ(world.room.network.statistics().datagrams_dropped, 2u);
  // One fits always.
  EXPECT_EQ(world.Send(world.a, client, std::string(60000, 'x'), world.b.Address(kPort)), 1);
  world.Settle();
  EXPECT_EQ(World::Received(world.b, server).size(), 60000u);
}

TEST(UdpReceiveTest, PacketInfoSaysWhereItArrived) {
  World world;
  const SocketId server = World::Bound(world.b, SocketAddress::AnyIpv4(kPort));
  World::Set(world.b, server, SocketOption::kPacketInfo, 1);
  EXPECT_EQ(world.Send(world.a, World::Open(world.a), "x", world.b.Address(kPort)), 1);
  EXPECT_EQ(world.Send(world.b, World::Open(world.b), "y", SocketAddress::LoopbackIpv4(kPort)), 1);
  world.Settle();

  Datagram datagram = World::ReceiveOne(world.b, server);
  EXPECT_EQ(datagram.destination, SocketAddress::LoopbackIpv4(kPort));  // Loopback is faster.
  EXPECT_EQ(datagram.interface_index, kLoopbackInterface);
  datagram = World::ReceiveOne(world.b, server);
  EXPECT_EQ(datagram.destination, world.b.Address(kPort));
  EXPECT_EQ(datagram.interface_index, kNetworkInterface);
}

TEST(UdpReceiveTest, AnIpv6SocketServesBothFamilies) {
  World world;
  const SocketId server = World::Bound(world.b, SocketAddress::AnyIpv6(kPort));
  const SocketId client = World::Bound(world.a, SocketAddress::AnyIpv4(1000));
  EXPECT_EQ(world.Send(world.a, client, "x", world.b.Address(kPort)), 1);
  world.Settle();
  Datagram datagram = World::ReceiveOne(world.b, server);
  EXPECT_EQ(datagram.source.ToString(), "[::ffff:10.0.0.1]:1000");

  EXPECT_EQ(world.Send(world.b, server, "y", datagram.source), 1);
  world.Settle();
  EXPECT_EQ(World::Received(world.a, client), "y");
}

// --- Connected sockets ---

TEST(UdpConnectTest, ChoosesTheSourceAndFiltersOthers) {
  World world;
  SimReactor& reactor = world.a.reactor();
  const SocketId id = World::Open(world.a);
  SocketAddress peer;
  EXPECT_EQ(reactor.PeerAddress(id, &peer), -ENOTCONN);
  EXPECT_EQ(reactor.ConnectDatagrams(id, world.b.Address(kPort)), 0);
  const SocketAddress local = World::Local(world.a, id);
  EXPECT_EQ(local, world.a.Address(local.port()));
  EXPECT_EQ(reactor.PeerAddress(id, &peer), 0);
  EXPECT_EQ(peer, world.b.Address(kPort));

  EXPECT_EQ(world.Send(world.c, World::Bound(world.c, world.c.Address(kPort)), "stranger", local), 1);
  const SocketId server = World::Bound(world.b, world.b.Address(kPort));
  EXPECT_EQ(world.Send(world.b, server, "friend", local), 1);
  EXPECT_EQ(world.Send(world.a, id, "to the peer"), 1);
  world.Settle();
  EXPECT_EQ(World::Received(world.a, id), "friend");
  EXPECT_EQ(World::Received(world.b, server), "to the peer");
}

TEST(UdpConnectTest, CanStillSendElsewhereAndConnectAnew) {
  World world;
  const SocketId b = World::Bound(world.b, world.b.Address(kPort));
  const SocketId c = World::Bound(world.c, world.c.Address(kPort));
  const SocketId id = World::Open(world.a);
  EXPECT_EQ(world.a.reactor().ConnectDatagrams(id, world.b.Address(kPort)), 0);
  EXPECT_EQ(world.Send(world.a, id, "elsewhere", world.c.Address(kPort)), 1);
  EXPECT_EQ(world.a.reactor().ConnectDatagrams(id, world.c.Address(kPort)), 0);
  EXPECT_EQ(world.Send(world.a, id, "anew"), 1);
  EXPECT_EQ(world.Send(world.b, b, "old", World::Local(world.a, id)), 1);
  EXPECT_EQ(world.Send(world.c, c, "new", World::Local(world.a, id)), 1);
  world.Settle();

  EXPECT_EQ(World::Received(world.c, c), "elsewhere,anew");
  EXPECT_EQ(World::Received(world.a, id), "new");
}

TEST(UdpConnectTest, DissolvingGivesUpWhatWasNotChosen) {
  World world;
  SimReactor& reactor = world.a.reactor();
  const SocketId loose = World::Open(world.a);
  const SocketId bound = World::Bound(world.a, world.a.Address(kPort));
  for (const SocketId id : {loose, bound}) {
    EXPECT_EQ(reactor.ConnectDatagrams(id, world.b.Address(kPort)), 0);
    EXPECT_EQ(reactor.ConnectDatagrams(id, SocketAddress()), 0);
    EXPECT_EQ(world.Send(world.a, id, "x"), -EDESTADDRREQ);
    SocketAddress peer;
    EXPECT_EQ(reactor.PeerAddress(id, &peer), -ENOTCONN);
  }
  EXPECT_TRUE(World::Local(world.a, loose).is_any());
  EXPECT_EQ(World::Local(world.a, bound), world.a.Address(kPort));
  EXPECT_EQ(world.Send(world.c, World::Open(world.c), "y", world.a.Address(kPort)), 1);
  world.Settle();
  EXPECT_EQ(World::Received(world.a, bound), "y");
}

TEST(UdpConnectTest, ErrorsAreThoseOfLinux) {
  World world;
  SimReactor& reactor = world.a.reactor();
  EXPECT_EQ(reactor.ConnectDatagrams(World::Open(world.a), kEverybody), -EACCES);
  EXPECT_EQ(reactor.ConnectDatagrams(World::Open(world.a), SocketAddress::LoopbackIpv6(kPort)), -EAFNOSUPPORT);
  EXPECT_EQ(reactor.ConnectDatagrams(World::Bound(world.a, SocketAddress::LoopbackIpv4(0)), world.b.Address(kPort)),
            -EINVAL);
  EXPECT_EQ(reactor.ConnectDatagrams(77, world.b.Address(kPort)), -EBADF);
  EXPECT_EQ(reactor.Listen(World::Open(world.a), 5), -EOPNOTSUPP);
  const SocketId only = World::Open(world.a, AddressFamily::kIpv6);
  World::Set(world.a, only, SocketOption::kIpv6Only, 1);
  EXPECT_EQ(reactor.ConnectDatagrams(only, *SocketAddress::Parse("[::ffff:10.0.0.2]:53")), -ENETUNREACH);
}

TEST(UdpConnectTest, ShutdownNeedsAPeerAndWorksWithoutOne) {
  World world;
  SimReactor& reactor = world.a.reactor();
  const SocketId loose = World::Open(world.a);
  EXPECT_EQ(reactor.Shutdown(loose, ShutdownHow::kWrite), -ENOTCONN);
  EXPECT_EQ(world.Send(world.a, loose, "x", world.b.Address(kPort)), -EPIPE);
  const SocketId connected = World::Open(world.a);
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
  World world;
  const SocketId id = World::Open(world.a);
  EXPECT_EQ(world.a.reactor().ConnectDatagrams(id, world.b.Address(kPort)), 0);
  EXPECT_EQ(world.Send(world.a, id, "x"), 1);
  world.Settle();
  EXPECT_EQ(world.Send(world.a, id, "x"), -ECONNREFUSED);
  EXPECT_EQ(World::Received(world.a, id), "");
  EXPECT_EQ(world.Send(world.a, id, "x"), 1);
  world.Settle();
  EXPECT_EQ(World::Option(world.a, id, SocketOption::kError), ECONNREFUSED);
  EXPECT_EQ(World::Option(world.a, id, SocketOption::kError), 0);
  EXPECT_EQ(world.Send(world.a, id, "x"), 1);
  world.Settle();
  EXPECT_EQ(World::Received(world.a, id), "-111");
}

TEST(UdpConnectTest, ARefusalEndsAnArmingAndTakesNothingWithIt) {
  World world;
  const SocketId server = World::Bound(world.b, world.b.Address(kPort));
  const SocketId id = World::Open(world.a);
  EXPECT_EQ(world.a.reactor().ConnectDatagrams(id, world.b.Address(kPort)), 0);
  EXPECT_EQ(world.Send(world.b, server, "before", World::Local(world.a, id)), 1);
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
  World world;
  const SocketId id = World::Open(world.a);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(world.Send(world.a, id, "x", world.b.Address(kPort)), 1);
    world.Settle();
  }
  EXPECT_EQ(World::Received(world.a, id), "");
  EXPECT_EQ(World::Option(world.a, id, SocketOption::kError), 0);
}

TEST(UdpConnectTest, ARefusalTravelsOverTheLink) {
  World world;
  const SocketId id = World::Open(world.a);
  EXPECT_EQ(world.a.reactor().ConnectDatagrams(id, world.b.Address(kPort)), 0);
  world.room.network.Block(world.b.stack(), world.a.stack());
  EXPECT_EQ(world.Send(world.a, id, "x"), 1);
  world.Settle();
  EXPECT_EQ(World::Option(world.a, id, SocketOption::kError), 0);
}

// --- One to many ---

TEST(UdpBroadcastTest, ReachesEveryHostOnceOverItsOwnLink) {
  World world;
  std::array<SocketId, 3> ids;
  for (size_t i = 0; i < 3; ++i) ids[i] = World::Bound(*world.hosts()[i], SocketAddress::AnyIpv4(kPort));
  const SocketId exact = World::Bound(world.b, world.b.Address(kPort + 1));
  World::Set(world.a, ids[0], SocketOption::kBroadcast, 1);
  const uint64_t sent = world.room.network.statistics().packets_sent;
  EXPECT_EQ(world.Send(world.a, ids[0], "x", kEverybody), 1);
  EXPECT_EQ(world.room.network.statistics().packets_sent, sent + 3);
  world.room.network.Block(world.a.stack(), world.c.stack());
  EXPECT_EQ(world.Send(world.a, ids[0], "y", kEverybody), 1);
  EXPECT_EQ(world.Send(world.a, ids[0], "z", kEverybody.WithPort(kPort + 1)), 1);
  world.Settle();

  EXPECT_EQ(World::Received(world.a, ids[0]), "x,y");
  EXPECT_EQ(World::Received(world.b, ids[1]), "x,y");
  EXPECT_EQ(World::Received(world.c, ids[2]), "");  // Blocked before the first arrived.
  EXPECT_EQ(World::Received(world.b, exact), "");   // Not its address.
}

TEST(UdpMulticastTest, ReachesMembersOnly) {
  World world;
  std::array<SocketId, 3> ids;
  for (size_t i = 0; i < 3; ++i) ids[i] = World::Bound(*world.hosts()[i], SocketAddress::AnyIpv4(kPort));
  World::Set(world.b, ids[1], SocketOption::kPacketInfo, 1);
  EXPECT_EQ(world.b.reactor().SetMembership(ids[1], MulticastGroup{kGroup, 0}, true), 0);
  const uint64_t sent = world.room.network.statistics().packets_sent;
  EXPECT_EQ(world.Send(world.a, ids[0], "x", kGroup), 1);
  EXPECT_EQ(world.room.network.statistics().packets_sent, sent + 2);  // To itself and to the member.
  world.Settle();

  EXPECT_EQ(World::Received(world.a, ids[0]), "");
  EXPECT_EQ(World::Received(world.c, ids[2]), "");
  Datagram datagram = World::ReceiveOne(world.b, ids[1]);
  EXPECT_EQ(datagram.source, world.a.Address(kPort));
  EXPECT_EQ(datagram.destination, kGroup);
  EXPECT_EQ(datagram.interface_index, kNetworkInterface);

  EXPECT_EQ(world.b.reactor().SetMembership(ids[1], MulticastGroup{kGroup, 0}, false), 0);
  EXPECT_EQ(world.Send(world.a, ids[0], "y", kGroup), 1);
  world.Settle();
  EXPECT_EQ(World::Received(world.b, ids[1]), "");
}

TEST(UdpMulticastTest, LoopAndTimeToLiveBoundIt) {
  World world;
  const SocketId a = World::Bound(world.a, SocketAddress::AnyIpv4(kPort));
  const SocketId b = World::Bound(world.b, SocketAddress::AnyIpv4(kPort));
  EXPECT_EQ(world.a.reactor().SetMembership(a, MulticastGroup{kGroup, 0}, true), 0);
  EXPECT_EQ(world.b.reactor().SetMembership(b, MulticastGroup{kGroup, kNetworkInterface}, true), 0);
  EXPECT_EQ(world.Send(world.a, a, "all", kGroup), 1);
  world.Settle();
  World::Set(world.a, a, SocketOption::kMulticastLoop, 0);
  EXPECT_EQ(world.Send(world.a, a, "others", kGroup), 1);
  world.Settle();
  World::Set(world.a, a, SocketOption::kMulticastLoop, 1);
  World::Set(world.a, a, SocketOption::kMulticastTimeToLive, 0);
  EXPECT_EQ(world.Send(world.a, a, "self", kGroup), 1);
  world.Settle();
  World::Set(world.a, a, SocketOption::kMulticastTimeToLive, 1);
  World::Set(world.a, a, SocketOption::kMulticastInterface, static_cast<int>(kLoopbackInterface));
  EXPECT_EQ(world.Send(world.a, a, "wrong interface", kGroup), 1);
  world.Settle();

  EXPECT_EQ(World::Received(world.a, a), "all,self");
  EXPECT_EQ(World::Received(world.b, b), "all,others");
}

TEST(UdpMulticastTest, WorksOnLoopbackForBothFamilies) {
  World world;
  const std::array<SocketAddress, 2> groups = {kGroup, GroupIpv6(kPort)};
  for (const SocketAddress& group : groups) {
    const SocketAddress any = group.is_ipv4() ? SocketAddress::AnyIpv4(kPort) : SocketAddress::AnyIpv6(kPort);
    const SocketId id = World::Open(world.a, group.family());
    if (group.is_ipv6()) World::Set(world.a, id, SocketOption::kIpv6Only, 1);
    EXPECT_EQ(world.a.reactor().Bind(id, any), 0);
    EXPECT_EQ(world.a.reactor().SetMembership(id, MulticastGroup{group, kLoopbackInterface}, true), 0);
    const SocketId sender = World::Open(world.a, group.family());
    World::Set(world.a, sender, SocketOption::kMulticastInterface, static_cast<int>(kLoopbackInterface));
    EXPECT_EQ(world.Send(world.a, sender, "x", group), 1);
    world.Settle();
    Datagram datagram = World::ReceiveOne(world.a, id);
    EXPECT_TRUE(datagram.source.is_loopback());
  }
}

TEST(UdpMulticastTest, ReachesOtherHostsByIpv6) {
  MachineRoom room(1);
  const SocketAddress address = *SocketAddress::Parse("[fd00::1]:0");
  const SocketAddress other_address = *SocketAddress::Parse("[fd00::2]:0");
  TestHost from(room.events, room.network, "from", address);
  TestHost to(room.events, room.network, "to", other_address);
  const SocketId receiver = World::Bound(to, SocketAddress::AnyIpv6(kPort));
  EXPECT_EQ(to.reactor().SetMembership(receiver, MulticastGroup{GroupIpv6(0), kNetworkInterface}, true), 0);
  const SocketId sender = World::Open(from, AddressFamily::kIpv6);
  EXPECT_EQ(World::TrySend(from, sender, "x", GroupIpv6(kPort)), 1);
  room.RunFor(kSecond);
  EXPECT_EQ(World::Received(to, receiver), "x");
  from.Crash();
  to.Crash();
}

TEST(UdpMulticastTest, MembershipErrorsAreThoseOfLinux) {
  World world;
  SimReactor& reactor = world.a.reactor();
  const SocketId id = World::Open(world.a);
  EXPECT_EQ(reactor.SetMembership(id, MulticastGroup{world.b.Address(0), 0}, true), -EINVAL);
  EXPECT_EQ(reactor.SetMembership(id, MulticastGroup{kGroup, 9}, true), -ENODEV);
  EXPECT_EQ(reactor.SetMembership(id, MulticastGroup{kGroup, 0}, false), -EADDRNOTAVAIL);
  EXPECT_EQ(reactor.SetMembership(id, MulticastGroup{kGroup, 0}, true), 0);
  EXPECT_EQ(reactor.SetMembership(id, MulticastGroup{kGroup, kNetworkInterface}, true), -EADDRINUSE);
  EXPECT_EQ(reactor.SetMembership(id, MulticastGroup{GroupIpv6(0), 0}, true), -ENOPROTOOPT);
  EXPECT_EQ(reactor.SetMembership(77, MulticastGroup{kGroup, 0}, true), -EBADF);
}

// --- Options ---

TEST(UdpOptionTest, CanBeSetAndRead) {
  World world;
  const SocketId id = World::Open(world.a);
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
    EXPECT_EQ(World::Option(world.a, id, option), value) << static_cast<int>(option);
    const bool buffer = option == SocketOption::kReceiveBufferSize || option == SocketOption::kSendBufferSize;
    const int changed = buffer ? 10000 : value == 1 ? 0 : 1;
    World::Set(world.a, id, option, changed);
    EXPECT_EQ(World::Option(world.a, id, option), buffer ? 2 * changed : changed) << static_cast<int>(option);
  }
  SimReactor& reactor = world.a.reactor();
  int value = 0;
  EXPECT_EQ(reactor.SetOption(id, SocketOption::kTimeToLive, 0), -EINVAL);
  EXPECT_EQ(reactor.SetOption(id, SocketOption::kMulticastTimeToLive, 256), -EINVAL);
  EXPECT_EQ(reactor.SetOption(id, SocketOption::kMulticastInterface, 3), -ENODEV);
  EXPECT_EQ(reactor.SetOption(id, SocketOption::kNoDelay, 1), -ENOPROTOOPT);
  EXPECT_EQ(reactor.GetOption(id, SocketOption::kNoDelay, &value), -EOPNOTSUPP);
  EXPECT_EQ(reactor.GetOption(World::Open(world.a, AddressFamily::kIpv6), SocketOption::kNoDelay, &value),
            -ENOPROTOOPT);
  EXPECT_EQ(reactor.SetOption(id, SocketOption::kIpv6Only, 1), -ENOPROTOOPT);
  EXPECT_EQ(reactor.GetOption(id, SocketOption::kIpv6Only, &value), -EOPNOTSUPP);
}

// --- Hosts ---

TEST(UdpHostTest, ACrashedMachineIsSilentAndAKilledProcessRefuses) {
  World world;
  World::Bound(world.b, world.b.Address(kPort));
  World::Bound(world.c, world.c.Address(kPort));
  const SocketId to_b = World::Open(world.a);
  const SocketId to_c = World::Open(world.a);
  EXPECT_EQ(world.a.reactor().ConnectDatagrams(to_b, world.b.Address(kPort)), 0);
  EXPECT_EQ(world.a.reactor().ConnectDatagrams(to_c, world.c.Address(kPort)), 0);
  world.b.Crash();
  world.c.Kill();
  EXPECT_EQ(world.c.stack().open_descriptors(), 0u);
  EXPECT_EQ(world.Send(world.a, to_b, "x"), 1);
  EXPECT_EQ(world.Send(world.a, to_c, "x"), 1);
  world.Settle();
  EXPECT_EQ(World::Received(world.a, to_b), "");
  EXPECT_EQ(World::Received(world.a, to_c), "-111");

  world.b.Start();
  EXPECT_EQ(world.Send(world.a, to_b, "x"), 1);
  world.Settle();
  EXPECT_EQ(World::Received(world.a, to_b), "-111");
}

TEST(UdpHostTest, ClosingFreesThePortAndTheMembership) {
  World world;
  const SocketId id = World::Bound(world.b, SocketAddress::AnyIpv4(kPort));
  EXPECT_EQ(world.b.reactor().SetMembership(id, MulticastGroup{kGroup, 0}, true), 0);
  TestOperation close;
  close.kind = OperationKind::kClose;
  close.socket = id;
  world.b.reactor().Submit(close);
  world.Settle();
  EXPECT_EQ(close.result, 0);
  const SocketId again = World::Bound(world.b, SocketAddress::AnyIpv4(kPort));
  EXPECT_EQ(world.Send(world.a, World::Open(world.a), "x", kGroup), 1);
  world.Settle();
  EXPECT_EQ(World::Received(world.b, again), "");
}

TEST(UdpHostTest, DescriptorsAreLimited) {
  World world;
  world.a.stack().set_descriptor_limit(1);
  World::Open(world.a);
  EXPECT_EQ(world.a.reactor().OpenSocket(AddressFamily::kIpv4, SocketType::kDatagram), -EMFILE);
  EXPECT_EQ(world.a.reactor().OpenSocket(AddressFamily::kIpv4, SocketType::kStream), -EMFILE);
}

// --- Faults of links ---

// Sends 1000 numbered datagrams from a to b, one each millisecond, and returns what arrived.
std::vector<int> Arrivals(const LinkConditions& conditions, size_t size = 8) {
  World world;
  world.room.network.SetConditions(world.a.stack(), world.b.stack(), conditions);
  const SocketId server = World::Bound(world.b, world.b.Address(kPort));
  const SocketId client = World::Open(world.a);
  TestSource source(Source::Kind::kReceiveDatagrams);
  source.socket = server;
  source.budget = 10000;
  world.b.reactor().Arm(source);
  for (int i = 0; i < 1000; ++i) {
    std::string data = absl::StrCat(i, " ");
    data.resize(size, '.');
    EXPECT_EQ(World::TrySend(world.a, client, data, world.b.Address(kPort)), 1);
    world.room.RunFor(kMillisecond);
  }
  world.room.RunFor(10 * kSecond);
  std::vector<int> numbers;
  numbers.reserve(source.datagrams.size());
  for (const TestSource::Arrived& arrived : source.datagrams) {
    EXPECT_EQ(arrived.data.size(), size);
    numbers.push_back(std::stoi(arrived.data));
  }
  world.b.Crash();  // Before the source dies.
  return numbers;
}

TEST(UdpLinkTest, WithoutFaultsOrderHoldsWhateverTheLatency) {
  LinkConditions conditions;
  conditions.latency = LatencyDistribution::Uniform(0, 100 * kMillisecond);
  const std::vector<int> numbers = Arrivals(conditions);
  EXPECT_EQ(numbers.size(), 1000u);
  EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
}

TEST(UdpLinkTest, LossTakesSome) {
  LinkConditions conditions;
  conditions.loss = Probability::Ratio(1, 10);
  const size_t count = Arrivals(conditions).size();
  EXPECT_GT(count, 800u);
  EXPECT_LT(count, 980u);
}

TEST(UdpLinkTest, ADatagramIsLostWithAnyOfItsFragments) {
  LinkConditions conditions;
  conditions.loss = Probability::Ratio(1, 10);
  const size_t count = Arrivals(conditions, 14'800).size();  // Ten fragments: 0.9^10 = 0.35.
  EXPECT_GT(count, 250u);
  EXPECT_LT(count, 450u);
}

TEST(UdpLinkTest, DuplicatesArriveTwice) {
  LinkConditions conditions;
  conditions.datagram_duplicate = Probability::Ratio(1, 2);
  const std::vector<int> numbers = Arrivals(conditions);
  EXPECT_GT(numbers.size(), 1300u);
  EXPECT_EQ(std::set<int>(numbers.begin(), numbers.end()).size(), 1000u);
}

TEST(UdpLinkTest, ReorderingOvertakesAlsoAtAFixedLatency) {
  LinkConditions conditions;
  conditions.latency = LatencyDistribution::Fixed(5 * kMillisecond);
  conditions.datagram_reorder = Probability::Ratio(1, 4);
  const std::vector<int> numbers = Arrivals(conditions);
  EXPECT_EQ(numbers.size(), 1000u);
  EXPECT_FALSE(std::is_sorted(numbers.begin(), numbers.end()));
}

TEST(UdpLinkTest, PartitionsLoseAndClogsDelay) {
  World world;
  const SocketId server = World::Bound(world.b, world.b.Address(kPort));
  const SocketId client = World::Open(world.a);
  world.room.network.Block(world.a.stack(), world.b.stack());
  EXPECT_EQ(world.Send(world.a, client, "lost", world.b.Address(kPort)), 1);
  world.Settle();
  world.room.network.Unblock(world.a.stack(), world.b.stack());
  world.room.network.Clog(world.a.stack(), world.b.stack(), world.room.events.now_ns() + kSecond);
  EXPECT_EQ(world.Send(world.a, client, "late", world.b.Address(kPort)), 1);
  world.Settle();
  EXPECT_EQ(World::Received(world.b, server), "");
  world.room.RunFor(2 * kSecond);
  EXPECT_EQ(World::Received(world.b, server), "late");
}

// --- Faults of the host, and cancellation ---

TEST(UdpCancelTest, ReportsWhatWasSent) {
  World world;
  world.a.stack().faults().slow_write = Probability::Always();
  const SocketId server = World::Bound(world.b, world.b.Address(kPort));
  const SocketId client = World::Open(world.a);
  const std::vector<OutgoingDatagram> datagrams(30, OutgoingDatagram("x", world.b.Address(kPort)));
  for (const int64_t wait_ns : {int64_t{0}, int64_t{250'000}}) {
    TestOperation operation;
    operation.kind = OperationKind::kSendDatagrams;
    operation.socket = client;
    operation.datagrams = datagrams;
    world.a.reactor().Submit(operation);
    world.room.RunFor(wait_ns);
    world.a.reactor().Cancel(operation);
    world.room.RunUntil([&] { return operation.completions == 1; });
    world.Settle();
    const size_t arrived = (World::Received(world.b, server).size() + 1) / 2;
    if (wait_ns == 0) {
      EXPECT_EQ(operation.result, -ECANCELED);
      EXPECT_EQ(arrived, 0u);
    } else {
      EXPECT_GT(operation.result, 0);
      EXPECT_LT(operation.result, 30);
      EXPECT_EQ(arrived, static_cast<size_t>(operation.result));
    }
  }
}

TEST(UdpCancelTest, ACompletionThatIsOnTheWayWins) {
  World world;
  const SocketId client = World::Open(world.a);
  const OutgoingDatagram datagram("x", world.b.Address(kPort));
  TestOperation operation;
  operation.kind = OperationKind::kSendDatagrams;
  operation.socket = client;
  operation.datagrams = absl::MakeConstSpan(&datagram, 1);
  world.a.reactor().Submit(operation);
  EXPECT_EQ(operation.completions, 0);  // Only Poll() reports.
  world.a.reactor().Cancel(operation);
  world.Settle();
  EXPECT_EQ(operation.result, 1);
}

TEST(UdpCancelTest, AfterAbandonNothingIsReportedAndNothingGetsOut) {
  World world;
  const SocketId id = World::Bound(world.b, world.b.Address(kPort));
  TestSource source(Source::Kind::kReceiveDatagrams);
  source.socket = id;
  source.budget = 10;
  world.b.reactor().Arm(source);
  world.b.Crash();
  EXPECT_TRUE(source.abandoned);
  const OutgoingDatagram datagram("x", world.a.Address(kPort));
  TestOperation send;
  send.kind = OperationKind::kSendDatagrams;
  send.socket = id;
  send.datagrams = absl::MakeConstSpan(&datagram, 1);
  const uint64_t sent = world.room.network.statistics().packets_sent;
  world.b.reactor().Submit(send);
  world.room.RunFor(kSecond);
  EXPECT_EQ(send.completions, 0);
  EXPECT_EQ(world.room.network.statistics().packets_sent, sent);
  world.b.reactor().Abandon();
  EXPECT_TRUE(send.abandoned);
}

// --- Storms: random traffic under everything that may go wrong ---

struct StormResult {
  TraceDigest digest;
  uint64_t sent = 0;
  uint64_t received = 0;
  uint64_t lost = 0;  // By links, or by full buffers.
  bool duplicates = false;
};

// One host's socket: sends numbered datagrams to random peers and keeps on receiving.
class Gossip {
 public:
  Gossip(World& world, TestHost& host, RandomStream random) : world_(world), host_(host), random_(random) {
    source_.socket = send_.socket = World::Bound(host, host.Address(kPort));
    send_.kind = OperationKind::kSendDatagrams;
    if (random_.Below(2) == 0) World::Set(host, source_.socket, SocketOption::kReceiveBufferSize, 5'000);
  }

  void Step() {
    if (host_.reactor().abandoned()) return;
    if (!source_.armed()) {
      source_.budget = 1 + random_.Below(20);
      host_.reactor().Arm(source_);
    } else if (random_.Below(8) == 0) {
      host_.reactor().Disarm(source_);
    }
    if (send_.in_flight()) {
      if (random_.Below(4) == 0) host_.reactor().Cancel(send_);
      return;
    }
    if (send_.result > 0) sent_ += static_cast<uint64_t>(send_.result);
    send_.result = 0;
    texts_.clear();
    datagrams_.clear();
    const uint64_t count = 1 + random_.Below(6);
    texts_.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      texts_.push_back(absl::StrCat(host_.stack().name(), " ", next_++, " "));
      texts_.back().resize(texts_.back().size() + random_.Below(4000), '.');
      datagrams_.emplace_back(texts_.back(), world_.hosts()[random_.Below(3)]->Address(kPort));
    }
    send_.datagrams = datagrams_;
    host_.reactor().Submit(send_);
  }
  // Takes what the socket still has. REQUIRES that no step comes after.
  void Finish() {
    if (send_.result > 0) sent_ += static_cast<uint64_t>(send_.result);
    if (host_.reactor().abandoned()) return;
    host_.reactor().Disarm(source_);
    EXPECT_TRUE(world_.room.RunUntil([&] { return !source_.armed(); }));
    std::vector<Datagram> datagrams;
    while (host_.reactor().TryReceiveDatagrams(source_.socket, &datagrams) == 1) ++left_;
  }

  uint64_t sent() const { return sent_; }
  uint64_t left() const { return left_; }
  const std::vector<TestSource::Arrived>& arrived() const { return source_.datagrams; }

 private:
  World& world_;
  TestHost& host_;
  RandomStream random_;
  uint64_t next_ = 0;
  uint64_t sent_ = 0;
  uint64_t left_ = 0;
  std::vector<std::string> texts_;
  std::vector<OutgoingDatagram> datagrams_;
  TestOperation send_;
  TestSource source_{Source::Kind::kReceiveDatagrams};
};

StormResult RunStorm(uint64_t seed, bool deadly) {
  RandomStream random = RandomStream(seed).Child(HashName("datagram storm"));
  SimReactorOptions options;
  options.read_ahead = random.Below(2) == 0;
  World world(seed, options);
  LinkConditions conditions;
  conditions.latency = LatencyDistribution::Uniform(100'000, 5 * kMillisecond);
  conditions.loss = Probability::Ratio(random.Below(20), 100);
  conditions.datagram_reorder = Probability::Ratio(random.Below(50), 100);
  const bool duplicates = random.Below(2) == 0;
  if (duplicates) conditions.datagram_duplicate = Probability::Ratio(random.Below(50), 100);
  world.room.network.SetDefaultConditions(conditions);
  std::vector<std::unique_ptr<Gossip>> gossips;
  for (TestHost* host : world.hosts()) {
    if (random.Below(2) == 0) host->stack().faults() = DrawChaos(random.Child(host->stack().index()));
    gossips.push_back(std::make_unique<Gossip>(world, *host, random.Child(10 + host->stack().index())));
  }
  for (int step = 0; step < 60; ++step) {
    for (const std::unique_ptr<Gossip>& gossip : gossips) gossip->Step();
    world.room.RunFor(static_cast<int64_t>(random.Below(2 * kMillisecond)));
    if (!deadly || random.Below(10) != 0) continue;
    TestHost& victim = *world.hosts()[random.Below(3)];
    if (victim.reactor().abandoned()) continue;
    if (random.Below(2) == 0) {
      victim.Crash();
    } else {
      victim.Kill();
    }
  }
  world.room.RunFor(20 * kSecond);
  StormResult result;
  std::set<std::pair<std::string, std::string>> seen;  // Receiver, what.
  for (size_t i = 0; i < gossips.size(); ++i) {
    gossips[i]->Finish();
    result.sent += gossips[i]->sent();
    result.received += gossips[i]->arrived().size() + gossips[i]->left();
    for (const TestSource::Arrived& arrived : gossips[i]->arrived()) {
      const std::string name = world.hosts()[i]->stack().name();
      const bool fresh = seen.emplace(name, arrived.data).second;
      EXPECT_TRUE(fresh || duplicates) << "seed " << seed << ": " << arrived.data << " came twice";
    }
  }
  result.lost = world.room.network.statistics().packets_lost + world.room.network.statistics().datagrams_dropped;
  result.duplicates = duplicates;
  result.digest = world.room.trace.digest();
  for (TestHost* host : world.hosts()) host->Crash();
  return result;
}

TEST(UdpStormTest, NothingIsLostButByTheNetworkAndFullBuffers) {
  uint64_t whole = 0;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    const StormResult result = RunStorm(seed, /*deadly=*/false);
    EXPECT_GE(result.received + result.lost, result.sent) << "seed " << seed;
    if (!result.duplicates) {
      EXPECT_EQ(result.received + result.lost, result.sent) << "seed " << seed;
    }
    if (result.received > 100) ++whole;
    if (HasFailure()) return;
  }
  EXPECT_GT(whole, 120u);
}

TEST(UdpStormTest, HostsMayDie) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    RunStorm(seed, /*deadly=*/true);
    if (HasFailure()) return;
  }
}

TEST(UdpStormTest, TheSeedDecidesEverything) {
  for (const bool deadly : {false, true}) {
    std::vector<TraceDigest> digests;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      const TraceDigest digest = RunStorm(seed, deadly).digest;
      EXPECT_EQ(digest, RunStorm(seed, deadly).digest) << "seed " << seed;
      for (const TraceDigest& other : digests) EXPECT_FALSE(digest == other);
      digests.push_back(digest);
    }
    // For comparing builds by hand.
    RecordProperty(deadly ? "digest_deadly" : "digest_lossy", digests.back().ToString());
  }
}

}  // namespace
}  // namespace tandem::sim
