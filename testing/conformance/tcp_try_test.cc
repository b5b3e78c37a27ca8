// SPDX-License-Identifier: Apache-2.0
//
// The calls that never wait: TryRead, TryWrite, TryAccept.

#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tandem/testing/conformance/tcp_conformance.h"

namespace tandem::testing {
namespace {

class TryReadTest : public TcpConformanceTest {};
class TryWriteTest : public TcpConformanceTest {};
class TryAcceptTest : public TcpConformanceTest {};

// --- TryRead ---

TEST_F(TryReadTest, IsNulloptWhereAReadWouldWait) {
  auto [client, server] = ConnectedPair();
  char byte;
  EXPECT_THAT(server.TryRead(absl::MakeSpan(&byte, 1)), IsOkAndHolds(std::nullopt));
  Send(client, "x");
  EXPECT_THAT(TryRead(server), IsOkAndHolds("x"));
  EXPECT_THAT(server.TryRead(absl::MakeSpan(&byte, 1)), IsOkAndHolds(std::nullopt));
}

TEST_F(TryReadTest, TakesAtMostTheTarget) {
  auto [client, server] = ConnectedPair();
  Send(client, "abcdef");
  EXPECT_THAT(TryRead(server, 4), IsOkAndHolds("abcd"));
  EXPECT_THAT(TryRead(server, 4), IsOkAndHolds("ef"));
}

TEST_F(TryReadTest, EndOfStreamIsZeroAgainAndAgain) {
  auto [client, server] = ConnectedPair();
  Send(client, "last");
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(TryRead(server), IsOkAndHolds("last"));
  EXPECT_THAT(TryRead(server), IsOkAndHolds(""));
  EXPECT_THAT(TryRead(server), IsOkAndHolds(""));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(TryReadTest, ResetComesOnce) {
  auto [client, server] = ConnectedPair();
  client.Abort();
  EXPECT_EQ(ErrnoOf(TryRead(server).status()), ECONNRESET);
  EXPECT_THAT(TryRead(server), IsOkAndHolds(""));
}

TEST_F(TryReadTest, EmptyTargetIsAnInvalidArgument) {
  auto [client, server] = ConnectedPair();
  EXPECT_THAT(server.TryRead({}), StatusIs(kInvalidArgument));
}

TEST_F(TryReadTest, AfterCloseIsAFailedPrecondition) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(server.Close()));
  EXPECT_EQ(ErrnoOf(TryRead(server).status()), EBADF);
}

TEST_F(TryReadTest, GetsWhatAStoppedReadHasLeft) {
  auto [client, server] = ConnectedPair();
  EXPECT_FALSE(Run(server.Receive().By(Now() + absl::Milliseconds(1))).ok());
  Send(client, "later");
  EXPECT_THAT(TryRead(server), IsOkAndHolds("later"));
}

TEST_F(TryReadTest, MixesWithReadWithoutGapOrRepeat) {
  auto [client, server] = ConnectedPair();
  const std::string data = Pattern(300'000);
  auto write = Start(WriteAllOf(&client, data));
  std::string received;
  for (int i = 0; received.size() < data.size(); ++i) {
    auto piece = i % 3 == 0 ? Read(server, 5000) : i % 3 == 1 ? TryRead(server, 3000) : Read(server, 70'000);
    ASSERT_OK(piece);
    received += *piece;
  }
  EXPECT_TRUE(received == data);
  EXPECT_OK(Wait(write));
}

// --- TryWrite ---

TEST_F(TryWriteTest, SendsWhatTheKernelTakes) {
  auto [client, server] = ConnectedPair();
  EXPECT_THAT(client.TryWrite("hello"), IsOkAndHolds(std::optional<size_t>(5)));
  EXPECT_THAT(Read(server), IsOkAndHolds("hello"));
}

TEST_F(TryWriteTest, NothingIsZero) {
  auto [client, server] = ConnectedPair();
  EXPECT_THAT(client.TryWrite(""), IsOkAndHolds(std::optional<size_t>(0)));
  EXPECT_EQ(Run(server.Receive().By(Now() + absl::Milliseconds(2))).status(), DeadlineExceededStatus());
}

TEST_F(TryWriteTest, IsNulloptWhereAWriteWouldWaitAndGoesOnWhenThereIsRoom) {
  auto [client, server] = ConnectedPair();
  const size_t sent = FillUp(client);  // Until it is nullopt, again and again.
  auto read = Start([](TcpStream* stream, size_t size) -> Task<IoResult> {
    std::string data(size, '\0');
    IoResult result = co_await stream->ReadExactly(absl::MakeSpan(data));
    co_return result;
  }(&server, sent));
  EXPECT_OK(Wait(read));
  auto count = Until<size_t>([&] { return client.TryWrite("more"); });
  EXPECT_THAT(count, IsOkAndHolds(4u));
  EXPECT_THAT(Read(server), IsOkAndHolds("more"));
}

TEST_F(TryWriteTest, DoesNotOvertakeWritesThatAreQueued) {
  auto [client, server] = ConnectedPair();
  auto write = Start(WriteAllOf(&client, Pattern(16 << 20)));
  Settle();
  EXPECT_THAT(client.TryWrite("overtakes"), IsOkAndHolds(std::nullopt));
  write->Cancel();
  const IoResult cut = Wait(write);
  EXPECT_GT(cut.bytes, 0u);
}

TEST_F(TryWriteTest, FailsAfterACutShortWriteAllUntilItIsAccepted) {
  auto [client, server] = ConnectedPair();
  auto write = Start(WriteAllOf(&client, Pattern(16 << 20)));
  Settle();
  write->Cancel();
  EXPECT_FALSE(Wait(write).ok());
  EXPECT_THAT(client.TryWrite("x"), StatusIs(kFailedPrecondition));
  client.AcceptPartial();
  EXPECT_OK(client.TryWrite("x"));
}

TEST_F(TryWriteTest, AfterShutdownWriteIsUnavailable) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.ShutdownWrite()));
  EXPECT_EQ(ErrnoOf(client.TryWrite("x").status()), EPIPE);
}

