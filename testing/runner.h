// SPDX-License-Identifier: Apache-2.0
//
// The seed runner: runs each simulation test once per seed, each seed in a process of its own.
//
// Three kinds of process. The parent has gtest's main: it plans, collects and prints, and never simulates. It starts
// itself again as a clean process, the zygote (sim/process/reexec.h), which does nothing but fork one child per seed;
// so a child's memory looks the same whether its seed runs alone or as the 500th. A child that crashes, hangs or leaks
// fails its own seed and no other.
//
// Most tests use SIM_TEST (testing/sim_test.h); this header is the layer below it, which knows no World.

#ifndef TANDEM_TESTING_RUNNER_H_
#define TANDEM_TESTING_RUNNER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace tandem::testing {

// How many kinds of fault there can be; which ones there are is the test's business.
inline constexpr size_t kFaultKindsMax = 64;

// What became of the faults of a seed, by kind.
struct FaultCounts {
  uint64_t asked = 0;  // Bit k: the seed could have had faults of kind k.
  std::array<uint32_t, kFaultKindsMax> entries{};
  std::array<uint64_t, kFaultKindsMax> hits{};
};

struct SeedOptions {
  uint64_t seed = 1;
  uint64_t max_events = 0;     // 0: as the test says.
  int trace_fd = -1;           // Where to write the trace, one event per line; -1 for no trace.
  bool trace_records = false;  // Whether the trace is for comparing two runs rather than for people.
  absl::string_view scenario;  // What happens instead of what the seed and the test say; empty: nothing instead.
  bool all_faults = false;     // Whether a failure shows its whole plan of faults, or a screen of it.
};

struct SeedResult {
  bool failed = false;
  std::string message;  // Why it failed. Failed gtest expectations are collected without it.
  uint64_t digest_high = 0;
  uint64_t digest_low = 0;
  uint64_t events = 0;
  uint64_t faults = 0;  // Of its plan, those that have hit something.
  FaultCounts fault_counts;
};

// One simulation test. Lives as long as the process (a static variable), because the list of tests runs through it:
// registering allocates nothing.
struct SimTestCase {
  const char* suite;
  const char* name;
  SeedResult (*run)(const SeedOptions& options);  // Called once per process, in a child.
  const char* file;
  int line;
  SimTestCase* next = nullptr;
};

// Adds `test_case` to the tests of this binary, before main(). Returns true, for use in an initialiser.
bool RegisterSimTest(SimTestCase* test_case);

// The main() of a binary with simulation tests; returns its exit status. `--help` lists the flags.
int SimTestMain(int argc, char** argv);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_H_
