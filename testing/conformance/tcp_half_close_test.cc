// SPDX-License-Identifier: Apache-2.0
//
// Half-close both ways, and the halves of a stream with owners of their own.

#include <cerrno>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tandem/testing/conformance/tcp_conformance.h"

namespace tandem::testing {
namespace {

class ShutdownReadTest : public TcpConformanceTest {};
class HalfCloseTest : public TcpConformanceTest {};
class SplitTest : public TcpConformanceTest {};

// --- ShutdownRead ---

TEST_F(ShutdownReadTest, ReadsEndAtOnce) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(server.ShutdownRead());
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(ShutdownReadTest, EndsAPendingRead) {
  auto [client, server] = ConnectedPair();
  auto read = Start(ReadSome(&server, 10));
  Settle();
  EXPECT_FALSE(read->done());
  EXPECT_OK(server.ShutdownRead());
  EXPECT_THAT(Wait(read), IsOkAndHolds(""));
}

TEST_F(ShutdownReadTest, WhatHasArrivedIsStillRead) {
  auto [client, server] = ConnectedPair();
  Send(client, "arrived");
  Settle();
  EXPECT_OK(server.ShutdownRead());
  EXPECT_THAT(Read(server, 3), IsOkAndHolds("arr"));
  EXPECT_THAT(Read(server), IsOkAndHolds("ived"));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(ShutdownReadTest, WhatHasBeenReadAheadIsStillRead) {
  auto [client, server] = ConnectedPair();
  Send(client, "arrived");
  EXPECT_THAT(Peek(server), IsOkAndHolds("arrived"));
  EXPECT_OK(server.ShutdownRead());
  EXPECT_THAT(Read(server), IsOkAndHolds("arrived"));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(ShutdownReadTest, WritingGoesOnAndThePeerIsNotTold) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(server.ShutdownRead());
  Send(server, "still");
  EXPECT_THAT(Read(client), IsOkAndHolds("still"));
  EXPECT_EQ(Run(client.Receive().By(Now() + absl::Milliseconds(2))).status(), DeadlineExceededStatus());
}

TEST_F(ShutdownReadTest, ReadsDoNotWaitAlthoughThePeerGoesOnWriting) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(server.ShutdownRead());
  Send(client, "afterwards");
  Settle();
  // Linux still hands over what comes before somebody has read the end.
  std::string received;
  EXPECT_OK(Run(ReadToEnd(&server, &received)));
  EXPECT_TRUE(received.empty() || received == "afterwards") << received;
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(ShutdownReadTest, BytesThatComeAfterwardsMakeCloseAReset) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(server.ShutdownRead());
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
  Send(client, "unread");
  Settle();
  EXPECT_OK(Run(server.Close()));
  EXPECT_EQ(ErrnoOf(Read(client).status()), ECONNRESET);
}

TEST_F(ShutdownReadTest, WithEverythingReadCloseIsAnEnd) {
  auto [client, server] = ConnectedPair();
  Send(client, "read");
  EXPECT_THAT(Read(server), IsOkAndHolds("read"));
  EXPECT_OK(server.ShutdownRead());
  EXPECT_OK(Run(server.Close()));
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
}

TEST_F(ShutdownReadTest, SecondCallDoesNothing) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(server.ShutdownRead());
  EXPECT_OK(server.ShutdownRead());
}

TEST_F(ShutdownReadTest, AfterCloseOrAResetIsAFailedPrecondition) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(server.Close()));
  EXPECT_EQ(ErrnoOf(server.ShutdownRead()), EBADF);

  auto [other_client, other_server] = ConnectedPair();
  other_client.Abort();
  EXPECT_EQ(ErrnoOf(Read(other_server).status()), ECONNRESET);
  EXPECT_EQ(ErrnoOf(other_server.ShutdownRead()), ENOTCONN);
  EXPECT_THAT(Read(other_server), IsOkAndHolds(""));
}

TEST_F(ShutdownReadTest, EndsTheCallsOfEveryKind) {
  auto [client, server] = ConnectedPair();
  Send(client, "abc");
  EXPECT_THAT(Peek(server), IsOkAndHolds("abc"));
  EXPECT_OK(server.ShutdownRead());
  std::string target(10, '\0');
  EXPECT_THAT(Run(server.ReadExactly(absl::MakeSpan(target))).status, StatusIs(kOutOfRange));
  EXPECT_THAT(Peek(server), IsOkAndHolds(""));
  EXPECT_THAT(TryRead(server), IsOkAndHolds(""));
  EXPECT_THAT(Run(ReceiveSome(&server)), IsOkAndHolds(""));
}

