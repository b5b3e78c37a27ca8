// SPDX-License-Identifier: Apache-2.0
//
// How fast quiet time passes: a cluster in which every host sends every other one a heartbeat each second.
//
// Heartbeats are UDP datagrams of 64 bytes, or 64 bytes on a TCP connection for each direction of each link. Prints one
// JSON line.

#include <array>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/bench/flags.h"
#include "tandem/bench/sim/meter.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"

namespace tandem::bench {
namespace {

constexpr size_t kMessageBytes = 64;
constexpr uint16_t kPort = 7;
using Message = std::array<char, kMessageBytes>;

struct Cluster {
  std::vector<SocketAddress> addresses;
  uint64_t received = 0;
};

Task<void> BeatByUdp(const Cluster* cluster, size_t self) {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Open(AddressFamily::kIpv4);
  CHECK_OK(socket.status());
  const Message message = {};
  for (;;) {
    for (size_t peer = 0; peer < cluster->addresses.size(); ++peer) {
      if (peer == self) continue;
      const absl::Status sent = co_await socket->SendTo({message.data(), message.size()}, cluster->addresses[peer]);
      if (!sent.ok()) co_return;
    }
    const absl::Status slept = co_await Sleep(absl::Seconds(1));
    if (!slept.ok()) co_return;
  }
}

Task<absl::Status> RunByUdp(Cluster* cluster, size_t self) {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(SocketAddress::AnyIpv4(kPort));
  if (!socket.ok()) co_return socket.status();
  Spawn(&BeatByUdp, cluster, self);
  Message message;
  for (;;) {
    const auto received = co_await socket->ReceiveFrom(absl::MakeSpan(message));
    if (!received.ok()) co_return received.status();
    ++cluster->received;
  }
}

Task<void> BeatByTcp(SocketAddress peer) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(peer);
  CHECK_OK(stream.status());
  const Message message = {};
  for (;;) {
    const IoResult written = co_await stream->WriteAll(absl::string_view(message.data(), message.size()));
    if (!written.ok()) co_return;
    const absl::Status slept = co_await Sleep(absl::Seconds(1));
    if (!slept.ok()) co_return;
  }
}

Task<void> Count(Cluster* cluster, TcpStream stream) {
  Message message;
  for (;;) {
    const IoResult read = co_await stream.ReadExactly(absl::MakeSpan(message));
    if (!read.ok()) co_return;
    ++cluster->received;
  }
}

Task<absl::Status> RunByTcp(Cluster* cluster, size_t self) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  const absl::Status slept = co_await Sleep(absl::Seconds(1));  // Until everybody listens.
  if (!slept.ok()) co_return slept;
  for (size_t peer = 0; peer < cluster->addresses.size(); ++peer) {
    if (peer != self) Spawn(&BeatByTcp, cluster->addresses[peer]);
  }
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return stream.status();
    Spawn(&Count, cluster, *std::move(stream));
  }
}

void Run(int64_t hosts, double days, bool tcp) {
  sim::World world(sim::WorldOptions().set_seed(1).set_max_events(~uint64_t{0}));
  Cluster cluster;
  for (int64_t i = 0; i < hosts; ++i) {
    const auto self = static_cast<size_t>(i);
    sim::Host& host = world.AddHost(absl::StrCat("host", i), [&cluster, self, tcp] {
      return tcp ? RunByTcp(&cluster, self) : RunByUdp(&cluster, self);
    });
    cluster.addresses.push_back(host.address(kPort));
  }
  const Meter meter(world);
  CHECK_OK(world.RunFor(absl::Hours(24) * days));
  const double cpu_seconds = meter.cpu_seconds();
  const auto heartbeats = static_cast<double>(cluster.received);
  std::printf("{\"days\": %g, \"tcp\": %d, \"heartbeats\": %" PRIu64
              ", \"events_per_heartbeat\": %.2f, \"cpu_seconds\": %.3f, \"ns_per_heartbeat\": %.0f}\n",
              days, tcp, cluster.received, static_cast<double>(meter.events()) / heartbeats, cpu_seconds,
              cpu_seconds * 1e9 / heartbeats);
}

}  // namespace
}  // namespace tandem::bench

int main(int argc, char** argv) {
  int64_t hosts = 5;
  double days = 7;
  int64_t tcp = 0;
  tandem::bench::Flags flags("A cluster with a heartbeat a second on each link; prints one JSON line.");
  flags.Add("hosts", &hosts, 2, 1000, "how many hosts there are");
  flags.Add("days", &days, 0.0001, 3650, "how much virtual time passes");
  flags.Add("tcp", &tcp, 0, 1, "1: over TCP connections, 0: over UDP");
  flags.Parse(argc, argv);
  tandem::bench::Run(hosts, days, tcp != 0);
  return 0;
}
