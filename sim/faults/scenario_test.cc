// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/faults/scenario.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"

namespace tandem::sim {
namespace {

TEST(ScenarioTest, TextParsesBack) {
  const std::string text =
      "seed 4711\nschedule pct\ncrash a at call 37 for 2s before 60s\npartition a,b c from 1.2s to 3s\n"
      "calm latency a/tcp/b#1 from 3\n";
  const absl::StatusOr<Scenario> scenario = Scenario::Parse(text);
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  EXPECT_EQ(scenario->seed, 4711u);
  EXPECT_EQ(scenario->schedule, "pct");
  EXPECT_EQ(scenario->faults.entries().size(), 2u);
  EXPECT_EQ(scenario->calms.size(), 1u);
  EXPECT_EQ(scenario->ToString(), text);
}

TEST(ScenarioTest, RemarksAndEmptyLinesAreSkipped) {
  const absl::StatusOr<Scenario> scenario = Scenario::Parse(
      "# all\n\n  loss a b from 0s to 1s strength 5  # hit 3 times\ncalm loss a/tcp/b#1 # of the flow\n");
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  EXPECT_FALSE(scenario->seed.has_value());
  EXPECT_EQ(scenario->ToString(), "loss a b from 0s to 1s strength 5\ncalm loss a/tcp/b#1\n");
}

TEST(ScenarioTest, WrongLinesAreQuoted) {
  for (const auto& [line, why] : {std::pair<std::string, std::string>{"seed x", "not a seed"},
                                  {"calm lost", "nothing that is decided"},
                                  {"crush a from 0s to 1s", "no such kind of fault"},
                                  {"crash a at call 0 for 1s", "call N from 1"},
                                  {"crash a at packet 3 for 1s", "at call N from 1"},
                                  {"crash a at call 3", "for how long"},
                                  {"loss a b at packet 3 for 1s", "no strength (millionths)"},
                                  {"crash a at call 3 for 1s before x", "no latest time"}}) {
    const absl::Status status = Scenario::Parse("seed 1\n" + line).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << line;
    EXPECT_NE(status.message().find(line), std::string::npos) << status;
    EXPECT_NE(status.message().find(why), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace tandem::sim
