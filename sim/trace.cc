// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/trace.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "tandem/sim/virtual_time.h"

namespace tandem::sim {

absl::string_view TraceKindName(TraceKind kind) {
  switch (kind) {
    case TraceKind::kNone:
      return "none";
    case TraceKind::kPacketSent:
      return "packet_sent";
    case TraceKind::kPacketDelivered:
      return "packet_delivered";
    case TraceKind::kPacketLost:
      return "packet_lost";
    case TraceKind::kPacketUnreachable:
      return "packet_unreachable";
    case TraceKind::kConditions:
      return "conditions";
    case TraceKind::kBlock:
      return "block";
    case TraceKind::kClog:
      return "clog";
    case TraceKind::kOpen:
      return "open";
    case TraceKind::kBind:
      return "bind";
    case TraceKind::kListen:
      return "listen";
    case TraceKind::kConnect:
      return "connect";
    case TraceKind::kConnected:
      return "connected";
    case TraceKind::kAccept:
      return "accept";
    case TraceKind::kSend:
      return "send";
    case TraceKind::kReceive:
      return "receive";
    case TraceKind::kReceiveEnd:
      return "receive_end";
    case TraceKind::kShutdown:
      return "shutdown";
    case TraceKind::kClose:
      return "close";
    case TraceKind::kSocketOption:
      return "socket_option";
    case TraceKind::kSocketError:
      return "socket_error";
    case TraceKind::kRetransmit:
      return "retransmit";
    case TraceKind::kConnectFault:
      return "connect_fault";
    case TraceKind::kResetFault:
      return "reset_fault";
    case TraceKind::kDatagramDropped:
      return "datagram_dropped";
    case TraceKind::kMembership:
      return "membership";
    case TraceKind::kSubmit:
      return "submit";
    case TraceKind::kComplete:
      return "complete";
    case TraceKind::kCancel:
      return "cancel";
    case TraceKind::kArm:
      return "arm";
    case TraceKind::kDisarm:
      return "disarm";
    case TraceKind::kAbandon:
      return "abandon";
    case TraceKind::kSubmitDead:
      return "submit_dead";
    case TraceKind::kSignal:
      return "stop_signal";
    case TraceKind::kWork:
      return "work";
    case TraceKind::kLookup:
      return "lookup";
    case TraceKind::kLookedUp:
      return "looked_up";
    case TraceKind::kHostStart:
      return "host_start";
    case TraceKind::kHostCrash:
      return "host_crash";
    case TraceKind::kHostExit:
      return "host_exit";
    case TraceKind::kHostPause:
      return "host_pause";
    case TraceKind::kHostTurn:
      return "host_turn";
    case TraceKind::kTaskResume:
      return "task_resume";
    case TraceKind::kTimer:
      return "timer";
    case TraceKind::kDraw:
      return "draw";
    case TraceKind::kFault:
      return "fault";
    case TraceKind::kClockStep:
      return "clock_step";
    case TraceKind::kUser:
      return "user";
  }
  return "unknown";
}

std::string TraceDigest::ToString() const { return absl::StrFormat("%016x%016x", high, low); }

std::string FormatTraceRecord(const TraceRecord& record) {
  char text[kTraceRecordTextMax];
  return std::string(text, FormatTraceRecord(record, text));
}

size_t FormatTraceRecord(const TraceRecord& record, char (&text)[kTraceRecordTextMax]) {
  const int size =
      absl::SNPrintF(text, sizeof(text), "#%d t=%s host=%d %s a=%d b=%d c=%d", record.ordinal,
                     VirtualTimeText(record.time_ns).view(), record.host, TraceKindName(record.kind),
                     static_cast<int64_t>(record.a), static_cast<int64_t>(record.b), static_cast<int64_t>(record.c));
  return std::min<size_t>(static_cast<size_t>(size), sizeof(text) - 1);
}

TraceDigest Trace::digest() const {
  // The last words folded in have not been spread over all bits yet.
  return TraceDigest{HashCombine(high_, low_), HashCombine(low_, high_ ^ records_)};
}

void Trace::Record(TraceKind kind, int64_t time_ns, uint32_t host, uint64_t a, uint64_t b, uint64_t c) {
  Fold(static_cast<uint64_t>(time_ns));
  Fold(static_cast<uint64_t>(kind) << 32 | host);
  Fold(a);
  Fold(b);
  Fold(c);
  ++records_;
  if (sink_ != nullptr) [[unlikely]] {
    Tell(kind, time_ns, host, a, b, c);
  }
}

void Trace::Tell(TraceKind kind, int64_t time_ns, uint32_t host, uint64_t a, uint64_t b, uint64_t c) {
  sink_->OnRecord(TraceRecord{records_ - 1, time_ns, kind, host, a, b, c}, digest());
}

void BoundedTraceSink::OnRecord(const TraceRecord& record, const TraceDigest&) { Add(FormatTraceRecord(record)); }

void BoundedTraceSink::OnNote(absl::string_view text) { Add(std::string(text)); }

void BoundedTraceSink::Add(std::string line) {
  if (limit_ == 0) return;
  if (lines_.size() < limit_) {
    lines_.push_back(std::move(line));
    return;
  }
  lines_[next_] = std::move(line);
  next_ = (next_ + 1) % limit_;
}

std::vector<std::string> BoundedTraceSink::Lines() const {
  std::vector<std::string> result;
  result.reserve(lines_.size());
  for (size_t i = 0; i < lines_.size(); ++i) result.push_back(lines_[(next_ + i) % lines_.size()]);
  return result;
}

}  // namespace tandem::sim
