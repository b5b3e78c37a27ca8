// SPDX-License-Identifier: Apache-2.0
//
// SIM_TEST with options, fixtures and parameters.

#include "tandem/testing/sim_test.h"

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/assertions.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/schedule/schedule.h"
#include "tandem/sim/schedule/step_totals.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/co_assert.h"
#include "tandem/testing/sim_sweep.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

Task<absl::Status> Tick(int count) {
  for (int i = 0; i < count; ++i) CO_ASSERT_OK(co_await Sleep(absl::Seconds(1)));
  co_return absl::OkStatus();
}

// --- Options ---

SIM_TEST(Options, AreThoseOfTheTest, sim::WorldOptions().set_schedule(sim::ScheduleKind::kPct).set_max_events(1000)) {
  EXPECT_EQ(world.schedule(), sim::ScheduleKind::kPct);
  sim::Host& host = world.AddHost("host", [] { return Tick(300); });
  EXPECT_OK(world.RunUntilDone(host, absl::Hours(1)));
  EXPECT_LT(world.events(), 1000u);
}

SIM_TEST(Options, SchedulesAreOfTheSeedWithout) { EXPECT_EQ(world.schedule(), sim::ChooseSchedule(world.seed())); }

// --- What some seed has to reach ---

// With two shards each has one of these, and sim_test_test_sometimes both.
SIM_TEST(Sometimes, IsDecidedByAllSeedsTogether) {
  TANDEM_SOMETIMES(world.seed() % 2 == 0, "the seed is even");
  TANDEM_SOMETIMES(world.seed() % 2 == 1, "the seed is odd");
}

// --- Fixtures ---

class ClusterTest : public testing::SimFixture {
 public:
  static sim::WorldOptions Options() { return sim::WorldOptions().set_schedule(sim::ScheduleKind::kFifo); }

 protected:
  ClusterTest() : server_(world.AddServer("server", [] { return Tick(1'000'000); })) {}
  void SetUp() override { calls_ += "set up, "; }
  void TearDown() override { EXPECT_EQ(calls_, "set up, body"); }

  sim::Host& server_;
  std::string calls_;
};

SIM_TEST_F(ClusterTest, HasTheWorldAndItsOptions) {
  EXPECT_EQ(world.schedule(), sim::ScheduleKind::kFifo);
  world.AddClient("client", [] { return Tick(3); });
  EXPECT_OK(world.RunClients(absl::Minutes(1)));
  EXPECT_TRUE(server_.alive());
  calls_ += "body";
}

SIM_TEST_F(ClusterTest, IsNewForEachTest) {
  EXPECT_EQ(world.hosts().size(), 1u);
  EXPECT_EQ(calls_, "set up, ");
  EXPECT_EQ(world.Now(), Instant());
  EXPECT_OK(world.RunFor(absl::Seconds(1)));
  calls_ += "body";
}

// --- Parameters ---

using Ticks = std::pair<std::string, int>;

class TicksTest : public testing::SimFixtureWithParam<Ticks> {
 protected:
  TicksTest() : host_(world.AddHost(GetParam().first, [] { return Tick(GetParam().second); })) {}
  sim::Host& host_;
};

SIM_TEST_P(TicksTest, TakeAsLongAsTheyShould, Ticks("none", 0), Ticks("one", 1), Ticks("many", 100)) {
  EXPECT_OK(world.RunUntilDone(host_, absl::Hours(1)));
  EXPECT_EQ(world.Now(), Instant() + absl::Seconds(GetParam().second));
  EXPECT_EQ(host_.name(), GetParam().first);
}

// --- What seeds decide ---

// The regression of this binary, and no seed, has this knob at 1000.
SIM_TEST(Decisions, ARegressionHasItsKnobs) {
  const int64_t size = world.Knob("size", 1, 1000);
  if (world.scenario().skips.empty()) return;
  EXPECT_EQ(size, 1000);
  EXPECT_TRUE(world.Skip("op", 3));
}

