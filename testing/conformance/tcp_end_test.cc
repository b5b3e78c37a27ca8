// SPDX-License-Identifier: Apache-2.0
//
// How connections end: resets, unread data, lingering, both ends at once, and what pending calls return then.

#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tandem/testing/conformance/tcp_conformance.h"

namespace tandem::testing {
namespace {

class ResetTest : public TcpConformanceTest {};
class LingerTest : public TcpConformanceTest {};
class CloseRaceTest : public TcpConformanceTest {};

Task<absl::Status> CloseOf(TcpStream* stream) {
  absl::Status status = co_await stream->Close();
  co_return status;
}

// --- Resets ---

TEST_F(ResetTest, WhatWasSentBeforeACloseWithUnreadDataIsReadFirst) {
  auto [client, server] = ConnectedPair();
  Send(client, "unread");
  Send(server, "reply");
  Settle();
  EXPECT_OK(Run(server.Close()));
  EXPECT_THAT(Read(client), IsOkAndHolds("reply"));
  EXPECT_EQ(ErrnoOf(Read(client).status()), ECONNRESET);
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
  EXPECT_TRUE(IsReset(Run(client.WriteAll("x")).status));
}

TEST_F(ResetTest, WriteAfterItFailsAndReadsEnd) {
  auto [client, server] = ConnectedPair();
  server.Abort();
  EXPECT_OK(Run(server.Close()));
  Settle();
  // Whoever is first sees the reset; who comes later sees a connection that is gone.
  EXPECT_TRUE(IsReset(Run(client.WriteAll("x")).status));
  EXPECT_TRUE(IsReset(Run(client.WriteAll("x")).status));
  auto read = Read(client);
  EXPECT_TRUE(read.ok() ? read->empty() : IsReset(read.status())) << read.status();
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
}

TEST_F(ResetTest, EndsPendingCallsOfBothDirections) {
  auto [client, server] = ConnectedPair();
  auto write = Start(WriteAllOf(&client, Pattern(16 << 20)));
  auto queued = Start(WriteAllOf(&client, "queued"));
  auto read = Start(ReadSome(&client, 10));
  Settle();
  server.Abort();
  EXPECT_TRUE(IsReset(Wait(write).status));
  const IoResult second = Wait(queued);
  EXPECT_TRUE(IsReset(second.status));
  EXPECT_EQ(second.bytes, 0u);
  auto result = Wait(read);
  EXPECT_TRUE(result.ok() ? result->empty() : IsReset(result.status())) << result.status();
}

TEST_F(ResetTest, EndsAPendingPeekAndReadAtLeast) {
  {
    auto [client, server] = ConnectedPair();
    auto peek = Start(PeekSome(&server, 10));
    Settle();
    client.Abort();
    EXPECT_EQ(ErrnoOf(Wait(peek).status()), ECONNRESET);
  }
  auto [client, server] = ConnectedPair();
  std::string target(10, '\0');
  auto read = Start(ReadMin(&server, &target, 5));
  Send(client, "abc");
  Settle();
  client.Abort();
  const IoResult result = Wait(read);
  EXPECT_EQ(ErrnoOf(result.status), ECONNRESET);
  EXPECT_EQ(target.substr(0, result.bytes), "abc");
}

TEST_F(ResetTest, ShutdownWriteAfterItIsNotConnected) {
  auto [client, server] = ConnectedPair();
  server.Abort();
  EXPECT_EQ(ErrnoOf(Read(client).status()), ECONNRESET);
  const absl::Status status = Run(client.ShutdownWrite());
  EXPECT_THAT(status, StatusIs(kFailedPrecondition));
  EXPECT_EQ(ErrnoOf(status), ENOTCONN);
}

TEST_F(ResetTest, WritesToAPeerThatHasClosedEndInABrokenPipeAndReadsInTheEnd) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(server.Close()));
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
  EXPECT_OK(Run(client.WriteAll("x")));
  Settle();
  const IoResult second = Run(client.WriteAll("x"));
  EXPECT_EQ(ErrnoOf(second.status), EPIPE) << second.status;
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
}

