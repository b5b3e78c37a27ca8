// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/testing/runner_build.h"

namespace tandem::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

// This test's own variables must not reach the other binary.
constexpr char kWithoutVariablesOfBazel[] =
    "env -u TEST_TARGET -u TEST_SHARD_INDEX -u TEST_TOTAL_SHARDS -u TEST_SHARD_STATUS_FILE -u XML_OUTPUT_FILE -u "
    "TEST_PREMATURE_EXIT_FILE -u TESTBRIDGE_TEST_ONLY -u TANDEM_SEEDS ";

struct Finished {
  int exit_code = -1;
  std::string output;  // Both standard output and error.
};

// The command that runs one case of the fake binary. `variables` come before it, as in a shell.
std::string CommandOf(const std::string& name, const std::string& flags, const std::string& variables = "") {
  const char* runfiles = getenv("TEST_SRCDIR");
  const char* workspace = getenv("TEST_WORKSPACE");
  const std::string binary =
      runfiles == nullptr ? "testing/runner_fake" : absl::StrCat(runfiles, "/", workspace, "/testing/runner_fake");
  return absl::StrCat(kWithoutVariablesOfBazel, variables, " ", binary, " --gtest_filter=Fake.", name, " ", flags);
}

// Runs it. What is in `before` is executed first, and may redirect standard error elsewhere.
Finished RunCase(const std::string& name, const std::string& flags, const std::string& variables = "",
                 const std::string& before = "") {
  const std::string command = absl::StrCat(before, CommandOf(name, flags, variables), before.empty() ? " 2>&1" : "");
  Finished finished;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return finished;
  char chunk[4096];
  size_t count;
  while ((count = fread(chunk, 1, sizeof(chunk), pipe)) > 0) finished.output.append(chunk, count);
  const int status = pclose(pipe);
  finished.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return finished;
}

// The `seed S digest HEX` lines.
std::vector<std::string> DigestLines(absl::string_view output) {
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    if (absl::StartsWith(line, "seed ") && absl::StrContains(line, " digest ")) lines.emplace_back(line);
  }
  return lines;
}

std::string DigestOf(absl::string_view line) { return std::string(line.substr(line.rfind(' ') + 1)); }

bool AslrStaysOn(const Finished& finished) { return absl::StrContains(finished.output, "ASLR on"); }

// --- Seeds and shards -----------------------------------------------------------------------------------------------

TEST(RunnerTest, RunsTheSeedsAndSaysHowMany) {
  const Finished finished = RunCase("Passes", "--seeds=25");

  EXPECT_EQ(finished.exit_code, 0);
  EXPECT_THAT(finished.output, HasSubstr("[sim] Fake.Passes: 25 seeds, 0 failed"));
  EXPECT_THAT(finished.output, Not(HasSubstr("hello from")));
}

TEST(RunnerTest, LastOfRepeatedSeedsFlagsWinsAndTheVariableIsWeaker) {
  EXPECT_THAT(RunCase("Passes", "--seeds=25 --seeds=3").output, HasSubstr(": 3 seeds"));
  EXPECT_THAT(RunCase("Passes", "--default_seeds=9", "TANDEM_SEEDS=4").output, HasSubstr(": 4 seeds"));
  EXPECT_THAT(RunCase("Passes", "--seeds=5 --default_seeds=9", "TANDEM_SEEDS=4").output, HasSubstr(": 5 seeds"));
}

TEST(RunnerTest, SingleSeedShowsWhatItPrints) {
  const Finished finished = RunCase("Passes", "--seed=42 --print_digest --trace=-");

  EXPECT_EQ(finished.exit_code, 0);
  EXPECT_THAT(finished.output, HasSubstr("[sim] seed 42"));
  EXPECT_THAT(finished.output, HasSubstr("hello from seed 42"));
  EXPECT_THAT(finished.output, HasSubstr("trace of seed 42"));
  EXPECT_EQ(DigestLines(finished.output).size(), 1u);
  EXPECT_EQ(DigestOf(DigestLines(finished.output)[0]).size(), 32u);
}

TEST(RunnerTest, PrintsDigestsInTheOrderOfTheSeeds) {
  const std::vector<std::string> lines = DigestLines(RunCase("Passes", "--seeds=40 --jobs=8 --print_digest").output);

  ASSERT_EQ(lines.size(), 40u);
  for (size_t i = 0; i < lines.size(); ++i) EXPECT_TRUE(absl::StartsWith(lines[i], absl::StrCat("seed ", i + 1, " ")));
}

