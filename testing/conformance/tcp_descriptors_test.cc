// SPDX-License-Identifier: Apache-2.0
//
// What happens when the process has no free descriptor: calls say so, accepting goes on by itself afterwards, and no
// client is lost.

#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tandem/testing/conformance/tcp_conformance.h"

namespace tandem::testing {
namespace {

// How many descriptors the tests have: the real reactors' limit is set below; the simulator reads this at its start.
constexpr int kDescriptors = 24;

class SimulatedLimit {
 public:
  SimulatedLimit() { setenv("TANDEM_DESCRIPTORS", absl::StrCat(kDescriptors).c_str(), 1); }
  ~SimulatedLimit() { unsetenv("TANDEM_DESCRIPTORS"); }
};

// The limit is there before the fixture's reactor is.
class DescriptorsTest : private SimulatedLimit, public TcpConformanceTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old_), 0);
    // The lowest that is free: everything below is open.
    const int next = dup(STDIN_FILENO);
    close(next);
    const rlimit limit = {.rlim_cur = static_cast<rlim_t>(next) + kDescriptors, .rlim_max = old_.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  }
  void TearDown() override {
    taken_.clear();
    TcpConformanceTest::TearDown();
    setrlimit(RLIMIT_NOFILE, &old_);
  }

  // Opens sockets until there are no descriptors any more.
  void TakeAll() {
    for (;;) {
      auto socket = TcpSocket::Open(AddressFamily::kIpv4);
      if (!socket.ok()) {
        EXPECT_EQ(ErrnoOf(socket.status()), EMFILE) << socket.status();
        return;
      }
      taken_.push_back(*std::move(socket));
      ASSERT_LE(taken_.size(), static_cast<size_t>(kDescriptors));
    }
  }
  // Puts the limit back: what a test checks with matchers comes after it, since sanitizers need descriptors themselves.
  void EndShortage() { ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old_), 0); }
  // Gives some of them back.
  void GiveBack(size_t count) {
    ASSERT_GE(taken_.size(), count);
    taken_.resize(taken_.size() - count);
    Settle();
  }

  std::vector<TcpSocket> taken_;

 private:
  rlimit old_ = {};
};

TEST_F(DescriptorsTest, OpenConnectAndListenAreResourceExhausted) {
  TcpListener listener = Listen();
  TakeAll();
  auto socket = TcpSocket::Open(AddressFamily::kIpv4);
  auto stream = Run(TcpStream::Connect(listener.LocalAddress()));
  auto second = TcpListener::Listen(SocketAddress::LoopbackIpv4(0));
  EndShortage();
  EXPECT_THAT(socket, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(stream, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ErrnoOf(stream.status()), EMFILE);
  EXPECT_THAT(second, StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(DescriptorsTest, ClosedSocketsGiveTheirsBack) {
  TcpListener listener = Listen();
  for (int i = 0; i < 3; ++i) {
    TakeAll();
    GiveBack(2);
    TcpStream client = Connect(listener.LocalAddress());
    TcpStream server = Accept(listener);
    Send(client, "hello");
    EXPECT_THAT(Read(server), IsOkAndHolds("hello"));
  }
}

TEST_F(DescriptorsTest, AcceptWaitsForOneAndNoClientIsLost) {
  TcpListener listener = Listen();
  std::vector<TcpStream> clients;
  clients.reserve(4);
  for (int i = 0; i < 4; ++i) clients.push_back(Connect(listener.LocalAddress()));
  TakeAll();
  auto accept = Start(AcceptOne(&listener));
  Settle();
  EXPECT_FALSE(accept->done());

  GiveBack(clients.size());

  auto first = Wait(accept);
  ASSERT_OK(first);
  EXPECT_THAT(clients[0].LocalAddress(), IsOkAndHolds(first->PeerAddress()));
  std::vector<TcpStream> servers;
  servers.reserve(clients.size());
  for (size_t i = 1; i < clients.size(); ++i) {
    servers.push_back(Accept(listener));
    EXPECT_THAT(clients[i].LocalAddress(), IsOkAndHolds(servers.back().PeerAddress()));
  }
}

TEST_F(DescriptorsTest, AcceptThatWaitsForOneCanBeStopped) {
  TcpListener listener = Listen();
  TcpStream client = Connect(listener.LocalAddress());
  TakeAll();
  EXPECT_EQ(Run(listener.Accept().By(Now() + absl::Milliseconds(5))).status(), DeadlineExceededStatus());
  GiveBack(1);
  TcpStream server = Accept(listener);
  EXPECT_THAT(client.LocalAddress(), IsOkAndHolds(server.PeerAddress()));
}

TEST_F(DescriptorsTest, ListenerThatWaitsForOneCanBeClosed) {
  TcpListener listener = Listen();
  TcpStream client = Connect(listener.LocalAddress());
  TakeAll();
  auto accept = Start(AcceptOne(&listener));
  Settle();
  EXPECT_OK(Run(listener.Close()));
  EXPECT_EQ(ErrnoOf(Wait(accept).status()), EBADF);
  EXPECT_EQ(ErrnoOf(Read(client).status()), ECONNRESET);
}

TEST_F(DescriptorsTest, TryAcceptIsResourceExhaustedAndTheClientStays) {
  TcpListener listener = Listen();
  TcpStream client = Connect(listener.LocalAddress());
  TakeAll();
  Settle();
  auto failed = listener.TryAccept();
  GiveBack(1);
  EndShortage();
  EXPECT_THAT(failed, StatusIs(absl::StatusCode::kResourceExhausted));
  auto server = Until<TcpStream>([&] { return listener.TryAccept(); });
  ASSERT_OK(server);
  EXPECT_THAT(client.LocalAddress(), IsOkAndHolds(server->PeerAddress()));
}

TEST_F(DescriptorsTest, TryAcceptIsResourceExhaustedAlsoWhenNobodyWaits) {
  TcpListener listener = Listen();
  TakeAll();
  auto failed = listener.TryAccept();
  GiveBack(1);
  EndShortage();
  EXPECT_THAT(failed, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ErrnoOf(failed.status()), EMFILE);
  EXPECT_THAT(listener.TryAccept(), IsOk());
}

}  // namespace
}  // namespace tandem::testing