TEST_F(ResetTest, WritesToAPeerThatHasShutDownItsReceivingHalfGoOn) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(server.ShutdownRead());
  for (int i = 0; i < 5; ++i) {
    Send(client, "nobody listens");
    Settle();
  }
  EXPECT_OK(Run(client.Close()));
}

TEST_F(ResetTest, BytesBeforeTheEndComeInPiecesThenTheEndAgainAndAgain) {
  auto [client, server] = ConnectedPair();
  Send(client, "abc");
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(Read(server, 2), IsOkAndHolds("ab"));
  EXPECT_THAT(Read(server, 2), IsOkAndHolds("c"));
  for (int i = 0; i < 3; ++i) EXPECT_THAT(Read(server, 2), IsOkAndHolds(""));
}

// --- Lingering ---

TEST_F(LingerTest, ZeroMakesCloseAReset) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(server.set_linger(absl::ZeroDuration()));
  Send(server, "data");
  Settle();
  EXPECT_OK(Run(server.Close()));
  EXPECT_THAT(Read(client), IsOkAndHolds("data"));
  EXPECT_EQ(ErrnoOf(Read(client).status()), ECONNRESET);
}

TEST_F(LingerTest, ZeroAppliesToTheDestructorToo) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(server.set_linger(absl::ZeroDuration()));
  {
    TcpStream gone = std::move(server);
  }
  EXPECT_EQ(ErrnoOf(Read(client).status()), ECONNRESET);
}

TEST_F(LingerTest, PositiveMakesCloseWaitForUnsentBytesWithoutStoppingTheLoop) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(client.set_linger(absl::Seconds(600)));
  const size_t sent = FillUp(client);
  auto close = Start(CloseOf(&client));
  Settle();
  EXPECT_FALSE(close->done());
  auto received = ReadAll(server);
  ASSERT_OK(received);
  EXPECT_EQ(received->size(), sent);
  EXPECT_OK(Run(server.Close()));
  EXPECT_OK(Wait(close));
}

TEST_F(LingerTest, PositiveTimeIsOverThoughNobodyReads) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(client.set_linger(absl::Seconds(1)));
  FillUp(client);
  EXPECT_OK(Run(client.Close()));
}

TEST_F(LingerTest, WhatIsUnsentWhenTheTimeIsOverIsStillSent) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(client.set_linger(absl::Seconds(1)));
  const size_t sent = FillUp(client);
  EXPECT_OK(Run(client.Close()));
  auto received = ReadAll(server);
  ASSERT_OK(received);
  EXPECT_EQ(received->size(), sent);
}

TEST_F(LingerTest, BytesThatComeMeanwhileReset) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(client.set_linger(absl::Seconds(600)));
  FillUp(client);
  auto close = Start(CloseOf(&client));
  Settle();
  EXPECT_FALSE(close->done());
  Send(server, "too late");
  EXPECT_OK(Wait(close));
  Settle();
  EXPECT_TRUE(IsReset(Run(server.WriteAll("x")).status));
}

TEST_F(LingerTest, PositiveWithNothingUnsentClosesAsEver) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(client.set_linger(absl::Seconds(600)));
  Send(client, "all acknowledged");
  EXPECT_THAT(Read(server), IsOkAndHolds("all acknowledged"));
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(LingerTest, PositiveIsInheritedAndDoesNotStopTheLoop) {
  TcpSocket socket = OpenBound();
  EXPECT_OK(socket.set_linger(absl::Seconds(600)));
  TcpListener listener = ListenOn(std::move(socket));
  TcpStream client = Connect(listener.LocalAddress());
  TcpStream server = Accept(listener);
  const size_t sent = FillUp(server);
  auto close = Start(CloseOf(&server));
  Settle();
  EXPECT_FALSE(close->done());
  EXPECT_EQ(ReadAll(client).value().size(), sent);
  EXPECT_OK(Run(client.Close()));
  EXPECT_OK(Wait(close));
}

TEST_F(LingerTest, AbortDoesNotLinger) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(client.set_linger(absl::Seconds(600)));
  FillUp(client);
  client.Abort();
  EXPECT_OK(Run(client.Close()));
}

