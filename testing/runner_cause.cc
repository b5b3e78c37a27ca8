// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_cause.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/testing/report/event_words.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/table.h"
#include "tandem/testing/runner_flags.h"
#include "tandem/testing/runner_identity.h"
#include "tandem/testing/runner_pool.h"
#include "tandem/testing/runner_stop.h"

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

// The steps behind that of the event `from`, or from the first one on, and before that of the event `to`; of each what
// a table shows, if there is anything.
std::vector<RecordedLikelihood> StepsBetween(const Recording& recording, std::optional<uint64_t> from, uint64_t to) {
  const std::vector<RecordedEvent>& events = recording.events;
  std::vector<RecordedLikelihood> steps;
  bool is_told = false;
  for (uint64_t i = from.has_value() ? *from + 1 : 0; i < to; ++i) {
    if (events[i].step == events[to].step || (from.has_value() && events[i].step == events[*from].step)) continue;
    const bool begins = steps.empty() || events[steps.back().last].step != events[i].step;
    if (begins) {
      steps.push_back({i, i, 0, 0});
      is_told = false;
    }
    if (IsTold(events[i])) {
      if (!is_told) steps.back().first = i;
      steps.back().last = i;
      is_told = true;
    } else if (!is_told) {
      steps.back().last = i;
    }
  }
  return steps;
}

// All of the step of `at` that a table shows: what the slice has of it may be the least.
void Widen(const Recording& recording, RecordedLikelihood& at) {
  const std::vector<RecordedEvent>& events = recording.events;
  const uint64_t step = events[at.first].step;
  for (uint64_t i = at.first; i > 0 && events[i - 1].step == step; --i) {
    if (IsTold(events[i - 1])) at.first = i - 1;
  }
  for (uint64_t i = at.last; i + 1 < events.size() && events[i + 1].step == step; ++i) {
    if (IsTold(events[i + 1])) at.last = i + 1;
  }
}

// Nine of ten fail. Those that fail in another way do not count, unless they are most.
bool IsInevitable(const RecordedLikelihood& at) {
  return at.failed * 10 >= (at.branches - at.otherwise) * 9 && at.failed * 5 >= at.branches;
}

// Runs branches of one failure.
class Branches {
 public:
  Branches(SeedPool& pool, const SeedRun& run, const SeedOutcome& failure, const Report& report,
           const sim::Scenario& scenario, uint64_t branches, int64_t limit_ns)
      : pool_(pool),
        run_(run),
        report_(report),
        scenario_(scenario),
        what_(WhatFailed(failure)),
        branches_(branches),
        deadline_ns_(sim::RealNow() + limit_ns) {
    // What takes much longer than the failure is something else.
    const uint64_t enough = 4 * failure.result.progress.events + 10'000;
    run_.max_events = run.max_events == kDefaultMaxEvents ? enough : std::min(run.max_events, enough);
  }

  bool in_time() const { return sim::RealNow() < deadline_ns_ && StopSignal() == 0; }

  // Runs them all behind `at`, or, if only that matters, as many as show whether the failure is inevitable there. Fewer
  // where time is up.
  const RecordedLikelihood& Run(RecordedLikelihood& at, bool all) {
    const uint64_t step = report_.recording.events[at.last].step;
    uint64_t begun = at.branches;
    const auto goes_on = [&] { return begun < branches_ && in_time() && (all || !IsDecided(at)); };
    uint64_t running = 0;
    while (running > 0 || goes_on()) {
      while (pool_.HasFreeSlot() && goes_on()) {
        sim::Scenario branch = scenario_;
        branch.branch = sim::Branch{step, ++begun};
        SeedRun again = run_;
        again.scenario = branch.ToString();
        pool_.Begin(again);
        ++running;
      }
      const std::optional<SeedOutcome> outcome = pool_.Next(kNsPerSecond);
      if (!outcome.has_value()) continue;
      --running;
      if (outcome->cut_off) continue;
      ++at.branches;
      if (!outcome->failed) continue;
      ++(WhatFailed(*outcome) == what_ ? at.failed : at.otherwise);
    }
    return at;
  }

  bool AreAll(const RecordedLikelihood& at) const { return at.branches == branches_; }

 private:
  // Whether more branches change nothing: too many have passed, or enough have failed.
  bool IsDecided(const RecordedLikelihood& at) const {
    const uint64_t passed = at.branches - at.failed - at.otherwise;
    RecordedLikelihood at_worst = at;
    at_worst.branches = branches_;
    return passed * 10 > branches_ || IsInevitable(at_worst);
  }

  SeedPool& pool_;
  SeedRun run_;
  const Report& report_;
  const sim::Scenario& scenario_;
  const std::string what_;
  const uint64_t branches_;
  const int64_t deadline_ns_;
};

// Looks by halves for the first of `steps` at which the failure was inevitable, since it was so behind the last one.
// Returns the one before it and that one, as far as there are such; when time is up, those that are measured.
std::vector<RecordedLikelihood> FindMoment(Branches& runs, std::vector<RecordedLikelihood> steps) {
  size_t before = 0;
  size_t at = steps.size();
  while (before < at) {
    const size_t middle = before + (at - before) / 2;
    if (IsInevitable(runs.Run(steps[middle], false))) {
      at = middle;
    } else {
      before = middle + 1;
    }
    if (!runs.in_time()) break;
  }
  std::vector<RecordedLikelihood> found;
  if (!runs.in_time()) {
    std::copy_if(steps.begin(), steps.end(), std::back_inserter(found),
                 [&](const RecordedLikelihood& step) { return runs.AreAll(step); });
    return found;
  }
  for (size_t i = at > 0 ? at - 1 : 0; i < std::min(at + 1, steps.size()); ++i) {
    if (runs.AreAll(runs.Run(steps[i], true))) found.push_back(steps[i]);
  }
  return found;
}

