// SPDX-License-Identifier: Apache-2.0
//
// Simulations that fail in ways which are easily taken for each other, or go on for long behind their failure.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
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

Task<absl::Status> AcceptAll() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  while (true) {
    const absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return stream.status();
  }
}

// The one check of both callers.
Task<void> CheckThat(bool holds) {
  co_await Pause(absl::Milliseconds(1));
  EXPECT_TRUE(holds);
}

Task<void> CheckThatNoneWasRefused(bool refused) { co_await CheckThat(!refused); }
Task<void> CheckThatAllAreDone(int done) { co_await CheckThat(done == kOps); }

Task<absl::Status> ConnectOften(std::vector<sim::Op> ops) {
  bool refused = false;
  for (size_t i = 0; i < ops.size(); ++i) {
    refused |= !(co_await TcpStream::Connect(*sim::HostAddress("server", kPort))).ok();
    co_await Pause(absl::Milliseconds(100));
  }
  if (refused) co_await CheckThatNoneWasRefused(refused);
  co_await CheckThatAllAreDone(static_cast<int>(ops.size()));
  co_return absl::OkStatus();
}

Task<absl::Status> CountConnects(std::vector<sim::Op> ops, int* refused, int* done) {
  for (size_t i = 0; i < ops.size(); ++i) {
    ++*((co_await TcpStream::Connect(*sim::HostAddress("server", kPort))).ok() ? done : refused);
    co_await Pause(absl::Milliseconds(100));
  }
  co_return absl::OkStatus();
}

SIM_TEST(SameFailure, OneCheckOfTwoCallers) {
  world.AddServer("server", [] { return AcceptAll(); });
  world.AddClient("client", [ops = world.Ops("client", kOps)] { return ConnectOften(ops); });
  world.Inject(sim::Faults::Only(sim::FaultKind::kConnectRefused));
  EXPECT_EQ(world.RunClients(absl::Minutes(10)), absl::OkStatus());
}

// Of two expectations on one line the second fails in any run that is small enough.
SIM_TEST(SameFailure, TwoOnOneLine) {
  int refused = 0;
  int done = 0;
  world.AddServer("server", [] { return AcceptAll(); });
  world.AddClient("client", [&, ops = world.Ops("client", kOps)] { return CountConnects(ops, &refused, &done); });
  world.Inject(sim::Faults::Only(sim::FaultKind::kConnectRefused));
  EXPECT_EQ(world.RunClients(absl::Minutes(10)), absl::OkStatus());
  // clang-format off
  EXPECT_EQ(refused, 0); EXPECT_GT(done, kOps / 2);
  // clang-format on
}

Task<absl::Status> FailsAndGoesOn() {
  co_await Pause(absl::Seconds(1));
  EXPECT_TRUE(false);
  for (int i = 0; i < 100'000; ++i) co_await Pause(absl::Milliseconds(1));
  co_return absl::OkStatus();
}

SIM_TEST(SameFailure, GoesOnForLong) {
  world.AddClient("client", [] { return FailsAndGoesOn(); });
  EXPECT_EQ(world.RunClients(absl::Minutes(10)), absl::OkStatus());
  EXPECT_EQ(world.Now(), Instant());
}

}  // namespace
}  // namespace tandem
