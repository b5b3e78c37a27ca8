// SPDX-License-Identifier: Apache-2.0
//
// Stopping calls on UDP sockets: deadlines, cancellation, close. No datagram is lost by any of them but the last.

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tandem/testing/conformance/number_checker.h"
#include "tandem/testing/conformance/udp_conformance.h"

namespace tandem::testing {
namespace {

using UdpDeadlineTest = UdpConformanceTest;
using UdpCancelTest = UdpConformanceTest;
using UdpCloseTest = UdpConformanceTest;

// --- Deadlines ---

TEST_F(UdpDeadlineTest, DeadlineInThePastWinsOverADatagramThatIsThere) {
  UdpSocket socket = Bind();
  SendTo(socket, "kept", AddressOf(socket));
  Settle();
  EXPECT_THAT(Run(socket.ReceiveDatagram().By(Now() - absl::Seconds(1))), StatusIs(kDeadlineExceeded));
  EXPECT_THAT(Run(socket.ReceiveDatagram().By(Now())), StatusIs(kDeadlineExceeded));
  EXPECT_THAT(Run(socket.ReceiveMany(8).By(Instant::InfinitePast())), StatusIs(kDeadlineExceeded));
  EXPECT_THAT(ReceiveText(socket), IsOkAndHolds("kept"));
}

TEST_F(UdpDeadlineTest, DeadlineInThePastSendsNothing) {
  UdpSocket socket = Bind();
  EXPECT_THAT(Run(socket.SendTo("no", AddressOf(socket)).By(Now() - absl::Seconds(1))), StatusIs(kDeadlineExceeded));
  std::vector<OutgoingDatagram> datagrams;
  datagrams.emplace_back("no", AddressOf(socket));
  const SendManyResult result = Run(socket.SendMany(datagrams).By(Now()));
  EXPECT_THAT(result, StatusIs(kDeadlineExceeded));
  EXPECT_EQ(result.sent, 0u);
  ExpectNothing(socket);
}

TEST_F(UdpDeadlineTest, DeadlineInTheFuturePasses) {
  UdpSocket socket = Bind();
  const Instant deadline = Now() + absl::Milliseconds(5);
  EXPECT_THAT(Run(socket.ReceiveDatagram().By(deadline)), StatusIs(kDeadlineExceeded));
  EXPECT_GE(loop_.shard().now(), deadline);
}

TEST_F(UdpDeadlineTest, DeadlineFarAwayDoesNotMatter) {
  UdpSocket socket = Bind();
  SendTo(socket, "x", AddressOf(socket));
  EXPECT_OK(Run(socket.ReceiveDatagram().By(Instant::InfiniteFuture())));
  EXPECT_OK(Run(socket.SendTo("y", AddressOf(socket)).By(Now() + absl::Hours(1'000'000))));
  EXPECT_OK(Run(socket.ReceiveDatagram().By(Now() + absl::Hours(1'000'000))));
}

TEST_F(UdpDeadlineTest, SocketWorksAfterATimeout) {
  UdpSocket socket = Bind();
  ExpectNothing(socket);
  SendTo(socket, "after", AddressOf(socket));
  EXPECT_THAT(ReceiveText(socket), IsOkAndHolds("after"));
}

// --- Cancellation ---

TEST_F(UdpCancelTest, CancelledReceiveLeavesTheDatagramToTheNext) {
  UdpSocket socket = Bind();
  auto receive = Start(ReceiveString(&socket));
  Settle();
  receive->Cancel();
  EXPECT_THAT(Wait(receive), StatusIs(kCancelled));
  SendTo(socket, "kept", AddressOf(socket));
  EXPECT_THAT(ReceiveText(socket), IsOkAndHolds("kept"));
}

TEST_F(UdpCancelTest, CancelledReceiverIsSkipped) {
  UdpSocket socket = Bind();
  auto first = Start(ReceiveString(&socket));
  auto second = Start(ReceiveString(&socket));
  Settle();
  first->Cancel();
  SendTo(socket, "x", AddressOf(socket));
  EXPECT_THAT(Wait(first), StatusIs(kCancelled));
  EXPECT_THAT(Wait(second), IsOkAndHolds("x"));
}

TEST_F(UdpCancelTest, DatagramThatCameBeforeTheCancellationIsTheResultOrStays) {
  for (int i = 0; i < 50; ++i) {
    UdpSocket socket = Bind();
    auto receive = Start(ReceiveString(&socket));
    Settle();
    EXPECT_THAT(socket.TrySendTo("x", AddressOf(socket)), IsOkAndHolds(std::optional<size_t>(1)));
    if (i % 2 == 1) {
      EXPECT_OK(Run(Sleep(absl::Microseconds(i))));
    }
    receive->Cancel();
    const auto result = Wait(receive);
    if (result.ok()) {
      EXPECT_EQ(*result, "x");
    } else {
      EXPECT_THAT(result, StatusIs(kCancelled));
      EXPECT_THAT(ReceiveText(socket), IsOkAndHolds("x"));
    }
  }
}

TEST_F(UdpCancelTest, StickyCancellationStopsEveryCall) {
  UdpSocket socket = Bind();
  SendTo(socket, "kept", AddressOf(socket));
  Settle();
  CancelScope scope;
  scope.Cancel();
  EXPECT_THAT(Run(scope.Run(ReceiveString(&socket))), StatusIs(kCancelled));
  EXPECT_THAT(Run(scope.Run(SendString(&socket, "no", AddressOf(socket)))), StatusIs(kCancelled));
  EXPECT_EQ(ReceiveAll(socket), std::vector<std::string>{"kept"});
}

// What the one or the other of the sockets received first.
Task<absl::StatusOr<std::string>> ReceiveFromEither(UdpSocket* first, UdpSocket* second) {
  auto [at_first, at_second] = co_await WhenAny(ReceiveString(first), ReceiveString(second));
  if (at_first.has_value()) co_return *std::move(at_first);
  if (at_second.has_value()) co_return *std::move(at_second);
  co_return CancelledStatus();
}

TEST_F(UdpCancelTest, LoserOfWhenAnyKeepsItsDatagram) {
  UdpSocket first = Bind();
  UdpSocket second = Bind();
  SendTo(first, "1", AddressOf(first));
  EXPECT_THAT(Run(ReceiveFromEither(&first, &second)), IsOkAndHolds("1"));
  SendTo(second, "2", AddressOf(second));
  EXPECT_THAT(ReceiveText(second), IsOkAndHolds("2"));
}

constexpr uint64_t kMostUnderWay = 24;  // So few that no buffer overflows.

Task<absl::Status> SendNumbers(UdpSocket* socket, SocketAddress destination, const bool* stop, uint64_t* sent,
                               const NumberChecker* checker) {
  while (!*stop) {
    if (*sent - checker->next() < kMostUnderWay) {
      char data[sizeof(uint64_t)];
      std::memcpy(data, sent, sizeof(data));
      absl::Status status = co_await socket->SendTo(absl::string_view(data, sizeof(data)), destination);
      if (!status.ok()) co_return status;
      ++*sent;
    }
    absl::Status slept = co_await Sleep(absl::Microseconds(Random("pause").Between(0, 60)));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

// Receives under random timeouts until `timeouts` of them were met.
Task<absl::Status> ReceiveNumbers(UdpSocket* socket, int timeouts, NumberChecker* checker) {
  int met = 0;
  while (met < timeouts) {
    const auto timeout = absl::Nanoseconds(Random("timeout").Between(0, 40'000));
    absl::Status status;
    if (Random("how").Below(2) == 0) {
      char target[sizeof(uint64_t)];
      absl::StatusOr<ReceivedDatagram> received =
          co_await WithTimeout(timeout, socket->ReceiveFrom(absl::MakeSpan(target)));
      status = received.status();
      if (received.ok()) checker->Add(target, received->size);
    } else {
      absl::StatusOr<std::vector<Datagram>> received = co_await WithTimeout(timeout, socket->ReceiveMany(3));
      status = received.status();
      if (received.ok()) {
        for (const Datagram& datagram : *received) checker->Add(datagram.data.data(), datagram.data.size());
      }
    }
    if (absl::IsDeadlineExceeded(status)) {
      ++met;
    } else if (!status.ok()) {
      co_return status;
    }
  }
  co_return absl::OkStatus();
}

TEST_F(UdpCancelTest, NoGapAndNoRepeatUnderRandomTimeouts) {
  UdpSocket sender = Bind();
  UdpSocket receiver = Bind();
  bool stop = false;
  uint64_t sent = 0;
  NumberChecker checker;
  auto send = Start(SendNumbers(&sender, AddressOf(receiver), &stop, &sent, &checker));
  const int timeouts = IsSimulated() ? 1'000'000 : 100'000;
  auto receive = Start(ReceiveNumbers(&receiver, timeouts, &checker));
  loop_.TurnUntil([&] { return receive->done(); }, absl::Minutes(5));
  EXPECT_OK(Wait(receive));
  stop = true;
  EXPECT_OK(Wait(send));
  for (const std::string& rest : ReceiveAll(receiver)) checker.Add(rest.data(), rest.size());
  EXPECT_EQ(checker.mistakes(), 0);
  EXPECT_EQ(checker.next(), sent);
  EXPECT_GT(sent, 100u);
  std::printf("%d timeouts, %llu datagrams without gap or repeat\n", timeouts, static_cast<unsigned long long>(sent));
}

// --- Close ---

TEST_F(UdpCloseTest, EndsReceivesThatWait) {
  UdpSocket socket = Bind();
  auto first = Start(ReceiveString(&socket));
  auto second = Start(ReceiveString(&socket));
  Settle();
  EXPECT_OK(Run(socket.Close()));
  EXPECT_EQ(ErrnoOf(Wait(first).status()), EBADF);
  EXPECT_THAT(Wait(second), StatusIs(kFailedPrecondition));
}

TEST_F(UdpCloseTest, EndsSendsThatWaitOrTheyWereFaster) {
  UdpSocket socket = Bind();
  UdpSocket receiver = Bind();
  std::vector<std::unique_ptr<Background<absl::Status>>> sends;
  sends.reserve(20);
  for (int i = 0; i < 20; ++i) sends.push_back(Start(SendString(&socket, Pattern(60'000), AddressOf(receiver))));
  auto close = Start([](UdpSocket* closed) -> Task<absl::Status> {
    absl::Status status = co_await closed->Close();
    co_return status;
  }(&socket));
  EXPECT_OK(Wait(close));
  for (auto& send : sends) {
    const absl::Status status = Wait(send);
    EXPECT_TRUE(status.ok() || ErrnoOf(status) == EBADF) << status;
  }
}

TEST_F(UdpCloseTest, LaterCallsFail) {
  UdpSocket socket = Bind();
  const SocketAddress address = AddressOf(socket);
  EXPECT_OK(Run(socket.Close()));
  EXPECT_EQ(ErrnoOf(ReceiveText(socket).status()), EBADF);
  EXPECT_EQ(ErrnoOf(Run(socket.SendTo("x", address))), EBADF);
  EXPECT_EQ(ErrnoOf(Run(socket.Send("x"))), EBADF);
  EXPECT_EQ(ErrnoOf(Run(socket.ReceiveMany(1)).status()), EBADF);
  EXPECT_OK(Run(socket.Close()));
}

TEST_F(UdpCloseTest, DatagramsThatNobodyTookAreGone) {
  UdpSocket socket = Bind();
  ExpectNothing(socket);  // Begins to receive.
  SendTo(socket, "x", AddressOf(socket));
  Settle();
  EXPECT_EQ(socket.queued(), 1u);
  EXPECT_OK(Run(socket.Close()));
  EXPECT_EQ(ErrnoOf(ReceiveText(socket).status()), EBADF);
}

TEST_F(UdpCloseTest, DestructorClosesInTheBackground) {
  auto socket = std::make_unique<UdpSocket>(Bind());
  const SocketAddress address = AddressOf(*socket);
  auto receive = Start(ReceiveString(socket.get()));
  Settle();
  socket = nullptr;
  EXPECT_EQ(ErrnoOf(Wait(receive).status()), EBADF);
  Settle();
  EXPECT_OK(UdpSocket::Bind(address));
}

TEST_F(UdpCloseTest, AssignmentClosesTheOldSocket) {
  UdpSocket socket = Bind();
  const SocketAddress old = AddressOf(socket);
  UdpSocket other = Bind();
  const SocketAddress address = AddressOf(other);
  socket = std::move(other);
  EXPECT_FALSE(other.valid());
  EXPECT_EQ(AddressOf(socket), address);
  Settle();
  EXPECT_OK(UdpSocket::Bind(old));
  UdpSocket none;
  EXPECT_FALSE(none.valid());
  none = std::move(socket);
  EXPECT_TRUE(none.valid());
}

}  // namespace
}  // namespace tandem::testing