TEST(RunnerTest, ShardsTogetherRunEverySeedOnce) {
  std::multiset<std::string> seeds;
  for (int shard = 0; shard < 4; ++shard) {
    const std::string status_file = absl::StrCat(::testing::TempDir(), "/shard_status_", shard);
    const Finished finished =
        RunCase("Passes", "--seeds=1000 --seed_start=7 --print_digest",
                absl::StrCat("TEST_SHARD_INDEX=", shard, " TEST_TOTAL_SHARDS=4 GTEST_SHARD_INDEX=", shard,
                             " GTEST_TOTAL_SHARDS=4 TEST_SHARD_STATUS_FILE=", status_file));
    EXPECT_EQ(finished.exit_code, 0);
    EXPECT_EQ(access(status_file.c_str(), F_OK), 0);
    for (const std::string& line : DigestLines(finished.output)) {
      seeds.insert(std::vector<std::string>(absl::StrSplit(line, ' '))[1]);
    }
  }

  std::multiset<std::string> expected;
  for (int seed = 7; seed < 1007; ++seed) expected.insert(absl::StrCat(seed));
  EXPECT_EQ(seeds, expected);
}

TEST(RunnerTest, SingleSeedRunsOnOneShardOnly) {
  const std::string shards = "TEST_TOTAL_SHARDS=2 TEST_SHARD_INDEX=";

  EXPECT_THAT(RunCase("Passes", "--seed=9", shards + "0").output, HasSubstr(": 1 seed,"));
  EXPECT_THAT(RunCase("Passes", "--seed=9", shards + "1").output, HasSubstr(": 0 seeds"));
}

// --- Determinism ----------------------------------------------------------------------------------------------------

TEST(RunnerTest, SeedAloneHasTheDigestItHasAsThe500th) {
  const Finished many = RunCase("Passes", "--seeds=500 --print_digest");
  if (AslrStaysOn(many)) GTEST_SKIP() << "personality() is refused here";
  const std::vector<std::string> lines = DigestLines(many.output);
  ASSERT_EQ(lines.size(), 500u);

  EXPECT_EQ(DigestLines(RunCase("Passes", "--seed=500 --print_digest").output)[0], lines[499]);
  EXPECT_EQ(DigestLines(RunCase("Passes", "--seed=250 --print_digest --jobs=3").output)[0], lines[249]);
}

TEST(RunnerTest, AddressesAreTheSameInEverySeedAndProcess) {
  const Finished first = RunCase("DigestsAddressesOnly", "--seeds=200 --jobs=5 --print_digest");
  if (AslrStaysOn(first)) GTEST_SKIP() << "personality() is refused here";
  std::set<std::string> digests;
  for (const std::string& line : DigestLines(first.output)) digests.insert(DigestOf(line));

  for (const std::string variables : {"OUTSIDE=1", "-i", "A_LONG_ONE=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                                      "TEST_TMPDIR=/a/rather/long/directory/name"}) {
    for (const std::string& line :
         DigestLines(RunCase("DigestsAddressesOnly", "--seed=9 --print_digest --max_events=3", variables).output)) {
      digests.insert(DigestOf(line));
    }
  }

  EXPECT_EQ(digests.size(), 1u);
}

TEST(RunnerTest, AslrFlagLeavesAddressesRandom) {
  std::set<std::string> digests;
  for (int i = 0; i < 4; ++i) {
    const Finished finished = RunCase("DigestsAddressesOnly", "--seed=1 --aslr --print_digest");
    EXPECT_THAT(finished.output, HasSubstr("ASLR on"));
    for (const std::string& line : DigestLines(finished.output)) digests.insert(DigestOf(line));
  }

  EXPECT_GT(digests.size(), 1u);
}

TEST(RunnerTest, CheckDeterminismPassesWhatIsDeterministic) {
  const Finished finished = RunCase("Passes", "--seeds=20 --check_determinism");
  if (AslrStaysOn(finished)) GTEST_SKIP() << "personality() is refused here";

  EXPECT_EQ(finished.exit_code, 0) << finished.output;
}

TEST(RunnerTest, ATwentiethOfTheSeedsRunsTwice) {
  EXPECT_THAT(RunCase("Passes", "--seeds=41").output, HasSubstr("41 seeds, 0 failed, 3 run twice"));
  EXPECT_THAT(RunCase("Passes", "--seeds=41 --check_determinism=none").output, Not(HasSubstr("twice")));
  EXPECT_THAT(RunCase("Passes", "--seeds=41 --check_determinism=all").output, HasSubstr("41 run twice"));
  EXPECT_THAT(RunCase("Passes", "--seed=41").output, Not(HasSubstr("twice")));
}

TEST(RunnerTest, CheckDeterminismFindsOrderByAddress) {
  const Finished finished = RunCase("Passes", "--seeds=5 --check_determinism --aslr");

  EXPECT_EQ(finished.exit_code, 1) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr("two runs of the seed differ"));
}

TEST(RunnerTest, CheckDeterminismShowsTheFirstDivergence) {
  const Finished finished = RunCase("DependsOnTheMachine", "--seeds=2 --check_determinism");

  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.output, HasSubstr("the traces part at line 3:\nfirst\nsecond\nrun 1: third "));
  EXPECT_THAT(finished.output, HasSubstr("\nrun 2: third "));
  EXPECT_THAT(finished.output, HasSubstr("2 seeds, 2 failed"));
}