SIM_TEST(Decisions, PctIsAimedByTheStepsOfTheRehearsal, sim::WorldOptions().set_schedule(sim::ScheduleKind::kPct)) {
  sim::Host& host = world.AddHost("host", [] { return Tick(30); });
  world.Inject(sim::Faults::None());
  const std::optional<sim::StepTotals> steps = world.scenario().steps;
  EXPECT_OK(world.RunUntilDone(host, absl::Hours(1)));
  EXPECT_TRUE(steps.has_value());  // In the rehearsal it is not known yet, and nobody listens.
  if (!steps.has_value()) return;
  EXPECT_GE(steps->longest, 31u);
  EXPECT_GE(steps->total, steps->longest);
  EXPECT_EQ(steps->tasks, 1u);
}

// --- Sweeps ---

Task<absl::Status> Serve() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(7));
  if (!listener.ok()) co_return listener.status();
  while (true) {
    absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return stream.status();
    static_cast<void>(co_await stream->WriteAll("hello\n"));
  }
}

// As long as it takes.
Task<absl::Status> Greet(int* attempts) {
  while (true) {
    ++*attempts;
    absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(*sim::HostAddress("server", 7));
    if (stream.ok()) {
      const absl::StatusOr<Buffer> greeting = co_await stream->Receive();
      if (greeting.ok() && !greeting->empty()) co_return absl::OkStatus();
    }
    CO_ASSERT_OK(co_await Sleep(absl::Seconds(1)));
    if (*attempts == 10) co_return absl::UnavailableError("nobody greets");
  }
}

SIM_SWEEP(Sweep, AnyOperationOfTheClientMayFailOnce, "client") {
  int attempts = 0;
  world.AddServer("server", [] { return Serve(); });
  world.AddClient("client", [&] { return Greet(&attempts); });
  const absl::Status status = world.RunClients(absl::Minutes(1));
  const std::vector<sim::OperationFailure> failures = world.scenario().failures;
  if (failures.empty()) return;  // By --scenario.
  const sim::OperationFailure& failing = failures.front();
  if (failing.and_after && failing.number <= world.operations("client")) {
    EXPECT_THAT(status, testing::StatusIs(absl::StatusCode::kUnavailable));
  } else {
    EXPECT_OK(status);
    EXPECT_LE(attempts, 2);
  }
}

testing::SeedResult RunsOncePerOperationAndWay(const testing::SeedOptions& options) {
  std::vector<sim::OperationFailure> met;
  testing::SeedResult result = testing::SweepOperations(options, "client", [&](sim::World& world) {
    int attempts = 0;
    world.AddServer("server", [] { return Serve(); });
    world.AddClient("client", [&] { return Greet(&attempts); });
    static_cast<void>(world.RunClients(absl::Minutes(1)));
    met.push_back(world.scenario().failures.front());
  });
  // A socket, its connect, and a receive; and once more after a failure.
  EXPECT_GE(result.operations, 3u);
  uint64_t expected = 0;
  bool and_after = false;
  for (const sim::OperationFailure& failure : met) {
    expected = failure.and_after == and_after ? expected + 1 : 1;
    and_after = failure.and_after;
    EXPECT_EQ(failure, (sim::OperationFailure{"client", expected, and_after}));
  }
  EXPECT_TRUE(and_after);
  return result;
}
TANDEM_REGISTER_SIM_TEST(Sweep, RunsOncePerOperationAndWay, &RunsOncePerOperationAndWay);

testing::SeedResult EndsWithTheFirstThatFails(const testing::SeedOptions& options) {
  int runs = 0;
  testing::SeedResult result = testing::SweepOperations(options, "client", [&](sim::World& world) {
    int attempts = 0;
    world.AddServer("server", [] { return Serve(); });
    world.AddClient("client", [&] { return Greet(&attempts); });
    EXPECT_OK(world.RunClients(absl::Minutes(1)));
    if (++runs == 2) throw std::runtime_error("no");
  });
  EXPECT_EQ(runs, 2);
  EXPECT_TRUE(result.failed);
  EXPECT_THAT(result.message, ::testing::HasSubstr("operation 2 of host client fails, alone: "));
  result.failed = false;
  return result;
}
TANDEM_REGISTER_SIM_TEST(Sweep, EndsWithTheFirstThatFails, &EndsWithTheFirstThatFails);

}  // namespace
}  // namespace tandem
