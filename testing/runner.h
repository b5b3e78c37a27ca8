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
#include <limits>
#include <optional>
#include <string>
#include <vector>

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

// How a line of what a seed prints begins that names a line of its scenario without any effect.
inline constexpr char kNoEffect[] = "[sim] this line of the scenario has had no effect: ";

// The place of a seed that failed because its scenario is not of this test: it is about a host that there is not.
inline constexpr char kWrongScenario[] = "a line of the scenario";

// The part of a run that is recorded for a report: it ends where either bound says so.
struct RecordedWindow {
  uint64_t from_event = 0;  // Of the world.
  int64_t from_ns = 0;      // Of virtual time, both included.
  int64_t to_ns = std::numeric_limits<int64_t>::max();

  bool IsWhole() const { return from_event == 0 && from_ns == 0; }
};

struct SeedResult;

struct SeedOptions {
  uint64_t seed = 1;
  uint64_t max_events = 0;     // 0: as the test says.
  int trace_fd = -1;           // Where to write the trace, one event per line; -1 for no trace.
  bool trace_records = false;  // Whether the trace is for comparing two runs rather than for people.
  bool recording = false;      // Whether it is a recording for a report (sim/report/recorder.h) instead.
  RecordedWindow window;       // Of a recording.
  bool trace_count = false;    // Whether the trace is the number of its records so far, 8 bytes in one place, instead.
  bool details = false;        // Whether there is a fine digest, with what happens between the events.
  // The trace is this record of it alone, with the stack that led there, and the process ends with it.
  std::optional<uint64_t> stack_at;
  // When the trace has so many records, `tell` gets the scenario, steps and decisions until then; it returns if nobody
  // listens, and the process ends otherwise.
  std::optional<uint64_t> tells_at;
  void (*tell)(const SeedResult& so_far) = nullptr;
  std::optional<uint64_t> break_at;  // An event of a recording: a SIGTRAP comes there.
  std::string test;                  // "Suite.Name".
  absl::string_view scenario;        // What happens instead of what the seed and the test say; empty: nothing instead.
  bool isolation = false;            // Whether a global variable that connects hosts is a failure.
  bool counts_decisions = false;     // Whether SeedResult::decisions says something.
  bool ends_at_failure = false;      // Whether the run ends at the step in which the first expectation fails.
  bool all_faults = false;           // Whether a failure shows its whole plan of faults, or a screen of it.
};

// How far a seed has come, which is what two runs of it are compared by.
struct SeedProgress {
  uint64_t digest_high = 0;
  uint64_t digest_low = 0;
  uint64_t fine_digest_high = 0;  // Zero without SeedOptions::details.
  uint64_t fine_digest_low = 0;
  uint64_t events = 0;
  uint64_t trace_errno = 0;  // Why SeedOptions::trace_fd has not got all of the trace; 0: it has.

  friend bool operator==(const SeedProgress&, const SeedProgress&) = default;
};

struct SeedResult {
  bool failed = false;
  std::string message;  // Why it failed. Failed gtest expectations are collected without it.
  std::string place;    // Of that: what is the same whenever the same goes wrong.
  SeedProgress progress;
  uint64_t faults = 0;  // Of its plan, those that have hit something.
  FaultCounts fault_counts;
  uint64_t operations = 0;  // Of a sweep: how many there were to fail. 0: it was none.
  // Of a seed that failed: its scenario, without the faults that have hit nothing.
  std::string scenario;
  std::string steps;  // Of its random workloads, as a scenario may skip them: "writer/op 25", a line each.
  // Of a seed that failed: what chance has decided, a line for each kind and whom: "loss 200 client/tcp/server".
  std::string decisions;
  // What of the program ran after what: numbers of a table, in order (sim/world/hand_offs.h).
  std::vector<uint16_t> hand_offs;
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

// Calls `witness` for each expectation of the running seed that fails, with "file:line", which may be empty, and why.
// Null: nobody wants to know.
void SetFailureWitness(void (*witness)(absl::string_view place, absl::string_view why));

// Says how to ask how far the running seed has come; called in a signal handler, when it crashes, or at an exit().
// Null: nobody knows.
void SetSeedProgress(SeedProgress (*progress)());
// What was set.
SeedProgress CurrentSeedProgress();

// The main() of a binary with simulation tests; returns its exit status. `--help` lists the flags.
int SimTestMain(int argc, char** argv);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_H_
