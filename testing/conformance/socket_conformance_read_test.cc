// SPDX-License-Identifier: Apache-2.0
//
// Reading: Read, Receive, ReadExactly.

#include <cerrno>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tandem/core/io/buffer.h"
#include "tandem/testing/conformance/socket_conformance.h"

namespace tandem::testing {
namespace {

class ReadTest : public SocketConformanceTest {};
class ReceiveTest : public SocketConformanceTest {};
class ReadExactlyTest : public SocketConformanceTest {};

TEST_F(ReadTest, WaitsForBytesAndReturnsThem) {
  auto [client, server] = ConnectedPair();
  auto read = Start(ReadSome(&server, 100));
  Settle();
  EXPECT_FALSE(read->done());
  Send(client, "hello");
  EXPECT_THAT(Wait(read), IsOkAndHolds("hello"));
}

TEST_F(ReadTest, TakesAtMostTheTarget) {
  auto [client, server] = ConnectedPair();
  Send(client, "abc");
  EXPECT_THAT(Read(server, 2), IsOkAndHolds("ab"));
  EXPECT_THAT(Read(server, 1), IsOkAndHolds("c"));
}

TEST_F(ReadTest, EndOfStreamIsZeroAgainAndAgain) {
  auto [client, server] = ConnectedPair();
  Send(client, "abc");
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(ReadAll(server), IsOkAndHolds("abc"));
  for (int i = 0; i < 3; ++i) EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(ReadTest, EmptyTargetIsAnInvalidArgumentWhateverIsThere) {
  auto [client, server] = ConnectedPair();
  EXPECT_THAT(Run(server.Read({})), StatusIs(kInvalidArgument));
  Send(client, "abc");
  Settle();
  EXPECT_THAT(Run(server.Read({})), StatusIs(kInvalidArgument));
  EXPECT_THAT(Read(server), IsOkAndHolds("abc"));
}

TEST_F(ReadTest, DeadlineConsumesNothing) {
  auto [client, server] = ConnectedPair();
  char byte = 0;

  auto received = Run(server.Read(absl::MakeSpan(&byte, 1)).By(Now() + absl::Milliseconds(1)));

  EXPECT_EQ(received.status(), DeadlineExceededStatus());
  Send(client, "abc");
  EXPECT_THAT(Read(server), IsOkAndHolds("abc"));
}

TEST_F(ReadTest, DeadlineInThePastConsumesNothingThoughBytesAreThere) {
  auto [client, server] = ConnectedPair();
  Send(client, "abc");
  Settle();
  char byte = 0;
  auto received = Run(server.Read(absl::MakeSpan(&byte, 1)).By(Now() - absl::Milliseconds(1)));
  EXPECT_EQ(received.status(), DeadlineExceededStatus());
  EXPECT_THAT(Read(server), IsOkAndHolds("abc"));
}

TEST_F(ReadTest, CancellationConsumesNothing) {
  auto [client, server] = ConnectedPair();
  auto read = Start(ReadSome(&server, 100));
  Settle();
  read->Cancel();
  EXPECT_EQ(Wait(read).status(), CancelledStatus());

  Send(client, "abc");
  EXPECT_THAT(Read(server), IsOkAndHolds("abc"));
}

TEST_F(ReadTest, DeadlineOfAReadLeavesWritesAlone) {
  auto [client, server] = ConnectedPair();
  char byte = 0;
  EXPECT_EQ(Run(server.Read(absl::MakeSpan(&byte, 1)).By(Now() - absl::Milliseconds(1))).status(),
            DeadlineExceededStatus());
  Send(server, "reply");
  EXPECT_THAT(Read(client), IsOkAndHolds("reply"));
}

TEST_F(ReadTest, BytesComeBeforeTheResetAndTheResetComesOnce) {
  auto [client, server] = ConnectedPair();
  Send(client, "never read");
  Send(server, "reply");
  Settle();
  // Bytes are unread: the close becomes a reset.
  EXPECT_OK(Run(server.Close()));
  Settle();

  EXPECT_THAT(Read(client), IsOkAndHolds("reply"));
  auto reset = Read(client);
  EXPECT_THAT(reset, StatusIs(kUnavailable));
  EXPECT_EQ(ErrnoOf(reset.status()), ECONNRESET);
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
}

TEST_F(ReadTest, ResetEndsAPendingRead) {
  auto [client, server] = ConnectedPair();
  auto read = Start(ReadSome(&client, 100));
  Settle();
  server.Abort();
  EXPECT_EQ(ErrnoOf(Wait(read).status()), ECONNRESET);
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
}

TEST_F(ReadTest, ErrorNamesOperationPeerAndCause) {
  auto [client, server] = ConnectedPair();
  server.Abort();
  auto reset = Read(client);
  EXPECT_EQ(reset.status().message(), "read " + client.PeerAddress().ToString() + ": connection reset by peer");
}

TEST_F(ReadTest, AfterCloseIsAFailedPrecondition) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.Close()));
  auto read = Read(client);
  EXPECT_THAT(read, StatusIs(kFailedPrecondition));
  EXPECT_EQ(ErrnoOf(read.status()), EBADF);
}

