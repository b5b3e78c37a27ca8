// SPDX-License-Identifier: Apache-2.0
//
// The parent: flags, shards, gtest, the plan of a test's seeds, and what is printed about them.

#include "tandem/testing/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/crash/crash_report.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/process/reexec.h"
#include "tandem/sim/world/rehearsal.h"
#include "tandem/testing/expectation_context.h"
#include "tandem/testing/runner_assertions.h"
#include "tandem/testing/runner_build.h"
#include "tandem/testing/runner_faults.h"
#include "tandem/testing/runner_flags.h"
#include "tandem/testing/runner_hand_offs.h"
#include "tandem/testing/runner_output.h"
#include "tandem/testing/runner_pool.h"
#include "tandem/testing/runner_protocol.h"
#include "tandem/testing/runner_registry.h"
#include "tandem/testing/runner_report.h"
#include "tandem/testing/runner_scenarios.h"
#include "tandem/testing/runner_shrunk_failure.h"
#include "tandem/testing/runner_twins.h"
#include "tandem/testing/runner_zygote.h"

namespace tandem::testing {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

// Ten failures show what one has not; more only take time.
constexpr uint64_t kMaxFailures = 10;

std::string Environment(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

uint32_t ProcessorCount() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return static_cast<uint32_t>(CPU_COUNT(&set));
}

std::string DigestText(const SeedProgress& progress) {
  return absl::StrFormat("%016x%016x", progress.digest_high, progress.digest_low);
}

// --- The run of a binary --------------------------------------------------------------------------------------------

// What holds for all tests of this process. Made by main() before gtest runs.
struct Run {
  RunnerFlags flags;
  Shard shard;
  std::string program;
  uint32_t test_count = 0;
  ScenarioFile scenario;                  // Of --scenario; its text is empty: there is none.
  bool pinned = false;                    // The file of --pin is written.
  std::vector<ScenarioFile> regressions;  // Scenarios that run before the seeds.
  AssertionTable assertions;              // Of all tests.
  int trace_fd = -1;                      // Of --trace, or of the first runs of twins.
  std::unique_ptr<SeedPool> pool;
  std::unique_ptr<Twins> twins;  // Of --check_determinism, where a seed runs twice.
};

Run* g_run = nullptr;

int64_t WallLimitNs(const RunnerFlags& flags) {
  constexpr int64_t kPlainSeconds = 60;
  constexpr int64_t kSanitizedSeconds = 600;
  const int64_t fallback = kSanitized ? kSanitizedSeconds : kPlainSeconds;
  return (flags.wall_limit_s != 0 ? static_cast<int64_t>(flags.wall_limit_s) : fallback) * kNsPerSecond;
}

Detail DetailOf(const RunnerFlags& flags) {
  return {flags.seed.has_value() ? 1u : 0u, flags.check_isolation ? 1u : 0u, flags.stderr_threshold,
          flags.min_log_level, flags.verbosity};
}

SeedPool::Options PoolOptions(const Run& run, int trace_fd) {
  SeedPool::Options options;
  const uint64_t jobs = run.flags.jobs == 0 ? ProcessorCount() : run.flags.jobs;
  options.slots = static_cast<uint32_t>(std::min<uint64_t>(jobs, kMaxSlots));
  if (run.flags.seed.has_value()) options.slots = 1;
  options.randomize_addresses = run.flags.aslr;
  options.trace_fd = trace_fd;
  options.wall_limit_ns = WallLimitNs(run.flags);
  options.detail = DetailOf(run.flags);
  options.echo_output = run.flags.seed.has_value();
  return options;
}

absl::Status OpenTraces(Run& run) {
  if (run.flags.trace == "-") {
    run.trace_fd = STDOUT_FILENO;
  } else if (!run.flags.trace.empty()) {
    run.trace_fd = open(run.flags.trace.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (run.trace_fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("--trace=", run.flags.trace));
  } else if (run.flags.check_determinism != CheckedSeeds::kNone) {
    run.trace_fd = OpenTwinTrace("trace-1");
    if (run.trace_fd < 0) return absl::ErrnoToStatus(errno, "memfd_create");
  }
  return absl::OkStatus();
}

// Starts what the first test needs; later tests find it.
absl::Status StartPools(Run& run) {
  if (run.pool != nullptr) return absl::OkStatus();
  absl::Status status = OpenTraces(run);
  if (!status.ok()) return status;
  absl::StatusOr<std::unique_ptr<SeedPool>> pool = SeedPool::Start(PoolOptions(run, run.trace_fd));
  if (!pool.ok()) return pool.status();
  run.pool = *std::move(pool);
  if (!run.pool->has_fixed_addresses()) fputs("[sim] ASLR on: only portable programs replay exactly\n", stderr);
  return absl::OkStatus();
}

absl::Status StartTwins(Run& run) {
  if (run.twins != nullptr) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<Twins>> twins = Twins::Start(PoolOptions(run, run.trace_fd), run.flags.portable);
  if (!twins.ok()) return twins.status();
  run.twins = *std::move(twins);
  return absl::OkStatus();
}

// The command that runs one seed of `test` again.
std::string ReplayCommand(const Run& run, const SimTestCase& test, uint64_t seed, bool twice) {
  const std::string target = Environment("TEST_TARGET");
  const bool bazel = !target.empty();
  const absl::string_view prefix = bazel ? " --test_arg=" : " ";
  std::string command = bazel ? absl::StrCat("bazel test ", target, BuildConfigFlags()) : run.program;
  if (run.test_count > 1) {
    absl::StrAppend(&command, bazel ? " --test_filter=" : " --gtest_filter=", test.suite, ".", test.name);
  }
  if (!run.flags.scenario.empty()) absl::StrAppend(&command, prefix, "--scenario=", run.flags.scenario);
  if (run.scenario.seed != seed) absl::StrAppend(&command, prefix, "--seed=", seed);
  if (run.flags.max_events != kDefaultMaxEvents) {
    absl::StrAppend(&command, prefix, "--max_events=", run.flags.max_events);
  }
  if (run.flags.wall_limit_s != 0) absl::StrAppend(&command, prefix, "--wall_limit_s=", run.flags.wall_limit_s);
  if (twice) absl::StrAppend(&command, prefix, "--check_determinism");
  if (run.flags.check_isolation) absl::StrAppend(&command, prefix, "--check_isolation");
  if (run.flags.aslr) absl::StrAppend(&command, prefix, "--aslr");
  if (run.flags.portable && !bazel) absl::StrAppend(&command, prefix, "--portable");
  return command;
}

// --- The run of one test --------------------------------------------------------------------------------------------

// The copy that rehearses a seed in the foreground says nothing.
void MuteHere() {
  const int nowhere = open("/dev/null", O_WRONLY);
  dup2(nowhere, STDOUT_FILENO);
  dup2(nowhere, STDERR_FILENO);
  close(nowhere);
}

class TestRun {
 public:
  TestRun(Run& run, const SimTestCase& test, uint32_t index)
      : run_(run), test_(test), name_(absl::StrCat(test.suite, ".", test.name)), index_(index) {}

  void Execute();

 private:
  void ExecuteHere();
  SeedOptions HereOptions() const;
  // What the caller's flags say of it.
  SeedRun RunOf(uint64_t seed, TraceKind trace, bool details) const;
  // Runs `seeds` in `pool` and hands over each outcome as it comes. Stops early after too many failures.
  void RunSeeds(SeedPool& pool, const std::vector<uint64_t>& seeds, const std::function<void(SeedOutcome)>& handle);
  void HandleFirst(SeedOutcome outcome);
  void HandleSecond(SeedOutcome outcome);
  void RunTwins();
  void FailDiffering();
  void Fail(SeedOutcome outcome);
  void ReportFailures();
  ShrunkFailure Shrink(const SeedOutcome& failure) const;
  std::string Pin(const SeedOutcome& failure, const std::string& scenario) const;
  std::string KeepOthers(const SeedOutcome& failure, const ShrunkFailure& shrunk) const;
  std::string ReportFolder(uint64_t seed) const;
  std::string Explain(const SeedOutcome& failure, const std::string& scenario) const;
  void PrintDigests();
  void ShowProgress(uint64_t ended, size_t of);
  void PrintSummary();
  void PrintFaultTable();
  // Whether `seed` failed because its two runs differ, or the caller asks for two runs of each.
  bool IsReplayedTwice(uint64_t seed) const {
    return run_.flags.check_determinism == CheckedSeeds::kAll ||
           std::any_of(differing_.begin(), differing_.end(), [seed](const SeedOutcome& o) { return o.seed == seed; });
  }
  bool HasTwin(uint64_t seed) const { return std::binary_search(twice_.begin(), twice_.end(), seed); }
  bool IsThisTest(absl::string_view name) const { return name.empty() || name == name_; }
  void RunRegressions();
  std::string ScenarioCommand(const std::string& file) const;

  Run& run_;
  const SimTestCase& test_;
  const std::string name_;
  const uint32_t index_;
  std::vector<uint64_t> seeds_;
  std::vector<uint64_t> twice_;                     // Those that run twice, sorted.
  std::map<uint64_t, SeedOutcome> first_outcomes_;  // By seed; only while somebody still needs them.
  size_t digests_printed_ = 0;
  uint64_t passed_ = 0;
  uint64_t skipped_ = 0;
  uint64_t failed_ = 0;
  uint64_t ran_twice_ = 0;
  std::vector<SeedOutcome> failures_;  // The one to look at first, then the others in a line each.
  std::string skip_message_;
  FaultTable fault_table_;
  NewHandOffs hand_offs_;
  uint64_t operations_ = 0;  // Of a sweep, the most.
  uint64_t regressions_ = 0;
  std::vector<SeedOutcome> differing_;  // The second runs that were not as the first.
  int64_t start_ns_ = sim::RealNow();
  int64_t next_progress_ns_ = start_ns_;
  bool second_time_ = false;  // Twins run.
};

// In this process, under gtest's own eyes: what a debugger looks at. Outside of the world the machine is real, and the
// addresses are other ones than in a child.
void TestRun::ExecuteHere() {
  static const bool initialized = [this] {
    InitializeSeedLog(DetailOf(run_.flags));
    InstallCrashReport();
    PrintContextOfExpectations();
    WatchAssertions(-1);
    sim::Rehearsal::Allow(&MuteHere);
    return true;
  }();
  static_cast<void>(initialized);
  const absl::Status opened = OpenTraces(run_);
  if (!opened.ok()) {
    ADD_FAILURE_AT(test_.file, test_.line) << opened;
    return;
  }
  static bool running = false;
  static const int registered = atexit([] {
    if (!running) return;
    fputs("[sim] the program exited before the test's end\n", stderr);
    _exit(1);
  });
  static_cast<void>(registered);
  running = true;
  const SeedResult result = test_.run(HereOptions());
  running = false;
  if (result.failed) ADD_FAILURE_AT(test_.file, test_.line) << result.message;
  if (run_.flags.print_digest) {
    printf("seed %ju digest %016jx%016jx\n", static_cast<uintmax_t>(*run_.flags.seed),
           static_cast<uintmax_t>(result.progress.digest_high), static_cast<uintmax_t>(result.progress.digest_low));
  }
}

SeedOptions TestRun::HereOptions() const {
  SeedOptions options;
  options.seed = *run_.flags.seed;
  options.test = name_;
  options.max_events = run_.flags.max_events;
  options.trace_fd = run_.trace_fd;
  options.scenario = run_.scenario.text;
  options.isolation = run_.flags.check_isolation;
  options.all_faults = true;
  options.break_at = run_.flags.break_at;
  options.details = run_.flags.break_at.has_value();
  return options;
}

void TestRun::Execute() {
  if (!IsThisTest(run_.scenario.test)) GTEST_SKIP() << "the scenario is of " << run_.scenario.test;
  if (run_.flags.here) return ExecuteHere();
  const absl::Status started = StartPools(run_);
  if (!started.ok()) {
    ADD_FAILURE_AT(test_.file, test_.line) << "cannot start the seeds: " << started;
    return;
  }
  RunRegressions();
  seeds_ = SeedsOfShard(run_.flags, run_.shard);
  twice_ = SeedsWithTwin(seeds_, run_.flags);
  std::sort(twice_.begin(), twice_.end());
  if (run_.flags.seed.has_value() && !seeds_.empty()) printf("[sim] seed %ju\n", static_cast<uintmax_t>(seeds_[0]));
  fflush(stdout);
  RunSeeds(*run_.pool, seeds_, [this](SeedOutcome outcome) { HandleFirst(std::move(outcome)); });
  RunTwins();
  ReportFailures();
  PrintSummary();
  PrintFaultTable();
  if (skipped_ > 0 && passed_ + failed_ == 0) GTEST_SKIP() << skip_message_;
}

// Those of the first shard.
void TestRun::RunRegressions() {
  if (run_.flags.seed.has_value() || run_.shard.index != 0) return;
  for (const ScenarioFile& regression : run_.regressions) {
    if (!IsThisTest(regression.test)) continue;
    SeedRun run = RunOf(*regression.seed, TraceKind::kNone, /*details=*/false);
    run.scenario = regression.text;
    const SeedOutcome outcome = run_.pool->RunAlone(run);
    ++regressions_;
    if (!outcome.failed) {
      for (const absl::string_view line : absl::StrSplit(outcome.output, '\n')) {
        if (absl::StartsWith(line, kNoEffect)) {
          fprintf(stderr, "%s: %s\n", regression.name.c_str(), std::string(line).c_str());
        }
      }
      continue;
    }
    ADD_FAILURE_AT(test_.file, test_.line) << "the regression " << regression.name << " (seed " << *regression.seed
                                           << ") failed: " << outcome.message << "--- what it printed:\n"
                                           << outcome.output << "---\nreplay: " << ScenarioCommand(regression.name);
  }
}

SeedRun TestRun::RunOf(uint64_t seed, TraceKind trace, bool details) const {
  SeedRun run;
  run.test = index_;
  run.seed = seed;
  run.max_events = run_.flags.max_events;
  run.trace = trace;
  run.details = details;
  run.scenario = run_.scenario.text;
  return run;
}

// The command that runs the scenario of `file` again.
std::string TestRun::ScenarioCommand(const std::string& file) const {
  const std::string target = Environment("TEST_TARGET");
  if (target.empty()) return absl::StrCat(run_.program, " --gtest_filter=", name_, " --scenario=", file);
  return absl::StrCat("bazel test ", target, BuildConfigFlags(), " --test_filter=", name_,
                      " --test_arg=--scenario=", file);
}

void TestRun::RunSeeds(SeedPool& pool, const std::vector<uint64_t>& seeds,
                       const std::function<void(SeedOutcome)>& handle) {
  constexpr int64_t kTurnNs = kNsPerSecond / 2;
  const TraceKind trace = run_.flags.trace.empty() ? TraceKind::kNone : TraceKind::kEvents;
  size_t begun = 0;
  uint64_t ended = 0;
  const uint64_t most = run_.flags.fail_fast ? 1 : kMaxFailures;
  const auto enough = [this, most] { return failed_ >= most && !run_.flags.keep_going; };
  while ((begun < seeds.size() && !enough()) || ended < begun) {
    while (pool.HasFreeSlot() && begun < seeds.size() && !enough()) {
      const uint64_t seed = seeds[begun++];
      pool.Begin(RunOf(seed, trace, /*details=*/HasTwin(seed)));
    }
    std::optional<SeedOutcome> outcome = pool.Next(kTurnNs);
    if (outcome.has_value()) {
      ++ended;
      handle(*std::move(outcome));
    }
    ShowProgress(ended, seeds.size());
  }
}

void TestRun::HandleFirst(SeedOutcome outcome) {
  fault_table_.Add(outcome.result.fault_counts);
  run_.assertions.Add(outcome.assertions);
  operations_ = std::max(operations_, outcome.result.operations);
  // The seeds of a shard are as far apart as there are shards.
  hand_offs_.Add((outcome.seed - seeds_.front()) / run_.shard.count, outcome.seed,
                 std::exchange(outcome.hand_offs, {}));
  if (outcome.failed) {
    ++failed_;
    Fail(outcome);
  } else if (outcome.skipped) {
    ++skipped_;
    skip_message_ = outcome.message;
  } else {
    ++passed_;
  }
  if (!run_.flags.print_digest && !HasTwin(outcome.seed)) return;
  outcome.output.clear();
  const uint64_t seed = outcome.seed;
  first_outcomes_.emplace(seed, std::move(outcome));
  if (run_.flags.print_digest) PrintDigests();
}

// Runs the seeds that have a twin again, those that have run.
void TestRun::RunTwins() {
  std::vector<uint64_t> again;
  for (const uint64_t seed : twice_) {
    if (first_outcomes_.contains(seed)) again.push_back(seed);
  }
  if (again.empty()) return;
  second_time_ = true;
  const absl::Status started = StartTwins(run_);
  if (!started.ok()) {
    ADD_FAILURE_AT(test_.file, test_.line) << "cannot run seeds twice: " << started;
    return;
  }
  RunSeeds(run_.twins->pool(), again, [this](SeedOutcome outcome) { HandleSecond(std::move(outcome)); });
  FailDiffering();
}

void TestRun::HandleSecond(SeedOutcome outcome) {
  ++ran_twice_;
  const SeedOutcome& first = first_outcomes_.at(outcome.seed);
  if (AreTwins(first, outcome)) return;
  if (!first.failed) {
    --(first.skipped ? skipped_ : passed_);
    ++failed_;
  }
  differing_.push_back(std::move(outcome));
}

// Reports the seeds whose two runs differ, the first of them with the place in the trace.
void TestRun::FailDiffering() {
  std::sort(differing_.begin(), differing_.end(),
            [](const SeedOutcome& a, const SeedOutcome& b) { return a.seed < b.seed; });
  for (SeedOutcome& outcome : differing_) {
    const SeedOutcome& first = first_outcomes_.at(outcome.seed);
    std::string where;
    if (&outcome == &differing_.front()) {
      where = run_.twins->FindDivergence(*run_.pool, RunOf(outcome.seed, TraceKind::kRecords, /*details=*/true));
    }
    outcome.message = absl::StrCat(DescribeDifference(first, outcome), where, outcome.message);
    outcome.differs = true;
    std::erase_if(failures_, [&](const SeedOutcome& failure) { return failure.seed == outcome.seed; });
    Fail(std::move(outcome));
  }
}

// The seed to look at first: one that does not do the same again, else one that fails without faults, else the
// smallest. Of a crash nobody knows its faults.
bool IsBefore(const SeedOutcome& a, const SeedOutcome& b) {
  if (a.differs != b.differs) return a.differs;
  const bool plain_a = a.ended && a.result.faults == 0;
  const bool plain_b = b.ended && b.result.faults == 0;
  return plain_a != plain_b ? plain_a : a.seed < b.seed;
}

// Notes the failure for the end, when it is known which of them is worth reading.
void TestRun::Fail(SeedOutcome outcome) {
  if (!run_.flags.seed.has_value()) {
    fprintf(stderr, "[sim] %s.%s: seed %ju failed\n", test_.suite, test_.name, static_cast<uintmax_t>(outcome.seed));
  }
  failures_.push_back(std::move(outcome));
  if (failures_.size() == 1) return;
  // The one to look at stays in front, and of the others a line is kept.
  if (IsBefore(failures_.back(), failures_.front())) std::swap(failures_.back(), failures_.front());
  SeedOutcome& other = failures_.back();
  other.output.clear();
  other.message = absl::StrCat(other.message.substr(0, other.message.find('\n')), "\n");
}

// A line about each failure, and at the end all about the one to look at: they tend to say the same.
void TestRun::ReportFailures() {
  if (failures_.empty()) return;
  SeedOutcome& shown = failures_.front();
  const ShrunkFailure shrunk = Shrink(shown);
  const std::string pinned = Pin(shown, shrunk.scenario);
  if (!shown.output.empty() && !run_.flags.seed.has_value()) {
    absl::StrAppend(&shown.message, "--- what it printed:\n", absl::StripTrailingAsciiWhitespace(shown.output),
                    "\n---\n");
  }
  absl::StrAppend(&shown.message, shrunk.text, KeepOthers(shown, shrunk), pinned, Explain(shown, shrunk.scenario));
  std::rotate(failures_.begin(), failures_.begin() + 1, failures_.end());
  std::sort(failures_.begin(), failures_.end() - 1,
            [](const SeedOutcome& a, const SeedOutcome& b) { return a.seed < b.seed; });
  for (const SeedOutcome& failure : failures_) {
    ADD_FAILURE_AT(test_.file, test_.line)
        << "seed " << failure.seed << " failed: " << failure.message
        << "replay: " << ReplayCommand(run_, test_, failure.seed, IsReplayedTwice(failure.seed));
  }
}

// What is left of the scenario of `failure`.
ShrunkFailure TestRun::Shrink(const SeedOutcome& failure) const {
  constexpr uint64_t kDefaultSeconds = 10;
  const bool by_default = !run_.flags.seed.has_value() || !run_.flags.pin.empty();
  const uint64_t seconds = run_.flags.shrink_s.value_or(by_default ? kDefaultSeconds : 0);
  if (seconds == 0 || failure.differs || failure.stopped) return {};
  SeedPool::Options options = PoolOptions(run_, -1);
  options.slots = 1;
  options.echo_output = false;
  options.wall_limit_ns = std::min(options.wall_limit_ns, (kSanitized ? 20 : 2) * kNsPerSecond);
  const absl::StatusOr<std::unique_ptr<SeedPool>> pool = SeedPool::Start(options);
  if (!pool.ok()) return {"", absl::StrCat("not shrunk: ", pool.status().ToString(), "\n"), {}};
  const SeedRun run = RunOf(failure.seed, TraceKind::kNone, /*details=*/false);
  return ShrinkFailure(**pool, run, failure, static_cast<int64_t>(seconds) * kNsPerSecond);
}

// A relative name is one where the caller is, or of an output of the test.
std::string PlaceOf(const std::string& file) {
  if (file.front() == '/') return file;
  for (const char* const folder : {"BUILD_WORKING_DIRECTORY", "TEST_UNDECLARED_OUTPUTS_DIR"}) {
    if (const std::string place = Environment(folder); !place.empty()) return absl::StrCat(place, "/", file);
  }
  return file;
}

// Writes the file of --pin, with what failed as a remark; returns what became of it.
std::string TestRun::Pin(const SeedOutcome& failure, const std::string& scenario) const {
  if (run_.flags.pin.empty()) return "";
  if (scenario.empty()) return absl::StrCat("nothing is written to ", run_.flags.pin, ": there is no scenario\n");
  if (std::exchange(run_.pinned, true)) {
    return absl::StrCat("nothing is written to ", run_.flags.pin, ": it has the failure of another test\n");
  }
  const std::string place = PlaceOf(run_.flags.pin);
  std::error_code ignored;  // Writing says it better.
  std::filesystem::create_directories(std::filesystem::path(place).parent_path(), ignored);
  const absl::Status written = WriteScenarioFile(place, failure.message, scenario);
  return written.ok() ? absl::StrCat("written to ", place, "\n") : absl::StrCat(written.message(), "\n");
}

// What failed in another way while `shrunk` was looked for, a line each; where there is a folder, with a scenario of
// it.
std::string TestRun::KeepOthers(const SeedOutcome& failure, const ShrunkFailure& shrunk) const {
  const std::string folder = ReportFolder(failure.seed);
  std::error_code ignored;  // Writing says it better.
  if (!folder.empty() && !shrunk.others.empty()) std::filesystem::create_directories(folder, ignored);
  std::string text;
  size_t number = 0;
  for (const auto& [what, scenario] : shrunk.others) {
    const absl::string_view line = absl::string_view(what).substr(0, what.find('\n'));
    absl::StrAppend(&text, "another failure on the way: ", line);
    const std::string place = absl::StrCat(folder, "/other-", ++number, ".scenario");
    if (!folder.empty() && WriteScenarioFile(place, line, scenario).ok()) absl::StrAppend(&text, ": ", place);
    text += "\n";
  }
  return text;
}

// Where the files of a report go, a folder for each test and seed; empty: nowhere.
std::string TestRun::ReportFolder(uint64_t seed) const {
  const std::string outputs =
      run_.flags.out.empty() ? Environment("TEST_UNDECLARED_OUTPUTS_DIR") : PlaceOf(run_.flags.out);
  return outputs.empty() ? "" : absl::StrCat(outputs, "/", name_, "-seed-", seed);
}

// What led to `failure`, of the run with `scenario`; empty: with its own.
std::string TestRun::Explain(const SeedOutcome& failure, const std::string& scenario) const {
  if (!run_.flags.report || failure.differs || failure.stopped) return "";
  FailureToExplain what;
  what.test = name_;
  what.run = RunOf(failure.seed, TraceKind::kNone, /*details=*/false);
  if (!scenario.empty()) what.run.scenario = scenario;
  what.folder = ReportFolder(failure.seed);
  what.message = failure.message;
  what.branches = run_.flags.cause;
  what.replay = run_.flags.out.empty() ? ReplayCommand(run_, test_, failure.seed, /*twice=*/false)
                                       : ScenarioCommand(absl::StrCat(what.folder, "/scenario.txt"));
  return ExplainFailure(PoolOptions(run_, -1), what);
}

// In the order of the seeds, each as soon as all before it are there.
void TestRun::PrintDigests() {
  while (digests_printed_ < seeds_.size()) {
    const auto found = first_outcomes_.find(seeds_[digests_printed_]);
    if (found == first_outcomes_.end()) break;
    printf("seed %ju digest %s\n", static_cast<uintmax_t>(found->first),
           DigestText(found->second.result.progress).c_str());
    if (!HasTwin(found->first)) first_outcomes_.erase(found);
    ++digests_printed_;
  }
  fflush(stdout);
}

void TestRun::ShowProgress(uint64_t ended, size_t of) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const int64_t step_ns = (terminal ? 1 : 10) * kNsPerSecond;
  const int64_t now_ns = sim::RealNow();
  if (next_progress_ns_ == start_ns_) next_progress_ns_ = start_ns_ + step_ns;
  if (now_ns < next_progress_ns_) return;
  next_progress_ns_ = now_ns + step_ns;
  fprintf(stderr, "%s[sim] %s.%s: %ju of %zu seeds%s, %ju failed, %jd s%s", terminal ? "\r" : "", test_.suite,
          test_.name, static_cast<uintmax_t>(ended), of, second_time_ ? " a second time" : "",
          static_cast<uintmax_t>(failed_), static_cast<intmax_t>((now_ns - start_ns_) / kNsPerSecond),
          terminal ? "\033[K" : "\n");
}

void TestRun::PrintSummary() {
  const uint64_t ran = passed_ + skipped_ + failed_;
  std::string line = absl::StrCat("[sim] ", test_.suite, ".", test_.name, ": ", ran, ran == 1 ? " seed, " : " seeds, ",
                                  failed_, " failed");
  if (skipped_ > 0) absl::StrAppend(&line, ", ", skipped_, " skipped");
  if (ran_twice_ > 0) absl::StrAppend(&line, ", ", ran_twice_, " run twice");
  if (operations_ > 0) absl::StrAppend(&line, ", each of ", operations_, " operations failed in turn");
  if (regressions_ > 0) absl::StrAppend(&line, "; ", regressions_, regressions_ == 1 ? " regression" : " regressions");
  if (ran < seeds_.size()) {
    absl::StrAppend(&line, "; ", seeds_.size() - ran, " not run after ", failed_,
                    failed_ == 1 ? " failure" : " failures", run_.flags.fail_fast ? "" : " (--keep_going runs all)");
  }
  if (run_.shard.count > 1) absl::StrAppend(&line, "; shard ", run_.shard.index + 1, " of ", run_.shard.count);
  absl::StrAppendFormat(&line, ", %.1f s", static_cast<double>(sim::RealNow() - start_ns_) / kNsPerSecond);
  if (isatty(STDERR_FILENO) != 0) fputs("\r\033[K", stderr);
  printf("%s\n", line.c_str());
  fflush(stdout);
}

// A kind that was asked for and has hit nothing in many seeds tests nothing.
void TestRun::PrintFaultTable() {
  if (run_.flags.seed.has_value()) return;
  fputs(hand_offs_.ToString().c_str(), stdout);
  fputs(fault_table_.ToString().c_str(), stdout);
  fflush(stdout);
  const std::string missing = fault_table_.KindsWithoutHit();
  if (failures_.empty() && !missing.empty()) {
    ADD_FAILURE_AT(test_.file, test_.line) << "faults that were asked for have hit nothing: " << missing;
  }
}

// --- All tests together ---------------------------------------------------------------------------------------------

// Some seeds of some test have to reach what must be reached. Whoever asks for a part of the seeds is not told.
class Coverage : public ::testing::Environment {
 public:
  explicit Coverage(const Run& run) : run_(run) {}

