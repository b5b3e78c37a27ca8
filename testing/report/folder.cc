// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/folder.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
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

// An event takes at least so many bytes in all files together, and an operation: a bound for the first try. Operations
// may have an eighth of all.
constexpr uint64_t kFewestBytes = 200;
constexpr uint64_t kShareOfOperations = 8;

// Far more than on a screen.
std::string PassingFile(const Report& report) {
  constexpr SideBySideSize kSize = {.before = 50, .after = 1000, .columns = 200};
  return absl::StrCat("# the run that fails, and the nearest one that passes, ", report.passing->how, "\n",
                      SideBySide(report.recording, *report.passing, kSize));
}

std::vector<ReportFile> FilesWith(const Report& report, const Excerpt& excerpt) {
  std::vector<ReportFile> files = {
      {"scenario.txt", report.scenario},
      {"log.txt", LogText(report.recording, excerpt)},
      {"timeline.html", TimelineHtml(report, excerpt)},
      {"timeline.txt", TimelineText(report, excerpt)},
      {"trace.jsonl", TraceJsonl(report.recording, excerpt)},
      {"trace.json", PerfettoJson(report, excerpt)},
      {"capture.pcapng", PcapNg(report.recording, excerpt)},
  };
  if (report.passing.has_value()) {
    files.push_back({"passing.txt", PassingFile(report)});
    files.push_back({"passing.scenario", report.passing->scenario});
  }
  size_t histories = 0;
  for (const RecordedOperation& operation : report.recording.operations) {
    histories = std::max(histories, operation.history + 1);
  }
  for (size_t i = 0; i < histories; ++i) {
    const std::string name = i == 0 ? "history.jsonl" : absl::StrCat("history-", i + 1, ".jsonl");
    files.push_back({name, HistoryJsonl(report, i, excerpt)});
  }
  std::vector<std::string> names;
  names.reserve(files.size());
  for (const ReportFile& file : files) names.push_back(file.name);
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

std::vector<ReportFile> ReportFiles(const Report& report, uint64_t max_bytes) {
  uint64_t events = std::min(uint64_t{report.recording.events.size()}, max_bytes / kFewestBytes);
  uint64_t operations =
      std::min(uint64_t{report.recording.operations.size()}, max_bytes / kFewestBytes / kShareOfOperations);
  while (true) {
    std::vector<ReportFile> files = FilesWith(report, Excerpt(report, events, operations));
    const uint64_t bytes = BytesOf(files);
    uint64_t& fewer = events > 0 ? events : operations;
    if (bytes <= max_bytes || fewer == 0) return files;
    // They differ in size, and not all bytes are theirs: a little less than in proportion.
    const auto in_proportion = static_cast<uint64_t>(static_cast<unsigned __int128>(fewer) * max_bytes / bytes);
    fewer = std::min(fewer - 1, in_proportion - in_proportion / 16);
  }
}

absl::Status WriteFolder(const Report& report, const std::string& folder, uint64_t max_bytes) {
  if (mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat("make the folder ", folder));
  }
  for (const ReportFile& file : ReportFiles(report, max_bytes)) {
    const absl::Status written = WriteFile(absl::StrCat(folder, "/", file.name), file.content);
    if (!written.ok()) return written;
  }
  return absl::OkStatus();
}

}  // namespace tandem::testing
