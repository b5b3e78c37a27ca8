// SPDX-License-Identifier: Apache-2.0
//
// Connecting, listening and accepting.

#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tandem/testing/conformance/socket_conformance.h"

namespace tandem::testing {
namespace {

class ConnectTest : public SocketConformanceTest {};
class ListenTest : public SocketConformanceTest {};
class AcceptTest : public SocketConformanceTest {};

Task<absl::Status> Nothing() { co_return absl::OkStatus(); }

Task<absl::Status> YieldTimes(int count) {
  absl::Status status;
  for (int i = 0; i < count && status.ok(); ++i) status = co_await Yield();
  co_return status;
}

// --- Connect ---

TEST_F(ConnectTest, BothEndsKnowBothAddresses) {
  TcpListener listener = Listen();
  TcpStream client = Connect(listener.LocalAddress());
  TcpStream server = Accept(listener);

  EXPECT_EQ(client.PeerAddress(), listener.LocalAddress());
  EXPECT_THAT(server.LocalAddress(), IsOkAndHolds(listener.LocalAddress()));
  EXPECT_THAT(client.LocalAddress(), IsOkAndHolds(server.PeerAddress()));
  EXPECT_NE(server.PeerAddress().port(), 0);
}

TEST_F(ConnectTest, NoDelayIsOnAtBothEnds) {
  auto [client, server] = ConnectedPair();
  EXPECT_THAT(client.no_delay(), IsOkAndHolds(true));
  EXPECT_THAT(server.no_delay(), IsOkAndHolds(true));
}

TEST_F(ConnectTest, NobodyListensIsRefused) {
  SocketAddress address;
  {
    TcpListener listener = Listen();
    address = listener.LocalAddress();
    EXPECT_OK(Run(listener.Close()));
  }

  auto stream = Run(TcpStream::Connect(address));

  EXPECT_THAT(stream, StatusIs(kUnavailable));
  EXPECT_EQ(ErrnoOf(stream.status()), ECONNREFUSED);
  EXPECT_EQ(stream.status().message(), absl::StrCat("connect ", address.ToString(), ": connection refused"));
}

TEST_F(ConnectTest, PortZeroIsRefused) {
  auto stream = Run(TcpStream::Connect(SocketAddress::LoopbackIpv4(0)));
  EXPECT_EQ(ErrnoOf(stream.status()), ECONNREFUSED) << stream.status();
}

TEST_F(ConnectTest, NoAddressIsAnInvalidArgument) {
  EXPECT_THAT(Run(TcpStream::Connect(SocketAddress())), StatusIs(kInvalidArgument));
}

TEST_F(ConnectTest, AnyAddressMeansThisHost) {
  TcpListener listener = Listen();
  EXPECT_OK(Run(TcpStream::Connect(SocketAddress::AnyIpv4(listener.LocalAddress().port()))));
}

TEST_F(ConnectTest, DeadlineInThePastEndsAtOnceThoughSomebodyListens) {
  TcpListener listener = Listen();
  auto stream = Run(TcpStream::Connect(listener.LocalAddress()).By(Now() - absl::Seconds(1)));
  EXPECT_EQ(stream.status(), DeadlineExceededStatus());
}

TEST_F(ConnectTest, EndlessDeadlineDoesNotOverflow) {
  TcpListener listener = Listen();
  EXPECT_OK(Run(WithTimeout(absl::InfiniteDuration(), TcpStream::Connect(listener.LocalAddress()))));
}

TEST_F(ConnectTest, CancelledConnectClosesItsSocketUnlessItWon) {
  TcpListener listener = Listen();
  for (int i = 0; i < 100; ++i) {
    EXPECT_OK(Run([](SocketAddress address) -> Task<absl::Status> {
      auto results = co_await WhenAny(TcpStream::Connect(address), Nothing());
      co_return std::get<0>(results).has_value() ? std::get<0>(results)->status() : absl::OkStatus();
    }(listener.LocalAddress())));
  }

  // Whatever got through ends at once.
  for (;;) {
    auto server = Run(listener.Accept().By(Now() + absl::Milliseconds(5)));
    if (!server.ok()) {
      EXPECT_EQ(server.status(), DeadlineExceededStatus());
      break;
    }
    auto data = Read(*server);
    EXPECT_TRUE(data.ok() ? data->empty() : IsReset(data.status())) << data.status();
  }
}

// On the loopback the kernel has done the handshake before the call returns, whoever waits for its result.
TEST_F(ConnectTest, CancelledConnectToThisHostIsAcceptedAndEnds) {
  for (const int yields : {2, 3, 5, 20}) {
    TcpListener listener = Listen();
    EXPECT_OK(Run([](SocketAddress address, int yields) -> Task<absl::Status> {
      co_await WhenAny(TcpStream::Connect(address), YieldTimes(yields));
      co_return absl::OkStatus();
    }(listener.LocalAddress(), yields)));

    auto server = Run(listener.Accept().By(Now() + absl::Seconds(20)));
    ASSERT_OK(server) << "after " << yields << " yields";
    EXPECT_THAT(Read(*server), IsOkAndHolds(""));
  }
}

TEST_F(ConnectTest, Ipv6LoopbackWorksTheSame) {
  if (!HasIpv6()) return;
  auto listener = TcpListener::Listen(SocketAddress::LoopbackIpv6(0));
  ASSERT_OK(listener);
  TcpStream client = Connect(listener->LocalAddress());
  TcpStream server = Accept(*listener);

  EXPECT_TRUE(server.PeerAddress().is_ipv6());
  EXPECT_TRUE(server.PeerAddress().is_loopback());
  Send(client, "over six");
  EXPECT_THAT(Read(server), IsOkAndHolds("over six"));
}

// --- Listen ---

TEST_F(ListenTest, PortZeroPicksAFreePort) {
  TcpListener first = Listen();
  TcpListener second = Listen();
  EXPECT_NE(first.LocalAddress().port(), 0);
  EXPECT_NE(first.LocalAddress().port(), second.LocalAddress().port());
  EXPECT_TRUE(first.LocalAddress().is_loopback());
}

TEST_F(ListenTest, PortOfAnotherListenerIsTaken) {
  TcpListener first = Listen();
  auto second = TcpListener::Listen(first.LocalAddress());
  EXPECT_THAT(second, StatusIs(kFailedPrecondition));
  EXPECT_EQ(ErrnoOf(second.status()), EADDRINUSE);
  EXPECT_TRUE(
      absl::StartsWith(second.status().message(), absl::StrCat("listen ", first.LocalAddress().ToString(), ": ")))
      << second.status();
}

TEST_F(ListenTest, AnyAddressTakesThePortOfEveryAddress) {
  TcpListener first = Listen();
  auto second = TcpListener::Listen(SocketAddress::AnyIpv4(first.LocalAddress().port()));
  EXPECT_EQ(ErrnoOf(second.status()), EADDRINUSE) << second.status();
}

TEST_F(ListenTest, AddressOfAnotherMachineIsNotAvailable) {
  auto listener = TcpListener::Listen(SocketAddress::Ipv4({203, 0, 113, 7}, 0));
  EXPECT_THAT(listener, StatusIs(kFailedPrecondition));
  EXPECT_EQ(ErrnoOf(listener.status()), EADDRNOTAVAIL);
}

TEST_F(ListenTest, ReusePortSharesThePortAmongThoseWhoAskForIt) {
  const ListenOptions shared = ListenOptions().set_reuse_port(true);
  ASSERT_OK_AND_ASSIGN(TcpListener first, TcpListener::Listen(SocketAddress::LoopbackIpv4(0), shared));
  EXPECT_OK(TcpListener::Listen(first.LocalAddress(), shared));
  EXPECT_EQ(ErrnoOf(TcpListener::Listen(first.LocalAddress()).status()), EADDRINUSE);
}

TEST_F(ListenTest, RestartedListenerGetsItsPortBack) {
  TcpListener listener = Listen();
  const SocketAddress address = listener.LocalAddress();
  {
    TcpStream client = Connect(address);
    TcpStream server = Accept(listener);
    // The server closes first: TIME_WAIT is on its side.
    EXPECT_OK(Run(server.Close()));
    EXPECT_THAT(Read(client), IsOkAndHolds(""));
    EXPECT_OK(Run(client.Close()));
  }
  EXPECT_OK(Run(listener.Close()));

  auto again = TcpListener::Listen(address);
  EXPECT_OK(again);
}

// --- Accept ---

TEST_F(AcceptTest, TakesConnectionsInTheOrderOfTheirArrival) {
  TcpListener listener = Listen();
  std::vector<TcpStream> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(Connect(listener.LocalAddress()));
  for (TcpStream& client : clients) {
    TcpStream server = Accept(listener);
    EXPECT_THAT(client.LocalAddress(), IsOkAndHolds(server.PeerAddress()));
  }
}

TEST_F(AcceptTest, WaitersAreServedInOrder) {
  TcpListener listener = Listen();
  std::vector<std::unique_ptr<Background<absl::StatusOr<TcpStream>>>> waiters;
  for (int i = 0; i < 3; ++i) waiters.push_back(Start(AcceptOne(&listener)));
  Settle();
  std::vector<TcpStream> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(Connect(listener.LocalAddress()));
  for (int i = 0; i < 3; ++i) {
    auto server = Wait(waiters[i]);
    ASSERT_OK(server);
    EXPECT_THAT(clients[i].LocalAddress(), IsOkAndHolds(server->PeerAddress()));
  }
}

TEST_F(AcceptTest, DataThatWasSentBeforeIsThere) {
  TcpListener listener = Listen();
  TcpStream client = Connect(listener.LocalAddress());
  Send(client, "early");
  TcpStream server = Accept(listener);
  EXPECT_THAT(Read(server), IsOkAndHolds("early"));
}

TEST_F(AcceptTest, ClientThatHasSentAndClosedIsAcceptedWithItsData) {
  TcpListener listener = Listen();
  TcpStream client = Connect(listener.LocalAddress());
  Send(client, "bye");
  EXPECT_OK(Run(client.Close()));
  TcpStream server = Accept(listener);
  EXPECT_THAT(ReadAll(server), IsOkAndHolds("bye"));
}

TEST_F(AcceptTest, ClientThatHasResetIsAcceptedAndReportsTheResetOnce) {
  TcpListener listener = Listen();
  TcpStream client = Connect(listener.LocalAddress());
  client.Abort();
  EXPECT_OK(Run(client.Close()));
  TcpStream server = Accept(listener);
  EXPECT_EQ(ErrnoOf(Read(server).status()), ECONNRESET);
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(AcceptTest, DeadlineInThePastTakesNothing) {
  TcpListener listener = Listen();
  TcpStream client = Connect(listener.LocalAddress());
  EXPECT_EQ(Run(listener.Accept().By(Now() - absl::Seconds(1))).status(), DeadlineExceededStatus());
  TcpStream server = Accept(listener);
  EXPECT_THAT(client.LocalAddress(), IsOkAndHolds(server.PeerAddress()));
}

TEST_F(AcceptTest, ConnectionThatArrivesAfterADeadlineWaitsForTheNextCall) {
  TcpListener listener = Listen();
  EXPECT_EQ(Run(listener.Accept().By(Now() + absl::Milliseconds(1))).status(), DeadlineExceededStatus());
  TcpStream client = Connect(listener.LocalAddress());
  Settle();
  TcpStream server = Accept(listener);
  EXPECT_THAT(client.LocalAddress(), IsOkAndHolds(server.PeerAddress()));
}

TEST_F(AcceptTest, CancelledCallsLoseNoConnection) {
  TcpListener listener = Listen();
  std::vector<TcpStream> clients;
  std::vector<SocketAddress> accepted;
  for (int i = 0; i < 50; ++i) {
    auto accept = Start(AcceptOne(&listener));
    clients.push_back(Connect(listener.LocalAddress()));
    accept->Cancel();
    auto server = Wait(accept);
    if (server.ok()) {
      accepted.push_back(server->PeerAddress());
    } else {
      EXPECT_EQ(server.status(), CancelledStatus());
    }
  }
  while (accepted.size() < clients.size()) accepted.push_back(Accept(listener).PeerAddress());

  for (size_t i = 0; i < clients.size(); ++i) EXPECT_THAT(clients[i].LocalAddress(), IsOkAndHolds(accepted[i]));
}

TEST_F(AcceptTest, ManyMoreThanTheQueueHoldsAreAllServedInOrder) {
  TcpListener listener = Listen();
  // Accepting has begun: connections are queued in user space, up to the limit.
  EXPECT_EQ(Run(listener.Accept().By(Now() + absl::Milliseconds(1))).status(), DeadlineExceededStatus());
  std::vector<TcpStream> clients;
  for (size_t i = 0; i < 5 * ListenerSocket::kQueueLimit; ++i) clients.push_back(Connect(listener.LocalAddress()));
  Settle();
  for (TcpStream& client : clients) {
    TcpStream server = Accept(listener);
    EXPECT_THAT(client.LocalAddress(), IsOkAndHolds(server.PeerAddress()));
  }
}

TEST_F(AcceptTest, CloseEndsPendingAndLaterCalls) {
  TcpListener listener = Listen();
  auto first = Start(AcceptOne(&listener));
  auto second = Start(AcceptOne(&listener));
  Settle();

  EXPECT_OK(Run(listener.Close()));

  for (const auto& waiter : {std::cref(first), std::cref(second)}) {
    auto result = Wait(waiter.get());
    EXPECT_THAT(result, StatusIs(kFailedPrecondition));
    EXPECT_EQ(ErrnoOf(result.status()), EBADF);
  }
  EXPECT_EQ(ErrnoOf(Run(listener.Accept()).status()), EBADF);
  EXPECT_OK(Run(listener.Close()));
}

TEST_F(AcceptTest, CloseRefusesNewConnections) {
  TcpListener listener = Listen();
  EXPECT_OK(Run(listener.Close()));
  EXPECT_EQ(ErrnoOf(Run(TcpStream::Connect(listener.LocalAddress())).status()), ECONNREFUSED);
}

TEST_F(AcceptTest, CloseResetsConnectionsThatNobodyAccepted) {
  TcpListener listener = Listen();
  std::vector<TcpStream> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(Connect(listener.LocalAddress()));
  // With the first accepted, the others may wait in user space or in the kernel.
  TcpStream first = Accept(listener);
  Settle();

  EXPECT_OK(Run(listener.Close()));

  for (size_t i = 1; i < clients.size(); ++i) {
    EXPECT_EQ(ErrnoOf(Read(clients[i]).status()), ECONNRESET) << i;
  }
  Send(first, "still here");
  EXPECT_THAT(Read(clients[0]), IsOkAndHolds("still here"));
}

TEST_F(AcceptTest, DestructorClosesInTheBackground) {
  SocketAddress address;
  {
    TcpListener listener = Listen();
    address = listener.LocalAddress();
  }
  Settle();
  EXPECT_EQ(ErrnoOf(Run(TcpStream::Connect(address)).status()), ECONNREFUSED);
}

TEST_F(AcceptTest, AssignmentClosesTheOldListener) {
  TcpListener listener = Listen();
  const SocketAddress old = listener.LocalAddress();
  listener = Listen();
  Settle();
  EXPECT_EQ(ErrnoOf(Run(TcpStream::Connect(old)).status()), ECONNREFUSED);
  EXPECT_OK(Run(TcpStream::Connect(listener.LocalAddress())));
}

}  // namespace
}  // namespace tandem::testing
