// SPDX-License-Identifier: Apache-2.0
//
// Unix stream sockets: names, connecting, closing, who is at the other end.

#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "tandem/core/net/connection_pool.h"
#include "tandem/testing/conformance/unix_conformance.h"

namespace tandem::testing {
namespace {

using UnixNameTest = UnixConformanceTest;
using UnixStreamTest = UnixConformanceTest;
using UnixCloseTest = UnixConformanceTest;
using UnixCredentialsTest = UnixConformanceTest;

// --- Names ---

TEST_F(UnixNameTest, PathIsAFileThatConnects) {
  UnixListener listener = ListenUnix(Path("socket"));
  EXPECT_EQ(access(PathOf("socket").c_str(), F_OK), 0);
  UnixStream client = ConnectUnix(Path("socket"));
  auto server = Run(listener.Accept());
  ASSERT_OK(server);
  Write(client, "hello");
  EXPECT_THAT(Read(*server), IsOkAndHolds("hello"));
  Write(*server, "back");
  EXPECT_THAT(Read(client), IsOkAndHolds("back"));
}

TEST_F(UnixNameTest, AbstractNameConnects) {
  UnixListener listener = ListenUnix(Abstract("name"));
  EXPECT_NE(access(PathOf("name").c_str(), F_OK), 0);
  UnixStream client = ConnectUnix(Abstract("name"));
  auto server = Run(listener.Accept());
  ASSERT_OK(server);
  Write(client, "hello");
  EXPECT_THAT(Read(*server), IsOkAndHolds("hello"));
}

TEST_F(UnixNameTest, EndsKnowTheirNames) {
  UnixListener listener = ListenUnix(Path("socket"));
  EXPECT_EQ(listener.LocalAddress(), Path("socket"));
  UnixStream client = ConnectUnix(Path("socket"));
  auto server = Run(listener.Accept());
  ASSERT_OK(server);
  EXPECT_EQ(client.PeerAddress(), Path("socket"));
  EXPECT_THAT(server->LocalAddress(), IsOkAndHolds(Path("socket")));
  EXPECT_EQ(server->PeerAddress().unix_name(), "");
}

TEST_F(UnixNameTest, NoFileIsNotFound) {
  const auto stream = Run(UnixStream::Connect(Path("nobody")));
  EXPECT_THAT(stream, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(ErrnoOf(stream.status()), ENOENT);
}

TEST_F(UnixNameTest, AbstractNameThatNobodyHasIsRefused) {
  const auto stream = Run(UnixStream::Connect(Abstract("nobody")));
  EXPECT_THAT(stream, StatusIs(kUnavailable));
  EXPECT_EQ(ErrnoOf(stream.status()), ECONNREFUSED);
}

TEST_F(UnixNameTest, MissingFolderIsNotFound) {
  EXPECT_EQ(ErrnoOf(UnixListener::Listen(Path("missing/socket")).status()), ENOENT);
  EXPECT_EQ(ErrnoOf(UnixDatagram::Bind(Path("missing/socket")).status()), ENOENT);
}

TEST_F(UnixNameTest, PathStaysAfterCloseUntilItIsRemoved) {
  UnixListener listener = ListenUnix(Path("socket"));
  EXPECT_EQ(ErrnoOf(UnixListener::Listen(Path("socket")).status()), EADDRINUSE);
  EXPECT_OK(Run(listener.Close()));
  const auto refused = Run(UnixStream::Connect(Path("socket")));
  EXPECT_THAT(refused, StatusIs(kUnavailable));
  EXPECT_EQ(ErrnoOf(refused.status()), ECONNREFUSED);
  const auto taken = UnixListener::Listen(Path("socket"));
  EXPECT_THAT(taken, StatusIs(kFailedPrecondition));
  EXPECT_EQ(ErrnoOf(taken.status()), EADDRINUSE);
  EXPECT_EQ(unlink(PathOf("socket").c_str()), 0);
  EXPECT_OK(UnixListener::Listen(Path("socket")));
}

TEST_F(UnixNameTest, AbstractNameIsTakenWhileHeldAndFreeAtOnceAfterClose) {
  UnixListener listener = ListenUnix(Abstract("name"));
  EXPECT_EQ(ErrnoOf(UnixListener::Listen(Abstract("name")).status()), EADDRINUSE);
  EXPECT_OK(Run(listener.Close()));
  EXPECT_OK(UnixListener::Listen(Abstract("name")));
}

TEST_F(UnixNameTest, LongestPathWorksAndALongerOneIsRefused) {
  std::string path = PathOf("");
  path.append(SocketAddress::kMaxUnixName - path.size(), 'x');
  const auto longest = SocketAddress::Unix(path);
  ASSERT_OK(longest);
  UnixListener listener = ListenUnix(*longest);
  UnixStream client = ConnectUnix(*longest);
  EXPECT_EQ(client.PeerAddress(), *longest);
  EXPECT_THAT(SocketAddress::Unix(path + "x"), StatusIs(kInvalidArgument));
}

TEST_F(UnixNameTest, OnlyUnixAddressesWillDo) {
  const SocketAddress internet = SocketAddress::LoopbackIpv4(80);
  EXPECT_THAT(Run(UnixStream::Connect(internet)), StatusIs(kInvalidArgument));
  EXPECT_THAT(UnixListener::Listen(internet), StatusIs(kInvalidArgument));
  EXPECT_THAT(UnixDatagram::Bind(internet), StatusIs(kInvalidArgument));
}

TEST_F(UnixNameTest, DatagramSocketIsNoListener) {
  UnixDatagram socket = BindUnix(Path("datagrams"));
  EXPECT_EQ(ErrnoOf(Run(UnixStream::Connect(Path("datagrams"))).status()), EPROTOTYPE);
}

// --- Streams ---

TEST_F(UnixStreamTest, PairIsConnectedInBothDirections) {
  auto [first, second] = StreamPair();
  Write(first, "there");
  Write(second, "back");
  EXPECT_THAT(Read(second), IsOkAndHolds("there"));
  EXPECT_THAT(Read(first), IsOkAndHolds("back"));
}

TEST_F(UnixStreamTest, HalfCloseLeavesTheOtherDirection) {
  auto [first, second] = StreamPair();
  EXPECT_OK(Run(first.ShutdownWrite()));
  EXPECT_THAT(Read(second), IsOkAndHolds(""));
  Write(second, "still");
  EXPECT_THAT(Read(first), IsOkAndHolds("still"));
  EXPECT_EQ(ErrnoOf(Run(first.WriteAll("x")).status), EPIPE);
}

Task<IoResult> WriteData(UnixStream* stream, const std::string* data) {
  IoResult result = co_await stream->WriteAll(*data);
  co_return result;
}

TEST_F(UnixStreamTest, MuchDataArrivesWhole) {
  auto [first, second] = StreamPair();
  const std::string data = Pattern(4 << 20);
  auto write = Start(WriteData(&first, &data));
  std::string received(data.size(), '\0');
  EXPECT_OK(Run(second.ReadExactly(absl::MakeSpan(received))));
  EXPECT_OK(Wait(write));
  EXPECT_TRUE(received == data);
}

TEST_F(UnixStreamTest, StoppedReadLosesNothing) {
  auto [first, second] = StreamPair();
  std::string target(10, '\0');
  EXPECT_THAT(Run(second.Read(absl::MakeSpan(target)).By(Now() + absl::Milliseconds(2))), StatusIs(kDeadlineExceeded));
  auto read = Start(UnixRead(&second));
  Settle();
  read->Cancel();
  EXPECT_THAT(Wait(read), StatusIs(kCancelled));
  Write(first, "kept");
  EXPECT_THAT(Read(second), IsOkAndHolds("kept"));
}

TEST_F(UnixStreamTest, ConnectWaitsWhileTheBacklogIsFull) {
  UnixListener listener = ListenUnix(Path("socket"), ListenOptions().set_backlog(0));
  UnixStream first = ConnectUnix(Path("socket"));
  EXPECT_THAT(Run(UnixStream::Connect(Path("socket")).By(Now() + absl::Milliseconds(20))), StatusIs(kDeadlineExceeded));
  auto connect = Start([](SocketAddress address) -> Task<absl::StatusOr<UnixStream>> {
    absl::StatusOr<UnixStream> stream = co_await UnixStream::Connect(address);
    co_return stream;
  }(Path("socket")));
  Settle();
  EXPECT_FALSE(connect->done());
  auto served = Run(listener.Accept());
  ASSERT_OK(served);
  auto second = Wait(connect);
  ASSERT_OK(second);
  auto next = Run(listener.Accept());
  ASSERT_OK(next);
  Write(*second, "second");
  EXPECT_THAT(Read(*next), IsOkAndHolds("second"));
  EXPECT_THAT(Run(listener.Accept().By(Now() + absl::Milliseconds(20))), StatusIs(kDeadlineExceeded));
}

TEST_F(UnixStreamTest, DataSentBeforeTheAcceptIsThere) {
  UnixListener listener = ListenUnix(Abstract("name"));
  UnixStream client = ConnectUnix(Abstract("name"));
  Write(client, "early");
  EXPECT_OK(Run(client.Close()));
  auto server = Run(listener.Accept());
  ASSERT_OK(server);
  EXPECT_THAT(Read(*server), IsOkAndHolds("early"));
  EXPECT_THAT(Read(*server), IsOkAndHolds(""));
}

// --- Closing ---

TEST_F(UnixCloseTest, PeerReadsTheEndAndItsFirstWriteFails) {
  auto [first, second] = StreamPair();
  EXPECT_OK(Run(first.Close()));
  EXPECT_THAT(Read(second), IsOkAndHolds(""));
  EXPECT_EQ(ErrnoOf(Run(second.WriteAll("x")).status), EPIPE);
}

TEST_F(UnixCloseTest, UnreadDataIsAResetOnceThenTheEnd) {
  auto [first, second] = StreamPair();
  Write(second, "unread");
  EXPECT_OK(Run(first.Close()));
  EXPECT_EQ(ErrnoOf(Read(second).status()), ECONNRESET);
  EXPECT_THAT(Read(second), IsOkAndHolds(""));
  EXPECT_EQ(ErrnoOf(Run(second.WriteAll("x")).status), EPIPE);
}

TEST_F(UnixCloseTest, AbortIsAClose) {
  auto [first, second] = StreamPair();
  Write(first, "last");
  first.Abort();
  EXPECT_OK(Run(first.Close()));
  EXPECT_THAT(Read(second), IsOkAndHolds("last"));
  EXPECT_THAT(Read(second), IsOkAndHolds(""));
}

TEST_F(UnixCloseTest, EndsCallsThatWait) {
  auto [first, second] = StreamPair();
  auto read = Start(UnixRead(&first));
  UnixListener listener = ListenUnix(Abstract("name"));
  auto accept = Start([](UnixListener* waiting) -> Task<absl::StatusOr<UnixStream>> {
    absl::StatusOr<UnixStream> stream = co_await waiting->Accept();
    co_return stream;
  }(&listener));
  Settle();
  EXPECT_OK(Run(first.Close()));
  EXPECT_OK(Run(listener.Close()));
  EXPECT_EQ(ErrnoOf(Wait(read).status()), EBADF);
  EXPECT_EQ(ErrnoOf(Wait(accept).status()), EBADF);
}

TEST_F(UnixCloseTest, ListenerClosesTheConnectionsThatNobodyAccepted) {
  UnixListener listener = ListenUnix(Abstract("name"));
  UnixStream client = ConnectUnix(Abstract("name"));
  EXPECT_OK(Run(listener.Close()));
  const auto read = Read(client);
  EXPECT_TRUE(read.ok() ? read->empty() : ErrnoOf(read.status()) == ECONNRESET) << read.status();
  EXPECT_EQ(ErrnoOf(Run(client.WriteAll("x")).status), EPIPE);
}

// --- Credentials ---

TEST_F(UnixCredentialsTest, BothEndsTellWhoTheOtherIs) {
  UnixListener listener = ListenUnix(Path("socket"));
  UnixStream client = ConnectUnix(Path("socket"));
  auto server = Run(listener.Accept());
  ASSERT_OK(server);
  for (const UnixStream* stream : {&client, &*server}) {
    const auto credentials = stream->PeerCredentials();
    ASSERT_OK(credentials);
    EXPECT_EQ(credentials->process_id, getpid());
    EXPECT_EQ(credentials->user_id, geteuid());
    EXPECT_EQ(credentials->group_id, getegid());
  }
}

TEST_F(UnixCredentialsTest, AreThereOnPairsAndGoneAfterClose) {
  auto [first, second] = StreamPair();
  const auto credentials = first.PeerCredentials();
  ASSERT_OK(credentials);
  EXPECT_EQ(credentials->process_id, getpid());
  EXPECT_OK(Run(first.Close()));
  EXPECT_EQ(ErrnoOf(first.PeerCredentials().status()), EBADF);
}

// --- Addresses of the internet ---

TEST_F(UnixNameTest, InternetAddressIsAnInvalidArgumentEverywhere) {
  for (const SocketAddress& address : {SocketAddress::LoopbackIpv4(9), SocketAddress::LoopbackIpv6(9)}) {
    const absl::Status connected = Run(UnixStream::Connect(address)).status();
    EXPECT_THAT(connected, StatusIs(kInvalidArgument));
    EXPECT_TRUE(absl::StrContains(connected.message(), address.ToString())) << connected;
    EXPECT_THAT(UnixListener::Listen(address), StatusIs(kInvalidArgument));
    EXPECT_THAT(UnixDatagram::Bind(address), StatusIs(kInvalidArgument));
    auto socket = UnixDatagram::Open();
    ASSERT_OK(socket);
    EXPECT_THAT(socket->Connect(address), StatusIs(kInvalidArgument));
    EXPECT_THAT(Run(socket->SendTo("x", address)), StatusIs(kInvalidArgument));
    EXPECT_THAT(socket->TrySendTo("x", address), StatusIs(kInvalidArgument));
  }
}

// --- In a pool ---

Task<absl::StatusOr<UnixStream>> ConnectToUnix(SocketAddress address) {
  absl::StatusOr<UnixStream> stream = co_await UnixStream::Connect(address);
  co_return stream;
}

TEST_F(UnixStreamTest, APoolDoesNotLendOneThatDiedWhileItWasIdle) {
  UnixListener listener = ListenUnix(Path("socket"));
  const SocketAddress address = Path("socket");
  ConnectionPool<UnixStream> pool([address](const std::string&) { return ConnectToUnix(address); });
  auto lease = Run(pool.Acquire("socket"));
  ASSERT_OK(lease.status());
  auto server = Run(listener.Accept());
  ASSERT_OK(server.status());
  lease->ReturnToPool();
  EXPECT_EQ(pool.statistics().idle, 1u);
  EXPECT_OK(Run(server->Close()));
  Settle();

  auto next = Run(pool.Acquire("socket"));

  ASSERT_OK(next.status());
  EXPECT_EQ(pool.statistics().made, 2u);
  EXPECT_EQ(pool.statistics().reused, 0u);
}

}  // namespace
}  // namespace tandem::testing
