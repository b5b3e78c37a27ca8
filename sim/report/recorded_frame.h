// SPDX-License-Identifier: Apache-2.0
//
// What a recording of a run consists of, on its way from the process that runs to the one that reports.
//
// A frame is a RecordedFrame and behind it its texts, in the order of its sizes, without an end. Both processes are the
// same binary, so nothing is said of the order of bytes.

#ifndef TANDEM_SIM_REPORT_RECORDED_FRAME_H_
#define TANDEM_SIM_REPORT_RECORDED_FRAME_H_

#include <array>
#include <cstdint>

namespace tandem::sim {

struct RecordedAddress {
  std::array<uint8_t, 16> bytes;  // IPv4 has four.
  uint16_t port;
  uint8_t family;  // As AddressFamily.
  uint8_t unused;
};

struct RecordedFrame {
  enum class What : uint32_t {
    kHost,     // texts[0] is the name of the next host.
    kTrace,    // A record of the trace.
    kLog,      // texts: kVerb the severity, kPlace the line, kText the message.
    kNote,     // kText
    kFailure,  // kText, kPlace
    kHits,     // Of the fault kText: a is how often it has hit something.
    // Of a client (testing/history.h): operation b of history a is invoked or ends; c is how it has ended, `task` and
    // `sequence` are when, in the order of the history. kTask the client, kPlace the object, kVerb the name, kText the
    // arguments, each a NUL-terminated string, kPayload the answer.
    kOperation,
    kMisfit,  // As kOperation, of one that has no place in the history: `task`, kTask, kPlace and kVerb say which.
  };
  enum Text { kTask, kPlace, kVerb, kText, kPayload, kWhyLost, kTexts };

  What what;
  uint32_t host;
  int64_t time_ns;
  uint64_t a;
  uint64_t b;
  uint64_t c;
  uint64_t step;  // World::events().
  uint64_t task;  // Its path; 0: none runs.
  uint16_t kind;  // As TraceKind.
  uint8_t detail;
  uint8_t has_packet;
  int32_t socket;
  RecordedAddress local;  // Of the socket, or of the source of the packet.
  RecordedAddress remote;
  // Of a packet.
  uint32_t from;
  uint32_t to;
  uint32_t ordinal;
  uint32_t window;
  uint64_t sequence;
  uint64_t acknowledgement;
  int64_t arrival_ns;            // -1: it does not arrive.
  int64_t duplicate_arrival_ns;  // -1: it does not arrive twice.
  uint8_t protocol;              // As Packet::Protocol.
  uint8_t flags;                 // As Packet::Flag.
  std::array<uint8_t, 6> unused;
  uint64_t left_out;  // Of kText: so many bytes behind what is here.
  std::array<uint32_t, kTexts> sizes;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REPORT_RECORDED_FRAME_H_
