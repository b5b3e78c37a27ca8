// SPDX-License-Identifier: Apache-2.0
//
// Programs about datagrams, names, blocking work and clocks.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/resolver.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/core/runtime/run_blocking.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/faults/matrix/programs.h"
#include "tandem/sim/network/names.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

constexpr uint16_t kPort = 7;
constexpr absl::Duration kPause = absl::Milliseconds(5);
constexpr absl::Duration kTimeout = absl::Seconds(1);

// --- Datagrams ---

constexpr int kBursts = 20;
constexpr int kDatagrams = 10 * kBursts;

Task<absl::Status> SendNumbers() {
  absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(0));
  const absl::StatusOr<SocketAddress> to = HostAddress("receiver", kPort);
  if (!socket.ok() || !to.ok()) co_return absl::InternalError("the sender has no socket");
  for (int i = 0; i < kDatagrams; ++i) {
    const std::string number = absl::StrCat(i);
    const absl::Status sent = co_await socket->SendTo(number, *to);
    if (!sent.ok()) co_return sent;
    if (i % (kDatagrams / kBursts) != 0) continue;
    const absl::Status slept = co_await Sleep(kPause);
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ReceiveNumbers(bool sorts) {
  absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(kPort));
  if (!socket.ok()) co_return socket.status();
  std::set<int> seen;
  while (seen.size() < kDatagrams) {
    std::array<char, 100> buffer;
    const absl::StatusOr<ReceivedDatagram> datagram = co_await socket->ReceiveFrom(absl::MakeSpan(buffer));
    if (!datagram.ok()) co_return datagram.status();
    int number = -1;
    if (!absl::SimpleAtoi(absl::string_view(buffer.data(), datagram->size), &number)) {
      co_return absl::DataLossError("a datagram is no number");
    }
    if (!sorts && number != static_cast<int>(seen.size())) {
      co_return absl::DataLossError(absl::StrCat(number, " instead of ", seen.size()));
    }
    seen.insert(number);
  }
  co_return absl::OkStatus();
}

void AddDatagramHosts(World& world, bool sorts) {
  world.AddClient("receiver", [sorts] { return ReceiveNumbers(sorts); });
  world.AddHost("sender", [] { return SendNumbers(); });
}

// --- Names ---

constexpr int kLookups = 40;

Task<absl::Status> LookUpOften(bool trusts) {
  std::vector<SocketAddress> first;
  for (int done = 0; done < kLookups;) {
    const absl::Status slept = co_await Sleep(kPause);
    if (!slept.ok()) co_return slept;
    const Instant begin = Now();
    const absl::StatusOr<std::vector<SocketAddress>> addresses = co_await Resolve("server", kPort).By(Now() + kTimeout);
    if (!addresses.ok() && trusts) co_return addresses.status();
    if (!addresses.ok()) continue;
    ++done;
    if (first.empty()) first = *addresses;
    if (trusts && *addresses != first) co_return absl::DataLossError("the name has other addresses");
    if (trusts && Now() - begin > 4 * kPause) co_return absl::DeadlineExceededError("a lookup took long");
  }
  co_return absl::OkStatus();
}

void AddLookup(World& world, bool trusts) {
  world.AddHost("server", []() -> Task<absl::Status> { co_return absl::OkStatus(); });
  world.AddClient("client", [trusts] { return LookUpOften(trusts); });
}

constexpr absl::Duration kMoves = absl::Milliseconds(100);
constexpr int kConnects = 20;

Task<absl::Status> AcceptAll() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  while (true) {
    const absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return stream.status();
  }
}

