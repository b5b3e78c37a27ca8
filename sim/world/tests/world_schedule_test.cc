// SPDX-License-Identifier: Apache-2.0

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/sim/schedule/schedule.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

Task<void> Append(std::vector<int>* order, int number) {
  (void)co_await Sleep(absl::Seconds(1));
  order->push_back(number);
}

Task<absl::Status> SpawnTenTasks(std::vector<int>* order) {
  for (int number = 0; number < 10; ++number) Spawn(&Append, order, number);
  co_return co_await Sleep(absl::Seconds(2));
}

std::vector<int> OrderOfTenTasks(uint64_t seed, ScheduleKind kind) {
  World world(WorldOptions().set_seed(seed).set_schedule(kind));
  std::vector<int> order;
  Host& host = world.AddHost("host", [&] { return SpawnTenTasks(&order); });
  EXPECT_TRUE(world.RunUntilDone(host, absl::Minutes(1)).ok());
  return order;
}

TEST(WorldScheduleTest, TheScheduleDecidesTheOrderOfReadyTasks) {
  const std::vector<int> in_order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  EXPECT_EQ(OrderOfTenTasks(1, ScheduleKind::kFifo), in_order);
  for (ScheduleKind kind : {ScheduleKind::kRandom, ScheduleKind::kPct, ScheduleKind::kPos, ScheduleKind::kUrw}) {
    EXPECT_NE(OrderOfTenTasks(1, kind), in_order);
    EXPECT_EQ(OrderOfTenTasks(1, kind), OrderOfTenTasks(1, kind));
    EXPECT_NE(OrderOfTenTasks(1, kind), OrderOfTenTasks(2, kind));
  }
}

TEST(WorldScheduleTest, ADelayIsRareButThere) {
  const std::vector<int> in_order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  int other = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    other += OrderOfTenTasks(seed, ScheduleKind::kDelay) == in_order ? 0 : 1;
  }
  EXPECT_GT(other, 10);
  EXPECT_LT(other, 50);
}

TEST(WorldScheduleTest, AProcessThatIsStartedAgainRunsInAnotherOrder) {
  int same = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    World world(WorldOptions().set_seed(seed).set_schedule(ScheduleKind::kRandom));
    std::vector<int> order;
    Host& host = world.AddHost("host", [&] { return SpawnTenTasks(&order); });
    ASSERT_TRUE(world.RunUntilDone(host, absl::Minutes(1)).ok());
    const std::vector<int> first = std::exchange(order, {});
    host.Restart();
    ASSERT_TRUE(world.RunFor(absl::Seconds(5)).ok());
    ASSERT_EQ(order.size(), 10u);
    same += first == order ? 1 : 0;
  }
  EXPECT_EQ(same, 0);
}

Task<void> CountUntilReleased(bool* released, absl::Duration* waited) {
  const Instant start = Now();
  while (!*released) {
    const absl::Status status = co_await Yield();
    if (!status.ok()) break;
  }
  *waited = Now() - start;
}

Task<void> ReleaseAfter(absl::Duration delay, bool* released) {
  (void)co_await Yield();
  const Instant start = Now();
  while (Now() - start < delay) {
    const absl::Status status = co_await Yield();
    if (!status.ok()) co_return;
  }
  *released = true;
}

Task<absl::Status> HoldBack(bool* released, absl::Duration* waited) {
  Spawn(CountUntilReleased, released, waited);
  Spawn(ReleaseAfter, absl::Milliseconds(1), released);
  co_return co_await Sleep(absl::Seconds(1));
}

// Two loops of Yield(), of which one waits for the time and one for the other.
TEST(WorldScheduleTest, ATaskThatIsHeldBackDoesNotStopTheTime) {
  for (ScheduleKind kind : {ScheduleKind::kFifo, ScheduleKind::kRandom, ScheduleKind::kPct, ScheduleKind::kPos,
                            ScheduleKind::kUrw, ScheduleKind::kDelay}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      World world(WorldOptions().set_seed(seed).set_schedule(kind));
      bool released = false;
      absl::Duration waited = absl::InfiniteDuration();
      Host& host = world.AddHost("host", [&] { return HoldBack(&released, &waited); });
      const absl::Status status = world.RunUntilDone(host, absl::Minutes(1));
      EXPECT_TRUE(status.ok()) << ScheduleName(kind) << " " << seed << ": " << status;
      EXPECT_LT(waited, absl::Milliseconds(3)) << ScheduleName(kind) << " " << seed;
    }
  }
}

}  // namespace
}  // namespace tandem::sim
