// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_report.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/testing/report/causes.h"
#include "tandem/testing/report/folder.h"
#include "tandem/testing/report/passing.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/sentences.h"
#include "tandem/testing/report/table.h"
#include "tandem/testing/runner_cause.h"
#include "tandem/testing/runner_passing.h"
#include "tandem/testing/runner_recorded_run.h"

namespace tandem::testing {
namespace {

// Of a run that is longer, the end is recorded: some 100 MB, with all details.
constexpr uint64_t kRecordedEventsMax = 50'000;
// More than anybody reads.
constexpr size_t kSliceMax = 2'000;

// A crash takes the process along, and an error of the run is known when it has ended: the failure is where it stopped.
void AddFailure(Recording& recording, const SeedOutcome& outcome) {
  for (const RecordedEvent& event : recording.events) {
    if (event.source == RecordedEvent::Source::kFailure) return;
  }
  RecordedEvent failure;
  failure.number = recording.events.size();
  failure.source = RecordedEvent::Source::kFailure;
  failure.time_ns = recording.end_ns;
  failure.text = outcome.message.substr(0, outcome.message.find('\n'));
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
void AddLikelihood(const SeedPool::Options& options, const FailureToExplain& failure, const SeedOutcome& outcome,
                   Report& report) {
  constexpr int64_t kLimitNs = 120 * int64_t{1'000'000'000};
  if (failure.branches == 0) return;
  const absl::StatusOr<std::unique_ptr<SeedPool>> pool = SeedPool::Start(options);
  if (!pool.ok()) return;
  report.likelihood = MeasureLikelihood(**pool, failure.run, outcome, report, failure.branches, kLimitNs);
}

// The nearest run that passes, of a failure whose scenario is known.
void AddPassing(RunRecorder& recorder, const SeedRun& run, uint64_t from, Report& report) {
  constexpr int64_t kLimitNs = 3 * int64_t{1'000'000'000};
  const absl::StatusOr<sim::Scenario> scenario = sim::Scenario::Parse(report.scenario);
  if (report.scenario.empty() || !scenario.ok()) return;
  report.passing = FindPassing(recorder, run, *scenario, report.recording, from, kLimitNs);
}

std::string PassingText(const Report& report) {
  if (!report.passing.has_value()) return "";
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
  const SeedRun& run = failure.run;
  // How long it is, and where it leads: what was shrunk is another run than the one that failed.
  const SeedProgress plain = (*recorder)->RunPlain(run).result.progress;
  const uint64_t from = plain.events > kRecordedEventsMax ? plain.events - kRecordedEventsMax : 0;
  SeedOutcome outcome;
  absl::StatusOr<Recording> recording = (*recorder)->Record(run, from, &outcome);
  const SeedProgress& progress = outcome.result.progress;
  const bool same = progress.digest_high == plain.digest_high && progress.digest_low == plain.digest_low;
  if (!outcome.failed || !same) return "not explained: recorded, it goes another way\n";
  if (absl::IsNotFound(recording.status())) return "";
  if (!recording.ok()) return absl::StrCat("not explained: ", recording.status().ToString(), "\n");
  AddFailure(*recording, outcome);

  Report report;
  report.test = failure.test;
  report.seed = run.seed;
  report.message = outcome.message;
  // "file:line: ERROR", or what went wrong in a word or two.
  report.place = outcome.place.substr(0, outcome.place.find(": "));
  report.scenario = run.scenario.empty() ? outcome.scenario : run.scenario;
  if (const absl::StatusOr<sim::Scenario> scenario = sim::Scenario::Parse(report.scenario); scenario.ok()) {
    report.sentences = ScenarioSentences(*scenario);
  }
  report.replay = failure.replay;
  report.digest = absl::StrFormat("%016x%016x", progress.digest_high, progress.digest_low);
  report.recording = *std::move(recording);
  report.slice = SliceOf(report.recording, kSliceMax);
  AddPassing(**recorder, run, from, report);
  AddLikelihood(branch_options, failure, outcome, report);
  const std::string table = SliceTable(report);
  std::string text;
  if (!run.scenario.empty() && !report.sentences.empty()) {
    absl::StrAppend(&text, "--- in words:\n", report.sentences);
  }
  absl::StrAppend(&text, "--- what led to it:\n", table, PassingText(report), LikelihoodText(report), "---\n");
  if (failure.folder.empty()) return text;
  std::error_code ignored;  // WriteFolder() says it better.
  std::filesystem::create_directories(failure.folder, ignored);
  const absl::Status written = WriteFolder(report, failure.folder);
  absl::StrAppend(&text, written.ok()
                             ? absl::StrCat("the whole of it: ", failure.folder, "/timeline.html, and beside it ",
                                            "files for programs, Wireshark and Perfetto\n")
                             : absl::StrCat("not written: ", written.message(), "\n"));
  return text;
}

}  // namespace tandem::testing
