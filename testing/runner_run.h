// SPDX-License-Identifier: Apache-2.0
//
// A run of a binary with simulation tests: its flags, what its tests share, and the commands that repeat parts of it.

#ifndef TANDEM_TESTING_RUNNER_RUN_H_
#define TANDEM_TESTING_RUNNER_RUN_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "tandem/testing/runner.h"
#include "tandem/testing/runner_assertions.h"
#include "tandem/testing/runner_flags.h"
#include "tandem/testing/runner_pool.h"
#include "tandem/testing/runner_protocol.h"
#include "tandem/testing/runner_scenarios.h"
#include "tandem/testing/runner_twins.h"

namespace tandem::testing {

inline constexpr int64_t kNsPerSecond = 1'000'000'000;

// What holds for all tests of this process. Made by main() before gtest runs.
struct Run {
  RunnerFlags flags;
  Shard shard;
  std::string program;
  uint32_t test_count = 0;
  ScenarioFile scenario;                  // Of --scenario; its text is empty: there is none.
  bool pinned = false;                    // The file of --pin is written.
  bool has_to_pin = false;                // Something that --pin is about has failed.
  std::vector<ScenarioFile> regressions;  // Scenarios that run before the seeds.
  AssertionTable assertions;              // Of all tests.
  int trace_fd = -1;                      // Of --trace, or of the first runs of twins.
  bool scenario_is_wrong = false;         // It is about hosts that there are not.
  uint64_t trace_errno = 0;               // Why --trace has not got all; 0: it has.
  std::unique_ptr<SeedPool> pool;
  std::unique_ptr<Twins> twins;  // Of --check_determinism, where a seed runs twice.
};

Detail DetailOf(const RunnerFlags& flags);
SeedPool::Options PoolOptions(const Run& run, int trace_fd);

// Opens what --trace names, or room for the traces of twins.
absl::Status OpenTraces(Run& run);
// Start what the first test needs; later tests find it.
absl::Status StartPools(Run& run);
absl::Status StartTwins(Run& run);

// A run of `seed` of the test with this index, as the flags say.
SeedRun SeedRunOf(const Run& run, uint32_t test, uint64_t seed, TraceKind trace, bool details);

// The command that runs one seed of `test` again.
std::string ReplayCommand(const Run& run, const SimTestCase& test, uint64_t seed, bool twice);
// The command that runs the scenario of `file` again.
std::string ScenarioCommand(const Run& run, const SimTestCase& test, const std::string& file);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_RUN_H_