  void TearDown() override {
    if (run_.flags.seed.has_value() || run_.assertions.seeds() == 0) return;
    fputs(run_.assertions.ToString(run_.flags.covers).c_str(), stdout);
    fflush(stdout);
    const bool all = run_.shard.count == 1 && run_.flags.seeds >= run_.flags.default_seeds &&
                     GTEST_FLAG_GET(filter) == "*" && ::testing::UnitTest::GetInstance()->Passed();
    const std::string unreached = run_.assertions.Unreached(run_.flags.covers);
    if (all && !unreached.empty()) {
      ADD_FAILURE_AT(nullptr, -1) << "not reached in " << run_.assertions.seeds() << " seeds:\n" << unreached;
    }
  }

 private:
  const Run& run_;
};

// --- main() ---------------------------------------------------------------------------------------------------------

class SimTest : public ::testing::Test {
 public:
  SimTest(const SimTestCase& test, uint32_t index) : test_(test), index_(index) {}
  void TestBody() override { TestRun(*g_run, test_, index_).Execute(); }

 private:
  const SimTestCase& test_;
  const uint32_t index_;
};

void RegisterWithGtest(Run& run) {
  for (const SimTestCase* test = FirstSimTest(); test != nullptr; test = test->next) {
    const uint32_t index = run.test_count++;
    ::testing::RegisterTest(test->suite, test->name, nullptr, nullptr, test->file, test->line,
                            [test, index]() -> ::testing::Test* { return new SimTest(*test, index); });
  }
}

// Takes the sharding over from gtest, which would split the tests and not the seeds.
absl::StatusOr<Shard> TakeShard() {
  unsetenv("GTEST_SHARD_INDEX");
  unsetenv("GTEST_TOTAL_SHARDS");
  unsetenv("GTEST_SHARD_STATUS_FILE");
  Shard shard;
  const std::string index = Environment("TEST_SHARD_INDEX");
  const std::string count = Environment("TEST_TOTAL_SHARDS");
  if (index.empty() || count.empty()) return shard;
  if (!absl::SimpleAtoi(index, &shard.index) || !absl::SimpleAtoi(count, &shard.count) || shard.index >= shard.count) {
    return absl::InvalidArgumentError(absl::StrCat("TEST_SHARD_INDEX=", index, " and TEST_TOTAL_SHARDS=", count,
                                                   ": expected an index below the number of shards"));
  }
  const std::string status_file = Environment("TEST_SHARD_STATUS_FILE");
  if (!status_file.empty()) {
    const int file = open(status_file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (file >= 0) close(file);
  }
  return shard;
}

// A standard descriptor that the caller has closed would be given to a pipe, into which everybody prints then.
void OpenStandardDescriptors() {
  int file;
  do {
    file = open("/dev/null", O_RDWR);
  } while (file >= 0 && file <= STDERR_FILENO);
  if (file >= 0) close(file);
}

// A child's own descriptors are behind those of all slots.
absl::Status AllowDescriptors() {
  constexpr rlim_t kNeeded = kChildTraceDescriptor + 16;
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kNeeded) return absl::OkStatus();
  limit.rlim_cur = kNeeded;
  if (limit.rlim_max >= kNeeded && setrlimit(RLIMIT_NOFILE, &limit) == 0) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("a simulation test needs ", kNeeded, " open files, and \"ulimit -n\" allows ", limit.rlim_max));
}

