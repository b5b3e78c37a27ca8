// SPDX-License-Identifier: Apache-2.0
//
// Deadlines in the past, present and future, and cancellation at every moment: nothing is lost, done twice or touched
// after the call has returned.

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tandem/testing/conformance/tcp_conformance.h"

namespace tandem::testing {
namespace {

class DeadlineTest : public TcpConformanceTest {};
class CancelRaceTest : public TcpConformanceTest {
 protected:
  // Lets a call get further the higher `i` is, over and over.
  void Advance(int i) {
    if (i % 4 == 1) EXPECT_OK(Run(Yield()));
    if (i % 4 == 2) Settle();
    if (i % 4 == 3) EXPECT_OK(Run(Sleep(absl::Microseconds(20 * (i % 13)))));
  }
};

// --- Deadlines ---

TEST_F(DeadlineTest, InThePastOrPresentStopsEveryReadingCallThoughBytesAreThere) {
  auto [client, server] = ConnectedPair();
  Send(client, "abc");
  EXPECT_THAT(Peek(server), IsOkAndHolds("abc"));
  std::string target(10, '\0');
  for (const absl::Duration ago : {absl::ZeroDuration(), absl::Seconds(1), absl::Hours(100)}) {
    const Instant deadline = Now() - ago;
    EXPECT_EQ(Run(server.Read(absl::MakeSpan(target)).By(deadline)).status(), DeadlineExceededStatus());
    EXPECT_EQ(Run(server.Receive().By(deadline)).status(), DeadlineExceededStatus());
    EXPECT_EQ(Run(server.Peek(absl::MakeSpan(target)).By(deadline)).status(), DeadlineExceededStatus());
    const IoResult least = Run(server.ReadAtLeast(absl::MakeSpan(target), 1).By(deadline));
    EXPECT_EQ(least.status, DeadlineExceededStatus());
    EXPECT_EQ(least.bytes, 0u);
  }
  EXPECT_THAT(Read(server), IsOkAndHolds("abc"));
}

TEST_F(DeadlineTest, InThePastOrPresentStopsEveryWritingCallThoughThereIsRoom) {
  auto [client, server] = ConnectedPair();
  const IoSlice slice{"abc", 3};
  for (const absl::Duration ago : {absl::ZeroDuration(), absl::Seconds(1)}) {
    const Instant deadline = Now() - ago;
    EXPECT_EQ(Run(client.WriteSome("abc").By(deadline)).status(), DeadlineExceededStatus());
    EXPECT_EQ(Run(client.WriteAll("abc").By(deadline)).status, DeadlineExceededStatus());
    EXPECT_EQ(Run(client.WriteAll(absl::MakeConstSpan(&slice, 1)).By(deadline)).status, DeadlineExceededStatus());
    EXPECT_EQ(Run(client.ShutdownWrite().By(deadline)), DeadlineExceededStatus());
  }
  Send(client, "next");
  EXPECT_THAT(Read(server), IsOkAndHolds("next"));
}

TEST_F(DeadlineTest, InTheFutureIsForgottenWhenTheCallIsDone) {
  auto [client, server] = ConnectedPair();
  std::string target(3, '\0');
  Send(client, "abc");
  EXPECT_THAT(Run(server.Read(absl::MakeSpan(target)).By(Now() + absl::Milliseconds(500))), IsOkAndHolds(3u));
  auto read = Start(ReadSome(&server, 10));
  EXPECT_OK(Run(Sleep(absl::Milliseconds(600))));
  EXPECT_FALSE(read->done());
  Send(client, "late");
  EXPECT_THAT(Wait(read), IsOkAndHolds("late"));
}

TEST_F(DeadlineTest, OfAWriteLeavesReadsAlone) {
  auto [client, server] = ConnectedPair();
  FillUp(client);
  auto read = Start(ReadSome(&client, 10));
  EXPECT_EQ(Run(client.WriteSome("more").By(Now() + absl::Milliseconds(2))).status(), DeadlineExceededStatus());
  EXPECT_FALSE(read->done());
  Send(server, "read");
  EXPECT_THAT(Wait(read), IsOkAndHolds("read"));
}

TEST_F(DeadlineTest, TheEarliestCounts) {
  auto [client, server] = ConnectedPair();
  std::string target(3, '\0');
  const Instant soon = Now() + absl::Milliseconds(1);
  EXPECT_EQ(Run(server.Read(absl::MakeSpan(target)).By(soon).By(Now() + absl::Hours(1))).status(),
            DeadlineExceededStatus());
  EXPECT_EQ(Run(server.Read(absl::MakeSpan(target)).By(Now() + absl::Hours(1)).By(soon)).status(),
            DeadlineExceededStatus());
}

TEST_F(DeadlineTest, OfAScopeCoversAllItsCalls) {
  auto [client, server] = ConnectedPair();
  std::string received;
  Send(client, "some");
  const absl::Status status = Run(WithTimeout(absl::Milliseconds(5), ReadToEnd(&server, &received)));
  EXPECT_EQ(status, DeadlineExceededStatus());
  EXPECT_EQ(received, "some");
  Send(client, "rest");
  EXPECT_THAT(Read(server), IsOkAndHolds("rest"));
}

TEST_F(DeadlineTest, OfACallThatIsNeverAnsweredEndsEachKind) {
  auto [client, server] = ConnectedPair();
  std::string target(3, '\0');
  const auto soon = [] { return Now() + absl::Milliseconds(1); };
  EXPECT_EQ(Run(server.Receive().By(soon())).status(), DeadlineExceededStatus());
  EXPECT_EQ(Run(server.Peek(absl::MakeSpan(target)).By(soon())).status(), DeadlineExceededStatus());
  EXPECT_EQ(Run(server.ReadAtLeast(absl::MakeSpan(target), 2).By(soon())).status, DeadlineExceededStatus());
  FillUp(client);
  EXPECT_EQ(Run(client.WriteSome("x").By(soon())).status(), DeadlineExceededStatus());
  EXPECT_EQ(Run(client.WriteAll("x").By(soon())).status, DeadlineExceededStatus());
}

// --- Cancellation ---

TEST_F(CancelRaceTest, ReadLosesNothingAndLeavesItsTargetAlone) {
  auto [client, server] = ConnectedPair();
  std::string sent;
  std::string received;
  for (int i = 0; i < 200; ++i) {
    auto read = Start(ReadSome(&server, 100));
    const std::string piece = absl::StrCat(i, ",");
    sent += piece;
    Send(client, piece);
    Advance(i);
    read->Cancel();
    auto result = Wait(read);
    if (result.ok()) received += *result;
  }
  EXPECT_OK(Run(client.Close()));
  received += ReadAll(server).value();
  EXPECT_EQ(received, sent);
}

TEST_F(CancelRaceTest, ReceiveLosesNothing) {
  auto [client, server] = ConnectedPair();
  std::string sent;
  std::string received;
  for (int i = 0; i < 200; ++i) {
    auto receive = Start(ReceiveSome(&server));
    const std::string piece = absl::StrCat(i, ",");
    sent += piece;
    Send(client, piece);
    Advance(i);
    receive->Cancel();
    auto result = Wait(receive);
    if (result.ok()) received += *result;
  }
  EXPECT_OK(Run(client.Close()));
  received += ReadAll(server).value();
  EXPECT_EQ(received, sent);
}

TEST_F(CancelRaceTest, ReadAtLeastCountsWhatItTook) {
  auto [client, server] = ConnectedPair();
  std::string sent;
  std::string received;
  for (int i = 0; i < 200; ++i) {
    std::string target(100, '\0');
    auto read = Start(ReadMin(&server, &target, 5));
    const std::string piece = absl::StrCat(i, ",");
    sent += piece;
    Send(client, piece);
    Advance(i);
    read->Cancel();
    received.append(target, 0, Wait(read).bytes);
  }
  EXPECT_OK(Run(client.Close()));
  received += ReadAll(server).value();
  EXPECT_EQ(received, sent);
}

TEST_F(CancelRaceTest, PeekTakesNothing) {
  auto [client, server] = ConnectedPair();
  std::string sent;
  for (int i = 0; i < 50; ++i) {
    auto peek = Start(PeekSome(&server, 1000));
    const std::string piece = absl::StrCat(i, ",");
    sent += piece;
    Send(client, piece);
    Advance(i);
    peek->Cancel();
    auto result = Wait(peek);
    if (result.ok()) EXPECT_EQ(*result, sent.substr(0, result->size()));
  }
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(ReadAll(server), IsOkAndHolds(sent));
}

TEST_F(CancelRaceTest, WriteSendsWhatItSaysAndNoMore) {
  auto [client, server] = ConnectedPair();
  std::string received;
  auto reader = Start(ReadToEnd(&server, &received));
  std::string sent;
  const std::string data = Pattern(200'000);
  for (int i = 0; i < 200; ++i) {
    auto write = Start(WriteSome(&client, data));
    Advance(i);
    write->Cancel();
    auto count = Wait(write);
    if (count.ok()) sent += data.substr(0, *count);
  }
  EXPECT_OK(Run(client.Close()));
  EXPECT_OK(Wait(reader));
  EXPECT_TRUE(received == sent) << received.size() << " of " << sent.size();
}

TEST_F(CancelRaceTest, MemoryOfAStoppedWriteMayBeReusedAtOnce) {
  auto [client, server] = ConnectedPair();
  std::string received;
  auto reader = Start(ReadToEnd(&server, &received));
  size_t sent = 0;
  for (int i = 0; i < 100; ++i) {
    // The memory is the frame's: gone, or overwritten, as soon as the call has returned.
    auto write = Start(WriteAllOf(&client, std::string(100'000, 'a')));
    Advance(i);
    write->Cancel();
    sent += Wait(write).bytes;
    client.AcceptPartial();
    auto overwrite = Start(WriteAllOf(&client, std::string(100'000, 'a')));
    sent += Wait(overwrite).bytes;
  }
  EXPECT_OK(Run(client.Close()));
  EXPECT_OK(Wait(reader));
  EXPECT_EQ(received.size(), sent);
  EXPECT_EQ(received.find_first_not_of('a'), std::string::npos);
}

TEST_F(CancelRaceTest, ShutdownThatIsQueuedIsTakenBack) {
  auto [client, server] = ConnectedPair();
  const std::string data = Pattern(4 << 20);
  auto write = Start(WriteAllOf(&client, data));
  auto shutdown = Start(ShutDownWriting(&client));
  Settle();
  shutdown->Cancel();
  EXPECT_EQ(Wait(shutdown), CancelledStatus());
  std::string received(data.size(), '\0');
  EXPECT_OK(Run(server.ReadExactly(absl::MakeSpan(received))));
  EXPECT_OK(Wait(write));
  Send(client, "still open");
  EXPECT_THAT(Read(server), IsOkAndHolds("still open"));
}

TEST_F(CancelRaceTest, ConnectOfABoundSocketFreesItsAddressUnlessItWon) {
  TcpListener listener = Listen();
  for (int i = 0; i < 40; ++i) {
    TcpSocket socket = OpenBound();
    const SocketAddress address = AddressOf(socket);
    auto connect = Start(ConnectSocket(std::move(socket), listener.LocalAddress()));
    Advance(i);
    connect->Cancel();
    auto stream = Wait(connect);
    if (stream.ok()) {
      EXPECT_THAT(stream->LocalAddress(), IsOkAndHolds(address));
      stream->Abort();
      EXPECT_OK(Run(stream->Close()));
    } else {
      EXPECT_EQ(stream.status(), CancelledStatus());
    }
    Settle();
    EXPECT_OK(Open().Bind(address)) << i;
  }
}

TEST_F(CancelRaceTest, AcceptLosesNoConnectionWhoeverTakesIt) {
  TcpListener listener = Listen();
  std::vector<TcpStream> clients;
  std::vector<SocketAddress> accepted;
  clients.reserve(60);
  for (int i = 0; i < 60; ++i) {
    auto accept = Start(AcceptOne(&listener));
    clients.push_back(Connect(listener.LocalAddress()));
    Advance(i);
    accept->Cancel();
    auto server = Wait(accept);
    if (server.ok()) accepted.push_back(server->PeerAddress());
    auto more = listener.TryAccept();
    ASSERT_OK(more);
    if (more->has_value()) accepted.push_back((*more)->PeerAddress());
  }
  while (accepted.size() < clients.size()) accepted.push_back(Accept(listener).PeerAddress());
  for (size_t i = 0; i < clients.size(); ++i) EXPECT_THAT(clients[i].LocalAddress(), IsOkAndHolds(accepted[i]));
}

TEST_F(CancelRaceTest, CancelledScopeStopsEveryLaterCall) {
  auto [client, server] = ConnectedPair();
  Send(client, "there");
  EXPECT_THAT(Peek(server), IsOkAndHolds("there"));
  const auto calls = [](TcpStream* stream, CancelScope* scope) -> Task<absl::Status> {
    scope->Cancel();
    char byte;
    const auto read = co_await stream->Read(absl::MakeSpan(&byte, 1));
    EXPECT_EQ(read.status(), CancelledStatus());
    const auto peek = co_await stream->Peek(absl::MakeSpan(&byte, 1));
    EXPECT_EQ(peek.status(), CancelledStatus());
    const IoResult write = co_await stream->WriteAll("x");
    EXPECT_EQ(write.status, CancelledStatus());
    const absl::Status shutdown = co_await stream->ShutdownWrite();
    EXPECT_EQ(shutdown, CancelledStatus());
    const absl::Status flush = co_await stream->Flush();
    EXPECT_EQ(flush, CancelledStatus());
    // Calls that never wait are no calls to stop.
    EXPECT_OK(stream->TryWrite("tried"));
    co_return absl::OkStatus();
  };
  const auto scoped = [](CancelScope* scope, Task<absl::Status> task) -> Task<absl::Status> {
    absl::Status status = co_await scope->Run(std::move(task));
    co_return status;
  };
  CancelScope scope;
  EXPECT_OK(Run(scoped(&scope, calls(&server, &scope))));
  EXPECT_THAT(Read(server), IsOkAndHolds("there"));
  EXPECT_THAT(Read(client), IsOkAndHolds("tried"));
}

}  // namespace
}  // namespace tandem::testing