// --- Close and calls at the same time ---

TEST_F(CloseRaceTest, BothEndsAtOnce) {
  for (int i = 0; i < 20; ++i) {
    auto [client, server] = ConnectedPair();
    auto first = Start(CloseOf(&client));
    auto second = Start(CloseOf(&server));
    EXPECT_OK(Wait(first));
    EXPECT_OK(Wait(second));
  }
}

TEST_F(CloseRaceTest, EndsAPendingReceivePeekAndReadAtLeast) {
  {
    auto [client, server] = ConnectedPair();
    auto receive = Start(ReceiveSome(&server));
    Settle();
    EXPECT_OK(Run(server.Close()));
    EXPECT_EQ(ErrnoOf(Wait(receive).status()), EBADF);
  }
  {
    auto [client, server] = ConnectedPair();
    auto peek = Start(PeekSome(&server, 10));
    Settle();
    EXPECT_OK(Run(server.Close()));
    EXPECT_EQ(ErrnoOf(Wait(peek).status()), EBADF);
  }
  auto [client, server] = ConnectedPair();
  std::string target(10, '\0');
  auto read = Start(ReadMin(&server, &target, 5));
  Send(client, "abc");
  Settle();
  EXPECT_OK(Run(server.Close()));
  const IoResult result = Wait(read);
  EXPECT_EQ(ErrnoOf(result.status), EBADF);
  EXPECT_EQ(result.bytes, 3u);
}

TEST_F(CloseRaceTest, EndsAShutdownThatIsQueued) {
  auto [client, server] = ConnectedPair();
  auto write = Start(WriteAllOf(&client, Pattern(16 << 20)));
  auto shutdown = Start(ShutDownWriting(&client));
  Settle();
  EXPECT_FALSE(shutdown->done());
  EXPECT_OK(Run(client.Close()));
  EXPECT_EQ(ErrnoOf(Wait(write).status), EBADF);
  EXPECT_EQ(ErrnoOf(Wait(shutdown)), EBADF);
}

TEST_F(CloseRaceTest, EndsAReadThatHasADeadlineBeforeIt) {
  auto [client, server] = ConnectedPair();
  auto read = Start([](TcpStream* stream) -> Task<absl::Status> {
    char byte = 0;
    const absl::StatusOr<size_t> count = co_await stream->Read(absl::MakeSpan(&byte, 1)).By(Now() + absl::Seconds(1));
    co_return count.status();
  }(&client));
  Settle();
  EXPECT_OK(Run(client.Close()));
  EXPECT_EQ(ErrnoOf(Wait(read)), EBADF);
  // The deadline passes, and nobody is told.
  EXPECT_OK(Run(Sleep(absl::Milliseconds(1100))));
}

TEST_F(CloseRaceTest, EveryLaterCallIsAFailedPrecondition) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.Close()));
  std::string target(10, '\0');
  EXPECT_EQ(ErrnoOf(Run(client.ReadAtLeast(absl::MakeSpan(target), 1)).status), EBADF);
  EXPECT_EQ(ErrnoOf(Run(ReceiveSome(&client)).status()), EBADF);
  EXPECT_EQ(ErrnoOf(Run(client.ShutdownWrite())), EBADF);
  EXPECT_EQ(ErrnoOf(client.ShutdownRead()), EBADF);
  EXPECT_EQ(ErrnoOf(Run(client.SendFile(0, 0, 1)).status), EBADF);
}

TEST_F(CloseRaceTest, PeersReadSeesTheEndWhileItsWriteIsPending) {
  auto [client, server] = ConnectedPair();
  auto write = Start(WriteAllOf(&client, Pattern(16 << 20)));
  auto read = Start(ReadSome(&client, 10));
  Settle();
  EXPECT_OK(Run(server.ShutdownWrite()));
  EXPECT_THAT(Wait(read), IsOkAndHolds(""));
  EXPECT_FALSE(write->done());
  EXPECT_OK(Run(server.Close()));
  EXPECT_TRUE(IsReset(Wait(write).status));
}

}  // namespace
}  // namespace tandem::testing
