// SPDX-License-Identifier: Apache-2.0
//
// An echo server that receives and sends at the same time: between the two is a queue with a bound.
//
// A client knows every byte that it must get. While there are faults a connection may fail, but what has come back
// until then must be right; afterwards none may. Short reads and writes go on then, and the server stands still for
// some milliseconds now and then, so that much is there at once when it goes on: that is no excuse.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/mutants/cluster.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::mutants {
namespace {

constexpr absl::Duration kFaultsEnd = absl::Seconds(5);
// Later than all that a fault may leave behind: retransmissions, and connections that the server knows nothing of.
constexpr absl::Duration kCalm = absl::Minutes(2);
constexpr absl::Duration kTimeout = absl::Seconds(5);
constexpr absl::Duration kIdleTimeout = absl::Seconds(30);
constexpr int kCalmConnections = 15;  // Of each client.

// --- The server ---

class Echo {
 public:
  explicit Echo(TcpStream stream) : stream_(std::move(stream)) {}

  // Counts itself in `connections` as long as it lasts.
  static Task<void> Talk(TcpStream stream, int* connections) {
    ++*connections;
    Echo echo(std::move(stream));
    const auto [received, sent] = co_await WhenAll(echo.Receive(), echo.Send());
    if (received.ok() && sent.ok()) (co_await echo.stream_.ShutdownWrite()).IgnoreError();
    --*connections;
  }

 private:
  static constexpr size_t kMostChunks = 12;

  // Fills the queue, until the client has ended.
  Task<absl::Status> Receive() {
    absl::Status status;
    while (status.ok() && !sender_ended_) {
      if (queue_.size() >= kMostChunks) {
        room_.Reset();
        status = co_await room_.Wait();
        continue;
      }
      const absl::StatusOr<size_t> count = co_await WithTimeout(kIdleTimeout, stream_.Read(absl::MakeSpan(buffer_)));
      status = count.status();
      if (!status.ok() || *count == 0) break;
      queue_.emplace_back(buffer_, *count);
      data_.Set();
    }
    receiver_ended_ = true;
    data_.Set();
    co_return status;
  }

  // Empties it, until nothing can come any more.
  Task<absl::Status> Send() {
    absl::Status status;
    while (status.ok()) {
      if (queue_.empty()) {
        if (receiver_ended_) break;
        data_.Reset();
        status = co_await data_.Wait();
        continue;
      }
      absl::string_view rest = queue_.front();
      while (status.ok() && !rest.empty()) {
        const absl::StatusOr<size_t> sent = co_await WithTimeout(kIdleTimeout, stream_.WriteSome(rest));
        status = sent.status();
        if (sent.ok()) rest.remove_prefix(*sent);
      }
      queue_.pop_front();
      room_.Set();
    }
    sender_ended_ = true;
    room_.Set();
    co_return status;
  }

  TcpStream stream_;
  char buffer_[4096];
  std::deque<std::string> queue_;
  Event data_;  // There is something in the queue, or nothing will be.
  Event room_;
  bool receiver_ended_ = false;
  bool sender_ended_ = false;
};

Task<absl::Status> RunServer(int* connections) {
  *connections = 0;
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv6(kPort));
  if (!listener.ok()) co_return listener.status();
  const auto talk = [connections](TcpStream stream) { return Echo::Talk(std::move(stream), connections); };
  co_return co_await Serve(*std::move(listener), talk);
}

// --- A client ---

// The bytes of a connection from an offset on: each four of them tell where they belong.
std::string Bytes(size_t offset, size_t count) {
  std::string bytes;
  for (size_t at = offset; at < offset + count; ++at) {
    const size_t number = at / 4 * 2654435761U;
    bytes.push_back(static_cast<char>(number >> (8 * (at % 4))));
  }
  return bytes;
}

