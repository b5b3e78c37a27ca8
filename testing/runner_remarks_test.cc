// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_remarks.h"

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/testing/runner_shrink.h"

namespace tandem::testing {
namespace {

using sim::FaultEntry;
using sim::Scenario;

Scenario ScenarioOf(const std::string& text) {
  absl::StatusOr<Scenario> scenario = Scenario::Parse(text);
  EXPECT_TRUE(scenario.ok()) << scenario.status();
  return scenario.ok() ? *scenario : Scenario();
}

// With what is found when `text` fails wherever `fails` says so.
std::string Remarked(const std::string& text, const std::function<bool(const Scenario&)>& fails,
                     uint64_t runs_max = 100) {
  const Scenario scenario = ScenarioOf(text);
  uint64_t runs = 0;
  std::string remarked = WithRemarks(scenario, runs_max, [&](const Scenario& candidate) {
    EXPECT_NE(candidate.ToString(), text) << "what is known is run again";
    ++runs;
    return fails(candidate) ? Trial::kSame : Trial::kOther;
  });
  EXPECT_LE(runs, runs_max);
  const Scenario again = ScenarioOf(remarked);
  EXPECT_EQ(again.ToString(), scenario.ToString()) << "remarks change nothing";
  return remarked;
}

const FaultEntry& FaultOf(const Scenario& scenario) { return scenario.faults.entries().at(0); }

TEST(RemarksTest, AnythingDoes) {
  EXPECT_EQ(Remarked("seed 7\n"
                     "test Suite.Name\n"
                     "schedule pct\n"
                     "start a after 0.1s\n"
                     "clock b ahead 1s\n"
                     "knob \"batch size\" 17\n"
                     "partition a b from 1s to 2s\n"
                     "crash a at call 7 for 2s before 60s\n"
                     "loss a b from 1s to 2s strength 500000\n"
                     "fail a at operation 3\n"
                     "calm latency *\n"
                     "skip writer 3\n",
                     [](const Scenario&) { return true; }),
            "seed 7  # any seed does\n"
            "test Suite.Name\n"
            "schedule pct  # needed, or any other but fifo\n"
            "start a after 0.1s  # needed, after any time\n"
            "clock b ahead 1s  # needed, by any time\n"
            "knob \"batch size\" 17  # needed, with any number\n"
            "partition a b from 1s to 2s  # needed, at any time, for any time\n"
            "crash a at call 7 for 2s before 60s  # needed, any time that happens, for any time\n"
            "loss a b from 1s to 2s strength 500000  # needed, at any time, for any time, of any strength\n"
            "fail a at operation 3  # needed, at any operation\n"
            "calm latency *\n"
            "skip writer 3\n");
}

TEST(RemarksTest, NothingElseDoes) {
  EXPECT_EQ(Remarked("seed 7\n"
                     "schedule pct\n"
                     "knob \"batch size\" 17\n"
                     "loss a b from 1s to 2s strength 500000\n",
                     [](const Scenario&) { return false; }),
            "seed 7  # needed\n"
            "schedule pct  # needed\n"
            "knob \"batch size\" 17  # needed\n"
            "loss a b from 1s to 2s strength 500000  # needed\n");
}

TEST(RemarksTest, ANumberIsKnownByItself) {
  const std::string text = "partition a b from 1s to 2s\n";
  const auto length = [](const Scenario& s) { return FaultOf(s).to - FaultOf(s).from; };
  EXPECT_EQ(Remarked(text, [&](const Scenario& s) { return length(s) == absl::Seconds(1); }),
            "partition a b from 1s to 2s  # needed, at any time\n");
  EXPECT_EQ(Remarked(text, [&](const Scenario& s) { return FaultOf(s).from == absl::Seconds(1); }),
            "partition a b from 1s to 2s  # needed, for any time\n");
  // One that is longer does, and one that is shorter does not.
  EXPECT_EQ(Remarked(text, [&](const Scenario& s) { return length(s) >= absl::Seconds(1); }),
            "partition a b from 1s to 2s  # needed, at any time\n");
  EXPECT_EQ(Remarked("loss a b from 1s to 2s strength 500000\n",
                     [](const Scenario& s) { return FaultOf(s).strength >= 100'000; }),
            "loss a b from 1s to 2s strength 500000  # needed, at any time, for any time, of any strength\n");
}

TEST(RemarksTest, WhatHappensAtOneMomentHasNoLength) {
  EXPECT_EQ(Remarked("reset a from 0.5s strength 1000000\n", [](const Scenario&) { return true; }),
            "reset a from 0.5s strength 1000000  # needed, at any time, of any strength\n");
}

TEST(RemarksTest, ASeedIsNeededWhereOneOfSeveralOthersPasses) {
  EXPECT_EQ(Remarked("seed 7\n", [](const Scenario& scenario) { return scenario.seed != 14; }), "seed 7  # needed\n");
}

TEST(RemarksTest, WhatIsNotTriedIsNamed) {
  EXPECT_EQ(Remarked(
                "seed 7\nknob \"a\" 1\nknob \"b\" 2\n", [](const Scenario&) { return true; }, 8),
            "seed 7  # any seed does\n"
            "knob \"a\" 1  # needed; more not tried\n"
            "knob \"b\" 2  # needed; more not tried\n");
  EXPECT_EQ(Remarked("seed 7\n", [](const Scenario&) { return true; }, 0), "seed 7  # others not tried\n");
  EXPECT_EQ(Remarked("seed 7\n", [](const Scenario&) { return true; }, 7), "seed 7  # others not tried\n");
  // What is found by then is said.
  EXPECT_EQ(Remarked(
                "loss a b from 1s to 2s strength 500000\n", [](const Scenario&) { return true; }, 4),
            "loss a b from 1s to 2s strength 500000  # needed, at any time; more not tried\n");
}

TEST(RemarksTest, NoTimeIsTheEnd) {
  const Scenario scenario = ScenarioOf("seed 7\nknob \"a\" 1\n");
  uint64_t runs = 0;
  const std::string text = WithRemarks(scenario, 100, [&](const Scenario&) {
    ++runs;
    return Trial::kNoMore;
  });
  EXPECT_EQ(text, "seed 7  # others not tried\nknob \"a\" 1  # needed; more not tried\n");
  EXPECT_EQ(runs, 1u);
}

TEST(RemarksTest, OfWhatNobodyHasLookedAtNothingIsKnown) {
  const Scenario scenario =
      ScenarioOf("seed 7\nschedule pct\nknob \"a\" 1\nloss a b from 1s to 2s strength 500000\ncalm latency *\n");
  const std::string text = WithNothingKnown(scenario);
  EXPECT_EQ(text,
            "seed 7  # others not tried\n"
            "schedule pct  # perhaps needed; more not tried\n"
            "knob \"a\" 1  # perhaps needed; more not tried\n"
            "loss a b from 1s to 2s strength 500000  # perhaps needed; more not tried\n"
            "calm latency *\n");
  EXPECT_EQ(ScenarioOf(text).ToString(), scenario.ToString());
}

TEST(RemarksTest, OfARunThatWasStoppedNobodyKnows) {
  const Scenario scenario = ScenarioOf("seed 7\nknob \"a\" 1\n");
  const std::string text =
      WithRemarks(scenario, 100, [](const Scenario& other) { return *other.seed == 7 ? Trial::kSame : Trial::kLate; });
  EXPECT_EQ(text, "seed 7  # others not tried\nknob \"a\" 1  # needed, with any number\n");
}

}  // namespace
}  // namespace tandem::testing
