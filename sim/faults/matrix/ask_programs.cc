// SPDX-License-Identifier: Apache-2.0
//
// Clients that ask a server over TCP.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/sim/faults/matrix/programs.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

constexpr uint16_t kPort = 7;
constexpr int kClients = 3;
constexpr int kRounds = 60;
constexpr int kRoundsOfAConnection = 4;
constexpr absl::Duration kPause = absl::Milliseconds(2);
constexpr absl::Duration kTimeout = absl::Seconds(1);
constexpr absl::Duration kBeforeNextTry = absl::Milliseconds(100);

struct Manners {
  size_t request_bytes = 2000;
  absl::Duration soon = absl::Milliseconds(6);  // A round of one who is not patient.
  bool patient = false;
  bool receives_at_once = false;
  bool sends_at_once = false;
};

// What a client has done, whatever becomes of its process.
using Progress = std::shared_ptr<int>;

Task<void> Answer(TcpStream stream, size_t request_bytes) {
  std::string request(request_bytes, '\0');
  while (true) {
    const IoResult read = co_await stream.ReadExactly(absl::MakeSpan(request.data(), request.size()));
    if (!read.ok()) co_return;
    const IoResult written = co_await stream.WriteAll(request);
    if (!written.ok()) co_return;
  }
}

Task<absl::Status> Serve(size_t request_bytes) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  while (true) {
    absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return stream.status();
    Spawn(&Answer, *std::move(stream), request_bytes);
  }
}

Task<absl::Status> Send(TcpStream* stream, const std::string* request, Manners manners) {
  if (manners.sends_at_once) {
    const absl::StatusOr<std::optional<size_t>> taken = stream->TryWrite(*request);
    if (!taken.ok()) co_return taken.status();
    if (*taken != request->size()) co_return absl::DataLossError("a send has taken a part");
    co_return absl::OkStatus();
  }
  const IoResult written = co_await stream->WriteAll(*request).By(Now() + kTimeout);
  co_return written.status;
}

Task<absl::Status> Receive(TcpStream* stream, const std::string* request, Manners manners) {
  std::string reply(request->size(), '\0');
  if (manners.receives_at_once) {
    const absl::StatusOr<Buffer> chunk = co_await stream->Receive();
    if (!chunk.ok()) co_return chunk.status();
    reply = std::string(chunk->view());
  } else {
    const IoResult read = co_await stream->ReadExactly(absl::MakeSpan(reply.data(), reply.size())).By(Now() + kTimeout);
    if (!read.ok()) co_return read.status;
  }
  co_return reply == *request ? absl::OkStatus() : absl::DataLossError("the reply is not the request");
}

// Some rounds over one connection, until an error.
Task<absl::Status> AskOverOne(Progress rounds, Manners manners) {
  const Instant begin = Now();
  const absl::StatusOr<SocketAddress> address = HostAddress("server", kPort);
  if (!address.ok()) co_return address.status();
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(*address).By(Now() + kTimeout);
  if (!stream.ok()) co_return stream.status();
  for (int i = 0; i < kRoundsOfAConnection; ++i) {
    std::string request = absl::StrCat("request ", *rounds, " ");
    request.resize(manners.request_bytes, 'r');
    const absl::Status sent = co_await Send(&*stream, &request, manners);
    if (!sent.ok()) co_return sent;
    const absl::Status received = co_await Receive(&*stream, &request, manners);
    if (!received.ok()) co_return received;
    ++*rounds;
    const absl::Status slept = co_await Sleep(kPause);
    if (!slept.ok()) co_return slept;
  }
  const bool late = Now() - begin > kRoundsOfAConnection * manners.soon;
  co_return late && !manners.patient ? absl::DeadlineExceededError("some rounds took long") : absl::OkStatus();
}

Task<absl::Status> Ask(Progress rounds, Manners manners) {
  while (*rounds < kRounds) {
    const absl::Status status = co_await AskOverOne(rounds, manners);
    if (status.ok()) continue;
    if (!manners.patient || absl::IsCancelled(status) || absl::IsDataLoss(status)) co_return status;
    const absl::Status slept = co_await Sleep(kBeforeNextTry);
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

void AddHosts(World& world, Manners manners) {
  world.AddHost("server", [manners] { return Serve(manners.request_bytes); });
  for (int i = 0; i < kClients; ++i) {
    world.AddClient(absl::StrCat("client", i),
                    [manners, rounds = std::make_shared<int>(0)] { return Ask(rounds, manners); });
  }
}

constexpr size_t kMuch = 300'000;
constexpr size_t kOneSegment = 1000;

}  // namespace

void AskHastily(World& world) { AddHosts(world, {}); }
void AskPatiently(World& world) { AddHosts(world, {.patient = true}); }
void AskMuchHastily(World& world) { AddHosts(world, {.request_bytes = kMuch, .soon = absl::Milliseconds(30)}); }
void AskMuchPatiently(World& world) { AddHosts(world, {.request_bytes = kMuch, .patient = true}); }
void ReceiveAtOnce(World& world) { AddHosts(world, {.request_bytes = kOneSegment, .receives_at_once = true}); }
void SendAtOnce(World& world) { AddHosts(world, {.sends_at_once = true}); }

}  // namespace tandem::sim
