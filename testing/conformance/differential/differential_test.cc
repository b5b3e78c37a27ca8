// SPDX-License-Identifier: Apache-2.0
//
// A few hundred random programs in every world, the programs of regressions/, and that a wrong world is found out.

#include <signal.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tandem/testing/conformance/differential/child_process.h"
#include "tandem/testing/conformance/differential/classes.h"
#include "tandem/testing/conformance/differential/differ.h"
#include "tandem/testing/conformance/differential/generator.h"
#include "tandem/testing/conformance/differential/minimiser.h"
#include "tandem/testing/conformance/differential/program.h"

namespace tandem::testing {
namespace {

constexpr uint64_t kPrograms = 150;  // For each reactor.
constexpr char kRegressions[] = "testing/conformance/differential/regressions";

class DifferentialTest : public ::testing::TestWithParam<std::string> {
 protected:
  DifferentialTest() { signal(SIGPIPE, SIG_IGN); }  // A child that dies is a result.
};

TEST_P(DifferentialTest, RandomProgramsDoTheSameInTheSimulatorAndOnTheKernel) {
  Differ differ(ChildrenFor(GetParam()));
  for (uint64_t number = 0; number < kPrograms; ++number) {
    const std::optional<Difference> difference = differ.Compare(GenerateProgram(/*seed=*/1, number), number);
    EXPECT_FALSE(difference.has_value()) << "program " << number << "\n" << difference->ToString();
  }
}

TEST_P(DifferentialTest, RegressionsGiveTheirResultsInBothWorlds) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(kRegressions)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  ASSERT_FALSE(files.empty());
  const Children children = ChildrenFor(GetParam());
  ChildProcess sim(children.sim);
  ChildProcess kernel(children.kernel);
  uint64_t number = 40'000;
  for (const std::filesystem::path& file : files) {
    std::ifstream stream(file);
    const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    absl::StatusOr<Program> program = ParseProgram(text);
    ASSERT_TRUE(program.ok()) << file << ": " << program.status();
    std::vector<std::string> expected;
    for (Step& step : program->steps) {
      expected.push_back(step.expected);
      step.hint = HintFromResult(step.expected);
    }
    expected = Classify(*program, expected);
    ++number;
    EXPECT_EQ(Classify(*program, sim.Run(*program, number, /*quick=*/false).lines), expected) << file;
    EXPECT_EQ(Classify(*program, kernel.Run(*program, number, /*quick=*/false).lines), expected) << file;
  }
}

INSTANTIATE_TEST_SUITE_P(Reactor, DifferentialTest, ::testing::Values("uring", "epoll"),
                         [](const ::testing::TestParamInfo<std::string>& info) { return info.param; });

TEST(WrongWorldTest, IsFoundOutAndShownSmall) {
  signal(SIGPIPE, SIG_IGN);
  Children children = ChildrenFor("uring");
  children.sim = {SiblingPath("differential_wrong_sim")};
  // Two simulators: what differs is the mistake alone.
  children.kernel = {SiblingPath("differential_sim")};
  Differ differ(children);
  std::optional<Difference> difference;
  for (uint64_t number = 0; number < 300 && !difference.has_value(); ++number) {
    difference = differ.Compare(GenerateProgram(/*seed=*/1, number), number);
  }
  ASSERT_TRUE(difference.has_value());

  const Program small = Minimise(
      difference->program, [&](const Program& less) { return differ.CompareOnce(less, 1, /*quick=*/true).has_value(); },
      /*tries=*/1000);

  EXPECT_LT(small.steps.size(), 12u) << ProgramToString(small);
  EXPECT_EQ(small.steps.back().verb, Verb::kWrite) << ProgramToString(small);
}

TEST(WrongWorldTest, ChildThatDiesIsADifference) {
  signal(SIGPIPE, SIG_IGN);
  Children children = ChildrenFor("uring");
  children.sim = children.kernel = {"/bin/false"};
  Differ differ(children);

  const std::optional<Difference> difference = differ.Compare(GenerateProgram(/*seed=*/1, 0), 0);

  ASSERT_TRUE(difference.has_value());
  EXPECT_EQ(difference->kernel.failure, "exited with code 1");
}

}  // namespace
}  // namespace tandem::testing
