// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/conformance/differential/program.h"

#include <cstdint>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "tandem/testing/conformance/differential/classes.h"
#include "tandem/testing/conformance/differential/differ.h"
#include "tandem/testing/conformance/differential/generator.h"
#include "tandem/testing/conformance/differential/minimiser.h"

namespace tandem::testing {
namespace {

Program Parsed(const std::string& text) {
  absl::StatusOr<Program> program = ParseProgram(text);
  EXPECT_TRUE(program.ok()) << program.status();
  return program.ok() ? *program : Program();
}

TEST(ProgramTest, TextOfAProgramIsParsedBack) {
  const std::string text =
      "open s0 @1 v6\n"
      "  => ok\n"
      "bind s0 mapped@1 p3\n"
      "accept s2 s0\n"
      "shutdown s2 write\n"
      "  => 0 end\n"
      "send_to s4 lo6 p2 100\n"
      "wait\n";

  EXPECT_EQ(ProgramToString(Parsed("# a comment\n\n" + text)), text);
}

TEST(ProgramTest, StepKeepsItsHint) {
  const absl::StatusOr<Step> step = ParseStep("read s2 200 ? 37 waited");

  ASSERT_TRUE(step.ok()) << step.status();
  EXPECT_EQ(step->hint, (Hint{37, true}));
  EXPECT_EQ(StepToString(*step), "read s2 200 ? 37 waited");
}

TEST(ProgramTest, WhatIsNoStepIsRefused) {
  for (const char* line : {"", "dance s0", "read s0", "read s0 1 2", "read x0 1", "open s0 @9 v4", "open s0 @0 v5",
                           "bind s0 nowhere p0", "shutdown s0 both", "read s64 1", "read s0 1 ? x"}) {
    EXPECT_EQ(ParseStep(line).status().code(), absl::StatusCode::kInvalidArgument) << line;
  }
  EXPECT_FALSE(ParseProgram("=> ok\n").ok());
}

TEST(GeneratorTest, ProgramDependsOnSeedAndNumberAlone) {
  EXPECT_EQ(GenerateProgram(5, 17), GenerateProgram(5, 17));
  EXPECT_NE(GenerateProgram(5, 17), GenerateProgram(5, 18));
  EXPECT_NE(GenerateProgram(5, 17), GenerateProgram(6, 17));
}

TEST(GeneratorTest, ProgramsAreLegalAndUseEveryVerb) {
  std::set<Verb> verbs;
  for (uint64_t number = 0; number < 2000; ++number) {
    const Program program = GenerateProgram(1, number);
    EXPECT_LE(program.steps.size(), 60u);
    const std::string text = ProgramToString(program);
    EXPECT_EQ(ProgramToString(Parsed(text)), text);
    for (const Step& step : program.steps) verbs.insert(step.verb);
  }
  EXPECT_EQ(verbs.size(), static_cast<size_t>(Verb::kReceive) + 1);
}

TEST(MinimiserTest, LeavesOnlyWhatIsNeeded) {
  Program program = GenerateProgram(1, 3);
  const Step first = *ParseStep("listen s60 7");
  const Step second = *ParseStep("peek s61 9");
  program.steps.insert(program.steps.begin() + 1, first);
  program.steps.push_back(second);
  const auto has = [](const Program& p, const Step& step) {
    for (const Step& other : p.steps) {
      if (other == step) return true;
    }
    return false;
  };

  const Program small =
      Minimise(program, [&](const Program& p) { return has(p, first) && has(p, second); }, /*tries=*/1000);

  EXPECT_EQ(ProgramToString(small), "listen s60 7\npeek s61 9\n");
}

TEST(MinimiserTest, AsksNoMoreOftenThanAllowed) {
  int asked = 0;
  (void)Minimise(GenerateProgram(1, 3), [&](const Program&) { return ++asked % 3 == 0; }, /*tries=*/7);
  EXPECT_EQ(asked, 7);
}

TEST(HintTest, SaysWhatIsWorthWaitingFor) {
  EXPECT_EQ(HintFromResult("37 waited"), (Hint{37, true}));
  EXPECT_EQ(HintFromResult("none, waited"), (Hint{0, true}));
  EXPECT_EQ(HintFromResult("12 end"), (Hint{12, false}));
  EXPECT_EQ(HintFromResult("FAILED_PRECONDITION EBADF"), (Hint{0, false}));
}

TEST(ClassesTest, WhoHearsOfTheResetDoesNotMatter) {
  const Program program = Parsed("write s1 1\nread s1 1\nread s2 1\n");

  EXPECT_EQ(Classify(program, {"0 UNAVAILABLE EPIPE", "0 UNAVAILABLE ECONNRESET", "0 end"}),
            Classify(program, {"0 UNAVAILABLE ECONNRESET", "0 end", "0 end"}));
}

TEST(ClassesTest, EndAndResetDifferBeforeAnybodyWasTold) {
  const Program program = Parsed("read s1 1\n");

  EXPECT_NE(Classify(program, {"0 UNAVAILABLE ECONNRESET"}), Classify(program, {"0 end"}));
}

}  // namespace
}  // namespace tandem::testing
