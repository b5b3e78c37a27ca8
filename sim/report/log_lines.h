// SPDX-License-Identifier: Apache-2.0
//
// LOG() within a world: each line with the virtual time, the host and the task that wrote it.
//
//   I 12.345678901 server/HandleConnection connection.cc:42] closed by the peer
//
// While a LogLines lives it writes to standard error what Abseil would have: from the severity of
// absl::StderrThreshold() on, as --stderrthreshold sets it.

#ifndef TANDEM_SIM_REPORT_LOG_LINES_H_
#define TANDEM_SIM_REPORT_LOG_LINES_H_

#include <cstdint>
#include <string>

#include "absl/base/log_severity.h"
#include "absl/functional/any_invocable.h"
#include "absl/log/log_entry.h"
#include "absl/log/log_sink.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::sim {

class LogLines final : public absl::LogSink {
 public:
  // Where the world is: its time, and the name of the host that runs, empty if none does, and its index.
  struct Where {
    int64_t time_ns;
    absl::string_view host;
    uint32_t host_index = kNoTraceHost;
  };

  // `sink` is told of each line too, those below the threshold as well; null for none.
  explicit LogLines(absl::AnyInvocable<Where() const> where, TraceSink* sink = nullptr);
  ~LogLines() override;

  void Send(const absl::LogEntry& entry) override;

  // The line of `entry`.
  static std::string Format(const absl::LogEntry& entry, const Where& where, absl::string_view task);

 private:
  const absl::AnyInvocable<Where() const> where_;
  TraceSink* const sink_;
  const absl::LogSeverityAtLeast threshold_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REPORT_LOG_LINES_H_
