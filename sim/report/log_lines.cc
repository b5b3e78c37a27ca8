// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/report/log_lines.h"

#include <cstdio>
#include <string>
#include <utility>

#include "absl/log/globals.h"
#include "absl/log/log_sink_registry.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/async/await_stack.h"
#include "tandem/core/async/executor.h"
#include "tandem/sim/time/virtual_time.h"

namespace tandem::sim {

LogLines::LogLines(absl::AnyInvocable<Where() const> where, TraceSink* sink)
    : where_(std::move(where)), sink_(sink), threshold_(absl::StderrThreshold()) {
  absl::SetStderrThreshold(absl::LogSeverityAtLeast::kInfinity);
  absl::AddLogSink(this);
}

LogLines::~LogLines() {
  absl::RemoveLogSink(this);
  absl::SetStderrThreshold(threshold_);
}

std::string LogLines::Format(const absl::LogEntry& entry, const Where& where, absl::string_view task) {
  // LOG() writes INFO, WARNING, ERROR or FATAL, and users know them by their letters.
  return absl::StrCat(absl::string_view(absl::LogSeverityName(entry.log_severity()), 1), " ",
                      VirtualTimeText(where.time_ns).view(), " ", where.host.empty() ? "-" : where.host,
                      task.empty() ? "" : "/", task, " ", entry.source_basename(), ":", entry.source_line(), "] ",
                      entry.text_message(), "\n");
}

void LogLines::Send(const absl::LogEntry& entry) {
  // A FATAL one comes twice: the message, then Abseil's own stack, without lines. The report of the crash has a better.
  if (!entry.stacktrace().empty()) return;
  if (sink_ != nullptr) {
    const Where where = where_();
    sink_->OnLog({where.time_ns, where.host_index, *absl::LogSeverityName(entry.log_severity()),
                  entry.source_basename(), entry.source_line(), entry.text_message()});
  }
  if (entry.log_severity() < threshold_) return;
  absl::string_view task;
  if (Executor::HasCurrent() && Executor::Current().running_task() != nullptr) {
    task = TaskName(*Executor::Current().running_task());
  }
  const std::string line = Format(entry, where_(), task);
  std::fwrite(line.data(), 1, line.size(), stderr);  // With NULs, if there are some.
}

}  // namespace tandem::sim
