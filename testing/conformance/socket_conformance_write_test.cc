// SPDX-License-Identifier: Apache-2.0
//
// Writing: WriteSome, WriteAll, ShutdownWrite, and what a write that was cut short has done.

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "tandem/core/io/buffer.h"
#include "tandem/testing/conformance/socket_conformance.h"

namespace tandem::testing {
namespace {

// More than the buffers of both ends take.
constexpr size_t kTooMuch = 16 << 20;

class WriteTest : public SocketConformanceTest {};
class ShutdownWriteTest : public SocketConformanceTest {};

TEST_F(WriteTest, WritesAtLeastOneByte) {
  auto [client, server] = ConnectedPair();
  auto count = Run(client.WriteSome("hello"));
  ASSERT_OK(count);
  EXPECT_GE(*count, 1u);
  EXPECT_LE(*count, 5u);
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(ReadAll(server), IsOkAndHolds(std::string("hello").substr(0, *count)));
}

TEST_F(WriteTest, NothingToWriteIsDoneAtOnceAndSendsNothing) {
  auto [client, server] = ConnectedPair();
  EXPECT_THAT(Run(client.WriteSome("")), IsOkAndHolds(0u));
  const IoResult all = Run(client.WriteAll(""));
  EXPECT_OK(all);
  EXPECT_EQ(all.bytes, 0u);
  EXPECT_OK(Run(client.WriteAll(absl::Span<const IoSlice>())));
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(ReadAll(server), IsOkAndHolds(""));
}

TEST_F(WriteTest, WriteAllWritesAll) {
  auto [client, server] = ConnectedPair();
  const std::string data = Pattern(3 << 20);
  auto write = Start(WriteAllOf(&client, data));
  std::string received;
  auto read = Start(ReadToEnd(&server, &received));
  const IoResult result = Wait(write);
  EXPECT_OK(result);
  EXPECT_EQ(result.bytes, data.size());
  EXPECT_OK(Run(client.Close()));
  EXPECT_OK(Wait(read));
  EXPECT_TRUE(received == data);
}

TEST_F(WriteTest, WriteAllOfSlicesSendsThemInOrder) {
  auto [client, server] = ConnectedPair();
  // More pieces than one send carries.
  std::vector<std::string> pieces;
  std::string data;
  for (int i = 0; i < 100; ++i) {
    pieces.push_back(std::string(1 + i % 7, static_cast<char>('a' + i % 26)));
    data += pieces.back();
  }
  std::vector<IoSlice> slices;
  for (const std::string& piece : pieces) slices.push_back(IoSlice{piece.data(), piece.size()});

  const IoResult result = Run(client.WriteAll(slices));

  EXPECT_OK(result);
  EXPECT_EQ(result.bytes, data.size());
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(ReadAll(server), IsOkAndHolds(data));
}

TEST_F(WriteTest, BufferThatWasReceivedGoesBack) {
  auto [client, server] = ConnectedPair();
  Send(client, "there and back");
  auto buffer = Run(server.Receive());
  ASSERT_OK(buffer);
  const IoResult result = Run(server.WriteAll(*std::move(buffer)));
  EXPECT_OK(result);
  EXPECT_EQ(result.bytes, 14u);
  EXPECT_THAT(Read(client), IsOkAndHolds("there and back"));
}

TEST_F(WriteTest, QueuedWritesGoOutInOrderAndNeverInterleave) {
  auto [client, server] = ConnectedPair();
  constexpr int kWriters = 40;
  std::vector<std::unique_ptr<Background<IoResult>>> writes;
  std::string expected;
  for (int i = 0; i < kWriters; ++i) {
    const std::string message(1 + (i * 7919) % 200'000, static_cast<char>('A' + i));
    expected += message;
    writes.push_back(Start(WriteAllOf(&client, message)));
  }
  std::string received;
  auto read = Start(ReadToEnd(&server, &received));
  for (const auto& write : writes) EXPECT_OK(Wait(write));
  EXPECT_OK(Run(client.Close()));
  EXPECT_OK(Wait(read));
  EXPECT_TRUE(received == expected);
}

TEST_F(WriteTest, ManySmallWritesAtOnceArriveWholeAndInOrder) {
  auto [client, server] = ConnectedPair();
  std::vector<std::unique_ptr<Background<absl::StatusOr<size_t>>>> writes;
  std::string expected;
  for (int i = 0; i < 100; ++i) {
    const std::string message(1, static_cast<char>('0' + i % 70));
    expected += message;
    writes.push_back(Start(WriteSome(&client, message)));
  }
  for (const auto& write : writes) EXPECT_THAT(Wait(write), IsOkAndHolds(1u));
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(ReadAll(server), IsOkAndHolds(expected));
}

// --- Stopped writes ---

TEST_F(WriteTest, DeadlineInThePastSendsNothingThoughThereIsRoom) {
  auto [client, server] = ConnectedPair();
  EXPECT_EQ(Run(client.WriteSome("lost").By(Now() - absl::Seconds(1))).status(), DeadlineExceededStatus());
  const IoResult all = Run(client.WriteAll("lost").By(Now() - absl::Seconds(1)));
  EXPECT_EQ(all.status, DeadlineExceededStatus());
  EXPECT_EQ(all.bytes, 0u);

  Send(client, "kept");
  EXPECT_THAT(Read(server), IsOkAndHolds("kept"));
}

TEST_F(WriteTest, CutShortWriteAllReportsExactlyWhatThePeerGets) {
  for (int delay_us = 0; delay_us < 4000; delay_us += 800) {
    auto [client, server] = ConnectedPair();
    const std::string data = Pattern(kTooMuch);
    const IoResult result = Run(client.WriteAll(data).By(Now() + absl::Microseconds(delay_us) + absl::Nanoseconds(1)));
    EXPECT_EQ(result.status, DeadlineExceededStatus());
    EXPECT_LT(result.bytes, data.size());

    client.AcceptPartial();
    EXPECT_OK(Run(client.ShutdownWrite()));
    auto received = ReadAll(server);
    ASSERT_OK(received);
    EXPECT_EQ(received->size(), result.bytes);
    EXPECT_TRUE(*received == data.substr(0, result.bytes));
  }
}

// The peer reads meanwhile, so that the send moves while it is cancelled.
TEST_F(WriteTest, CutShortWriteAllReportsExactlyWhatAReadingPeerGets) {
  for (int delay_us = 0; delay_us < 6000; delay_us += 700) {
    auto [client, server] = ConnectedPair();
    const std::string data = Pattern(kTooMuch);
    std::string received;
    auto read = Start(ReadToEnd(&server, &received));
    const IoResult result = Run(client.WriteAll(data).By(Now() + absl::Microseconds(delay_us) + absl::Nanoseconds(1)));
    EXPECT_TRUE(result.ok() || result.status == DeadlineExceededStatus()) << result.status;

    client.AcceptPartial();
    EXPECT_OK(Run(client.ShutdownWrite()));
    EXPECT_OK(Wait(read));
    EXPECT_EQ(received.size(), result.bytes);
    EXPECT_TRUE(received == data.substr(0, result.bytes));
  }
}

TEST_F(WriteTest, CutShortWriteAllPoisonsUntilItIsAccepted) {
  auto [client, server] = ConnectedPair();
  const std::string data = Pattern(kTooMuch);
  auto write = Start(WriteAllOf(&client, data));
  Settle();
  write->Cancel();
  const IoResult cut = Wait(write);
  ASSERT_EQ(cut.status, CancelledStatus());
  ASSERT_GT(cut.bytes, 0u);

  const IoResult next = Run(client.WriteAll("next"));
  EXPECT_THAT(next, StatusIs(kFailedPrecondition, ::testing::HasSubstr("AcceptPartial")));
  EXPECT_EQ(next.bytes, 0u);
  EXPECT_EQ(ErrnoOf(next.status), 0);
  EXPECT_THAT(Run(client.WriteSome("next")), StatusIs(kFailedPrecondition));
  EXPECT_THAT(Run(client.ShutdownWrite()), StatusIs(kFailedPrecondition));

  client.AcceptPartial();
  std::string received;
  auto read = Start(ReadToEnd(&server, &received));
  Send(client, "next");
  EXPECT_OK(Run(client.Close()));
  EXPECT_OK(Wait(read));
  EXPECT_TRUE(received == data.substr(0, cut.bytes) + "next");
}

TEST_F(WriteTest, CutShortWriteAllFailsWhatIsQueuedBehindIt) {
  auto [client, server] = ConnectedPair();
  auto cut = Start(WriteAllOf(&client, Pattern(kTooMuch)));
  auto queued = Start(WriteAllOf(&client, "queued"));
  Settle();
  cut->Cancel();

  const IoResult first = Wait(cut);
  EXPECT_EQ(first.status, CancelledStatus());
  EXPECT_GT(first.bytes, 0u);
  const IoResult second = Wait(queued);
  EXPECT_THAT(second, StatusIs(kFailedPrecondition));
  EXPECT_EQ(second.bytes, 0u);
}

TEST_F(WriteTest, QueuedWriteAllIsCancelledWithNothingSentAndPoisonsNothing) {
  auto [client, server] = ConnectedPair();
  const std::string data = Pattern(kTooMuch);
  auto first = Start(WriteAllOf(&client, data));
  auto queued = Start(WriteAllOf(&client, "queued"));
  auto last = Start(WriteAllOf(&client, "last"));
  Settle();

  queued->Cancel();
  const IoResult cancelled = Wait(queued);
  EXPECT_EQ(cancelled.status, CancelledStatus());
  EXPECT_EQ(cancelled.bytes, 0u);

  std::string received;
  auto read = Start(ReadToEnd(&server, &received));
  EXPECT_OK(Wait(first));
  EXPECT_OK(Wait(last));
  EXPECT_OK(Run(client.Close()));
  EXPECT_OK(Wait(read));
  EXPECT_TRUE(received == data + "last");
}

TEST_F(WriteTest, CancelledWriteHasSentNothingOrSaysHowMuch) {
  for (int i = 0; i < 9; ++i) {
    auto [client, server] = ConnectedPair();
    const std::string data = Pattern(kTooMuch);
    auto write = Start(WriteSome(&client, data));
    if (i % 3 != 0) {
      EXPECT_OK(Run(Yield()));
    }
    if (i % 3 == 2) Settle();
    write->Cancel();
    auto count = Wait(write);
    EXPECT_TRUE(count.ok() || count.status() == CancelledStatus()) << count.status();
    const size_t sent = count.ok() ? *count : 0;
    EXPECT_TRUE(!count.ok() || sent > 0);

    // A Write that was cut short poisons nothing.
    EXPECT_OK(Run(client.ShutdownWrite()));
    auto received = ReadAll(server);
    ASSERT_OK(received);
    EXPECT_EQ(received->size(), sent);
  }
}

TEST_F(WriteTest, MemoryMayBeReusedWhenTheCallHasReturned) {
  auto [client, server] = ConnectedPair();
  std::string memory = Pattern(kTooMuch);
  const std::string data = memory;
  const IoResult result = Run(client.WriteAll(memory).By(Now() + absl::Milliseconds(2)));
  memory.assign(memory.size(), '!');
  client.AcceptPartial();
  EXPECT_OK(Run(client.ShutdownWrite()));
  auto received = ReadAll(server);
  ASSERT_OK(received);
  EXPECT_TRUE(*received == data.substr(0, result.bytes));
}

// --- Errors ---

TEST_F(WriteTest, AfterThePeerHasClosedFailsFromTheSecondWriteOn) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(server.Close()));
  Settle();
  // The first one is answered by a reset.
  EXPECT_OK(Run(client.WriteAll("a")));
  Settle();

