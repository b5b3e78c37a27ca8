// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_report.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/testing/report/causes.h"
#include "tandem/testing/report/event_words.h"
#include "tandem/testing/report/folder.h"
#include "tandem/testing/report/passing.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/sentences.h"
#include "tandem/testing/report/table.h"
#include "tandem/testing/runner.h"
#include "tandem/testing/runner_cause.h"
#include "tandem/testing/runner_identity.h"
#include "tandem/testing/runner_passing.h"
#include "tandem/testing/runner_place.h"
#include "tandem/testing/runner_recorded_run.h"
#include "tandem/testing/runner_shrink.h"
#include "tandem/testing/runner_stop.h"

namespace tandem::testing {
namespace {

// Of a run that is longer, the end is recorded: some 100 MB, with all details.
constexpr uint64_t kRecordedEventsMax = 50'000;
// More than anybody reads.
constexpr size_t kSliceMax = 2'000;

// Where the operations that cannot be right are, if not all of them are in `recording`, the end of a run of so many
// events.
std::optional<RecordedWindow> WindowOfOperations(const Recording& recording, uint64_t events) {
  int64_t first_ns = std::numeric_limits<int64_t>::max();
  int64_t last_ns = 0;
  for (const RecordedOperation& operation : recording.operations) {
    if (!operation.bad) continue;
    first_ns = std::min(first_ns, operation.begin_ns);
    last_ns = std::max({last_ns, operation.begin_ns, operation.end_ns});
  }
  const auto first = std::find_if(recording.events.begin(), recording.events.end(), [](const RecordedEvent& event) {
    return event.source == RecordedEvent::Source::kTrace;
  });
  if (first == recording.events.end() || first_ns >= first->time_ns || recording.end_ns <= 0) return std::nullopt;
  // Events are spread evenly, more or less.
  const auto share = static_cast<int64_t>(static_cast<__int128>(recording.end_ns) * kRecordedEventsMax / events);
  RecordedWindow window;
  window.from_ns = std::max<int64_t>(0, first_ns - share / 2);
  window.to_ns = std::min(last_ns, window.from_ns + 2 * share);
  return window;
}

// "server.cc:42", the innermost place of the stack that a crash has printed; empty: there is none.
std::string PlaceOfCrash(const SeedOutcome& outcome) {
  constexpr absl::string_view kAt = "\n    at ";
  const size_t report = outcome.output.find("*** SIG");
  const size_t at = report == std::string::npos ? report : outcome.output.find(kAt, report);
  if (outcome.ended || at == std::string::npos) return "";
  const absl::string_view frame = absl::string_view(outcome.output).substr(at + kAt.size());
  const absl::string_view place = frame.substr(0, frame.find(' '));
  return absl::StrContains(place, ':') ? std::string(place) : "";
}

// A crash takes the process along, and an error of the run is known when it has ended: the failure is where it stopped.
void AddFailure(Recording& recording, const SeedOutcome& outcome) {
  const std::string message = outcome.message.substr(0, outcome.message.find('\n'));
  for (RecordedEvent& event : recording.events) {
    if (event.source != RecordedEvent::Source::kFailure) continue;
    if (!event.text.empty()) return;
    event.text = message;
    const std::string place = PlaceOfCrash(outcome);
    event.place = place.substr(place.rfind('/') + 1);
    return;
  }
  RecordedEvent failure;
  failure.number = recording.events.size();
  failure.source = RecordedEvent::Source::kFailure;
  failure.time_ns = recording.end_ns;
  if (!recording.events.empty()) failure.step = recording.events.back().step;
  failure.text = message;
  if (!outcome.ended && !recording.events.empty()) {
    const RecordedEvent& last = recording.events.back();
    failure.host = last.host;
    failure.task_id = last.task_id;
    failure.task = last.task;
    failure.place = last.place;
    failure.cause = last.number;
  }
  recording.events.push_back(std::move(failure));
}

// Measures how likely the failure was, at the end of all else: it takes the longest.
void AddLikelihood(const SeedPool::Options& options, uint64_t branches, const SeedRun& run, const SeedOutcome& outcome,
                   Report& report) {
  constexpr int64_t kLimitNs = 120 * int64_t{1'000'000'000};
  if (branches == 0) return;
  const absl::StatusOr<std::unique_ptr<SeedPool>> pool = SeedPool::Start(options);
  if (!pool.ok()) return;
  report.likelihood = MeasureLikelihood(**pool, run, outcome, report, branches, kLimitNs);
  const size_t inevitable = InevitableFrom(report.likelihood);
  if (inevitable == report.likelihood.size() || (inevitable == 0 && !report.recording.is_whole)) return;
  // The way back from the failure need not lead there: nobody sees a program forget something.
  const RecordedLikelihood& cause = report.likelihood[inevitable];
  report.cause = cause.first;
  std::vector<uint64_t> events = Milestones(report.recording);
  for (uint64_t i = cause.first; i <= cause.last; ++i) {
    if (IsTold(report.recording.events[i])) events.push_back(i);
  }
  report.slice = SliceOf(report.recording, kSliceMax, events);
}

// The nearest run that passes, of a failure whose scenario is known. Returns how many runs were tried.
uint64_t AddPassing(RunRecorder& recorder, const SeedRun& run, const std::string& steps, const RecordedWindow& window,
                    Report& report) {
  constexpr int64_t kLimitNs = 3 * int64_t{1'000'000'000};
  const absl::StatusOr<sim::Scenario> scenario = sim::Scenario::Parse(report.scenario);
  if (report.scenario.empty() || !scenario.ok()) return 0;
  PassingSearch search = FindPassing(recorder, run, *scenario, ParseSteps(steps), report.recording, window, kLimitNs);
  report.passing = std::move(search.nearest);
  return search.tried;
}

// Runs `run`; if that has no scenario, and fails with `drawn` in the same way, it has this one from then on: who runs
// the scenario of a report finds its events, by their numbers. What a seed draws are events, too.
SeedOutcome RunPlain(RunRecorder& recorder, const std::string& drawn, SeedRun& run) {
  SeedOutcome outcome = recorder.RunPlain(run);
  if (!run.scenario.empty() || drawn.empty()) return outcome;
  SeedRun with_scenario = run;
  with_scenario.scenario = drawn;
  SeedOutcome again = recorder.RunPlain(with_scenario);
  if (!again.failed || WhatFailed(again) != WhatFailed(outcome)) return outcome;
  run = std::move(with_scenario);
  return again;
}

// `tried` runs were looked at.
std::string PassingText(const Report& report, uint64_t tried) {
  if (!report.passing.has_value()) {
    return tried == 0 ? ""
                      : absl::StrCat("--- no run beside it: the ", tried,
                                     " that were tried, each but for one thing the same, fail too\n");
  }
  return absl::StrCat("--- beside it the nearest run that passes, ", report.passing->how, ":\n",
                      SideBySide(report.recording, *report.passing));
}

}  // namespace

std::string ExplainFailure(const SeedPool::Options& options, const FailureToExplain& failure) {
  SeedPool::Options branch_options = options;
  branch_options.trace_fd = -1;
  branch_options.echo_output = false;
  const absl::StatusOr<std::unique_ptr<RunRecorder>> recorder = RunRecorder::Start(options);
  if (!recorder.ok()) return absl::StrCat("not explained: ", recorder.status().ToString(), "\n");
  SeedRun run = failure.run;
  // How long it is, and where it leads: what was shrunk is another run than the one that failed.
  const SeedProgress plain = RunPlain(**recorder, failure.scenario, run).result.progress;
  RecordedWindow window;
  window.from_event = plain.events > kRecordedEventsMax ? plain.events - kRecordedEventsMax : 0;
  SeedOutcome outcome;
  absl::StatusOr<Recording> recording = (*recorder)->Record(run, window, &outcome);
  if (recording.ok() && window.from_event > 0) {
    if (const std::optional<RecordedWindow> other = WindowOfOperations(*recording, plain.events); other.has_value()) {
      window = *other;
      recording = (*recorder)->Record(run, window, &outcome);
    }
  }
  if (outcome.cut_off) return "";
  const SeedProgress& progress = outcome.result.progress;
  const bool same = progress.digest_high == plain.digest_high && progress.digest_low == plain.digest_low;
  if (!outcome.failed || !same) return "not explained: recorded, it goes another way\n";
  const bool before_all = absl::IsNotFound(recording.status());  // It failed before there was anything to record.
  if (before_all && failure.folder.empty()) return "";
  if (before_all) recording = Recording();
  if (!recording.ok()) return absl::StrCat("not explained: ", recording.status().ToString(), "\n");
  AddFailure(*recording, outcome);

  Report report;
  report.test = failure.test;
  report.seed = run.seed;
  report.message = outcome.message;
  // "file:line: ERROR", or what went wrong in a word or two.
  report.place = outcome.place.substr(0, outcome.place.find(": "));
  if (report.place.empty()) report.place = PlaceOfCrash(outcome);
  report.scenario = run.scenario;
  if (report.scenario.empty()) report.scenario = outcome.scenario;
  if (report.scenario.empty()) report.scenario = failure.scenario;
  if (const absl::StatusOr<sim::Scenario> scenario = sim::Scenario::Parse(report.scenario); scenario.ok()) {
    report.sentences = ScenarioSentences(*scenario);
  }
  report.replay = failure.replay;
  report.files = failure.files;
  report.digest = absl::StrFormat("%016x%016x", progress.digest_high, progress.digest_low);
  report.recording = *std::move(recording);
  const uint64_t tried = AddPassing(**recorder, run, outcome.steps, window, report);
  const uint64_t turn = report.passing.has_value() ? report.passing->differs_at : kNoEvent;
  report.slice = SliceOf(report.recording, kSliceMax, Milestones(report.recording), turn);
  AddLikelihood(branch_options, failure.branches, run, outcome, report);
  const std::string table = SliceTable(report);
  const bool said = failure.message == report.message;
  std::string text;
  if (!failure.run.scenario.empty() && !report.sentences.empty()) {
    absl::StrAppend(&text, "--- in words:\n", report.sentences);
  }
  // What was shrunk fails at the same place, and may say something shorter there.
  if (!said) absl::StrAppend(&text, "--- it says:\n", absl::StripTrailingAsciiWhitespace(report.message), "\n");
  if (failure.is_shrunk && !outcome.output.empty()) {
    absl::StrAppend(&text, "--- what it printed:\n", absl::StripTrailingAsciiWhitespace(outcome.output), "\n");
  }
  if (!before_all) {
    absl::StrAppend(&text, "--- what led to it:\n", table, PassingText(report, tried), LikelihoodText(report), "---\n");
  }
  if (failure.folder.empty() || StopSignal() != 0) return text;
  std::error_code ignored;  // WriteFolder() says it better.
  std::filesystem::create_directories(std::filesystem::path(failure.folder).parent_path(), ignored);
  const absl::Status written = WriteFolder(report, failure.folder, kMaxReportBytes, [] { return StopSignal() != 0; });
  absl::StrAppend(&text,
                  written.ok()
                      ? absl::StrCat("the whole of it: ", ShownPlace(absl::StrCat(failure.folder, "/timeline.html")),
                                     ", and beside it files for programs, Wireshark and Perfetto\n")
                      : absl::StrCat("not written: ", written.message(), "\n"));
  return text;
}

}  // namespace tandem::testing
