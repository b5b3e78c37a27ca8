// SPDX-License-Identifier: Apache-2.0
//
// SIM_TEST with options, fixtures and parameters.

#include "tandem/testing/sim_test.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/sim/schedule/schedule.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/co_assert.h"
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

}  // namespace
}  // namespace tandem
