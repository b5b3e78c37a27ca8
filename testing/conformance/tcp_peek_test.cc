// SPDX-License-Identifier: Apache-2.0
//
// Peek, PeekAtLeast and ReadAtLeast.

#include <cerrno>
#include <string>
#include <utility>

#include "tandem/testing/conformance/tcp_conformance.h"

namespace tandem::testing {
namespace {

Task<absl::StatusOr<std::string>> PeekMin(TcpStream* stream, size_t size, size_t min) {
  std::string data(size, '\0');
  absl::StatusOr<size_t> count = co_await stream->PeekAtLeast(absl::MakeSpan(data), min);
  if (!count.ok()) co_return count.status();
  data.resize(*count);
  co_return data;
}

class PeekTest : public TcpConformanceTest {};
class PeekAtLeastTest : public TcpConformanceTest {};
class ReadAtLeastTest : public TcpConformanceTest {};

// --- Peek ---

TEST_F(PeekTest, WaitsForBytesAndLeavesThem) {
  auto [client, server] = ConnectedPair();
  auto peek = Start(PeekSome(&server, 10));
  Settle();
  EXPECT_FALSE(peek->done());
  Send(client, "abc");
  EXPECT_THAT(Wait(peek), IsOkAndHolds("abc"));
  EXPECT_THAT(Peek(server), IsOkAndHolds("abc"));
  EXPECT_THAT(Read(server), IsOkAndHolds("abc"));
}

TEST_F(PeekTest, TakesAtMostTheTarget) {
  auto [client, server] = ConnectedPair();
  Send(client, "abcdef");
  EXPECT_THAT(Peek(server, 2), IsOkAndHolds("ab"));
  EXPECT_THAT(Peek(server, 4), IsOkAndHolds("abcd"));
  EXPECT_THAT(Read(server), IsOkAndHolds("abcdef"));
}

TEST_F(PeekTest, GrowsWithWhatComes) {
  auto [client, server] = ConnectedPair();
  Send(client, "first");
  EXPECT_THAT(Peek(server), IsOkAndHolds("first"));
  Send(client, "second");
  Settle();
  EXPECT_THAT(Peek(server), IsOkAndHolds("firstsecond"));
  EXPECT_THAT(Read(server, 7), IsOkAndHolds("firstse"));
  EXPECT_THAT(Peek(server), IsOkAndHolds("cond"));
}

TEST_F(PeekTest, EndOfStreamIsZero) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(Peek(server), IsOkAndHolds(""));
  EXPECT_THAT(Peek(server), IsOkAndHolds(""));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(PeekTest, LeavesTheResetForTheNextRead) {
  auto [client, server] = ConnectedPair();
  client.Abort();
  EXPECT_EQ(ErrnoOf(Peek(server).status()), ECONNRESET);
  EXPECT_EQ(ErrnoOf(Peek(server).status()), ECONNRESET);
  EXPECT_EQ(ErrnoOf(Read(server).status()), ECONNRESET);
  EXPECT_THAT(Peek(server), IsOkAndHolds(""));
}

TEST_F(PeekTest, EmptyTargetIsAnInvalidArgument) {
  auto [client, server] = ConnectedPair();
  EXPECT_THAT(Run(server.Peek({})), StatusIs(kInvalidArgument));
}

TEST_F(PeekTest, AfterCloseIsAFailedPrecondition) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(server.Close()));
  EXPECT_EQ(ErrnoOf(Peek(server).status()), EBADF);
}

TEST_F(PeekTest, PeekedBytesAreUnreadAtClose) {
  auto [client, server] = ConnectedPair();
  Send(client, "peeked");
  EXPECT_THAT(Peek(server), IsOkAndHolds("peeked"));
  EXPECT_OK(Run(server.Close()));
  EXPECT_EQ(ErrnoOf(Read(client).status()), ECONNRESET);
}