TEST_F(ReadTest, AfterCloseNotEvenNothingCanBeRead) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.Close()));
  const IoResult nothing = Run(client.ReadAtLeast(absl::Span<char>(), 0));
  EXPECT_EQ(ErrnoOf(nothing.status), EBADF);
  EXPECT_EQ(nothing.bytes, 0u);
}

TEST_F(ReadTest, PeerAddressIsKnownAfterTheConnectionIsGone) {
  auto [client, server] = ConnectedPair();
  const SocketAddress peer = client.PeerAddress();
  server.Abort();
  EXPECT_FALSE(Read(client).ok());
  EXPECT_OK(Run(client.Close()));
  EXPECT_EQ(client.PeerAddress(), peer);
}

TEST_F(ReadTest, UnreadBytesAreCounted) {
  auto [client, server] = ConnectedPair();
  Send(client, "abcdef");
  EXPECT_THAT(Read(server, 2), IsOkAndHolds("ab"));
  EXPECT_EQ(server.unread_bytes(), 4u);
  EXPECT_THAT(Read(server, 100), IsOkAndHolds("cdef"));
  EXPECT_EQ(server.unread_bytes(), 0u);
}

// A reader that stops leaves at most the mark in user memory, and what the kernel had already handed over. Then TCP
// holds the sender back.
TEST_F(ReadTest, ReaderThatStopsHoldsAtMostTheHighWaterMark) {
  constexpr size_t kMark = 64 * 1024;
  constexpr size_t kOvershoot = 33 * 16 * 1024;  // Buffers that a cancelled multishot receive still fills.
  auto [client, server] = ConnectedPair();
  server.set_high_water_mark(kMark);
  const std::string data = Pattern(32 << 20);
  auto write = Start([](TcpStream* stream, const std::string* data) -> Task<IoResult> {
    co_return co_await stream->WriteAll(*data);
  }(&client, &data));
  EXPECT_THAT(Read(server, 1), IsOkAndHolds(data.substr(0, 1)));
  for (int i = 0; i < 20; ++i) {
    Settle();
    EXPECT_LE(server.unread_bytes(), kMark + kOvershoot);
  }
  EXPECT_GT(server.unread_bytes(), 0u);
  EXPECT_FALSE(write->done());

  std::string received = data.substr(0, 1);
  auto read = Start(ReadToEnd(&server, &received));
  EXPECT_OK(Wait(write));
  EXPECT_OK(Run(client.Close()));
  EXPECT_OK(Wait(read));
  EXPECT_TRUE(received == data);
}

