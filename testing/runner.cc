// SPDX-License-Identifier: Apache-2.0
//
// The parent: flags, shards and gtest.

#include "tandem/testing/runner.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/process/reexec.h"
#include "tandem/testing/runner_assertions.h"
#include "tandem/testing/runner_flags.h"
#include "tandem/testing/runner_output.h"
#include "tandem/testing/runner_place.h"
#include "tandem/testing/runner_protocol.h"
#include "tandem/testing/runner_registry.h"
#include "tandem/testing/runner_run.h"
#include "tandem/testing/runner_scenarios.h"
#include "tandem/testing/runner_stop.h"
#include "tandem/testing/runner_test_run.h"
#include "tandem/testing/runner_zygote.h"

namespace tandem::testing {
namespace {

Run* g_run = nullptr;

// --- All tests together ---------------------------------------------------------------------------------------------

// Some seeds of some test have to reach what must be reached. Whoever asks for a part of the seeds is not told.
class Coverage : public ::testing::Environment {
 public:
  explicit Coverage(const Run& run) : run_(run) {}

  void TearDown() override {
    if (run_.flags.seed.has_value() || run_.assertions.seeds() == 0) return;
    fputs(run_.assertions.ToString(run_.flags.covers).c_str(), stdout);
    fflush(stdout);
    if (const std::string own = PackageOfTest(); !own.empty()) {
      const std::string missing = AssertionTable::WithoutAny(run_.flags.covers, own);
      if (!missing.empty()) ADD_FAILURE_AT(nullptr, -1) << missing;
    }
    const bool all = StopSignal() == 0 && run_.shard.count == 1 && run_.flags.seeds >= run_.flags.default_seeds &&
                     GTEST_FLAG_GET(filter) == "*" && ::testing::UnitTest::GetInstance()->Passed();
    const std::string unreached = run_.assertions.Unreached(run_.flags.covers);
    if (all && !unreached.empty()) {
      const ::tandem::internal::AssertionSite& first = *run_.assertions.FirstUnreached(run_.flags.covers);
      ADD_FAILURE_AT(std::string(first.file()).c_str(), first.line())
          << "not reached in " << run_.assertions.seeds() << " seeds:\n"
          << unreached;
    }
  }

 private:
  const Run& run_;
};

// --- main() ---------------------------------------------------------------------------------------------------------

class SimTest : public ::testing::Test {
 public:
  SimTest(const SimTestCase& test, uint32_t index) : test_(test), index_(index) {}
  void TestBody() override { RunTest(*g_run, test_, index_); }

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

// Whether the test `name` was one of those to run.
bool WasSelected(absl::string_view name) {
  const ::testing::UnitTest& tests = *::testing::UnitTest::GetInstance();
  for (int i = 0; i < tests.total_test_suite_count(); ++i) {
    const ::testing::TestSuite& suite = *tests.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const ::testing::TestInfo& test = *suite.GetTestInfo(j);
      if (name == absl::StrCat(suite.name(), ".", test.name())) return test.should_run();
    }
  }
  return false;
}

// What is known once all has run: whoever replays a scenario is not content when its test was left out.
absl::Status CheckScenario(const Run& run, const std::string& filter) {
  if (run.scenario_is_wrong) {
    return absl::NotFoundError(
        absl::StrCat("--scenario=", run.flags.scenario, ": it has a host that the test has not"));
  }
  if (run.scenario.test.empty() || WasSelected(run.scenario.test)) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("--scenario=", run.flags.scenario, ": it is of ", run.scenario.test,
                                          ", which has not run: --gtest_filter=", filter, " leaves it out"));
}

absl::Status CheckTrace(const Run& run) {
  if (run.trace_errno == 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("--trace=", run.flags.trace,
                   ": the trace is cut off, it cannot be written: ", strerror(static_cast<int>(run.trace_errno))));
}

absl::Status TryTarget(absl::string_view flag, const std::string& name, const absl::Status& tried) {
  if (tried.ok()) return tried;
  return absl::UnavailableError(absl::StrCat("--", flag, "=", name, ": ", tried.message()));
}

// Whoever cannot be given what a run finds is told before it begins.
absl::Status TryTargets(const RunnerFlags& flags) {
  if (!flags.out.empty()) {
    if (absl::Status tried = TryTarget("out", flags.out, TryFolder(PlaceOf(flags.out))); !tried.ok()) return tried;
  }
  if (!flags.pin.empty()) {
    if (absl::Status tried = TryTarget("pin", flags.pin, TryNewFile(PlaceOf(flags.pin))); !tried.ok()) return tried;
  }
  if (flags.trace.empty() || flags.trace == "-") return absl::OkStatus();
  return TryTarget("trace", flags.trace, TryFile(flags.trace));
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
  if (run.flags.seed.has_value() && run.scenario.seed.value_or(*run.flags.seed) != *run.flags.seed) {
    fprintf(stderr, "--seed=%ju instead of the scenario's %ju\n", static_cast<uintmax_t>(*run.flags.seed),
            static_cast<uintmax_t>(*run.scenario.seed));
  }
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
  if (::testing::UnitTest::GetInstance()->total_test_count() == 0) {
    return UsageError(absl::FailedPreconditionError("this binary has no test: write a SIM_TEST in one of its srcs"));
  }
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  absl::StatusOr<RunnerFlags> flags = ParseRunnerFlags(arguments, Environment("TANDEM_SEEDS"));
  if (!flags.ok()) return UsageError(flags.status());
  run.flags = *flags;
  if (const absl::Status read = ReadScenarios(run); !read.ok()) return UsageError(read);
  if (const absl::Status tried = help ? absl::OkStatus() : TryTargets(run.flags); !tried.ok()) return UsageError(tried);
  ChooseSeedStart(run.flags);
  if (run.flags.fail_fast) GTEST_FLAG_SET(fail_fast, true);

  ::testing::AddGlobalTestEnvironment(new Coverage(run));  // gtest owns it.
  g_run = &run;
  if (!run.flags.here) NoteStopSignals();
  const int result = RUN_ALL_TESTS();
  g_run = nullptr;
  if (const ::testing::UnitTest& tests = *::testing::UnitTest::GetInstance();
      result != 0 && tests.failed_test_count() == 0 && tests.ad_hoc_test_result().Failed()) {
    puts("[sim] failed: no test, but what all of them together have to reach");
    fflush(stdout);
  }
  if (!run.flags.pin.empty() && !run.has_to_pin) {
    fprintf(stderr, "nothing is written to %s: no seed failed\n", run.flags.pin.c_str());
  }
  if (StopSignal() != 0) return 128 + StopSignal();
  const std::string filter = GTEST_FLAG_GET(filter);
  for (const absl::Status& done : {CheckScenario(run, filter), CheckTrace(run)}) {
    if (!done.ok() && !help) return UsageError(done);
  }
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