Task<absl::Status> ConnectToMoved(bool trusts) {
  const absl::Status moved = co_await Sleep(kMoves + 4 * kPause);
  if (!moved.ok()) co_return moved;
  for (int done = 0; done < kConnects;) {
    const absl::StatusOr<std::vector<SocketAddress>> addresses =
        co_await Resolve("service", kPort).By(Now() + kTimeout);
    if (!addresses.ok()) co_return addresses.status();
    const absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(addresses->front()).By(Now() + kTimeout);
    if (!stream.ok() && trusts) co_return stream.status();
    if (stream.ok()) ++done;
    const absl::Status slept = co_await Sleep(kPause);
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

void AddMove(World& world, bool trusts) {
  const Host& old_host = world.AddHost("old", []() -> Task<absl::Status> { co_return absl::OkStatus(); });
  const Host& new_host = world.AddHost("new", [] { return AcceptAll(); });
  world.AddClient("client", [trusts] { return ConnectToMoved(trusts); });
  world.names().Set("service", {old_host.address(0)});
  world.After(kMoves, [&world, address = new_host.address(0)] { world.names().Set("service", {address}); });
}

// --- Blocking work ---

constexpr int kWorks = 40;

Task<absl::Status> Work(bool expects_soon) {
  for (int i = 0; i < kWorks; ++i) {
    const Instant begin = Now();
    const absl::StatusOr<int> result = co_await RunBlocking([i] { return i; });
    if (!result.ok()) co_return result.status();
    if (*result != i) co_return absl::DataLossError("not what the work has returned");
    if (expects_soon && Now() - begin > kPause) co_return absl::DeadlineExceededError("the work took long");
    const absl::Status slept = co_await Sleep(kPause);
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

// --- Clocks ---

constexpr int kReadings = 100;
constexpr absl::Duration kBetweenReadings = absl::Milliseconds(100);
constexpr absl::Duration kTogether = absl::Milliseconds(50);

int64_t WallNs() { return absl::ToUnixNanos(WallNow()); }

Task<void> TellTimes(TcpStream stream) {
  std::array<char, 1> question;
  while (true) {
    const IoResult read = co_await stream.ReadExactly(absl::MakeSpan(question));
    if (!read.ok()) co_return;
    std::string times = absl::StrCat(WallNs(), " ", Now().nanoseconds());
    times.resize(50, ' ');
    const IoResult written = co_await stream.WriteAll(times);
    if (!written.ok()) co_return;
  }
}

Task<absl::Status> ServeTimes() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  while (true) {
    absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return stream.status();
    Spawn(&TellTimes, *std::move(stream));
  }
}

bool AreTogether(int64_t a_ns, int64_t b_ns) {
  return absl::Nanoseconds(a_ns > b_ns ? a_ns - b_ns : b_ns - a_ns) < kTogether;
}

Task<absl::Status> ReadTimes(bool compares) {
  const absl::StatusOr<SocketAddress> address = HostAddress("server", kPort);
  if (!address.ok()) co_return address.status();
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(*address);
  if (!stream.ok()) co_return stream.status();
  int64_t monotonic_before_ns = 0;
  for (int i = 0; i < kReadings; ++i) {
    const Instant begin = Now();
    const absl::Status slept = co_await Sleep(kBetweenReadings);
    if (!slept.ok()) co_return slept;
    if (Now() - begin < kBetweenReadings) co_return absl::InternalError("a sleep was short");
    const IoResult asked = co_await stream->WriteAll("?");
    std::array<char, 50> text;
    const IoResult read = co_await stream->ReadExactly(absl::MakeSpan(text));
    if (!asked.ok() || !read.ok()) co_return absl::UnavailableError("no answer");
    const std::vector<absl::string_view> words =
        absl::StrSplit(absl::string_view(text.data(), text.size()), ' ', absl::SkipEmpty());
    int64_t wall_ns = 0;
    int64_t monotonic_ns = 0;
    if (words.size() != 2 || !absl::SimpleAtoi(words[0], &wall_ns) || !absl::SimpleAtoi(words[1], &monotonic_ns)) {
      co_return absl::DataLossError("no times");
    }
    if (monotonic_ns < monotonic_before_ns) co_return absl::InternalError("a monotonic clock went back");
    monotonic_before_ns = monotonic_ns;
    if (!compares) continue;
    if (!AreTogether(wall_ns, WallNs())) co_return absl::FailedPreconditionError("the wall clocks are apart");
    if (!AreTogether(monotonic_ns, Now().nanoseconds())) {
      co_return absl::FailedPreconditionError("the monotonic clocks are apart");
    }
  }
  co_return absl::OkStatus();
}

void AddClocks(World& world, bool compares) {
  world.AddHost("server", [] { return ServeTimes(); });
  world.AddClient("client", [compares] { return ReadTimes(compares); });
}

}  // namespace

void ExpectDatagramsInOrder(World& world) { AddDatagramHosts(world, /*sorts=*/false); }
void SortDatagrams(World& world) { AddDatagramHosts(world, /*sorts=*/true); }
void TrustNames(World& world) { AddLookup(world, /*trusts=*/true); }
void LookNamesUpAgain(World& world) { AddLookup(world, /*trusts=*/false); }
void TrustMovedName(World& world) { AddMove(world, /*trusts=*/true); }
void LookMovedNameUpAgain(World& world) { AddMove(world, /*trusts=*/false); }
void ExpectWorkSoon(World& world) {
  world.AddClient("client", [] { return Work(/*expects_soon=*/true); });
}
void WaitForWork(World& world) {
  world.AddClient("client", [] { return Work(/*expects_soon=*/false); });
}
void CompareClocks(World& world) { AddClocks(world, /*compares=*/true); }
void MeasureDurations(World& world) { AddClocks(world, /*compares=*/false); }

}  // namespace tandem::sim
