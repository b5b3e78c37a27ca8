// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_assertions.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

struct Finished {
  int exit_code = -1;
  std::string output;
};

Finished RunFake(const std::string& flags, const std::string& variables = "") {
  const std::string command = absl::StrCat(
      "env -u TEST_TARGET -u TEST_SHARD_INDEX -u TEST_TOTAL_SHARDS -u TEST_SHARD_STATUS_FILE -u XML_OUTPUT_FILE "
      "-u TEST_PREMATURE_EXIT_FILE -u TESTBRIDGE_TEST_ONLY -u TANDEM_SEEDS -u TEST_UNDECLARED_OUTPUTS_DIR ",
      variables, " ", getenv("TEST_SRCDIR"), "/", getenv("TEST_WORKSPACE"), "/testing/runner_assertions_fake ", flags,
      " 2>&1");
  Finished finished;
  FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return finished;
  char chunk[4096];
  size_t count;
  while ((count = fread(chunk, 1, sizeof(chunk), pipe)) > 0) finished.output.append(chunk, count);
  const int status = pclose(pipe);
  finished.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return finished;
}

TEST(RunnerAssertionsTest, ARunSaysInHowManySeedsEachHeld) {
  const Finished finished = RunFake("--seeds=200 --covers=testing");

  EXPECT_EQ(finished.exit_code, 0) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr("[sim] assertions:\n"));
  EXPECT_THAT(finished.output, ContainsRegex("sometimes testing/runner_assertions_fake.cc:[0-9]+ it is the third: in 2 "
                                             "of 200 seeds"));
  EXPECT_THAT(finished.output, HasSubstr("it is in the first half: in 100 of 200 seeds"));
  EXPECT_THAT(finished.output, HasSubstr("seeds are small: in 200 of 200 seeds"));
  EXPECT_THAT(finished.output, HasSubstr("the seventh comes here: in 2 of 200 seeds"));
  EXPECT_THAT(finished.output, HasSubstr("this is far away: in 0 of 200 seeds"));
}

TEST(RunnerAssertionsTest, WhatNoSeedReachesFailsTheRun) {
  const Finished finished = RunFake("--seed_start=10 --seeds=20 --default_seeds=20 --covers=testing");

  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.output,
              ContainsRegex("runner_assertions_fake.cc:[0-9]+: Failure\nFailed\nnot reached in 20 seeds:\n"));
  EXPECT_THAT(finished.output, HasSubstr("[sim] failed: no test, but what all of them together have to reach\n"));
  EXPECT_THAT(finished.output, HasSubstr("it is the third: seeds have come there, and in none of them it held\n"));
  EXPECT_THAT(finished.output, HasSubstr("the seventh comes here: no seed has come there\n"));
  EXPECT_THAT(finished.output, Not(HasSubstr("it is in the first half: seeds")));
  EXPECT_THAT(finished.output, Not(HasSubstr("this is far away: no seed")));
}

// A part of the seeds, or of the tests, or of the program, may reach less.
TEST(RunnerAssertionsTest, WhoAsksForLessIsNotTold) {
  const std::string few = "--seed_start=10 --seeds=20 ";
  EXPECT_EQ(RunFake(few + "--covers=testing").exit_code, 0) << "fewer seeds than the test has";
  const std::string all = few + "--default_seeds=20 ";
  EXPECT_EQ(RunFake(all + "--covers=testing --gtest_filter=Fake.*").exit_code, 0);
  EXPECT_EQ(RunFake(all + "--covers=testing/report").exit_code, 0) << "of another folder";
  EXPECT_EQ(RunFake(all).exit_code, 0);
  EXPECT_EQ(RunFake(all + "--covers=testing", "TEST_SHARD_INDEX=0 TEST_TOTAL_SHARDS=2").exit_code, 0);
  EXPECT_EQ(RunFake("--seed=10 --covers=testing").exit_code, 0);
  EXPECT_EQ(RunFake("--seed=10 --covers=testing --here").exit_code, 0);
  EXPECT_EQ(RunFake(all + "--covers=testing/report --covers=testing").exit_code, 1);
}

TEST(RunnerAssertionsTest, AFolderThatHasNoneFailsTheRunUnlessItIsTheTestsOwn) {
  const std::string misspelt = "--seeds=3 --covers=testin --covers=testing/report";
  const Finished finished = RunFake(misspelt, "TEST_TARGET=//testing/report:a_test");

  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.output, HasSubstr("--covers=testin: there is no TANDEM_SOMETIMES, TANDEM_REACHABLE or the like; "
                                         "there are some in: testing\n"));
  EXPECT_THAT(finished.output, Not(HasSubstr("--covers=testing/report")));
  EXPECT_THAT(RunFake(misspelt, "TEST_TARGET=//testing:a_test").output, HasSubstr("--covers=testing/report: there is"));
  EXPECT_EQ(RunFake("--seeds=3 --covers=testing", "TEST_TARGET=//testing/report:a_test").exit_code, 0);
  EXPECT_EQ(RunFake(misspelt).exit_code, 0) << "whose own folder nobody knows";
  EXPECT_EQ(RunFake("--seed=3 --covers=testin", "TEST_TARGET=//testing:a_test").exit_code, 0);
}

TEST(RunnerAssertionsTest, ASeedThatDiesHasReachedWhatItHasReached) {
  const Finished finished = RunFake("--seed_start=1090 --seeds=20 --covers=testing --shrink=0 --report=false");

  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.output, HasSubstr("SIGABRT"));
  EXPECT_THAT(finished.output, HasSubstr("it comes here before it dies: in 1 of 20 seeds"));
  EXPECT_THAT(finished.output, Not(HasSubstr("not reached in"))) << "what failed is more important";
}

TEST(RunnerAssertionsTest, ACheckerThatIsAskedHasToSeeSomething) {
  const std::string flags = "--seeds=10 --default_seeds=10 --seed_start=";
  const Finished nothing = RunFake(flags + "4000");
  EXPECT_EQ(nothing.exit_code, 1);
  EXPECT_THAT(nothing.output, HasSubstr("sees operations: seeds have come there, and in none of them it held\n"));
  EXPECT_EQ(RunFake(flags + "4005").exit_code, 0) << "one seed has";
  EXPECT_EQ(RunFake(flags + "10").exit_code, 0) << "nobody asks";
}

TEST(RunnerAssertionsTest, WhatDoesNotAlwaysHoldFailsItsSeedWithTheValues) {
  const Finished finished = RunFake("--seed_start=1995 --seeds=6 --shrink=0 --report=false");

  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.output, HasSubstr("6 seeds, 1 failed"));
  EXPECT_THAT(finished.output,
              ContainsRegex("testing/runner_assertions_fake.cc:[0-9]+: does not always hold: seeds are small "
                            "\\(options.seed=2000, last=0\\)"));
  EXPECT_THAT(finished.output, HasSubstr("seeds are small: in 6 of 6 seeds, and does not hold in 1 of them\n"));
}

TEST(RunnerAssertionsTest, WhatIsUnreachableIsToldOnce) {
  for (const char* flags : {"--seed=3005 --report=false", "--seed=3005 --here"}) {
    const Finished finished = RunFake(flags);
    EXPECT_EQ(finished.exit_code, 1);
    const size_t first = finished.output.find("is reachable: this is far away (i=0)");
    ASSERT_NE(first, std::string::npos) << finished.output;
    EXPECT_EQ(finished.output.find("is reachable: this is far away", first + 10), std::string::npos);
  }
}

}  // namespace
}  // namespace tandem::testing
