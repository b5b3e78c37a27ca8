// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_flags.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/testing/runner_protocol.h"

namespace tandem::testing {
namespace {

// What flags are parsed into: the seeds come from three places.
struct ParsedFlags {
  RunnerFlags flags;
  std::optional<uint64_t> seeds;
  uint64_t default_seeds = RunnerFlags().seeds;
};

constexpr uint64_t kAnyNumber = std::numeric_limits<uint64_t>::max();

// More seeds than run in a day; the parent keeps the list of them.
constexpr uint64_t kMaxSeeds = 10'000'000;

struct FlagEntry {
  const char* name;
  const char* value_name;  // nullptr for a switch.
  const char* help;
  std::variant<uint64_t*, std::optional<uint64_t>*, int*, bool*, std::string*> target;
  uint64_t number_min = 0;  // Of a number.
  uint64_t number_max = kAnyNumber;
};

std::vector<FlagEntry> Entries(ParsedFlags& parsed) {
  RunnerFlags& flags = parsed.flags;
  return {
      {"seed", "S", "run this seed only, and show what it prints", &flags.seed},
      {"seeds", "N", "run N seeds, over all shards together", &parsed.seeds, 0, kMaxSeeds},
      {"default_seeds", "N", "as --seeds, if neither --seeds nor TANDEM_SEEDS says otherwise", &parsed.default_seeds, 0,
       kMaxSeeds},
      {"seed_start", "S", "the first seed (1)", &flags.seed_start},
      {"max_events", "N", "a seed with more events has failed as a livelock (as the test says)", &flags.max_events, 1},
      {"wall_limit_s", "S", "a seed that takes longer in real time has failed (60; 600 under a sanitizer)",
       &flags.wall_limit_s, 1, 1'000'000},
      {"jobs", "N", "seeds that run at the same time (one per processor)", &flags.jobs, 1, kMaxSlots},
      {"check_determinism", nullptr, "run each seed twice and show where two runs part", &flags.check_determinism},
      {"print_digest", nullptr, "print the digest of each seed", &flags.print_digest},
      {"trace", "FILE", "with --seed: write the trace to FILE, or to standard output for -", &flags.trace},
      {"scenario", "FILE",
       "run one seed with the schedule, faults and calm lines of FILE instead of those that it draws", &flags.scenario},
      {"keep_going", nullptr, "do not stop after 10 failed seeds", &flags.keep_going},
      {"fail_fast", nullptr, "stop after the first failed seed", &flags.fail_fast},
      {"here", nullptr, "with --seed: run it in this process, for a debugger", &flags.here},
      {"stderrthreshold", "N", "show LOG() from this severity on: 0 INFO (default), 1 WARNING, 2 ERROR, 3 FATAL",
       &flags.stderr_threshold, 0, 3},
      {"minloglevel", "N", "do not even make LOG() lines below this severity (0)", &flags.min_log_level, 0, 3},
      {"v", "N", "show VLOG(n) up to this n (0)", &flags.verbosity, 0, 100},
      {"aslr", nullptr, "leave address randomisation on, to find what depends on the order of addresses", &flags.aslr},
      {"portable", nullptr, "the tests do not depend on the order of addresses: --check_determinism moves them",
       &flags.portable},
      {"help", nullptr, "print this", &flags.help},
  };
}

std::string Help(const std::vector<FlagEntry>& entries) {
  std::string text;
  for (const FlagEntry& entry : entries) {
    const std::string usage =
        entry.value_name == nullptr ? entry.name : absl::StrCat(entry.name, "=", entry.value_name);
    absl::StrAppend(&text, "  --", usage, std::string(usage.size() < 20 ? 20 - usage.size() : 1, ' '), entry.help,
                    "\n");
  }
  return text;
}

absl::Status BadValue(const FlagEntry& entry, absl::string_view value, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat("--", entry.name, "=", value, ": expected ", expected));
}

bool ParseNumber(absl::string_view text, uint64_t min, uint64_t max, uint64_t* number) {
  return absl::SimpleAtoi(text, number) && *number >= min && *number <= max;
}

std::string NumberText(uint64_t min, uint64_t max) {
  return absl::StrCat("a whole number from ", min, " to ", max == kAnyNumber ? "2^64-1" : absl::StrCat(max));
}

absl::Status Set(const FlagEntry& entry, std::optional<absl::string_view> value) {
  if (bool* const* target = std::get_if<bool*>(&entry.target)) {
    if (value.has_value() && !absl::SimpleAtob(*value, *target)) return BadValue(entry, *value, "true or false");
    if (!value.has_value()) **target = true;
    return absl::OkStatus();
  }
  if (!value.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", entry.name, " needs a value: --", entry.name, "=", entry.value_name));
  }
  if (std::string* const* target = std::get_if<std::string*>(&entry.target)) {
    **target = std::string(*value);
    return absl::OkStatus();
  }
  uint64_t number = 0;
  if (!ParseNumber(*value, entry.number_min, entry.number_max, &number)) {
    return BadValue(entry, *value, NumberText(entry.number_min, entry.number_max));
  }
  if (uint64_t* const* target = std::get_if<uint64_t*>(&entry.target)) {
    **target = number;
  } else if (int* const* small = std::get_if<int*>(&entry.target)) {
    **small = static_cast<int>(number);
  } else {
    *std::get<std::optional<uint64_t>*>(entry.target) = number;
  }
  return absl::OkStatus();
}

absl::Status ParseArgument(const std::vector<FlagEntry>& entries, absl::string_view argument) {
  const size_t equals = argument.find('=');
  const absl::string_view name = argument.substr(0, equals);
  std::optional<absl::string_view> value;
  if (equals != absl::string_view::npos) value = argument.substr(equals + 1);
  for (const FlagEntry& entry : entries) {
    if (name == absl::StrCat("--", entry.name)) return Set(entry, value);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown flag ", argument, "; the flags are (and gtest's --gtest_*):\n", Help(entries)));
}

absl::Status CheckTogether(const RunnerFlags& flags) {
  if (flags.seeds == 0 && !flags.seed.has_value()) {
    return absl::InvalidArgumentError("0 seeds would test nothing: give --seeds=N (or TANDEM_SEEDS=N) with N from 1");
  }
  if (!flags.trace.empty() && !flags.seed.has_value()) {
    return absl::InvalidArgumentError("--trace needs --seed: the traces of several seeds would mix");
  }
  if (flags.here && !flags.seed.has_value()) {
    return absl::InvalidArgumentError("--here needs --seed: each seed has a process of its own otherwise");
  }
  if (flags.here && flags.check_determinism) {
    return absl::InvalidArgumentError("--here and --check_determinism exclude each other: one process runs one seed");
  }
  if (flags.fail_fast && flags.keep_going) {
    return absl::InvalidArgumentError("--fail_fast and --keep_going exclude each other");
  }
  if (!flags.trace.empty() && flags.check_determinism) {
    return absl::InvalidArgumentError("--trace and --check_determinism exclude each other: both use the trace");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RunnerFlags> ParseRunnerFlags(const std::vector<std::string>& arguments,
                                             absl::string_view seeds_variable) {
  ParsedFlags parsed;
  const std::vector<FlagEntry> entries = Entries(parsed);
  for (const std::string& argument : arguments) {
    absl::Status status = ParseArgument(entries, argument);
    if (!status.ok()) return status;
  }
  parsed.flags.seeds = parsed.default_seeds;
  if (!seeds_variable.empty() && !ParseNumber(seeds_variable, 0, kMaxSeeds, &parsed.flags.seeds)) {
    return absl::InvalidArgumentError(
        absl::StrCat("TANDEM_SEEDS=", seeds_variable, ": expected ", NumberText(0, kMaxSeeds)));
  }
  if (parsed.seeds.has_value()) parsed.flags.seeds = *parsed.seeds;
  absl::Status status = CheckTogether(parsed.flags);
  if (!status.ok()) return status;
  return parsed.flags;
}

std::string RunnerFlagsHelp() {
  ParsedFlags parsed;
  return Help(Entries(parsed));
}

std::vector<uint64_t> SeedsOfShard(const RunnerFlags& flags, const Shard& shard) {
  std::vector<uint64_t> seeds;
  if (flags.seed.has_value()) {
    if (shard.index == 0) seeds.push_back(*flags.seed);
    return seeds;
  }
  for (uint64_t i = shard.index; i < flags.seeds; i += shard.count) seeds.push_back(flags.seed_start + i);
  return seeds;
}

}  // namespace tandem::testing