TEST(RunnerTest, NothingOfTheMachineReachesASeed) {
  const Finished finished = RunCase("ClocksAndEnvironmentAreFixed", "--seeds=3", "OUTSIDE=1");

  EXPECT_EQ(finished.exit_code, 0) << finished.output;
}

// --- Failures -------------------------------------------------------------------------------------------------------

TEST(RunnerTest, FailedExpectationFailsItsSeedOnly) {
  const Finished finished = RunCase("FailsExpectationsOnMultiplesOf3", "--seeds=8");

  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.output, HasSubstr("seed 3 failed: "));
  EXPECT_THAT(finished.output, HasSubstr("as it should"));
  EXPECT_THAT(finished.output, HasSubstr("8 seeds, 2 failed"));
}

TEST(RunnerTest, StopsAfterTenFailuresUnlessToldToGoOn) {
  const std::string few = RunCase("FailsExpectationsOnMultiplesOf3", "--seeds=300 --jobs=2").output;
  const std::string all = RunCase("FailsExpectationsOnMultiplesOf3", "--seeds=300 --jobs=2 --keep_going").output;

  // The second job may be in the middle of an eleventh.
  EXPECT_THAT(few, ContainsRegex(" not run after 1[01] failures"));
  EXPECT_THAT(all, HasSubstr("300 seeds, 100 failed"));
}

TEST(RunnerTest, ShowsAllAboutASeedThatFailsWithoutFaultsAndALineAboutTheOthers) {
  const std::string output = RunCase("FailsWithAndWithoutFaults", "--seeds=7").output;

  EXPECT_THAT(output, HasSubstr("7 seeds, 5 failed"));
  EXPECT_THAT(output,
              HasSubstr("seed 4 failed: no answer\nmore about seed 4\n--- what it printed:\n0 faults of seed 4\n"));
  for (const std::string seed : {"3", "5", "6", "7"}) {
    EXPECT_THAT(output, HasSubstr(absl::StrCat("seed ", seed, " failed: no answer\nreplay: ")));
  }
  EXPECT_THAT(output, Not(HasSubstr("5 faults of seed")));
  EXPECT_LT(output.find("seed 7 failed: "), output.find("seed 4 failed: no answer"));
}

TEST(RunnerTest, ShowsAllAboutTheSmallestSeedWhereEachHasFaults) {
  const std::string output = RunCase("FailsWithAndWithoutFaults", "--seeds=1 --seed_start=3").output;

  EXPECT_THAT(output, HasSubstr("more about seed 3\n--- what it printed:\n5 faults of seed 3\n"));
}

TEST(RunnerTest, ResultOfTheWorldFailsTheSeed) {
  const Finished finished = RunCase("ReportsFailureOnSeed2", "--seeds=3");

  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.output, HasSubstr("seed 2 failed: the world says no"));
}

TEST(RunnerTest, CrashFailsItsSeedAndShowsWhatItPrinted) {
  const Finished finished = RunCase("SegfaultsOnSeed2", "--seeds=5");

  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.output, HasSubstr("said before the crash"));
  EXPECT_THAT(finished.output, HasSubstr("last words"));
  EXPECT_THAT(finished.output, HasSubstr(kSanitized ? "seed 2 failed: " : "ended by SIGSEGV"));
  EXPECT_THAT(finished.output, HasSubstr("5 seeds, 1 failed"));
}

TEST(RunnerTest, AbortFailsItsSeed) {
  const Finished finished = RunCase("AbortsOnSeed2", "--seeds=5");

  EXPECT_THAT(finished.output, HasSubstr("ended by SIGABRT"));
  EXPECT_THAT(finished.output, HasSubstr("5 seeds, 1 failed"));
}

TEST(RunnerTest, ExitFailsItsSeedWhateverTheStatus) {
  const Finished finished = RunCase("ExitsOnSeed2", "--seeds=5");

  EXPECT_THAT(finished.output, HasSubstr("seed 2 failed: exited before the test's end"));
  EXPECT_THAT(finished.output, HasSubstr("seed 3 failed: exited with status 7"));
  EXPECT_THAT(finished.output, HasSubstr("5 seeds, 2 failed"));
}

// All seeds are children of the zygote and die with it.
TEST(RunnerTest, KillingTheZygoteFailsItsSeedOnly) {
  for (const std::string jobs : {"1", "2", "8"}) {
    const Finished finished = RunCase("KillsItsZygoteOnMultiplesOf3", absl::StrCat("--seeds=20 --jobs=", jobs));

    EXPECT_EQ(finished.exit_code, 1);
    for (const std::string seed : {"3", "6", "9", "12", "15", "18"}) {
      EXPECT_THAT(finished.output,
                  HasSubstr(absl::StrCat("seed ", seed, " failed: the zygote process ended by SIGKILL")));
    }
    EXPECT_THAT(finished.output, HasSubstr("20 seeds, 6 failed"));
  }
}

