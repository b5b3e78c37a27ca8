// SPDX-License-Identifier: Apache-2.0
//
// What a large cluster costs: a TCP connection between every two hosts, and messages over all of them in turn.
//
// In each round every host exchanges one message of 64 bytes with one other, over the connection between them; after as
// many rounds as there are other hosts, each connection has been used. Prints one JSON line: the memory that the idle
// connections hold, for each of their ends, and the processor time of an event.

#include <malloc.h>

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
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"

namespace tandem::bench {
namespace {

constexpr size_t kMessageBytes = 64;
constexpr uint16_t kPort = 7;
using Message = std::array<char, kMessageBytes>;

// All that the hosts of one world share. A connection says by its first message whose it is.
struct Mesh {
  std::vector<SocketAddress> addresses;
  std::vector<std::vector<TcpStream>*> streams;  // By host, and then by peer. They belong to the host's main.
  size_t ends = 0;                               // That are connected.
  bool exchanges = false;
  uint64_t messages = 0;
};

Task<void> Welcome(Mesh* mesh, size_t self, TcpStream stream) {
  Message message;
  const IoResult read = co_await stream.ReadExactly(absl::MakeSpan(message));
  CHECK_OK(read.status);
  const auto peer = static_cast<size_t>(static_cast<unsigned char>(message[0])) << 8 |
                    static_cast<size_t>(static_cast<unsigned char>(message[1]));
  (*mesh->streams[self])[peer] = std::move(stream);
  ++mesh->ends;
}

Task<void> Accept(Mesh* mesh, size_t self, TcpListener listener) {
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener.Accept();
    if (!stream.ok()) co_return;
    Spawn(&Welcome, mesh, self, *std::move(stream));
  }
}

// With whom `self` exchanges in this round, of which there are as many as hosts: everybody has one partner, and one of
// them perhaps itself. (The round-robin tournament.)
size_t PartnerOf(size_t self, size_t round, size_t hosts) { return (round + hosts - self) % hosts; }

Task<absl::Status> RunHost(Mesh* mesh, size_t self) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  std::vector<TcpStream> streams(mesh->addresses.size());
  mesh->streams[self] = &streams;
  Spawn(&Accept, mesh, self, *std::move(listener));
  absl::Status slept = co_await Sleep(absl::Seconds(1));  // Until everybody listens.
  const size_t hosts = mesh->addresses.size();
  Message message = {static_cast<char>(self >> 8), static_cast<char>(self & 0xff)};
  for (size_t peer = self + 1; peer < hosts; ++peer) {
    absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(mesh->addresses[peer]);
    if (!stream.ok()) co_return stream.status();
    const IoResult written = co_await stream->WriteAll(absl::string_view(message.data(), message.size()));
    if (!written.ok()) co_return written.status;
    streams[peer] = *std::move(stream);
    ++mesh->ends;
  }
  while (slept.ok() && !mesh->exchanges) slept = co_await Sleep(absl::Seconds(1));
  for (size_t round = 0;; ++round) {
    const size_t partner = PartnerOf(self, round, hosts);
    if (partner == self) continue;
    TcpStream& stream = streams[partner];
    const IoResult written = co_await stream.WriteAll(absl::string_view(message.data(), message.size()));
    if (!written.ok()) co_return written.status;
    const IoResult read = co_await stream.ReadExactly(absl::MakeSpan(message));
    if (!read.ok()) co_return read.status;
    ++mesh->messages;
  }
}

size_t BytesInUse() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

void Run(int64_t hosts, double seconds) {
  const auto count = static_cast<size_t>(hosts);
  Mesh mesh;
  mesh.streams.resize(count);
  sim::World world(sim::WorldOptions().set_seed(1).set_max_events(~uint64_t{0}));
  for (size_t self = 0; self < count; ++self) {
    sim::Host& host = world.AddHost(absl::StrCat("host", self), [&mesh, self] { return RunHost(&mesh, self); });
    mesh.addresses.push_back(host.address(kPort));
  }
  CHECK_OK(world.RunFor(absl::Milliseconds(500)));
  const size_t before = BytesInUse();
  const size_t all_ends = count * (count - 1);
  while (mesh.ends < all_ends) CHECK_OK(world.RunFor(absl::Seconds(1)));
  CHECK_OK(world.RunFor(absl::Seconds(10)));  // What was sent is acknowledged.
  const double bytes_per_end = static_cast<double>(BytesInUse() - before) / static_cast<double>(all_ends);

  mesh.exchanges = true;
  CHECK_OK(world.RunFor(absl::Seconds(1)));
  CHECK_GT(mesh.messages, 0u);
  const uint64_t messages_before = mesh.messages;
  Meter meter(world);
  meter.RunForRealSeconds(seconds, absl::Milliseconds(1));
  const double cpu_seconds = meter.cpu_seconds();
  std::printf("{\"hosts\": %" PRId64 ", \"ends\": %zu, \"bytes_per_idle_end\": %.0f, \"messages\": %" PRIu64
              ", \"events\": %" PRIu64 ", \"ns_per_event\": %.1f}\n",
              hosts, all_ends, bytes_per_end, mesh.messages - messages_before, meter.events(),
              cpu_seconds * 1e9 / static_cast<double>(meter.events()));
}

}  // namespace
}  // namespace tandem::bench

int main(int argc, char** argv) {
  int64_t hosts = 5;
  double seconds = 5;
  tandem::bench::Flags flags("TCP connections between every two hosts; prints one JSON line.");
  flags.Add("hosts", &hosts, 3, 5000, "how many hosts there are");
  flags.Add("seconds", &seconds, 0.01, 3600, "how long to exchange messages, in real time");
  flags.Parse(argc, argv);
  tandem::bench::Run(hosts, seconds);
  return 0;
}
