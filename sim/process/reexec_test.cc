// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/process/reexec.h"

#include <stdio.h>
#include <stdlib.h>

#include <string>

#include "absl/base/config.h"
#include "gtest/gtest.h"

namespace tandem::sim {
namespace {

// Runs the probe by the shell, with `prefix` (variables, limits) before it, and returns what it prints.
std::string RunProbe(const std::string& prefix, const std::string& argument) {
  const char* runfiles = getenv("TEST_SRCDIR");
  const char* workspace = getenv("TEST_WORKSPACE");
  const std::string directory =
      runfiles == nullptr ? "." : std::string(runfiles) + "/" + (workspace == nullptr ? "" : workspace);
  const std::string command = prefix + " " + directory + "/sim/process/reexec_probe " + argument + " 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "popen failed";
  std::string output;
  char chunk[512];
  while (fgets(chunk, sizeof(chunk), pipe) != nullptr) output += chunk;
  EXPECT_EQ(pclose(pipe), 0) << output;
  return output;
}

bool Refused(const std::string& output) { return output.find("layout=randomized") != std::string::npos; }

TEST(ReexecOnceTest, AddressesAreTheSameInEveryProcess) {
  const std::string first = RunProbe("", "");
  if (Refused(first)) GTEST_SKIP() << "personality() is refused here";

  EXPECT_EQ(RunProbe("", ""), first);
  EXPECT_EQ(RunProbe("A_LONGER_ENVIRONMENT=" + std::string(3000, 'x'), ""), first);
}

TEST(ReexecOnceTest, KeepsRandomizedAddressesOnRequest) {
  const std::string output = RunProbe("TANDEM_ASLR=1", "");

  EXPECT_NE(output.find("layout=randomized"), std::string::npos) << output;
  EXPECT_EQ(output.find("ASLR on"), std::string::npos) << output;
}

TEST(StartCleanProcessTest, NothingOfTheCallerMovesAnAddress) {
  const std::string first = RunProbe("", "clean");
  if (Refused(first)) GTEST_SKIP() << "personality() is refused here";
  const std::string addresses = first.substr(0, first.find('\n'));
  ASSERT_EQ(addresses.substr(0, 5), "clean") << first;

  for (const std::string prefix :
       {"OUTSIDE=1", "cd / && ulimit -s unlimited && cd - > /dev/null &&", "ulimit -s 4096 && ulimit -s 1024;",
        "TEST_TMPDIR=/some/where/else", "UBSAN_OPTIONS=print_stacktrace=1 LSAN_OPTIONS=report_objects=0"}) {
    EXPECT_EQ(RunProbe(prefix, "clean").substr(0, addresses.size()), addresses) << prefix;
  }
}

TEST(StartCleanProcessTest, DisturbsWithoutMovingAnAddress) {
  const std::string first = RunProbe("", "clean");
  if (Refused(first)) GTEST_SKIP() << "personality() is refused here";
  const std::string addresses = first.substr(0, first.find('\n'));

  const std::string disturbed = RunProbe("", "clean-disturbed");

  EXPECT_EQ(disturbed.substr(0, addresses.size()), addresses);
  EXPECT_NE(first.find("TZ=UTC LANG=\n"), std::string::npos) << first;
  EXPECT_NE(disturbed.find("TZ=UTC LANG=tr_TR.UTF-8\n"), std::string::npos) << disturbed;
  EXPECT_NE(RunProbe("", "clean-disturbed-randomized").find("TZ=Asia/Kathmandu "), std::string::npos);
#if !defined(ABSL_HAVE_ADDRESS_SANITIZER) && !defined(ABSL_HAVE_THREAD_SANITIZER)  // They have allocators of their own.
  EXPECT_NE(first.substr(first.find("fresh=")).substr(0, 9), disturbed.substr(disturbed.find("fresh=")).substr(0, 9));
#endif
}

TEST(StartCleanProcessTest, TheMaskAndTheLimitsAreNotTheCallers) {
  for (const std::string prefix : {"", "umask 077; ulimit -S -n 200;", "umask 0; ulimit -S -n 1500;"}) {
    const std::string output = RunProbe(prefix, "clean");
    EXPECT_NE(output.find("group=its own umask=22 files=1024 folder=of the caller\n"), std::string::npos)
        << prefix << output;
  }
  const std::string disturbed = RunProbe("", "clean-disturbed");
  EXPECT_NE(disturbed.find("group=its own umask=22 files=1024 folder=/\n"), std::string::npos) << disturbed;
}

TEST(StartCleanProcessTest, RandomizesOnRequestThoughItsParentIsFixed) {
  EXPECT_NE(RunProbe("", "clean-randomized").find("clean layout=randomized"), std::string::npos);
}

TEST(StartCleanProcessTest, OnlyTheVariablesOfTestsPass) {
  const std::string output = RunProbe("OUTSIDE=1 TEST_TMPDIR=/some/where", "clean");

  EXPECT_NE(output.find("OUTSIDE= TEST_TMPDIR=/some/where\n"), std::string::npos) << output;
}

}  // namespace
}  // namespace tandem::sim