TEST(ReadDeathTest, TwoReadsAtOnceAreABug) {
  EXPECT_DEATH(
      {
        WorldLoop loop;
        auto listener = TcpListener::Listen(SocketAddress::LoopbackIpv4(0));
        auto client = loop.Run(TcpStream::Connect(listener->LocalAddress()));
        auto both = loop.Run([](TcpStream* stream) -> Task<absl::Status> {
          auto results = co_await WhenAll(ReadSome(stream, 1), ReadSome(stream, 1));
          co_return std::get<0>(results).status();
        }(&*client));
      },
      "two reads at once");
}

Task<absl::Status> PeekOften(TcpStream* stream) {
  char byte = 0;
  for (int i = 0; i < 1000; ++i) {
    const absl::StatusOr<size_t> count = co_await stream->Peek(absl::MakeSpan(&byte, 1));
    if (!count.ok()) co_return count.status();
  }
  co_return absl::OkStatus();
}

// Now and then a call that has its result lets others run first: they could take what it was promised.
TEST(ReadDeathTest, AReadThatHasNotTakenItsResultYetIsOneOfTwo) {
  EXPECT_DEATH(
      {
        WorldLoop loop;
        auto listener = TcpListener::Listen(SocketAddress::LoopbackIpv4(0));
        auto client = loop.Run(TcpStream::Connect(listener->LocalAddress()));
        auto server = loop.Run(listener->Accept());
        EXPECT_OK(loop.Run(server->WriteAll("a")).status);
        auto both = loop.Run([](TcpStream* stream) -> Task<absl::Status> {
          auto results = co_await WhenAll(PeekOften(stream), PeekOften(stream));
          co_return std::get<0>(results);
        }(&*client));
      },
      "two reads at once");
}

// Each message comes in a buffer of its own, thousands of times its size. Kept like that, those of one silent reader
// would be all that the kernel has.
TEST_F(ReadTest, SmallMessagesThatNobodyReadsTakeLittleMemory) {
  constexpr size_t kMessages = 1200;  // More than the kernel has buffers, by default.
  auto [client, server] = ConnectedPair();
  Send(client, "a");
  EXPECT_THAT(Read(server), IsOkAndHolds("a"));
  std::string expected;
  while (expected.size() < kMessages) {
    expected.push_back(static_cast<char>('a' + expected.size() % 26));
    Send(client, expected.substr(expected.size() - 1));
    while (server.unread_bytes() < expected.size()) Settle();
  }
  EXPECT_LT(loop_.shard().reactor().heap_buffers().outstanding(), 100u);
  EXPECT_EQ(loop_.shard().reactor().statistics().buffer_shortages, 0u);

  std::string received(kMessages, '\0');
  EXPECT_OK(Run(server.ReadExactly(absl::MakeSpan(received))));
  EXPECT_EQ(received, expected);
}

// --- Receive ---

TEST_F(ReceiveTest, HandsOverWhatArrived) {
  auto [client, server] = ConnectedPair();
  Send(client, "hello");
  auto buffer = Run(server.Receive());
  ASSERT_OK(buffer);
  EXPECT_EQ(buffer->view(), "hello");
}

TEST_F(ReceiveTest, BuffersStayValidWhileMoreArrives) {
  auto [client, server] = ConnectedPair();
  std::vector<Buffer> buffers;
  for (int i = 0; i < 20; ++i) {
    Send(client, std::string(10, static_cast<char>('a' + i)));
    auto buffer = Run(server.Receive());
    ASSERT_OK(buffer);
    buffers.push_back(*std::move(buffer));
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(buffers[i].view(), std::string(10, static_cast<char>('a' + i)));
}

TEST_F(ReceiveTest, IsEmptyAtTheEndOfTheStream) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.ShutdownWrite()));
  for (int i = 0; i < 2; ++i) {
    auto buffer = Run(server.Receive());
    ASSERT_OK(buffer);
    EXPECT_TRUE(buffer->empty());
  }
}

TEST_F(ReceiveTest, MixesWithRead) {
  auto [client, server] = ConnectedPair();
  Send(client, "abcdef");
  EXPECT_THAT(Read(server, 2), IsOkAndHolds("ab"));
  auto buffer = Run(server.Receive());
  ASSERT_OK(buffer);
  EXPECT_EQ(buffer->view(), "cdef");
}

