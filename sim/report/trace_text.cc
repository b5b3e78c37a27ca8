// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/report/trace_text.h"

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/string_view.h"
#include "tandem/core/async/executor.h"
#include "tandem/sim/report/event_text.h"
#include "tandem/sim/time/virtual_time.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::sim {
namespace {

constexpr size_t kHostColumn = 15;
constexpr size_t kTaskColumn = 26;
constexpr size_t kVerbColumn = 66;

void Begin(TextLine& line, int64_t time_ns, uint32_t host) {
  const VirtualTimeText time(time_ns);
  constexpr size_t kTimeWidth = kHostColumn - 2;
  for (size_t i = time.view().size(); i < kTimeWidth; ++i) line << " ";
  line << time.view();
  line.At(kHostColumn);
  WriteHost(line, host);
  line.At(kTaskColumn);
  if (Executor::HasCurrent() && Executor::Current().running_task() != nullptr) {
    const size_t before = line.size();
    WriteTaskName(line);
    if (line.size() == before) line << "(a new task)";
    WriteTaskPlace(line << " ");
  }
  line.At(kVerbColumn);
}

}  // namespace

void TraceText::WriteKey() {
  if (has_key_) return;
  has_key_ = true;
  if (detail_ == Detail::kRecords) return;
  Write("# seconds, host, task and its await, what happened; docs/debugging.md has the key\n");
}

void TraceText::OnRecord(const TraceRecord& record, const TraceDigest& digest) {
  const TraceAbout about = std::exchange(about_, TraceAbout());
  const bool is_detail = IsDetail(record.kind);
  if (is_detail && detail_ == Detail::kEvents) return;
  WriteKey();
  TextLine line;
  Begin(line, record.time_ns, record.host);
  if (record.kind == TraceKind::kFault) fault_ns_ = record.time_ns;
  // A fault sets the conditions of all links that it could concern, mostly to what they are.
  const bool by_fault = record.kind == TraceKind::kConditions && record.time_ns == fault_ns_;
  const bool shown = !by_fault && WriteEvent(line, record, about);
  if (detail_ == Detail::kRecords) {
    if (!shown) line << TraceKindName(record.kind);
    line << "  #" << record.ordinal << " " << static_cast<int64_t>(record.a) << " " << static_cast<int64_t>(record.b)
         << " " << static_cast<int64_t>(record.c) << " digest=";
    for (const uint64_t half : {digest.high, digest.low}) {
      for (int shift = 60; shift >= 0; shift -= 4) line.Number((half >> shift) & 15, 16);
    }
  } else if (!shown) {
    return;
  }
  Write(line.End());
}

void TraceText::OnResume(int64_t time_ns, uint32_t host) {
  if (detail_ == Detail::kRecords) return;  // A detail tells.
  TextLine line;
  Begin(line, time_ns, host);
  line << "resumes";
  Write(line.End());
}

void TraceText::OnNote(int64_t time_ns, absl::string_view text) {
  WriteKey();
  // The first line is an event like the others; what follows belongs to it.
  const size_t end = text.find('\n');
  TextLine line;
  Begin(line, time_ns, kNoTraceHost);
  Write((line << text.substr(0, end)).End());
  if (end == absl::string_view::npos) return;
  Write(text.substr(end + 1));
  if (text.back() != '\n') Write("\n");
}

}  // namespace tandem::sim
