// SPDX-License-Identifier: Apache-2.0
//
// How many schedules it takes to find the bugs of known small programs (SCTBench's, and some beside them).
//
//   bazel run -c opt //bench/schedules:run
//   bazel run -c opt //bench/schedules:run -- --programs=CS/reorder --policy=pct --max=20000
//
// For each base seed it runs each program under the schedules of the seeds from there on until one shows the bug. The
// first of them counts the steps of the tasks; of the seeds whose schedule is first in, first out, which is the same
// each time, the first alone is run. The table says from how many base seeds the bug was found, the mean and the median
// number of schedules of those, the most processor time that one base seed took, and what POS and PCT3 needed by the
// raw data of RFF (ASPLOS 2024; the mean over the trials that found it). "x" is the mean as a multiple of the better of
// the two.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "tandem/bench/flags.h"
#include "tandem/bench/schedules/program.h"
#include "tandem/core/async/executor.h"
#include "tandem/sim/schedule/explore.h"
#include "tandem/sim/schedule/policies.h"
#include "tandem/sim/schedule/run_tasks.h"
#include "tandem/sim/schedule/schedule.h"
#include "tandem/sim/schedule/step_counts.h"

namespace tandem::bench {
namespace {

constexpr int64_t kSchedulesMax = 10'000'000;
// More than the seeds that so many schedules take.
constexpr uint64_t kSeedsOfABase = 100'000'000;

struct Options {
  std::string programs;
  std::string policy = "portfolio";
  int64_t max = 100'000;
  int64_t bases = 20;
  int64_t first_base = 0;
};

bool ShowsBug(const ProgramInfo& info, SchedulePolicy* policy) {
  const std::unique_ptr<Program> program = info.make();
  const sim::TasksEnd end = sim::RunTasks(policy, [&program] { program->Start(); });
  if (end != sim::TasksEnd::kDone) return true;
  program->AtEnd();
  return program->failed();
}

// How many schedules it took; none: it was not found.
using Trial = std::optional<int64_t>;

// The first schedule counts the steps of the tasks. All seeds that are first in, first out do the same: one of them is
// enough.
Trial SearchBySeeds(const ProgramInfo& info, std::optional<sim::ScheduleKind> kind, uint64_t base, int64_t max) {
  sim::StepCounts steps;
  int64_t schedules = 0;
  bool had_fifo = false;
  for (uint64_t seed = base * kSeedsOfABase + 1; schedules < max; ++seed) {
    const sim::ScheduleKind of_seed = kind.has_value() ? *kind : sim::ChooseSchedule(seed);
    if (of_seed == sim::ScheduleKind::kFifo && std::exchange(had_fifo, true)) {
      if (kind.has_value()) return std::nullopt;
      continue;
    }
    const bool first = schedules == 0;
    ++schedules;
    std::unique_ptr<SchedulePolicy> policy = sim::MakeSchedule(of_seed, seed, first ? nullptr : &steps);
    if (first) policy = std::make_unique<sim::CountingSchedule>(steps, std::move(policy));
    if (ShowsBug(info, policy.get())) return schedules;
  }
  return std::nullopt;
}

Trial SearchAll(const ProgramInfo& info, int64_t max) {
  bool found = false;
  const sim::Exploration exploration = sim::Explore(static_cast<uint64_t>(max), [&](SchedulePolicy& policy) {
    found = ShowsBug(info, &policy);
    return !found;
  });
  return found ? Trial(static_cast<int64_t>(exploration.schedules)) : std::nullopt;
}

double ProcessorMs() { return static_cast<double>(std::clock()) * 1000 / CLOCKS_PER_SEC; }

struct Row {
  int found = 0;
  double mean = 0;
  int64_t median = 0;
  double ms_max = 0;
};

Row Measure(const ProgramInfo& info, const Options& options) {
  Row row;
  std::vector<int64_t> schedules;
  const bool all = options.policy == "explore";
  const std::optional<sim::ScheduleKind> kind = sim::ParseSchedule(options.policy);
  for (int64_t i = 0; i < options.bases; ++i) {
    const double before = ProcessorMs();
    const Trial trial = all ? SearchAll(info, options.max)
                            : SearchBySeeds(info, kind, static_cast<uint64_t>(options.first_base + i), options.max);
    row.ms_max = std::max(row.ms_max, ProcessorMs() - before);
    if (trial.has_value()) schedules.push_back(*trial);
  }
  row.found = static_cast<int>(schedules.size());
  if (schedules.empty()) return row;
  std::sort(schedules.begin(), schedules.end());
  for (int64_t count : schedules) row.mean += static_cast<double>(count) / static_cast<double>(schedules.size());
  row.median = schedules[(schedules.size() - 1) / 2];
  return row;
}

std::string Published(double schedules) { return schedules == 0 ? "-" : absl::StrFormat("%.0f", schedules); }

double BetterOf(const ProgramInfo& info) {
  if (info.pos == 0) return info.pct3;
  return info.pct3 == 0 ? info.pos : std::min(info.pos, info.pct3);
}

std::vector<ProgramInfo> ChosenPrograms(const std::string& names) {
  std::vector<ProgramInfo> chosen;
  const std::vector<std::string> parts = absl::StrSplit(names, ',');
  for (const std::vector<ProgramInfo>& group : {OrderPrograms(), ClassicPrograms(), StealPrograms(), RealPrograms()}) {
    for (const ProgramInfo& info : group) {
      const auto has = [&info](const std::string& part) { return absl::StrContains(info.name, part); };
      if (std::any_of(parts.begin(), parts.end(), has)) chosen.push_back(info);
    }
  }
  return chosen;
}

int Main(int argc, char** argv) {
  Options options;
  Flags flags("Schedules to the first bug of small programs. Built with -c opt it takes about a minute.");
  flags.Add("programs", &options.programs, "parts of names, with commas between; none: all");
  flags.Add("policy", &options.policy, "portfolio, a kind (fifo, random, pct, pos, urw, delay), or explore");
  flags.Add("max", &options.max, 1, kSchedulesMax, "schedules to try for each base seed");
  flags.Add("bases", &options.bases, 1, 1000, "base seeds");
  flags.Add("first_base", &options.first_base, 0, 1'000'000'000, "the first base seed");
  flags.Parse(argc, argv);
  if (options.policy != "portfolio" && options.policy != "explore" && !sim::ParseSchedule(options.policy)) {
    absl::FPrintF(stderr, "no such policy: %s\n", options.policy);
    return 2;
  }

  absl::PrintF("policy %s, %d base seeds, at most %d schedules each\n\n", options.policy, options.bases, options.max);
  absl::PrintF("| program | found | mean | median | ms, most | POS | PCT3 | x |\n|---|--:|--:|--:|--:|--:|--:|--:|\n");
  int programs = 0;
  int in_all = 0;
  int in_time = 0;
  int in_bound = 0;
  for (const ProgramInfo& info : ChosenPrograms(options.programs)) {
    const Row row = Measure(info, options);
    const double better = BetterOf(info);
    const bool all = row.found == options.bases;
    const std::string times = better == 0 || row.found == 0 ? "-" : absl::StrFormat("%.1f", row.mean / better);
    absl::PrintF("| %s | %d | %.1f | %d | %.1f | %s | %s | %s |\n", info.name, row.found, row.mean, row.median,
                 row.ms_max, Published(info.pos), Published(info.pct3), times);
    std::fflush(stdout);
    ++programs;
    in_all += all ? 1 : 0;
    in_time += all && row.ms_max <= 1000 ? 1 : 0;
    in_bound += all && (better == 0 || row.mean <= 2 * better) ? 1 : 0;
  }
  absl::PrintF("\n%d programs: %d found from all base seeds, %d of them each within 1 s, %d within x 2\n", programs,
               in_all, in_time, in_bound);
  return 0;
}

}  // namespace
}  // namespace tandem::bench

int main(int argc, char** argv) { return tandem::bench::Main(argc, argv); }
