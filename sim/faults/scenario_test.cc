// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/faults/scenario.h"

#include <string>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::sim {
namespace {

TEST(ScenarioTest, TextParsesBack) {
  const std::string text =
      "seed 4711\ntest Kv.Replies\nschedule pct steps 120 of 900 tasks 8\nstart a after 0.000012s\n"
      "start b after 0.001s\nclock b ahead 0.5s\nknob \"batch size\" 17\nknob \"low\" -3\n"
      "crash a at call 37 for 2s before 60s\nkill a at visit 3 of \"commit.before_reply\" for 2s\n"
      "partition a,b c from 1.2s to 3s\nfail a at operation 17\nfail b from operation 1\n"
      "calm latency a/tcp/b#1 from 3\nskip writer/op 17\nskip reader from 3 to 9\nbranch at event 812 salt 7\n";
  const absl::StatusOr<Scenario> scenario = Scenario::Parse(text);
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  EXPECT_EQ(scenario->seed, 4711u);
  EXPECT_EQ(scenario->schedule, "pct");
  EXPECT_EQ(scenario->steps, (StepTotals{120, 900, 8}));
  EXPECT_EQ(scenario->faults.entries().size(), 3u);
  EXPECT_EQ(scenario->faults.entries()[1].site, "commit.before_reply");
  EXPECT_EQ(scenario->knobs.at("batch size"), 17);
  EXPECT_EQ(scenario->calms.size(), 1u);
  EXPECT_EQ(scenario->branch, (Branch{812, 7}));
  EXPECT_EQ(scenario->ToString(), text);
}

TEST(ScenarioTest, CalmLinesOfSeveralKindsAreOne) {
  std::string each;
  for (const Choice fate : kFates) absl::StrAppend(&each, "calm ", ChoiceName(fate), " *\n");
  EXPECT_EQ(Scenario::Parse(each)->ToString(), "calm * *\n");
  EXPECT_EQ(Scenario::Parse("calm * *")->calms, Scenario::Parse(each)->calms);
  const std::string text = "calm latency,loss a/tcp/b#1 from 3 to 9\ncalm loss,jitter a\ncalm * b from 7\n";
  EXPECT_EQ(Scenario::Parse(text)->ToString(), text);
  EXPECT_EQ(Scenario::Parse(text)->calms.size(), 4 + kFates.size());
  EXPECT_FALSE(Scenario::Parse("calm latency, a").ok());
  EXPECT_FALSE(Scenario::Parse("calm latency,* a").ok());
  EXPECT_FALSE(Scenario::Parse("calm").ok());
}

TEST(ScenarioTest, RemarksAndEmptyLinesAreSkipped) {
  const absl::StatusOr<Scenario> scenario = Scenario::Parse(
      "# all\n\n  loss a b from 0s to 1s strength 5  # hit 3 times\ncalm loss a/tcp/b#1 # of the flow\n");
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  EXPECT_FALSE(scenario->seed.has_value());
  EXPECT_EQ(scenario->ToString(), "loss a b from 0s to 1s strength 5\ncalm loss a/tcp/b#1\n");
}

TEST(ScenarioTest, OfALongWrongLineTheBeginningIsQuoted) {
  for (const std::string beginning : {"", "seed ", "skip ", "loss a b from "}) {
    const absl::StatusOr<Scenario> scenario = Scenario::Parse(beginning + std::string(1 << 20, 'x'));
    EXPECT_LT(scenario.status().message().size(), 800);
    EXPECT_THAT(scenario.status().message(), ::testing::HasSubstr("bytes more)\": "));
  }
}

TEST(ScenarioTest, WrongLinesAreQuoted) {
  for (const auto& [line, why] : {std::pair<std::string, std::string>{"seed x", "not a seed"},
                                  {"calm lost", "nothing that is decided"},
                                  {"crush a from 0s to 1s", "no such kind of fault"},
                                  {"crash a at call 0 for 1s", "call N from 1"},
                                  {"crash a at packet 3 for 1s", "at call N from 1"},
                                  {"crash a at visit 3 for 1s", "of \"SITE\""},
                                  {"crash a at visit 3 of site for 1s", "of \"SITE\""},
                                  {"loss a b at visit 3 of \"x\" for 1s strength 1", "at packet N from 1"},
                                  {"start a after 1", "start HOST after SECONDSs"},
                                  {"clock a back 1s", "clock HOST ahead SECONDSs"},
                                  {"knob batch 1", "knob \"NAME\" NUMBER"},
                                  {"knob a \"batch\" 1", "knob \"NAME\" NUMBER"},
                                  {"knob \"batch\" x", "knob \"NAME\" NUMBER"},
                                  {"fail a at operation 0", "from 1"},
                                  {"fail a at call 1", "operation NUMBER"},
                                  {"skip a from 3 to 3", "skip WHAT NUMBER"},
                                  {"skip a", "skip WHAT NUMBER"},
                                  {"branch at 812 salt 7", "branch at event NUMBER salt NUMBER"},
                                  {"branch at event 1 salt x", "branch at event NUMBER salt NUMBER"},
                                  {"schedule fast", "fifo, random, pct, pos, urw or delay"},
                                  {"schedule pct steps 1", "steps N of N tasks N"},
                                  {"test", "test SUITE.NAME"},
                                  {"crash a at call 3", "for how long"},
                                  {"loss a b at packet 3 for 1s", "no strength (millionths)"},
                                  {"crash a at call 3 for 1s before x", "no latest time"}}) {
    const absl::Status status = Scenario::Parse("seed 1\n" + line).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << line;
    EXPECT_NE(status.message().find(line), std::string::npos) << status;
    EXPECT_NE(status.message().find(why), std::string::npos) << status;
  }
}

// Else the last would count, and nobody sees that.
TEST(ScenarioTest, WhatHasOneValueIsThereOnce) {
  for (const auto& [first, second, why] :
       {std::tuple<std::string, std::string, std::string>{"seed 1", "seed 1", "one seed at most"},
        {"test A.B", "test A.C", "one test at most"},
        {"schedule pct steps 1 of 2 tasks 3", "schedule fifo", "one schedule at most"},
        {"start a after 1s", "start a after 2s", "one start of a at most"},
        {"clock a ahead 1s", "clock a ahead 2s", "one clock of a at most"},
        {"knob \"x y\" 1", "knob \"x y\" 2", "one value of \"x y\" at most"},
        {"branch at event 1 salt 1", "branch at event 2 salt 1", "one branch at most"}}) {
    EXPECT_EQ(Scenario::Parse(first + "\nloss a b from 0s to 1s strength 5\n" + second).status(),
              absl::InvalidArgumentError(absl::StrCat("\"", second, "\": expected ", why)));
  }
  const std::string others = "start a after 1s\nstart b after 1s\nclock a ahead 1s\nknob \"a\" 1\nknob \"b\" 1\n";
  EXPECT_EQ(Scenario::Parse(others)->ToString(), others);
}

TEST(ScenarioTest, BytesThatAreNoTextAreRefused) {
  for (const absl::string_view text :
       {absl::string_view("\0", 1), absl::string_view("seed 1\n\x7f"), absl::string_view("# \x1b[2J")}) {
    EXPECT_EQ(Scenario::Parse(text).status(), absl::InvalidArgumentError("not a text"));
  }
}

TEST(ScenarioTest, WordsMayHaveTabsBetweenThemAndLinesAnyEnds) {
  const absl::StatusOr<Scenario> scenario = Scenario::Parse("seed\t5\r\ncalm\tlatency  a/tcp/b#1\tfrom 3\r\n");
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  EXPECT_EQ(scenario->ToString(), "seed 5\ncalm latency a/tcp/b#1 from 3\n");
}

}  // namespace
}  // namespace tandem::sim
