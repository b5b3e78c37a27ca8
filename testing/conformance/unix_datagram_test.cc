// SPDX-License-Identifier: Apache-2.0
//
// Unix datagram sockets: names, pairs, and that nothing is lost when a queue is full.

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tandem/testing/conformance/number_checker.h"
#include "tandem/testing/conformance/unix_conformance.h"

namespace tandem::testing {
namespace {

class UnixDatagramTest : public UnixConformanceTest {
 protected:
  absl::StatusOr<std::string> Receive(UnixDatagram& socket) {
    auto datagram = Run(socket.ReceiveDatagram());
    if (!datagram.ok()) return datagram.status();
    return std::string(datagram->data.view());
  }
  void ExpectNothing(UnixDatagram& socket) {
    EXPECT_THAT(Run(socket.ReceiveDatagram().By(Now() + absl::Milliseconds(20))), StatusIs(kDeadlineExceeded));
  }
};

TEST_F(UnixDatagramTest, DatagramArrivesWithItsSource) {
  for (const bool abstract : {false, true}) {
    const SocketAddress from = abstract ? Abstract("from") : Path("from");
    const SocketAddress to = abstract ? Abstract("to") : Path("to");
    UnixDatagram sender = BindUnix(from);
    UnixDatagram receiver = BindUnix(to);
    EXPECT_OK(Run(sender.SendTo("hello", to)));
    std::string target(100, '\0');
    auto received = Run(receiver.ReceiveFrom(absl::MakeSpan(target)));
    ASSERT_OK(received);
    EXPECT_EQ(target.substr(0, received->size), "hello");
    EXPECT_EQ(received->source, from);
    EXPECT_OK(Run(receiver.SendTo("back", received->source)));
    EXPECT_THAT(Receive(sender), IsOkAndHolds("back"));
  }
}

TEST_F(UnixDatagramTest, SenderWithoutNameHasNoSource) {
  auto sender = UnixDatagram::Open();
  ASSERT_OK(sender);
  UnixDatagram receiver = BindUnix(Path("to"));
  EXPECT_OK(Run(sender->SendTo("x", Path("to"))));
  auto received = Run(receiver.ReceiveFrom({}));
  ASSERT_OK(received);
  EXPECT_EQ(received->source.family(), AddressFamily::kNone);
}

TEST_F(UnixDatagramTest, PairIsConnected) {
  auto [first, second] = DatagramPair();
  EXPECT_OK(Run(first.Send("there")));
  EXPECT_OK(Run(second.Send("back")));
  EXPECT_THAT(Receive(second), IsOkAndHolds("there"));
  EXPECT_THAT(Receive(first), IsOkAndHolds("back"));
}

TEST_F(UnixDatagramTest, BoundariesAndEmptyDatagramsAreKept) {
  auto [first, second] = DatagramPair();
  for (const char* data : {"a", "", "bcd"}) EXPECT_OK(Run(first.Send(data)));
  for (const char* data : {"a", "", "bcd"}) EXPECT_THAT(Receive(second), IsOkAndHolds(data));
}

TEST_F(UnixDatagramTest, LongDatagramIsTruncatedAndTheNextIsIntact) {
  auto [first, second] = DatagramPair();
  EXPECT_OK(Run(first.Send("0123456789")));
  EXPECT_OK(Run(first.Send("next")));
  std::string target(4, '\0');
  auto received = Run(second.ReceiveFrom(absl::MakeSpan(target)));
  ASSERT_OK(received);
  EXPECT_TRUE(received->truncated);
  EXPECT_EQ(target, "0123");
  EXPECT_THAT(Receive(second), IsOkAndHolds("next"));
}

TEST_F(UnixDatagramTest, LargerThanUdpAllows) {
  auto [first, second] = DatagramPair();
  EXPECT_OK(first.set_send_buffer_size(200'000));
  const std::string data = Pattern(150'000);
  EXPECT_OK(Run(first.Send(data)));
  auto received = Run(second.ReceiveDatagram());
  ASSERT_OK(received);
  EXPECT_FALSE(received->truncated);
  EXPECT_TRUE(received->data.view() == data);
}

TEST_F(UnixDatagramTest, LongerThanTheSendBufferIsTooLong) {
  auto [first, second] = DatagramPair();
  EXPECT_OK(first.set_send_buffer_size(5'000));
  const absl::Status status = Run(first.Send(Pattern(50'000)));
  EXPECT_THAT(status, StatusIs(kInvalidArgument));
  EXPECT_EQ(ErrnoOf(status), EMSGSIZE);
}

TEST_F(UnixDatagramTest, DestinationMustExistAndBeAlive) {
  auto sender = UnixDatagram::Open();
  ASSERT_OK(sender);
  EXPECT_EQ(ErrnoOf(Run(sender->SendTo("x", Path("nobody")))), ENOENT);
  EXPECT_EQ(ErrnoOf(Run(sender->SendTo("x", Abstract("nobody")))), ECONNREFUSED);
  EXPECT_EQ(ErrnoOf(sender->Connect(Path("nobody"))), ENOENT);
  UnixDatagram gone = BindUnix(Path("gone"));
  EXPECT_OK(Run(gone.Close()));
  EXPECT_EQ(ErrnoOf(Run(sender->SendTo("x", Path("gone")))), ECONNREFUSED);
}

TEST_F(UnixDatagramTest, SendWithoutPeerFails) {
  auto sender = UnixDatagram::Open();
  ASSERT_OK(sender);
  const absl::Status status = Run(sender->Send("x"));
  EXPECT_THAT(status, StatusIs(kFailedPrecondition));
  EXPECT_EQ(ErrnoOf(status), ENOTCONN);
}

TEST_F(UnixDatagramTest, ConnectedSocketReceivesFromItsPeerOnly) {
  UnixDatagram socket = BindUnix(Path("socket"));
  UnixDatagram peer = BindUnix(Path("peer"));
  UnixDatagram other = BindUnix(Path("other"));
  EXPECT_OK(socket.Connect(Path("peer")));
  EXPECT_THAT(socket.PeerAddress(), IsOkAndHolds(Path("peer")));
  EXPECT_OK(Run(socket.Send("out")));
  EXPECT_THAT(Receive(peer), IsOkAndHolds("out"));
  // Where UDP drops, Unix tells.
  EXPECT_EQ(ErrnoOf(Run(other.SendTo("no", Path("socket")))), EPERM);
  EXPECT_OK(Run(peer.SendTo("yes", Path("socket"))));
  EXPECT_THAT(Receive(socket), IsOkAndHolds("yes"));

  EXPECT_OK(socket.Disconnect());
  EXPECT_EQ(ErrnoOf(socket.PeerAddress().status()), ENOTCONN);
  EXPECT_OK(Run(other.SendTo("now", Path("socket"))));
  EXPECT_THAT(Receive(socket), IsOkAndHolds("now"));
}

TEST_F(UnixDatagramTest, NamesAreTakenAsForStreams) {
  UnixDatagram socket = BindUnix(Path("socket"));
  EXPECT_THAT(socket.LocalAddress(), IsOkAndHolds(Path("socket")));
  EXPECT_EQ(ErrnoOf(UnixDatagram::Bind(Path("socket")).status()), EADDRINUSE);
  UnixDatagram abstract = BindUnix(Abstract("name"));
  EXPECT_EQ(ErrnoOf(UnixDatagram::Bind(Abstract("name")).status()), EADDRINUSE);
  EXPECT_OK(Run(abstract.Close()));
  EXPECT_OK(UnixDatagram::Bind(Abstract("name")));
}

TEST_F(UnixDatagramTest, PeerThatIsGoneRefuses) {
  auto [first, second] = DatagramPair();
  EXPECT_OK(Run(second.Close()));
  const absl::Status status = Run(first.Send("x"));
  EXPECT_THAT(status, StatusIs(kUnavailable));
}

TEST_F(UnixDatagramTest, CloseEndsCallsThatWait) {
  auto [first, second] = DatagramPair();
  auto receive = Start([](UnixDatagram* socket) -> Task<absl::StatusOr<Datagram>> {
    absl::StatusOr<Datagram> datagram = co_await socket->ReceiveDatagram();
    co_return datagram;
  }(&first));
  Settle();
  EXPECT_OK(Run(first.Close()));
  EXPECT_EQ(ErrnoOf(Wait(receive).status()), EBADF);
}

// --- A full queue: sending waits, and nothing is lost ---

Task<SendManyResult> SendNumbered(UnixDatagram* socket, SocketAddress destination, int count) {
  std::vector<std::string> data;
  std::vector<OutgoingDatagram> datagrams;
  data.reserve(static_cast<size_t>(count));
  datagrams.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    data.push_back(absl::StrCat(i));
    datagrams.emplace_back(data.back(), destination);
  }
  SendManyResult result = co_await socket->SendMany(datagrams);
  co_return result;
}

TEST_F(UnixDatagramTest, ConnectedSenderWaitsForTheReceiver) {
  auto [first, second] = DatagramPair();
  auto send = Start(SendNumbered(&first, SocketAddress(), 2'000));
  Settle();
  EXPECT_FALSE(send->done());
  for (int i = 0; i < 2'000; ++i) EXPECT_THAT(Receive(second), IsOkAndHolds(absl::StrCat(i)));
  const SendManyResult result = Wait(send);
  EXPECT_OK(result);
  EXPECT_EQ(result.sent, 2'000u);
}

TEST_F(UnixDatagramTest, UnconnectedSenderWaitsForTheReceiver) {
  auto sender = UnixDatagram::Open();
  ASSERT_OK(sender);
  UnixDatagram receiver = BindUnix(Abstract("to"));
  auto send = Start(SendNumbered(&*sender, Abstract("to"), 500));
  Settle();
  EXPECT_FALSE(send->done());
  for (int i = 0; i < 500; ++i) EXPECT_THAT(Receive(receiver), IsOkAndHolds(absl::StrCat(i)));
  EXPECT_EQ(Wait(send).sent, 500u);
}

TEST_F(UnixDatagramTest, StoppedSendManySaysHowManyWent) {
  auto [first, second] = DatagramPair();
  auto send = Start(SendNumbered(&first, SocketAddress(), 2'000));
  Settle();
  send->Cancel();
  const SendManyResult result = Wait(send);
  EXPECT_THAT(result, StatusIs(kCancelled));
  EXPECT_GT(result.sent, 0u);
  for (size_t i = 0; i < result.sent; ++i) EXPECT_THAT(Receive(second), IsOkAndHolds(absl::StrCat(i)));
  ExpectNothing(second);
  EXPECT_OK(Run(first.Send("goes on")));
  EXPECT_THAT(Receive(second), IsOkAndHolds("goes on"));
}

TEST_F(UnixDatagramTest, TrySendSaysWhenTheQueueIsFull) {
  auto [first, second] = DatagramPair();
  int sent = 0;
  for (;;) {
    const auto tried = first.TrySendTo("x", SocketAddress());
    ASSERT_OK(tried);
    if (!tried->has_value()) break;
    ++sent;
    ASSERT_LT(sent, 100'000);
  }
  EXPECT_GT(sent, 0);
  for (int i = 0; i < sent; ++i) EXPECT_THAT(Receive(second), IsOkAndHolds("x"));
}

Task<absl::Status> SendUntilStopped(UnixDatagram* socket, uint64_t* sent) {
  for (;;) {
    char data[sizeof(uint64_t)];
    std::memcpy(data, sent, sizeof(data));
    const auto timeout = absl::Nanoseconds(Random("send").Between(0, 30'000));
    absl::Status status = co_await WithTimeout(timeout, socket->Send(absl::string_view(data, sizeof(data))));
    if (status.ok()) ++*sent;
    if (!status.ok() && !absl::IsDeadlineExceeded(status)) co_return status;
    absl::Status yielded = co_await Yield();
    if (!yielded.ok()) co_return yielded;
  }
}

Task<absl::Status> ReceiveUnderTimeouts(UnixDatagram* socket, int timeouts, NumberChecker* checker) {
  int met = 0;
  while (met < timeouts) {
    const auto timeout = absl::Nanoseconds(Random("receive").Between(0, 10'000));
    char target[sizeof(uint64_t)];
    absl::StatusOr<ReceivedDatagram> received =
        co_await WithTimeout(timeout, socket->ReceiveFrom(absl::MakeSpan(target)));
    if (received.ok()) {
      checker->Add(target, received->size);
    } else if (absl::IsDeadlineExceeded(received.status())) {
      ++met;
    } else {
      co_return received.status();
    }
  }
  co_return absl::OkStatus();
}

// Both sides are stopped at random times; the queue between them is full most of the time.
TEST_F(UnixDatagramTest, NoGapAndNoRepeatUnderRandomTimeouts) {
  auto [first, second] = DatagramPair();
  uint64_t sent = 0;
  NumberChecker checker;
  auto send = Start(SendUntilStopped(&first, &sent));
  EXPECT_OK(Run(ReceiveUnderTimeouts(&second, 2'000, &checker)));
  send->Cancel();
  EXPECT_THAT(Wait(send), StatusIs(kCancelled));
  while (checker.next() < sent) {
    const auto rest = Receive(second);
    ASSERT_OK(rest);
    checker.Add(rest->data(), rest->size());
  }
  ExpectNothing(second);
  EXPECT_EQ(checker.mistakes(), 0);
  EXPECT_GT(sent, 100u);
}

}  // namespace
}  // namespace tandem::testing