// --- Half-close ---

TEST_F(HalfCloseTest, AnswerArrivesAfterTheEndOfTheQuestion) {
  auto [client, server] = ConnectedPair();
  Send(client, "question");
  EXPECT_OK(Run(client.ShutdownWrite()));
  EXPECT_THAT(ReadAll(server), IsOkAndHolds("question"));
  const std::string answer = Pattern(500'000);
  auto write = Start(WriteAllOf(&server, answer));
  std::string received(answer.size(), '\0');
  EXPECT_OK(Run(client.ReadExactly(absl::MakeSpan(received))));
  EXPECT_OK(Wait(write));
  EXPECT_TRUE(received == answer);
  EXPECT_OK(Run(server.Close()));
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
}

TEST_F(HalfCloseTest, WriteAfterItsOwnShutdownIsABrokenPipe) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.ShutdownWrite()));
  const IoResult result = Run(client.WriteAll("late"));
  EXPECT_EQ(ErrnoOf(result.status), EPIPE) << result.status;
  EXPECT_EQ(result.bytes, 0u);
}

TEST_F(HalfCloseTest, PeerAddressIsKnownAfterThePeerHasShutDown) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.ShutdownWrite()));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
  EXPECT_THAT(client.LocalAddress(), IsOkAndHolds(server.PeerAddress()));
}

TEST_F(HalfCloseTest, BothAtOnceEndBothStreams) {
  auto [client, server] = ConnectedPair();
  auto first = Start(ShutDownWriting(&client));
  auto second = Start(ShutDownWriting(&server));
  EXPECT_OK(Wait(first));
  EXPECT_OK(Wait(second));
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
  EXPECT_EQ(ErrnoOf(Run(client.WriteAll("x")).status), EPIPE);
  EXPECT_EQ(ErrnoOf(Run(server.WriteAll("x")).status), EPIPE);
}

TEST_F(HalfCloseTest, BothHalvesOfOneEnd) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(server.ShutdownRead());
  EXPECT_OK(Run(server.ShutdownWrite()));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
  EXPECT_OK(Run(server.Close()));
}

TEST_F(HalfCloseTest, FlushIsDoneAtOnceUnlessItIsStopped) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.Flush()));
  EXPECT_EQ(Run(client.Flush().By(Now() - absl::Seconds(1))), DeadlineExceededStatus());
}

// --- Split ---

Task<IoResult> WriteThrough(TcpWriter* writer, std::string data) {
  IoResult result = co_await writer->WriteAll(data);
  co_return result;
}

Task<absl::StatusOr<std::string>> ReadThrough(TcpReader* reader, size_t size) {
  std::string data(size, '\0');
  IoResult result = co_await reader->ReadExactly(absl::MakeSpan(data));
  if (!result.ok()) co_return result.status;
  co_return data;
}