  const IoResult second = Run(client.WriteAll("b"));

  EXPECT_THAT(second, StatusIs(kUnavailable));
  EXPECT_TRUE(IsReset(second.status)) << second.status;
  EXPECT_EQ(second.bytes, 0u);
  auto read = Read(client);
  EXPECT_TRUE(read.ok() ? read->empty() : IsReset(read.status())) << read.status();
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
}

TEST_F(WriteTest, ResetEndsAPendingWrite) {
  auto [client, server] = ConnectedPair();
  auto write = Start(WriteAllOf(&client, Pattern(kTooMuch)));
  auto queued = Start(WriteAllOf(&client, "queued"));
  Settle();
  server.Abort();
  const IoResult result = Wait(write);
  EXPECT_TRUE(IsReset(result.status)) << result.status;
  EXPECT_LT(result.bytes, kTooMuch);
  EXPECT_FALSE(Wait(queued).ok());
}

TEST_F(WriteTest, AfterCloseIsAFailedPrecondition) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.Close()));
  EXPECT_EQ(ErrnoOf(Run(client.WriteSome("x")).status()), EBADF);
  EXPECT_EQ(ErrnoOf(Run(client.WriteAll("x")).status), EBADF);
  EXPECT_EQ(ErrnoOf(Run(client.ShutdownWrite())), EBADF);
}

