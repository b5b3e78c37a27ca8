// SPDX-License-Identifier: Apache-2.0
//
// Serve() and LingeringClose() with the order of tasks and the time of the stop drawn from the seed: what the server
// has begun it finishes, and what it has answered arrives, though clients go on sending. And a server whose machine
// crashes at any moment.

#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/random.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/lingering_close.h"
#include "tandem/core/net/serve.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

constexpr uint16_t kPort = 7000;
constexpr size_t kAnswer = 30'000;  // Bytes: more than one segment, so that a reset can cut it.

struct Counts {
  uint64_t begun = 0;     // Requests that the server has read.
  uint64_t answered = 0;  // Answers that were written.
  uint64_t arrived = 0;   // Answers that clients have read to the end.
};

Task<absl::StatusOr<size_t>> ReadByte(TcpStream* stream, char* byte) {
  absl::StatusOr<size_t> count = co_await stream->Read(absl::MakeSpan(byte, 1));
  co_return count;
}

// Each byte is a request. Ends the connection after three of them.
Task<void> Answer(TcpStream stream, CancelScope* idle, Counts* counts) {
  const std::string answer(kAnswer, 'a');
  for (int i = 0; i < 3; ++i) {
    char byte = 0;
    const absl::StatusOr<size_t> count = co_await idle->Run(ReadByte(&stream, &byte));
    if (!count.ok() || *count == 0) break;
    ++counts->begun;
    const absl::Status worked = co_await Sleep(absl::Microseconds(Random("work").Below(2000)));
    if (!worked.ok()) co_return;
    const IoResult written = co_await stream.WriteAll(answer);
    if (!written.ok()) co_return;
    ++counts->answered;
  }
  const absl::Status closed = co_await LingeringClose(stream);
  closed.IgnoreError();
}

Task<absl::Status> ServeUntil(absl::Duration stop, Counts* counts) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  auto handler = [counts](TcpStream stream, CancelScope* idle) { return Answer(std::move(stream), idle, counts); };
  ServeOptions options;
  options.set_max_connections(1 + Random("limit").Below(8)).set_drain_limit(absl::Minutes(1));
  absl::Status status = co_await WithTimeout(stop, Serve(*std::move(listener), handler, options));
  co_return status;
}

// Sends more than is read, and counts the answers that arrive whole before the end or the error.
Task<absl::Status> Ask(SocketAddress server, Counts* counts) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(server);
  if (!stream.ok()) co_return stream.status();
  const uint64_t requests = 1 + Random("requests").Below(20);
  for (uint64_t i = 0; i < requests; ++i) {
    const IoResult sent = co_await stream->WriteAll("?");
    if (!sent.ok()) break;
    const absl::Duration pause = absl::Microseconds(Random("pause").Below(300));
    const absl::Status slept = co_await Sleep(pause);
    if (!slept.ok()) co_return slept;
  }
  // Ends its half only when it has seen the end of the other one, or all.
  std::string block(4096, '\0');
  uint64_t bytes = 0;
  while (bytes < requests * kAnswer) {
    const absl::StatusOr<size_t> count = co_await stream->Read(absl::MakeSpan(block));
    if (!count.ok() || *count == 0) break;
    bytes += *count;
  }
  counts->arrived += bytes / kAnswer;
  co_return bytes % kAnswer == 0 ? absl::OkStatus() : absl::DataLossError(absl::StrCat("cut after ", bytes, " bytes"));
}

Task<absl::Status> AskUntilRefused(SocketAddress server, Counts* counts) {
  for (;;) {
    const absl::Status asked = co_await Ask(server, counts);
    if (absl::IsDataLoss(asked)) co_return asked;
    if (!asked.ok()) co_return absl::OkStatus();
  }
}

Task<absl::Status> AskAgain(SocketAddress server, uint64_t wanted) {
  Counts counts;
  while (counts.arrived < wanted) {
    const absl::Status asked = co_await WithTimeout(absl::Seconds(2), Ask(server, &counts));
    asked.IgnoreError();  // The machine crashes.
    const absl::Status slept = co_await Sleep(absl::Milliseconds(10));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> FourTimes(Task<absl::Status> a, Task<absl::Status> b, Task<absl::Status> c, Task<absl::Status> d) {
  auto [one, two, three, four] = co_await WhenAll(std::move(a), std::move(b), std::move(c), std::move(d));
  for (const absl::Status& status : {one, two, three, four}) {
    if (!status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

}  // namespace

SIM_TEST(Serve, WhatIsBegunIsAnsweredAndArrives) {
  Counts counts;
  const absl::Duration stop = absl::Microseconds(world.random("stop").Below(50'000));
  sim::Host& server = world.AddHost("server", [&counts, stop] { return ServeUntil(stop, &counts); });
  const SocketAddress address = world.Resolve(absl::StrCat("server:", kPort)).value();
  sim::Host& clients = world.AddHost("clients", [&counts, address] {
    return FourTimes(AskUntilRefused(address, &counts), AskUntilRefused(address, &counts),
                     AskUntilRefused(address, &counts), AskUntilRefused(address, &counts));
  });
  // What takes longer than a close lingers is cut off. A packet takes up to twenty times the latency.
  sim::FaultPlan slow;
  slow.Add({sim::FaultKind::kLatency, "server", "clients", absl::ZeroDuration(), absl::Seconds(1),
            world.random("latency").Below(50'000'000)});
  world.Inject(slow);
  world.Inject(sim::Faults::None()
                   .With(sim::FaultKind::kShortReads)
                   .With(sim::FaultKind::kShortWrites)
                   .With(sim::FaultKind::kJitter)
                   .During(absl::ZeroDuration(), absl::Seconds(1)));
  EXPECT_EQ(world.RunUntilDone(server, absl::Hours(1)).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_OK(world.RunUntilDone(clients, absl::Hours(1)));
  EXPECT_EQ(counts.begun, counts.answered);
  EXPECT_EQ(counts.answered, counts.arrived);
}

SIM_TEST(Serve, SurvivesACrashAtAnyMoment) {
  Counts counts;
  world.AddHost("server", [&counts] { return ServeUntil(absl::InfiniteDuration(), &counts); });
  const SocketAddress address = world.Resolve(absl::StrCat("server:", kPort)).value();
  sim::Host& clients = world.AddHost("clients", [address] {
    return FourTimes(AskAgain(address, 30), AskAgain(address, 30), AskAgain(address, 30), AskAgain(address, 30));
  });
  world.Inject(sim::Faults::Hosts({"server"}).During(absl::ZeroDuration(), absl::Milliseconds(300)));
  EXPECT_OK(world.RunUntilDone(clients, absl::Hours(1)));
}

}  // namespace tandem::testing
