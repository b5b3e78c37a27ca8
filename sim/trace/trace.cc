// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/trace/trace.h"

#include "absl/strings/str_format.h"

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

}  // namespace tandem::sim
