// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_shrink.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/random/decision_counts.h"

namespace tandem::testing {
namespace {

using sim::Choice;
using sim::DecisionCount;
using sim::FaultEntry;
using sim::FaultKind;
using sim::Scenario;

using Runs = absl::FunctionRef<Trial(const Scenario&)>;

// Where nobody says what chance decides.
Shrunk Shrink(const Scenario& scenario, const WorkloadSteps& steps, uint64_t runs_max, Runs run) {
  return testing::Shrink(scenario, steps, runs_max, run, [](const Scenario&) { return std::vector<DecisionCount>(); });
}

// A scenario with some of everything, as a seed draws it.
Scenario ScenarioOf(uint64_t seed) {
  Scenario scenario;
  scenario.seed = seed;
  scenario.test = "Suite.Name";
  scenario.schedule = "pct";
  scenario.starts = {{"a", absl::Microseconds(7)}, {"b", absl::Microseconds(13)}, {"c", absl::Nanoseconds(1234)}};
  scenario.clocks = {{"b", absl::Milliseconds(1234)}};
  scenario.knobs = {{"batch size", 17}, {"tries", 3}};
  const sim::Choices choices(seed);
  scenario.faults = sim::Faults::All().Always().Generate(choices, {"a", "b", "c"}, nullptr);
  return scenario;
}

const WorkloadSteps kSteps = {{"reader", 30}, {"writer", 40}};

bool HasFault(const Scenario& scenario, FaultKind kind, absl::string_view target) {
  const std::vector<FaultEntry>& entries = scenario.faults.entries();
  return std::any_of(entries.begin(), entries.end(),
                     [&](const FaultEntry& e) { return e.kind == kind && e.Targets(target); });
}

bool HasStep(const Scenario& scenario, const std::string& what, uint64_t n) {
  return std::none_of(scenario.skips.begin(), scenario.skips.end(),
                      [&](const sim::Skip& skip) { return skip.what == what && skip.from <= n && n < skip.to; });
}

uint64_t StepsOf(const Scenario& scenario) {
  uint64_t steps = 0;
  for (const auto& [what, count] : kSteps) {
    for (uint64_t n = 0; n < count; ++n) steps += HasStep(scenario, what, n) ? 1 : 0;
  }
  return steps;
}

bool IsRandom(const Scenario& scenario, Choice what) {
  return std::none_of(scenario.calms.begin(), scenario.calms.end(),
                      [what](const sim::Calm& calm) { return calm.what == what; });
}

// A bug, and how much of a scenario it takes.
struct Planted {
  const char* name;
  uint64_t runs_max;
  std::function<bool(const Scenario&)> fails;
  size_t faults = 0;
  size_t steps = 0;
  size_t others = 0;  // Starts, clocks, knobs, a schedule.
};

std::vector<Planted> PlantedBugs() {
  const auto step = [](const char* what, uint64_t n) {
    return [what, n](const Scenario& s) { return HasStep(s, what, n); };
  };
  const auto both = [](auto a, auto b) { return [a, b](const Scenario& s) { return a(s) && b(s); }; };
  const auto either = [](auto a, auto b) { return [a, b](const Scenario& s) { return a(s) || b(s); }; };
  const auto kind = [](FaultKind kind) {
    return [kind](const Scenario& s) {
      const std::vector<FaultEntry>& entries = s.faults.entries();
      return std::any_of(entries.begin(), entries.end(), [kind](const FaultEntry& e) { return e.kind == kind; });
    };
  };
  const auto scheduled = [](const Scenario& s) { return s.schedule == "pct"; };
  const auto knob = [](const Scenario& s) { return s.knobs.contains("batch size"); };
  const auto clock = [](const Scenario& s) { return s.clocks.contains("b"); };
  const auto start = [](const Scenario& s) { return s.starts.contains("c"); };
  return {
      {"nothing", 1, [](const Scenario&) { return true; }},
      {"a crash", 33, kind(FaultKind::kCrash), 1},
      {"a partition", 36, kind(FaultKind::kPartition), 1},
      {"a crash and a partition", 62, both(kind(FaultKind::kCrash), kind(FaultKind::kPartition)), 2},
      {"three kinds", 78, both(kind(FaultKind::kKill), both(kind(FaultKind::kClog), kind(FaultKind::kPause))), 3},
      {"five kinds", 145,
       both(both(kind(FaultKind::kKill), kind(FaultKind::kLoss)),
            both(kind(FaultKind::kReset), both(kind(FaultKind::kClog), kind(FaultKind::kPause)))),
       5},
      {"one of two kinds", 34, either(kind(FaultKind::kCrash), kind(FaultKind::kKill)), 1},
      {"a step", 22, step("writer", 7), 0, 1},
      {"the first and the last step", 33, both(step("reader", 0), step("writer", 39)), 0, 2},
      {"neighbours", 25, both(step("writer", 20), step("writer", 21)), 0, 2},
      {"a step and a crash", 49, both(step("reader", 13), kind(FaultKind::kCrash)), 1, 1},
      {"two steps and two kinds", 93,
       both(both(step("reader", 3), step("writer", 30)), both(kind(FaultKind::kCrash), kind(FaultKind::kLatency))), 2,
       2},
      {"a schedule", 12, scheduled, 0, 0, 1},
      {"a schedule and two steps", 47, both(scheduled, both(step("reader", 1), step("reader", 28))), 0, 2, 1},
      {"a knob", 9, knob, 0, 0, 1},
      {"a clock and a pause", 30, both(clock, kind(FaultKind::kPause)), 1, 0, 1},
      {"a start", 9, start, 0, 0, 1},
      {"a start, a knob and a step", 26, both(start, both(knob, step("writer", 11))), 0, 1, 2},
      {"random latency", 26, [](const Scenario& s) { return IsRandom(s, Choice::kLatency); }},
      {"all at once", 89,
       both(both(scheduled, knob), both(both(step("writer", 1), kind(FaultKind::kKill)), kind(FaultKind::kCrash))), 2,
       1, 2},
  };
}

TEST(ShrinkTest, TheMinimumOfEachPlantedBugFromEachSeed) {
  constexpr uint64_t kRunsMax = 500;
  const std::vector<Planted> bugs = PlantedBugs();
  EXPECT_EQ(bugs.size(), 20u);
  for (const Planted& bug : bugs) {
    uint64_t most = 0;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      const Scenario scenario = ScenarioOf(seed);
      ASSERT_TRUE(bug.fails(scenario)) << bug.name;
      const Shrunk shrunk = Shrink(scenario, kSteps, kRunsMax, [&bug](const Scenario& candidate) {
        return bug.fails(candidate) ? Trial::kSame : Trial::kOther;
      });
      const Scenario& small = shrunk.scenario;
      EXPECT_TRUE(shrunk.finished) << bug.name << ", seed " << seed;
      EXPECT_TRUE(bug.fails(small));
      EXPECT_EQ(small.faults.entries().size(), bug.faults) << bug.name << ", seed " << seed << ":\n"
                                                           << small.ToString();
      EXPECT_EQ(StepsOf(small), bug.steps) << bug.name << ", seed " << seed << ":\n" << small.ToString();
      EXPECT_EQ(small.starts.size() + small.clocks.size() + small.knobs.size() + (small.schedule == "fifo" ? 0 : 1),
                bug.others)
          << bug.name << ", seed " << seed << ":\n"
          << small.ToString();
      most = std::max(most, shrunk.runs);
    }
    EXPECT_LE(most, bug.runs_max) << bug.name;
  }
}

TEST(ShrinkTest, ABugThatNeedsNothingTakesOneRun) {
  uint64_t runs = 0;
  const Shrunk shrunk = Shrink(ScenarioOf(1), kSteps, 500, [&runs](const Scenario&) {
    ++runs;
    return Trial::kSame;
  });
  EXPECT_EQ(runs, 1u);
  EXPECT_EQ(shrunk.runs, 1u);
  EXPECT_TRUE(shrunk.finished);
  EXPECT_EQ(shrunk.scenario.seed, 1u);
  EXPECT_EQ(shrunk.scenario.test, "Suite.Name");
}

TEST(ShrinkTest, WithoutTimeTheScenarioStaysAsItIs) {
  const Scenario scenario = ScenarioOf(2);
  const Shrunk shrunk = Shrink(scenario, kSteps, 500, [](const Scenario&) { return Trial::kNoMore; });
  EXPECT_FALSE(shrunk.finished);
  EXPECT_EQ(shrunk.runs, 0u);
  EXPECT_EQ(shrunk.scenario.ToString(), scenario.ToString());
}

TEST(ShrinkTest, WhatIsStoppedIsKeptAndCounted) {
  uint64_t runs = 0;
  const Shrunk shrunk = Shrink(ScenarioOf(2), kSteps, 500, [&runs](const Scenario& candidate) {
    ++runs;
    return candidate.faults.entries().size() < 2 ? Trial::kLate : Trial::kSame;
  });
  EXPECT_EQ(shrunk.scenario.faults.entries().size(), 2u);
  EXPECT_EQ(shrunk.runs, runs);
  EXPECT_GT(shrunk.late, 0u);
  EXPECT_LT(shrunk.late, runs);
  EXPECT_FALSE(shrunk.finished) << "with more time there might be less";
}

TEST(ShrinkTest, TakesNoMoreRunsThanItMayAndKeepsWhatItHas) {
  uint64_t runs = 0;
  const auto fails = [&runs](const Scenario& candidate) {
    ++runs;
    return HasStep(candidate, "writer", 3) ? Trial::kSame : Trial::kOther;
  };
  const Shrunk shrunk = Shrink(ScenarioOf(3), kSteps, 12, fails);
  EXPECT_EQ(runs, 12u);
  EXPECT_FALSE(shrunk.finished);
  EXPECT_TRUE(HasStep(shrunk.scenario, "writer", 3));
  EXPECT_LT(shrunk.scenario.faults.entries().size(), ScenarioOf(3).faults.entries().size());
}

TEST(ShrinkTest, AMillionStepsAreLeftOutSeveralAtATime) {
  const Shrunk shrunk = Shrink(ScenarioOf(5), {{"writer", 1'000'000}}, 500, [](const Scenario& candidate) {
    return HasStep(candidate, "writer", 765'432) ? Trial::kSame : Trial::kOther;
  });
  EXPECT_TRUE(shrunk.finished);
  EXPECT_LT(shrunk.runs, 50u);
  ASSERT_EQ(shrunk.scenario.skips.size(), 2u);
  EXPECT_LT(shrunk.scenario.skips[1].from - shrunk.scenario.skips[0].to, 1100u);
}

TEST(ShrinkTest, NoCandidateRunsTwice) {
  std::vector<std::string> seen;
  Shrink(ScenarioOf(4), kSteps, 500, [&seen](const Scenario& candidate) {
    seen.push_back(candidate.ToString());
    EXPECT_EQ(Scenario::Parse(seen.back())->ToString(), seen.back()) << "a candidate is what its text says";
    return HasFault(candidate, FaultKind::kCrash, "a") && HasStep(candidate, "reader", 3) ? Trial::kSame
                                                                                          : Trial::kOther;
  });
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
}

// Of all that is left to chance, one decision: its number is found, and all before it and behind it are calm.
TEST(ShrinkTest, ChanceIsNarrowedToWhatMatters) {
  for (const uint64_t number : {0u, 1u, 2u, 5u, 77u, 3000u}) {
    const auto fails = [number](const Scenario& candidate) {
      const bool calm = std::any_of(candidate.calms.begin(), candidate.calms.end(), [number](const sim::Calm& c) {
        return c.what == Choice::kLatency && c.from <= number && number < c.to;
      });
      return calm ? Trial::kOther : Trial::kSame;
    };
    const Shrunk shrunk = Shrink(ScenarioOf(6), kSteps, 500, fails);
    EXPECT_TRUE(shrunk.finished);
    EXPECT_LE(shrunk.runs, 50u);
    uint64_t from = 0;
    uint64_t to = sim::Calm::kEnd;
    for (const sim::Calm& calm : shrunk.scenario.calms) {
      if (calm.what != Choice::kLatency) continue;
      (calm.to == sim::Calm::kEnd ? to : from) = calm.to == sim::Calm::kEnd ? calm.from : calm.to;
    }
    EXPECT_EQ(from, number) << shrunk.scenario.ToString();
    EXPECT_EQ(to, number + 1) << shrunk.scenario.ToString();
  }
}

// What `fails` says of a scenario with these faults and 30 steps of a writer, made as small as it can be.
Scenario ShrunkOf(Scenario scenario, const char* faults, const std::function<bool(const Scenario&)>& fails) {
  scenario.faults = *sim::FaultPlan::Parse(faults);
  EXPECT_TRUE(fails(scenario));
  const Shrunk shrunk = Shrink(scenario, {{"writer", 30}}, 500, [&fails](const Scenario& candidate) {
    return fails(candidate) ? Trial::kSame : Trial::kOther;
  });
  EXPECT_TRUE(shrunk.finished);
  EXPECT_LE(shrunk.runs, 300u);
  return shrunk.scenario;
}

int64_t WriterSteps(const Scenario& scenario) {
  int64_t steps = 0;
  for (uint64_t n = 0; n < 30; ++n) steps += HasStep(scenario, "writer", n) ? 1 : 0;
  return steps;
}

bool IsCalmed(const Scenario& scenario, const std::string& whom, uint64_t number) {
  return std::any_of(scenario.calms.begin(), scenario.calms.end(), [&](const sim::Calm& calm) {
    const std::vector<std::string> but = absl::StrSplit(calm.but, ',');
    const bool about = calm.whom == whom || (calm.whom == "*" && std::find(but.begin(), but.end(), whom) == but.end());
    return calm.what == Choice::kLoss && about && calm.from <= number && number < calm.to;
  });
}

// Two packets of one flow of forty, and one of another one, have to be lost: these are found, and nothing else is.
TEST(ShrinkTest, ChanceIsNarrowedToTheFlowsAndPacketsThatMatter) {
  std::vector<DecisionCount> decisions;
  for (int flow = 0; flow < 40; ++flow) decisions.push_back({Choice::kLoss, absl::StrCat("a/udp/b#", flow + 1), 200});
  const std::vector<std::pair<std::string, uint64_t>> needed = {
      {"a/udp/b#7", 30}, {"a/udp/b#7", 90}, {"a/udp/b#31", 57}};
  uint64_t asked = 0;
  const Shrunk shrunk = testing::Shrink(
      ScenarioOf(6), kSteps, 500,
      [&](const Scenario& candidate) {
        const bool calm = std::any_of(needed.begin(), needed.end(),
                                      [&](const auto& of) { return IsCalmed(candidate, of.first, of.second); });
        return calm ? Trial::kOther : Trial::kSame;
      },
      [&](const Scenario&) {
        ++asked;
        return decisions;
      });
  EXPECT_TRUE(shrunk.finished);
  EXPECT_LE(shrunk.runs, 120u);
  EXPECT_EQ(asked, 1u);
  std::vector<std::pair<std::string, uint64_t>> left;
  for (const DecisionCount& of : decisions) {
    for (uint64_t n = 0; n < of.count; ++n) {
      if (!IsCalmed(shrunk.scenario, of.whom, n)) left.emplace_back(of.whom, n);
    }
  }
  EXPECT_EQ(left, needed) << shrunk.scenario.ToString();
}

// With its one decision left, it need not be by chance that the packet is lost: any seed does.
TEST(ShrinkTest, ASinglePacketIsLostForSure) {
  const Scenario shrunk = ShrunkOf({}, "loss a b from 0s to 1s strength 50000\n", [](const Scenario& s) {
    if (s.faults.entries().size() != 1) return false;
    return !IsCalmed(s, "a/udp/b", 7) && (s.faults.entries()[0].strength < 400'000 || IsCalmed(s, "a/udp/b", 8)) &&
           s.faults.entries()[0].strength < 1'000'000;
  });
  EXPECT_EQ(shrunk.faults.entries()[0].strength, 999'999u);
}

// Of a schedule with few points in the lives of tasks no single steps can be left.
TEST(ShrinkTest, AScheduleThatDrawsForEachStepIsTakenInstead) {
  Scenario scenario;
  scenario.schedule = "pct";
  const auto scheduled = [](const Scenario& s) { return s.schedule == "pct" || s.schedule == "random"; };
  EXPECT_EQ(ShrunkOf(scenario, "", scheduled).schedule, "random");
  EXPECT_EQ(ShrunkOf(scenario, "", [](const Scenario& s) { return s.schedule == "pct"; }).schedule, "pct");
}

// Neither one step less at a time nor one fault less makes it smaller, when the others stay where they are.
TEST(ShrinkTest, WhereMuchIsLeftOneFaultIsPutAmidTheOthers) {
  const Scenario shrunk =
      ShrunkOf({}, "partition a b from 2.3s to 2.4s\nkill b at call 247 for 1s\n", [](const Scenario& s) {
        if (s.faults.entries().size() != 2) return false;
        const FaultEntry& cut = s.faults.entries()[0];
        const FaultEntry& kill = s.faults.entries()[1];
        const bool at_call = kill.trigger == FaultEntry::Trigger::kCall;
        if (at_call) return kill.count == 247 && WriterSteps(s) >= 24 && cut.from == absl::Seconds(2.3);
        return WriterSteps(s) >= 1 && cut.from < absl::Seconds(1) && absl::Seconds(1) < kill.from && kill.from < cut.to;
      });
  EXPECT_EQ(WriterSteps(shrunk), 1);
}

// The second one does for the first, if it lasts.
TEST(ShrinkTest, OneFaultThatLastsDoesForTwo) {
  const Scenario shrunk = ShrunkOf({}, "partition a b at packet 14 for 0.001s\npartition a c at packet 31 for 0.001s\n",
                                   [](const Scenario& s) {
                                     const std::vector<FaultEntry>& entries = s.faults.entries();
                                     if (entries.size() == 2) return entries[0].count == 14 && entries[1].count == 31;
                                     return entries.size() == 1 && entries[0].trigger == FaultEntry::Trigger::kTime &&
                                            entries[0].to - entries[0].from >= absl::Milliseconds(500);
                                   });
  EXPECT_EQ(shrunk.faults.entries().size(), 1u);
}

// "partition a b from 1.234567s to 9.87s" becomes one from the start on with a rounder end, as long as it fails.
TEST(ShrinkTest, NumbersBecomeSmallAndRound) {
  Scenario scenario;
  scenario.schedule = "fifo";
  scenario.faults = *sim::FaultPlan::Parse(
      "partition a b from 1.234567891s to 9.876543219s\n"
      "loss a,b,c c from 0.1s to 20s strength 123456\n"
      "crash b at call 77 for 3.3s before 60s\n");
  const auto fails = [](const Scenario& candidate) {
    const std::vector<FaultEntry>& e = candidate.faults.entries();
    const bool same = e.size() == 3 && e[0].from <= absl::Seconds(3) && e[0].to >= absl::Seconds(4) &&
                      e[1].Targets("b") && e[1].strength > 100'000 && e[2].count > 5;
    return same ? Trial::kSame : Trial::kOther;
  };
  const Shrunk shrunk = Shrink(scenario, {}, 500, fails);
  EXPECT_TRUE(shrunk.finished);
  EXPECT_LT(shrunk.runs, 90u);
  const std::vector<FaultEntry>& entries = shrunk.scenario.faults.entries();
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].from, absl::ZeroDuration());
  EXPECT_EQ(entries[0].to, absl::Seconds(5));
  EXPECT_EQ(entries[1].target, "b");
  EXPECT_EQ(entries[1].strength, 1'000'000u);
  EXPECT_GT(entries[2].count, 5u);
  EXPECT_LE(entries[2].count, 12u);
  EXPECT_EQ(entries[2].to, absl::InfiniteDuration());
}

// Each step takes seven calls, and it is the fourth of them.
TEST(ShrinkTest, ACallThatComesRoundAgainIsAnEarlyOne) {
  const Scenario shrunk = ShrunkOf({}, "crash b at call 81 for 2s\n", [](const Scenario& s) {
    return s.faults.entries().size() == 1 && s.faults.entries()[0].count % 7 == 4 &&
           static_cast<int64_t>(s.faults.entries()[0].count) < 7 * WriterSteps(s);
  });
  EXPECT_EQ(shrunk.faults.entries()[0].count, 4u);
  EXPECT_EQ(WriterSteps(shrunk), 1);
}

TEST(ShrinkTest, TheOperationThatFailsIsAnEarlyOne) {
  Scenario scenario;
  scenario.failures = {{"b", 23, false}};
  const Scenario shrunk = ShrunkOf(scenario, "", [](const Scenario& s) {
    return s.failures.size() == 1 && s.failures[0].number % 5 == 3 &&
           static_cast<int64_t>(s.failures[0].number) < 5 * WriterSteps(s);
  });
  EXPECT_EQ(shrunk.failures[0].number, 3u);
  EXPECT_EQ(WriterSteps(shrunk), 1);
}

// It has to come behind a step, however many there are.
TEST(ShrinkTest, WhatHappensAtATimeHappensSoonerWithFewerSteps) {
  const Scenario shrunk = ShrunkOf({}, "reset b from 2.7s strength 1000000\n", [](const Scenario& s) {
    return s.faults.entries().size() == 1 && s.faults.entries()[0].from >= absl::Milliseconds(50) &&
           s.faults.entries()[0].from < WriterSteps(s) * absl::Milliseconds(100);
  });
  EXPECT_EQ(WriterSteps(shrunk), 1);
}

// It has to come within the last step: a step less, and it comes too late, unless it comes sooner as well.
TEST(ShrinkTest, AStepThatOnlyLetsTimePassIsLeftOut) {
  const Scenario shrunk = ShrunkOf({}, "kill b from 2.95s to 4s\n", [](const Scenario& s) {
    if (s.faults.entries().size() != 1) return false;
    const absl::Duration from = s.faults.entries()[0].from;
    const absl::Duration end = WriterSteps(s) * absl::Milliseconds(100);
    return end - absl::Milliseconds(100) <= from && from < end;
  });
  EXPECT_EQ(WriterSteps(shrunk), 1);
}

// A kill makes the program begin anew, and count three calls more.
TEST(ShrinkTest, AFaultThatOnlyMakesCallsIsLeftOut) {
  Scenario scenario;
  scenario.failures = {{"b", 8, false}};
  const Scenario shrunk = ShrunkOf(scenario, "kill b from 0s to 1s\n", [](const Scenario& s) {
    return s.failures.size() == 1 && s.failures[0].number == 5 + 3 * s.faults.entries().size();
  });
  EXPECT_EQ(shrunk.failures[0].number, 5u);
  EXPECT_TRUE(shrunk.faults.entries().empty());
}

TEST(ShrinkTest, AnotherScheduleDoesWithFewerSteps) {
  Scenario scenario;
  scenario.schedule = "urw";
  const Scenario shrunk = ShrunkOf(scenario, "", [](const Scenario& s) {
    return s.schedule == "pos" ? WriterSteps(s) >= 1 : s.schedule == "urw" && WriterSteps(s) >= 8;
  });
  EXPECT_EQ(shrunk.schedule, "pos");
  EXPECT_EQ(WriterSteps(shrunk), 1);
}

// The chance decides which packet is hit; with another one it is another.
TEST(ShrinkTest, AnotherChanceDoesWithFewerSteps) {
  const Scenario shrunk = ShrunkOf({}, "loss a b from 0s to 1s strength 50000\n", [](const Scenario& s) {
    if (s.faults.entries().size() != 1) return false;
    const uint64_t strength = s.faults.entries()[0].strength;
    return WriterSteps(s) >= (strength < 750'000 ? 12 : 2) && strength < 1'000'000;
  });
  EXPECT_EQ(shrunk.faults.entries()[0].strength, 750'000u);
  EXPECT_EQ(WriterSteps(shrunk), 2);
}

}  // namespace
}  // namespace tandem::testing
