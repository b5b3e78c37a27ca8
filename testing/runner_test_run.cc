// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_test_run.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/log_severity.h"
#include "absl/base/no_destructor.h"
#include "absl/log/log_entry.h"
#include "absl/log/log_sink.h"
#include "absl/log/log_sink_registry.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tandem/core/crash/crash_report.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/world/rehearsal.h"
#include "tandem/testing/expectation_context.h"
#include "tandem/testing/report/json.h"
#include "tandem/testing/runner_assertions.h"
#include "tandem/testing/runner_failures.h"
#include "tandem/testing/runner_faults.h"
#include "tandem/testing/runner_flags.h"
#include "tandem/testing/runner_hand_offs.h"
#include "tandem/testing/runner_pool.h"
#include "tandem/testing/runner_protocol.h"
#include "tandem/testing/runner_registry.h"
#include "tandem/testing/runner_scenarios.h"
#include "tandem/testing/runner_stop.h"
#include "tandem/testing/runner_twins.h"
#include "tandem/testing/runner_zygote.h"

namespace tandem::testing {
namespace {

// Ten failures show what one has not; more only take time.
constexpr uint64_t kMaxFailures = 10;

std::string DigestText(const SeedProgress& progress) {
  return absl::StrFormat("%016x%016x", progress.digest_high, progress.digest_low);
}

// The copy that rehearses a seed in the foreground says nothing.
void MuteHere() {
  const int nowhere = open("/dev/null", O_WRONLY);
  dup2(nowhere, STDOUT_FILENO);
  dup2(nowhere, STDERR_FILENO);
  close(nowhere);
}

// What a seed in a child tells of a failed expectation to the recorder, a seed in the foreground tells --break_at.
class FailureTeller final : public ::testing::EmptyTestEventListener {
 public:
  void OnTestPartResult(const ::testing::TestPartResult& part) override {
    if (part.failed()) TellFailureWitness(part.file_name() == nullptr ? "" : part.file_name(), part.message());
  }
};

// And of a failed CHECK, to --break_at alone.
class FatalTeller final : public absl::LogSink {
 public:
  void Send(const absl::LogEntry& entry) override {
    // It comes a second time, with a stack.
    if (entry.log_severity() != absl::LogSeverity::kFatal || !entry.stacktrace().empty()) return;
    // Where that stops, nobody comes to write the line.
    fprintf(stderr, "%s\n", std::string(entry.text_message()).c_str());
    TellFailureWitness(entry.source_filename(), entry.text_message());
  }
};

class TestRun {
 public:
  TestRun(Run& run, const SimTestCase& test, uint32_t index)
      : run_(run), test_(test), name_(absl::StrCat(test.suite, ".", test.name)), index_(index) {}

  void Execute();

 private:
  void ExecuteHere();
  SeedOptions HereOptions() const;
  // Runs `seeds` in `pool` and hands over each outcome as it comes. Stops early after too many failures, and at a
  // StopSignal().
  void RunSeeds(SeedPool& pool, const std::vector<uint64_t>& seeds, const std::function<void(SeedOutcome)>& handle);
  void HandleFirst(SeedOutcome outcome);
  void HandleSecond(SeedOutcome outcome);
  void RunTwins();
  void FailDiffering();
  void PrintDigests();
  void ShowProgress(uint64_t ended, size_t of);
  void PrintSummary();
  void PrintFaultTable();
  bool HasTwin(uint64_t seed) const { return std::binary_search(twice_.begin(), twice_.end(), seed); }
  bool IsThisTest(absl::string_view name) const { return name.empty() || name == name_; }
  void RunRegressions();

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
  Failures failures_{run_, test_, index_};
  std::string skip_message_;
  FaultTable fault_table_;
  NewHandOffs hand_offs_;
  uint64_t operations_ = 0;  // Of a sweep, the most.
  uint64_t regressions_ = 0;
  uint64_t failed_regressions_ = 0;
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
    ::testing::UnitTest::GetInstance()->listeners().Append(new FailureTeller);  // gtest owns it.
    static absl::NoDestructor<FatalTeller> fatal;
    if (run_.flags.break_at.has_value()) absl::AddLogSink(fatal.get());
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
    TellFailureWitness("", "exited before the test's end");
    _exit(1);
  });
  static_cast<void>(registered);
  running = true;
  const SeedResult result = test_.run(HereOptions());
  running = false;
  run_.trace_errno = CurrentSeedProgress().trace_errno;
  if (result.place == kWrongScenario) run_.scenario_is_wrong = true;
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
  const absl::Status started = StopSignal() == 0 ? StartPools(run_) : absl::OkStatus();
  if (StopSignal() != 0) GTEST_SKIP() << StoppedBy();
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
  failures_.Report();
  PrintSummary();
  PrintFaultTable();
  if (StopSignal() != 0 && failures_.empty() && failed_regressions_ == 0) GTEST_SKIP() << StoppedBy();
  if (skipped_ > 0 && passed_ + failed_ == 0) GTEST_SKIP() << Printable(skip_message_);
}

