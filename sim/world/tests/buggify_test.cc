// SPDX-License-Identifier: Apache-2.0
//
// What a program may do at any time, and the sizes that it may have, as a seed decides.

#include "tandem/core/base/buggify.h"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/task.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

constexpr int kVisits = 40;

struct Shown {
  std::map<std::string, std::vector<bool>> fired;  // By host.
  std::map<std::string, int64_t> batch;
  std::string digest;
  Scenario scenario;
};

Task<absl::Status> Visit(Shown* shown, int visits) {
  const std::string host(Host::Current()->name());
  for (int i = 0; i < visits; ++i) {
    shown->fired[host].push_back(TANDEM_BUGGIFY("log.flush"));
    if (absl::Status slept = co_await Sleep(absl::Milliseconds(1)); !slept.ok()) co_return slept;
  }
  shown->batch[host] = TANDEM_KNOB("log.batch", 64, 1, 1024);
  EXPECT_EQ(TANDEM_KNOB("log.batch", 64, 1, 1024), shown->batch[host]) << "asked again";
  co_return absl::OkStatus();
}

Shown RunOf(const WorldOptions& options, const Faults& faults, const std::vector<std::string>& hosts = {"a", "b"}) {
  Shown shown;
  World world(options);
  for (const std::string& host : hosts) world.AddHost(host, [&] { return Visit(&shown, kVisits); });
  world.Inject(faults);
  EXPECT_TRUE(world.RunUntilQuiescent(absl::Minutes(1)).ok());
  shown.digest = world.digest().ToString();
  shown.scenario = world.scenario();
  return shown;
}

Shown RunSeed(uint64_t seed, const std::vector<std::string>& hosts = {"a", "b"}) {
  return RunOf(WorldOptions().set_seed(seed), Faults::Only(FaultKind::kReset), hosts);
}

int CountOf(const std::vector<bool>& fired) {
  int count = 0;
  for (const bool fires : fired) count += fires ? 1 : 0;
  return count;
}

TEST(BuggifyTest, IsOnInAQuarterOfTheSeedsAndFiresInAQuarterOfTheVisits) {
  constexpr int kSeeds = 800;
  int on = 0;
  int fired = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const Shown shown = RunSeed(seed);
    const int count = CountOf(shown.fired.at("a")) + CountOf(shown.fired.at("b"));
    on += count > 0 ? 1 : 0;
    fired += count;
    EXPECT_EQ(CountOf(shown.fired.at("a")) > 0, CountOf(shown.fired.at("b")) > 0) << "on for all hosts or for none";
    if (count > 0) EXPECT_NE(shown.fired.at("a"), shown.fired.at("b")) << "each host has its own draws";
  }
  EXPECT_NEAR(on, kSeeds / 4, 40);
  EXPECT_NEAR(fired, on * 2 * kVisits / 4, on * kVisits / 20);
}

TEST(BuggifyTest, IsOffWhereNothingIsInjected) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const Shown shown = RunOf(WorldOptions().set_seed(seed), Faults::None());
    EXPECT_EQ(CountOf(shown.fired.at("a")), 0);
    EXPECT_EQ(shown.batch.at("a"), 64);
    EXPECT_TRUE(shown.scenario.knobs.empty());
  }
}

TEST(BuggifyTest, IsOffWithoutAWorldAndOutsideOfHosts) {
  EXPECT_FALSE(TANDEM_BUGGIFY("log.flush"));
  EXPECT_EQ(TANDEM_KNOB("log.batch", 64, 1, 1024), 64);
  for (uint64_t seed = 0; seed < 40; ++seed) {
    World world(WorldOptions().set_seed(seed));
    world.AddHost("a", []() -> Task<absl::Status> { co_return absl::OkStatus(); });
    world.Inject(Faults::All());
    for (int i = 0; i < kVisits; ++i) EXPECT_FALSE(TANDEM_BUGGIFY("log.flush"));
  }
}

TEST(BuggifyTest, TheSeedDecidesAndOneHostMoreMovesNothing) {
  std::set<std::string> digests;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const Shown shown = RunSeed(seed);
    const Shown again = RunSeed(seed);
    EXPECT_EQ(again.fired, shown.fired);
    EXPECT_EQ(again.digest, shown.digest);
    digests.insert(shown.digest);
    const Shown more = RunSeed(seed, {"first", "a", "between", "b"});
    EXPECT_EQ(more.fired.at("a"), shown.fired.at("a"));
    EXPECT_EQ(more.fired.at("b"), shown.fired.at("b"));
    EXPECT_EQ(more.batch.at("a"), shown.batch.at("a"));
  }
  EXPECT_EQ(digests.size(), 60u);
}

// The first seed in which it is on, for host a at least.
uint64_t SeedWithIt() {
  uint64_t seed = 0;
  while (CountOf(RunSeed(seed).fired.at("a")) == 0) ++seed;
  return seed;
}

