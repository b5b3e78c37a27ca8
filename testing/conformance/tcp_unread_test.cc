// SPDX-License-Identifier: Apache-2.0
//
// Unread.

#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "tandem/core/io/buffer.h"
#include "tandem/core/net/copy.h"
#include "tandem/testing/conformance/tcp_conformance.h"

namespace tandem::testing {
namespace {

class UnreadTest : public TcpConformanceTest {
 protected:
  Buffer Receive(TcpStream& stream) {
    absl::StatusOr<Buffer> buffer = Run(stream.Receive());
    CHECK(buffer.ok()) << buffer.status();
    return *std::move(buffer);
  }
};

TEST_F(UnreadTest, BytesComeAgainBeforeAllOthers) {
  auto [client, server] = ConnectedPair();
  Send(client, "abcdef");
  EXPECT_THAT(Read(server, 4), IsOkAndHolds("abcd"));
  EXPECT_OK(server.Unread("cd"));
  EXPECT_OK(server.Unread("b"));
  EXPECT_EQ(server.unread_bytes(), 5u);
  EXPECT_THAT(Read(server), IsOkAndHolds("bcdef"));
  Send(client, "gh");
  EXPECT_THAT(Read(server), IsOkAndHolds("gh"));
}

TEST_F(UnreadTest, EveryKindOfReadGetsThem) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(server.Unread("one"));
  EXPECT_THAT(Peek(server), IsOkAndHolds("one"));
  EXPECT_THAT(TryRead(server), IsOkAndHolds("one"));
  EXPECT_OK(server.Unread("two"));
  EXPECT_EQ(Receive(server).view(), "two");
  Send(client, "xy");
  EXPECT_OK(server.Unread("thr"));
  std::string target(5, '\0');
  EXPECT_OK(Run(server.ReadExactly(absl::MakeSpan(target))));
  EXPECT_EQ(target, "thrxy");
  EXPECT_OK(server.Unread("four"));
  target.resize(4);
  EXPECT_THAT(Run(server.PeekAtLeast(absl::MakeSpan(target), 4)), IsOkAndHolds(4u));
  EXPECT_EQ(target, "four");
}

TEST_F(UnreadTest, TheRestOfABufferIsTakenOverWithoutACopy) {
  auto [client, server] = ConnectedPair();
  Send(client, "headbody");
  Buffer buffer = Receive(server);
  ASSERT_EQ(buffer.view(), "headbody");
  buffer.RemovePrefix(4);
  const char* const memory = buffer.data();
  EXPECT_OK(server.Unread(std::move(buffer)));
  EXPECT_TRUE(buffer.empty());
  buffer = Receive(server);
  EXPECT_EQ(buffer.view(), "body");
  EXPECT_EQ(buffer.data(), memory);
}

TEST_F(UnreadTest, NothingIsNothing) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(server.Unread(""));
  EXPECT_OK(server.Unread(Buffer()));
  EXPECT_EQ(server.unread_bytes(), 0u);
  auto read = Start(ReadSome(&server, 10));
  Settle();
  EXPECT_FALSE(read->done());
  Send(client, "x");
  EXPECT_THAT(Wait(read), IsOkAndHolds("x"));
}

TEST_F(UnreadTest, ComesBeforeTheEndOfTheStream) {
  auto [client, server] = ConnectedPair();
  Send(client, "last");
  EXPECT_OK(Run(client.ShutdownWrite()));
  EXPECT_THAT(ReadAll(server), IsOkAndHolds("last"));
  EXPECT_OK(server.Unread("st"));
  EXPECT_THAT(Read(server), IsOkAndHolds("st"));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(UnreadTest, ComesBeforeAnErrorThatWasNotReported) {
  auto [client, server] = ConnectedPair();
  Send(client, "last");
  EXPECT_THAT(Read(server), IsOkAndHolds("last"));
  client.Abort();
  EXPECT_EQ(ErrnoOf(Peek(server).status()), ECONNRESET);
  EXPECT_OK(server.Unread("st"));
  EXPECT_THAT(Read(server), IsOkAndHolds("st"));
  EXPECT_EQ(ErrnoOf(Read(server).status()), ECONNRESET);
  EXPECT_OK(server.Unread("t"));
  EXPECT_THAT(Read(server), IsOkAndHolds("t"));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(UnreadTest, MoreThanTheHighWaterMarkPausesReceivingOnly) {
  auto [client, server] = ConnectedPair();
  server.set_high_water_mark(1000);
  const std::string pushed = Pattern(100'000);
  EXPECT_OK(server.Unread(pushed));
  const std::string data = Pattern(30'000);
  auto write = Start(WriteAllOf(&client, data));
  std::string read;
  while (read.size() < pushed.size() + data.size()) read += Read(server, 5000).value();
  EXPECT_TRUE(read == pushed + data);
  EXPECT_OK(Wait(write));
}

TEST_F(UnreadTest, AtCloseTheyAreUnreadBytes) {
  auto [client, server] = ConnectedPair();
  Send(client, "abc");
  EXPECT_THAT(Read(server), IsOkAndHolds("abc"));
  EXPECT_OK(server.Unread("c"));
  EXPECT_OK(Run(server.Close()));
  EXPECT_EQ(ErrnoOf(Read(client).status()), ECONNRESET);
}

TEST_F(UnreadTest, AfterCloseIsAFailedPrecondition) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(server.Close()));
  EXPECT_EQ(ErrnoOf(server.Unread("x")), EBADF);
}

TEST_F(UnreadTest, HalvesUnreadToo) {
  auto [client, server] = ConnectedPair();
  auto [reader, writer] = std::move(server).Split();
  EXPECT_OK(reader.Unread("ab"));
  char target[10];
  EXPECT_THAT(Run(reader.Read(absl::MakeSpan(target))), IsOkAndHolds(2u));
  EXPECT_EQ(absl::string_view(target, 2), "ab");
}

// What a proxy does that has read too far before it knew what it is.
TEST_F(UnreadTest, ACopyBeginsWithThem) {
  auto [client, proxied] = ConnectedPair();
  auto [proxy, backend] = ConnectedPair();
  Send(client, "CONNECT\nearly");
  EXPECT_THAT(Read(proxied), IsOkAndHolds("CONNECT\nearly"));
  EXPECT_OK(proxied.Unread("early"));
  Send(client, "late");
  EXPECT_OK(Run(client.ShutdownWrite()));
  const IoResult copied = Run(Copy(proxied, proxy));
  EXPECT_OK(copied);
  EXPECT_OK(Run(proxy.ShutdownWrite()));
  EXPECT_THAT(ReadAll(backend), IsOkAndHolds("earlylate"));
}

TEST(UnreadDeathTest, UnderAReadThatWaitsIsABug) {
  EXPECT_DEATH(
      {
        WorldLoop loop;
        auto listener = TcpListener::Listen(SocketAddress::LoopbackIpv4(0));
        auto client = loop.Run(TcpStream::Connect(listener->LocalAddress()));
        auto read = loop.Start(ReadSome(&*client, 1));
        static_cast<void>(loop.Run(Sleep(absl::Milliseconds(1))));
        static_cast<void>(client->Unread("x"));
      },
      "pushed back under a read");
}

}  // namespace
}  // namespace tandem::testing
