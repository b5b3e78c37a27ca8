// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/sockets.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"

namespace tandem::posix {
namespace {

class SocketsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const int64_t opened = OpenSocket(AddressFamily::kIpv4, SocketType::kStream);
    ASSERT_GE(opened, 0);
    socket_ = static_cast<SocketId>(opened);
  }
  void TearDown() override {
    if (socket_ >= 0) {
      EXPECT_EQ(CloseNow(socket_), 0);
    }
  }

  SocketId socket_ = kNoSocket;
};

TEST_F(SocketsTest, OpensNonBlockingAndCloseOnExec) {
  EXPECT_NE(fcntl(socket_, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(socket_, F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(SocketsTest, OpenOfNoFamilyIsRefused) {
  EXPECT_EQ(OpenSocket(AddressFamily::kNone, SocketType::kStream), -EAFNOSUPPORT);
}

TEST_F(SocketsTest, BindToPortZeroPicksAPort) {
  SocketAddress local;

  ASSERT_EQ(Bind(socket_, SocketAddress::LoopbackIpv4(0)), 0);
  ASSERT_EQ(Listen(socket_, 8), 0);
  ASSERT_EQ(LocalAddress(socket_, &local), 0);

  EXPECT_EQ(local.WithPort(0), SocketAddress::LoopbackIpv4(0));
  EXPECT_NE(local.port(), 0);
}

TEST_F(SocketsTest, BindToNoneIsRefused) { EXPECT_EQ(Bind(socket_, SocketAddress()), -EAFNOSUPPORT); }

TEST_F(SocketsTest, UnconnectedSocketHasNoPeerAndCannotShutDown) {
  SocketAddress peer;
  EXPECT_EQ(PeerAddress(socket_, &peer), -ENOTCONN);
  EXPECT_EQ(Shutdown(socket_, ShutdownHow::kBoth), -ENOTCONN);
}

TEST_F(SocketsTest, OptionsReadBack) {
  int value = -1;
  for (const SocketOption option : {SocketOption::kNoDelay, SocketOption::kReuseAddress, SocketOption::kReusePort}) {
    ASSERT_EQ(SetOption(socket_, option, 1), 0);
    ASSERT_EQ(GetOption(socket_, option, &value), 0);
    EXPECT_NE(value, 0) << static_cast<int>(option);
    ASSERT_EQ(SetOption(socket_, option, 0), 0);
    ASSERT_EQ(GetOption(socket_, option, &value), 0);
    EXPECT_EQ(value, 0) << static_cast<int>(option);
  }
}

TEST_F(SocketsTest, LingerReadsBack) {
  int value = 7;
  ASSERT_EQ(GetOption(socket_, SocketOption::kLinger, &value), 0);
  EXPECT_EQ(value, -1);
  for (const int seconds : {0, 5, -1}) {
    ASSERT_EQ(SetOption(socket_, SocketOption::kLinger, seconds), 0);
    ASSERT_EQ(GetOption(socket_, SocketOption::kLinger, &value), 0);
    EXPECT_EQ(value, seconds);
  }
}

TEST_F(SocketsTest, BufferSizeIsDoubled) {
  int value = 0;
  ASSERT_EQ(SetOption(socket_, SocketOption::kReceiveBufferSize, 20000), 0);
  ASSERT_EQ(GetOption(socket_, SocketOption::kReceiveBufferSize, &value), 0);
  EXPECT_EQ(value, 40000);
}

TEST_F(SocketsTest, ErrorIsReadOnly) {
  int value = -1;
  EXPECT_EQ(SetOption(socket_, SocketOption::kError, 1), -EINVAL);
  EXPECT_EQ(GetOption(socket_, SocketOption::kError, &value), 0);
  EXPECT_EQ(value, 0);
}

TEST_F(SocketsTest, ClosedSocketIsBadDescriptor) {
  ASSERT_EQ(CloseNow(socket_), 0);
  EXPECT_EQ(Listen(socket_, 1), -EBADF);
  socket_ = kNoSocket;
}

// --- Options by family -----------------------------------------------------------------------------------------------

struct FamilyCase {
  const char* name;
  AddressFamily family;
};

class IpOptionsTest : public ::testing::TestWithParam<FamilyCase> {
 protected:
  SocketId Open(SocketType type) {
    const int64_t opened = OpenSocket(GetParam().family, type);
    EXPECT_GE(opened, 0);
    opened_.push_back(static_cast<SocketId>(opened));
    return opened_.back();
  }
  void TearDown() override {
    for (const SocketId socket : opened_) EXPECT_EQ(CloseNow(socket), 0);
  }
  static void ExpectReadsBack(SocketId socket, SocketOption option, int value) {
    int read = -1;
    EXPECT_EQ(SetOption(socket, option, value), 0) << static_cast<int>(option);
    EXPECT_EQ(GetOption(socket, option, &read), 0) << static_cast<int>(option);
    EXPECT_EQ(read, value) << static_cast<int>(option);
  }
  MulticastGroup Group() const {
    const bool ipv4 = GetParam().family == AddressFamily::kIpv4;
    return {.address = *SocketAddress::ParseHost(ipv4 ? "239.1.2.3" : "ff01::1:2", 0), .interface_index = 1};
  }

 private:
  std::vector<SocketId> opened_;
};

TEST_P(IpOptionsTest, StreamOptionsReadBack) {
  const SocketId socket = Open(SocketType::kStream);
  ExpectReadsBack(socket, SocketOption::kKeepAlive, 1);
  ExpectReadsBack(socket, SocketOption::kKeepAliveIdle, 77);
  ExpectReadsBack(socket, SocketOption::kKeepAliveInterval, 7);
  ExpectReadsBack(socket, SocketOption::kKeepAliveCount, 5);
  ExpectReadsBack(socket, SocketOption::kUserTimeout, 30000);
  ExpectReadsBack(socket, SocketOption::kTrafficClass, 0x28);
  ExpectReadsBack(socket, SocketOption::kTimeToLive, 9);
  EXPECT_EQ(SetOption(socket, SocketOption::kQuickAck, 1), 0);
  EXPECT_EQ(SetOption(socket, SocketOption::kUserTimeout, -1), -EINVAL);
}

TEST_P(IpOptionsTest, DatagramOptionsReadBack) {
  const SocketId socket = Open(SocketType::kDatagram);
  ExpectReadsBack(socket, SocketOption::kBroadcast, 1);
  ExpectReadsBack(socket, SocketOption::kTrafficClass, 0x29);
  ExpectReadsBack(socket, SocketOption::kTimeToLive, 3);
  ExpectReadsBack(socket, SocketOption::kMulticastTimeToLive, 0);
  ExpectReadsBack(socket, SocketOption::kMulticastLoop, 0);
  ExpectReadsBack(socket, SocketOption::kPacketInfo, 1);
}

TEST_P(IpOptionsTest, MinusOneIsNoValue) {
  const SocketId socket = Open(SocketType::kDatagram);
  for (const SocketOption option :
       {SocketOption::kTrafficClass, SocketOption::kTimeToLive, SocketOption::kMulticastTimeToLive}) {
    EXPECT_EQ(SetOption(socket, option, -1), -EINVAL) << static_cast<int>(option);
  }
}

TEST_P(IpOptionsTest, MulticastInterfaceIsSet) {
  const SocketId socket = Open(SocketType::kDatagram);
  int value = -1;

  EXPECT_EQ(SetOption(socket, SocketOption::kMulticastInterface, 1), 0);

  const bool ipv4 = GetParam().family == AddressFamily::kIpv4;
  EXPECT_EQ(GetOption(socket, SocketOption::kMulticastInterface, &value), ipv4 ? -ENODATA : 0);
  EXPECT_EQ(value, ipv4 ? -1 : 1);
}

TEST_P(IpOptionsTest, MembershipIsJoinedOnceAndLeft) {
  const SocketId socket = Open(SocketType::kDatagram);

  EXPECT_EQ(SetMembership(socket, Group(), /*join=*/false), -EADDRNOTAVAIL);
  EXPECT_EQ(SetMembership(socket, Group(), /*join=*/true), 0);
  EXPECT_EQ(SetMembership(socket, Group(), /*join=*/true), -EADDRINUSE);
  EXPECT_EQ(SetMembership(socket, Group(), /*join=*/false), 0);
}

TEST_P(IpOptionsTest, ConnectedDatagramsCanBeDissolved) {
  const SocketId socket = Open(SocketType::kDatagram);
  const SocketId peer = Open(SocketType::kDatagram);
  const bool ipv4 = GetParam().family == AddressFamily::kIpv4;
  SocketAddress address;
  ASSERT_EQ(Bind(peer, ipv4 ? SocketAddress::LoopbackIpv4(0) : SocketAddress::LoopbackIpv6(0)), 0);
  ASSERT_EQ(LocalAddress(peer, &address), 0);

  SocketAddress connected;
  EXPECT_EQ(ConnectDatagrams(socket, address), 0);
  EXPECT_EQ(PeerAddress(socket, &connected), 0);
  EXPECT_EQ(connected, address);
  EXPECT_EQ(ConnectDatagrams(socket, SocketAddress()), 0);
  EXPECT_EQ(PeerAddress(socket, &connected), -ENOTCONN);
}

INSTANTIATE_TEST_SUITE_P(Family, IpOptionsTest,
                         ::testing::Values(FamilyCase{"Ipv4", AddressFamily::kIpv4},
                                           FamilyCase{"Ipv6", AddressFamily::kIpv6}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_F(SocketsTest, DualStackSocketMarksBothFamilies) {
  const auto socket = static_cast<SocketId>(OpenSocket(AddressFamily::kIpv6, SocketType::kDatagram));
  ASSERT_GE(socket, 0);

  EXPECT_EQ(SetOption(socket, SocketOption::kTrafficClass, 0x28), 0);

  int ipv4 = 0;
  socklen_t length = sizeof(ipv4);
  EXPECT_EQ(getsockopt(socket, 0 /* IPPROTO_IP */, 1 /* IP_TOS */, &ipv4, &length), 0);
  EXPECT_EQ(ipv4, 0x28);
  CloseNow(socket);
}

TEST_F(SocketsTest, NoMembershipWithoutAnIpAddress) {
  EXPECT_EQ(SetMembership(socket_, MulticastGroup(), /*join=*/true), -EAFNOSUPPORT);
}

// --- Calls that do not wait ------------------------------------------------------------------------------------------

TEST_F(SocketsTest, AcceptsReceivesAndSendsWithoutWaiting) {
  SocketAddress local;
  std::array<char, 8> bytes{};
  ASSERT_EQ(Bind(socket_, SocketAddress::LoopbackIpv4(0)), 0);
  ASSERT_EQ(Listen(socket_, 8), 0);
  ASSERT_EQ(LocalAddress(socket_, &local), 0);
  EXPECT_EQ(AcceptNow(socket_), -EAGAIN);
  const auto client = static_cast<SocketId>(OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  ASSERT_EQ(ConnectNow(client, local), -EINPROGRESS);
  EXPECT_EQ(ConnectNow(client, SocketAddress()), -EAFNOSUPPORT);
  pollfd ready{.fd = socket_, .events = POLLIN, .revents = 0};
  ASSERT_EQ(poll(&ready, 1, -1), 1);

  const auto server = static_cast<SocketId>(AcceptNow(socket_));
  ASSERT_GE(server, 0);
  EXPECT_NE(fcntl(server, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(server, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(ReceiveNow(server, bytes.data(), bytes.size()), -EAGAIN);
  const IoSlice slices[] = {{"ab", 2}, {"cde", 3}};
  EXPECT_EQ(SendNow(client, slices), 5);
  ready.fd = server;
  ASSERT_EQ(poll(&ready, 1, -1), 1);
  EXPECT_EQ(ReceiveNow(server, bytes.data(), bytes.size()), 5);
  EXPECT_EQ(absl::string_view(bytes.data(), 5), "abcde");
  CloseNow(client);
  ASSERT_EQ(poll(&ready, 1, -1), 1);
  EXPECT_EQ(ReceiveNow(server, bytes.data(), bytes.size()), 0);
  CloseNow(server);
}

TEST_F(SocketsTest, SendToAPeerThatIsGoneRaisesNoSignal) {
  SocketId pair[2];
  ASSERT_EQ(OpenSocketPair(SocketType::kStream, pair), 0);
  ASSERT_EQ(CloseNow(pair[1]), 0);
  const IoSlice slice{"x", 1};

  EXPECT_EQ(SendNow(pair[0], absl::MakeConstSpan(&slice, 1)), -EPIPE);
  CloseNow(pair[0]);
}

TEST_F(SocketsTest, PairKnowsItsPeerButTcpDoesNot) {
  SocketId pair[2];
  PeerCredentials peer;
  ASSERT_EQ(OpenSocketPair(SocketType::kStream, pair), 0);

  EXPECT_EQ(GetPeerCredentials(pair[0], &peer), 0);
  EXPECT_EQ(peer.process_id, getpid());
  EXPECT_EQ(peer.user_id, getuid());
  EXPECT_EQ(peer.group_id, getgid());
  EXPECT_EQ(GetPeerCredentials(socket_, &peer), -EOPNOTSUPP);
  EXPECT_EQ(SetOption(pair[0], SocketOption::kTrafficClass, 1), -EOPNOTSUPP);
  CloseNow(pair[0]);
  CloseNow(pair[1]);
}

TEST_F(SocketsTest, UnconnectedUnixSocketHasNoPeer) {
  const auto socket = static_cast<SocketId>(OpenSocket(AddressFamily::kUnix, SocketType::kStream));
  PeerCredentials peer;
  EXPECT_EQ(GetPeerCredentials(socket, &peer), -ENOTCONN);
  CloseNow(socket);
}

}  // namespace
}  // namespace tandem::posix
