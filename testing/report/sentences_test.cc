// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/sentences.h"

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/random/choices.h"

namespace tandem::testing {
namespace {

std::string SentencesOf(absl::string_view lines) {
  const absl::StatusOr<sim::Scenario> scenario = sim::Scenario::Parse(lines);
  EXPECT_TRUE(scenario.ok()) << scenario.status();
  return scenario.ok() ? ScenarioSentences(*scenario) : "";
}

TEST(SentencesTest, AnEmptyScenarioSaysNothing) {
  EXPECT_EQ(SentencesOf(""), "");
  EXPECT_EQ(SentencesOf("seed 7\ntest A.B"), "");
}

TEST(SentencesTest, FaultsSayWhoWhenHowMuchAndWhat) {
  EXPECT_EQ(SentencesOf("loss server client from 1.5s to 3s strength 200000"),
            "server and client, from 1.5s to 3s, 20 %: packets are lost, each for itself.\n");
  EXPECT_EQ(SentencesOf("loss server client from 1.5s to 3s strength 200001"),
            "server and client, from 1.5s to 3s, 200001 in a million: packets are lost, each for itself.\n");
  EXPECT_EQ(SentencesOf("partition-one-way a,b * from 0s to 1s"),
            "a, b to any host, from 0s to 1s: nothing passes from the first to the second.\n");
  EXPECT_EQ(SentencesOf("latency-constant a b from 0s to 1s strength 1500000"),
            "a and b, from 0s to 1s, 0.0015s: packets take longer by this, all the same.\n");
  EXPECT_TRUE(absl::StartsWith(SentencesOf("crash server at call 11 for 2s before 60s"),
                               "server, at its 11th call into the reactor, for 2s: "));
  EXPECT_TRUE(absl::StartsWith(SentencesOf("kill server at visit 3 of \"commit.before_reply\" for 2s before 60s"),
                               "server, when it is at \"commit.before_reply\" for the 3rd time, for 2s: "));
  EXPECT_TRUE(absl::StartsWith(SentencesOf("loss a b at packet 22 for 0.5s before 10s strength 1000000"),
                               "a and b, at the 22nd packet, for 0.5s, 100 %: "));
  EXPECT_TRUE(absl::StartsWith(SentencesOf("swizzle-clog a,b b,a from 1s to 9s"),
                               "a, b, healing in the order b, a, from 1s to 9s: "));
}

TEST(SentencesTest, TheRest) {
  EXPECT_EQ(SentencesOf("fail server at operation 17"), "The 17th operation of server fails.\n");
  EXPECT_EQ(SentencesOf("fail server from operation 17"), "The 17th operation of server, and each after it, fails.\n");
  EXPECT_EQ(SentencesOf("schedule fifo"), "Tasks go on in the order in which they become ready, as in production.\n");
  EXPECT_EQ(SentencesOf("schedule pos"), "Which of the ready tasks goes on is decided by the schedule pos.\n");
  EXPECT_EQ(SentencesOf("knob \"size\" 910"), "The knob \"size\" is 910.\n");
  EXPECT_EQ(SentencesOf("start server after 0.1s"), "server starts 0.1s late.\n");
  EXPECT_EQ(SentencesOf("clock server ahead 2s"), "The wall clock of server is 2s ahead.\n");
  EXPECT_EQ(SentencesOf("skip adder from 0 to 28\nskip adder 29\nskip other from 3 to 9"),
            "Of the operations of adder these are left out: 0 to 27, 29.\n"
            "Of the operations of other these are left out: 3 to 8.\n");
  EXPECT_EQ(SentencesOf("calm latency *\ncalm loss client/tcp/server#0"),
            "Not left to chance: latency, loss of client/tcp/server#0.\n");
  EXPECT_EQ(SentencesOf("calm latency * from 3\ncalm schedule * from 0 to 2"),
            "Not left to chance: latency number 3 and all behind it, schedule number 0 to 1.\n");
  EXPECT_EQ(SentencesOf("calm * *"),
            "Nothing else is left to chance: packets arrive in time and in order, and calls do all that they can.\n");
}

TEST(SentencesTest, WhereNearlyAllIsCalmTheRestIsNamed) {
  std::string calms;
  for (const sim::Choice fate : sim::kFates) {
    if (fate == sim::Choice::kLoss) continue;
    const bool latency = fate == sim::Choice::kLatency;
    absl::StrAppend(&calms, "calm ", sim::ChoiceName(fate), " *", latency ? " from 3" : "", "\n");
  }
  EXPECT_EQ(SentencesOf(calms), "All else that is left to chance: latency number 0 to 2, loss.\n");
}

TEST(SentencesTest, WhoseChanceIsLeftIsNamed) {
  std::string calms = "calm loss * but a/udp/b\ncalm loss a/udp/b from 0 to 7\n";
  for (const sim::Choice fate : sim::kFates) {
    if (fate != sim::Choice::kLoss) absl::StrAppend(&calms, "calm ", sim::ChoiceName(fate), " *\n");
  }
  EXPECT_EQ(SentencesOf(calms), "All else that is left to chance: loss of a/udp/b number 7 and all behind it.\n");
  EXPECT_EQ(SentencesOf("calm loss * but a/udp/b"), "Not left to chance: loss of all but a/udp/b.\n");
}

TEST(SentencesTest, OfTwoLinesThatLeaveSomeOutOnlyWhatBothLeaveOutIsLeft) {
  std::string others;
  for (const sim::Choice fate : sim::kFates) {
    if (fate != sim::Choice::kLoss) absl::StrAppend(&others, "calm ", sim::ChoiceName(fate), " *\n");
  }
  const absl::string_view both = "calm loss * but a/udp/b,b/udp/a\ncalm loss * but b/udp/a,c/udp/a\n";
  EXPECT_EQ(SentencesOf(absl::StrCat(both, others)), "All else that is left to chance: loss of b/udp/a.\n");
  EXPECT_EQ(SentencesOf(absl::StrCat("calm loss * but a/udp/b\ncalm loss * but b/udp/a\n", others)),
            "Nothing else is left to chance: packets arrive in time and in order, and calls do all that they can.\n");
}

TEST(SentencesTest, OfManyLinesWithNumbersThoseThatAreLeftAreNamed) {
  std::string others;
  for (const sim::Choice fate : sim::kFates) {
    if (fate != sim::Choice::kLoss) absl::StrAppend(&others, "calm ", sim::ChoiceName(fate), " *\n");
  }
  const auto left = [&](absl::string_view calms) { return SentencesOf(absl::StrCat(calms, others)); };
  EXPECT_EQ(left("calm loss * from 103\ncalm loss * from 0 to 102\n"),
            "All else that is left to chance: loss number 102.\n");
  EXPECT_EQ(left("calm loss * from 3 to 5\ncalm loss * from 4 to 9\n"),
            "All else that is left to chance: loss number 0 to 2, 9 and all behind it.\n");
  EXPECT_EQ(left("calm loss * from 3 to 5\ncalm loss a/udp/b from 4 to 9\n"),
            "All else that is left to chance: loss number 0 to 2, 5 and all behind it but of a/udp/b number 4 to 8.\n");
  EXPECT_EQ(left("calm loss * from 0 to 5\ncalm loss * from 2\n"),
            "Nothing else is left to chance: packets arrive in time and in order, and calls do all that they can.\n");
}

// Whatever kinds there will be.
TEST(SentencesTest, EveryKindOfFaultHasASentence) {
  for (size_t i = 0; i < sim::kFaultKindCount; ++i) {
    sim::FaultEntry entry;
    entry.kind = static_cast<sim::FaultKind>(i);
    entry.target = "a";
    entry.to = absl::Seconds(1);
    sim::Scenario scenario;
    scenario.faults.Add(entry);
    const std::string sentence = ScenarioSentences(scenario);
    EXPECT_TRUE(absl::EndsWith(sentence, absl::StrCat(": ", sim::FaultKindMeaning(entry.kind), ".\n"))) << sentence;
  }
}

}  // namespace
}  // namespace tandem::testing
