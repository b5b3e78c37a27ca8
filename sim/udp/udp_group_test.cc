// SPDX-License-Identifier: Apache-2.0
//
// The simulated UDP, seen through the reactor: one to many, by broadcast and multicast.

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/testing/test_programs.h"
#include "tandem/sim/testing/udp_test_world.h"
#include "tandem/sim/time/event_queue.h"
#include "tandem/sim/udp/udp_socket.h"

namespace tandem::sim {
namespace {

TEST(UdpBroadcastTest, ReachesEveryHostOnceOverItsOwnLink) {
  UdpWorld world;
  std::array<SocketId, 3> ids;
  for (size_t i = 0; i < 3; ++i) ids[i] = UdpWorld::Bound(*world.hosts()[i], SocketAddress::AnyIpv4(kPort));
  const SocketId exact = UdpWorld::Bound(world.b, world.b.Address(kPort + 1));
  UdpWorld::Set(world.a, ids[0], SocketOption::kBroadcast, 1);
  const uint64_t sent = world.room.network.statistics().packets_sent;
  EXPECT_EQ(world.Send(world.a, ids[0], "x", kEverybody), 1);
  EXPECT_EQ(world.room.network.statistics().packets_sent, sent + 3);
  world.room.network.Block(world.a.stack(), world.c.stack());
  EXPECT_EQ(world.Send(world.a, ids[0], "y", kEverybody), 1);
  EXPECT_EQ(world.Send(world.a, ids[0], "z", kEverybody.WithPort(kPort + 1)), 1);
  world.Settle();

  EXPECT_EQ(UdpWorld::Received(world.a, ids[0]), "x,y");
  EXPECT_EQ(UdpWorld::Received(world.b, ids[1]), "x,y");
  EXPECT_EQ(UdpWorld::Received(world.c, ids[2]), "");  // Blocked before the first arrived.
  EXPECT_EQ(UdpWorld::Received(world.b, exact), "");   // Not its address.
}

TEST(UdpMulticastTest, ReachesMembersOnly) {
  UdpWorld world;
  std::array<SocketId, 3> ids;
  for (size_t i = 0; i < 3; ++i) ids[i] = UdpWorld::Bound(*world.hosts()[i], SocketAddress::AnyIpv4(kPort));
  UdpWorld::Set(world.b, ids[1], SocketOption::kPacketInfo, 1);
  EXPECT_EQ(world.b.reactor().SetMembership(ids[1], MulticastGroup{kGroup, 0}, true), 0);
  const uint64_t sent = world.room.network.statistics().packets_sent;
  EXPECT_EQ(world.Send(world.a, ids[0], "x", kGroup), 1);
  EXPECT_EQ(world.room.network.statistics().packets_sent, sent + 2);  // To itself and to the member.
  world.Settle();

  EXPECT_EQ(UdpWorld::Received(world.a, ids[0]), "");
  EXPECT_EQ(UdpWorld::Received(world.c, ids[2]), "");
  Datagram datagram = UdpWorld::ReceiveOne(world.b, ids[1]);
  EXPECT_EQ(datagram.source, world.a.Address(kPort));
  EXPECT_EQ(datagram.destination, kGroup);
  EXPECT_EQ(datagram.interface_index, kNetworkInterface);

  EXPECT_EQ(world.b.reactor().SetMembership(ids[1], MulticastGroup{kGroup, 0}, false), 0);
  EXPECT_EQ(world.Send(world.a, ids[0], "y", kGroup), 1);
  world.Settle();
  EXPECT_EQ(UdpWorld::Received(world.b, ids[1]), "");
}

TEST(UdpMulticastTest, LoopAndTimeToLiveBoundIt) {
  UdpWorld world;
  const SocketId a = UdpWorld::Bound(world.a, SocketAddress::AnyIpv4(kPort));
  const SocketId b = UdpWorld::Bound(world.b, SocketAddress::AnyIpv4(kPort));
  EXPECT_EQ(world.a.reactor().SetMembership(a, MulticastGroup{kGroup, 0}, true), 0);
  EXPECT_EQ(world.b.reactor().SetMembership(b, MulticastGroup{kGroup, kNetworkInterface}, true), 0);
  EXPECT_EQ(world.Send(world.a, a, "all", kGroup), 1);
  world.Settle();
  UdpWorld::Set(world.a, a, SocketOption::kMulticastLoop, 0);
  EXPECT_EQ(world.Send(world.a, a, "others", kGroup), 1);
  world.Settle();
  UdpWorld::Set(world.a, a, SocketOption::kMulticastLoop, 1);
  UdpWorld::Set(world.a, a, SocketOption::kMulticastTimeToLive, 0);
  EXPECT_EQ(world.Send(world.a, a, "self", kGroup), 1);
  world.Settle();
  UdpWorld::Set(world.a, a, SocketOption::kMulticastTimeToLive, 1);
  UdpWorld::Set(world.a, a, SocketOption::kMulticastInterface, static_cast<int>(kLoopbackInterface));
  EXPECT_EQ(world.Send(world.a, a, "wrong interface", kGroup), 1);
  world.Settle();

  EXPECT_EQ(UdpWorld::Received(world.a, a), "all,self");
  EXPECT_EQ(UdpWorld::Received(world.b, b), "all,others");
}

TEST(UdpMulticastTest, WorksOnLoopbackForBothFamilies) {
  UdpWorld world;
  const std::array<SocketAddress, 2> groups = {kGroup, GroupIpv6(kPort)};
  for (const SocketAddress& group : groups) {
    const SocketAddress any = group.is_ipv4() ? SocketAddress::AnyIpv4(kPort) : SocketAddress::AnyIpv6(kPort);
    const SocketId id = UdpWorld::Open(world.a, group.family());
    if (group.is_ipv6()) UdpWorld::Set(world.a, id, SocketOption::kIpv6Only, 1);
    EXPECT_EQ(world.a.reactor().Bind(id, any), 0);
    EXPECT_EQ(world.a.reactor().SetMembership(id, MulticastGroup{group, kLoopbackInterface}, true), 0);
    const SocketId sender = UdpWorld::Open(world.a, group.family());
    UdpWorld::Set(world.a, sender, SocketOption::kMulticastInterface, static_cast<int>(kLoopbackInterface));
    EXPECT_EQ(world.Send(world.a, sender, "x", group), 1);
    world.Settle();
    Datagram datagram = UdpWorld::ReceiveOne(world.a, id);
    EXPECT_TRUE(datagram.source.is_loopback());
  }
}

TEST(UdpMulticastTest, ReachesOtherHostsByIpv6) {
  MachineRoom room(1);
  const SocketAddress address = *SocketAddress::Parse("[fd00::1]:0");
  const SocketAddress other_address = *SocketAddress::Parse("[fd00::2]:0");
  TestHost from(room.events, room.network, "from", address);
  TestHost to(room.events, room.network, "to", other_address);
  const SocketId receiver = UdpWorld::Bound(to, SocketAddress::AnyIpv6(kPort));
  EXPECT_EQ(to.reactor().SetMembership(receiver, MulticastGroup{GroupIpv6(0), kNetworkInterface}, true), 0);
  const SocketId sender = UdpWorld::Open(from, AddressFamily::kIpv6);
  EXPECT_EQ(UdpWorld::TrySend(from, sender, "x", GroupIpv6(kPort)), 1);
  room.RunFor(kSecond);
  EXPECT_EQ(UdpWorld::Received(to, receiver), "x");
  from.Crash();
  to.Crash();
}

TEST(UdpMulticastTest, MembershipErrorsAreThoseOfLinux) {
  UdpWorld world;
  SimReactor& reactor = world.a.reactor();
  const SocketId id = UdpWorld::Open(world.a);
  EXPECT_EQ(reactor.SetMembership(id, MulticastGroup{world.b.Address(0), 0}, true), -EINVAL);
  EXPECT_EQ(reactor.SetMembership(id, MulticastGroup{kGroup, 9}, true), -ENODEV);
  EXPECT_EQ(reactor.SetMembership(id, MulticastGroup{kGroup, 0}, false), -EADDRNOTAVAIL);
  EXPECT_EQ(reactor.SetMembership(id, MulticastGroup{kGroup, 0}, true), 0);
  EXPECT_EQ(reactor.SetMembership(id, MulticastGroup{kGroup, kNetworkInterface}, true), -EADDRINUSE);
  EXPECT_EQ(reactor.SetMembership(id, MulticastGroup{GroupIpv6(0), 0}, true), -ENOPROTOOPT);
  EXPECT_EQ(reactor.SetMembership(77, MulticastGroup{kGroup, 0}, true), -EBADF);
}

}  // namespace
}  // namespace tandem::sim