TEST_F(TryWriteTest, AfterAResetIsUnavailable) {
  auto [client, server] = ConnectedPair();
  server.Abort();
  EXPECT_OK(Run(server.Close()));
  Settle();
  EXPECT_TRUE(IsReset(client.TryWrite("x").status()));
}

TEST_F(TryWriteTest, AfterCloseIsAFailedPrecondition) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.Close()));
  EXPECT_EQ(ErrnoOf(client.TryWrite("x").status()), EBADF);
  EXPECT_EQ(ErrnoOf(client.TryWrite("").status()), EBADF);
}

// --- TryAccept ---

TEST_F(TryAcceptTest, IsNulloptWhereAnAcceptWouldWait) {
  TcpListener listener = Listen();
  auto none = listener.TryAccept();
  ASSERT_OK(none);
  EXPECT_FALSE(none->has_value());
}

TEST_F(TryAcceptTest, TakesConnectionsInTheOrderOfTheirArrival) {
  TcpListener listener = Listen();
  std::vector<TcpStream> clients;
  clients.reserve(5);
  for (int i = 0; i < 5; ++i) clients.push_back(Connect(listener.LocalAddress()));
  for (TcpStream& client : clients) {
    auto server = Until<TcpStream>([&] { return listener.TryAccept(); });
    ASSERT_OK(server);
    EXPECT_THAT(client.LocalAddress(), IsOkAndHolds(server->PeerAddress()));
    Send(client, "hi");
    EXPECT_THAT(Read(*server), IsOkAndHolds("hi"));
  }
  auto none = listener.TryAccept();
  ASSERT_OK(none);
  EXPECT_FALSE(none->has_value());
}

TEST_F(TryAcceptTest, GetsWhatAStoppedAcceptHasLeft) {
  TcpListener listener = Listen();
  EXPECT_FALSE(Run(listener.Accept().By(Now() + absl::Milliseconds(1))).ok());
  TcpStream client = Connect(listener.LocalAddress());
  auto server = Until<TcpStream>([&] { return listener.TryAccept(); });
  ASSERT_OK(server);
  EXPECT_THAT(client.LocalAddress(), IsOkAndHolds(server->PeerAddress()));
}

TEST_F(TryAcceptTest, DoesNotOvertakeCallsThatWait) {
  TcpListener listener = Listen();
  auto waiting = Start(AcceptOne(&listener));
  Settle();
  TcpStream client = Connect(listener.LocalAddress());
  auto none = listener.TryAccept();
  ASSERT_OK(none);
  EXPECT_FALSE(none->has_value());
  EXPECT_OK(Wait(waiting));
}

TEST_F(TryAcceptTest, AfterCloseIsAFailedPrecondition) {
  TcpListener listener = Listen();
  EXPECT_OK(Run(listener.Close()));
  EXPECT_EQ(ErrnoOf(listener.TryAccept().status()), EBADF);
}

}  // namespace
}  // namespace tandem::testing
