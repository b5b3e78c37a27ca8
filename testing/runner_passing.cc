// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_passing.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/schedule/schedule.h"
#include "tandem/testing/report/passing.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/runner.h"
#include "tandem/testing/runner_pool.h"
#include "tandem/testing/runner_recorded_run.h"
#include "tandem/testing/runner_shrink.h"

namespace tandem::testing {
namespace {

using sim::Calm;
using sim::Scenario;

// A run that differs in one thing.
struct Neighbour {
  std::string how;
  Scenario scenario;
  // What of a failure it tells: what made it come; that somebody looked at it; or nothing, as it is another story from
  // the beginning. The later ones are for where none of the earlier ones passes.
  enum class About : uint8_t { kWorld, kWorkload, kSeed } about = About::kWorld;
};

bool IsLeftOut(const Scenario& scenario, const std::string& workload, uint64_t number) {
  return std::any_of(scenario.skips.begin(), scenario.skips.end(), [&](const sim::Skip& skip) {
    return skip.what == workload && skip.from <= number && number < skip.to;
  });
}

// Each with one operation less of a workload, the last ones first.
void AddWithoutOperations(const Scenario& scenario, const WorkloadSteps& steps, std::vector<Neighbour>& neighbours) {
  constexpr int kOperationsMax = 24;
  for (const auto& [workload, count] : steps) {
    int tried = 0;
    for (uint64_t number = count; number > 0 && tried < kOperationsMax; --number) {
      if (IsLeftOut(scenario, workload, number - 1)) continue;
      ++tried;
      neighbours.push_back({absl::StrCat("without operation ", number - 1, " of ", workload), scenario});
      neighbours.back().scenario.skips.push_back({workload, number - 1, number});
      neighbours.back().about = Neighbour::About::kWorkload;
    }
  }
}

bool IsCalm(const Scenario& scenario, sim::Choice what) {
  return std::any_of(scenario.calms.begin(), scenario.calms.end(),
                     [what](const Calm& calm) { return calm.what == what && calm.IsOfAll(); });
}

// All of them, the most telling first.
std::vector<Neighbour> NeighboursOf(const Scenario& scenario, const WorkloadSteps& steps, uint64_t seed) {
  std::vector<Neighbour> neighbours;
  const auto add = [&](std::string how) -> Scenario& {
    return neighbours.emplace_back(Neighbour{std::move(how), scenario}).scenario;
  };
  for (size_t i = 0; i < scenario.faults.entries().size(); ++i) {
    add(absl::StrCat("without ", scenario.faults.entries()[i].ToString())).faults.Remove(i);
  }
  for (size_t i = 0; i < scenario.failures.size(); ++i) {
    std::vector<sim::OperationFailure>& failures =
        add(absl::StrCat("without ", scenario.failures[i].ToString())).failures;
    failures.erase(failures.begin() + static_cast<std::ptrdiff_t>(i));
  }
  if (!scenario.schedule.empty() && scenario.schedule != "fifo") {
    Scenario& fifo = add("with schedule fifo");
    fifo.schedule = "fifo";
    fifo.steps.reset();
  }
  for (const auto& [host, time] : scenario.starts) add(absl::StrCat("without start ", host)).starts.erase(host);
  for (const auto& [host, time] : scenario.clocks) add(absl::StrCat("without clock ", host)).clocks.erase(host);
  for (const auto& [name, value] : scenario.knobs) {
    add(absl::StrCat("without knob \"", name, "\"")).knobs.erase(name);
  }
  for (const sim::Choice fate : sim::kFates) {
    if (IsCalm(scenario, fate)) continue;
    add(absl::StrCat("with calm ", sim::ChoiceName(fate), " *")).calms.push_back({fate});
  }
  AddWithoutOperations(scenario, steps, neighbours);
  // What other seeds leave to chance, in turn with other schedules: time may be over before all are tried.
  constexpr sim::ScheduleKind kSchedules[] = {sim::ScheduleKind::kPos, sim::ScheduleKind::kRandom,
                                              sim::ScheduleKind::kDelay};
  constexpr uint64_t kSeeds = 9;
  for (uint64_t i = 1; i <= kSeeds; ++i) {
    add(absl::StrCat("with what seed ", seed + i, " leaves to chance")).seed = seed + i;
    neighbours.back().about = Neighbour::About::kSeed;
    const sim::ScheduleKind kind = kSchedules[(i - 1) % std::size(kSchedules)];
    if (scenario.schedule == sim::ScheduleName(kind)) continue;
    Scenario& other =
        add(absl::StrCat("with schedule ", sim::ScheduleName(kind), " and what seed ", seed + i, " leaves to chance"));
    other.seed = seed + i;
    other.schedule = sim::ScheduleName(kind);
    other.steps.reset();
    neighbours.back().about = Neighbour::About::kSeed;
  }
  return neighbours;
}

}  // namespace

PassingSearch FindPassing(RunRecorder& recorder, const SeedRun& run, const Scenario& scenario,
                          const WorkloadSteps& steps, const Recording& failing, const RecordedWindow& window,
                          int64_t limit_ns) {
  const int64_t deadline_ns = sim::RealNow() + limit_ns;
  PassingSearch search;
  std::optional<PassingRun>& nearest = search.nearest;
  Neighbour::About about = Neighbour::About::kWorld;
  for (const Neighbour& neighbour : NeighboursOf(scenario, steps, run.seed)) {
    if (sim::RealNow() > deadline_ns || (nearest.has_value() && neighbour.about != about)) break;
    about = neighbour.about;
    SeedRun other = run;
    other.scenario = neighbour.scenario.ToString();
    other.seed = neighbour.scenario.seed.value_or(run.seed);
    const SeedOutcome plain = recorder.RunPlain(other);
    ++search.tried;
    if (plain.failed || plain.skipped) continue;
    SeedOutcome outcome;
    absl::StatusOr<Recording> recording = recorder.Record(other, window, &outcome);
    if (!recording.ok() || outcome.failed) continue;
    const uint64_t differs_at = FirstDifference(failing, *recording);
    // What was not recorded may be other already.
    if (!window.IsWhole() && differs_at == 0) continue;
    if (nearest.has_value() && differs_at <= nearest->differs_at) continue;
    nearest = PassingRun{neighbour.how, std::move(other.scenario), *std::move(recording), differs_at};
  }
  return search;
}

}  // namespace tandem::testing