TEST(RunnerTest, HangFailsItsSeedAfterTheWallLimit) {
  const Finished finished = RunCase("HangsOnSeed2", "--seeds=5 --wall_limit_s=3");

  EXPECT_THAT(finished.output, HasSubstr("seed 2 failed: no end after 3000 ms"));
  EXPECT_THAT(finished.output, HasSubstr("5 seeds, 1 failed"));
}

TEST(RunnerTest, EndlessOutputIsCutAndDoesNotStopTheOthers) {
  const Finished finished = RunCase("PrintsWithoutEndOnSeed2", "--seeds=5 --wall_limit_s=3");

  EXPECT_THAT(finished.output, HasSubstr("bytes left out"));
  EXPECT_THAT(finished.output, HasSubstr("5 seeds, 1 failed"));
  EXPECT_LT(finished.output.size(), 200'000u);
}

TEST(RunnerTest, LeakFailsItsSeed) {
  if (!kAddressSanitizer) GTEST_SKIP() << "needs AddressSanitizer";
  const Finished finished = RunCase("LeaksOnSeed2", "--seeds=5");

  EXPECT_THAT(finished.output, HasSubstr("seed 2 failed: memory leaked"));
  EXPECT_THAT(finished.output, HasSubstr("5 seeds, 1 failed"));
}

TEST(RunnerTest, SkipsWhenEverySeedSkips) {
  const Finished finished = RunCase("Skips", "--seeds=3");

  EXPECT_EQ(finished.exit_code, 0);
  EXPECT_THAT(finished.output, HasSubstr("this kernel cannot"));
  EXPECT_THAT(finished.output, HasSubstr("3 seeds, 0 failed, 3 skipped"));
}

// --- The replay line and flags --------------------------------------------------------------------------------------

TEST(RunnerTest, ReplayLineNamesTargetConfigTestAndSeed) {
  const Finished finished = RunCase("ReportsFailureOnSeed2", "--seeds=3 --max_events=77", "TEST_TARGET=//some:target");

  EXPECT_THAT(finished.output, HasSubstr(absl::StrCat("replay: bazel test //some:target", BuildConfigFlags(),
                                                      " --test_filter=Fake.ReportsFailureOnSeed2 --test_arg=--seed=2 "
                                                      "--test_arg=--max_events=77\n")));
}

TEST(RunnerTest, ReplayLineOutsideBazelReproducesTheFailure) {
  const Finished finished = RunCase("ReportsFailureOnSeed2", "--seeds=3");
  const size_t start = finished.output.find("replay: ");
  ASSERT_NE(start, std::string::npos);
  const std::string command = finished.output.substr(start + 8, finished.output.find('\n', start) - start - 8);

  EXPECT_THAT(command, HasSubstr(" --gtest_filter=Fake.ReportsFailureOnSeed2 --seed=2"));
  FILE* pipe = popen((kWithoutVariablesOfBazel + command + " > /dev/null 2>&1").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  EXPECT_EQ(WEXITSTATUS(pclose(pipe)), 1);
}

// --- Where seeds come from ------------------------------------------------------------------------------------------

TEST(RunnerTest, SeedsComeFromATextAndTheNumberIsSaid) {
  const Finished finished = RunCase("Passes", "--seeds_from=6a5732e --seeds=2 --print_digest");
  const std::vector<std::string> lines = DigestLines(finished.output);

  EXPECT_EQ(finished.exit_code, 0);
  ASSERT_EQ(lines.size(), 2u);
  const std::string first = std::vector<std::string>(absl::StrSplit(lines[0], ' '))[1];
  EXPECT_THAT(finished.output, HasSubstr(absl::StrCat("[sim] seeds from 6a5732e: --seed_start=", first, "\n")));
  EXPECT_EQ(DigestLines(RunCase("Passes", absl::StrCat("--seeds=2 --print_digest --seed_start=", first)).output),
            lines);
  EXPECT_NE(DigestLines(RunCase("Passes", "--seeds_from=6a5732f --seeds=2 --print_digest").output), lines);
}

TEST(RunnerTest, SeedsComeFromTheDateOrANumber) {
  EXPECT_THAT(RunCase("Passes", "--seeds_from=date --seeds=2").output,
              ContainsRegex("seeds from 20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]: --seed_start=[0-9]+\n"));
  EXPECT_THAT(RunCase("Passes", "--seeds_from=40 --seeds=2 --print_digest").output, HasSubstr("seed 40 digest"));
  EXPECT_EQ(RunCase("Passes", "--seeds_from=40 --seed=2").exit_code, 2);
  EXPECT_THAT(RunCase("Passes", "--seeds_from=40 --seed_start=2").output, HasSubstr("exclude each other"));
}

// --- Regressions ---

std::string WriteScenario(const std::string& name, const std::string& text) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/", name);
  FILE* file = fopen(path.c_str(), "w");
  EXPECT_NE(file, nullptr);
  fputs(text.c_str(), file);
  fclose(file);
  return path;
}

TEST(RunnerTest, RegressionsRunBeforeTheSeeds) {
  const std::string file = WriteScenario("ours.scenario", "seed 7\ntest Fake.FailsUnderAScenario\n");
  const std::string other = WriteScenario("other.scenario", "seed 8\ntest Fake.Passes\n");
  const std::string flags =
      absl::StrCat("--seeds=3 --check_determinism=none --regression=", other, " --regression=", file);
  const Finished finished = RunCase("FailsUnderAScenario", flags);

  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.output, HasSubstr(absl::StrCat("the regression ", file, " (seed 7) failed: ")));
  EXPECT_THAT(finished.output, HasSubstr("Fake.FailsUnderAScenario under seed 7\ntest Fake.FailsUnderAScenario"));
  EXPECT_THAT(finished.output, HasSubstr(absl::StrCat("--gtest_filter=Fake.FailsUnderAScenario --scenario=", file)));
  EXPECT_THAT(finished.output, HasSubstr("3 seeds, 0 failed; 1 regression"));
  EXPECT_THAT(finished.output, Not(HasSubstr("seed 8")));
  EXPECT_EQ(RunCase("FailsUnderAScenario", "--seeds=3").exit_code, 0);
  EXPECT_EQ(RunCase("FailsUnderAScenario", flags, "TEST_SHARD_INDEX=1 TEST_TOTAL_SHARDS=2").exit_code, 0);
}