TEST_F(SplitTest, HalvesWorkInTwoTasks) {
  auto [client, server] = ConnectedPair();
  auto [client_reader, client_writer] = std::move(client).Split();
  auto [server_reader, server_writer] = std::move(server).Split();
  const std::string up = Pattern(400'000);
  const std::string down = Pattern(300'000);
  auto write_up = Start(WriteThrough(&client_writer, up));
  auto write_down = Start(WriteThrough(&server_writer, down));
  auto read_up = Start(ReadThrough(&server_reader, up.size()));
  auto read_down = Start(ReadThrough(&client_reader, down.size()));
  EXPECT_OK(Wait(write_up));
  EXPECT_OK(Wait(write_down));
  EXPECT_TRUE(Wait(read_up).value() == up);
  EXPECT_TRUE(Wait(read_down).value() == down);
  EXPECT_EQ(client_reader.PeerAddress(), client_writer.PeerAddress());
}

TEST_F(SplitTest, DestroyedWriterEndsTheSendingHalfOnly) {
  auto [client, server] = ConnectedPair();
  auto [reader, writer] = std::move(client).Split();
  EXPECT_OK(Run(writer.WriteAll("last words")));
  writer = TcpWriter();
  EXPECT_THAT(ReadAll(server), IsOkAndHolds("last words"));
  Send(server, "answer");
  EXPECT_THAT(Run(ReadThrough(&reader, 6)), IsOkAndHolds("answer"));
}

TEST_F(SplitTest, DestroyedWriterEndsAfterWhatIsQueued) {
  auto [client, server] = ConnectedPair();
  const std::string data = Pattern(8 << 20);
  auto [reader, writer] = std::move(client).Split();
  auto held = std::make_optional(std::move(writer));
  auto write = Start(WriteThrough(&*held, data));
  Settle();
  EXPECT_FALSE(write->done());
  held.reset();
  EXPECT_TRUE(ReadAll(server).value() == data);
  EXPECT_OK(Wait(write));
}

TEST_F(SplitTest, DestroyedReaderLeavesTheWriterAlone) {
  auto [client, server] = ConnectedPair();
  auto [reader, writer] = std::move(client).Split();
  reader = TcpReader();
  EXPECT_OK(Run(writer.WriteAll("still")));
  EXPECT_THAT(Read(server), IsOkAndHolds("still"));
}

TEST_F(SplitTest, SocketClosesWithTheLastHalf) {
  auto [client, server] = ConnectedPair();
  {
    auto [reader, writer] = std::move(client).Split();
    writer = TcpWriter();
    EXPECT_THAT(Read(server), IsOkAndHolds(""));
    Send(server, "nobody reads this");
    Settle();
  }
  EXPECT_EQ(ErrnoOf(Read(server).status()), 0);
  Settle();
  EXPECT_FALSE(Run(server.WriteAll("x")).ok());
}

TEST_F(SplitTest, WriterMayCloseUnderTheReader) {
  auto [client, server] = ConnectedPair();
  auto [reader, writer] = std::move(client).Split();
  auto read = Start(ReadThrough(&reader, 6));
  Settle();
  EXPECT_OK(Run(writer.Close()));
  EXPECT_EQ(ErrnoOf(Wait(read).status()), EBADF);
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

static_assert(!std::is_copy_constructible_v<TcpReader> && !std::is_copy_assignable_v<TcpReader>);
static_assert(!std::is_copy_constructible_v<TcpWriter> && !std::is_copy_assignable_v<TcpWriter>);

// A call holds the socket and not the half.
TEST_F(SplitTest, CallsThatWaitEndWhenBothHalvesAreGone) {
  for (const bool reader_first : {true, false}) {
    TcpListener listener = Listen();
    TcpStream other = Connect(listener.LocalAddress());
    auto halves = Accept(listener);
    std::optional<TcpReader> reader;
    std::optional<TcpWriter> writer;
    std::tie(reader, writer) = std::move(halves).Split();
    auto read = Start([](TcpReader* half) -> Task<absl::Status> {
      char byte = 0;
      const absl::StatusOr<size_t> count = co_await half->Read(absl::MakeSpan(&byte, 1));
      co_return count.status();
    }(&*reader));
    auto write = Start([](TcpWriter* half) -> Task<IoResult> {
      const std::string data = Pattern(16 << 20);
      IoResult result = co_await half->WriteAll(data);
      co_return result;
    }(&*writer));
    Settle();
    EXPECT_FALSE(read->done());
    EXPECT_FALSE(write->done());
    if (reader_first) reader.reset();
    writer.reset();
    reader.reset();
    EXPECT_EQ(ErrnoOf(Wait(read)), EBADF);
    const IoResult written = Wait(write);
    EXPECT_EQ(ErrnoOf(written.status), EBADF);
    const absl::StatusOr<std::string> received = ReadAll(other);
    ASSERT_OK(received);
    EXPECT_EQ(received->size(), written.bytes);
  }
}

TEST_F(SplitTest, JoinMakesTheStreamWhole) {
  auto [client, server] = ConnectedPair();
  auto [reader, writer] = std::move(client).Split();
  EXPECT_OK(Run(writer.WriteAll("one")));
  TcpStream joined = TcpStream::Join(std::move(reader), std::move(writer));
  Send(joined, "two");
  std::string received(6, '\0');
  EXPECT_OK(Run(server.ReadExactly(absl::MakeSpan(received))));
  EXPECT_EQ(received, "onetwo");
  Send(server, "back");
  EXPECT_THAT(Read(joined), IsOkAndHolds("back"));
  EXPECT_OK(Run(joined.Close()));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

}  // namespace
}  // namespace tandem::testing
