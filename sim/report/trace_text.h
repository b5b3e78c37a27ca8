// SPDX-License-Identifier: Apache-2.0
//
// The trace of a run as text for people: a line for each event, with the names of hosts and tasks, addresses, the first
// bytes and what becomes of each packet. docs/debugging.md has the key.
//
//   0.250310000  server    HandleConnection echo.cc:31   reads     12 bytes from socket 4 (server:7 < client:49152)
//
// It looks at the world when an event is recorded and uses no heap: a run that is traced has the addresses, and so the
// digest, of one that is not.

#ifndef TANDEM_SIM_REPORT_TRACE_TEXT_H_
#define TANDEM_SIM_REPORT_TRACE_TEXT_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::sim {

// Give it to the WorldOptions; it speaks about the world that lives.
class TraceText : public TraceSink {
 public:
  enum class Detail {
    kEvents,   // For people.
    kRecords,  // Every record and every detail, with its numbers and the digest so far: for comparing two runs.
  };

  explicit TraceText(Detail detail) : detail_(detail) {}

  void OnAbout(const TraceAbout& about) override { about_ = about; }
  void OnRecord(const TraceRecord& record, const TraceDigest& digest) override;
  void OnResume(int64_t time_ns, uint32_t host) override;
  void OnNote(int64_t time_ns, absl::string_view text) override;

 protected:
  ~TraceText() = default;

  // Takes whole lines, each with its end. Must not use the heap.
  virtual void Write(absl::string_view lines) = 0;

 private:
  void WriteKey();

  const Detail detail_;
  bool has_key_ = false;
  TraceAbout about_;
  int64_t fault_ns_ = -1;  // When a fault last began or ended.
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REPORT_TRACE_TEXT_H_