// Reads `count` bytes, the first of which is number `offset`.
Task<absl::Status> ReadBack(TcpStream* stream, size_t offset, size_t count) {
  std::string got(count, '\0');
  const IoResult read = co_await WithTimeout(kTimeout, stream->ReadExactly(absl::MakeSpan(got.data(), got.size())));
  got.resize(read.bytes);
  EXPECT_TRUE(got == Bytes(offset, read.bytes)) << "of the bytes from " << offset << " on, " << read.bytes << " came";
  co_return read.status;
}

Task<absl::Status> UseConnection() {
  absl::StatusOr<TcpStream> stream = co_await WithTimeout(kTimeout, Connect(absl::StrCat("server:", kPort)));
  if (!stream.ok()) co_return stream.status();
  RandomStream random = Random("connection");
  size_t sent = 0;
  bool ended = false;
  const int64_t bursts = random.Between(1, 6);
  for (int64_t i = 0; i < bursts; ++i) {
    const size_t before = sent;
    for (int64_t messages = random.Between(1, 4); messages > 0; --messages) {
      const int64_t most = random.Below(8) == 0 ? 9000 : 300;
      const auto size = static_cast<size_t>(random.Between(1, most));
      const std::string bytes = Bytes(sent, size);
      const IoResult written = co_await WithTimeout(kTimeout, stream->WriteAll(bytes));
      if (!written.ok()) co_return written.status;
      sent += size;
    }
    ended = i + 1 == bursts && random.Below(4) == 0;  // Before it has read what it has sent last.
    if (ended) {
      co_await Pause(absl::Milliseconds(2));
      (co_await stream->ShutdownWrite()).IgnoreError();
    }
    const absl::Status read = co_await ReadBack(&*stream, before, sent - before);
    if (!read.ok()) co_return read;
    const int64_t pause_ms = random.Between(0, 100);
    co_await Pause(absl::Milliseconds(pause_ms));
  }
  if (!ended) (co_await stream->ShutdownWrite()).IgnoreError();
  char none[1];
  const absl::StatusOr<size_t> end = co_await WithTimeout(kTimeout, stream->Read(absl::MakeSpan(none)));
  if (end.ok()) EXPECT_EQ(*end, 0u) << "a byte too many";
  co_return end.status();
}

Task<absl::Status> RunClient() {
  while (Now() < Instant() + kFaultsEnd) {
    (void)co_await UseConnection();
    const int64_t pause_ms = Random("pause").Between(0, 200);
    co_await Pause(absl::Milliseconds(pause_ms));
  }
  co_await Pause(Instant() + kCalm - Now());
  for (int i = 0; i < kCalmConnections; ++i) {
    const absl::Status status = co_await UseConnection();
    if (!status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

// What goes on when nothing may fail any more.
sim::FaultPlan Trifles(RandomStream& random) {
  sim::FaultPlan plan;
  plan.Add({sim::FaultKind::kShortReads, "*", "", kCalm, kCalm + absl::Minutes(1), 1 + random.Below(500'000)});
  plan.Add({sim::FaultKind::kShortWrites, "*", "", kCalm, kCalm + absl::Minutes(1), 1 + random.Below(500'000)});
  absl::Duration at = kCalm;
  for (int i = 0; i < 40; ++i) {
    at += absl::Milliseconds(random.Between(1, 200));
    plan.Add({sim::FaultKind::kPause, "server", "", at, at + absl::Milliseconds(random.Between(1, 20))});
  }
  return plan;
}

SIM_TEST(Echo, EveryByteComesBack) {
  int connections = 0;
  world.AddHost("server", [&connections] { return RunServer(&connections); });
  for (const char* name : {"ann", "bob"}) world.AddClient(name, [] { return RunClient(); });
  world.Inject(sim::Faults::All().During(absl::ZeroDuration(), kFaultsEnd));
  RandomStream& random = world.random("trifles");
  if (random.Below(4) == 0) world.Inject(Trifles(random));
  EXPECT_OK(world.RunClients(absl::Minutes(10)));
  EXPECT_OK(world.RunFor(absl::Seconds(1)));
  EXPECT_EQ(connections, 0) << "all clients are gone";
}

}  // namespace
}  // namespace tandem::mutants
