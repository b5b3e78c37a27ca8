// SPDX-License-Identifier: Apache-2.0
//
// Everything that happens in a run, as frames of bytes for another process, which makes reports of them
// (testing/report/read_recording.h).
//
// It looks at the world when an event is recorded and uses no
// heap: a run that is recorded has the addresses, and so the digest, of one that is not.

#ifndef TANDEM_SIM_REPORT_RECORDER_H_
#define TANDEM_SIM_REPORT_RECORDER_H_

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "tandem/sim/report/recorded_frame.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::sim {

// An operation of a client: RecordedFrame::What::kOperation or kMisfit.
struct RecordedCall {
  bool misfit = false;
  uint64_t history = 0;
  uint64_t number = 0;
  uint64_t outcome = 0;
  uint64_t invoked = 0;
  uint64_t returned = 0;
  absl::string_view client;
  absl::string_view object;
  absl::string_view name;
  absl::string_view arguments;
  absl::string_view answer;
};

// Give it to the WorldOptions, and set_trace_details(); it speaks about the world that lives.
class Recorder : public TraceSink {
 public:
  void OnAbout(const TraceAbout& about) override { about_ = about; }
  void OnRecord(const TraceRecord& record, const TraceDigest& digest) override;
  void OnNote(int64_t time_ns, absl::string_view text) override;
  void OnLog(const LoggedLine& line) override;
  // An expectation failed, or the run ended with an error.
  virtual void OnFailure(int64_t time_ns, uint32_t host, absl::string_view place, absl::string_view text);
  // An operation of a client, as the frame says.
  void OnOperation(int64_t time_ns, const RecordedCall& call);
  // At the end: how often a fault has hit something.
  void OnHits(absl::string_view fault, uint64_t hits);

 protected:
  ~Recorder() = default;

  // Whether it is an event: the same program in another process has the same. What libc is asked is not, since much is
  // asked once in a process.
  static bool IsEvent(const TraceRecord& record) { return record.kind != TraceKind::kCall; }

  // Takes the next bytes. Must not use the heap.
  virtual void Write(absl::string_view bytes) = 0;

 private:
  using Texts = std::array<absl::string_view, RecordedFrame::kTexts>;

  void WriteFrame(RecordedFrame& frame, const Texts& texts);
  // The hosts that nobody has been told of.
  void WriteHosts();

  TraceAbout about_;
  uint32_t hosts_ = 0;  // That the reader knows.
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REPORT_RECORDER_H_
