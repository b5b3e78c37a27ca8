// SPDX-License-Identifier: Apache-2.0
//
// What is added somewhere changes nothing elsewhere: a host, a message, a task, a draw.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/tests/ping.h"
#include "tandem/sim/world/tests/test_traffic.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

// What is on all links.
constexpr char kFaults[] =
    "loss client server from 0s to 60s strength 100000\nlatency client server from 0.01s to 60s strength 300000\n"
    "short-reads * from 0s to 60s strength 300000\njitter client from 0s to 60s strength 200000\n"
    "reset client from 0.05s strength 500000\n";

Task<absl::Status> OtherMain() {
  Spawn(SendDatagrams, "other", kDatagramPort, 30);
  co_await TalkTo("other", kEchoPort, 5);
  co_return absl::OkStatus();
}

void RunWorld(uint64_t seed, bool with_others, RecordKeeper* keeper) {
  World world(WorldOptions().set_seed(seed).set_trace_sink(keeper));
  world.AddHost("server", [] { return ServerMain(nullptr); });
  Host& client = world.AddHost("client", [] { return ClientMain(); });
  if (with_others) {
    world.AddHost("other", [] { return ServerMain(nullptr); });
    world.AddHost("another", [] { return OtherMain(); });
  }
  world.Inject(*FaultPlan::Parse(kFaults));
  EXPECT_TRUE(world.RunUntilDone(client, absl::Minutes(2)).ok());
}

TEST(InsertionTest, TwoMoreHostsLeaveTheTraceOfTheOthersAsItWas) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    RecordKeeper without(2);
    RecordKeeper with(2);
    RunWorld(seed, false, &without);
    RunWorld(seed, true, &with);
    // At the end of the client the others may be in the middle of something.
    const size_t least = std::min(without.records().size(), with.records().size());
    EXPECT_GT(least, 100u);
    EXPECT_EQ(with.EqualTo(without), least) << "seed " << seed;
  }
}

// --- Which of several listeners gets a connection, which of several sockets a datagram ---

constexpr int kSharing = 4;
constexpr char kCalls = 30;

Task<void> TakeCalls(tandem::TcpListener listener, std::string* takers, char self) {
  for (;;) {
    absl::StatusOr<tandem::TcpStream> stream = co_await listener.Accept();
    if (!stream.ok()) co_return;
    char number = 0;
    const absl::StatusOr<size_t> read = co_await stream->Read(absl::MakeSpan(&number, 1));
    if (read.ok()) takers->at(static_cast<size_t>(number)) = self;
  }
}

Task<void> TakeDatagrams(tandem::UdpSocket socket, std::string* takers, char self) {
  for (;;) {
    char number = 0;
    const absl::StatusOr<ReceivedDatagram> received = co_await socket.ReceiveFrom(absl::MakeSpan(&number, 1));
    if (!received.ok()) co_return;
    takers->at(static_cast<size_t>(number)) = self;
  }
}

Task<absl::Status> ShareAPort(std::string* takers) {
  for (char self = 'a'; self < 'a' + kSharing; ++self) {
    absl::StatusOr<tandem::TcpListener> listener =
        tandem::TcpListener::Listen(SocketAddress::AnyIpv4(kEchoPort), tandem::ListenOptions().set_reuse_port(true));
    if (!listener.ok()) co_return listener.status();
    Spawn(&TakeCalls, *std::move(listener), takers, self);
    absl::StatusOr<tandem::UdpSocket> socket =
        tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(kDatagramPort), tandem::UdpOptions().set_reuse_port(true));
    if (!socket.ok()) co_return socket.status();
    Spawn(&TakeDatagrams, *std::move(socket), takers, self);
  }
  co_return co_await SleepForever();
}

Task<absl::Status> CallOften() {
  const absl::StatusOr<SocketAddress> server = HostAddress("server", kEchoPort);
  if (!server.ok()) co_return server.status();
  for (char number = 0; number < kCalls; ++number) {
    absl::StatusOr<tandem::TcpStream> stream = co_await tandem::TcpStream::Connect(*server);
    if (!stream.ok()) co_return stream.status();
    const IoResult written = co_await stream->WriteAll(absl::string_view(&number, 1));
    if (!written.ok()) co_return written.status;
    absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(0));
    if (!socket.ok()) co_return socket.status();
    const char datagram = static_cast<char>(number + kCalls);
    const absl::Status sent = co_await socket->SendTo(absl::string_view(&datagram, 1), server->WithPort(kDatagramPort));
    if (!sent.ok()) co_return sent;
  }
  co_return co_await Sleep(absl::Milliseconds(100));
}

TEST(InsertionTest, AnotherHostMovesNoConnectionToAnotherListener) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::vector<std::string> takers;
    for (const bool more : {false, true}) {
      std::string& taken = takers.emplace_back(2 * kCalls, '-');
      World world(WorldOptions().set_seed(seed));
      if (more) world.AddHost("more", [] { return SleepForever(); });
      world.AddHost("server", [&] { return ShareAPort(&taken); });
      Host& client = world.AddHost("client", [] { return CallOften(); });
      ASSERT_EQ(world.RunUntilDone(client, absl::Minutes(1)), absl::OkStatus());
      for (const char taker : {'a', 'b', 'c', 'd'}) EXPECT_NE(taken.find(taker), std::string::npos) << taken;
    }
    EXPECT_EQ(takers[0], takers[1]) << "seed " << seed;
  }
}

// Sends twenty datagrams and expects all to arrive, which is wrong.
Task<absl::Status> HopefulMain(bool with_more) {
  if (with_more) Spawn(SendDatagrams, "server", uint16_t{kDatagramPort + 1}, 30);
  co_await SendDatagrams("server", kDatagramPort, 20);
  co_return co_await Sleep(absl::Milliseconds(200));
}

Task<absl::Status> HopefulServer(int* received) {
  Spawn(ReceiveDatagrams, uint16_t{kDatagramPort + 1}, nullptr);
  co_await ReceiveDatagrams(kDatagramPort, received);
  co_return absl::OkStatus();
}

bool Fails(uint64_t seed, bool with_more) {
  int received = 0;
  World world(WorldOptions().set_seed(seed));
  world.AddHost("server", [&] { return HopefulServer(&received); });
  Host& client = world.AddHost("client", [&] { return HopefulMain(with_more); });
  world.Inject(*FaultPlan::Parse("loss client server from 0s to 60s strength 30000"));
  EXPECT_TRUE(world.RunUntilDone(client, absl::Minutes(1)).ok());
  return received != 20;
}

TEST(InsertionTest, FailuresStayWhenTheSameHostsDoSomethingMore) {
  int failures = 0;
  int stayed = 0;
  for (uint64_t seed = 1; failures < 100; ++seed) {
    ASSERT_LT(seed, 2000u);
    if (!Fails(seed, false)) continue;
    ++failures;
    stayed += Fails(seed, true) ? 1 : 0;
  }
  EXPECT_GE(stayed, 95);
}

}  // namespace
}  // namespace tandem::sim
