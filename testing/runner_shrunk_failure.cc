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
#include "tandem/testing/runner_pool.h"
#include "tandem/testing/runner_remarks.h"
#include "tandem/testing/runner_shrink.h"
#include "tandem/testing/runner_stop.h"

namespace tandem::testing {
namespace {

// Runs. A failure that needs little takes some hundreds; time tends to end it first.
constexpr uint64_t kRunsMax = 2'000;
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

// A seed that crashes says nothing of its scenario: it is asked right before.
SeedOutcome WithScenario(SeedPool& pool, SeedRun run, SeedOutcome failure) {
  const uint64_t events = failure.result.progress.events;
  for (uint64_t before = 0; before < 2 && before + 1 < events && failure.scenario.empty(); ++before) {
    run.max_events = events - before;
    SeedOutcome cut = pool.RunAlone(run);
    failure.scenario = std::move(cut.scenario);
    failure.steps = std::move(cut.steps);
    failure.decisions = std::move(cut.decisions);
  }
  return failure;
}

}  // namespace

ShrunkFailure ShrinkFailure(SeedPool& pool, const SeedRun& run, const SeedOutcome& seen, int64_t limit_ns) {
  const int64_t start_ns = sim::RealNow();
  const SeedOutcome failure = WithScenario(pool, run, seen);
  if (failure.scenario.empty()) return {};
  const absl::StatusOr<sim::Scenario> scenario = sim::Scenario::Parse(failure.scenario);
  if (!scenario.ok()) return {"", absl::StrCat("not shrunk: ", scenario.status().message(), "\n"), {}};

  const std::string what = WhatFailed(failure);
  // What takes much longer than the failure is something else.
  const uint64_t enough = 2 * failure.result.progress.events + 10'000;
  ShrunkFailure result;
  const auto in_time = [&] { return sim::RealNow() - start_ns <= limit_ns && StopSignal() == 0; };
  const auto try_out = [&](const sim::Scenario& candidate) {
    if (!in_time()) return Trial::kNoMore;
    SeedRun again = run;
    again.scenario = candidate.ToString();
    again.seed = candidate.seed.value_or(run.seed);
    again.max_events = run.max_events == kDefaultMaxEvents ? enough : std::min(run.max_events, enough);
    const SeedOutcome outcome = pool.RunAlone(again);
    if (outcome.cut_off) return Trial::kNoMore;
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
      return {"", "not shrunk: with the lines of its scenario alone it does not fail in the same way\n", {}};
    case Trial::kNoMore:
      return {};
  }
  const auto decisions = [&](const sim::Scenario& candidate) -> std::vector<sim::DecisionCount> {
    if (!in_time()) return {};
    SeedRun again = run;
    again.scenario = candidate.ToString();
    again.seed = candidate.seed.value_or(run.seed);
    again.counts_decisions = true;
    return ParseDecisions(WithScenario(pool, again, pool.RunAlone(again)).decisions);
  };
  const Shrunk shrunk = Shrink(*scenario, ParseSteps(failure.steps), kRunsMax, try_out, decisions);
  result.scenario =
      shrunk.finished ? WithRemarks(shrunk.scenario, kRunsMax - shrunk.runs, try_out) : shrunk.scenario.ToString();
  result.text = absl::StrCat("--- this much of its scenario fails in the same way, after ", shrunk.runs,
                             shrunk.runs == 1 ? " run" : " runs",
                             shrunk.finished ? "" : " (not enough to try everything: --shrink=SECONDS)",
                             ", as text for --scenario=FILE:\n", result.scenario, "---\n");
  return result;
}

}  // namespace tandem::testing