// Those of the first shard.
void TestRun::RunRegressions() {
  if (run_.flags.seed.has_value() || run_.shard.index != 0) return;
  for (const ScenarioFile& regression : run_.regressions) {
    if (!IsThisTest(regression.test)) continue;
    if (StopSignal() != 0) return;
    SeedRun run = SeedRunOf(run_, index_, *regression.seed, TraceKind::kNone, /*details=*/false);
    run.scenario = regression.text;
    const SeedOutcome outcome = run_.pool->RunAlone(run);
    if (outcome.cut_off) return;
    ++regressions_;
    if (!outcome.failed) {
      for (const absl::string_view line : absl::StrSplit(outcome.output, '\n')) {
        if (absl::StartsWith(line, kNoEffect)) {
          fprintf(stderr, "%s: %s\n", regression.name.c_str(), std::string(line).c_str());
        }
      }
      continue;
    }
    ++failed_regressions_;
    failures_.ReportRegression(regression, outcome);
  }
}

void TestRun::RunSeeds(SeedPool& pool, const std::vector<uint64_t>& seeds,
                       const std::function<void(SeedOutcome)>& handle) {
  constexpr int64_t kTurnNs = kNsPerSecond / 2;
  const TraceKind trace = run_.flags.trace.empty() ? TraceKind::kNone : TraceKind::kEvents;
  size_t begun = 0;
  uint64_t ended = 0;
  const uint64_t most = run_.flags.fail_fast ? 1 : kMaxFailures;
  const auto enough = [this, most] { return (failed_ >= most && !run_.flags.keep_going) || StopSignal() != 0; };
  while ((begun < seeds.size() && !enough()) || ended < begun) {
    while (pool.HasFreeSlot() && begun < seeds.size() && !enough()) {
      const uint64_t seed = seeds[begun++];
      pool.Begin(SeedRunOf(run_, index_, seed, trace, /*details=*/HasTwin(seed)));
    }
    std::optional<SeedOutcome> outcome = pool.Next(kTurnNs);
    if (outcome.has_value()) {
      ++ended;
      if (!outcome->cut_off) handle(*std::move(outcome));
    }
    ShowProgress(ended, seeds.size());
  }
}

void TestRun::HandleFirst(SeedOutcome outcome) {
  if (!run_.flags.trace.empty() && run_.trace_errno == 0) run_.trace_errno = outcome.result.progress.trace_errno;
  if (outcome.place == kWrongScenario) run_.scenario_is_wrong = true;
  fault_table_.Add(outcome.result.fault_counts);
  run_.assertions.Add(outcome.assertions);
  operations_ = std::max(operations_, outcome.result.operations);
  // The seeds of a shard are as far apart as there are shards.
  hand_offs_.Add((outcome.seed - seeds_.front()) / run_.shard.count, outcome.seed,
                 std::exchange(outcome.hand_offs, {}));
  if (outcome.failed) {
    ++failed_;
    failures_.Add(outcome);
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
  if (again.empty() || StopSignal() != 0) return;
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
    if (&outcome == &differing_.front() && StopSignal() == 0) {
      where = run_.twins->FindDivergence(*run_.pool,
                                         SeedRunOf(run_, index_, outcome.seed, TraceKind::kRecords, /*details=*/true));
      if (StopSignal() != 0) where.clear();  // Of runs that were cut off.
    }
    outcome.message = absl::StrCat(DescribeDifference(first, outcome), where, outcome.message);
    outcome.differs = true;
    failures_.Add(std::move(outcome));
  }
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
  if (failed_regressions_ > 0) absl::StrAppend(&line, ", of which ", failed_regressions_, " failed");
  if (StopSignal() != 0) {
    absl::StrAppend(&line, "; ", StoppedBy(), " after ", ran, " of ", seeds_.size(), " seeds");
  } else if (ran < seeds_.size()) {
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
  if (failures_.empty() && !missing.empty() && StopSignal() == 0) {
    ADD_FAILURE_AT(test_.file, test_.line) << "faults that were asked for have hit nothing: " << missing;
  }
}

}  // namespace

void RunTest(Run& run, const SimTestCase& test, uint32_t index) { TestRun(run, test, index).Execute(); }

}  // namespace tandem::testing
