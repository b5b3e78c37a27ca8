// SPDX-License-Identifier: Apache-2.0
//
// Two clients and a server that count together, under every fault that there is: what a user's first SIM_TEST may look
// like, and the proof that world, faults and seed runner fit together.

#include <compare>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/buffered.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/runtime/host_local.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::sim {
namespace {

constexpr uint16_t kPort = 7;
constexpr size_t kLineMax = 100;

// One run of the server's process: the number of the run, and a count that only grows.
struct Counter {
  uint64_t boot = 0;
  uint64_t count = 0;
};
HostLocal<Counter> counter;

// Answers each line with "<boot> <count>".
Task<void> ServeOne(TcpStream stream) {
  BufferedReader reader(stream);
  for (;;) {
    absl::StatusOr<absl::string_view> line = co_await reader.ReadUntil("\n", kLineMax);
    if (!line.ok()) co_return;
    const std::string reply = absl::StrCat(counter->boot, " ", ++counter->count, "\n");
    IoResult written = co_await stream.WriteAll(reply);
    if (!written.ok()) co_return;
  }
}

Task<absl::Status> Serve(uint64_t boot) {
  counter->boot = boot;
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return stream.status();
    Spawn(&ServeOne, *std::move(stream));
  }
}

struct Reply {
  uint64_t boot = 0;
  uint64_t count = 0;

  friend auto operator<=>(const Reply&, const Reply&) = default;
};

Task<absl::StatusOr<Reply>> Ask(TcpStream* stream, BufferedReader<TcpStream>* reader) {
  IoResult written = co_await stream->WriteAll("next\n");
  if (!written.ok()) co_return written.status;
  absl::StatusOr<absl::string_view> line = co_await reader->ReadUntil("\n", kLineMax);
  if (!line.ok()) co_return line.status();
  const std::pair<absl::string_view, absl::string_view> fields =
      absl::StrSplit(absl::StripSuffix(*line, "\n"), absl::MaxSplits(' ', 1));
  Reply reply;
  if (!absl::SimpleAtoi(fields.first, &reply.boot) || !absl::SimpleAtoi(fields.second, &reply.count)) {
    co_return absl::DataLossError(absl::StrCat("not a reply: ", *line));
  }
  co_return reply;
}

// Asks over one connection until `wanted` answers are there or the connection fails.
Task<absl::Status> AskOverOneConnection(SocketAddress server, int* wanted, Reply* last) {
  absl::StatusOr<TcpStream> stream = co_await WithTimeout(absl::Seconds(3), TcpStream::Connect(server));
  if (!stream.ok()) co_return stream.status();
  BufferedReader reader(*stream);
  while (*wanted > 0) {
    absl::StatusOr<Reply> reply = co_await WithTimeout(absl::Seconds(1), Ask(&*stream, &reader));
    if (!reply.ok()) co_return reply.status();
    if (*reply <= *last) co_return absl::DataLossError("a count went back");
    *last = *reply;
    --*wanted;
    absl::Status slept = co_await Sleep(absl::Milliseconds(20));  // Long enough for faults to happen to it.
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Count(std::string server, int wanted) {
  absl::StatusOr<SocketAddress> address = World::Current()->Resolve(server);
  if (!address.ok()) co_return address.status();
  Reply last;
  while (wanted > 0) {
    absl::Status status = co_await AskOverOneConnection(*address, &wanted, &last);
    if (absl::IsDataLoss(status) || absl::IsCancelled(status)) co_return status;
    absl::Status slept = co_await Sleep(absl::Milliseconds(50));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

SIM_TEST(World, CountsNeverGoBackUnderEveryFault) {
  uint64_t boots = 0;
  world.AddHost("server", [&] { return Serve(++boots); });
  Host& first = world.AddHost("first", [] { return Count("server:7", 50); });
  Host& second = world.AddHost("second", [] { return Count("server:7", 50); });
  world.Inject(Faults::All().Spare("first").During(absl::ZeroDuration(), absl::Seconds(5)));

  EXPECT_OK(world.RunUntilDone(first, absl::Hours(1)));
  EXPECT_OK(world.RunUntilDone(second, absl::Hours(1)));
}

// The rehearsal has no faults, and would never come to the end of this loop.
SIM_TEST(World, ATestMayWaitForAFaultInALoop) {
  uint64_t boots = 0;
  const Host& server = world.AddHost("server", [&] { return Serve(++boots); });
  Host& client = world.AddHost("client", [] { return Count("server:7", 20); });
  world.Inject(Faults::Only(FaultKind::kKill).Spare("client"));

  while (server.restarts() == 0) ASSERT_OK(world.RunFor(absl::Seconds(1)));

  EXPECT_LE(world.Now(), Instant() + absl::Minutes(2));
  EXPECT_OK(world.RunUntilDone(client, absl::Hours(1)));
}

}  // namespace
}  // namespace tandem::sim
