// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_cause.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/testing/report/event_words.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/table.h"
#include "tandem/testing/runner_flags.h"
#include "tandem/testing/runner_identity.h"
#include "tandem/testing/runner_pool.h"

namespace tandem::testing {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

// What led to the failure, step by step of the world: within one nothing is decided anew.
std::vector<RecordedLikelihood> Moments(const Report& report) {
  std::vector<RecordedLikelihood> moments;
  for (const uint64_t event : SliceRows(report)) {
    const std::vector<RecordedEvent>& events = report.recording.events;
    if (moments.empty() || events[moments.back().last].step != events[event].step) {
      moments.push_back({event, event, 0, 0});
    }
    moments.back().last = event;
  }
  return moments;
}

// Runs `branches` branches behind `step`; false when time is up before the end.
bool RunBranches(SeedPool& pool, const SeedRun& run, const sim::Scenario& scenario, uint64_t step,
                 const std::string& what, int64_t deadline_ns, uint64_t branches, RecordedLikelihood& likelihood) {
  uint64_t begun = 0;
  const auto in_time = [deadline_ns] { return sim::RealNow() < deadline_ns; };
  while (likelihood.branches < begun || (begun < branches && in_time())) {
    while (pool.HasFreeSlot() && begun < branches && in_time()) {
      sim::Scenario branch = scenario;
      branch.branch = sim::Branch{step, ++begun};
      SeedRun again = run;
      again.scenario = branch.ToString();
      pool.Begin(again);
    }
    const std::optional<SeedOutcome> outcome = pool.Next(kNsPerSecond);
    if (!outcome.has_value()) continue;
    ++likelihood.branches;
    likelihood.failed += outcome->failed && WhatFailed(*outcome) == what ? 1 : 0;
  }
  return begun == branches;
}

}  // namespace

std::vector<RecordedLikelihood> MeasureLikelihood(SeedPool& pool, const SeedRun& run, const SeedOutcome& failure,
                                                  const Report& report, uint64_t branches, int64_t limit_ns) {
  const absl::StatusOr<sim::Scenario> scenario = sim::Scenario::Parse(report.scenario);
  if (!scenario.ok() || scenario->branch.has_value()) return {};  // It is a branch itself, with a past of its own.
  const std::string what = WhatFailed(failure);
  const int64_t deadline_ns = sim::RealNow() + limit_ns;
  SeedRun again = run;
  // What takes much longer than the failure is something else.
  const uint64_t enough = 4 * failure.result.progress.events + 10'000;
  again.max_events = run.max_events == kDefaultMaxEvents ? enough : std::min(run.max_events, enough);
  std::vector<RecordedLikelihood> likelihood;
  for (RecordedLikelihood& at : Moments(report)) {
    const uint64_t step = report.recording.events[at.last].step;
    const bool done = RunBranches(pool, again, *scenario, step, what, deadline_ns, branches, at);
    if (at.branches > 0) likelihood.push_back(at);
    if (!done) break;
  }
  return likelihood;
}

size_t InevitableFrom(const std::vector<RecordedLikelihood>& likelihood) {
  size_t from = likelihood.size();
  while (from > 0 && likelihood[from - 1].failed * 10 >= likelihood[from - 1].branches * 9) --from;
  return from;
}

std::string LikelihoodText(const Report& report) {
  if (report.likelihood.empty()) return "";
  const size_t inevitable = InevitableFrom(report.likelihood);
  std::string text = absl::StrCat("--- how likely it was, had all been decided anew from then on (of ",
                                  report.likelihood.front().branches, " runs each):\n");
  for (size_t i = 0; i < report.likelihood.size(); ++i) {
    const RecordedLikelihood& at = report.likelihood[i];
    const RecordedEvent& event = report.recording.events[at.last];
    const std::string events =
        at.first == at.last ? EventName(at.last) : absl::StrCat(EventName(at.first), "-", EventName(at.last));
    absl::StrAppendFormat(&text, "%-15s %s  %3u %%%s\n", events, TimeName(event.time_ns), at.failed * 100 / at.branches,
                          i == inevitable ? "  from here on inevitable" : "");
  }
  return text;
}

}  // namespace tandem::testing
