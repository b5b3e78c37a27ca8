// SPDX-License-Identifier: Apache-2.0
//
// How fast the simulator is: 64-byte echo between two simulated hosts, for a while of real time.
//
// Each pair is a connection of its own with one message under way. Prints one JSON line. `events` are the events of the
// world: packets that arrive, timers, turns of hosts. On a machine that has other work, the round trips for a second of
// processor time tell more than those for a second.

#include <array>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

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

Task<void> Echo(TcpStream stream) {
  std::array<char, kMessageBytes> message;
  for (;;) {
    const absl::StatusOr<size_t> count = co_await stream.Read(absl::MakeSpan(message));
    if (!count.ok() || *count == 0) co_return;
    const IoResult written = co_await stream.WriteAll(absl::string_view(message.data(), *count));
    if (!written.ok()) co_return;
  }
}

Task<absl::Status> Serve() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return stream.status();
    Spawn(&Echo, *std::move(stream));
  }
}

Task<void> Ping(SocketAddress server, uint64_t* round_trips) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(server);
  CHECK_OK(stream.status());
  std::array<char, kMessageBytes> message = {};
  for (;;) {
    const IoResult written = co_await stream->WriteAll(absl::string_view(message.data(), message.size()));
    if (!written.ok()) co_return;
    const IoResult read = co_await stream->ReadExactly(absl::MakeSpan(message));
    if (!read.ok()) co_return;
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
  CHECK_OK(world.RunFor(absl::Milliseconds(100)));  // Connects and fills the pools.
  CHECK_GT(round_trips, 0u);

  const uint64_t round_trips_before = round_trips;
  Meter meter(world);
  meter.RunForRealSeconds(seconds, absl::Milliseconds(10));
  const double elapsed = meter.seconds();
  const double cpu_seconds = meter.cpu_seconds();
  const auto round_trips_done = static_cast<double>(round_trips - round_trips_before);

  std::printf("{\"pairs\": %" PRId64 ", \"seconds\": %.3f, \"round_trips\": %" PRIu64
              ", \"round_trips_per_s\": %.0f, \"events_per_s\": %.0f, \"round_trips_per_cpu_s\": %.0f}\n",
              pairs, elapsed, round_trips - round_trips_before, round_trips_done / elapsed,
              static_cast<double>(meter.events()) / elapsed, round_trips_done / cpu_seconds);
}

}  // namespace
}  // namespace tandem::bench

int main(int argc, char** argv) {
  int64_t pairs = 100;
  double seconds = 5;
  tandem::bench::Flags flags("64-byte TCP echo between two simulated hosts; prints one JSON line.");
  flags.Add("pairs", &pairs, 1, 20'000, "connections, each with one message under way");
  flags.Add("seconds", &seconds, 0.01, 3600, "how long to run, in real time");
  flags.Parse(argc, argv);
  tandem::bench::Run(pairs, seconds);
  return 0;
}