TEST(RunnerTest, AScenarioOfATestThatIsLeftOutIsAnError) {
  const std::string file = WriteScenario("another.scenario", "seed 8\ntest Fake.Passes\n");
  const Finished finished = RunCase("FailsUnderAScenario", absl::StrCat("--scenario=", file));

  EXPECT_EQ(finished.exit_code, 2);
  EXPECT_THAT(finished.output, HasSubstr("the scenario is of Fake.Passes"));
  EXPECT_THAT(finished.output, HasSubstr(absl::StrCat("--scenario=", file,
                                                      ": it is of Fake.Passes, which has not run: "
                                                      "--gtest_filter=Fake.FailsUnderAScenario leaves it out\n")));
  EXPECT_EQ(RunCase("*", absl::StrCat("--scenario=", file)).exit_code, 0) << "others are left out";
}

TEST(RunnerTest, AScenarioIsASeed) {
  const std::string flag = absl::StrCat("--scenario=", WriteScenario("alone.scenario", "seed 8\n"));
  const std::string replay = "replay: .*--gtest_filter=Fake.FailsUnderAScenario ";

  EXPECT_THAT(RunCase("FailsUnderAScenario", flag).output, ContainsRegex(absl::StrCat(replay, flag, "\n")));
  EXPECT_THAT(RunCase("FailsUnderAScenario", absl::StrCat(flag, " --seed=9")).output,
              ContainsRegex(absl::StrCat(replay, flag, " --seed=9\n")));
  EXPECT_THAT(RunCase("Passes", absl::StrCat(flag, " --trace=-")).output, HasSubstr("trace of seed 8"));
  EXPECT_THAT(RunCase("FailsUnderAScenario", absl::StrCat(flag, " --here")).output, HasSubstr("under seed 8"));
  EXPECT_THAT(RunCase("Passes", absl::StrCat(flag, " --seeds_from=date")).output, HasSubstr("exclude each other"));
}

TEST(RunnerTest, SaysWhichSeedIsTakenWhereTheScenarioHasAnother) {
  const std::string flag = absl::StrCat("--scenario=", WriteScenario("seeds.scenario", "seed 295\n"));

  EXPECT_THAT(RunCase("Passes", absl::StrCat(flag, " --seed=1")).output,
              HasSubstr("--seed=1 instead of the scenario's 295\n"));
  for (const char* seed : {"", " --seed=295"}) {
    EXPECT_THAT(RunCase("Passes", flag + seed).output, Not(HasSubstr("instead of"))) << seed;
  }
}

// --- How long a run may take that is shrunk

TEST(RunnerTest, WhatFailsSlowlyIsShrunkAsWell) {
  const Finished finished = RunCase("FailsSlowlyOnSeed2", "--seeds=3 --report=false");
  EXPECT_THAT(finished.output, HasSubstr("--- this much of its scenario fails in the same way, after "));
  EXPECT_THAT(finished.output, HasSubstr("seed 2  # needed\n"));
}

TEST(RunnerTest, ARunThatIsStoppedIsNoOtherFailure) {
  const Finished finished = RunCase("HangsUnderItsScenario", "--seeds=3 --report=false");
  EXPECT_THAT(
      finished.output,
      ContainsRegex("not shrunk: a run with the lines of its scenario alone has no end after [0-9]+ ms of real"));
}

// --- Where a run writes to