// --- ShutdownWrite ---

TEST_F(ShutdownWriteTest, PeerReadsTheEndAndMayGoOnWriting) {
  auto [client, server] = ConnectedPair();
  Send(client, "request");
  EXPECT_OK(Run(client.ShutdownWrite()));
  EXPECT_THAT(ReadAll(server), IsOkAndHolds("request"));

  Send(server, "late");
  EXPECT_THAT(Read(client), IsOkAndHolds("late"));
  const IoResult write = Run(client.WriteAll("x"));
  EXPECT_THAT(write, StatusIs(kUnavailable));
  EXPECT_EQ(ErrnoOf(write.status), EPIPE);

  EXPECT_OK(Run(server.Close()));
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
}

TEST_F(ShutdownWriteTest, SecondCallDoesNothing) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.ShutdownWrite()));
  EXPECT_OK(Run(client.ShutdownWrite()));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(ShutdownWriteTest, ComesAfterEverythingThatWasQueued) {
  auto [client, server] = ConnectedPair();
  const std::string data = Pattern(kTooMuch);
  auto first = Start(WriteAllOf(&client, data));
  auto second = Start(WriteAllOf(&client, "end"));
  auto shutdown =
      Start([](TcpStream* stream) -> Task<absl::Status> { co_return co_await stream->ShutdownWrite(); }(&client));
  Settle();
  EXPECT_FALSE(shutdown->done());

  auto received = ReadAll(server);

  EXPECT_OK(Wait(first));
  EXPECT_OK(Wait(second));
  EXPECT_OK(Wait(shutdown));
  ASSERT_OK(received);
  EXPECT_TRUE(*received == data + "end");
}

TEST_F(ShutdownWriteTest, BothEndsMayShutDown) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.ShutdownWrite()));
  EXPECT_OK(Run(server.ShutdownWrite()));
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
  EXPECT_EQ(ErrnoOf(Run(client.WriteSome("x")).status()), EPIPE);
  EXPECT_EQ(ErrnoOf(Run(server.WriteSome("x")).status()), EPIPE);
}

TEST_F(ShutdownWriteTest, OnAConnectionThatIsGoneIsAnError) {
  auto [client, server] = ConnectedPair();
  server.Abort();
  EXPECT_FALSE(Read(client).ok());
  EXPECT_THAT(Run(client.ShutdownWrite()), StatusIs(kFailedPrecondition));
}

}  // namespace
}  // namespace tandem::testing
