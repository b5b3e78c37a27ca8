// SPDX-License-Identifier: Apache-2.0
//
// Simulations with planted bugs: each fails in a good part of the seeds, under many faults of which few are needed.

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/op.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/sim_test.h"

namespace tandem {
namespace {

constexpr uint16_t kPort = 7;
constexpr int kOps = 30;

// --- A counter, and a client that adds to it ---

struct Counter {
  int64_t sum = 0;    // What the server has: on a disk, so to say.
  int64_t added = 0;  // What the client believes.
};

Task<void> Answer(TcpStream stream, Counter* counter) {
  std::array<char, 16> bytes;
  const absl::StatusOr<size_t> count = co_await stream.Read(absl::MakeSpan(bytes));
  int64_t number = 0;
  if (!count.ok() || !absl::SimpleAtoi(absl::string_view(bytes.data(), *count), &number)) co_return;
  counter->sum += number;
  static_cast<void>(co_await stream.WriteAll("done"));
}

Task<absl::Status> ServeCounter(Counter* counter) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  while (true) {
    absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (stream.ok()) {
      Spawn(&Answer, *std::move(stream), counter);
    } else if (!absl::IsResourceExhausted(stream.status()) && !absl::IsAborted(stream.status())) {
      co_return stream.status();
    }
  }
}

Task<absl::Status> AddOne(SocketAddress server) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(server);
  if (!stream.ok()) co_return stream.status();
  const IoResult written = co_await stream->WriteAll("1");
  if (!written.ok()) co_return written.status;
  std::array<char, 4> answer;
  const IoResult read = co_await stream->ReadExactly(absl::MakeSpan(answer));
  co_return read.status;
}

// Every third operation, number 1, 4, ..., takes a failure for a success.
Task<absl::Status> AddSometimes(SocketAddress server, std::vector<sim::Op> ops, Counter* counter) {
  for (const sim::Op& op : ops) {
    const absl::Status added = co_await WithTimeout(absl::Seconds(1), AddOne(server));
    if (absl::IsCancelled(added)) co_return added;
    if (added.ok() || op.number() % 3 == 1) ++counter->added;
    static_cast<void>(co_await Sleep(absl::Milliseconds(100)));
  }
  co_return absl::OkStatus();
}

// Needs one fault, and one operation.
SIM_TEST(Planted, ForgetsWhatFailed) {
  Counter counter;
  sim::Host& server = world.AddServer("server", [&] { return ServeCounter(&counter); });
  world.AddServer("bystander", [&] { return ServeCounter(&counter); });
  const std::vector<sim::Op> ops = world.Ops("adder", kOps);
  world.AddClient("client", [&] { return AddSometimes(server.address(kPort), ops, &counter); });
  world.Inject(sim::Faults::Network().Always().During(absl::ZeroDuration(), absl::Seconds(10)));
  static_cast<void>(world.RunClients(absl::Minutes(10)));
  EXPECT_LE(counter.added, counter.sum);
}

// --- A program that crashes when it is started again ---

Task<absl::Status> CheckFirstStart(int* starts) {
  ++*starts;
  CHECK_LT(*starts, 2) << "there is a file already";
  co_return co_await Sleep(absl::Seconds(20));
}

// Needs one crash, or one kill.
SIM_TEST(Planted, CrashesWhenStartedAgain) {
  int starts = 0;
  Counter counter;
  world.AddHost("other", [&] { return ServeCounter(&counter); });
  sim::Host& host = world.AddHost("host", [&] { return CheckFirstStart(&starts); });
  world.Inject(sim::Faults::Hosts().Always().During(absl::ZeroDuration(), absl::Seconds(10)));
  static_cast<void>(world.RunUntilDone(host, absl::Minutes(1)));
}

// --- A lost wake-up ---

struct Flag {
  bool set = false;
  bool waited = false;
};

Task<void> SetLater(Flag* flag) {
  for (int i = 0; i < 3; ++i) static_cast<void>(co_await Yield());
  flag->set = true;
}

Task<absl::Status> WaitOnce(Flag* flag) {
  Spawn(&SetLater, flag);
  for (int i = 0; i < 8; ++i) static_cast<void>(co_await Yield());
  flag->waited = !flag->set;
  co_return absl::OkStatus();
}

// Needs a schedule.
SIM_TEST(Planted, LosesAWakeUp) {
  Flag flag;
  sim::Host& host = world.AddHost("host", [&] { return WaitOnce(&flag); });
  world.Inject(sim::Faults::Network());
  EXPECT_EQ(world.RunUntilDone(host, absl::Minutes(1)), absl::OkStatus());
  EXPECT_FALSE(flag.waited);
}

// --- An exception for large parameters ---

Task<absl::Status> Allocate(int64_t size) {
  if (size > 500) throw std::runtime_error(absl::StrCat("no room for ", size));
  co_return absl::OkStatus();
}

// Needs a knob.
SIM_TEST(Planted, ThrowsWhenLarge) {
  const int64_t size = world.Knob("size", 1, 1000);
  static_cast<void>(world.Knob("colour", 1, 1000));
  sim::Host& host = world.AddHost("host", [size] { return Allocate(size); });
  world.Inject(sim::Faults::All());
  static_cast<void>(world.RunUntilDone(host, absl::Minutes(1)));
}

}  // namespace
}  // namespace tandem