bool IsThere(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

TEST(RunnerTargetTest, WhatCannotBeWrittenIsToldBeforeTheFirstSeed) {
  const std::string file = WriteScenario("a_file", "");
  for (const std::string& flag :
       {absl::StrCat("--out=", file), absl::StrCat("--out=", file, "/a/b"), absl::StrCat("--pin=", file, "/a"),
        std::string("--pin=/proc/none/a"), absl::StrCat("--trace=", file, "/a"), std::string("--trace=/proc/none")}) {
    const Finished finished = RunCase("Passes", absl::StrCat("--seed=1 ", flag));
    EXPECT_EQ(finished.exit_code, 2) << flag;
    EXPECT_THAT(finished.output, ContainsRegex(absl::StrCat("^", flag, ": cannot be written: [A-Z][a-z ]+\n$")));
  }
  EXPECT_EQ(RunCase("Passes", "--seed=1 --trace=/dev/null").exit_code, 0);
}

TEST(RunnerTargetTest, AFileOfPinIsNewAndOnlyWrittenForAFailure) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/pins");
  const std::string pin = absl::StrCat(folder, "/deep/a.scenario");
  const Finished passes = RunCase("Passes", absl::StrCat("--seeds=3 --pin=", pin));
  EXPECT_EQ(passes.exit_code, 0);
  EXPECT_THAT(passes.output, HasSubstr(absl::StrCat("nothing is written to ", pin, ": no seed failed\n")));
  EXPECT_FALSE(IsThere(pin));

  const Finished fails = RunCase("ReportsFailureOnSeed2", absl::StrCat("--seeds=3 --pin=", pin));
  EXPECT_EQ(fails.exit_code, 1);
  EXPECT_THAT(fails.output, HasSubstr(": there is no scenario\n"));
  EXPECT_THAT(fails.output, Not(HasSubstr("no seed failed")));

  const std::string old = WriteScenario("old.scenario", "seed 7\n");
  const Finished again = RunCase("ReportsFailureOnSeed2", absl::StrCat("--seeds=3 --pin=", old));
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_EQ(again.output, absl::StrCat("--pin=", old, ": it is there already: remove it, or give another name\n"));
}

