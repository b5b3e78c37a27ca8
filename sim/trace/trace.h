// SPDX-License-Identifier: Apache-2.0
//
// The trace of a run: every event, in order, folded into a digest of 128 bits.
//
// Two runs are the same run when their digests are equal. What enters is fixed-width integers, field by field, and
// never a pointer, a size of a type or a hash of the standard library: so equal programs give equal digests under every
// compiler. A record is {time, kind, host, a, b, c}; what a, b and c mean is said at the kind.
//
// Details are what happens between the events: steps of tasks, timers, draws, calls of libc. They enter a second, fine
// digest, and only where they are asked for: two runs that are compared part there first.
//
// Text costs nothing unless a sink is installed. A sink sees each record with the digest after it, so two runs that
// differ can be compared record by record; trace_text.h makes lines for people of them.

#ifndef TANDEM_SIM_TRACE_TRACE_H_
#define TANDEM_SIM_TRACE_TRACE_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "tandem/core/base/random.h"

namespace tandem::sim {

class Packet;
struct PacketFate;

// What happened. The values enter the digest: add at the end of a group, do not renumber.
enum class TraceKind : uint16_t {
  kNone = 0,
  // The network. host = the receiver, unless said otherwise.
  kPacketSent = 1,         // host = sender; a = destination host << 32 | link ordinal, c = sequence number,
                           // b = protocol << 40 | flags << 32 | size.
  kPacketDelivered = 2,    // a = source host << 32 | link ordinal, b and c likewise.
  kPacketLost = 3,         // host = sender; a = destination host << 32 | link ordinal, b = why (DropReason).
  kPacketUnreachable = 4,  // host = sender; nobody has the address; a = flags, b = size, c = seq.
  kConditions = 5,         // host = sender; a = destination host, b = median latency, c = bytes per second.
  kBlock = 6,              // host = sender; a = destination host, b = 1 blocked, 2 held, 0 neither.
  // Sockets. a = socket id.
  kOpen = 20,
  kBind = 21,        // b = port, c = result.
  kListen = 22,      // b = backlog, c = result.
  kConnect = 23,     // b = port of the peer, c = result.
  kConnected = 24,   // b = errno.
  kAccept = 25,      // b = the accepted socket id.
  kSend = 26,        // b = bytes taken into the send buffer or -errno, c = hash of the bytes.
  kReceive = 27,     // b = bytes handed over.
  kReceiveEnd = 28,  // b = SourceEnd, c = errno.
  kShutdown = 29,    // b = how, c = result.
  kClose = 30,
  kSocketOption = 31,  // b = option, c = value.
  kSocketError = 32,   // The connection died; b = errno.
  kRetransmit = 33,    // b = sequence number, c = try.
  kConnectFault = 34,  // b = 1 refused, 2 timed out.
  kResetFault = 35,
  kDatagramDropped = 40,  // The receive buffer was full; b = bytes.
  kMembership = 41,       // Of a multicast group; b = interface << 1 | join, c = result.
  // The reactor.
  kSubmit = 50,      // a = OperationKind, b = socket id.
  kComplete = 51,    // a = OperationKind, b = socket id, c = result.
  kCancel = 52,      // a = OperationKind, b = socket id.
  kArm = 53,         // a = Source::Kind, b = socket id, c = budget.
  kDisarm = 54,      // a = Source::Kind, b = socket id.
  kAbandon = 55,     // a = operations, b = sources.
  kSubmitDead = 56,  // Submitted or armed after the crash: a = 0 operation, 1 source.
  kSignal = 57,
  kWork = 58,      // Blocking work; a = its ordinal, b = 0 was called, 1 waits for a thread, 2 has one; c = when done.
  kLookup = 59,    // A name is looked up; a = its hash, b = its ordinal, c = when it will be answered.
  kLookedUp = 60,  // a = the hash of the name, b = errno, c = hash of the addresses.
  // Hosts (world.h).
  kHostStart = 80,
  kHostCrash = 81,  // a = 0 machine, 1 process.
  kHostExit = 82,
  kHostPause = 83,  // a = until.
  kHostTurn = 84,   // a = turn ordinal.
  // Details. host = the one that runs, kNoTraceHost if none does.
  kTaskResume = 85,  // a = task path, b = resume count.
  kTimer = 86,       // a = deadline, b = 0 armed, 1 due.
  kDraw = 87,        // a = Choice << 56 | part << 52 | lower bits of n, b = hash of the entity, c = value.
  kFault = 88,       // a = kind, b = target, c = strength.
  kClockStep = 89,   // a = the new offset.
  kStreamDraw = 90,  // A detail; a = key of the stream, b = n, c = value.
  kCall = 91,        // A detail; a = the call of libc (interpose.h).
  kVisit = 92,       // Of a site; a = hash of its name, b = how many there were, this one included.
  kTaskReady = 93,   // A detail; a = the path of a task that will go on.
  kBuggify = 94,     // Of a place that fires; a = hash of its name, b = how many visits there were, with this one.
  kUser = 200,       // What a program records: a, b, c are its own.
};

// The host of what happens outside of any.
inline constexpr uint32_t kNoTraceHost = ~uint32_t{0};

// Names `kind`, for text.
absl::string_view TraceKindName(TraceKind kind);

struct TraceDigest {
  uint64_t high = 0;
  uint64_t low = 0;

