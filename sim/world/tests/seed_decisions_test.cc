// SPDX-License-Identifier: Apache-2.0
//
// What a seed decides beside its faults, and the lines of a scenario that say it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/schedule/schedule.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

Scenario Parsed(const std::string& text) {
  const absl::StatusOr<Scenario> scenario = Scenario::Parse(text);
  EXPECT_TRUE(scenario.ok()) << scenario.status();
  return *scenario;
}

// --- Starts and clocks ---

struct Begin {
  Instant now;
  absl::Time wall;
};
using Begins = std::map<std::string, Begin>;

Task<absl::Status> NoteBegin(Begins* begins) {
  (*begins)[Host::Current()->name()] = {Now(), WallNow()};
  co_return absl::OkStatus();
}

Begins BeginsOf(const WorldOptions& options, const std::vector<std::string>& hosts, Scenario* drawn = nullptr) {
  Begins begins;
  World world(options);
  for (const std::string& host : hosts) world.AddHost(host, [&] { return NoteBegin(&begins); });
  world.Inject(Faults::Only(FaultKind::kReset));
  EXPECT_TRUE(world.RunUntilQuiescent(absl::Minutes(2)).ok());
  if (drawn != nullptr) *drawn = world.scenario();
  return begins;
}

TEST(StartTest, HostsStartTogetherWhereNoFaultsAreDrawn) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Begins begins;
    World world(WorldOptions().set_seed(seed));
    for (const char* host : {"a", "b"}) world.AddHost(host, [&] { return NoteBegin(&begins); });
    world.Inject(Faults::None());
    world.Inject(FaultPlan());
    EXPECT_TRUE(world.RunUntilQuiescent(absl::Seconds(10)).ok());
    for (const auto& [name, begin] : begins) EXPECT_EQ(begin.now, Instant()) << name;
    EXPECT_EQ(begins.at("a").wall, begins.at("b").wall);
    EXPECT_TRUE(world.scenario().starts.empty());
  }
}

TEST(StartTest, ASeedSpreadsStartsAndClocksAndItsScenarioSaysSo) {
  std::set<Instant> starts;
  std::set<absl::Time> walls;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const WorldOptions options =
        WorldOptions().set_seed(seed).set_start_spread(absl::Microseconds(20)).set_clock_spread(absl::Seconds(5));
    Scenario drawn;
    const Begins begins = BeginsOf(options, {"a", "b"}, &drawn);
    for (const auto& [name, begin] : begins) {
      EXPECT_LE(begin.now - Instant(), absl::Microseconds(20));
      starts.insert(begin.now);
      walls.insert(begin.wall);
    }
    // The scenario alone does the same...
    const Begins again = BeginsOf(WorldOptions().set_seed(99).set_scenario(&drawn), {"a", "b"});
    for (const auto& [name, begin] : begins) {
      EXPECT_EQ(again.at(name).now, begin.now);
      EXPECT_EQ(again.at(name).wall, begin.wall);
    }
    // ...without its line a host starts at once, and the other as before...
    drawn.starts.erase("a");
    const Begins without = BeginsOf(WorldOptions().set_seed(99).set_scenario(&drawn), {"a", "b"});
    EXPECT_EQ(without.at("a").now, Instant());
    EXPECT_EQ(without.at("b").now, begins.at("b").now);
    // ...and a host more moves nothing.
    EXPECT_EQ(BeginsOf(options, {"another", "a", "b"}).at("b").now, begins.at("b").now);
  }
  EXPECT_GT(starts.size(), 80u);
  EXPECT_GT(walls.size(), 80u);
}

// --- Knobs ---

