// SPDX-License-Identifier: Apache-2.0
//
// Adopt() of every handle, and TakeActivatedSockets(): sockets that the program has from elsewhere.

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/net/socket_activation.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/core/net/unix_datagram.h"
#include "tandem/core/net/unix_listener.h"
#include "tandem/core/net/unix_stream.h"
#include "tandem/testing/conformance/unix_conformance.h"

namespace tandem::testing {
namespace {

sockaddr_in Loopback(uint16_t port = 0) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// A socket that a program without Tandem would make: blocking, inherited by children.
OwnedDescriptor RawSocket(int domain, int type, int protocol = 0) {
  const int descriptor = socket(domain, type, protocol);
  CHECK_GE(descriptor, 0) << domain << " " << type;
  return OwnedDescriptor(descriptor);
}

OwnedDescriptor RawBound(int type) {
  OwnedDescriptor raw = RawSocket(AF_INET, type);
  const sockaddr_in address = Loopback();
  CHECK_EQ(bind(raw.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  return raw;
}

OwnedDescriptor RawListener() {
  OwnedDescriptor raw = RawBound(SOCK_STREAM);
  CHECK_EQ(listen(raw.get(), 10), 0);
  return raw;
}

SocketAddress AddressOf(const OwnedDescriptor& raw) {
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  CHECK_EQ(getsockname(raw.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  return SocketAddress::LoopbackIpv4(ntohs(address.sin_port));
}

OwnedDescriptor RawConnected(const SocketAddress& peer, int type = SOCK_STREAM) {
  OwnedDescriptor raw = RawSocket(AF_INET, type);
  const sockaddr_in address = Loopback(peer.port());
  CHECK_EQ(connect(raw.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  return raw;
}

std::pair<OwnedDescriptor, OwnedDescriptor> RawPair(int type) {
  int ends[2];
  CHECK_EQ(socketpair(AF_UNIX, type, 0, ends), 0);
  return {OwnedDescriptor(ends[0]), OwnedDescriptor(ends[1])};
}

OwnedDescriptor RawUnixListener() {
  OwnedDescriptor raw = RawSocket(AF_UNIX, SOCK_STREAM);
  sockaddr_un address{};  // An empty name: the kernel picks an abstract one.
  address.sun_family = AF_UNIX;
  CHECK_EQ(bind(raw.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(sa_family_t)), 0);
  CHECK_EQ(listen(raw.get(), 10), 0);
  return raw;
}

bool IsNonBlocking(int descriptor) { return (fcntl(descriptor, F_GETFL) & O_NONBLOCK) != 0; }
bool IsCloseOnExec(int descriptor) {
  const int flags = fcntl(descriptor, F_GETFD);
  return flags >= 0 && (flags & FD_CLOEXEC) != 0;  // A closed one is not.
}

class AdoptTest : public UnixConformanceTest {
 protected:
  using SocketConformanceTest::Read;
  using UnixConformanceTest::Read;
};

TEST_F(AdoptTest, AConnectedTcpSocket) {
  TcpListener listener = Listen();
  OwnedDescriptor raw = RawConnected(listener.LocalAddress());
  const int descriptor = raw.get();
  TcpStream server = Accept(listener);
  Send(server, "before");

  absl::StatusOr<TcpStream> client = TcpStream::Adopt(std::move(raw));
  ASSERT_OK(client);
  EXPECT_FALSE(raw.valid());
  EXPECT_TRUE(IsNonBlocking(descriptor));
  EXPECT_TRUE(IsCloseOnExec(descriptor));
  EXPECT_EQ(client->PeerAddress(), listener.LocalAddress());
  EXPECT_THAT(client->LocalAddress(), IsOkAndHolds(server.PeerAddress()));
  EXPECT_THAT(client->no_delay(), IsOkAndHolds(true));
  EXPECT_THAT(Read(*client), IsOkAndHolds("before"));
  Send(*client, "hello");
  EXPECT_THAT(Read(server), IsOkAndHolds("hello"));
  // A call that waits can be stopped.
  char byte = 0;
  EXPECT_THAT(Run(client->Read(absl::MakeSpan(&byte, 1)).By(Now() + absl::Milliseconds(5))),
              StatusIs(kDeadlineExceeded));
  EXPECT_OK(Run(client->Close()));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(AdoptTest, AListeningTcpSocketWithConnectionsThatWait) {
  OwnedDescriptor raw = RawListener();
  const SocketAddress address = AddressOf(raw);
  TcpStream early = Connect(address);

  absl::StatusOr<TcpListener> listener = TcpListener::Adopt(std::move(raw));
  ASSERT_OK(listener);
  EXPECT_EQ(listener->LocalAddress(), address);
  TcpStream first = Accept(*listener);
  TcpStream late = Connect(address);
  TcpStream second = Accept(*listener);
  EXPECT_THAT(second.no_delay(), IsOkAndHolds(true));
  Send(early, "early");
  Send(late, "late");
  EXPECT_THAT(Read(first), IsOkAndHolds("early"));
  EXPECT_THAT(Read(second), IsOkAndHolds("late"));
  auto waiting = Start(AcceptOne(&*listener));
  Settle();
  EXPECT_OK(Run(listener->Close()));
  EXPECT_EQ(ErrnoOf(Wait(waiting).status()), EBADF);
}

TEST_F(AdoptTest, UdpSocketsBoundAndConnected) {
  absl::StatusOr<UdpSocket> bound = UdpSocket::Adopt(RawBound(SOCK_DGRAM));
  ASSERT_OK(bound);
  absl::StatusOr<SocketAddress> address = bound->LocalAddress();
  ASSERT_OK(address);
  absl::StatusOr<UdpSocket> connected = UdpSocket::Adopt(RawConnected(*address, SOCK_DGRAM));
  ASSERT_OK(connected);
  EXPECT_THAT(connected->PeerAddress(), IsOkAndHolds(*address));
  EXPECT_OK(Run(connected->Send("ping")));
  char target[10];
  auto received = Run(bound->ReceiveFrom(absl::MakeSpan(target)));
  ASSERT_OK(received);
  EXPECT_EQ(absl::string_view(target, received->size), "ping");
  EXPECT_OK(Run(bound->SendTo("pong", received->source)));
  EXPECT_EQ(Run(connected->ReceiveFrom(absl::MakeSpan(target)))->size, 4u);
}

TEST_F(AdoptTest, UnixSockets) {
  auto [one, two] = RawPair(SOCK_STREAM);
  absl::StatusOr<UnixStream> first = UnixStream::Adopt(std::move(one));
  absl::StatusOr<UnixStream> second = UnixStream::Adopt(std::move(two));
  ASSERT_OK(first);
  ASSERT_OK(second);
  Write(*first, "stream");
  EXPECT_THAT(Read(*second), IsOkAndHolds("stream"));

  auto [three, four] = RawPair(SOCK_DGRAM);
  absl::StatusOr<UnixDatagram> third = UnixDatagram::Adopt(std::move(three));
  absl::StatusOr<UnixDatagram> fourth = UnixDatagram::Adopt(std::move(four));
  ASSERT_OK(third);
  ASSERT_OK(fourth);
  EXPECT_OK(Run(third->Send("datagram")));
  EXPECT_EQ(Run(fourth->ReceiveDatagram())->data.view(), "datagram");

  absl::StatusOr<UnixListener> listener = UnixListener::Adopt(RawUnixListener());
  ASSERT_OK(listener);
  UnixStream client = ConnectUnix(listener->LocalAddress());
  EXPECT_OK(Run(listener->Accept()));
}

TEST_F(AdoptTest, ASocketThatCameOverAUnixSocket) {
  auto [sender, receiver] = StreamPair();
  receiver.set_receive_descriptors(true);
  TcpListener listener = Listen();
  {
    const OwnedDescriptor raw = RawConnected(listener.LocalAddress());
    const int descriptor = raw.get();
    EXPECT_OK(Run(sender.WriteAllWithDescriptors("x", absl::MakeConstSpan(&descriptor, 1))));
  }
  char target[1];
  auto read = Run(receiver.ReadWithDescriptors(absl::MakeSpan(target)));
  ASSERT_OK(read);
  ASSERT_EQ(read->descriptors.size(), 1u);
  absl::StatusOr<TcpStream> client = TcpStream::Adopt(std::move(read->descriptors[0]));
  ASSERT_OK(client);
  TcpStream server = Accept(listener);
  Send(*client, "passed");
  EXPECT_THAT(Read(server), IsOkAndHolds("passed"));
}

TEST_F(AdoptTest, ALingerTimeIsNoticed) {
  TcpListener listener = Listen();
  OwnedDescriptor raw = RawConnected(listener.LocalAddress());
  const linger seconds{.l_onoff = 1, .l_linger = 7};
  ASSERT_EQ(setsockopt(raw.get(), SOL_SOCKET, SO_LINGER, &seconds, sizeof(seconds)), 0);
  absl::StatusOr<TcpStream> client = TcpStream::Adopt(std::move(raw));
  ASSERT_OK(client);
  // Else the close would stop the loop.
  EXPECT_TRUE(client->socket()->lingers());
  TcpStream server = Accept(listener);
  EXPECT_OK(Run(client->Close()));
}

// --- What is refused stays as it is ---

TEST_F(AdoptTest, EveryHandleRefusesSocketsOfAnotherKind) {
  struct Raw {
    const char* name;
    OwnedDescriptor descriptor;
    OwnedDescriptor other;
  };
  TcpListener listener = Listen();
  std::vector<Raw> raws;
  raws.push_back({"a TCP socket", RawConnected(listener.LocalAddress()), {}});
  raws.push_back({"a listening TCP socket", RawListener(), {}});
  raws.push_back({"a UDP socket", RawBound(SOCK_DGRAM), {}});
  auto [one, two] = RawPair(SOCK_STREAM);
  raws.push_back({"a Unix stream socket", std::move(one), std::move(two)});
  raws.push_back({"a listening Unix stream socket", RawUnixListener(), {}});
  auto [three, four] = RawPair(SOCK_DGRAM);
  raws.push_back({"a Unix datagram socket", std::move(three), std::move(four)});
  auto [five, six] = RawPair(SOCK_SEQPACKET);
  raws.push_back({"another protocol", std::move(five), std::move(six)});
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  raws.push_back({"no socket", OwnedDescriptor(ends[0]), OwnedDescriptor(ends[1])});

  // In the order of the kinds.
  const std::vector<std::function<absl::Status(OwnedDescriptor&)>> handles = {
      [](OwnedDescriptor& raw) { return TcpStream::Adopt(std::move(raw)).status(); },
      [](OwnedDescriptor& raw) { return TcpListener::Adopt(std::move(raw)).status(); },
      [](OwnedDescriptor& raw) { return UdpSocket::Adopt(std::move(raw)).status(); },
      [](OwnedDescriptor& raw) { return UnixStream::Adopt(std::move(raw)).status(); },
      [](OwnedDescriptor& raw) { return UnixListener::Adopt(std::move(raw)).status(); },
      [](OwnedDescriptor& raw) { return UnixDatagram::Adopt(std::move(raw)).status(); },
  };
  for (size_t i = 0; i < raws.size(); ++i) {
    const int descriptor = raws[i].descriptor.get();
    for (size_t j = 0; j < handles.size(); ++j) {
      if (i == j) continue;
      const absl::Status refused = handles[j](raws[i].descriptor);
      EXPECT_THAT(refused, StatusIs(kInvalidArgument));
      EXPECT_TRUE(absl::StrContains(refused.message(), absl::StrCat("descriptor ", descriptor))) << refused;
      EXPECT_TRUE(absl::EndsWith(refused.message(), raws[i].name)) << refused;
      ASSERT_EQ(raws[i].descriptor.get(), descriptor);
      EXPECT_FALSE(IsNonBlocking(descriptor)) << refused;
      EXPECT_FALSE(IsCloseOnExec(descriptor)) << refused;
    }
    if (i < handles.size()) EXPECT_OK(handles[i](raws[i].descriptor));
  }
}

TEST_F(AdoptTest, ATcpSocketWithoutAConnectionIsAFailedPrecondition) {
  OwnedDescriptor raw = RawSocket(AF_INET, SOCK_STREAM);
  EXPECT_EQ(ErrnoOf(TcpStream::Adopt(std::move(raw)).status()), ENOTCONN);
  EXPECT_TRUE(raw.valid());
  EXPECT_THAT(TcpListener::Adopt(std::move(raw)), StatusIs(kInvalidArgument));
  EXPECT_TRUE(raw.valid());
}

TEST_F(AdoptTest, NoDescriptorAndAClosedOne) {
  EXPECT_THAT(TcpStream::Adopt(OwnedDescriptor()), StatusIs(kInvalidArgument));
  OwnedDescriptor closed(1'000'000);
  EXPECT_EQ(ErrnoOf(UdpSocket::Adopt(std::move(closed)).status()), EBADF);
  EXPECT_EQ(closed.Release(), 1'000'000);
}

// --- Socket activation ---

TEST_F(AdoptTest, WithoutActivationThereAreNoSockets) {
  auto sockets = TakeActivatedSockets();
  ASSERT_OK(sockets);
  EXPECT_TRUE(sockets->empty());
}

TEST_F(AdoptTest, AMalformedEnvironmentIsAnInvalidArgument) {
  setenv("LISTEN_PID", absl::StrCat(getpid()).c_str(), 1);
  setenv("LISTEN_FDS", "three", 1);
  EXPECT_THAT(TakeActivatedSockets(), StatusIs(kInvalidArgument));
  setenv("LISTEN_FDS", "100000", 1);
  EXPECT_EQ(ErrnoOf(TakeActivatedSockets().status()), EBADF);
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
}

// The first socket would be standard output, where the program prints.
TEST(StandardDescriptorsTest, AProcessThatWasStartedWithoutThemGetsThem) {
  EXPECT_EXIT(
      {
        close(STDIN_FILENO);
        close(STDOUT_FILENO);
        {
          WorldLoop loop;
          CHECK(TcpListener::Listen(SocketAddress::LoopbackIpv4(0)).ok());
          loop.Drain();
        }
        struct stat in = {};
        struct stat out = {};
        struct stat null = {};
        CHECK(fstat(STDIN_FILENO, &in) == 0 && fstat(STDOUT_FILENO, &out) == 0 && stat("/dev/null", &null) == 0);
        _exit(in.st_rdev == null.st_rdev && out.st_rdev == null.st_rdev ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

// What systemd does before it starts a program.
void PassSockets(const std::vector<int>& descriptors, const char* names) {
  std::vector<int> high;
  for (const int descriptor : descriptors) high.push_back(fcntl(descriptor, F_DUPFD, 100));
  for (size_t i = 0; i < high.size(); ++i) CHECK_EQ(dup2(high[i], static_cast<int>(3 + i)), static_cast<int>(3 + i));
  setenv("LISTEN_PID", absl::StrCat(getpid()).c_str(), 1);
  setenv("LISTEN_FDS", absl::StrCat(descriptors.size()).c_str(), 1);
  setenv("LISTEN_FDNAMES", names, 1);
}

// A promise that was not kept: the numbers may be those of the reactor, which must keep them.
TEST_F(AdoptTest, WhatTheProcessHasOpenedItselfWasNotPassed) {
  int own = 3;
  while (own < 100 && !IsCloseOnExec(own)) ++own;
  ASSERT_LT(own, 100) << "the reactor has no descriptor";
  EXPECT_EXIT(
      {
        // All below it are there, as if passed.
        for (int fd = 3; fd < own; ++fd) dup2(STDERR_FILENO, fd);
        setenv("LISTEN_PID", absl::StrCat(getpid()).c_str(), 1);
        setenv("LISTEN_FDS", absl::StrCat(own - 2).c_str(), 1);
        CHECK_EQ(ErrnoOf(TakeActivatedSockets().status()), EBADF);
        _exit(IsCloseOnExec(own) ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

void ServeActivated(const SocketAddress& address) {
  WorldLoop loop;
  auto sockets = TakeActivatedSockets();
  CHECK(sockets.ok()) << sockets.status();
  CHECK_EQ(sockets->size(), 2u);
  CHECK_EQ(sockets->at(0).name, "http");
  CHECK_EQ(sockets->at(1).name, "log");
  CHECK(IsCloseOnExec(3) && IsCloseOnExec(4));
  {
    auto listener = TcpListener::Adopt(std::move(sockets->at(0).descriptor));
    CHECK(listener.ok()) << listener.status();
    CHECK(UdpSocket::Adopt(std::move(sockets->at(1).descriptor)).ok());
    auto client = loop.Run(TcpStream::Connect(address));
    CHECK(client.ok()) << client.status();
    CHECK(loop.Run(listener->Accept()).ok());
    // They are taken once.
    CHECK(TakeActivatedSockets()->empty());
  }
  loop.Drain();
  // Also when they are closed.
  auto again = TakeActivatedSockets();
  CHECK(again.ok() && again->empty()) << again.status();
}

TEST(SocketActivationTest, AProcessThatWasStartedWithSocketsServesThem) {
  // Sockets of the parent; OwnedDescriptor needs a shard.
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in any = Loopback();
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&any), sizeof(any)), 0);
  ASSERT_EQ(listen(listener, 10), 0);
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  const int log = socket(AF_INET, SOCK_DGRAM, 0);
  EXPECT_EXIT(
      {
        PassSockets({listener, log}, "http:log");
        ServeActivated(SocketAddress::LoopbackIpv4(ntohs(address.sin_port)));
        _exit(0);
      },
      ::testing::ExitedWithCode(0), "");
  close(listener);
  close(log);
}

}  // namespace
}  // namespace tandem::testing