TEST_F(PeekTest, SeesSeveralSegmentsAsOne) {
  auto [client, server] = ConnectedPair();
  const std::string data = Pattern(40'000);
  auto write = Start(WriteAllOf(&client, data));
  std::string peeked;
  while (peeked.size() < data.size()) {
    auto result = Peek(server, data.size());
    ASSERT_OK(result);
    EXPECT_GE(result->size(), peeked.size());
    peeked = *result;
    Settle();
  }
  EXPECT_OK(Wait(write));
  EXPECT_TRUE(peeked == data);
  EXPECT_TRUE(Read(server, data.size()).value() == data);
}

// --- PeekAtLeast ---

TEST_F(PeekAtLeastTest, WaitsForTheMinimumAndLeavesWhatIsThere) {
  auto [client, server] = ConnectedPair();
  auto peek = Start(PeekMin(&server, 100, 5));
  Send(client, "abc");
  Settle();
  EXPECT_FALSE(peek->done());
  Send(client, "defg");
  EXPECT_THAT(Wait(peek), IsOkAndHolds("abcdefg"));
  EXPECT_EQ(server.unread_bytes(), 7u);
  EXPECT_THAT(Run(PeekMin(&server, 6, 5)), IsOkAndHolds("abcdef"));
  EXPECT_THAT(Read(server), IsOkAndHolds("abcdefg"));
}

// With Peek() alone the coroutine would run again and again: it is ready at once as long as a byte is there.
TEST_F(PeekAtLeastTest, WaitingTakesNoTurns) {
  auto [client, server] = ConnectedPair();
  Send(client, "abc");
  EXPECT_THAT(Peek(server), IsOkAndHolds("abc"));
  auto peek = Start(PeekMin(&server, 100, 5));
  Settle();
  const uint64_t before = loop_.shard().reactor().statistics().polls;
  EXPECT_OK(Run(Sleep(absl::Milliseconds(50))));
  EXPECT_LT(loop_.shard().reactor().statistics().polls - before, 20u);
  EXPECT_FALSE(peek->done());
  Send(client, "de");
  EXPECT_THAT(Wait(peek), IsOkAndHolds("abcde"));
}

TEST_F(PeekAtLeastTest, StoppedCallsConsumeNothing) {
  auto [client, server] = ConnectedPair();
  Send(client, "abc");
  auto peek = Start(PeekMin(&server, 100, 5));
  Settle();
  peek->Cancel();
  EXPECT_EQ(Wait(peek).status(), CancelledStatus());
  char target[8];
  EXPECT_EQ(Run(server.PeekAtLeast(absl::MakeSpan(target), 5).By(Now() + absl::Milliseconds(5))).status(),
            DeadlineExceededStatus());
  EXPECT_THAT(Read(server), IsOkAndHolds("abc"));
}

TEST_F(PeekAtLeastTest, EndOfStreamBeforeTheMinimumIsOutOfRange) {
  auto [client, server] = ConnectedPair();
  auto peek = Start(PeekMin(&server, 100, 5));
  Send(client, "abc");
  Settle();
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(Wait(peek), StatusIs(kOutOfRange));
  EXPECT_THAT(Run(PeekMin(&server, 100, 3)), IsOkAndHolds("abc"));
  EXPECT_THAT(Run(PeekMin(&server, 100, 4)), StatusIs(kOutOfRange));
  EXPECT_THAT(Peek(server), IsOkAndHolds("abc"));
  EXPECT_THAT(Read(server), IsOkAndHolds("abc"));
  EXPECT_THAT(Run(PeekMin(&server, 100, 1)), StatusIs(kOutOfRange));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(PeekAtLeastTest, AResetBeforeTheMinimumIsLeftForTheNextRead) {
  auto [client, server] = ConnectedPair();
  auto peek = Start(PeekMin(&server, 100, 5));
  Send(client, "abc");
  Settle();
  client.Abort();
  EXPECT_EQ(ErrnoOf(Wait(peek).status()), ECONNRESET);
  EXPECT_THAT(Run(PeekMin(&server, 100, 3)), IsOkAndHolds("abc"));
  EXPECT_EQ(ErrnoOf(Run(PeekMin(&server, 100, 4)).status()), ECONNRESET);
  EXPECT_THAT(Read(server), IsOkAndHolds("abc"));
  EXPECT_EQ(ErrnoOf(Read(server).status()), ECONNRESET);
}

TEST_F(PeekAtLeastTest, MoreThanTheTargetIsAnInvalidArgument) {
  auto [client, server] = ConnectedPair();
  EXPECT_THAT(Run(PeekMin(&server, 4, 5)), StatusIs(kInvalidArgument));
  EXPECT_THAT(Run(PeekMin(&server, 0, 1)), StatusIs(kInvalidArgument));
}

TEST_F(PeekAtLeastTest, MinimumZeroNeverWaits) {
  auto [client, server] = ConnectedPair();
  EXPECT_THAT(Run(PeekMin(&server, 10, 0)), IsOkAndHolds(""));
  EXPECT_THAT(Run(PeekMin(&server, 0, 0)), IsOkAndHolds(""));
  Send(client, "abc");
  EXPECT_THAT(Peek(server), IsOkAndHolds("abc"));
  EXPECT_THAT(Run(PeekMin(&server, 10, 0)), IsOkAndHolds("abc"));
}

TEST_F(PeekAtLeastTest, TheMinimumMayBeMoreThanTheHighWaterMark) {
  auto [client, server] = ConnectedPair();
  server.set_high_water_mark(1000);
  const std::string data = Pattern(50'000);
  auto write = Start(WriteAllOf(&client, data));
  EXPECT_TRUE(Run(PeekMin(&server, 20'000, 20'000)).value() == data.substr(0, 20'000));
  // And more, when receiving has paused with much unread.
  EXPECT_TRUE(Run(PeekMin(&server, 50'000, 50'000)).value() == data);
  EXPECT_OK(Wait(write));
  std::string read;
  while (read.size() < data.size()) read += Read(server).value();
  EXPECT_TRUE(read == data);
}

// Receiving pauses at the mark, and goes on below half of it when nobody asks for more.
TEST_F(PeekAtLeastTest, WaitsForMoreAlthoughReceivingHasPaused) {
  auto [client, server] = ConnectedPair();
  server.set_high_water_mark(1000);
  const std::string data = Pattern(1200);
  auto write = Start(WriteAllOf(&client, data));
  EXPECT_TRUE(Run(PeekMin(&server, 1000, 1000)).value() == data.substr(0, 1000));
  EXPECT_TRUE(Read(server, 300).value() == data.substr(0, 300));
  EXPECT_TRUE(Run(PeekMin(&server, 900, 900)).value() == data.substr(300));
  EXPECT_OK(Wait(write));
}

TEST_F(PeekAtLeastTest, CloseEndsACallThatWaits) {
  auto [client, server] = ConnectedPair();
  auto peek = Start(PeekMin(&server, 100, 5));
  Send(client, "abc");
  Settle();
  EXPECT_OK(Run(server.Close()));
  EXPECT_EQ(ErrnoOf(Wait(peek).status()), EBADF);
  EXPECT_EQ(ErrnoOf(Run(PeekMin(&server, 100, 0)).status()), EBADF);
}

TEST_F(PeekAtLeastTest, HalvesPeekToo) {
  auto [client, server] = ConnectedPair();
  auto [reader, writer] = std::move(server).Split();
  Send(client, "abcdef");
  char target[10];
  EXPECT_THAT(Run(reader.PeekAtLeast(absl::MakeSpan(target), 6)), IsOkAndHolds(6u));
}

// --- ReadAtLeast ---

TEST_F(ReadAtLeastTest, WaitsForTheMinimumAndTakesWhatIsThere) {
  auto [client, server] = ConnectedPair();
  std::string target(100, '\0');
  auto read = Start(ReadMin(&server, &target, 5));
  Send(client, "abc");
  Settle();
  EXPECT_FALSE(read->done());
  Send(client, "defg");
  const IoResult result = Wait(read);
  EXPECT_OK(result);
  EXPECT_EQ(target.substr(0, result.bytes), "abcdefg");
}

TEST_F(ReadAtLeastTest, TakesAtMostTheTarget) {
  auto [client, server] = ConnectedPair();
  Send(client, "abcdef");
  EXPECT_THAT(Peek(server), IsOkAndHolds("abcdef"));
  std::string target(4, '\0');
  const IoResult result = Run(server.ReadAtLeast(absl::MakeSpan(target), 2));
  EXPECT_OK(result);
  EXPECT_EQ(result.bytes, 4u);
  EXPECT_EQ(target, "abcd");
  EXPECT_THAT(Read(server), IsOkAndHolds("ef"));
}

TEST_F(ReadAtLeastTest, MoreThanTheTargetIsAnInvalidArgument) {
  auto [client, server] = ConnectedPair();
  std::string target(4, '\0');
  const IoResult result = Run(server.ReadAtLeast(absl::MakeSpan(target), 5));
  EXPECT_THAT(result.status, StatusIs(kInvalidArgument));
  EXPECT_EQ(result.bytes, 0u);
}

TEST_F(ReadAtLeastTest, MinimumZeroNeverWaits) {
  auto [client, server] = ConnectedPair();
  std::string target(10, '\0');
  EXPECT_EQ(Run(server.ReadAtLeast(absl::MakeSpan(target), 0)).bytes, 0u);
  Send(client, "abc");
  EXPECT_THAT(Peek(server), IsOkAndHolds("abc"));
  const IoResult result = Run(server.ReadAtLeast(absl::MakeSpan(target), 0));
  EXPECT_OK(result);
  EXPECT_EQ(result.bytes, 3u);
}

TEST_F(ReadAtLeastTest, EndOfStreamBeforeTheMinimumSaysHowMuchCame) {
  auto [client, server] = ConnectedPair();
  Send(client, "abc");
  EXPECT_OK(Run(client.Close()));
  std::string target(10, '\0');
  const IoResult result = Run(server.ReadAtLeast(absl::MakeSpan(target), 5));
  EXPECT_THAT(result.status, StatusIs(kOutOfRange));
  EXPECT_EQ(result.bytes, 3u);
}

TEST_F(ReadAtLeastTest, EndOfStreamBehindTheMinimumIsLeft) {
  auto [client, server] = ConnectedPair();
  Send(client, "abcdef");
  EXPECT_OK(Run(client.Close()));
  std::string target(10, '\0');
  const IoResult result = Run(server.ReadAtLeast(absl::MakeSpan(target), 6));
  EXPECT_OK(result);
  EXPECT_EQ(result.bytes, 6u);
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(ReadAtLeastTest, ResetBehindTheMinimumIsLeftForTheNextRead) {
  auto [client, server] = ConnectedPair();
  Send(client, "abcdef");
  EXPECT_THAT(Peek(server), IsOkAndHolds("abcdef"));
  client.Abort();
  EXPECT_OK(Run(client.Close()));
  Settle();
  std::string target(10, '\0');
  EXPECT_EQ(Run(server.ReadAtLeast(absl::MakeSpan(target), 3)).bytes, 6u);
  EXPECT_EQ(ErrnoOf(Read(server).status()), ECONNRESET);
}

TEST_F(ReadAtLeastTest, StoppedCallSaysHowMuchItConsumed) {
  auto [client, server] = ConnectedPair();
  std::string target(10, '\0');
  auto read = Start(ReadMin(&server, &target, 5));
  Send(client, "abc");
  Settle();
  read->Cancel();
  const IoResult result = Wait(read);
  EXPECT_EQ(result.status, CancelledStatus());
  EXPECT_EQ(target.substr(0, result.bytes), "abc");
  Send(client, "def");
  EXPECT_THAT(Read(server), IsOkAndHolds("def"));
}

}  // namespace
}  // namespace tandem::testing
