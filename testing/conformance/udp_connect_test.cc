// SPDX-License-Identifier: Apache-2.0
//
// Binding and connecting UDP sockets, and the errors that the network reports.

#include <cerrno>
#include <string>
#include <utility>

#include "tandem/testing/conformance/udp_conformance.h"

namespace tandem::testing {
namespace {

using UdpBindTest = UdpConformanceTest;
using UdpConnectTest = UdpConformanceTest;
using UdpIcmpTest = UdpConformanceTest;

// --- Binding ---

TEST_F(UdpBindTest, PortZeroPicksOne) {
  UdpSocket first = Bind();
  UdpSocket second = Bind();
  EXPECT_NE(AddressOf(first).port(), 0);
  EXPECT_NE(AddressOf(first), AddressOf(second));
}

TEST_F(UdpBindTest, TakenPortIsRefused) {
  UdpSocket first = Bind();
  const auto second = UdpSocket::Bind(AddressOf(first));
  EXPECT_THAT(second, StatusIs(kFailedPrecondition));
  EXPECT_EQ(ErrnoOf(second.status()), EADDRINUSE);
}

TEST_F(UdpBindTest, AnyAddressOverATakenPortIsRefusedAndAnotherAddressIsNot) {
  UdpSocket first = Bind();
  const uint16_t port = AddressOf(first).port();
  EXPECT_EQ(ErrnoOf(UdpSocket::Bind(SocketAddress::AnyIpv4(port)).status()), EADDRINUSE);
  EXPECT_OK(UdpSocket::Bind(SocketAddress::Ipv4({127, 0, 0, 2}, port)));
}

TEST_F(UdpBindTest, PortIsFreeAfterClose) {
  UdpSocket first = Bind();
  const SocketAddress address = AddressOf(first);
  EXPECT_OK(Run(first.Close()));
  EXPECT_OK(UdpSocket::Bind(address));
}

TEST_F(UdpBindTest, ForeignAddressIsRefused) {
  const auto socket = UdpSocket::Bind(SocketAddress::Ipv4({198, 51, 100, 7}, 0));
  EXPECT_THAT(socket, StatusIs(kFailedPrecondition));
  EXPECT_EQ(ErrnoOf(socket.status()), EADDRNOTAVAIL);
}

TEST_F(UdpBindTest, SecondBindIsRefused) {
  UdpSocket socket = Bind();
  EXPECT_EQ(ErrnoOf(socket.BindTo(SocketAddress::LoopbackIpv4(0))), EINVAL);
}

TEST_F(UdpBindTest, AddressMustBeOneAndOfTheFamily) {
  EXPECT_THAT(UdpSocket::Bind(SocketAddress()), StatusIs(kInvalidArgument));
  EXPECT_THAT(UdpSocket::Bind(*SocketAddress::UnixAbstract("name")), StatusIs(kInvalidArgument));
  UdpSocket socket = Open(AddressFamily::kIpv4);
  EXPECT_EQ(ErrnoOf(socket.BindTo(SocketAddress::LoopbackIpv6(0))), EAFNOSUPPORT);
}

TEST_F(UdpBindTest, ReuseAddressSharesThePortAndTheLastOneReceives) {
  const UdpOptions reuse = UdpOptions().set_reuse_address(true);
  UdpSocket first = Bind(SocketAddress::LoopbackIpv4(0), reuse);
  UdpSocket second = Bind(AddressOf(first), reuse);
  UdpSocket sender = Bind();
  SendTo(sender, "x", AddressOf(first));
  EXPECT_THAT(ReceiveText(second), IsOkAndHolds("x"));
  ExpectNothing(first);
}

TEST_F(UdpBindTest, ReuseAddressIsNeededOnBoth) {
  UdpSocket first = Bind();
  const auto second = UdpSocket::Bind(AddressOf(first), UdpOptions().set_reuse_address(true));
  EXPECT_EQ(ErrnoOf(second.status()), EADDRINUSE);
}

TEST_F(UdpBindTest, ReusePortSpreadsTheSenders) {
  const UdpOptions reuse = UdpOptions().set_reuse_port(true);
  UdpSocket first = Bind(SocketAddress::LoopbackIpv4(0), reuse);
  UdpSocket second = Bind(AddressOf(first), reuse);
  EXPECT_EQ(ErrnoOf(UdpSocket::Bind(AddressOf(first)).status()), EADDRINUSE);
  for (int i = 0; i < 64; ++i) {
    UdpSocket sender = Bind();
    SendTo(sender, "x", AddressOf(first));
  }
  const size_t at_first = ReceiveAll(first).size();
  const size_t at_second = ReceiveAll(second).size();
  EXPECT_EQ(at_first + at_second, 64u);
  EXPECT_GT(at_first, 0u);
  EXPECT_GT(at_second, 0u);
}

TEST_F(UdpBindTest, DualStackReceivesIpv4AsMapped) {
  UdpSocket receiver = Bind(SocketAddress::AnyIpv6(0));
  const uint16_t port = AddressOf(receiver).port();
  EXPECT_EQ(ErrnoOf(UdpSocket::Bind(SocketAddress::AnyIpv4(port)).status()), EADDRINUSE);
  UdpSocket sender = Bind();
  SendTo(sender, "four", SocketAddress::LoopbackIpv4(port));
  std::string target(10, '\0');
  auto received = Run(receiver.ReceiveFrom(absl::MakeSpan(target)));
  ASSERT_OK(received);
  EXPECT_EQ(received->source.HostToString(), "::ffff:127.0.0.1");
  EXPECT_EQ(received->source.port(), AddressOf(sender).port());
  SendTo(receiver, "back", received->source);
  EXPECT_THAT(ReceiveText(sender), IsOkAndHolds("back"));
}

TEST_F(UdpBindTest, Ipv6OnlyLeavesThePortToIpv4) {
  UdpSocket six = Bind(SocketAddress::AnyIpv6(0), UdpOptions().set_ipv6_only(true));
  const uint16_t port = AddressOf(six).port();
  UdpSocket four = Bind(SocketAddress::AnyIpv4(port));
  UdpSocket sender = Bind();
  SendTo(sender, "four", SocketAddress::LoopbackIpv4(port));
  EXPECT_THAT(ReceiveText(four), IsOkAndHolds("four"));
  ExpectNothing(six);
}

// --- Connecting ---

TEST_F(UdpConnectTest, SendGoesToThePeerAndReceiveGetsIt) {
  auto [first, second] = ConnectedSockets();
  EXPECT_OK(Run(first.Send("hello")));
  std::string target(10, '\0');
  auto received = Run(second.Receive(absl::MakeSpan(target)));
  ASSERT_OK(received);
  EXPECT_EQ(target.substr(0, received->size), "hello");
  EXPECT_EQ(received->source, AddressOf(first));
}

TEST_F(UdpConnectTest, AddressesAreKnownAfterConnect) {
  UdpSocket peer = Bind();
  UdpSocket socket = Open();
  const auto none = socket.PeerAddress();
  EXPECT_THAT(none, StatusIs(kFailedPrecondition));
  EXPECT_EQ(ErrnoOf(none.status()), ENOTCONN);
  EXPECT_OK(socket.Connect(AddressOf(peer)));
  EXPECT_THAT(socket.PeerAddress(), IsOkAndHolds(AddressOf(peer)));
  EXPECT_EQ(AddressOf(socket).HostToString(), "127.0.0.1");
  EXPECT_NE(AddressOf(socket).port(), 0);
}

TEST_F(UdpConnectTest, DatagramsOfOthersAreDropped) {
  UdpSocket peer = Bind();
  UdpSocket other = Bind();
  UdpSocket socket = Bind();
  EXPECT_OK(socket.Connect(AddressOf(peer)));
  SendTo(other, "no", AddressOf(socket));
  SendTo(peer, "yes", AddressOf(socket));
  EXPECT_THAT(ReceiveText(socket), IsOkAndHolds("yes"));
  ExpectNothing(socket);
}

TEST_F(UdpConnectTest, WhatArrivedBeforeTheConnectStays) {
  UdpSocket peer = Bind();
  UdpSocket other = Bind();
  UdpSocket socket = Bind();
  SendTo(other, "early", AddressOf(socket));
  Settle();
  EXPECT_OK(socket.Connect(AddressOf(peer)));
  EXPECT_THAT(ReceiveText(socket), IsOkAndHolds("early"));
}

TEST_F(UdpConnectTest, SendToAnotherAddressIsStillAllowed) {
  auto [first, second] = ConnectedSockets();
  UdpSocket other = Bind();
  SendTo(first, "elsewhere", AddressOf(other));
  EXPECT_THAT(ReceiveText(other), IsOkAndHolds("elsewhere"));
  ExpectNothing(second);
}

TEST_F(UdpConnectTest, ConnectAgainChangesThePeer) {
  UdpSocket first = Bind();
  UdpSocket second = Bind();
  UdpSocket socket = Bind();
  EXPECT_OK(socket.Connect(AddressOf(first)));
  EXPECT_OK(socket.Connect(AddressOf(second)));
  EXPECT_THAT(socket.PeerAddress(), IsOkAndHolds(AddressOf(second)));
  EXPECT_OK(Run(socket.Send("x")));
  EXPECT_THAT(ReceiveText(second), IsOkAndHolds("x"));
  SendTo(first, "no", AddressOf(socket));
  SendTo(second, "yes", AddressOf(socket));
  EXPECT_THAT(ReceiveText(socket), IsOkAndHolds("yes"));
  ExpectNothing(socket);
}

TEST_F(UdpConnectTest, ConnectUnderAReceiveThatWaits) {
  UdpSocket peer = Bind();
  UdpSocket other = Bind();
  UdpSocket socket = Bind();
  auto receive = Start(ReceiveString(&socket));
  Settle();
  EXPECT_OK(socket.Connect(AddressOf(peer)));
  SendTo(other, "no", AddressOf(socket));
  SendTo(peer, "yes", AddressOf(socket));
  EXPECT_THAT(Wait(receive), IsOkAndHolds("yes"));
}

TEST_F(UdpConnectTest, DisconnectReceivesFromEverybodyAgain) {
  UdpSocket peer = Bind();
  UdpSocket other = Bind();
  const SocketAddress address = ClosedAddress();
  UdpSocket socket = Bind(address);
  EXPECT_OK(socket.Connect(AddressOf(peer)));
  EXPECT_OK(socket.Disconnect());
  EXPECT_EQ(ErrnoOf(socket.PeerAddress().status()), ENOTCONN);
  EXPECT_EQ(AddressOf(socket), address);
  SendTo(other, "other", address);
  EXPECT_THAT(ReceiveText(socket), IsOkAndHolds("other"));
  EXPECT_EQ(ErrnoOf(Run(socket.Send("x"))), EDESTADDRREQ);
}

TEST_F(UdpConnectTest, DisconnectWithoutAPeerChangesNothing) {
  const SocketAddress address = ClosedAddress();
  UdpSocket socket = Bind(address);
  EXPECT_OK(socket.Disconnect());
  EXPECT_EQ(AddressOf(socket), address);
}

// As Linux does: only a port that was asked for by number is kept.
TEST_F(UdpConnectTest, DisconnectGivesUpWhatTheSystemHadPicked) {
  UdpSocket peer = Bind();
  UdpSocket unbound = Open();
  EXPECT_OK(unbound.Connect(AddressOf(peer)));
  EXPECT_OK(unbound.Disconnect());
  EXPECT_EQ(AddressOf(unbound), SocketAddress::AnyIpv4(0));

  UdpSocket bound = Bind(SocketAddress::LoopbackIpv4(0));
  EXPECT_OK(bound.Connect(AddressOf(peer)));
  EXPECT_OK(bound.Disconnect());
  EXPECT_EQ(AddressOf(bound), SocketAddress::LoopbackIpv4(0));
  SendTo(bound, "picks again", AddressOf(peer));
  EXPECT_NE(AddressOf(bound).port(), 0);
}

TEST_F(UdpConnectTest, SendWithoutPeerNeedsADestination) {
  UdpSocket socket = Bind();
  const absl::Status status = Run(socket.Send("x"));
  EXPECT_THAT(status, StatusIs(kInvalidArgument));
  EXPECT_EQ(ErrnoOf(status), EDESTADDRREQ);
}

TEST_F(UdpConnectTest, PortZeroIsNoDestination) {
  UdpSocket socket = Bind();
  const absl::Status status = Run(socket.SendTo("x", SocketAddress::LoopbackIpv4(0)));
  EXPECT_THAT(status, StatusIs(kInvalidArgument));
  EXPECT_EQ(ErrnoOf(status), EINVAL);
}

TEST_F(UdpConnectTest, ConnectNeedsAnAddressOfTheFamily) {
  UdpSocket socket = Bind();
  EXPECT_THAT(socket.Connect(SocketAddress()), StatusIs(kInvalidArgument));
  EXPECT_EQ(ErrnoOf(socket.Connect(SocketAddress::LoopbackIpv6(9))), EAFNOSUPPORT);
}

TEST_F(UdpConnectTest, BroadcastWithoutTheOptionIsDenied) {
  UdpSocket socket = Bind(SocketAddress::AnyIpv4(0));
  const SocketAddress broadcast = SocketAddress::Ipv4({127, 255, 255, 255}, 9);
  const absl::Status status = Run(socket.SendTo("x", broadcast));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_EQ(ErrnoOf(status), EACCES);
  EXPECT_EQ(ErrnoOf(socket.Connect(broadcast)), EACCES);
}

TEST_F(UdpConnectTest, BroadcastWithTheOptionReachesEverySocketOnThePort) {
  const UdpOptions reuse = UdpOptions().set_reuse_address(true);
  UdpSocket first = Bind(SocketAddress::AnyIpv4(0), reuse);
  const uint16_t port = AddressOf(first).port();
  UdpSocket second = Bind(SocketAddress::AnyIpv4(port), reuse);
  UdpSocket sender = Bind(SocketAddress::AnyIpv4(0));
  EXPECT_OK(sender.set_broadcast(true));
  SendTo(sender, "all", SocketAddress::Ipv4({127, 255, 255, 255}, port));
  EXPECT_THAT(ReceiveText(first), IsOkAndHolds("all"));
  EXPECT_THAT(ReceiveText(second), IsOkAndHolds("all"));
}

// --- What the network answers ---

TEST_F(UdpIcmpTest, RefusalIsReportedOnceByTheNextReceive) {
  UdpSocket socket = Bind();
  EXPECT_OK(socket.Connect(ClosedAddress()));
  EXPECT_OK(Run(socket.Send("x")));
  const auto refused = Run(socket.ReceiveDatagram());
  EXPECT_THAT(refused, StatusIs(kUnavailable));
  EXPECT_EQ(ErrnoOf(refused.status()), ECONNREFUSED);
  ExpectNothing(socket);
}

TEST_F(UdpIcmpTest, RefusalIsReportedOnceByTheNextSend) {
  UdpSocket socket = Bind();
  EXPECT_OK(socket.Connect(ClosedAddress()));
  EXPECT_OK(Run(socket.Send("x")));
  Settle();
  const absl::Status refused = Run(socket.Send("y"));
  EXPECT_THAT(refused, StatusIs(kUnavailable));
  EXPECT_EQ(ErrnoOf(refused), ECONNREFUSED);
  ExpectNothing(socket);
}

TEST_F(UdpIcmpTest, RefusalThatWasReadAheadIsReportedOnceByTheNextSend) {
  UdpSocket socket = Bind();
  EXPECT_OK(socket.Connect(ClosedAddress()));
  ExpectNothing(socket);  // Begins to receive.
  EXPECT_OK(Run(socket.Send("x")));
  Settle();
  EXPECT_EQ(ErrnoOf(Run(socket.Send("y"))), ECONNREFUSED);
  ExpectNothing(socket);
}

TEST_F(UdpIcmpTest, RefusalEndsAReceiveThatWaits) {
  UdpSocket socket = Bind();
  EXPECT_OK(socket.Connect(ClosedAddress()));
  auto receive = Start(ReceiveString(&socket));
  Settle();
  EXPECT_OK(Run(socket.Send("x")));
  EXPECT_EQ(ErrnoOf(Wait(receive).status()), ECONNREFUSED);
}

TEST_F(UdpIcmpTest, TryReceiveReportsTheRefusalOnce) {
  UdpSocket socket = Bind();
  EXPECT_OK(socket.Connect(ClosedAddress()));
  EXPECT_OK(Run(socket.Send("x")));
  Settle();
  EXPECT_EQ(ErrnoOf(socket.TryReceiveFrom({}).status()), ECONNREFUSED);
  const auto nothing = socket.TryReceiveFrom({});
  ASSERT_OK(nothing);
  EXPECT_FALSE(nothing->has_value());
}

TEST_F(UdpIcmpTest, SocketGoesOnAfterARefusal) {
  const SocketAddress address = ClosedAddress();
  UdpSocket socket = Bind();
  EXPECT_OK(socket.Connect(address));
  EXPECT_OK(Run(socket.Send("x")));
  EXPECT_EQ(ErrnoOf(ReceiveText(socket).status()), ECONNREFUSED);
  UdpSocket peer = Bind(address);
  EXPECT_OK(Run(socket.Send("now")));
  EXPECT_THAT(ReceiveText(peer), IsOkAndHolds("now"));
  SendTo(peer, "back", AddressOf(socket));
  EXPECT_THAT(ReceiveText(socket), IsOkAndHolds("back"));
}

TEST_F(UdpIcmpTest, UnconnectedSocketIsNeverRefused) {
  const SocketAddress address = ClosedAddress();
  UdpSocket socket = Bind();
  for (int i = 0; i < 3; ++i) {
    EXPECT_OK(Run(socket.SendTo("x", address)));
    Settle();
  }
  ExpectNothing(socket);
}

TEST_F(UdpConnectTest, UnixAddressIsAnInvalidArgumentEverywhere) {
  for (const char* text : {"a", "a name that is longer than an address of the internet"}) {
    const SocketAddress name = *SocketAddress::UnixAbstract(text);
    for (const AddressFamily family : {AddressFamily::kIpv4, AddressFamily::kIpv6}) {
      UdpSocket socket = Open(family);
      EXPECT_THAT(socket.BindTo(name), StatusIs(kInvalidArgument));
      EXPECT_THAT(socket.Connect(name), StatusIs(kInvalidArgument));
      EXPECT_THAT(Run(socket.SendTo("x", name)), StatusIs(kInvalidArgument));
      EXPECT_THAT(socket.TrySendTo("x", name), StatusIs(kInvalidArgument));
    }
  }
}

TEST_F(UdpConnectTest, SendManyStopsAtAUnixAddress) {
  UdpSocket receiver = Bind();
  UdpSocket sender = Bind();
  const OutgoingDatagram datagrams[] = {OutgoingDatagram("first", AddressOf(receiver)),
                                        OutgoingDatagram("second", *SocketAddress::UnixAbstract("a")),
                                        OutgoingDatagram("third", AddressOf(receiver))};
  SendManyResult result = Run(sender.SendMany(datagrams));
  EXPECT_THAT(result.status, StatusIs(kInvalidArgument));
  EXPECT_EQ(result.sent, 1u);
  EXPECT_THAT(ReceiveText(receiver), IsOkAndHolds("first"));
  ExpectNothing(receiver);
}

}  // namespace
}  // namespace tandem::testing