// gtest is content when a filter selects nothing; whoever replays a seed is not.
absl::Status CheckFilter(const std::string& filter) {
  const ::testing::UnitTest& tests = *::testing::UnitTest::GetInstance();
  if (tests.test_to_run_count() > 0 || tests.total_test_count() == 0) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("no test is called ", filter, TestNames()));
}

// Reads the files of the flags; the seed in that of --scenario is the one to run, unless --seed says otherwise.
absl::Status ReadScenarios(Run& run) {
  absl::StatusOr<std::vector<ScenarioFile>> regressions = ReadRegressions(run.flags.regressions);
  if (!regressions.ok()) return regressions.status();
  run.regressions = *std::move(regressions);
  if (run.flags.scenario.empty()) return absl::OkStatus();
  absl::StatusOr<ScenarioFile> scenario = ReadScenarioFile("scenario", run.flags.scenario);
  if (!scenario.ok()) return scenario.status();
  run.scenario = *std::move(scenario);
  if (!run.flags.seed.has_value()) run.flags.seed = run.scenario.seed;
  if (!run.flags.seed.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--scenario=", run.flags.scenario, " has no seed line: give --seed"));
  }
  return absl::OkStatus();
}

// What --seeds_from means, said so that it can be done again on another day.
void ChooseSeedStart(RunnerFlags& flags) {
  if (flags.seeds_from.empty()) return;
  const std::string date = absl::FormatTime("%Y-%m-%d", absl::Now(), absl::UTCTimeZone());
  flags.seed_start = SeedStartFrom(flags.seeds_from, date);
  printf("[sim] seeds from %s: --seed_start=%ju\n",
         flags.seeds_from == "date" ? date.c_str() : flags.seeds_from.c_str(),
         static_cast<uintmax_t>(flags.seed_start));
}

