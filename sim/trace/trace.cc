// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/trace/trace.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_format.h"
#include "tandem/core/base/random.h"

namespace tandem::sim {
namespace {

// The halves of the product, folded: every bit of both words has its part in it.
constexpr uint64_t Mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Odd numbers without a pattern.
constexpr std::array<uint64_t, 8> kKeys = {0x9fb21c651e98df25u, 0xd6e8feb86659fd93u, 0xa0761d6478bd642fu,
                                           0xe7037ed1a0b428dbu, 0x8ebc6af09c88c6e3u, 0x589965cc75374cc3u,
                                           0x1d8e4e27c47d124fu, 0xeb44accab455d165u};

uint64_t WordAt(const char* data) {
  uint64_t word;
  std::memcpy(&word, data, sizeof(word));
  return word;
}

}  // namespace

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
    case TraceKind::kTaskReady:
      return "task-ready";
    case TraceKind::kBuggify:
      return "buggify";
    case TraceKind::kVisit:
      return "visit";
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
    case TraceKind::kStreamDraw:
      return "stream_draw";
    case TraceKind::kCall:
      return "call";
    case TraceKind::kUser:
      return "user";
  }
  return "unknown";
}

std::string TraceDigest::ToString() const { return absl::StrFormat("%016x%016x", high, low); }

TraceDigest Trace::digest() const {
  // The last words folded in have not been spread over all bits yet.
  const auto [high, low] = records_folded_;
  return TraceDigest{HashCombine(high, low), HashCombine(low, high ^ records_)};
}

TraceDigest Trace::fine_digest() const {
  const auto [high, low] = details_folded_;
  const TraceDigest events = digest();
  return TraceDigest{HashCombine(events.high, high), HashCombine(events.low, low ^ details_)};
}

// The numbers are mixed before the digest comes in: a record waits for the one before it for one step only, and records
// that follow each other overlap in the processor.
inline void Trace::Folded::Fold(uint64_t when, TraceKind kind, uint32_t host, uint64_t a, uint64_t b, uint64_t c) {
  const uint64_t head = when + (static_cast<uint64_t>(kind) << 32 | host) * kKeys[5];
  low = Rotate((low ^ Mix(head ^ kKeys[1], a ^ kKeys[2])) * kKeys[0], 31);
  high = (Rotate(high, 27) ^ Mix(b ^ kKeys[3], c ^ kKeys[4])) * kKeys[1] + low;
}

void Trace::Record(TraceKind kind, int64_t time_ns, uint32_t host, uint64_t a, uint64_t b, uint64_t c) {
  records_folded_.Fold(static_cast<uint64_t>(time_ns), kind, host, a, b, c);
  ++records_;
  if (sink_ != nullptr) [[unlikely]] {
    Tell(kind, time_ns, host, a, b, c);
  }
}

void Trace::RecordDetail(TraceKind kind, int64_t time_ns, uint32_t host, uint64_t a, uint64_t b, uint64_t c) {
  details_folded_.Fold(records_, kind, host, a, b, c);  // Between which events.
  ++details_;
  if (sink_ != nullptr) Tell(kind, time_ns, host, a, b, c);
}

void Trace::Tell(TraceKind kind, int64_t time_ns, uint32_t host, uint64_t a, uint64_t b, uint64_t c) {
  sink_->OnRecord(TraceRecord{records_ + details_ - 1, time_ns, kind, host, a, b, c}, digest());
}

// Products of 16 bytes each do not wait for each other.
uint64_t HashBytes(const char* data, size_t size) {
  uint64_t hash = kKeys[0] ^ size;
  for (; size >= 32; data += 32, size -= 32) {
    const uint64_t low = Mix(WordAt(data) ^ kKeys[2], WordAt(data + 8) ^ kKeys[3]);
    const uint64_t high = Mix(WordAt(data + 16) ^ kKeys[4], WordAt(data + 24) ^ kKeys[5]);
    hash = Mix(hash ^ low, high ^ kKeys[6]);
  }
  for (; size >= 8; data += 8, size -= 8) hash = Mix(hash ^ WordAt(data), kKeys[1]);
  uint64_t word = 0;
  std::memcpy(&word, data, size);
  return MixBits(Mix(hash ^ word, kKeys[7]));
}

}  // namespace tandem::sim