TEST(KnobTest, EachSeedDrawsSmallOnesAsOftenAsLargeOnes) {
  std::map<int64_t, int> drawn;
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    World world(WorldOptions().set_seed(seed));
    const int64_t value = world.Knob("batch size", 1, 64);
    EXPECT_EQ(world.Knob("batch size", 1, 64), value) << "asked again";
    ++drawn[value];
  }
  EXPECT_EQ(drawn.begin()->first, 1);
  EXPECT_EQ(drawn.rbegin()->first, 64);
  EXPECT_GT(drawn[1], 80);
  EXPECT_GT(drawn.size(), 50u);
}

TEST(KnobTest, AnyRangeButAnEmptyOneIsFine) {
  EXPECT_DEATH(World().Knob("nothing", 2, 1), "low <= high");
  World world;
  EXPECT_EQ(world.Knob("one value", 7, 7), 7);
  EXPECT_LE(world.Knob("negative", -10, -5), -5);
  world.Knob("everything", std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
}

TEST(KnobTest, ALineSetsItAndWithoutOneItIsLow) {
  const Scenario scenario = Parsed("seed 1\nknob \"batch size\" 17\nknob \"too large\" 1000");
  World world(WorldOptions().set_scenario(&scenario));
  EXPECT_EQ(world.Knob("batch size", 1, 64), 17);
  EXPECT_EQ(world.Knob("too large", 1, 64), 64);
  EXPECT_EQ(world.Knob("other", 3, 64), 3);
  EXPECT_EQ(world.scenario().knobs.at("batch size"), 17);
}

TEST(KnobTest, OneMoreMovesNoOther) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    int64_t alone = 0;
    {
      World world(WorldOptions().set_seed(seed));
      alone = world.Knob("b", 0, 1'000'000);
    }
    World world(WorldOptions().set_seed(seed));
    world.Knob("a", 0, 1'000'000);
    EXPECT_EQ(world.Knob("b", 0, 1'000'000), alone);
  }
}

// --- Hand-offs ---

Task<void> YieldTimes(int times) {
  for (int i = 0; i < times; ++i) static_cast<void>(co_await Yield());
}

Task<absl::Status> SpawnSome(bool also_sleep) {
  for (int i = 0; i < 3; ++i) Spawn(YieldTimes, 5);
  if (also_sleep) co_return co_await Sleep(absl::Seconds(1));
  co_return absl::OkStatus();
}

std::vector<uint16_t> HandOffsOf(bool keeps, bool also_sleep) {
  World world(WorldOptions().set_keeps_hand_offs(keeps).set_schedule(ScheduleKind::kFifo));
  Host& host = world.AddHost("host", [also_sleep] { return SpawnSome(also_sleep); });
  EXPECT_TRUE(world.RunUntilDone(host, absl::Minutes(1)).ok());
  return world.hand_offs().Seen();
}

TEST(HandOffTest, AnotherProgramHasOthers) {
  const std::vector<uint16_t> seen = HandOffsOf(true, false);
  EXPECT_FALSE(seen.empty());
  EXPECT_EQ(HandOffsOf(true, false), seen);
  EXPECT_NE(HandOffsOf(true, true), seen);
  EXPECT_TRUE(HandOffsOf(false, false).empty());
}

// --- Branches ---

