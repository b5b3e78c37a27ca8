// SPDX-License-Identifier: Apache-2.0
//
// Peek and ReadAtLeast.

#include <cerrno>
#include <string>
#include <utility>

#include "testing/conformance/tcp_conformance.h"

namespace tandem::testing {
namespace {

class PeekTest : public TcpConformanceTest {};
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