TEST(RunnerTargetTest, ATraceThatIsThereIsNotEmptiedByAWrongCommand) {
  const std::string trace = WriteScenario("trace", "an old trace");

  EXPECT_EQ(RunCase("Pases", absl::StrCat("--seed=1 --trace=", trace)).exit_code, 2);
  struct stat info{};
  ASSERT_EQ(stat(trace.c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 12);
}

// As after a change of the test's name.
TEST(RunnerTest, AScenarioOfATestThatIsNotThereIsAnError) {
  const std::string file = WriteScenario("gone.scenario", "seed 8\ntest Fake.Gone\n");
  for (const char* flag : {"--scenario=", "--regression="}) {
    const Finished finished = RunCase("Passes", absl::StrCat("--seeds=1 ", flag, file));
    EXPECT_EQ(finished.exit_code, 2);
    EXPECT_THAT(finished.output, HasSubstr(absl::StrCat(flag, file, ": there is no test Fake.Gone; there are:\n")));
  }
}

TEST(RunnerTest, ARegressionThatIsNoneIsAnError) {
  const auto output_of = [](const std::string& file) {
    const Finished finished = RunCase("Passes", absl::StrCat("--seeds=1 --regression=", file));
    EXPECT_EQ(finished.exit_code, 2);
    return finished.output;
  };
  EXPECT_THAT(output_of("/does/not/exist"), HasSubstr("--regression=/does/not/exist: cannot be read"));
  EXPECT_THAT(output_of("/"), HasSubstr("--regression=/: cannot be read"));
  EXPECT_THAT(output_of(WriteScenario("seedless.scenario", "schedule pct\n")), HasSubstr("it has no seed line"));
  EXPECT_THAT(output_of(WriteScenario("wrong.scenario", "seed x\n")),
              HasSubstr("wrong.scenario: \"seed x\": not a seed"));
}

// --- What a run says about all of its seeds
// ---------------------------------------------------------------------------

TEST(RunnerTest, TheTableOfFaultsIsPrintedAfterAnEarlyStop) {
  for (const char* flags : {"--seeds=1000", "--seeds=1000 --fail_fast"}) {
    const Finished finished = RunCase("FailsWithFaultCounts", flags);
    EXPECT_EQ(finished.exit_code, 1);
    EXPECT_THAT(finished.output, HasSubstr(" not run after ")) << flags;
    EXPECT_THAT(finished.output, ContainsRegex("faults:\n.*[0-9]+ entries, hit in [0-9]+ of [0-9]+ seeds")) << flags;
  }
}

TEST(RunnerTest, SaysWhenTheLastNewHandOffWasSeenAndHowManyOperationsWereSwept) {
  const Finished finished = RunCase("ShowsFiveHandOffsAndSweeps", "--seeds=30 --jobs=4 --check_determinism=none");

  EXPECT_THAT(finished.output, HasSubstr("[sim] hand-offs between tasks: 6, the last new one at seed 5\n"));
  EXPECT_THAT(finished.output, HasSubstr("30 seeds, 0 failed, each of 30 operations failed in turn"));
}

TEST(RunnerTest, UnknownFlagIsAnErrorThatListsTheFlags) {
  const Finished finished = RunCase("Passes", "--sedes=3");

  EXPECT_EQ(finished.exit_code, 2);
  EXPECT_THAT(finished.output, HasSubstr("unknown flag --sedes=3"));
  EXPECT_THAT(finished.output, HasSubstr("--check_determinism"));
}

TEST(RunnerTest, BadValuesAreErrors) {
  EXPECT_THAT(RunCase("Passes", "--seeds=many").output, HasSubstr("--seeds=many: expected a whole number"));
  EXPECT_THAT(RunCase("Passes", "--seed").output, HasSubstr("--seed needs a value"));
  EXPECT_THAT(RunCase("Passes", "--scenario=").output, HasSubstr("--scenario needs a value"));
  EXPECT_THAT(RunCase("Passes", "--trace=-").output, HasSubstr("--trace needs --seed"));
  EXPECT_EQ(RunCase("Passes", "--seeds=1", "TANDEM_SEEDS=x").exit_code, 2);
  EXPECT_THAT(RunCase("Passes", "--seeds=99999999999999").output, HasSubstr("a whole number from 0 to 10000000"));
  EXPECT_THAT(RunCase("Passes", "--max_events=0").output, HasSubstr("a whole number from 1 to 2^64-1"));
  EXPECT_THAT(RunCase("Passes", "--wall_limit_s=99999999999").output, HasSubstr("a whole number from 1 to 1000000"));
  EXPECT_THAT(RunCase("Passes", "--jobs=0").output, HasSubstr("a whole number from 1 to 64"));
  EXPECT_THAT(RunCase("Passes", "--check_determinism=often").output, HasSubstr("expected none, some or all"));
}

TEST(RunnerTest, AFilterThatSelectsNothingIsAnErrorThatListsTheTests) {
  const Finished finished = RunCase("Pases", "--seed=1");

  EXPECT_EQ(finished.exit_code, 2);
  EXPECT_THAT(finished.output, HasSubstr("no test is called Fake.Pases; there are:\n"));
  EXPECT_THAT(finished.output, HasSubstr("\n  Fake.Passes\n"));
  EXPECT_EQ(RunCase("Passes", "--gtest_filter= --seed=1").exit_code, 2);
}

TEST(RunnerTest, ABazelFilterThatSelectsNothingIsNoError) {
  const Finished finished = RunCase("Pases", "--seed=1", "TESTBRIDGE_TEST_ONLY=Fake.Pases");

  EXPECT_EQ(finished.exit_code, 0);
  EXPECT_THAT(finished.output, HasSubstr("no test is called Fake.Pases"));
}

TEST(RunnerTest, ClosedStandardDescriptorsAndALowLimitDoNoHarm) {
  for (const char* before : {"exec <&- 2>&-; ", "exec >&-; ", "exec <&- >&- 2>&-; ", "ulimit -S -n 20; "}) {
    EXPECT_EQ(RunCase("Passes", "--seeds=25", "", before).exit_code, 0) << before;
  }
  EXPECT_EQ(RunCase("Passes", "--seeds=1", "", "ulimit -n 20; ").exit_code, 2);
}

// --- What is printed
// --------------------------------------------------------------------------------------------------

// A run of 200 seeds whose output is `fd`.
pid_t StartWithOutput(int fd) {
  const std::string command = absl::StrCat("exec ", CommandOf("Passes", "--seeds=200 --print_digest"));
  const pid_t child = fork();
  if (child != 0) return child;
  dup2(fd, STDOUT_FILENO);
  execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
  _exit(127);
}

int ExitCodeOf(pid_t child) {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool HasEnded(pid_t child) {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == child;
}

// Reads all from the pipe or socket `ends`, into which `child` writes, but not before it is full and `child` had the
// time to write, or lose, everything else. It cannot end by then unless it loses something.
std::string ReadOnceFull(pid_t child, const int (&ends)[2]) {
  pollfd room{ends[1], POLLOUT, 0};
  while (poll(&room, 1, 0) > 0 && !HasEnded(child)) sched_yield();
  for (int i = 0; i < 100 && !HasEnded(child); ++i) poll(nullptr, 0, 10);
  close(ends[1]);
  std::string output;
  char chunk[512];
  ssize_t count;
  while ((count = read(ends[0], chunk, sizeof(chunk))) > 0) output.append(chunk, static_cast<size_t>(count));
  close(ends[0]);
  return output;
}

void ExpectWhole(const std::string& output) {
  EXPECT_EQ(DigestLines(output).size(), 200u);
  EXPECT_THAT(output, HasSubstr("[  PASSED  ] 1 test."));
}

TEST(RunnerOutputTest, AllOfItArrivesInASlowNonBlockingPipe) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  ASSERT_GT(fcntl(ends[1], F_SETPIPE_SZ, 4096), 0);
  ASSERT_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);

  const pid_t child = StartWithOutput(ends[1]);
  const std::string output = ReadOnceFull(child, ends);

  EXPECT_EQ(ExitCodeOf(child), 0);
  ExpectWhole(output);
}