TEST_F(ReceiveTest, StoppedCallConsumesNothing) {
  auto [client, server] = ConnectedPair();
  EXPECT_EQ(Run(server.Receive().By(Now() + absl::Milliseconds(1))).status(), DeadlineExceededStatus());
  Send(client, "abc");
  auto buffer = Run(server.Receive());
  ASSERT_OK(buffer);
  EXPECT_EQ(buffer->view(), "abc");
}

// A program that keeps more buffers than there are: they are copied out, and the stream goes on.
TEST_F(ReceiveTest, ProgramMayKeepMoreBuffersThanTheKernelHas) {
  auto [client, server] = ConnectedPair();
  std::vector<Buffer> kept;
  for (int i = 0; i < 3000; ++i) {
    Send(client, "x");
    auto buffer = Run(server.Receive());
    ASSERT_OK(buffer);
    kept.push_back(*std::move(buffer));
  }
  EXPECT_EQ(kept.size(), 3000u);
}

// --- ReadExactly ---

TEST_F(ReadExactlyTest, ReadsAcrossManySegments) {
  auto [client, server] = ConnectedPair();
  const std::string data = Pattern(500'000);
  auto write = Start(WriteAllOf(&client, data));
  std::string target(data.size(), '\0');
  const IoResult result = Run(server.ReadExactly(absl::MakeSpan(target)));
  EXPECT_OK(result);
  EXPECT_EQ(result.bytes, data.size());
  EXPECT_TRUE(target == data);
  EXPECT_OK(Wait(write));
}

TEST_F(ReadExactlyTest, LeavesWhatComesAfter) {
  auto [client, server] = ConnectedPair();
  Send(client, "abcdef");
  std::string target(4, '\0');
  EXPECT_OK(Run(server.ReadExactly(absl::MakeSpan(target))));
  EXPECT_EQ(target, "abcd");
  EXPECT_THAT(Read(server), IsOkAndHolds("ef"));
}

TEST_F(ReadExactlyTest, NothingToReadIsDoneAtOnce) {
  auto [client, server] = ConnectedPair();
  const IoResult result = Run(server.ReadExactly({}));
  EXPECT_OK(result);
  EXPECT_EQ(result.bytes, 0u);
}

TEST_F(ReadExactlyTest, EndOfStreamSaysHowMuchCame) {
  auto [client, server] = ConnectedPair();
  Send(client, "abc");
  EXPECT_OK(Run(client.Close()));
  std::string target(4, '\0');
  const IoResult result = Run(server.ReadExactly(absl::MakeSpan(target)));
  EXPECT_THAT(result, StatusIs(kOutOfRange));
  EXPECT_EQ(result.bytes, 3u);
  EXPECT_EQ(target.substr(0, 3), "abc");
}

TEST_F(ReadExactlyTest, StoppedCallSaysHowMuchItConsumed) {
  auto [client, server] = ConnectedPair();
  Send(client, "abc");
  std::string target(4, '\0');
  const IoResult result = Run(server.ReadExactly(absl::MakeSpan(target)).By(Now() + absl::Milliseconds(2)));
  EXPECT_EQ(result.status, DeadlineExceededStatus());
  EXPECT_EQ(result.bytes, 3u);

  Send(client, "def");
  EXPECT_THAT(Read(server), IsOkAndHolds("def"));
}

TEST_F(ReadExactlyTest, ResetSaysHowMuchCame) {
  auto [client, server] = ConnectedPair();
  Send(client, "abc");
  Settle();
  client.Abort();
  std::string target(4, '\0');
  const IoResult result = Run(server.ReadExactly(absl::MakeSpan(target)));
  EXPECT_EQ(ErrnoOf(result.status), ECONNRESET);
  EXPECT_EQ(result.bytes, 3u);
}

}  // namespace
}  // namespace tandem::testing
