// SPDX-License-Identifier: Apache-2.0
//
// Tests for the runner to run: what seeds can do well and badly, without a World. runner_test.cc starts this binary.

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/testing/runner.h"

namespace tandem::testing {
namespace {

#define FAKE_CASE(case_name)                                                                   \
  SeedResult case_name(const SeedOptions& options);                                            \
  SimTestCase g_case_##case_name{"Fake", #case_name, &case_name, __FILE__, __LINE__};          \
  [[maybe_unused]] const bool g_registered_##case_name = RegisterSimTest(&g_case_##case_name); \
  SeedResult case_name([[maybe_unused]] const SeedOptions& options)

// A digest that knows where things are: of heap addresses, file descriptors, and a hash table's order.
uint64_t Mix(uint64_t digest, uint64_t value) { return (digest ^ value) * 0x100000001b3u; }

SeedResult DigestOfAddresses(uint64_t start) {
  SeedResult result;
  result.progress.digest_high = start;
  std::vector<std::unique_ptr<std::string>> strings;
  absl::flat_hash_map<std::string, int> table;
  for (int i = 0; i < 100; ++i) {
    strings.push_back(std::make_unique<std::string>(absl::StrCat("a string that lives on the heap ", i)));
    result.progress.digest_high = Mix(result.progress.digest_high, reinterpret_cast<uintptr_t>(strings.back()->data()));
    table[*strings.back()] = i;
  }
  for (const auto& [key, value] : table)
    result.progress.digest_low = Mix(result.progress.digest_low, static_cast<uint64_t>(value));
  const int file = open("/dev/null", O_RDONLY);
  result.progress.digest_low = Mix(result.progress.digest_low, static_cast<uint64_t>(file));
  result.progress.digest_low = Mix(result.progress.digest_low, reinterpret_cast<uintptr_t>(&file));  // On the stack.
  close(file);
  result.progress.events = 100;
  return result;
}

FAKE_CASE(Passes) {
  SeedResult result = DigestOfAddresses(options.seed);
  if (options.trace_fd >= 0) dprintf(options.trace_fd, "trace of seed %ju\n", static_cast<uintmax_t>(options.seed));
  printf("hello from seed %ju\n", static_cast<uintmax_t>(options.seed));
  return result;
}

// For comparing places in a run: the digest is the same for every seed.
FAKE_CASE(DigestsAddressesOnly) {
  void* noise = malloc(options.seed % 7 == 0 ? 4096 : 64);  // Must not reach the next seed.
  free(noise);
  return DigestOfAddresses(0);
}

FAKE_CASE(FailsExpectationsOnMultiplesOf3) {
  EXPECT_NE(options.seed % 3, 0) << "as it should";
  EXPECT_TRUE(true);
  return SeedResult();
}

// Seeds 2, 4 and 6 have no faults.
FAKE_CASE(FailsWithAndWithoutFaults) {
  SeedResult result;
  result.failed = options.seed >= 3;
  result.message = absl::StrCat("no answer\nmore about seed ", options.seed);
  result.faults = options.seed % 2 == 0 ? 0 : 5;
  printf("%ju faults of seed %ju\n", static_cast<uintmax_t>(result.faults), static_cast<uintmax_t>(options.seed));
  return result;
}

FAKE_CASE(ReportsFailureOnSeed2) {
  SeedResult result;
  result.failed = options.seed == 2;
  result.message = "the world says no";
  return result;
}

FAKE_CASE(SegfaultsOnSeed2) {
  EXPECT_NE(options.seed, 2) << "said before the crash";
  printf("last words\n");
  fflush(stdout);
  if (options.seed == 2) raise(SIGSEGV);
  return SeedResult();
}

FAKE_CASE(AbortsOnSeed2) {
  if (options.seed == 2) abort();
  return SeedResult();
}

FAKE_CASE(ExitsOnSeed2) {
  if (options.seed == 2) _exit(0);
  if (options.seed == 3) _exit(7);
  return SeedResult();
}

FAKE_CASE(KillsItsZygoteOnMultiplesOf3) {
  if (options.seed % 3 == 0) {
    printf("last words\n");
    fflush(stdout);
    kill(getppid(), SIGKILL);
  }
  usleep(2000);  // So that others run at the same time.
  return SeedResult();
}

FAKE_CASE(HangsOnSeed2) {
  volatile bool forever = options.seed == 2;
  while (forever) {
  }
  return SeedResult();
}

// Seeds from 3 on do not end.
FAKE_CASE(FailsOnSeed2AndGoesOn) {
  SeedResult result;
  result.failed = options.seed == 2;
  result.message = "the world says no";
  if (result.failed) result.scenario = "seed 2\n";
  while (options.seed > 2) pause();
  return result;
}

// Registered behind it.
FAKE_CASE(GoesOn) {
  while (options.seed > 2) pause();
  return SeedResult();
}

// Longer than most seeds take to be shrunk.
FAKE_CASE(FailsSlowlyOnSeed2) {
  SeedResult result;
  if (options.seed != 2) return result;
  const int64_t end_ns = sim::RealNow() + 2'500'000'000;
  while (sim::RealNow() < end_ns) {
  }
  result.failed = true;
  result.message = "the world says no";
  result.scenario = "seed 2\n";
  return result;
}

FAKE_CASE(HangsUnderItsScenario) {
  SeedResult result;
  result.failed = options.seed == 2;
  result.message = "the world says no";
  if (result.failed) result.scenario = "seed 2\n";
  while (!options.scenario.empty()) pause();
  return result;
}

FAKE_CASE(PrintsWithoutEndOnSeed2) {
  while (options.seed == 2) puts("a line that comes again and again and again and again and again and again");
  return SeedResult();
}

FAKE_CASE(LeaksOnSeed2) {
  if (options.seed == 2) {
    [[maybe_unused]] static void* volatile leaked;  // So that neither call is optimised away and no register keeps the
                                                    // address.
    leaked = malloc(1000);
    leaked = nullptr;
  }
  return SeedResult();
}

FAKE_CASE(Skips) {
  [] { GTEST_SKIP() << "this kernel cannot"; }();
  return SeedResult();
}

// The time of day leaks in on purpose, past the interposer.
FAKE_CASE(DependsOnTheMachine) {
  SeedResult result;
  result.progress.digest_low = static_cast<uint64_t>(sim::RealNow());
  if (options.trace_fd >= 0) {
    dprintf(options.trace_fd, "first\nsecond\nthird %ju\nfourth\n", static_cast<uintmax_t>(result.progress.digest_low));
  }
  return result;
}

FAKE_CASE(FailsUnderAScenario) {
  EXPECT_TRUE(options.scenario.empty()) << options.test << " under " << options.scenario;
  return SeedResult();
}

FAKE_CASE(FailsWithFaultCounts) {
  SeedResult result;
  result.failed = true;
  result.fault_counts.entries[0] = 1;
  result.fault_counts.hits[0] = 7;
  return result;
}

FAKE_CASE(ShowsFiveHandOffsAndSweeps) {
  SeedResult result;
  result.hand_offs = {static_cast<uint16_t>(options.seed % 5), 9};
  result.operations = options.seed;
  return result;
}

FAKE_CASE(ClocksAndEnvironmentAreFixed) {
  EXPECT_EQ(time(nullptr), sim::kEpochRealtimeNs / 1'000'000'000);
  EXPECT_EQ(getenv("OUTSIDE"), nullptr);
  EXPECT_EQ(getenv("PATH"), nullptr);
  EXPECT_STREQ(getenv("TZ"), "UTC");
  return SeedResult();
}

}  // namespace
}  // namespace tandem::testing
