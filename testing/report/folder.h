// SPDX-License-Identifier: Apache-2.0
//
// The folder of a report: the same run for people, for programs and for viewers.
//
//   report.json      The failure, with what the other files are; report.schema.json.
//   scenario.txt     What runs it again, as --scenario takes it.
//   log.txt          What the program has logged, with virtual times, hosts and tasks.
//   timeline.html    The run as a diagram.
//   timeline.txt     An event a line, for grep.
//   trace.jsonl      The same for programs; trace_line.schema.json.
//   trace.json       For Perfetto.
//   capture.pcapng   For Wireshark.
//   history.jsonl    What clients asked and were answered, where the test records it; history-2.jsonl: a second one.
//
// An event has the same number in all of them: "e17" in text, 17 in JSON.

#ifndef TANDEM_TESTING_REPORT_FOLDER_H_
#define TANDEM_TESTING_REPORT_FOLDER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {

inline constexpr uint64_t kMaxReportBytes = 10'000'000;

inline bool HasTime() { return false; }  // Whoever is never late.

struct ReportFile {
  std::string name;
  std::string content;
};

// The files of the folder, of at most `max_bytes` in all: when it would be more, the events that led to the failure,
// those around it and the first of the run stay, and the others are left out, which each file says; so are operations,
// but for those that cannot be right and the last, where there are very many. Never cut is what a report says besides:
// its message, its scenario, its faults.
//
// `is_late` is asked again and again: once it says so, there are none.
std::vector<ReportFile> ReportFiles(const Report& report, uint64_t max_bytes = kMaxReportBytes,
                                    absl::FunctionRef<bool()> is_late = HasTime);

// Writes them to `folder`, which is made if its parent is there. Files of these names are replaced. Upon an error none
// of them is left, and no folder that it has made.
//
// Errors:
//   kCancelled  `is_late` said so.
//   Those of the file system, with the path.
absl::Status WriteFolder(const Report& report, const std::string& folder, uint64_t max_bytes = kMaxReportBytes,
                         absl::FunctionRef<bool()> is_late = HasTime);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_FOLDER_H_