Task<absl::Status> DrawNumbers(std::vector<uint64_t>* numbers) {
  for (uint64_t i = 0; i < 20; ++i) {
    numbers->push_back(World::Current()->choices().Draw(Choice::kTest, Entity::Of("number"), i));
    if (absl::Status slept = co_await Sleep(absl::Milliseconds(1)); !slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

std::vector<uint64_t> NumbersOf(const std::string& text) {
  const Scenario scenario = Parsed(text);
  std::vector<uint64_t> numbers;
  World world(WorldOptions().set_scenario(&scenario));
  Host& host = world.AddHost("a", [&] { return DrawNumbers(&numbers); });
  EXPECT_TRUE(world.RunUntilDone(host, absl::Seconds(1)).ok());
  EXPECT_EQ(world.scenario().branch, scenario.branch);
  return numbers;
}

// How many of the first ones are the same.
size_t InCommon(const std::vector<uint64_t>& one, const std::vector<uint64_t>& other) {
  return static_cast<size_t>(std::mismatch(one.begin(), one.end(), other.begin()).first - one.begin());
}

TEST(BranchTest, FromAnEventOnEverythingIsDecidedAnew) {
  const std::vector<uint64_t> all = NumbersOf("schedule fifo");
  ASSERT_EQ(all.size(), 20u);
  const std::string branch = "schedule fifo\nbranch at event 20 salt ";
  const std::vector<uint64_t> one = NumbersOf(branch + "1");
  EXPECT_EQ(NumbersOf(branch + "1"), one);
  const size_t common = InCommon(all, one);
  EXPECT_GT(common, 3u);
  EXPECT_LT(common, 17u);
  EXPECT_EQ(InCommon(NumbersOf(branch + "2"), one), common);
  for (size_t i = common; i < all.size(); ++i) {
    EXPECT_NE(one[i], all[i]);
    EXPECT_NE(one[i], NumbersOf(branch + "2")[i]);
  }
  EXPECT_GT(InCommon(NumbersOf("schedule fifo\nbranch at event 30 salt 1"), all), common);
  EXPECT_EQ(NumbersOf("schedule fifo\nbranch at event 100000 salt 1"), all);
  EXPECT_EQ(InCommon(NumbersOf("schedule fifo\nbranch at event 0 salt 1"), all), 0u);
}

TEST(BranchTest, WhatWasCalmIsSoNoLonger) {
  const std::string calm = "schedule fifo\ncalm test number\n";
  const std::vector<uint64_t> quiet = NumbersOf(calm);
  const std::vector<uint64_t> branch = NumbersOf(calm + "branch at event 20 salt 1");
  const size_t common = InCommon(branch, quiet);
  EXPECT_EQ(std::set<uint64_t>(quiet.begin(), quiet.end()).size(), 1u);
  EXPECT_GT(common, 3u);
  EXPECT_EQ(std::set<uint64_t>(branch.begin() + static_cast<ptrdiff_t>(common), branch.end()).size(), 20 - common);
}

// How often each of two hosts starts, and how often a socket of the second cannot be made, in 60 ms.
struct Counts {
  int a = 0;
  int b = 0;
  int failed = 0;
  friend bool operator==(const Counts&, const Counts&) = default;
};

Task<absl::Status> MakeSockets(int* starts, int* failed) {
  ++*starts;
  for (;;) {
    if (!tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(0)).ok()) ++*failed;
    if (absl::Status slept = co_await Sleep(absl::Milliseconds(1)); !slept.ok()) co_return slept;
  }
}

Counts CountsOf(uint64_t branch, uint64_t* events = nullptr) {
  const Scenario scenario = Parsed(
      "schedule fifo\nkill a from 0.0105s to 0.0106s\nkill a from 0.0305s to 0.0306s\nkill b at call 70 for 0.0001s\n"
      "fail b from operation 80\nfail b at operation 20\n" +
      (branch == 0 ? "" : absl::StrCat("branch at event ", branch, " salt 1")));
  Counts counts;
  int failed_of_a = 0;
  World world(WorldOptions().set_scenario(&scenario));
  world.AddHost("a", [&] { return MakeSockets(&counts.a, &failed_of_a); });
  world.AddHost("b", [&] { return MakeSockets(&counts.b, &counts.failed); });
  EXPECT_TRUE(world.RunFor(absl::Milliseconds(20)).ok());
  if (events != nullptr) *events = world.events();
  EXPECT_TRUE(world.RunFor(absl::Milliseconds(40)).ok());
  EXPECT_EQ(failed_of_a, 0);
  EXPECT_EQ(world.scenario().faults.entries().size(), 3u) << "it can be run again";
  return counts;
}

TEST(BranchTest, FaultsThatHaveNotBegunDoNotCome) {
  uint64_t middle = 0;
  const Counts all = CountsOf(0, &middle);
  EXPECT_EQ(all.a, 3);
  EXPECT_EQ(all.b, 2);
  EXPECT_GT(all.failed, 1);
  EXPECT_EQ(CountsOf(1), (Counts{1, 1, 0}));
  EXPECT_EQ(CountsOf(middle), (Counts{2, 1, 1}));
  EXPECT_EQ(CountsOf(1'000'000), all);
}

// How many events there are until a host that yields often is done, beside another one.
uint64_t EventsUntilDone(const std::string& lines) {
  const Scenario scenario = Parsed("schedule fifo\n" + lines);
  const auto yields = []() -> Task<absl::Status> {
    for (int i = 0; i < 300; ++i) {
      if (absl::Status yielded = co_await Yield(); !yielded.ok()) co_return yielded;
    }
    co_return absl::OkStatus();
  };
  World world(WorldOptions().set_scenario(&scenario));
  world.AddHost("other", yields);
  Host& host = world.AddHost("host", yields);
  EXPECT_TRUE(world.RunUntilDone(host, absl::Seconds(1)).ok());
  return world.events();
}

TEST(BranchTest, WhatComesBeforeItIsAsWithoutIt) {
  EXPECT_EQ(EventsUntilDone("branch at event 100000 salt 1"), EventsUntilDone(""));
}

TEST(BranchTest, AHostThatComesBehindItHasNoFaultsEither) {
  for (const bool branches : {false, true}) {
    const Scenario scenario =
        Parsed(absl::StrCat("schedule fifo\nkill late at call 5 for 0.001s\nfail late from operation 3\n",
                            branches ? "branch at event 1 salt 1" : ""));
    Counts counts;
    World world(WorldOptions().set_scenario(&scenario));
    world.AddHost("a", [&] { return MakeSockets(&counts.b, &counts.failed); });
    EXPECT_TRUE(world.RunFor(absl::Milliseconds(10)).ok());
    world.AddHost("late", [&] { return MakeSockets(&counts.a, &counts.failed); });
    EXPECT_TRUE(world.RunFor(absl::Milliseconds(20)).ok());
    EXPECT_EQ(counts.a == 1 && counts.failed == 0, branches) << counts.a << ", " << counts.failed;
  }
}

// --- Skips ---

TEST(SkipTest, OnlyWhatALineSaysIsSkipped) {
  const Scenario scenario = Parsed("skip writer/op 3\nskip writer/op from 10 to 12\nskip reader 0");
  World world(WorldOptions().set_scenario(&scenario));
  std::set<uint64_t> skipped;
  for (uint64_t n = 0; n < 20; ++n) {
    if (world.Skip("writer/op", n)) skipped.insert(n);
  }
  EXPECT_EQ(skipped, (std::set<uint64_t>{3, 10, 11}));
  EXPECT_TRUE(world.Skip("reader", 0));
  EXPECT_FALSE(world.Skip("writer", 3));
  EXPECT_EQ(world.scenario().skips, scenario.skips);
}

// --- Operations of a workload ---

// What the operations of "writer" draw, by their number.
std::map<uint64_t, std::vector<uint64_t>> DrawsOf(uint64_t seed, uint64_t count, const Scenario* scenario) {
  World world(WorldOptions().set_seed(seed).set_scenario(scenario));
  std::map<uint64_t, std::vector<uint64_t>> draws;
  for (const Op& op : world.Ops("writer", count)) {
    draws[op.number()] = {op.Draw("key", 1'000'000), op.Draw("value", 1'000'000), op.Draw("key", 1'000'000)};
  }
  EXPECT_EQ(world.workload_steps(), (std::map<std::string, uint64_t>{{"writer", count}}));
  return draws;
}

TEST(OpTest, WhatAnOperationDrawsDependsOnNoOther) {
  const std::map<uint64_t, std::vector<uint64_t>> all = DrawsOf(1, 20, nullptr);
  ASSERT_EQ(all.size(), 20u);
  std::set<uint64_t> different;
  for (const auto& [number, draws] : all) {
    EXPECT_EQ(draws[0], draws[2]) << "a name is one draw";
    different.insert({draws[0], draws[1]});
  }
  EXPECT_EQ(different.size(), 40u);
  EXPECT_NE(DrawsOf(2, 20, nullptr), all);

  const Scenario scenario = Parsed("skip writer from 3 to 7\nskip writer 12\nskip reader 1");
  std::map<uint64_t, std::vector<uint64_t>> left = all;
  std::erase_if(left, [](const auto& op) { return (op.first >= 3 && op.first < 7) || op.first == 12; });
  EXPECT_EQ(DrawsOf(1, 20, &scenario), left);
}

TEST(OpTest, ALineMakesADrawTheLeast) {
  const Scenario scenario = Parsed("calm test writer/op#2/key");
  std::map<uint64_t, std::vector<uint64_t>> calm = DrawsOf(1, 5, nullptr);
  calm[2][0] = calm[2][2] = 0;
  EXPECT_EQ(DrawsOf(1, 5, &scenario), calm);
}

TEST(OpDeathTest, AWorkloadHasANameThatALineCanSay) {
  for (const char* const name : {"", "a b", "a/b", "a#1"}) {
    EXPECT_DEATH(World().Ops(name, 1), "not a name for a workload") << name;
  }
}

// --- Numbers that no seed draws ---

Task<absl::Status> ReadWallClock(absl::Time* time) {
  *time = WallNow();
  co_return absl::OkStatus();
}

TEST(OddScenarioTest, AClockThatIsFarAheadShowsALateTime) {
  const Scenario scenario = Parsed("clock a ahead 9000000000s\n");
  World world(WorldOptions().set_scenario(&scenario));
  absl::Time time;
  Host& a = world.AddHost("a", [&] { return ReadWallClock(&time); });
  EXPECT_TRUE(world.RunUntilDone(a, absl::Seconds(1)).ok());
  EXPECT_GT(time, absl::FromUnixSeconds(4'000'000'000));
  a.SetClockOffset(-absl::InfiniteDuration());
  a.Restart();
  EXPECT_TRUE(world.RunFor(absl::Seconds(1)).ok());
  EXPECT_LT(time, absl::UnixEpoch());
}

Task<void> Step(int* steps) {
  for (int i = 0; i < 10; ++i) {
    ++*steps;
    const absl::Status yielded = co_await Yield();
    if (!yielded.ok()) co_return;
  }
}

Task<absl::Status> StepInTasks(int* steps) {
  for (int i = 0; i < 5; ++i) Spawn(&Step, steps);
  co_return co_await Sleep(absl::Milliseconds(1));
}

TEST(OddScenarioTest, AScheduleMayBeAimedByAnyNumbers) {
  for (const char* line :
       {"schedule pct steps 18446744073709551615 of 1 tasks 1", "schedule pct steps 0 of 0 tasks 0",
        "schedule pct steps 3 of 9 tasks 18446744073709551615",
        "schedule delay steps 18446744073709551615 of 18446744073709551615 tasks 1",
        "schedule delay steps 1 of 18446744073709551615 tasks 1", "schedule delay steps 0 of 0 tasks 0"}) {
    const Scenario scenario = Parsed(line);
    for (uint64_t seed = 1; seed <= 30; ++seed) {
      World world(WorldOptions().set_seed(seed).set_scenario(&scenario));
      int steps = 0;
      Host& a = world.AddHost("a", [&] { return StepInTasks(&steps); });
      EXPECT_TRUE(world.RunUntilDone(a, absl::Seconds(1)).ok()) << line;
      EXPECT_EQ(steps, 50) << line;
    }
  }
}

}  // namespace
}  // namespace tandem::sim