Shown RunCalm(uint64_t seed, const std::string& line) {
  Scenario scenario = RunSeed(seed).scenario;
  const absl::StatusOr<Calm> calm = Calm::Parse(line);
  EXPECT_TRUE(calm.ok()) << calm.status();
  scenario.calms.push_back(*calm);
  return RunOf(WorldOptions().set_seed(seed).set_scenario(&scenario), Faults::Only(FaultKind::kReset));
}

TEST(BuggifyTest, AScenarioTakesItAway) {
  const uint64_t seed = SeedWithIt();
  const Shown shown = RunSeed(seed);
  const Shown replayed = RunOf(WorldOptions().set_seed(seed).set_scenario(&shown.scenario), Faults::None());
  EXPECT_EQ(replayed.fired.at("a"), std::vector<bool>(kVisits)) << "the test does not inject any more";
  const Shown same = RunOf(WorldOptions().set_seed(seed).set_scenario(&shown.scenario), Faults::All());
  EXPECT_EQ(same.fired, shown.fired);

  const Shown without_host = RunCalm(seed, "calm buggify a/log.flush");
  EXPECT_EQ(CountOf(without_host.fired.at("a")), 0);
  EXPECT_EQ(without_host.fired.at("b"), shown.fired.at("b"));
  const Shown without_place = RunCalm(seed, "calm buggify log.flush");
  EXPECT_EQ(CountOf(without_place.fired.at("a")) + CountOf(without_place.fired.at("b")), 0);
  const Shown first_half = RunCalm(seed, "calm buggify a/log.flush from 20");
  for (size_t i = 0; i < kVisits; ++i) {
    EXPECT_EQ(first_half.fired.at("a")[i], i < 20 && shown.fired.at("a")[i]) << i;
  }
}

TEST(KnobTest, OfAProgramIsItsOwnInThreeQuartersOfTheSeeds) {
  constexpr int kSeeds = 800;
  int others = 0;
  std::set<int64_t> values;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const Shown shown = RunSeed(seed);
    EXPECT_EQ(shown.batch.at("a"), shown.batch.at("b"));
    values.insert(shown.batch.at("a"));
    if (shown.scenario.knobs.empty()) {
      EXPECT_EQ(shown.batch.at("a"), 64);
      continue;
    }
    ++others;
    EXPECT_EQ(shown.scenario.knobs.at("log.batch"), shown.batch.at("a"));
  }
  EXPECT_NEAR(others, kSeeds / 4, 40);
  EXPECT_GT(values.size(), 60u);
  EXPECT_EQ(*values.begin(), 1);
  EXPECT_GT(*values.rbegin(), 512);
  EXPECT_LE(*values.rbegin(), 1024);
}

TEST(KnobTest, OfAProgramIsALineAndWithoutItIsItsOwn) {
  const absl::StatusOr<Scenario> with = Scenario::Parse("seed 1\nknob \"log.batch\" 5000");
  const absl::StatusOr<Scenario> without = Scenario::Parse("seed 1");
  ASSERT_TRUE(with.ok() && without.ok());
  EXPECT_EQ(RunOf(WorldOptions().set_scenario(&*with), Faults::All()).batch.at("a"), 1024) << "as far as it goes";
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const Shown shown = RunOf(WorldOptions().set_seed(seed).set_scenario(&*without), Faults::All());
    EXPECT_EQ(shown.batch.at("a"), 64);
    EXPECT_TRUE(shown.scenario.knobs.empty());
  }
}

TEST(KnobTest, OfAProgramIsWhatTheTestHasDrawn) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Shown shown;
    World world(WorldOptions().set_seed(seed));
    world.AddHost("a", [&] { return Visit(&shown, 1); });
    const int64_t drawn = world.Knob("log.batch", 2, 9);
    EXPECT_TRUE(world.RunUntilQuiescent(absl::Seconds(1)).ok());
    EXPECT_EQ(shown.batch.at("a"), drawn);
  }
}

TEST(BuggifyTest, NamesThatNoLineCouldSayAreRefused) {
  const auto visit = [](std::string name) {
    World world;
    world.AddHost("a", [name]() -> Task<absl::Status> {
      return [](std::string place) -> Task<absl::Status> {
        static_cast<void>(TANDEM_BUGGIFY(place));
        co_return absl::OkStatus();
      }(name);
    });
    world.Inject(Faults::All());
    static_cast<void>(world.RunUntilQuiescent(absl::Seconds(1)));
  };
  for (const char* name : {"", "two words", "a/b", "a#1", "a\"b"}) {
    EXPECT_DEATH(visit(name), "not a name for a TANDEM_BUGGIFY") << name;
  }
}

TEST(KnobTest, ARangeWithoutNumbersIsRefused) {
  const auto ask = [] {
    const World world;
    static_cast<void>(TANDEM_KNOB("log.batch", 1, 2, 1));
  };
  EXPECT_DEATH(ask(), "not a TANDEM_KNOB");
}

}  // namespace
}  // namespace tandem::sim
