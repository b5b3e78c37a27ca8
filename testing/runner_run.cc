// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_run.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/testing/runner_build.h"
#include "tandem/testing/runner_place.h"

namespace tandem::testing {
namespace {

uint32_t ProcessorCount() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return static_cast<uint32_t>(CPU_COUNT(&set));
}

int64_t WallLimitNs(const RunnerFlags& flags) {
  constexpr int64_t kPlainSeconds = 60;
  constexpr int64_t kSanitizedSeconds = 600;
  const int64_t fallback = kSanitized ? kSanitizedSeconds : kPlainSeconds;
  return (flags.wall_limit_s != 0 ? static_cast<int64_t>(flags.wall_limit_s) : fallback) * kNsPerSecond;
}

}  // namespace

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

SeedRun SeedRunOf(const Run& run, uint32_t test, uint64_t seed, TraceKind trace, bool details) {
  SeedRun of_seed;
  of_seed.test = test;
  of_seed.seed = seed;
  of_seed.max_events = run.flags.max_events;
  of_seed.trace = trace;
  of_seed.details = details;
  of_seed.scenario = run.scenario.text;
  return of_seed;
}

std::string ScenarioCommand(const Run& run, const SimTestCase& test, const std::string& file) {
  const std::string target = Environment("TEST_TARGET");
  const std::string name = absl::StrCat(test.suite, ".", test.name);
  if (target.empty()) return absl::StrCat(run.program, " --gtest_filter=", name, " --scenario=", file);
  return absl::StrCat("bazel test ", target, BuildConfigFlags(), " --test_filter=", name,
                      " --test_arg=--scenario=", file);
}

}  // namespace tandem::testing
