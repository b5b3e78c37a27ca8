// SPDX-License-Identifier: Apache-2.0
//
// Simulations that end in a way that leaves nobody time to say anything, for dying_test.py.

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <stdexcept>

#include "absl/functional/function_ref.h"
#include "absl/log/check.h"
#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/sim_test.h"

namespace tandem {
namespace {

constexpr uint16_t kPort = 7;

Task<absl::Status> Accept() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  while (true) {
    const absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (absl::IsCancelled(stream.status())) co_return stream.status();
  }
}

// Connects until that fails once, and dies then: it needs one fault.
Task<absl::Status> ConnectUntilRefused(SocketAddress server, absl::FunctionRef<void()> die) {
  for (int i = 0; i < 50; ++i) {
    const absl::StatusOr<TcpStream> stream = co_await WithTimeout(absl::Seconds(1), TcpStream::Connect(server));
    if (absl::IsCancelled(stream.status())) co_return stream.status();
    if (!stream.ok()) die();
    static_cast<void>(co_await Sleep(absl::Milliseconds(100)));
  }
  co_return absl::OkStatus();
}

void DieInAHost(sim::World& world, absl::FunctionRef<void()> die) {
  sim::Host& server = world.AddServer("server", [] { return Accept(); });
  world.AddClient("client", [&] { return ConnectUntilRefused(server.address(kPort), die); });
  world.Inject(sim::Faults::Network().Always().During(absl::ZeroDuration(), absl::Seconds(5)));
  static_cast<void>(world.RunClients(absl::Minutes(1)));
}

SIM_TEST(Dying, IsKilled) {
  DieInAHost(world, [] { raise(SIGKILL); });
}

SIM_TEST(Dying, IsTerminated) {
  DieInAHost(world, [] { raise(SIGTERM); });
}

SIM_TEST(Dying, ClosesAllDescriptors) {
  DieInAHost(world, [] {
    for (int fd = 0; fd < 1024; ++fd) close(fd);
  });
}

SIM_TEST(Dying, WritesToNull) {
  DieInAHost(world, [] { raise(SIGSEGV); });
}

SIM_TEST(Dying, FailsACheck) {
  DieInAHost(world, [] { CHECK(false) << "connections are never refused"; });
}

SIM_TEST(Dying, Exits) {
  DieInAHost(world, [] { _exit(0); });
}

SIM_TEST(Dying, IsKilledBehindTheRun) {
  bool failed = false;
  DieInAHost(world, [&failed] { failed = true; });
  if (failed) raise(SIGKILL);
}

// A minute behind the last event, and outside of any host.
SIM_TEST(Dying, CrashesBehindTheRun) {
  DieInAHost(world, [] {});
  static_cast<void>(world.RunFor(absl::Minutes(1)));
  raise(SIGSEGV);
}

SIM_TEST(Dying, IsKilledBeforeAnyEvent) { raise(SIGKILL); }

SIM_TEST(Dying, ExitsBeforeAnyEvent) { exit(0); }

SIM_TEST(Dying, ThrowsBeforeAnyEvent) { throw std::runtime_error("in the body"); }

// --- What a host does after a second ---

Task<absl::Status> SleepAndAct(absl::FunctionRef<void()> act) {
  static_cast<void>(co_await Sleep(absl::Seconds(1)));
  act();
  co_return absl::OkStatus();
}

void AfterASecond(sim::World& world, absl::FunctionRef<void()> act) {
  sim::Host& host = world.AddHost("host", [act] { return SleepAndAct(act); });
  static_cast<void>(world.RunUntilDone(host, absl::Minutes(1)));
}

SIM_TEST(Failing, ThrowsAnInt) {
  AfterASecond(world, [] { throw 42; });
}

SIM_TEST(Failing, ExpectsTooMuch) {
  AfterASecond(world, [] { EXPECT_EQ(1, 2); });
}

SIM_TEST(Failing, FailsACheck) {
  AfterASecond(world, [] { CHECK_EQ(1, 2); });
}

SIM_TEST(Failing, Exits) {
  AfterASecond(world, [] { exit(0); });
}

SIM_TEST(Failing, ThrowsInAStep) {
  world.AfterEachStep([&world]() -> absl::Status {
    if (world.Now() >= Instant() + absl::Seconds(1)) throw std::runtime_error("in a step");
    return absl::OkStatus();
  });
  AfterASecond(world, [] {});
}

SIM_TEST(Failing, HasAnErrorInAStep) {
  world.AfterEachStep([&world] {
    return world.Now() >= Instant() + absl::Seconds(1) ? absl::DataLossError("in a step") : absl::OkStatus();
  });
  AfterASecond(world, [] {});
}

struct ChecksInTheEnd {
  ChecksInTheEnd() = default;
  ChecksInTheEnd(const ChecksInTheEnd&) = delete;
  ~ChecksInTheEnd() {
    LOG(INFO) << "it goes";
    CHECK(false) << "it must not be";
  }
};

struct ThrowsInTheEnd {
  ThrowsInTheEnd() = default;
  ThrowsInTheEnd(const ThrowsInTheEnd&) = delete;
  ~ThrowsInTheEnd() noexcept(false) { throw std::runtime_error("nobody is there"); }
};

Task<absl::Status> HoldForLong() {
  const ThrowsInTheEnd held;
  co_return co_await Sleep(absl::Hours(10));
}

SIM_TEST(Failing, ThrowsInTheEndOfTheWorld) {
  world.AddHost("host", [] { return HoldForLong(); });
  EXPECT_EQ(world.RunFor(absl::Seconds(1)), absl::OkStatus());
}

SIM_TEST(Failing, ThrowsInACrash) {
  sim::Host& host = world.AddHost("host", [] { return HoldForLong(); });
  EXPECT_EQ(world.RunFor(absl::Seconds(1)), absl::OkStatus());
  host.Crash();
}

SIM_TEST(Failing, ChecksInTheEndOfTheWorld) {
  world.AddHost("host", []() -> Task<absl::Status> {
    const ChecksInTheEnd checks;
    co_return co_await Sleep(absl::Hours(10));
  });
  EXPECT_EQ(world.RunFor(absl::Seconds(1)), absl::OkStatus());
}

}  // namespace
}  // namespace tandem
