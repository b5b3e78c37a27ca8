// SPDX-License-Identifier: Apache-2.0
//
// Options: what is set is what is got, what is out of range is refused, and what a listener has is inherited.

#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "tandem/testing/conformance/tcp_conformance.h"

namespace tandem::testing {
namespace {

class TcpOptionsTest : public TcpConformanceTest {};

TEST_F(TcpOptionsTest, DefaultsAreThoseOfTheDocumentation) {
  TcpSocket socket = Open();
  EXPECT_THAT(socket.no_delay(), IsOkAndHolds(true));
  EXPECT_THAT(socket.keep_alive(), IsOkAndHolds(std::nullopt));
  EXPECT_THAT(socket.linger(), IsOkAndHolds(std::nullopt));
  EXPECT_THAT(socket.user_timeout(), IsOkAndHolds(absl::ZeroDuration()));
  EXPECT_THAT(socket.reuse_address(), IsOkAndHolds(false));
  EXPECT_THAT(socket.reuse_port(), IsOkAndHolds(false));
  EXPECT_THAT(socket.traffic_class(), IsOkAndHolds(0));
  EXPECT_THAT(socket.dscp(), IsOkAndHolds(0));
}

TEST_F(TcpOptionsTest, FlagsCanBeSwitched) {
  TcpSocket socket = Open();
  for (const bool on : {false, true, false}) {
    EXPECT_OK(socket.set_no_delay(on));
    EXPECT_THAT(socket.no_delay(), IsOkAndHolds(on));
    EXPECT_OK(socket.set_reuse_address(on));
    EXPECT_THAT(socket.reuse_address(), IsOkAndHolds(on));
    EXPECT_OK(socket.set_reuse_port(on));
    EXPECT_THAT(socket.reuse_port(), IsOkAndHolds(on));
  }
}

TEST_F(TcpOptionsTest, QuickAckCanBeSwitchedOnAConnection) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(client.set_quick_ack(false));
  EXPECT_THAT(client.quick_ack(), IsOkAndHolds(false));
  EXPECT_OK(client.set_quick_ack(true));
  EXPECT_THAT(client.quick_ack(), IsOkAndHolds(true));
}

TEST_F(TcpOptionsTest, KeepAliveKeepsItsTimes) {
  auto [client, server] = ConnectedPair();
  const KeepAlive wanted = KeepAlive().set_idle(absl::Seconds(30)).set_interval(absl::Seconds(5)).set_count(3);
  EXPECT_OK(client.set_keep_alive(wanted));
  EXPECT_THAT(client.keep_alive(), IsOkAndHolds(std::optional<KeepAlive>(wanted)));
  EXPECT_THAT(server.keep_alive(), IsOkAndHolds(std::nullopt));
  EXPECT_OK(client.set_keep_alive(std::nullopt));
  EXPECT_THAT(client.keep_alive(), IsOkAndHolds(std::nullopt));
}

TEST_F(TcpOptionsTest, KeepAliveRoundsUpToSeconds) {
  TcpSocket socket = Open();
  EXPECT_OK(socket.set_keep_alive(KeepAlive().set_idle(absl::Milliseconds(1500)).set_interval(absl::Seconds(1))));
  EXPECT_THAT(
      socket.keep_alive(),
      IsOkAndHolds(std::optional<KeepAlive>(KeepAlive().set_idle(absl::Seconds(2)).set_interval(absl::Seconds(1)))));
}

TEST_F(TcpOptionsTest, KeepAliveOutsideOfItsRangesIsAnInvalidArgumentAndChangesNothing) {
  TcpSocket socket = Open();
  const std::vector<KeepAlive> wrong = {KeepAlive().set_idle(absl::ZeroDuration()),
                                        KeepAlive().set_idle(absl::Seconds(32768)),
                                        KeepAlive().set_idle(absl::InfiniteDuration()),
                                        KeepAlive().set_interval(-absl::Seconds(1)),
                                        KeepAlive().set_interval(absl::Hours(10)),
                                        KeepAlive().set_count(0),
                                        KeepAlive().set_count(128)};
  for (const KeepAlive& keep_alive : wrong) EXPECT_THAT(socket.set_keep_alive(keep_alive), StatusIs(kInvalidArgument));
  EXPECT_THAT(socket.keep_alive(), IsOkAndHolds(std::nullopt));
}

TEST_F(TcpOptionsTest, UserTimeoutIsKeptInMilliseconds) {
  TcpSocket socket = Open();
  EXPECT_OK(socket.set_user_timeout(absl::Microseconds(1500'500)));
  EXPECT_THAT(socket.user_timeout(), IsOkAndHolds(absl::Milliseconds(1501)));
  EXPECT_THAT(socket.set_user_timeout(-absl::Milliseconds(1)), StatusIs(kInvalidArgument));
  EXPECT_THAT(socket.set_user_timeout(absl::InfiniteDuration()), StatusIs(kInvalidArgument));
  EXPECT_THAT(socket.user_timeout(), IsOkAndHolds(absl::Milliseconds(1501)));
}

TEST_F(TcpOptionsTest, LingerIsOffZeroOrPositive) {
  TcpSocket socket = Open();
  EXPECT_OK(socket.set_linger(absl::ZeroDuration()));
  EXPECT_THAT(socket.linger(), IsOkAndHolds(std::optional<absl::Duration>(absl::ZeroDuration())));
  EXPECT_OK(socket.set_linger(absl::Milliseconds(1200)));
  EXPECT_THAT(socket.linger(), IsOkAndHolds(std::optional<absl::Duration>(absl::Seconds(2))));
  EXPECT_OK(socket.set_linger(std::nullopt));
  EXPECT_THAT(socket.linger(), IsOkAndHolds(std::nullopt));
  EXPECT_THAT(socket.set_linger(-absl::Seconds(1)), StatusIs(kInvalidArgument));
  EXPECT_THAT(socket.set_linger(absl::Seconds(65536)), StatusIs(kInvalidArgument));
}

TEST_F(TcpOptionsTest, DscpIsTheUpperPartOfTheTrafficClass) {
  TcpSocket socket = Open();
  EXPECT_OK(socket.set_dscp(46));
  EXPECT_THAT(socket.dscp(), IsOkAndHolds(46));
  EXPECT_THAT(socket.traffic_class(), IsOkAndHolds(46 << 2));
  EXPECT_OK(socket.set_traffic_class(0x28));
  EXPECT_THAT(socket.dscp(), IsOkAndHolds(10));
}

TEST_F(TcpOptionsTest, EcnBitsOfTheTrafficClassAreTcpsOwn) {
  TcpSocket socket = Open();
  EXPECT_OK(socket.set_traffic_class(255));
  EXPECT_THAT(socket.traffic_class(), IsOkAndHolds(252));
}

TEST_F(TcpOptionsTest, NumbersOutsideOfTheirRangesAreInvalidArguments) {
  TcpSocket socket = Open();
  for (const int value : {-1, 256, 1 << 30}) {
    const absl::Status status = socket.set_traffic_class(value);
    EXPECT_THAT(status, StatusIs(kInvalidArgument));
    EXPECT_TRUE(absl::StrContains(status.message(), "is not in 0..255")) << status;
  }
  for (const int value : {-1, 64}) EXPECT_THAT(socket.set_dscp(value), StatusIs(kInvalidArgument));
  for (const int value : {-1, 0, 256}) EXPECT_THAT(socket.set_time_to_live(value), StatusIs(kInvalidArgument));
}

TEST_F(TcpOptionsTest, TimeToLiveIsKept) {
  TcpSocket socket = Open();
  EXPECT_OK(socket.set_time_to_live(17));
  EXPECT_THAT(socket.time_to_live(), IsOkAndHolds(17));
}

TEST_F(TcpOptionsTest, Ipv6SocketsHaveThemToo) {
  if (!HasIpv6()) return;
  auto socket = TcpSocket::Open(AddressFamily::kIpv6);
  ASSERT_OK(socket);
  EXPECT_OK(socket->set_dscp(46));
  EXPECT_THAT(socket->dscp(), IsOkAndHolds(46));
  EXPECT_OK(socket->set_time_to_live(17));
  EXPECT_THAT(socket->time_to_live(), IsOkAndHolds(17));
  EXPECT_OK(socket->set_keep_alive(KeepAlive()));
  EXPECT_THAT(socket->keep_alive(), IsOkAndHolds(std::optional<KeepAlive>(KeepAlive())));
}

TEST_F(TcpOptionsTest, BufferSizesBeforeTheConnectionAreKept) {
  TcpListener listener = Listen();
  TcpSocket socket = Open();
  EXPECT_OK(socket.set_receive_buffer_size(20'000));
  EXPECT_OK(socket.set_send_buffer_size(30'000));
  auto client = Run(ConnectSocket(std::move(socket), listener.LocalAddress()));
  ASSERT_OK(client);
  EXPECT_THAT(client->receive_buffer_size(), IsOkAndHolds(40'000u));
  EXPECT_THAT(client->send_buffer_size(), IsOkAndHolds(60'000u));
}

TEST_F(TcpOptionsTest, ConnectKeepsWhatWasSet) {
  TcpListener listener = Listen();
  TcpSocket socket = Open();
  EXPECT_OK(socket.set_no_delay(false));
  EXPECT_OK(socket.set_dscp(10));
  EXPECT_OK(socket.set_keep_alive(KeepAlive().set_idle(absl::Seconds(60))));
  auto client = Run(ConnectSocket(std::move(socket), listener.LocalAddress()));
  ASSERT_OK(client);
  EXPECT_THAT(client->no_delay(), IsOkAndHolds(false));
  EXPECT_THAT(client->dscp(), IsOkAndHolds(10));
  EXPECT_THAT(client->keep_alive(), IsOkAndHolds(std::optional<KeepAlive>(KeepAlive().set_idle(absl::Seconds(60)))));
}

TEST_F(TcpOptionsTest, AcceptedStreamsInheritTheListenersOptions) {
  TcpSocket socket = OpenBound();
  const KeepAlive keep_alive = KeepAlive().set_idle(absl::Seconds(60)).set_count(4);
  EXPECT_OK(socket.set_no_delay(false));
  EXPECT_OK(socket.set_keep_alive(keep_alive));
  EXPECT_OK(socket.set_user_timeout(absl::Seconds(7)));
  EXPECT_OK(socket.set_linger(absl::Seconds(3)));
  EXPECT_OK(socket.set_receive_buffer_size(20'000));
  EXPECT_OK(socket.set_send_buffer_size(30'000));
  EXPECT_OK(socket.set_dscp(10));
  EXPECT_OK(socket.set_time_to_live(17));
  TcpListener listener = ListenOn(std::move(socket));
  TcpStream client = Connect(listener.LocalAddress());
  TcpStream server = Accept(listener);
  EXPECT_THAT(server.no_delay(), IsOkAndHolds(false));
  EXPECT_THAT(server.keep_alive(), IsOkAndHolds(std::optional<KeepAlive>(keep_alive)));
  EXPECT_THAT(server.user_timeout(), IsOkAndHolds(absl::Seconds(7)));
  EXPECT_THAT(server.linger(), IsOkAndHolds(std::optional<absl::Duration>(absl::Seconds(3))));
  EXPECT_THAT(server.receive_buffer_size(), IsOkAndHolds(40'000u));
  EXPECT_THAT(server.send_buffer_size(), IsOkAndHolds(60'000u));
  EXPECT_THAT(server.dscp(), IsOkAndHolds(10));
  EXPECT_THAT(server.time_to_live(), IsOkAndHolds(17));
}

TEST_F(TcpOptionsTest, AfterCloseAreFailedPreconditions) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.Close()));
  EXPECT_EQ(ErrnoOf(client.set_keep_alive(KeepAlive())), EBADF);
  EXPECT_EQ(ErrnoOf(client.keep_alive().status()), EBADF);
  EXPECT_EQ(ErrnoOf(client.set_linger(absl::ZeroDuration())), EBADF);
  EXPECT_EQ(ErrnoOf(client.linger().status()), EBADF);
  EXPECT_EQ(ErrnoOf(client.set_user_timeout(absl::Seconds(1))), EBADF);
  EXPECT_EQ(ErrnoOf(client.user_timeout().status()), EBADF);
  EXPECT_EQ(ErrnoOf(client.dscp().status()), EBADF);
  EXPECT_EQ(ErrnoOf(client.time_to_live().status()), EBADF);
  EXPECT_EQ(ErrnoOf(client.set_quick_ack(true)), EBADF);
}

}  // namespace
}  // namespace tandem::testing
