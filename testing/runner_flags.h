// SPDX-License-Identifier: Apache-2.0
//
// The flags of a binary with simulation tests.

#ifndef TANDEM_TESTING_RUNNER_FLAGS_H_
#define TANDEM_TESTING_RUNNER_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem::testing {

// As the test says.
inline constexpr uint64_t kDefaultMaxEvents = 0;

// Which seeds run twice, to compare the two runs.
enum class CheckedSeeds {
  kNone,
  kSome,  // A twentieth, at least one.
  kAll,
};

struct RunnerFlags {
  std::optional<uint64_t> seed;
  uint64_t seeds = 100;
  uint64_t seed_start = 1;
  uint64_t max_events = kDefaultMaxEvents;
  uint64_t jobs = 0;          // 0: one per processor.
  uint64_t wall_limit_s = 0;  // 0: 60, or 600 under a sanitizer.
  CheckedSeeds check_determinism = CheckedSeeds::kSome;
  bool check_isolation = false;
  bool print_digest = false;
  bool keep_going = false;
  bool fail_fast = false;
  bool here = false;
  std::optional<uint64_t> break_at;
  int stderr_threshold = 0;  // As the flags of absl/log/flags.h by the same names.
  int min_log_level = 0;
  int verbosity = 0;
  bool aslr = false;
  bool portable = false;
  bool help = false;
  std::optional<uint64_t> shrink_s;  // None: 10 for the first failure of several seeds.
  std::string pin;
  bool report = true;
  uint64_t cause = 0;  // Branches.
  std::string out;
  std::string trace;
  std::string scenario;
  std::string seeds_from;
  std::vector<std::string> regressions;
  std::vector<std::string> covers;  // Folders.
  uint64_t default_seeds = 100;
};

// Parses the arguments without the program's name and without gtest's flags. Where a flag is repeated the last one
// wins, but for --regression. `seeds_variable` is the value of TANDEM_SEEDS, empty if there is none: it is stronger
// than --default_seeds and weaker than --seeds.
//
// Errors:
//   kInvalidArgument  An unknown flag (the text lists the known ones) or a bad value.
absl::StatusOr<RunnerFlags> ParseRunnerFlags(const std::vector<std::string>& arguments,
                                             absl::string_view seeds_variable);

// One line per flag.
std::string RunnerFlagsHelp();

// The first seed of --seeds_from=`text`: a number is itself; "date" stands for `date`, the day as text, and anything
// else, as the name of a commit, for itself: the same text gives the same seeds.
uint64_t SeedStartFrom(absl::string_view text, absl::string_view date);

// The part of the seeds that one of Bazel's shards runs.
struct Shard {
  uint64_t index = 0;
  uint64_t count = 1;
};

// Returns the seeds that `shard` has to run, in order. The shards of a test run every seed exactly once.
std::vector<uint64_t> SeedsOfShard(const RunnerFlags& flags, const Shard& shard);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_FLAGS_H_