TEST(RunnerOutputTest, AllOfItArrivesInASlowNonBlockingSocket) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const int smallest = 1;
  ASSERT_EQ(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest)), 0);
  ASSERT_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);

  const pid_t child = StartWithOutput(ends[1]);
  const std::string output = ReadOnceFull(child, ends);

  EXPECT_EQ(ExitCodeOf(child), 0);
  ExpectWhole(output);
}

TEST(RunnerOutputTest, WhatCannotBePrintedIsAFailure) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  close(ends[0]);
  const pid_t child = StartWithOutput(ends[1]);
  close(ends[1]);

  EXPECT_EQ(ExitCodeOf(child), 1);
  const Finished full = RunCase("Passes", "--seeds=1", "", "exec 2>&1 >/dev/full; ");
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.output, HasSubstr("cannot write to standard output: No space left on device"));
}

// --- Signals
// ----------------------------------------------------------------------------------------------------------

// A case that runs, in a process group of its own.
class Running {
 public:
  Running(const std::string& name, const std::string& flags) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const std::string command = absl::StrCat("exec ", CommandOf(name, flags), " 2>&1");
    process_ = fork();
    if (process_ == 0) {
      setpgid(0, 0);
      dup2(ends[1], STDOUT_FILENO);
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(127);
    }
    setpgid(process_, process_);
    close(ends[1]);
    output_fd_ = ends[0];
  }
  ~Running() { close(output_fd_); }

  pid_t process() const { return process_; }
  const std::string& output() const { return output_; }

  // Reads until the output has `text`, or ends.
  void ReadUntil(absl::string_view text) {
    char chunk[512];
    ssize_t count;
    while (!absl::StrContains(output_, text) && (count = read(output_fd_, chunk, sizeof(chunk))) > 0) {
      output_.append(chunk, static_cast<size_t>(count));
    }
  }

  // Reads the rest; returns the wait status.
  int Finish() {
    ReadUntil("a text that is nowhere in it");
    int status = 0;
    EXPECT_EQ(waitpid(process_, &status, 0), process_);
    return status;
  }

 private:
  pid_t process_ = -1;
  int output_fd_ = -1;
  std::string output_;
};

TEST(RunnerSignalTest, TheFirstSignalReportsWhatHasFailedSoFar) {
  for (const auto& [signal_number, name] : {std::pair(SIGINT, "SIGINT"), std::pair(SIGTERM, "SIGTERM")}) {
    for (const bool group : {false, true}) {  // As kill does, and as a terminal or Bazel does.
      SCOPED_TRACE(absl::StrCat(name, group ? " to all" : ""));
      const std::string folder = absl::StrCat(::testing::TempDir(), "/", name, group ? "-all" : "");
      Running running("*GoesOn",
                      absl::StrCat("--seeds=50 --jobs=", group ? 1 : 3, " --pin=", folder, "/pinned --out=", folder));
      running.ReadUntil("seed 2 failed");
      kill(group ? -running.process() : running.process(), signal_number);
      const int status = running.Finish();

      EXPECT_TRUE(WIFEXITED(status));
      EXPECT_EQ(WEXITSTATUS(status), 128 + signal_number);
      EXPECT_THAT(running.output(), HasSubstr("seed 2 failed: the world says no\n"));
      EXPECT_THAT(running.output(), ContainsRegex("replay: .*--seed=2\n"));
      EXPECT_THAT(running.output(), HasSubstr(absl::StrCat("; stopped by ", name, " after ")));
      EXPECT_THAT(running.output(), HasSubstr(" of 50 seeds, "));
      EXPECT_THAT(running.output(), HasSubstr(absl::StrCat("written to ", folder, "/pinned\n")));
      EXPECT_THAT(running.output(), HasSubstr("-seed-2/scenario.txt\n"));
      EXPECT_THAT(running.output(), HasSubstr(", 1 failed"));
      EXPECT_THAT(running.output(), HasSubstr("[  SKIPPED ] Fake.GoesOn")) << "no other test starts";
      EXPECT_THAT(running.output(), Not(HasSubstr("[sim] Fake.GoesOn")));
    }
  }
}

TEST(RunnerSignalTest, TheSecondEndsAtOnce) {
  Running running("FailsOnSeed2AndGoesOn", "--seeds=50 --jobs=3");
  running.ReadUntil("seed 2 failed");
  kill(running.process(), SIGSTOP);  // So that both are there when it goes on.
  kill(running.process(), SIGINT);
  kill(running.process(), SIGTERM);
  kill(running.process(), SIGCONT);
  const int status = running.Finish();

  EXPECT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_THAT(running.output(), Not(HasSubstr("replay: ")));
}

TEST(RunnerTest, HelpListsTheFlags) {
  const Finished finished = RunCase("Passes", "--help");

  EXPECT_EQ(finished.exit_code, 0);
  EXPECT_THAT(finished.output, HasSubstr("--print_digest"));
  EXPECT_THAT(finished.output, HasSubstr("--gtest_filter"));
}

}  // namespace
}  // namespace tandem::testing
