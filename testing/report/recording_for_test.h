// SPDX-License-Identifier: Apache-2.0
//
// Recordings made by hand, event by event, for tests.

#ifndef TANDEM_TESTING_REPORT_RECORDING_FOR_TEST_H_
#define TANDEM_TESTING_REPORT_RECORDING_FOR_TEST_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "tandem/core/io/address.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {

// Each call adds an event at a time and returns its number. Times do not go back.
class RecordingForTest {
 public:
  int32_t Host(std::string name) {
    recording_.hosts.push_back(std::move(name));
    return static_cast<int32_t>(recording_.hosts.size()) - 1;
  }

  uint64_t Add(int64_t time_ns, RecordedEvent event) {
    event.number = recording_.events.size();
    event.time_ns = time_ns;
    recording_.end_ns = time_ns;
    recording_.events.push_back(std::move(event));
    return recording_.events.back().number;
  }
  uint64_t Note(int64_t time_ns, std::string text) {
    RecordedEvent event;
    event.source = RecordedEvent::Source::kNote;
    event.text = std::move(text);
    return Add(time_ns, std::move(event));
  }
  // It is lost if `packet.lost` says so.
  uint64_t Sent(int64_t time_ns, RecordedPacket packet, uint64_t cause = kNoEvent) {
    packet.ordinal = ++packets_[{packet.from, packet.to}];
    RecordedEvent event;
    event.kind = sim::TraceKind::kPacketSent;
    event.host = packet.from;
    event.cause = cause;
    event.verb = "sends";
    event.packet = std::move(packet);
    return Add(time_ns, std::move(event));
  }
  uint64_t Arrived(int64_t time_ns, uint64_t sent) {
    RecordedEvent event;
    event.kind = sim::TraceKind::kPacketDelivered;
    event.verb = "gets";
    event.cause = sent;
    event.packet = recording_.events[sent].packet;
    event.host = event.packet->to;
    return Add(time_ns, std::move(event));
  }
  uint64_t LostOnItsWay(int64_t time_ns, uint64_t sent, std::string why) {
    RecordedEvent event;
    event.kind = sim::TraceKind::kPacketLost;
    event.cause = sent;
    event.packet = recording_.events[sent].packet;
    event.host = event.packet->from;
    event.packet->lost = std::move(why);
    return Add(time_ns, std::move(event));
  }

  Recording& recording() { return recording_; }

 private:
  Recording recording_;
  std::map<std::pair<int32_t, int32_t>, uint32_t> packets_;
};

// An address and the host that has it.
struct EndForTest {
  int32_t host = kNoHost;
  SocketAddress address;
};

inline RecordedPacket DatagramForTest(const EndForTest& from, const EndForTest& to, std::string payload) {
  RecordedPacket packet;
  packet.protocol = RecordedPacket::Protocol::kUdp;
  packet.from = from.host;
  packet.to = to.host;
  packet.source = from.address;
  packet.destination = to.address;
  packet.payload = std::move(payload);
  return packet;
}

// The segments of a connection, as each end would send them after all that were made before had arrived.
class ConnectionForTest {
 public:
  enum From : size_t { kClient, kServer };

  ConnectionForTest(EndForTest client, EndForTest server, uint64_t client_sequence, uint64_t server_sequence)
      : ends_{std::move(client), std::move(server)}, next_{client_sequence, server_sequence} {}

  RecordedPacket Segment(From from, std::string payload, uint8_t flags = RecordedPacket::kAck,
                         uint32_t window = 65'536) {
    const From to = from == kClient ? kServer : kClient;
    RecordedPacket packet = DatagramForTest(ends_[from], ends_[to], std::move(payload));
    packet.protocol = RecordedPacket::Protocol::kTcp;
    packet.flags = flags;
    packet.sequence = next_[from];
    packet.acknowledgement = next_[to];
    packet.window = window;
    next_[from] += packet.payload.size();
    if ((flags & (RecordedPacket::kSyn | RecordedPacket::kFin)) != 0) ++next_[from];
    return packet;
  }

 private:
  EndForTest ends_[2];
  uint64_t next_[2];
};

// The three packets that open `connection`, from `time_ns` on, a millisecond apart.
inline void OpenForTest(RecordingForTest& recording, int64_t time_ns, ConnectionForTest& connection) {
  constexpr int64_t kLatency = 1'000'000;
  constexpr uint8_t kSyn = RecordedPacket::kSyn;
  constexpr uint8_t kAck = RecordedPacket::kAck;
  const uint64_t syn = recording.Sent(time_ns, connection.Segment(ConnectionForTest::kClient, "", kSyn));
  const uint64_t got = recording.Arrived(time_ns + kLatency, syn);
  const uint64_t answer =
      recording.Sent(time_ns + kLatency, connection.Segment(ConnectionForTest::kServer, "", kSyn | kAck), got);
  const uint64_t answered = recording.Arrived(time_ns + 2 * kLatency, answer);
  const uint64_t ack =
      recording.Sent(time_ns + 2 * kLatency, connection.Segment(ConnectionForTest::kClient, ""), answered);
  recording.Arrived(time_ns + 3 * kLatency, ack);
}

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_RECORDING_FOR_TEST_H_
