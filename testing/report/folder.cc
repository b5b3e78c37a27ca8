// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/folder.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/excerpt.h"
#include "tandem/testing/report/passing.h"
#include "tandem/testing/report/pcapng.h"
#include "tandem/testing/report/perfetto.h"
#include "tandem/testing/report/report_json.h"
#include "tandem/testing/report/text_files.h"
#include "tandem/testing/report/timeline_html.h"
#include "tandem/testing/report/trace_jsonl.h"

namespace tandem::testing {
namespace {

// An operation takes at least so many bytes in all files together: a bound for the first try. Operations may have an
// eighth of all.
constexpr uint64_t kFewestBytes = 200;
constexpr uint64_t kShareOfOperations = 8;

// What an event takes at least in all files together.
uint64_t FewestBytes(const RecordedEvent& event) {
  constexpr uint64_t kOfAnEvent = 400;
  constexpr uint64_t kFilesWithText = 3;
  const bool in_capture =
      event.packet.has_value() && (event.kind == sim::TraceKind::kPacketDelivered || !event.packet->lost.empty());
  return kOfAnEvent + kFilesWithText * event.text.size() + (in_capture ? event.packet->payload.size() : 0);
}

// Likewise, all that `excerpt` shows.
uint64_t FewestBytes(const Report& report, const Excerpt& excerpt) {
  uint64_t bytes = 0;
  for (const RecordedEvent& event : report.recording.events) {
    if (excerpt.Has(event.number)) bytes += FewestBytes(event);
  }
  return bytes;
}

// So many events, at most `events_max`, take no more than `bytes_max` by that measure.
uint64_t EventsWithin(const Report& report, uint64_t bytes_max, uint64_t events_max) {
  const auto fits = [&](uint64_t events) { return FewestBytes(report, Excerpt(report, events)) <= bytes_max; };
  if (fits(events_max)) return events_max;
  uint64_t few = 0;
  uint64_t many = events_max;
  while (many - few > 1) {
    const uint64_t middle = few + (many - few) / 2;
    (fits(middle) ? few : many) = middle;
  }
  return few;
}

// `number` times `to` / `from`, and a little less.
uint64_t InProportion(uint64_t number, uint64_t to, uint64_t from) {
  const auto in_proportion = static_cast<uint64_t>(static_cast<unsigned __int128>(number) * to / from);
  return in_proportion - in_proportion / 16;
}

// Far more than on a screen.
std::string PassingFile(const Report& report) {
  constexpr SideBySideSize kSize = {.before = 50, .after = 1000, .columns = 200};
  return absl::StrCat("# the run that fails, and the nearest one that passes, ", report.passing->how, "\n",
                      SideBySide(report.recording, *report.passing, kSize));
}

// None if `is_late` says so: each takes a while.
std::vector<ReportFile> FilesWith(const Report& report, const Excerpt& excerpt, absl::FunctionRef<bool()> is_late) {
  const Recording& recording = report.recording;
  std::vector<ReportFile> files;
  const auto add = [&](const std::string& name, absl::FunctionRef<std::string()> content) {
    if (!is_late()) files.push_back({name, content()});
  };
  add("scenario.txt", [&] { return report.scenario; });
  add("log.txt", [&] { return LogText(recording, excerpt); });
  add("timeline.html", [&] { return TimelineHtml(report, excerpt); });
  add("timeline.txt", [&] { return TimelineText(report, excerpt); });
  add("trace.jsonl", [&] { return TraceJsonl(recording, excerpt); });
  add("trace.json", [&] { return PerfettoJson(report, excerpt); });
  add("capture.pcapng", [&] { return PcapNg(recording, excerpt); });
  if (report.passing.has_value()) {
    add("passing.txt", [&] { return PassingFile(report); });
    add("passing.scenario", [&] { return report.passing->scenario; });
  }
  size_t histories = 0;
  for (const RecordedOperation& operation : recording.operations) {
    histories = std::max(histories, operation.history + 1);
  }
  for (size_t i = 0; i < histories; ++i) {
    const std::string name = i == 0 ? "history.jsonl" : absl::StrCat("history-", i + 1, ".jsonl");
    add(name, [&] { return HistoryJsonl(report, i, excerpt); });
  }
  if (is_late()) return {};
  std::vector<std::string> names;
  names.reserve(files.size() + report.files.size());
  for (const ReportFile& file : files) names.push_back(file.name);
  names.insert(names.end(), report.files.begin(), report.files.end());
  files.insert(files.begin(), {"report.json", ReportJson(report, names, excerpt)});
  return files;
}

uint64_t BytesOf(const std::vector<ReportFile>& files) {
  uint64_t bytes = 0;
  for (const ReportFile& file : files) bytes += file.content.size();
  return bytes;
}

absl::Status WriteFile(const std::string& path, const std::string& content) {
  FILE* const file = fopen(path.c_str(), "wb");
  if (file == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  if (fwrite(content.data(), 1, content.size(), file) != content.size()) {
    const int error = errno;
    fclose(file);
    return absl::ErrnoToStatus(error, absl::StrCat("write ", path));
  }
  if (fclose(file) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("write ", path));
  return absl::OkStatus();
}

}  // namespace

std::vector<ReportFile> ReportFiles(const Report& report, uint64_t max_bytes, absl::FunctionRef<bool()> is_late) {
  uint64_t events = EventsWithin(report, max_bytes, report.recording.events.size());
  uint64_t operations =
      std::min(uint64_t{report.recording.operations.size()}, max_bytes / kFewestBytes / kShareOfOperations);
  while (true) {
    const Excerpt excerpt(report, events, operations);
    std::vector<ReportFile> files = FilesWith(report, excerpt, is_late);
    const uint64_t bytes = BytesOf(files);
    if (bytes <= max_bytes || (events == 0 && operations == 0)) return files;
    if (events == 0) {
      operations = std::min(operations - 1, InProportion(operations, max_bytes, bytes));
      continue;
    }
    // What the events take is in proportion to the measure, and not all bytes are theirs.
    const uint64_t others = BytesOf(FilesWith(report, Excerpt(report, 0, operations), is_late));
    const uint64_t room = max_bytes - std::min(max_bytes, others);
    const uint64_t taken = std::max(bytes - std::min(bytes, others), uint64_t{1});
    const uint64_t fewer = EventsWithin(report, InProportion(FewestBytes(report, excerpt), room, taken), events - 1);
    events = room == 0 ? 0 : fewer;
  }
}

absl::Status WriteFolder(const Report& report, const std::string& folder, uint64_t max_bytes,
                         absl::FunctionRef<bool()> is_late) {
  const bool is_new = mkdir(folder.c_str(), 0777) == 0;
  if (!is_new && errno != EEXIST) return absl::ErrnoToStatus(errno, absl::StrCat("make the folder ", folder));
  const std::vector<ReportFile> files = ReportFiles(report, max_bytes, is_late);
  absl::Status written = files.empty() ? absl::CancelledError("there is no time") : absl::OkStatus();
  for (const ReportFile& file : files) {
    if (written.ok()) written = WriteFile(absl::StrCat(folder, "/", file.name), file.content);
  }
  if (written.ok()) return written;
  // Part of a report would name files that are not there.
  for (const ReportFile& file : files) unlink(absl::StrCat(folder, "/", file.name).c_str());
  if (is_new) rmdir(folder.c_str());
  return written;
}

}  // namespace tandem::testing
