// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_report.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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
#include "absl/strings/string_view.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/testing/report/causes.h"
#include "tandem/testing/report/folder.h"
#include "tandem/testing/report/read_recording.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/sentences.h"
#include "tandem/testing/report/table.h"
#include "tandem/testing/runner_cause.h"

namespace tandem::testing {
namespace {

// Of a run that is longer, the end is recorded: some 100 MB, with all details.
constexpr uint64_t kRecordedEventsMax = 50'000;
// More than anybody reads.
constexpr size_t kSliceMax = 2'000;

// A file in memory, which the recorded seed writes.
class RecordingFile {
 public:
  RecordingFile() : fd_(memfd_create("recording", MFD_CLOEXEC)) {}
  ~RecordingFile() {
    if (fd_ >= 0) close(fd_);
  }
  RecordingFile(const RecordingFile&) = delete;
  RecordingFile& operator=(const RecordingFile&) = delete;

  int fd() const { return fd_; }

  absl::StatusOr<Recording> Read() const {
    struct stat info;
    if (fstat(fd_, &info) != 0) return absl::ErrnoToStatus(errno, "the recording");
    const auto size = static_cast<size_t>(info.st_size);
    if (size == 0) return absl::NotFoundError("there was no world");
    void* const memory = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd_, 0);
    if (memory == MAP_FAILED) return absl::ErrnoToStatus(errno, "the recording");
    absl::StatusOr<Recording> recording = ReadRecording(absl::string_view(static_cast<const char*>(memory), size));
    munmap(memory, size);
    return recording;
  }

 private:
  const int fd_;
};

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

}  // namespace

// Measures how likely the failure was, at the end of all else: it takes the longest.
void AddLikelihood(const SeedPool::Options& options, const FailureToExplain& failure, const SeedOutcome& outcome,
                   Report& report) {
  constexpr int64_t kLimitNs = 120 * int64_t{1'000'000'000};
  if (failure.branches == 0) return;
  const absl::StatusOr<std::unique_ptr<SeedPool>> pool = SeedPool::Start(options);
  if (!pool.ok()) return;
  report.likelihood = MeasureLikelihood(**pool, failure.run, outcome, report, failure.branches, kLimitNs);
}

std::string ExplainFailure(SeedPool::Options options, const FailureToExplain& failure) {
  SeedPool::Options branch_options = options;
  branch_options.trace_fd = -1;
  branch_options.echo_output = false;
  const RecordingFile file;
  if (file.fd() < 0) return "";
  options.slots = 1;
  options.trace_fd = file.fd();
  options.echo_output = false;
  const absl::StatusOr<std::unique_ptr<SeedPool>> pool = SeedPool::Start(options);
  if (!pool.ok()) return absl::StrCat("not explained: ", pool.status().ToString(), "\n");
  SeedRun run = failure.run;
  // How long it is, and where it leads: what was shrunk is another run than the one that failed.
  const SeedProgress plain = (*pool)->RunAlone(run).result.progress;
  run.trace = TraceKind::kRecording;
  run.details = true;
  run.record_from = plain.events > kRecordedEventsMax ? plain.events - kRecordedEventsMax : 0;
  const SeedOutcome outcome = (*pool)->RunAlone(run);
  const SeedProgress& progress = outcome.result.progress;
  const bool same = progress.digest_high == plain.digest_high && progress.digest_low == plain.digest_low;
  if (!outcome.failed || !same) return "not explained: recorded, it goes another way\n";
  absl::StatusOr<Recording> recording = file.Read();
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
  AddLikelihood(branch_options, failure, outcome, report);
  const std::string table = SliceTable(report);
  std::string text;
  if (!run.scenario.empty() && !report.sentences.empty()) {
    absl::StrAppend(&text, "--- in words:\n", report.sentences);
  }
  absl::StrAppend(&text, "--- what led to it:\n", table, LikelihoodText(report), "---\n");
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