  friend bool operator==(const TraceDigest&, const TraceDigest&) = default;
  // 32 hexadecimal digits.
  std::string ToString() const;
};

struct TraceRecord {
  uint64_t ordinal = 0;  // Counts from 0, with the details where there are any.
  int64_t time_ns = 0;
  TraceKind kind = TraceKind::kNone;
  uint32_t host = 0;
  uint64_t a = 0;
  uint64_t b = 0;
  uint64_t c = 0;
};

// What a record is about, for people; valid while the record is made.
struct TraceAbout {
  const Packet* packet = nullptr;
  const PacketFate* fate = nullptr;  // Of a packet that is sent.
  absl::string_view bytes;           // What is read, or the name of what is looked up or visited.
};

// What the program has logged, while the line is made.
struct LoggedLine {
  int64_t time_ns = 0;
  uint32_t host = kNoTraceHost;
  char severity = 'I';     // I, W, E or F.
  absl::string_view file;  // Without its folder.
  int line = 0;
  absl::string_view message;
};

// Sees every record, with the digest that includes it. All else is not part of the digest.
class TraceSink {
 public:
  virtual void OnRecord(const TraceRecord& record, const TraceDigest& digest) = 0;
  // Comes right before the record, if at all.
  virtual void OnAbout(const TraceAbout&) {}
  // The running task of a host goes on.
  virtual void OnResume(int64_t /*time_ns*/, uint32_t /*host*/) {}
  // A remark for people.
  virtual void OnNote(int64_t /*time_ns*/, absl::string_view /*text*/) {}
  // The program has logged a line.
  virtual void OnLog(const LoggedLine&) {}

 protected:
  virtual ~TraceSink() = default;
};

class Trace {
 public:
  Trace() = default;
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  // Not inline: it is called from everywhere, and the code that runs for each packet has to fit into the cache.
  void Record(TraceKind kind, int64_t time_ns, uint32_t host, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0);

  // For people: what the next record is about.
  void About(const Packet& packet, const PacketFate* fate = nullptr) {
    if (sink_ != nullptr) [[unlikely]] {
      sink_->OnAbout({&packet, fate, {}});
    }
  }
  void About(absl::string_view bytes) {
    if (sink_ != nullptr) [[unlikely]] {
      sink_->OnAbout({nullptr, nullptr, bytes});
    }
  }
  // Only for people. The caller builds `text` whether or not somebody reads it: a run that is traced must not allocate
  // more than one that is not.
  void Note(int64_t time_ns, absl::string_view text) {
    if (sink_ != nullptr) sink_->OnNote(time_ns, text);
  }
  // Only for people, and only called when there is a sink.
  void Resume(int64_t time_ns, uint32_t host) { sink_->OnResume(time_ns, host); }
  bool has_sink() const { return sink_ != nullptr; }

  uint64_t records() const { return records_; }
  TraceDigest digest() const;

  // Whether details are recorded. The digest is the same with them and without.
  bool detailed() const { return detailed_; }
  void set_detailed() { detailed_ = true; }
  // REQUIRES detailed(). Uses no heap.
  void RecordDetail(TraceKind kind, int64_t time_ns, uint32_t host, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0);
  // Of the records and the details.
  TraceDigest fine_digest() const;

  // `sink` outlives the trace or is replaced by null.
  void set_sink(TraceSink* sink) { sink_ = sink; }

 private:
  static constexpr uint64_t Rotate(uint64_t value, int by) {
#ifdef __clang__
    return __builtin_rotateleft64(value, by);  // Of two shifts, it makes a second multiplication.
#else
    return std::rotl(value, by);
#endif
  }
  struct Folded {
    void Fold(uint64_t when, TraceKind kind, uint32_t host, uint64_t a, uint64_t b, uint64_t c);

    uint64_t high = 0x6c62272e07bb0142u;
    uint64_t low = 0x62b821756295c58du;
  };
  void Tell(TraceKind kind, int64_t time_ns, uint32_t host, uint64_t a, uint64_t b, uint64_t c);

  Folded records_folded_;
  uint64_t records_ = 0;
  TraceSink* sink_ = nullptr;
  bool detailed_ = false;
  uint64_t details_ = 0;
  Folded details_folded_;
};

// A hash of `size` bytes for the trace: the same on every little-endian machine.
uint64_t HashBytes(const char* data, size_t size);

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TRACE_TRACE_H_
