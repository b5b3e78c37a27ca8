// SPDX-License-Identifier: Apache-2.0
//
// TcpSocket: binding, and connecting or listening with what was bound.

#include <cerrno>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tandem/testing/conformance/tcp_conformance.h"

namespace tandem::testing {
namespace {

class TcpBindTest : public TcpConformanceTest {};
class TcpSocketTest : public TcpConformanceTest {};

// --- Bind ---

TEST_F(TcpBindTest, SocketOfNoIpFamilyIsAnInvalidArgument) {
  EXPECT_THAT(TcpSocket::Open(AddressFamily::kNone), StatusIs(kInvalidArgument));
  EXPECT_THAT(TcpSocket::Open(AddressFamily::kUnix), StatusIs(kInvalidArgument));
}

TEST_F(TcpBindTest, UnboundSocketHasNoAddress) {
  EXPECT_THAT(Open().LocalAddress(), IsOkAndHolds(SocketAddress::AnyIpv4(0)));
}

TEST_F(TcpBindTest, PortZeroPicksAFreePort) {
  TcpSocket first = OpenBound();
  TcpSocket second = OpenBound();
  EXPECT_NE(AddressOf(first).port(), 0);
  EXPECT_NE(AddressOf(first).port(), AddressOf(second).port());
  EXPECT_TRUE(AddressOf(first).is_loopback());
}

TEST_F(TcpBindTest, SecondBindIsAnInvalidArgument) {
  TcpSocket socket = OpenBound();
  const SocketAddress address = AddressOf(socket);
  const absl::Status status = socket.Bind(SocketAddress::LoopbackIpv4(0));
  EXPECT_THAT(status, StatusIs(kInvalidArgument));
  EXPECT_EQ(ErrnoOf(status), EINVAL);
  EXPECT_EQ(AddressOf(socket), address);
}

TEST_F(TcpBindTest, AddressOfAnotherMachineIsNotAvailable) {
  const absl::Status status = Open().Bind(SocketAddress::Ipv4({203, 0, 113, 7}, 0));
  EXPECT_THAT(status, StatusIs(kFailedPrecondition));
  EXPECT_EQ(ErrnoOf(status), EADDRNOTAVAIL);
  EXPECT_EQ(status.message(), "bind 203.0.113.7:0: cannot assign requested address");
}

TEST_F(TcpBindTest, NoAddressIsAnInvalidArgument) {
  EXPECT_THAT(Open().Bind(SocketAddress()), StatusIs(kInvalidArgument));
}

TEST_F(TcpBindTest, AddressOfTheOtherFamilyIsUnimplemented) {
  const absl::Status status = Open().Bind(SocketAddress::LoopbackIpv6(0));
  EXPECT_EQ(ErrnoOf(status), EAFNOSUPPORT) << status;
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(TcpBindTest, PortIsTakenWithoutReuseAddressAtBothSockets) {
  for (const auto& [first_reuses, second_reuses] : {std::pair(false, false), {true, false}, {false, true}}) {
    TcpSocket first = OpenBound(OwnAddress(), first_reuses);
    TcpSocket second = Open();
    EXPECT_OK(second.set_reuse_address(second_reuses));
    const absl::Status status = second.Bind(AddressOf(first));
    EXPECT_EQ(ErrnoOf(status), EADDRINUSE) << first_reuses << second_reuses << status;
  }
}

TEST_F(TcpBindTest, PortOfAListenerIsTakenWhoeverReusesAddresses) {
  for (const auto& [first_reuses, second_reuses] :
       {std::pair(false, false), {true, false}, {false, true}, {true, true}}) {
    TcpListener listener = ListenOn(OpenBound(OwnAddress(), first_reuses));
    TcpSocket second = Open();
    EXPECT_OK(second.set_reuse_address(second_reuses));
    const absl::Status status = second.Bind(listener.LocalAddress());
    EXPECT_EQ(ErrnoOf(status), EADDRINUSE) << first_reuses << second_reuses << status;
  }
}

TEST_F(TcpBindTest, OfTwoWithReuseAddressTheFirstToListenGetsThePort) {
  TcpSocket first = OpenBound();
  TcpSocket second = OpenBound(AddressOf(first));
  TcpListener listener = ListenOn(std::move(first));
  auto failed = std::move(second).Listen();
  EXPECT_THAT(failed, StatusIs(kFailedPrecondition));
  EXPECT_EQ(ErrnoOf(failed.status()), EADDRINUSE);
}

TEST_F(TcpBindTest, AnyAddressConflictsWithEachAddressAndThoseNotWithEachOther) {
  TcpListener listener = Listen();
  const uint16_t port = listener.LocalAddress().port();
  EXPECT_EQ(ErrnoOf(Open().Bind(SocketAddress::AnyIpv4(port))), EADDRINUSE);
  EXPECT_OK(Open().Bind(SocketAddress::Ipv4({127, 0, 0, 2}, port)));

  TcpListener any = Listen(SocketAddress::AnyIpv4(0));
  EXPECT_EQ(ErrnoOf(Open().Bind(SocketAddress::LoopbackIpv4(any.LocalAddress().port()))), EADDRINUSE);
}

TEST_F(TcpBindTest, ReusePortMustBeSetAtBoth) {
  TcpSocket first = Open();
  EXPECT_OK(first.set_reuse_port(true));
  EXPECT_OK(first.Bind(SocketAddress::LoopbackIpv4(0)));
  EXPECT_EQ(ErrnoOf(Open().Bind(AddressOf(first))), EADDRINUSE);
  TcpSocket second = Open();
  EXPECT_OK(second.set_reuse_port(true));
  EXPECT_OK(second.Bind(AddressOf(first)));
}

TEST_F(TcpBindTest, ListenersThatShareAPortGetAllConnectionsBetweenThem) {
  const ListenOptions shared = ListenOptions().set_reuse_port(true);
  ASSERT_OK_AND_ASSIGN(TcpListener first, TcpListener::Listen(SocketAddress::LoopbackIpv4(0), shared));
  ASSERT_OK_AND_ASSIGN(TcpListener second, TcpListener::Listen(first.LocalAddress(), shared));
  std::vector<TcpStream> clients;
  clients.reserve(64);
  for (int i = 0; i < 64; ++i) clients.push_back(Connect(first.LocalAddress()));

  std::set<SocketAddress> peers;
  int counts[2] = {0, 0};
  TcpListener* listeners[2] = {&first, &second};
  for (int i = 0; i < 2; ++i) {
    for (;;) {
      auto stream = Run(listeners[i]->Accept().By(Now() + absl::Milliseconds(20)));
      if (!stream.ok()) break;
      EXPECT_TRUE(peers.insert(stream->PeerAddress()).second);
      ++counts[i];
    }
  }
  EXPECT_EQ(peers.size(), clients.size());
  EXPECT_GT(counts[0], 0);
  EXPECT_GT(counts[1], 0);
}

TEST_F(TcpBindTest, DestructorFreesThePort) {
  SocketAddress address;
  {
    TcpSocket socket = OpenBound(OwnAddress(), false);
    address = AddressOf(socket);
  }
  Settle();
  EXPECT_OK(Open().Bind(address));
}

TEST_F(TcpBindTest, AssignmentClosesTheOldSocket) {
  TcpSocket socket = OpenBound(OwnAddress(), false);
  const SocketAddress address = AddressOf(socket);
  socket = Open();
  Settle();
  EXPECT_OK(socket.Bind(address));
}

// --- Listen ---

TEST_F(TcpSocketTest, ListenWithoutBindTakesAFreePortOnAllAddresses) {
  TcpListener listener = ListenOn(Open());
  EXPECT_TRUE(listener.LocalAddress().is_any());
  EXPECT_NE(listener.LocalAddress().port(), 0);
  EXPECT_OK(Run(TcpStream::Connect(SocketAddress::LoopbackIpv4(listener.LocalAddress().port()))));
}

TEST_F(TcpSocketTest, ListensOnTheBoundAddress) {
  TcpSocket socket = OpenBound();
  const SocketAddress address = AddressOf(socket);
  TcpListener listener = ListenOn(std::move(socket));
  EXPECT_EQ(listener.LocalAddress(), address);
  TcpStream client = Connect(address);
  TcpStream server = Accept(listener);
  Send(client, "hello");
  EXPECT_THAT(Read(server), IsOkAndHolds("hello"));
}

TEST_F(TcpSocketTest, FailedListenClosesTheSocket) {
  TcpSocket first = OpenBound();
  TcpSocket second = OpenBound(AddressOf(first));
  TcpListener listener = ListenOn(std::move(first));
  const SocketAddress address = listener.LocalAddress();
  EXPECT_FALSE(std::move(second).Listen().ok());
  EXPECT_OK(Run(listener.Close()));
  Settle();
  EXPECT_OK(Open().Bind(address));
}

TEST_F(TcpSocketTest, BoundSocketThatDoesNotListenRefuses) {
  TcpSocket socket = OpenBound();
  EXPECT_EQ(ErrnoOf(Run(TcpStream::Connect(AddressOf(socket))).status()), ECONNREFUSED);
}

// --- Connect ---

TEST_F(TcpSocketTest, ConnectsFromTheBoundAddress) {
  TcpListener listener = Listen();
  TcpSocket socket = OpenBound(SocketAddress::Ipv4({127, 0, 0, 5}, 0));
  const SocketAddress address = AddressOf(socket);
  auto client = Run(ConnectSocket(std::move(socket), listener.LocalAddress()));
  ASSERT_OK(client);
  TcpStream server = Accept(listener);
  EXPECT_EQ(server.PeerAddress(), address);
  EXPECT_THAT(client->LocalAddress(), IsOkAndHolds(address));
}

TEST_F(TcpSocketTest, AnyAddressIsChosenWhenItConnects) {
  TcpListener listener = Listen();
  TcpSocket socket = OpenBound(SocketAddress::AnyIpv4(0));
  const uint16_t port = AddressOf(socket).port();
  auto client = Run(ConnectSocket(std::move(socket), listener.LocalAddress()));
  ASSERT_OK(client);
  EXPECT_THAT(client->LocalAddress(), IsOkAndHolds(SocketAddress::LoopbackIpv4(port)));
}

TEST_F(TcpSocketTest, PeerAddressIsTheOneThatTheKernelChose) {
  TcpListener listener = Listen();
  TcpStream client = Connect(SocketAddress::AnyIpv4(listener.LocalAddress().port()));
  EXPECT_EQ(client.PeerAddress(), listener.LocalAddress());
}

TEST_F(TcpSocketTest, SecondConnectionWithTheSameAddressesIsNotAvailable) {
  TcpListener listener = Listen();
  TcpSocket first = OpenBound();
  TcpSocket second = OpenBound(AddressOf(first));
  auto connected = Run(ConnectSocket(std::move(first), listener.LocalAddress()));
  ASSERT_OK(connected);
  auto failed = Run(ConnectSocket(std::move(second), listener.LocalAddress()));
  EXPECT_THAT(failed, StatusIs(kFailedPrecondition));
  EXPECT_EQ(ErrnoOf(failed.status()), EADDRNOTAVAIL) << failed.status();
}

TEST_F(TcpSocketTest, MayConnectToItself) {
  TcpSocket socket = OpenBound();
  const SocketAddress address = AddressOf(socket);
  auto stream = Run(ConnectSocket(std::move(socket), address));
  ASSERT_OK(stream);
  EXPECT_EQ(stream->PeerAddress(), address);
  EXPECT_THAT(stream->LocalAddress(), IsOkAndHolds(address));
  Send(*stream, "echo");
  EXPECT_THAT(Read(*stream), IsOkAndHolds("echo"));
  EXPECT_OK(Run(stream->ShutdownWrite()));
  EXPECT_THAT(Read(*stream), IsOkAndHolds(""));
}

TEST_F(TcpSocketTest, RefusedConnectClosesTheSocket) {
  const SocketAddress nobody = NobodysAddress();
  TcpSocket socket = OpenBound(OwnAddress(), false);
  const SocketAddress address = AddressOf(socket);
  EXPECT_EQ(ErrnoOf(Run(ConnectSocket(std::move(socket), nobody)).status()), ECONNREFUSED);
  Settle();
  EXPECT_OK(Open().Bind(address));
}

TEST_F(TcpSocketTest, ConnectWithADeadlineInThePastClosesTheSocketAndSendsNothing) {
  TcpListener listener = Listen();
  TcpSocket socket = OpenBound(OwnAddress(), false);
  const SocketAddress address = AddressOf(socket);
  auto stream = Run(std::move(socket).Connect(listener.LocalAddress()).By(Now() - absl::Seconds(1)));
  EXPECT_EQ(stream.status(), DeadlineExceededStatus());
  Settle();
  EXPECT_OK(Open().Bind(address));
  EXPECT_EQ(Run(listener.Accept().By(Now() + absl::Milliseconds(5))).status(), DeadlineExceededStatus());
}

TEST_F(TcpSocketTest, ConnectToTheOtherFamilyIsUnimplemented) {
  auto stream = Run(ConnectSocket(Open(), SocketAddress::LoopbackIpv6(80)));
  EXPECT_EQ(ErrnoOf(stream.status()), EAFNOSUPPORT) << stream.status();
}

TEST_F(TcpSocketTest, ConnectToNoAddressIsAnInvalidArgument) {
  EXPECT_THAT(Run(ConnectSocket(Open(), SocketAddress())), StatusIs(kInvalidArgument));
}

// --- IPv4 and IPv6 ---

TEST_F(TcpSocketTest, DualStackListenerServesIpv4) {
  if (!HasIpv6()) return;
  auto listener = TcpListener::Listen(SocketAddress::AnyIpv6(0));
  ASSERT_OK(listener);
  TcpStream client = Connect(SocketAddress::LoopbackIpv4(listener->LocalAddress().port()));
  TcpStream server = Accept(*listener);
  EXPECT_EQ(server.PeerAddress().HostToString(), "::ffff:127.0.0.1");
  Send(client, "mapped");
  EXPECT_THAT(Read(server), IsOkAndHolds("mapped"));
  EXPECT_EQ(ErrnoOf(Open().Bind(SocketAddress::AnyIpv4(listener->LocalAddress().port()))), EADDRINUSE);
}

TEST_F(TcpSocketTest, Ipv6OnlyListenerLeavesIpv4Alone) {
  if (!HasIpv6()) return;
  // The port that is free for IPv6 may be in use for IPv4, by another program: try until it is not.
  for (int i = 0; i < 100; ++i) {
    auto listener = TcpListener::Listen(SocketAddress::AnyIpv6(0), ListenOptions().set_ipv6_only(true));
    ASSERT_OK(listener);
    const uint16_t port = listener->LocalAddress().port();
    TcpSocket socket = Open();
    if (!socket.Bind(SocketAddress::AnyIpv4(port)).ok()) continue;
    EXPECT_EQ(ErrnoOf(Run(TcpStream::Connect(SocketAddress::LoopbackIpv4(port))).status()), ECONNREFUSED);
    EXPECT_OK(Run(TcpStream::Connect(SocketAddress::LoopbackIpv6(port))));
    return;
  }
  FAIL() << "a listener with ipv6-only takes the port of IPv4, too";
}

TEST_F(TcpSocketTest, Ipv6OnlySocketReachesNoMappedAddress) {
  if (!HasIpv6()) return;
  TcpListener listener = Listen();
  const uint16_t port = listener.LocalAddress().port();
  auto mapped = SocketAddress::Parse(absl::StrCat("[::ffff:127.0.0.1]:", port));
  ASSERT_OK(mapped);
  EXPECT_OK(Run(ConnectSocket(Open(AddressFamily::kIpv6), *mapped)));
  TcpSocket socket = Open(AddressFamily::kIpv6);
  EXPECT_OK(socket.set_ipv6_only(true));
  const absl::Status status = Run(ConnectSocket(std::move(socket), *mapped)).status();
  EXPECT_THAT(status, StatusIs(kUnavailable));
  EXPECT_EQ(ErrnoOf(status), ENETUNREACH);
}

TEST_F(TcpSocketTest, Ipv6OnlyIsSetBeforeBind) {
  if (!HasIpv6()) return;
  auto socket = TcpSocket::Open(AddressFamily::kIpv6);
  ASSERT_OK(socket);
  EXPECT_OK(socket->set_ipv6_only(true));
  EXPECT_THAT(socket->ipv6_only(), IsOkAndHolds(true));
  EXPECT_OK(socket->set_ipv6_only(false));
  EXPECT_THAT(socket->ipv6_only(), IsOkAndHolds(false));
  EXPECT_OK(socket->Bind(SocketAddress::AnyIpv6(0)));
  EXPECT_EQ(ErrnoOf(socket->set_ipv6_only(true)), EINVAL);
}

TEST_F(TcpSocketTest, UnixAddressIsAnInvalidArgumentEverywhere) {
  for (const char* text : {"a", "a name that is longer than an address of the internet"}) {
    const SocketAddress name = *SocketAddress::UnixAbstract(text);
    EXPECT_THAT(Run(TcpStream::Connect(name)), StatusIs(kInvalidArgument));
    EXPECT_THAT(TcpListener::Listen(name), StatusIs(kInvalidArgument));
    TcpSocket socket = Open();
    EXPECT_THAT(socket.Bind(name), StatusIs(kInvalidArgument));
    EXPECT_THAT(Run(ConnectSocket(std::move(socket), name)), StatusIs(kInvalidArgument));
  }
}

TEST_F(TcpSocketTest, BacklogThatIsNoneOfTheRangeIsTakenAsTheKernelDoes) {
  for (const int backlog : {-1, 0, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()}) {
    TcpListener listener = ListenOn(OpenBound(), ListenOptions().set_backlog(backlog));
    TcpStream client = Connect(listener.LocalAddress());
    TcpStream server = Accept(listener);
  }
}

// The world is opened in the process that dies: a simulated one does not fork.
TEST(TcpSocketDeathTest, SocketThatIsGoneIsNotUsedAgain) {
  for (const bool connects : {false, true}) {
    EXPECT_DEATH(
        {
          WorldLoop loop;
          absl::StatusOr<TcpSocket> socket = TcpSocket::Open(AddressFamily::kIpv4);
          EXPECT_OK(std::move(*socket).Listen());
          EXPECT_FALSE(socket->valid());
          if (connects) (void)std::move(*socket).Connect(SocketAddress::LoopbackIpv4(1));
          (void)std::move(*socket).Listen();
        },
        "an empty TcpSocket was called");
  }
}

}  // namespace
}  // namespace tandem::testing
