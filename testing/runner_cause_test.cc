// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_cause.h"

#include <cstddef>
#include <vector>

#include "gtest/gtest.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {
namespace {

TEST(RunnerCauseTest, InevitableIsWhatFailsInNineOfTenFromThenOn) {
  const std::vector<RecordedLikelihood> rises = {{1, 1, 0, 50}, {2, 4, 20, 50}, {7, 7, 45, 50}, {9, 9, 50, 50}};
  EXPECT_EQ(InevitableFrom(rises), 2u);
  const std::vector<RecordedLikelihood> falls_again = {{1, 1, 50, 50}, {4, 4, 44, 50}, {7, 7, 50, 50}};
  EXPECT_EQ(InevitableFrom(falls_again), 2u);
  const std::vector<RecordedLikelihood> never = {{1, 1, 50, 50}, {4, 4, 44, 50}};
  EXPECT_EQ(InevitableFrom(never), 2u);
  const std::vector<RecordedLikelihood> always = {{1, 1, 9, 10}, {4, 4, 10, 10}};
  EXPECT_EQ(InevitableFrom(always), 0u);
  EXPECT_EQ(InevitableFrom({}), 0u);
}

TEST(RunnerCauseTest, WhatFailsInAnotherWaySaysNothing) {
  EXPECT_EQ(InevitableFrom({{1, 1, 0, 50, 10}, {2, 2, 10, 50, 39}, {3, 3, 44, 50, 2}}), 1u);
  EXPECT_EQ(InevitableFrom({{1, 1, 9, 50, 41}, {2, 2, 50, 50}}), 1u) << "too few are left";
  EXPECT_EQ(InevitableFrom({{1, 1, 10, 50, 38}, {2, 2, 50, 50}}), 1u) << "of those that are left, too few";
  EXPECT_EQ(InevitableFrom({{1, 1, 0, 50, 50}}), 1u);
}

TEST(RunnerCauseTest, TheTextMarksTheMoment) {
  Report report;
  report.recording.events.resize(3);
  report.recording.events[1].time_ns = 1'500'000'000;
  report.recording.events[2].time_ns = 2'000'000'000;
  report.likelihood = {{0, 0, 2, 50}, {1, 2, 49, 50}};

  EXPECT_EQ(LikelihoodText(report),
            "--- how likely it was, had all been decided anew from then on (of 50 runs each):\n"
            "e0              0.000000000    4 %\n"
            "e1-e2           2.000000000   98 %  from here on inevitable\n");
  report.likelihood = {{0, 2, 25, 50, 25}};
  EXPECT_NE(LikelihoodText(report).find("2.000000000   50 %  from here on inevitable  (50 % in another way)\n"),
            std::string::npos);
  report.likelihood = {{0, 0, 50, 50}, {1, 2, 50, 50}};
  EXPECT_NE(LikelihoodText(report).find("0.000000000  100 %  from here on inevitable\n"), std::string::npos);
  report.recording.is_whole = false;
  EXPECT_NE(LikelihoodText(report).find("0.000000000  100 %  inevitable by then: what came before is not recorded\n"),
            std::string::npos);
  report.recording.is_whole = true;
  report.recording.hosts = {"server"};
  report.recording.events[2].host = 0;
  report.recording.events[2].kind = sim::TraceKind::kHostCrash;
  report.recording.events[2].verb = "crashes";
  report.likelihood = {{0, 0, 2, 50}, {1, 2, 49, 50}};
  EXPECT_NE(LikelihoodText(report).find("  98 %  from here on inevitable  server crashes\n"), std::string::npos)
      << LikelihoodText(report);
  report.likelihood.clear();
  EXPECT_EQ(LikelihoodText(report), "");
}

}  // namespace
}  // namespace tandem::testing
