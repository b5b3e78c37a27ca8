// SPDX-License-Identifier: Apache-2.0
//
// What happened in one run, as the reports about a failure show it.
//
// A recording is made of a run that is run again (sim/report/recorder.h), so that seeds that pass pay nothing for it.
// Everything that is written about the run counts its events in the same way: event 17 is "e17" in the timeline, the
// capture and the table.

#ifndef TANDEM_TESTING_REPORT_RECORDING_H_
#define TANDEM_TESTING_REPORT_RECORDING_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tandem/core/io/address.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::testing {

inline constexpr uint64_t kNoEvent = ~uint64_t{0};
inline constexpr int32_t kNoHost = -1;

// A packet of the simulated network, where it is sent, arrives or is lost.
struct RecordedPacket {
  enum class Protocol : uint8_t { kTcp, kUdp, kUnreachable };
  // Of TCP.
  static constexpr uint8_t kSyn = 1;
  static constexpr uint8_t kAck = 2;
  static constexpr uint8_t kFin = 4;
  static constexpr uint8_t kReset = 8;

  Protocol protocol = Protocol::kTcp;
  uint8_t flags = 0;
  int32_t from = kNoHost;  // Indices of hosts; kNoHost for an address that nobody has.
  int32_t to = kNoHost;
  uint32_t ordinal = 0;  // Of all packets of this link, from 1: the same where it is sent and where it arrives.
  SocketAddress source;
  SocketAddress destination;
  uint64_t sequence = 0;  // Do not wrap; on the wire the lower 32 bits.
  uint64_t acknowledgement = 0;
  uint32_t window = 0;  // In bytes.
  std::string payload;
  // Where it is sent:
  std::string lost;                             // Why it does not arrive, in words; empty if it does.
  int64_t arrival_ns = -1;                      // When it arrives; -1 if it does not.
  std::optional<int64_t> duplicate_arrival_ns;  // When it arrives again, if it does.
};

// A write, and how many bytes of a read are its.
struct RecordedWriter {
  uint64_t event = 0;
  uint64_t bytes = 0;
};

struct RecordedEvent {
  enum class Source : uint8_t {
    kTrace,    // A record of the trace; `kind`, `a`, `b` and `c` are its.
    kLog,      // A line that the program has logged; `text` is the message, `place` where, `verb` the severity: "I".
    kNote,     // What the world remarks: a fault that begins or ends.
    kFailure,  // The first expectation that failed, or the error that ended the run. At most one.
  };

  uint64_t number = 0;  // Its index in Recording::events.
  Source source = Source::kTrace;
  sim::TraceKind kind = sim::TraceKind::kNone;
  // Whether it is about how things happened rather than what: a task that goes on, a timer, a random number.
  bool detail = false;
  int64_t time_ns = 0;     // Virtual, from the start of the world.
  uint64_t step = 0;       // The event of the world in which it happened: World::events().
  int32_t host = kNoHost;  // Index in Recording::hosts; kNoHost: outside of any.
  uint64_t task_id = 0;    // Of the task that ran, the same in all its events; 0: none.
  std::string task;        // Its name for people, "HandleConnection"; empty where there is none yet.
  std::string place;       // The line of the program where it awaits, or awaited last: "server.cc:31".
  std::string verb;        // What happened, for people: "reads". Empty for what is known by its numbers alone.
  std::string text;        // To what: "12 bytes from socket 4 (server:7 - client:49152)".
  uint64_t a = 0;          // As sim::TraceKind says.
  uint64_t b = 0;
  uint64_t c = 0;
  int32_t socket = -1;        // The socket of the host that it is about, if it is about one.
  std::string connection;     // Of that: "tcp 10.0.0.1:7 10.0.0.2:49152", its own end first; empty if it has none.
  uint64_t cause = kNoEvent;  // The number of the earlier event that brought it about.
  std::optional<RecordedPacket> packet;
  std::vector<RecordedWriter> written_by;  // Of a read: whose bytes it got, in order.
  uint64_t datagram = kNoEvent;            // Of a read of a datagram: the event in which that arrived.
};

// A fault, or something done by name, as a stretch of time.
struct RecordedBand {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;          // The end of the run, where it did not end before.
  std::string text;            // "partition n1 | n2, n3"
  std::vector<int32_t> hosts;  // That it concerns; empty: all.
  uint64_t hits = 0;           // How often it changed something.
};

// An operation of a client (testing/history.h).
struct RecordedOperation {
  std::string client;
  std::string text;  // "put(x, 3) -> ok"
  int64_t begin_ns = 0;
  int64_t end_ns = -1;    // -1: it never ended.
  bool bad = false;       // Part of what cannot be right.
  size_t history = 0;     // Of those of the run, in the order in which they began.
  std::string json_line;  // As testing::ToJsonLines() writes it, with its line break.
};

struct Recording {
  std::vector<std::string> hosts;
  std::vector<RecordedEvent> events;
  std::vector<RecordedOperation> operations;  // In the order of their beginnings.
  std::vector<RecordedBand> bands;
  int64_t end_ns = 0;
  bool is_whole = true;  // Else the run was long, and what came first is not there.
};

// How often a run fails in the same way when everything is decided anew from a moment on.
struct RecordedLikelihood {
  // What has still happened: these events, and all before them.
  uint64_t first = 0;
  uint64_t last = 0;
  uint64_t failed = 0;
  uint64_t branches = 0;
  uint64_t otherwise = 0;  // So many failed in another way: nobody knows whether they would have failed in this one.
};

// The run nearest to the one that failed which passes: the same but for one thing, and of those the one that goes the
// same way for longest.
struct PassingRun {
  std::string how;       // What is other: "without crash node1 at call 37 for 2s", "without operation 3 of ann".
  std::string scenario;  // As --scenario takes it.
  Recording recording;
  uint64_t differs_at = 0;  // The number of the first event of the run that failed which this one does not have.
};

// All that a report says.
struct Report {
  std::string test;  // "Suite.Name".
  uint64_t seed = 0;
  std::string message;    // Why it failed: the failed check, lines.
  std::string place;      // Where: "server_test.cc:42"; empty where nobody knows.
  std::string scenario;   // As --scenario takes it: shrunk, if it was shrunk.
  std::string sentences;  // The same in words, a line each.
  std::string replay;     // The command that runs it again.
  std::string digest;     // 32 hexadecimal digits.
  Recording recording;
  // The numbers of the events that led to the failure, in order; the last is the failure.
  std::vector<uint64_t> slice;
  // At some of these events, in order; empty: nobody has asked.
  std::vector<RecordedLikelihood> likelihood;
  // The first event of the moment from which on the failure was all but inevitable; kNoEvent where that is not known.
  uint64_t cause = kNoEvent;
  std::optional<PassingRun> passing;  // None: nobody has found one.
  std::vector<std::string> files;     // Files in the folder that others have written.
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_RECORDING_H_
