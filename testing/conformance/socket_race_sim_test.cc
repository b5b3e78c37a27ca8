// SPDX-License-Identifier: Apache-2.0
//
// The races of socket_race_test over a network with latency, loss and short reads and writes, with the order of tasks
// drawn from the seed: whatever is cancelled when, two numbered streams arrive whole.

#include <algorithm>
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
#include "tandem/core/io/buffer.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/conformance/number_checker.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

constexpr uint64_t kNumbers = 400;
constexpr uint16_t kPort = 7000;

// Mostly short, now and then as long as a packet takes.
absl::Duration DrawTimeout(uint64_t entity) {
  RandomStream& random = Random("timeout", entity);
  const int64_t max_us = random.Below(4) == 0 ? 20'000 : 500;
  return absl::Microseconds(random.Between(0, max_us));
}

// Sends the numbers 0..kNumbers-1; writes are cut short at any time and go on where they were.
Task<absl::Status> WriteNumbers(TcpStream stream, uint64_t entity) {
  std::string data;
  for (uint64_t number = 0; number < kNumbers; ++number) {
    data.append(reinterpret_cast<const char*>(&number), sizeof(number));
  }
  absl::string_view rest = data;
  while (!rest.empty()) {
    const size_t size = 1 + Random("write size", entity).Below(64);
    const absl::Duration timeout = DrawTimeout(entity);
    const IoResult result = co_await WithTimeout(timeout, stream.WriteAll(rest.substr(0, size)));
    rest.remove_prefix(result.bytes);
    if (!result.ok() && !absl::IsDeadlineExceeded(result.status)) co_return result.status;
    stream.AcceptPartial();
    const absl::Duration pause = DrawTimeout(entity);
    absl::Status slept = co_await Sleep(pause);
    if (!slept.ok()) co_return slept;
  }
  co_return co_await stream.ShutdownWrite();
}

Task<absl::Status> Write() {
  auto listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  absl::StatusOr<TcpStream> first = co_await listener->Accept();
  if (!first.ok()) co_return first.status();
  absl::StatusOr<TcpStream> second = co_await listener->Accept();
  if (!second.ok()) co_return second.status();
  auto results = co_await WhenAll(WriteNumbers(*std::move(first), 1), WriteNumbers(*std::move(second), 2));
  if (!std::get<0>(results).ok()) co_return std::get<0>(results);
  co_return std::get<1>(results);
}

struct Input {
  TcpStream stream;
  NumberChecker checker;
  bool ended = false;

  // Takes what a read has returned; an error other than a deadline is returned.
  absl::Status Take(const absl::StatusOr<size_t>& count, const char* data) {
    if (absl::IsDeadlineExceeded(count.status())) return absl::OkStatus();
    if (!count.ok()) return count.status();
    ended = *count == 0;
    checker.Add(data, *count);
    return absl::OkStatus();
  }
};

Task<absl::Status> ReadOne(Input* input) {
  char target[64];
  const size_t size = 1 + Random("read size").Below(sizeof(target));
  const absl::Duration timeout = DrawTimeout(3);
  switch (Random("way").Below(3)) {
    case 0: {
      absl::StatusOr<size_t> count = co_await WithTimeout(timeout, input->stream.Read(absl::MakeSpan(target, size)));
      co_return input->Take(count, target);
    }
    case 1: {
      absl::StatusOr<Buffer> buffer = co_await WithTimeout(timeout, input->stream.Receive());
      if (!buffer.ok()) co_return input->Take(buffer.status(), nullptr);
      co_return input->Take(buffer->size(), buffer->data());
    }
    default: {
      const IoResult result = co_await WithTimeout(timeout, input->stream.ReadExactly(absl::MakeSpan(target, size)));
      input->checker.Add(target, result.bytes);
      if (absl::IsOutOfRange(result.status)) input->ended = true;
      const bool fine = result.ok() || input->ended || absl::IsDeadlineExceeded(result.status);
      co_return fine ? absl::OkStatus() : result.status;
    }
  }
}

Task<absl::Status> ReadEither(Input* first, Input* second) {
  char first_target[48];
  char second_target[48];
  auto results = co_await WhenAny(first->stream.Read(absl::MakeSpan(first_target)),
                                  second->stream.Read(absl::MakeSpan(second_target)));
  if (std::get<0>(results).has_value()) {
    const absl::Status status = first->Take(*std::get<0>(results), first_target);
    if (!status.ok()) co_return status;
  }
  if (std::get<1>(results).has_value()) {
    const absl::Status status = second->Take(*std::get<1>(results), second_target);
    if (!status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ReadBoth(SocketAddress address) {
  Input first;
  Input second;
  for (Input* input : {&first, &second}) {
    while (!input->stream.valid()) {
      absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
      if (stream.ok()) input->stream = *std::move(stream);
      if (!stream.ok()) static_cast<void>(co_await Sleep(absl::Milliseconds(10)));
    }
  }
  while (!first.ended || !second.ended) {
    absl::Status status;
    if (!first.ended && !second.ended && Random("either").Below(2) == 0) {
      status = co_await ReadEither(&first, &second);
    } else {
      Input* const input = first.ended || (!second.ended && Random("which").Below(2) == 0) ? &second : &first;
      status = co_await ReadOne(input);
    }
    if (!status.ok()) co_return status;
  }
  for (const Input* input : {&first, &second}) {
    if (input->checker.mistakes() != 0) co_return absl::DataLossError("a gap or a repeat");
    if (input->checker.next() != kNumbers) {
      co_return absl::DataLossError(absl::StrCat("the stream ended at ", input->checker.next()));
    }
  }
  co_return absl::OkStatus();
}

}  // namespace

SIM_TEST(SocketRace, StreamsAreWholeWhateverIsCancelledWhen) {
  world.AddHost("writer", [] { return Write(); });
  const SocketAddress address = world.Resolve(absl::StrCat("writer:", kPort)).value();
  sim::Host& reader = world.AddHost("reader", [address] { return ReadBoth(address); });
  // What a connection survives.
  world.Inject(sim::Faults::None()
                   .With(sim::FaultKind::kLatency)
                   .With(sim::FaultKind::kLoss)
                   .With(sim::FaultKind::kClog)
                   .With(sim::FaultKind::kShortReads)
                   .With(sim::FaultKind::kShortWrites)
                   .With(sim::FaultKind::kJitter)
                   // What arrives during a pause is there all at once.
                   .With(sim::FaultKind::kPause)
                   .During(absl::ZeroDuration(), absl::Seconds(2)));
  EXPECT_OK(world.RunUntilDone(reader, absl::Hours(2)));
}

}  // namespace tandem::testing
