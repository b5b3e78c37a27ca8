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
#include "tandem/core/base/random.h"
#include "tandem/testing/runner_protocol.h"

namespace tandem::testing {
namespace {

// What flags are parsed into: the seeds come from three places.
struct ParsedFlags {
  RunnerFlags flags;
  std::optional<uint64_t> seeds;
};

constexpr uint64_t kAnyNumber = std::numeric_limits<uint64_t>::max();

// More seeds than run in a day; the parent keeps the list of them.
constexpr uint64_t kMaxSeeds = 10'000'000;

struct FlagEntry {
  const char* name;
  const char* value_name;  // nullptr for a switch.
  const char* help;
  std::variant<uint64_t*, std::optional<uint64_t>*, int*, bool*, std::string*, CheckedSeeds*, std::vector<std::string>*>
      target;
  uint64_t number_min = 0;  // Of a number.
  uint64_t number_max = kAnyNumber;
};

std::vector<FlagEntry> Entries(ParsedFlags& parsed) {
  RunnerFlags& flags = parsed.flags;
  return {
      {"seed", "S", "run this seed only, and show what it prints", &flags.seed},
      {"seeds", "N", "run N seeds, over all shards together", &parsed.seeds, 0, kMaxSeeds},
      {"default_seeds", "N", "as --seeds, if neither --seeds nor TANDEM_SEEDS says otherwise", &flags.default_seeds, 0,
       kMaxSeeds},
      {"seed_start", "S", "the first seed (1)", &flags.seed_start},
      {"seeds_from", "TEXT", "seeds that come from a text: the name of a commit, or date for that of today",
       &flags.seeds_from},
      {"max_events", "N", "a seed with more events has failed as a livelock (as the test says)", &flags.max_events, 1},
      {"wall_limit_s", "S", "a seed that takes longer in real time has failed (60; 600 under a sanitizer)",
       &flags.wall_limit_s, 1, 1'000'000},
      {"jobs", "N", "seeds that run at the same time (one per processor)", &flags.jobs, 1, kMaxSlots},
      {"check_determinism", "SEEDS",
       "run seeds twice and show where two runs part: none, some (default), a twentieth, or all, as without a value",
       &flags.check_determinism},
      {"check_isolation", nullptr, "fail for a global variable that connects hosts: slower, and with other addresses",
       &flags.check_isolation},
      {"print_digest", nullptr, "print the digest of each seed", &flags.print_digest},
      {"trace", "FILE", "with --seed or --scenario: write the trace to FILE, or to standard output for -",
       &flags.trace},
      {"scenario", "FILE", "run one seed with what the lines of FILE say instead of what it draws", &flags.scenario},
      {"regression", "FILE", "run the scenario of FILE first; any number of them", &flags.regressions},
      {"covers", "FOLDER",
       "fail if no seed reaches a TANDEM_SOMETIMES or TANDEM_REACHABLE in a file of it; any number of them",
       &flags.covers},
      {"shrink", "S", "seconds to spend on making the first failure's scenario small; 0: none (10, with --seed 0)",
       &flags.shrink_s, 0, 86'400},
      {"pin", "FILE",
       "write what is left of the failure's scenario to FILE: corpus/TEST/ANY.scenario beside a sim_test runs first",
       &flags.pin},
      {"report", nullptr, "show what led to the first failure, of a recorded run of it (true)", &flags.report},
      {"cause", "BRANCHES",
       "how likely the first failure was: run so many branches behind each event that led to it (0; 50 is enough)",
       &flags.cause, 0, 10'000},
      {"out", "FOLDER", "write the files of the report below it (a Bazel test: to its outputs)", &flags.out},
      {"keep_going", nullptr, "do not stop after 10 failed seeds", &flags.keep_going},
      {"fail_fast", nullptr, "stop after the first failed seed", &flags.fail_fast},
      {"here", nullptr, "with --seed or --scenario: run it in this process, for a debugger", &flags.here},
      {"break_at", "EVENT", "with --here: stop at the event of this number in a report, by a SIGTRAP", &flags.break_at},
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
  constexpr size_t kColumn = 26;
  std::string text;
  for (const FlagEntry& entry : entries) {
    const std::string usage =
        entry.value_name == nullptr ? entry.name : absl::StrCat(entry.name, "=", entry.value_name);
    absl::StrAppend(&text, "  --", usage, std::string(usage.size() < kColumn ? kColumn - usage.size() : 1, ' '),
                    entry.help, "\n");
  }
  return text;
}

absl::Status BadValue(const FlagEntry& entry, absl::string_view value, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat("--", entry.name, "=", value, ": expected ", expected));
}

bool ParseNumber(absl::string_view text, uint64_t min, uint64_t max, uint64_t* number) {
  return absl::SimpleAtoi(text, number) && *number >= min && *number <= max;
}

bool ParseCheckedSeeds(absl::string_view text, CheckedSeeds* seeds) {
  if (text == "none") *seeds = CheckedSeeds::kNone;
  if (text == "some") *seeds = CheckedSeeds::kSome;
  if (text == "all") *seeds = CheckedSeeds::kAll;
  return text == "none" || text == "some" || text == "all";
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
  if (CheckedSeeds* const* target = std::get_if<CheckedSeeds*>(&entry.target)) {
    const bool known = ParseCheckedSeeds(value.value_or("all"), *target);
    return known ? absl::OkStatus() : BadValue(entry, *value, "none, some or all");
  }
  if (!value.has_value() || value->empty()) {  // As of a variable of the shell that is not set.
    return absl::InvalidArgumentError(
        absl::StrCat("--", entry.name, " needs a value: --", entry.name, "=", entry.value_name));
  }
  if (std::string* const* target = std::get_if<std::string*>(&entry.target)) {
    **target = std::string(*value);
    return absl::OkStatus();
  }
  if (std::vector<std::string>* const* target = std::get_if<std::vector<std::string>*>(&entry.target)) {
    (*target)->emplace_back(*value);
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

absl::Status CheckTogether(const ParsedFlags& parsed) {
  const RunnerFlags& flags = parsed.flags;
  const bool single = flags.seed.has_value() || !flags.scenario.empty();
  if (flags.seeds == 0 && !single) {
    return absl::InvalidArgumentError("0 seeds would test nothing: give --seeds=N (or TANDEM_SEEDS=N) with N from 1");
  }
  if (flags.seed.has_value() && parsed.seeds.has_value()) {
    return absl::InvalidArgumentError("--seed and --seeds exclude each other: one seed, or many from --seed_start on");
  }
  if (flags.seed.has_value() && flags.seed_start != RunnerFlags().seed_start) {
    return absl::InvalidArgumentError("--seed and --seed_start exclude each other: --seed says which is run");
  }
  if (!flags.seeds_from.empty() && single) {
    return absl::InvalidArgumentError("--seeds_from and --seed or --scenario exclude each other");
  }
  if (!flags.seeds_from.empty() && flags.seed_start != RunnerFlags().seed_start) {
    return absl::InvalidArgumentError("--seeds_from and --seed_start exclude each other: both say the first seed");
  }
  if (!flags.trace.empty() && !single) {
    return absl::InvalidArgumentError("--trace needs --seed or --scenario: the traces of several seeds would mix");
  }
  if (flags.here && !single) {
    return absl::InvalidArgumentError(
        "--here needs --seed or --scenario: each seed has a process of its own otherwise");
  }
  if (flags.break_at.has_value() && !flags.here) {
    return absl::InvalidArgumentError("--break_at needs --here: a debugger looks at one process");
  }
  if (flags.break_at.has_value() && !flags.trace.empty()) {
    return absl::InvalidArgumentError("--break_at and --trace exclude each other");
  }
  if (flags.here && (!flags.pin.empty() || flags.shrink_s.has_value())) {
    return absl::InvalidArgumentError(
        "--here and --shrink or --pin exclude each other: to shrink takes many processes");
  }
  if (flags.here && !flags.out.empty()) {
    return absl::InvalidArgumentError("--here and --out exclude each other: a report is made of another run");
  }
  if (!flags.report && (!flags.out.empty() || flags.cause != 0)) {
    return absl::InvalidArgumentError("--out or --cause and --report=false exclude each other");
  }
  if (flags.here && flags.cause != 0) {
    return absl::InvalidArgumentError("--here and --cause exclude each other: branches take many processes");
  }
  const bool all_twice = flags.check_determinism == CheckedSeeds::kAll;
  if (flags.here && all_twice) {
    return absl::InvalidArgumentError("--here and --check_determinism exclude each other: one process runs one seed");
  }
  if (flags.fail_fast && flags.keep_going) {
    return absl::InvalidArgumentError("--fail_fast and --keep_going exclude each other");
  }
  if (!flags.trace.empty() && all_twice) {
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
  parsed.flags.seeds = parsed.flags.default_seeds;
  if (!seeds_variable.empty() && !ParseNumber(seeds_variable, 0, kMaxSeeds, &parsed.flags.seeds)) {
    return absl::InvalidArgumentError(
        absl::StrCat("TANDEM_SEEDS=", seeds_variable, ": expected ", NumberText(0, kMaxSeeds)));
  }
  if (parsed.seeds.has_value()) parsed.flags.seeds = *parsed.seeds;
  absl::Status status = CheckTogether(parsed);
  if (!status.ok()) return status;
  return parsed.flags;
}

std::string RunnerFlagsHelp() {
  ParsedFlags parsed;
  return Help(Entries(parsed));
}

uint64_t SeedStartFrom(absl::string_view text, absl::string_view date) {
  uint64_t number = 0;
  if (absl::SimpleAtoi(text, &number)) return number;
  return HashName(text == "date" ? date : text) >> 16;  // Short enough to be read.
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