int UsageError(const absl::Status& status) {
  fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return 2;
}

// Returns the exit status.
int RunTests(int argc, char** argv) {
  absl::StatusOr<Shard> shard = TakeShard();
  if (!shard.ok()) return UsageError(shard.status());

  Run run;
  run.shard = *shard;
  run.program = argv[0];
  RegisterWithGtest(run);
  const std::vector<std::string> all_arguments(argv + 1, argv + argc);
  const bool help = std::find(all_arguments.begin(), all_arguments.end(), "--help") != all_arguments.end();
  if (help) printf("The flags of a simulation test:\n%s\nThose of gtest:\n", RunnerFlagsHelp().c_str());
  ::testing::InitGoogleTest(&argc, argv);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  absl::StatusOr<RunnerFlags> flags = ParseRunnerFlags(arguments, Environment("TANDEM_SEEDS"));
  if (!flags.ok()) return UsageError(flags.status());
  run.flags = *flags;
  if (const absl::Status read = ReadScenarios(run); !read.ok()) return UsageError(read);
  ChooseSeedStart(run.flags);
  if (run.flags.fail_fast) GTEST_FLAG_SET(fail_fast, true);

  ::testing::AddGlobalTestEnvironment(new Coverage(run));  // gtest owns it.
  g_run = &run;
  const int result = RUN_ALL_TESTS();
  g_run = nullptr;
  const std::string filter = GTEST_FLAG_GET(filter);
  const absl::Status selected = help ? absl::OkStatus() : CheckFilter(filter);
  if (selected.ok()) return result;
  const int usage_error = UsageError(selected);
  // Bazel gives its --test_filter to all tests that it runs, most of which have nothing by that name.
  return !filter.empty() && filter == Environment("TESTBRIDGE_TEST_ONLY") ? result : usage_error;
}

}  // namespace

int SimTestMain(int argc, char** argv) {
  if (sim::IsCleanProcess(argc, argv)) RunZygote();
  sim::UseRealMachine();
  OpenStandardDescriptors();
  const absl::Status allowed = AllowDescriptors();
  if (!allowed.ok()) return UsageError(allowed);
  signal(SIGPIPE, SIG_IGN);  // A zygote that died is an error to report, not a reason to die.
  KeepAllOutput();
  const int status = RunTests(argc, argv);
  return FinishOutput() || status != 0 ? status : 1;
}

}  // namespace tandem::testing
