// SPDX-License-Identifier: Apache-2.0
//
// What a datagram costs in the simulator: 64-byte UDP echo between two simulated hosts, for a while of real time.
//
// Each pair has a socket of its own on the client, with one message under way; the server has one for all. Prints one
// JSON line.

#include <array>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/bench/flags.h"
#include "tandem/bench/sim/meter.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"

namespace tandem::bench {
namespace {

constexpr size_t kMessageBytes = 64;
constexpr uint16_t kPort = 7;

Task<absl::Status> Serve() {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(SocketAddress::AnyIpv4(kPort));
  if (!socket.ok()) co_return socket.status();
  std::array<char, kMessageBytes> message;
  for (;;) {
    const auto received = co_await socket->ReceiveFrom(absl::MakeSpan(message));
    if (!received.ok()) co_return received.status();
    const absl::Status sent = co_await socket->SendTo({message.data(), received->size}, received->source);
    if (!sent.ok()) co_return sent;
  }
}

Task<void> Ping(SocketAddress server, uint64_t* round_trips) {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Open(AddressFamily::kIpv4);
  CHECK_OK(socket.status());
  std::array<char, kMessageBytes> message = {};
  for (;;) {
    const absl::Status sent = co_await socket->SendTo({message.data(), message.size()}, server);
    if (!sent.ok()) co_return;
    const auto received = co_await socket->ReceiveFrom(absl::MakeSpan(message));
    if (!received.ok()) co_return;
    ++*round_trips;
  }
}

Task<absl::Status> RunPairs(SocketAddress server, int64_t pairs, uint64_t* round_trips) {
  for (int64_t pair = 0; pair < pairs; ++pair) Spawn(&Ping, server, round_trips);
  co_return co_await SleepUntil(Instant::InfiniteFuture());
}

void Run(int64_t pairs, double seconds) {
  sim::World world(sim::WorldOptions().set_seed(1).set_max_events(~uint64_t{0}));
  uint64_t round_trips = 0;
  sim::Host& server = world.AddHost("server", [] { return Serve(); });
  world.AddHost("client", [&] { return RunPairs(server.address(kPort), pairs, &round_trips); });
  CHECK_OK(world.RunFor(absl::Milliseconds(100)));  // Fills the pools.
  CHECK_GT(round_trips, 0u);

  const uint64_t round_trips_before = round_trips;
  Meter meter(world);
  meter.RunForRealSeconds(seconds, absl::Milliseconds(10));
  const double cpu_seconds = meter.cpu_seconds();
  const auto done = static_cast<double>(round_trips - round_trips_before);
  std::printf("{\"pairs\": %" PRId64
              ", \"round_trips\": %.0f, \"events_per_round_trip\": %.2f"
              ", \"round_trips_per_cpu_s\": %.0f}\n",
              pairs, done, static_cast<double>(meter.events()) / done, done / cpu_seconds);
}

}  // namespace
}  // namespace tandem::bench

int main(int argc, char** argv) {
  int64_t pairs = 100;
  double seconds = 5;
  tandem::bench::Flags flags("64-byte UDP echo between two simulated hosts; prints one JSON line.");
  flags.Add("pairs", &pairs, 1, 20'000, "sockets of the client, each with one message under way");
  flags.Add("seconds", &seconds, 0.01, 3600, "how long to run, in real time");
  flags.Parse(argc, argv);
  tandem::bench::Run(pairs, seconds);
  return 0;
}
