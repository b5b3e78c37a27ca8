// SPDX-License-Identifier: Apache-2.0
//
// Options of UDP sockets, multicast, and where a datagram arrived.

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tandem/testing/conformance/udp_conformance.h"

namespace tandem::testing {
namespace {

using UdpOptionsTest = UdpConformanceTest;
using UdpPacketInfoTest = UdpConformanceTest;

TEST_F(UdpOptionsTest, FlagsHaveTheirDefaultsAndCanBeSwitched) {
  UdpSocket socket = Open();
  EXPECT_THAT(socket.reuse_address(), IsOkAndHolds(false));
  EXPECT_THAT(socket.reuse_port(), IsOkAndHolds(false));
  EXPECT_THAT(socket.broadcast(), IsOkAndHolds(false));
  EXPECT_THAT(socket.packet_info(), IsOkAndHolds(false));
  EXPECT_THAT(socket.multicast_loop(), IsOkAndHolds(true));
  EXPECT_OK(socket.set_reuse_address(true));
  EXPECT_OK(socket.set_reuse_port(true));
  EXPECT_OK(socket.set_broadcast(true));
  EXPECT_OK(socket.set_packet_info(true));
  EXPECT_OK(socket.set_multicast_loop(false));
  EXPECT_THAT(socket.reuse_address(), IsOkAndHolds(true));
  EXPECT_THAT(socket.reuse_port(), IsOkAndHolds(true));
  EXPECT_THAT(socket.broadcast(), IsOkAndHolds(true));
  EXPECT_THAT(socket.packet_info(), IsOkAndHolds(true));
  EXPECT_THAT(socket.multicast_loop(), IsOkAndHolds(false));
}

TEST_F(UdpOptionsTest, NumbersHaveTheirDefaultsAndRanges) {
  for (const AddressFamily family : {AddressFamily::kIpv4, AddressFamily::kIpv6}) {
    UdpSocket socket = Open(family);
    EXPECT_THAT(socket.time_to_live(), IsOkAndHolds(64));
    EXPECT_THAT(socket.traffic_class(), IsOkAndHolds(0));
    EXPECT_THAT(socket.multicast_time_to_live(), IsOkAndHolds(1));
    EXPECT_THAT(socket.multicast_interface(), IsOkAndHolds(0u));
    EXPECT_OK(socket.set_time_to_live(5));
    EXPECT_OK(socket.set_traffic_class(0x28));
    EXPECT_OK(socket.set_multicast_time_to_live(0));
    EXPECT_OK(socket.set_multicast_interface(kLoopbackInterface));
    EXPECT_THAT(socket.time_to_live(), IsOkAndHolds(5));
    EXPECT_THAT(socket.traffic_class(), IsOkAndHolds(0x28));
    EXPECT_THAT(socket.multicast_time_to_live(), IsOkAndHolds(0));
    EXPECT_THAT(socket.multicast_interface(), IsOkAndHolds(kLoopbackInterface));
    EXPECT_THAT(socket.set_time_to_live(256), StatusIs(kInvalidArgument));
    EXPECT_THAT(socket.set_multicast_time_to_live(256), StatusIs(kInvalidArgument));
    EXPECT_THAT(socket.time_to_live(), IsOkAndHolds(5));
  }
}

// -1 would be the system's default to Linux, and 256 a traffic class of 0.
TEST_F(UdpOptionsTest, NumbersOutOfRangeAreRefusedAndChangeNothing) {
  for (const AddressFamily family : {AddressFamily::kIpv4, AddressFamily::kIpv6}) {
    UdpSocket socket = Open(family);
    EXPECT_OK(socket.set_time_to_live(5));
    EXPECT_OK(socket.set_traffic_class(0x28));
    EXPECT_OK(socket.set_multicast_time_to_live(7));
    constexpr int kSmallest = std::numeric_limits<int>::min();
    constexpr int kLargest = std::numeric_limits<int>::max();
    for (const int hops : {kSmallest, -1, 0, 256, kLargest}) {
      EXPECT_THAT(socket.set_time_to_live(hops), StatusIs(kInvalidArgument)) << hops;
    }
    for (const int value : {kSmallest, -1, 256, 0x128, kLargest}) {
      EXPECT_THAT(socket.set_traffic_class(value), StatusIs(kInvalidArgument)) << value;
      EXPECT_THAT(socket.set_multicast_time_to_live(value), StatusIs(kInvalidArgument)) << value;
    }
    for (const uint32_t index : {uint32_t{0x80000000}, ~uint32_t{0}}) {
      EXPECT_THAT(socket.set_multicast_interface(index), StatusIs(kInvalidArgument)) << index;
    }
    EXPECT_THAT(socket.time_to_live(), IsOkAndHolds(5));
    EXPECT_THAT(socket.traffic_class(), IsOkAndHolds(0x28));
    EXPECT_THAT(socket.multicast_time_to_live(), IsOkAndHolds(7));
    EXPECT_THAT(socket.multicast_interface(), IsOkAndHolds(0u));
  }
}

TEST_F(UdpOptionsTest, HugeBufferSizeIsCutToTheMaximum) {
  UdpSocket socket = Bind();
  EXPECT_OK(socket.set_receive_buffer_size(std::numeric_limits<size_t>::max()));
  EXPECT_OK(socket.set_send_buffer_size(std::numeric_limits<size_t>::max()));
  EXPECT_GT(socket.receive_buffer_size().value(), 2304u);
  EXPECT_GT(socket.send_buffer_size().value(), 4608u);
}

TEST_F(UdpOptionsTest, Ipv6OnlyDoesNotMatterForAnIpv4Address) {
  EXPECT_OK(UdpSocket::Bind(SocketAddress::LoopbackIpv4(0), UdpOptions().set_ipv6_only(true)));
}

TEST_F(UdpOptionsTest, OptionsOfIpv6AreUnimplementedOnAnIpv4Socket) {
  UdpSocket socket = Open(AddressFamily::kIpv4);
  EXPECT_THAT(socket.set_ipv6_only(true), StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(socket.ipv6_only(), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(UdpOptionsTest, WhatIsNoAddressIsNoGroup) {
  UdpSocket socket = Open(AddressFamily::kIpv4);
  for (const SocketAddress& address : {SocketAddress(), *SocketAddress::UnixAbstract("a")}) {
    EXPECT_THAT(socket.JoinGroup({address, 0}), StatusIs(kInvalidArgument));
    EXPECT_THAT(socket.LeaveGroup({address, 0}), StatusIs(kInvalidArgument));
  }
}

TEST_F(UdpOptionsTest, BufferSizesAreDoubledAndHaveAMinimum) {
  UdpSocket socket = Bind();
  EXPECT_OK(socket.set_receive_buffer_size(20'000));
  EXPECT_THAT(socket.receive_buffer_size(), IsOkAndHolds(40'000u));
  EXPECT_OK(socket.set_send_buffer_size(20'000));
  EXPECT_THAT(socket.send_buffer_size(), IsOkAndHolds(40'000u));
  EXPECT_OK(socket.set_receive_buffer_size(1));
  EXPECT_THAT(socket.receive_buffer_size(), IsOkAndHolds(2304u));
  EXPECT_OK(socket.set_send_buffer_size(1));
  EXPECT_THAT(socket.send_buffer_size(), IsOkAndHolds(4608u));
}

TEST_F(UdpOptionsTest, OptionsOfBindAreSet) {
  UdpSocket socket =
      Bind(SocketAddress::AnyIpv6(0), UdpOptions().set_reuse_address(true).set_reuse_port(true).set_ipv6_only(true));
  EXPECT_THAT(socket.reuse_address(), IsOkAndHolds(true));
  EXPECT_THAT(socket.reuse_port(), IsOkAndHolds(true));
  EXPECT_THAT(socket.ipv6_only(), IsOkAndHolds(true));
}

TEST_F(UdpOptionsTest, AfterCloseAreFailedPreconditions) {
  UdpSocket socket = Bind();
  EXPECT_OK(Run(socket.Close()));
  EXPECT_THAT(socket.set_broadcast(true), StatusIs(kFailedPrecondition));
  EXPECT_THAT(socket.time_to_live(), StatusIs(kFailedPrecondition));
  EXPECT_THAT(socket.LocalAddress(), StatusIs(kFailedPrecondition));
  EXPECT_THAT(socket.PeerAddress(), StatusIs(kFailedPrecondition));
  EXPECT_THAT(socket.Connect(SocketAddress::LoopbackIpv4(9)), StatusIs(kFailedPrecondition));
  EXPECT_THAT(socket.Disconnect(), StatusIs(kFailedPrecondition));
  EXPECT_THAT(socket.JoinGroup({SocketAddress::Ipv4({239, 1, 2, 3}, 0), kLoopbackInterface}),
              StatusIs(kFailedPrecondition));
}

// --- Where a datagram arrived ---

TEST_F(UdpPacketInfoTest, TellsTheAddressThatTheDatagramWasSentTo) {
  UdpSocket receiver = Bind(SocketAddress::AnyIpv4(0));
  EXPECT_OK(receiver.set_packet_info(true));
  const uint16_t port = AddressOf(receiver).port();
  UdpSocket sender = Bind();
  for (const uint8_t last : {1, 2}) {
    const SocketAddress destination = SocketAddress::Ipv4({127, 0, 0, last}, port);
    SendTo(sender, "x", destination);
    auto received = Run(receiver.ReceiveFrom({}));
    ASSERT_OK(received);
    EXPECT_EQ(received->destination, destination);
    EXPECT_EQ(received->interface_index, kLoopbackInterface);
    EXPECT_EQ(received->source, AddressOf(sender));
  }
}

TEST_F(UdpPacketInfoTest, TellsItForIpv6Too) {
  UdpSocket receiver = Bind(SocketAddress::AnyIpv6(0));
  EXPECT_OK(receiver.set_packet_info(true));
  UdpSocket sender = Bind(SocketAddress::LoopbackIpv6(0));
  const SocketAddress destination = SocketAddress::LoopbackIpv6(AddressOf(receiver).port());
  SendTo(sender, "x", destination);
  auto received = Run(receiver.ReceiveFrom({}));
  ASSERT_OK(received);
  EXPECT_EQ(received->destination, destination);
  EXPECT_EQ(received->interface_index, kLoopbackInterface);
}

TEST_F(UdpPacketInfoTest, IsOffUnlessItIsAskedFor) {
  UdpSocket receiver = Bind();
  UdpSocket sender = Bind();
  SendTo(sender, "x", AddressOf(receiver));
  auto received = Run(receiver.ReceiveFrom({}));
  ASSERT_OK(received);
  EXPECT_EQ(received->destination.family(), AddressFamily::kNone);
  EXPECT_EQ(received->interface_index, 0u);
}

// --- Multicast. Nothing leaves the host: the scope of the groups and the time to live forbid it. ---

class UdpMulticastTest : public UdpConformanceTest, public ::testing::WithParamInterface<AddressFamily> {
 protected:
  void SetUp() override {
    interface_ = FindInterface();
    EXPECT_TRUE(interface_ != 0 || (!ipv4() && !IsSimulated())) << "no interface carries multicasts";
  }
  // Whether an interface of this machine carries multicasts. Where none has a route for those of IPv6, checks what a
  // program hears: a membership costs nothing, and a send has nowhere to go.
  bool HasRoute() {
    if (interface_ != 0) return true;
    UdpSocket receiver = Bind(Any());
    const MulticastGroup group{Group(), kLoopbackInterface};
    EXPECT_OK(receiver.JoinGroup(group));
    UdpSocket sender = SenderOn(kLoopbackInterface);
    const absl::Status sent = Run(sender.SendTo("x", Group(AddressOf(receiver).port())));
    EXPECT_THAT(sent, StatusIs(kUnavailable));
    EXPECT_EQ(ErrnoOf(sent), ENETUNREACH);
    EXPECT_OK(receiver.LeaveGroup(group));
    return false;
  }

  bool ipv4() const { return GetParam() == AddressFamily::kIpv4; }
  SocketAddress Any() const { return ipv4() ? SocketAddress::AnyIpv4(0) : SocketAddress::AnyIpv6(0); }
  SocketAddress Group(uint16_t port = 0) const {
    return ipv4() ? SocketAddress::Ipv4({239, 77, 12, 5}, port)
                  : SocketAddress::Ipv6({0xff, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77, 0x12, 5}, port);
  }
  MulticastGroup GroupHere() const { return MulticastGroup{Group(), interface_}; }
  UdpSocket Sender() { return SenderOn(interface_); }

  uint32_t interface_ = 0;

 private:
  UdpSocket SenderOn(uint32_t interface_index) {
    UdpSocket sender = Bind(Any());
    EXPECT_OK(sender.set_multicast_time_to_live(0));
    EXPECT_OK(sender.set_multicast_interface(interface_index));
    return sender;
  }
  bool Works(uint32_t interface_index) {
    UdpSocket probe = Bind(Any());
    if (!probe.JoinGroup(MulticastGroup{Group(), interface_index}).ok()) return false;
    UdpSocket sender = SenderOn(interface_index);
    const bool sent = Run(sender.SendTo("probe", Group(AddressOf(probe).port()))).ok();
    const bool received = sent && Run(probe.ReceiveDatagram().By(Now() + absl::Milliseconds(100))).ok();
    // While one socket is a member, Linux gives what comes to others on the port too.
    EXPECT_OK(Run(probe.Close()));
    return received;
  }
  // Preferably not the loopback interface: it lacks routes for IPv6, and ignores the loop option. 0: there is none.
  uint32_t FindInterface() {
    for (uint32_t i = kLoopbackInterface + 1; i < 16; ++i) {
      if (Works(i)) return i;
    }
    return Works(kLoopbackInterface) ? kLoopbackInterface : 0;
  }
};

TEST_P(UdpMulticastTest, MemberReceivesWhatIsSentToTheGroup) {
  if (!HasRoute()) return;
  UdpSocket receiver = Bind(Any());
  EXPECT_OK(receiver.JoinGroup(GroupHere()));
  UdpSocket sender = Sender();
  SendTo(sender, "group", Group(AddressOf(receiver).port()));
  EXPECT_THAT(ReceiveText(receiver), IsOkAndHolds("group"));
}

TEST_P(UdpMulticastTest, EveryMemberGetsACopy) {
  if (!HasRoute()) return;
  UdpSocket first = Bind(Any(), UdpOptions().set_reuse_address(true));
  UdpSocket second = Bind(AddressOf(first), UdpOptions().set_reuse_address(true));
  EXPECT_OK(first.JoinGroup(GroupHere()));
  EXPECT_OK(second.JoinGroup(GroupHere()));
  UdpSocket sender = Sender();
  SendTo(sender, "both", Group(AddressOf(first).port()));
  EXPECT_THAT(ReceiveText(first), IsOkAndHolds("both"));
  EXPECT_THAT(ReceiveText(second), IsOkAndHolds("both"));
}

TEST_P(UdpMulticastTest, AfterLeavingNothingComes) {
  if (!HasRoute()) return;
  UdpSocket receiver = Bind(Any());
  EXPECT_OK(receiver.JoinGroup(GroupHere()));
  EXPECT_OK(receiver.LeaveGroup(GroupHere()));
  UdpSocket sender = Sender();
  SendTo(sender, "gone", Group(AddressOf(receiver).port()));
  ExpectNothing(receiver);
}

TEST_P(UdpMulticastTest, JoinTwiceAndLeaveTwiceAreRefused) {
  if (!HasRoute()) return;
  UdpSocket receiver = Bind(Any());
  EXPECT_OK(receiver.JoinGroup(GroupHere()));
  const absl::Status again = receiver.JoinGroup(GroupHere());
  EXPECT_THAT(again, StatusIs(kFailedPrecondition));
  EXPECT_EQ(ErrnoOf(again), EADDRINUSE);
  EXPECT_OK(receiver.LeaveGroup(GroupHere()));
  const absl::Status left = receiver.LeaveGroup(GroupHere());
  EXPECT_THAT(left, StatusIs(kFailedPrecondition));
  EXPECT_EQ(ErrnoOf(left), EADDRNOTAVAIL);
}

TEST_P(UdpMulticastTest, OnlyMulticastAddressesAreGroups) {
  UdpSocket receiver = Bind(Any());
  const SocketAddress one = ipv4() ? SocketAddress::LoopbackIpv4(0) : SocketAddress::LoopbackIpv6(0);
  EXPECT_EQ(ErrnoOf(receiver.JoinGroup(MulticastGroup{one, kLoopbackInterface})), EINVAL);
}

TEST_P(UdpMulticastTest, InterfaceMustExist) {
  UdpSocket receiver = Bind(Any());
  const absl::Status status = receiver.JoinGroup(MulticastGroup{Group(), 999'999});
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(ErrnoOf(status), ENODEV);
}

TEST_P(UdpMulticastTest, PacketInfoNamesTheGroup) {
  if (!HasRoute()) return;
  UdpSocket receiver = Bind(Any());
  EXPECT_OK(receiver.set_packet_info(true));
  EXPECT_OK(receiver.JoinGroup(GroupHere()));
  const SocketAddress destination = Group(AddressOf(receiver).port());
  UdpSocket sender = Sender();
  SendTo(sender, "x", destination);
  auto received = Run(receiver.ReceiveFrom({}));
  ASSERT_OK(received);
  EXPECT_EQ(received->destination, destination);
  EXPECT_EQ(received->interface_index, interface_);
}

// The loopback interface is one big loop: there, Linux does not look at the option.
TEST_P(UdpMulticastTest, WithoutLoopThisHostGetsNothing) {
  if (!HasRoute()) return;
  UdpSocket receiver = Bind(Any());
  EXPECT_OK(receiver.JoinGroup(GroupHere()));
  UdpSocket sender = Sender();
  EXPECT_OK(sender.set_multicast_loop(false));
  SendTo(sender, "loop", Group(AddressOf(receiver).port()));
  if (interface_ == kLoopbackInterface) {
    EXPECT_THAT(ReceiveText(receiver), IsOkAndHolds("loop"));
  } else {
    ExpectNothing(receiver);
  }
}

TEST_P(UdpMulticastTest, LoopbackInterfaceDoesNotLookAtTheLoopOption) {
  UdpSocket receiver = Bind(Any());
  EXPECT_OK(receiver.JoinGroup(MulticastGroup{Group(), kLoopbackInterface}));
  UdpSocket sender = Sender();
  EXPECT_OK(sender.set_multicast_interface(kLoopbackInterface));
  EXPECT_OK(sender.set_multicast_loop(false));
  const absl::Status sent = Run(sender.SendTo("loop", Group(AddressOf(receiver).port())));
  // The usual machine has no route for IPv6 multicasts there.
  if (!ipv4() && !IsSimulated() && !sent.ok()) {
    EXPECT_EQ(ErrnoOf(sent), ENETUNREACH) << sent;
    return;
  }
  EXPECT_OK(sent);
  EXPECT_THAT(ReceiveText(receiver), IsOkAndHolds("loop"));
}

INSTANTIATE_TEST_SUITE_P(Families, UdpMulticastTest, ::testing::Values(AddressFamily::kIpv4, AddressFamily::kIpv6),
                         [](const auto& info) { return info.param == AddressFamily::kIpv4 ? "Ipv4" : "Ipv6"; });

}  // namespace
}  // namespace tandem::testing
