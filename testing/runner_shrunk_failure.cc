// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_shrunk_failure.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/random/decision_counts.h"
#include "tandem/testing/runner_flags.h"
#include "tandem/testing/runner_identity.h"
#include "tandem/testing/runner_last_scenario.h"
#include "tandem/testing/runner_pool.h"
#include "tandem/testing/runner_remarks.h"
#include "tandem/testing/runner_shrink.h"
#include "tandem/testing/runner_stop.h"

namespace tandem::testing {
namespace {

// Runs. A failure that needs little takes some hundreds; time tends to end it first.
constexpr uint64_t kRunsMax = 2'000;
constexpr int64_t kNsPerMs = 1'000'000;
// More than anybody reads.
constexpr size_t kOthersMax = 20;

std::vector<sim::DecisionCount> ParseDecisions(absl::string_view text) {
  std::vector<sim::DecisionCount> decisions;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, absl::MaxSplits(' ', 2));
    uint64_t count = 0;
    if (words.size() != 3 || !absl::SimpleAtoi(words[1], &count)) continue;
    const absl::StatusOr<sim::Calm> calm = sim::Calm::Parse(absl::StrCat("calm ", words[0], " ", words[2]));
    if (calm.ok()) decisions.push_back({calm->what, calm->whom, count});
  }
  return decisions;
}

// Why there may be something less that fails in the same way; empty: there is not.
std::string NotAll(const SeedPool& pool, const Shrunk& shrunk) {
  if (shrunk.finished) return "";
  if (shrunk.late == 0) return " (not enough to try everything: --shrink=SECONDS)";
  return absl::StrCat(" (", shrunk.late, " of them had no end after ", pool.wall_limit_ns() / kNsPerMs,
                      " ms of real time, so there may be less)");
}

}  // namespace

ShrunkFailure ShrinkFailure(LastScenario& last, const SeedRun& run, const SeedOutcome& failure, int64_t limit_ns) {
  const int64_t start_ns = sim::RealNow();
  ShrunkFailure result;
  const absl::StatusOr<sim::Scenario> scenario = sim::Scenario::Parse(failure.scenario);
  if (!scenario.ok()) {
    result.text = absl::StrCat("not shrunk: ", scenario.status().message(), "\n");
    return result;
  }

  const std::string what = WhatFailed(failure);
  // What takes much longer than the failure is something else.
  const uint64_t enough = 2 * failure.result.progress.events + 10'000;
  const auto in_time = [&] { return sim::RealNow() - start_ns <= limit_ns && StopSignal() == 0; };
  const auto try_out = [&](const sim::Scenario& candidate) {
    if (!in_time()) return Trial::kNoMore;
    SeedRun again = run;
    again.scenario = candidate.ToString();
    again.seed = candidate.seed.value_or(run.seed);
    again.max_events = run.max_events == kDefaultMaxEvents ? enough : std::min(run.max_events, enough);
    const SeedOutcome outcome = last.pool().RunAlone(again);
    if (outcome.cut_off) return Trial::kNoMore;
    if (outcome.stopped) return Trial::kLate;
    if (!outcome.failed) return Trial::kOther;
    std::string here = WhatFailed(outcome);
    if (here == what) return Trial::kSame;
    if (result.others.size() < kOthersMax) result.others.emplace(std::move(here), again.scenario);
    return Trial::kOther;
  };
  switch (try_out(*scenario)) {
    case Trial::kSame:
      break;
    case Trial::kOther:
      result.text = "not shrunk: with the lines of its scenario alone it does not fail in the same way\n";
      result.replays = false;
      result.others.clear();
      return result;
    case Trial::kLate:
      result.text = absl::StrCat("not shrunk: a run with the lines of its scenario alone has no end after ",
                                 last.pool().wall_limit_ns() / kNsPerMs, " ms of real time\n");
      return result;
    case Trial::kNoMore:
      result.text = "not shrunk: there was no time to try anything (--shrink=SECONDS)\n";
      return result;
  }
  const auto decisions = [&](const sim::Scenario& candidate) -> std::vector<sim::DecisionCount> {
    if (!in_time()) return {};
    SeedRun again = run;
    again.scenario = candidate.ToString();
    again.seed = candidate.seed.value_or(run.seed);
    again.counts_decisions = true;
    SeedOutcome outcome = last.pool().RunAlone(again);
    if (outcome.scenario.empty()) {
      absl::StatusOr<SeedOutcome> completed = last.Complete(again, std::move(outcome));
      if (!completed.ok()) return {};
      outcome = *std::move(completed);
    }
    return ParseDecisions(outcome.decisions);
  };
  const Shrunk shrunk = Shrink(*scenario, ParseSteps(failure.steps), kRunsMax, try_out, decisions);
  result.scenario = shrunk.finished ? WithRemarks(shrunk.scenario, kRunsMax - shrunk.runs, try_out)
                                    : WithNothingKnown(shrunk.scenario);
  result.text = absl::StrCat("--- this much of its scenario fails in the same way, after ", shrunk.runs,
                             shrunk.runs == 1 ? " run" : " runs", NotAll(last.pool(), shrunk),
                             ", as text for --scenario=FILE:\n", result.scenario, "---\n");
  return result;
}

}  // namespace tandem::testing
