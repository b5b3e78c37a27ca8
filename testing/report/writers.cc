// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/writers.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/event_words.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {
namespace {

using sim::TraceKind;

// One direction of a connection.
struct Stream {
  struct Write {
    uint64_t event;
    uint64_t end;  // Of its bytes, in the stream.
  };

  std::pair<int32_t, int32_t> writer;  // The host and the socket.
  std::vector<Write> writes;
  uint64_t read = 0;  // So many bytes.
  size_t next = 0;    // The write that the next byte is of.
};

// "10.0.0.1:7 10.0.0.2:49152" is the other end of "10.0.0.2:49152 10.0.0.1:7".
std::string OtherEnd(const std::string& connection) {
  const size_t blank = connection.find(' ');
  return blank == connection.npos ? "" : absl::StrCat(connection.substr(blank + 1), " ", connection.substr(0, blank));
}

// The host and the socket.
std::pair<int32_t, int32_t> EndOf(const RecordedEvent& event) { return {event.host, event.socket}; }

// The port of its own end; 0: it has none.
uint16_t LocalPort(const RecordedEvent& event) {
  const absl::string_view connection = event.connection;
  const absl::string_view local = connection.substr(0, connection.find(' '));
  uint32_t port = 0;
  if (!absl::SimpleAtoi(local.substr(local.rfind(':') + 1), &port)) return 0;
  return static_cast<uint16_t>(port);
}

// Which datagram a read got, and what sent it.
class Datagrams {
 public:
  explicit Datagrams(const Recording& recording) : recording_(recording), hosts_(recording.hosts.size()) {}

  void Opened(const RecordedEvent& open) { HostOf(open).next[open.socket] = HostOf(open).arrived.size(); }

  void Sent(const RecordedEvent& packet) { HostOf(packet).unsent.push_back(KeyOf(*packet.packet)); }

  // What a call sends goes out in it, before it returns.
  void Called(const RecordedEvent& send) {
    for (const PacketKey& packet : std::exchange(HostOf(send).unsent, {})) senders_[packet] = send.number;
  }

  void Arrived(const RecordedEvent& packet) { HostOf(packet).arrived.push_back(packet.number); }

  // There was no room for the one that has just arrived.
  void Dropped(const RecordedEvent& drop) { HostOf(drop).dropped.insert({drop.socket, HostOf(drop).arrived.size()}); }

  void Read(RecordedEvent& read) {
    Host& host = HostOf(read);
    const auto next = host.next.find(read.socket);
    if (next == host.next.end()) return;
    const uint16_t port = LocalPort(read);
    while (next->second < host.arrived.size()) {
      const RecordedEvent& event = recording_.events[host.arrived[next->second++]];
      const RecordedPacket& packet = *event.packet;
      if (packet.destination.port() != port || packet.payload.size() != read.b) continue;
      if (host.dropped.contains({read.socket, next->second})) continue;
      read.datagram = event.number;
      const auto sender = senders_.find(KeyOf(packet));
      if (sender != senders_.end()) read.written_by.push_back({sender->second, read.b});
      return;
    }
  }

 private:
  using PacketKey = std::tuple<int32_t, int32_t, uint32_t>;

  struct Host {
    std::vector<PacketKey> unsent;                 // By a call that has not returned yet.
    std::vector<uint64_t> arrived;                 // The events.
    std::map<int32_t, size_t> next;                // Of `arrived`, where each socket goes on.
    std::set<std::pair<int32_t, size_t>> dropped;  // By socket; counted from 1.
  };

  static PacketKey KeyOf(const RecordedPacket& packet) { return {packet.from, packet.to, packet.ordinal}; }
  Host& HostOf(const RecordedEvent& event) { return hosts_[static_cast<size_t>(event.host)]; }

  const Recording& recording_;
  std::vector<Host> hosts_;
  std::map<PacketKey, uint64_t> senders_;  // The calls.
};

class Writers {
 public:
  explicit Writers(Recording& recording) : recording_(recording), datagrams_(recording) {}

  void Find() {
    for (RecordedEvent& event : recording_.events) {
      if (event.host < 0 || static_cast<size_t>(event.host) >= recording_.hosts.size()) continue;
      if (event.source == RecordedEvent::Source::kTrace) See(event);
    }
  }

 private:
  static bool IsDatagram(const RecordedEvent& event) {
    return event.packet.has_value() && event.packet->protocol == RecordedPacket::Protocol::kUdp;
  }

  void See(RecordedEvent& event) {
    switch (event.kind) {
      case TraceKind::kConnected:
        ends_.insert(EndOf(event));
        break;
      case TraceKind::kAccept:
        ends_.insert({event.host, static_cast<int32_t>(event.b)});
        break;
      case TraceKind::kOpen:
        datagrams_.Opened(event);
        break;
      case TraceKind::kPacketSent:
        if (IsDatagram(event)) datagrams_.Sent(event);
        break;
      case TraceKind::kPacketDelivered:
        if (IsDatagram(event)) datagrams_.Arrived(event);
        break;
      case TraceKind::kDatagramDropped:
        datagrams_.Dropped(event);
        break;
      case TraceKind::kSend:
        if (!IsStream(event)) datagrams_.Called(event);
        Write(event);
        break;
      case TraceKind::kReceive:
        Read(event);
        break;
      default:
        break;
    }
  }

  bool IsStream(const RecordedEvent& event) const { return ends_.contains(EndOf(event)); }

  void Write(const RecordedEvent& event) {
    const auto bytes = static_cast<int64_t>(event.b);
    if (bytes <= 0 || !IsStream(event)) return;
    Stream& stream = streams_[event.connection];
    if (stream.writer != EndOf(event)) stream = Stream{EndOf(event), {}, 0, 0};  // The ports are used again.
    const uint64_t begin = stream.writes.empty() ? 0 : stream.writes.back().end;
    stream.writes.push_back({event.number, begin + static_cast<uint64_t>(bytes)});
  }

  void Read(RecordedEvent& event) {
    if (!IsStream(event)) {
      datagrams_.Read(event);
      return Tell(event);
    }
    const auto found = streams_.find(OtherEnd(event.connection));
    if (found == streams_.end()) return;
    Stream& stream = found->second;
    for (uint64_t left = event.b; left > 0 && stream.next < stream.writes.size();) {
      const Stream::Write& write = stream.writes[stream.next];
      const uint64_t bytes = std::min(left, write.end - stream.read);
      event.written_by.push_back({write.event, bytes});
      stream.read += bytes;
      left -= bytes;
      if (stream.read == write.end) ++stream.next;
    }
    Tell(event);
  }

  void Tell(RecordedEvent& event) const {
    if (event.written_by.empty()) return;
    const RecordedEvent& first = recording_.events[event.written_by.front().event];
    const uint64_t last = event.written_by.back().event;
    absl::StrAppend(&event.text, kWrittenIn, EventName(first.number));
    if (last != first.number) absl::StrAppend(&event.text, " to ", EventName(last));
    if (!first.place.empty()) absl::StrAppend(&event.text, " (", first.place, ")");
  }

  Recording& recording_;
  Datagrams datagrams_;
  std::set<std::pair<int32_t, int32_t>> ends_;  // Of connections whose beginning was seen.
  std::map<std::string, Stream> streams_;       // By the connection as its writer calls it.
};

}  // namespace

void FindWriters(Recording& recording) { Writers(recording).Find(); }

}  // namespace tandem::testing
