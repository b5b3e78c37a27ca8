// SPDX-License-Identifier: Apache-2.0
//
// Listening: backlogs that overflow, ports in TIME_WAIT, and what becomes of the connections of a listener.

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tandem/testing/conformance/tcp_conformance.h"

namespace tandem::testing {
namespace {

class BacklogTest : public TcpConformanceTest {
 protected:
  using Connecting = std::unique_ptr<Background<absl::StatusOr<TcpStream>>>;

  std::vector<Connecting> StartConnects(const SocketAddress& address, int count) {
    std::vector<Connecting> connects;
    connects.reserve(static_cast<size_t>(count));
    // One after the other: handshakes that overlap all find room.
    for (int i = 0; i < count; ++i) {
      connects.push_back(Start(ConnectTo(address)));
      Settle();
    }
    return connects;
  }
  static int CountDone(const std::vector<Connecting>& connects) {
    int done = 0;
    for (const Connecting& connect : connects) done += connect->done() ? 1 : 0;
    return done;
  }
};
class TcpListenTest : public TcpConformanceTest {};

// --- Backlog ---

TEST_F(BacklogTest, HoldsOneMoreThanItsSize) {
  TcpListener listener = ListenOn(OpenBound(), ListenOptions().set_backlog(2));
  std::vector<Connecting> connects = StartConnects(listener.LocalAddress(), 6);
  EXPECT_EQ(CountDone(connects), 3);
  for (Connecting& connect : connects) connect->Cancel();
  for (Connecting& connect : connects) Wait(connect).IgnoreError();
}

TEST_F(BacklogTest, ConnectsThatFindItFullWaitAndAreNotRefused) {
  TcpListener listener = ListenOn(OpenBound(), ListenOptions().set_backlog(2));
  std::vector<Connecting> connects = StartConnects(listener.LocalAddress(), 6);
  std::vector<TcpStream> servers;
  servers.reserve(6);
  for (int i = 0; i < 6; ++i) servers.push_back(Accept(listener));
  for (Connecting& connect : connects) EXPECT_OK(Wait(connect));
}

TEST_F(BacklogTest, ConnectThatFindsItFullCanBeStoppedAndItsSocketCloses) {
  TcpListener listener = ListenOn(OpenBound(), ListenOptions().set_backlog(0));
  TcpStream queued = Connect(listener.LocalAddress());
  TcpSocket socket = OpenBound(OwnAddress(), false);
  const SocketAddress address = AddressOf(socket);
  auto stopped = Run(std::move(socket).Connect(listener.LocalAddress()).By(Now() + absl::Milliseconds(5)));
  EXPECT_EQ(stopped.status(), DeadlineExceededStatus());
  Settle();
  EXPECT_OK(Open().Bind(address));
  TcpStream server = Accept(listener);
  EXPECT_THAT(queued.LocalAddress(), IsOkAndHolds(server.PeerAddress()));
}

TEST_F(BacklogTest, ConnectThatFindsItFullIsRefusedWhenTheListenerCloses) {
  TcpListener listener = ListenOn(OpenBound(), ListenOptions().set_backlog(0));
  TcpStream queued = Connect(listener.LocalAddress());
  auto waiting = Start(ConnectTo(listener.LocalAddress()));
  Settle();
  EXPECT_FALSE(waiting->done());
  EXPECT_OK(Run(listener.Close()));
  // The next SYN is answered.
  EXPECT_EQ(ErrnoOf(Wait(waiting).status()), ECONNREFUSED);
  EXPECT_EQ(ErrnoOf(Read(queued).status()), ECONNRESET);
}

// --- TIME_WAIT ---

TEST_F(TcpListenTest, PortInTimeWaitIsTakenWhenTheOldListenerDidNotReuseAddresses) {
  TcpListener listener = ListenOn(OpenBound(OwnAddress(), false));
  const SocketAddress address = listener.LocalAddress();
  TcpStream client = Connect(address);
  TcpStream server = Accept(listener);
  EXPECT_OK(Run(server.Close()));
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
  EXPECT_OK(Run(client.Close()));
  EXPECT_OK(Run(listener.Close()));
  Settle();

  TcpSocket again = Open();
  EXPECT_OK(again.set_reuse_address(true));
  EXPECT_EQ(ErrnoOf(again.Bind(address)), EADDRINUSE);
}

TEST_F(TcpListenTest, PortInTimeWaitIsFreeWhenBothReuseAddresses) {
  TcpListener listener = ListenOn(OpenBound());
  const SocketAddress address = listener.LocalAddress();
  TcpStream client = Connect(address);
  TcpStream server = Accept(listener);
  EXPECT_OK(Run(server.Close()));
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
  EXPECT_OK(Run(client.Close()));
  EXPECT_OK(Run(listener.Close()));
  Settle();

  EXPECT_EQ(ErrnoOf(Open().Bind(address)), EADDRINUSE);
  TcpListener second = ListenOn(OpenBound(address));
  TcpStream next = Connect(address);
  EXPECT_OK(Run(second.Accept()));
}

TEST_F(TcpListenTest, ResetConnectionsLeaveNoTimeWait) {
  TcpListener listener = ListenOn(OpenBound(OwnAddress(), false));
  const SocketAddress address = listener.LocalAddress();
  TcpStream client = Connect(address);
  TcpStream server = Accept(listener);
  server.Abort();
  EXPECT_OK(Run(server.Close()));
  EXPECT_EQ(ErrnoOf(Read(client).status()), ECONNRESET);
  EXPECT_OK(Run(client.Close()));
  EXPECT_OK(Run(listener.Close()));
  Settle();
  EXPECT_OK(Open().Bind(address));
}

// --- Connections of a listener ---

TEST_F(TcpListenTest, AcceptedStreamsOutliveTheListener) {
  TcpListener listener = Listen();
  TcpStream client = Connect(listener.LocalAddress());
  TcpStream server = Accept(listener);
  EXPECT_OK(Run(listener.Close()));
  Send(client, "still");
  EXPECT_THAT(Read(server), IsOkAndHolds("still"));
  EXPECT_THAT(server.LocalAddress(), IsOkAndHolds(listener.LocalAddress()));
}

TEST_F(TcpListenTest, PortIsFreeForAListenerWhileAcceptedStreamsLive) {
  TcpListener listener = Listen();
  const SocketAddress address = listener.LocalAddress();
  TcpStream client = Connect(address);
  TcpStream server = Accept(listener);
  EXPECT_OK(Run(listener.Close()));
  ASSERT_OK_AND_ASSIGN(TcpListener next, TcpListener::Listen(address));
  TcpStream second = Connect(address);
  TcpStream second_server = Accept(next);
  Send(client, "old");
  Send(second, "new");
  EXPECT_THAT(Read(server), IsOkAndHolds("old"));
  EXPECT_THAT(Read(second_server), IsOkAndHolds("new"));
}

TEST_F(TcpListenTest, ClientsMayWriteBeforeTheyAreAccepted) {
  TcpListener listener = Listen();
  TcpStream client = Connect(listener.LocalAddress());
  const std::string data = Pattern(100'000);
  auto write = Start(WriteAllOf(&client, data));
  Settle();
  TcpStream server = Accept(listener);
  std::string received(data.size(), '\0');
  EXPECT_OK(Run(server.ReadExactly(absl::MakeSpan(received))));
  EXPECT_OK(Wait(write));
  EXPECT_TRUE(received == data);
}

TEST_F(TcpListenTest, ClientThatHasShutDownIsAcceptedAndCanBeAnswered) {
  TcpListener listener = Listen();
  TcpStream client = Connect(listener.LocalAddress());
  Send(client, "question");
  EXPECT_OK(Run(client.ShutdownWrite()));
  Settle();
  TcpStream server = Accept(listener);
  EXPECT_THAT(ReadAll(server), IsOkAndHolds("question"));
  Send(server, "answer");
  EXPECT_THAT(Read(client), IsOkAndHolds("answer"));
}

TEST_F(TcpListenTest, ClientThatWasStoppedBeforeItIsAcceptedCostsTheOthersNothing) {
  TcpListener listener = Listen();
  std::vector<TcpStream> clients;
  clients.reserve(9);
  for (int i = 0; i < 9; ++i) clients.push_back(Connect(listener.LocalAddress()));
  for (size_t i = 0; i < clients.size(); i += 3) {
    clients[i].Abort();
    EXPECT_OK(Run(clients[i].Close()));
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    TcpStream server = Accept(listener);
    if (i % 3 == 0) {
      EXPECT_EQ(ErrnoOf(Read(server).status()), ECONNRESET) << i;
    } else {
      Send(clients[i], "here");
      EXPECT_THAT(Read(server), IsOkAndHolds("here")) << i;
    }
  }
}

TEST_F(TcpListenTest, AcceptDeadlineInThePastThenInTheFutureThenNone) {
  TcpListener listener = Listen();
  TcpStream client = Connect(listener.LocalAddress());
  EXPECT_EQ(Run(listener.Accept().By(Now())).status(), DeadlineExceededStatus());
  EXPECT_OK(Run(listener.Accept().By(Now() + absl::Hours(1))));
  EXPECT_EQ(Run(listener.Accept().By(Now() + absl::Milliseconds(1))).status(), DeadlineExceededStatus());
  auto waiting = Start(AcceptOne(&listener));
  Settle();
  EXPECT_FALSE(waiting->done());
  TcpStream second = Connect(listener.LocalAddress());
  EXPECT_OK(Wait(waiting));
}

}  // namespace
}  // namespace tandem::testing