// Adds `at` to `likelihood`, in order, unless that has its step.
void Add(const Branches& runs, const Recording& recording, std::vector<RecordedLikelihood>& likelihood,
         const RecordedLikelihood& at) {
  if (!runs.AreAll(at)) return;
  const auto step_of = [&](const RecordedLikelihood& one) { return recording.events[one.first].step; };
  const auto behind = std::find_if(likelihood.begin(), likelihood.end(),
                                   [&](const RecordedLikelihood& one) { return one.last >= at.first; });
  if (behind != likelihood.end() && step_of(*behind) == step_of(at)) return;
  if (behind != likelihood.begin() && step_of(*std::prev(behind)) == step_of(at)) return;
  likelihood.insert(behind, at);
}

// What happened in the step of `at` first, of what a table tells; empty: nothing.
std::string InWords(const Recording& recording, const RecordedLikelihood& at) {
  constexpr size_t kWidth = 60;
  for (uint64_t i = at.first; i <= at.last; ++i) {
    const RecordedEvent& event = recording.events[i];
    if (!IsTold(event)) continue;
    std::string text =
        absl::StrCat("  ", HostName(recording, event.host, ""), event.host < 0 ? "" : " ", InBrief(recording, event));
    if (text.size() > kWidth) text = absl::StrCat(text.substr(0, kWidth - 3), "...");
    return text;
  }
  return "";
}

}  // namespace

std::vector<RecordedLikelihood> MeasureLikelihood(SeedPool& pool, const SeedRun& run, const SeedOutcome& failure,
                                                  const Report& report, uint64_t branches, int64_t limit_ns) {
  const absl::StatusOr<sim::Scenario> scenario = sim::Scenario::Parse(report.scenario);
  if (!scenario.ok() || scenario->branch.has_value()) return {};  // It is a branch itself, with a past of its own.
  Branches runs(pool, run, failure, report, *scenario, branches, limit_ns);
  uint64_t failed = 0;
  if (!report.slice.empty()) failed = report.slice.back();
  std::vector<RecordedLikelihood> likelihood = FindMoment(runs, StepsBetween(report.recording, std::nullopt, failed));
  // The next ones to it first: they matter more when time is up.
  const uint64_t moment = likelihood.empty() ? failed : likelihood.back().first;
  std::vector<RecordedLikelihood> moments = Moments(report);
  const auto at =
      std::find_if(moments.begin(), moments.end(), [moment](const auto& row) { return row.last >= moment; });
  auto before = std::make_reverse_iterator(at);
  for (auto next = at; (next != moments.end() || before != moments.rend()) && runs.in_time();) {
    if (next != moments.end()) Add(runs, report.recording, likelihood, runs.Run(*next++, true));
    if (before != moments.rend()) Add(runs, report.recording, likelihood, runs.Run(*before++, true));
  }

  // Where it is not as simple as that, and what seemed inevitable was not, it is so later.
  size_t inevitable = InevitableFrom(likelihood);
  if (inevitable > 0 && inevitable < likelihood.size() && likelihood[inevitable].first > moment) {
    const RecordedLikelihood& last = likelihood[inevitable - 1];
    for (const RecordedLikelihood& found :
         FindMoment(runs, StepsBetween(report.recording, last.last, likelihood[inevitable].first))) {
      Add(runs, report.recording, likelihood, found);
    }
    inevitable = InevitableFrom(likelihood);
  }
  if (inevitable < likelihood.size()) Widen(report.recording, likelihood[inevitable]);
  return likelihood;
}

size_t InevitableFrom(const std::vector<RecordedLikelihood>& likelihood) {
  size_t from = likelihood.size();
  while (from > 0 && IsInevitable(likelihood[from - 1])) --from;
  return from;
}

std::string LikelihoodText(const Report& report) {
  if (report.likelihood.empty()) return "";
  const size_t inevitable = InevitableFrom(report.likelihood);
  const absl::string_view mark = inevitable == 0 && !report.recording.is_whole
                                     ? "  inevitable by then: what came before is not recorded"
                                     : "  from here on inevitable";
  std::string text = absl::StrCat("--- how likely it was, had all been decided anew from then on (of ",
                                  report.likelihood.front().branches, " runs each):\n");
  for (size_t i = 0; i < report.likelihood.size(); ++i) {
    const RecordedLikelihood& at = report.likelihood[i];
    const RecordedEvent& event = report.recording.events[at.last];
    const std::string events =
        at.first == at.last ? EventName(at.last) : absl::StrCat(EventName(at.first), "-", EventName(at.last));
    absl::StrAppendFormat(&text, "%-15s %s  %3u %%%s", events, TimeName(event.time_ns), at.failed * 100 / at.branches,
                          i == inevitable ? mark : "");
    if (i == inevitable || i + 1 == inevitable) absl::StrAppend(&text, InWords(report.recording, at));
    if (at.otherwise > 0) absl::StrAppendFormat(&text, "  (%u %% in another way)", at.otherwise * 100 / at.branches);
    text += '\n';
  }
  return text;
}

}  // namespace tandem::testing
