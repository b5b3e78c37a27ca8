// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/pcapng.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/core/io/address.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/event_words.h"
#include "tandem/testing/report/json.h"

namespace tandem::testing {
namespace {

using Protocol = RecordedPacket::Protocol;

// --- The packets as on the wire, big-endian
// ----------------------------------------------------------------------------

// RFC 3692 keeps the last two for experiments.
enum IpProtocol : uint8_t { kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpv6 = 58, kLostTcp = 253, kLostUdp = 254 };

// The simulator's largest segments, between hosts and within one, and datagrams. They fit into a packet.
constexpr uint16_t kMaxSegmentOfLink = 1'460;
constexpr uint16_t kMaxSegment = 65'483;
constexpr size_t kMaxDatagramIpv4 = 65'507;
constexpr size_t kMaxDatagramIpv6 = 65'527;
// Of the datagram that an error is about, so that the error does not need fragments.
constexpr size_t kMaxQuoted = 500;

void PutBig(std::string& out, uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
}

void SetBig16(std::string& out, size_t at, uint16_t value) {
  out[at] = static_cast<char>(value >> 8);
  out[at + 1] = static_cast<char>(value);
}

// The sum of the 16-bit words in `bytes`, as RFC 1071 has it, on top of `sum`.
uint64_t Sum(absl::string_view bytes, uint64_t sum = 0) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    sum += i % 2 == 0 ? static_cast<uint64_t>(byte) << 8 : byte;
  }
  return sum;
}

uint16_t Checksum(uint64_t sum) {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

absl::string_view AddressBytes(const SocketAddress& address) {
  return absl::string_view(reinterpret_cast<const char*>(address.bytes().data()), address.is_ipv4() ? 4 : 16);
}

// The two ends of a packet, both of IPv4 or both of IPv6.
struct Ends {
  const SocketAddress& source;
  const SocketAddress& destination;

  bool ipv4() const { return source.is_ipv4(); }
  // Of the header before a TCP segment, a datagram or a message of ICMPv6 that only its checksum sees.
  uint64_t PseudoHeaderSum(IpProtocol protocol, size_t size) const {
    return Sum(AddressBytes(source), Sum(AddressBytes(destination), protocol + size));
  }
};

// A packet with `content`, of which only the first `present` bytes are there.
std::string IpPacket(const Ends& ends, IpProtocol protocol, absl::string_view content,
                     size_t present = absl::string_view::npos) {
  constexpr uint8_t kTimeToLive = 64;
  constexpr uint16_t kDontFragment = 0x4000;
  std::string packet;
  if (ends.ipv4()) {
    PutBig(packet, 0x4500, 2);  // Version 4, a header of 5 words.
    PutBig(packet, 20 + content.size(), 2);
    PutBig(packet, 0, 2);
    PutBig(packet, kDontFragment, 2);
    PutBig(packet, kTimeToLive, 1);
    PutBig(packet, protocol, 1);
    PutBig(packet, 0, 2);  // The checksum, below.
    absl::StrAppend(&packet, AddressBytes(ends.source), AddressBytes(ends.destination));
    SetBig16(packet, 10, Checksum(Sum(packet)));
  } else {
    PutBig(packet, 0x60000000, 4);  // Version 6.
    PutBig(packet, content.size(), 2);
    PutBig(packet, protocol, 1);
    PutBig(packet, kTimeToLive, 1);
    absl::StrAppend(&packet, AddressBytes(ends.source), AddressBytes(ends.destination));
  }
  absl::StrAppend(&packet, content.substr(0, present));
  return packet;
}

// Parts of a segment: `window` as it is on the wire; `largest` and `shift`, of the window, are in a SYN alone.
struct Segment {
  uint8_t flags = 0;
  uint32_t sequence = 0;
  uint32_t acknowledgement = 0;
  uint16_t window = 0;
  uint16_t largest = 0;
  uint8_t shift = 0;
  absl::string_view payload;
};

std::string TcpSegment(const Ends& ends, const Segment& segment) {
  const bool syn = (segment.flags & RecordedPacket::kSyn) != 0;
  const bool ack = (segment.flags & RecordedPacket::kAck) != 0;
  uint8_t flags = 0;
  if ((segment.flags & RecordedPacket::kFin) != 0) flags |= 0x01;
  if (syn) flags |= 0x02;
  if ((segment.flags & RecordedPacket::kReset) != 0) flags |= 0x04;
  if (ack) flags |= 0x10;
  std::string bytes;
  PutBig(bytes, ends.source.port(), 2);
  PutBig(bytes, ends.destination.port(), 2);
  PutBig(bytes, segment.sequence, 4);
  PutBig(bytes, ack ? segment.acknowledgement : 0, 4);
  PutBig(bytes, syn ? 0x70 : 0x50, 1);  // The size of the header, in words.
  PutBig(bytes, flags, 1);
  PutBig(bytes, segment.window, 2);
  PutBig(bytes, 0, 4);  // The checksum, below, and no urgent data.
  if (syn) {
    PutBig(bytes, 0x02040000 | segment.largest, 4);
    PutBig(bytes, 0x01030300 | segment.shift, 4);  // After a byte that is nothing.
  }
  absl::StrAppend(&bytes, segment.payload);
  SetBig16(bytes, 16, Checksum(Sum(bytes, ends.PseudoHeaderSum(kTcp, bytes.size()))));
  return bytes;
}

std::string UdpDatagram(const Ends& ends, absl::string_view payload) {
  payload = payload.substr(0, ends.ipv4() ? kMaxDatagramIpv4 : kMaxDatagramIpv6);
  std::string bytes;
  PutBig(bytes, ends.source.port(), 2);
  PutBig(bytes, ends.destination.port(), 2);
  PutBig(bytes, 8 + payload.size(), 2);
  PutBig(bytes, 0, 2);
  absl::StrAppend(&bytes, payload);
  const uint16_t checksum = Checksum(Sum(bytes, ends.PseudoHeaderSum(kUdp, bytes.size())));
  SetBig16(bytes, 6, checksum == 0 ? 0xffff : checksum);  // 0 would say that there is none.
  return bytes;
}

// Says that nobody has the port to which the other end has sent `payload`.
std::string UnreachablePacket(const Ends& ends, absl::string_view payload) {
  const Ends original = {ends.destination, ends.source};
  std::string bytes;
  PutBig(bytes, ends.ipv4() ? 0x0303 : 0x0104, 2);  // The destination is unreachable: the port.
  PutBig(bytes, 0, 6);
  absl::StrAppend(&bytes, IpPacket(original, kUdp, UdpDatagram(original, payload), kMaxQuoted));
  const IpProtocol protocol = ends.ipv4() ? kIcmp : kIcmpv6;
  const uint64_t sum = ends.ipv4() ? 0 : ends.PseudoHeaderSum(protocol, bytes.size());
  SetBig16(bytes, 2, Checksum(Sum(bytes, sum)));
  return IpPacket(ends, protocol, bytes);
}

// --- The blocks of the file, little-endian
// -----------------------------------------------------------------------------

enum Direction : uint8_t { kInbound = 1, kOutbound = 2 };

void PutLittle(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
}

void PadTo32Bits(std::string& out) { out.resize((out.size() + 3) / 4 * 4); }

void PutOption(std::string& block, uint16_t code, absl::string_view value) {
  constexpr size_t kMaxOption = 0xffff;
  value = value.substr(0, kMaxOption);
  PutLittle(block, code, 2);
  PutLittle(block, value.size(), 2);
  absl::StrAppend(&block, value);
  PadTo32Bits(block);
}
void PutComment(std::string& block, absl::string_view comment) { PutOption(block, 1, comment); }

void PutBlock(std::string& file, uint32_t type, absl::string_view body) {
  const size_t size = body.size() + 12;
  PutLittle(file, type, 4);
  PutLittle(file, size, 4);
  absl::StrAppend(&file, body);
  PutLittle(file, size, 4);
}

void PutSection(std::string& file) {
  std::string body;
  PutLittle(body, 0x1a2b3c4d, 4);    // Tells the order of bytes.
  PutLittle(body, 1, 4);             // Version 1.0.
  PutLittle(body, ~uint64_t{0}, 8);  // Its size is not told.
  PutOption(body, 4, "Tandem");      // The program.
  PutComment(body,
             "A simulated network. Each packet is where it arrives, or, if it never does, where it was sent, with a "
             "comment that says why. Times are virtual and count from the start of the world.");
  PutOption(body, 0, "");
  PutBlock(file, 0x0a0d0d0a, body);
}

void PutInterface(std::string& file, absl::string_view host) {
  std::string body;
  PutLittle(body, 101, 4);  // Packets begin with the header of IPv4 or IPv6.
  PutLittle(body, 0, 4);    // They are of any size.
  PutOption(body, 2, OneLine(host));
  PutOption(body, 9, "\x09");  // Times are in nanoseconds.
  PutOption(body, 0, "");
  PutBlock(file, 1, body);
}

void PutPacket(std::string& file, uint32_t interface, int64_t time_ns, Direction direction, absl::string_view packet,
               const std::vector<std::string>& comments) {
  const auto time = static_cast<uint64_t>(time_ns);
  std::string body;
  PutLittle(body, interface, 4);
  PutLittle(body, time >> 32, 4);
  PutLittle(body, time, 4);
  PutLittle(body, packet.size(), 4);
  PutLittle(body, packet.size(), 4);
  absl::StrAppend(&body, packet);
  PadTo32Bits(body);
  std::string flags;
  PutLittle(flags, direction, 4);
  PutOption(body, 2, flags);
  for (const std::string& comment : comments) PutComment(body, comment);
  PutOption(body, 0, "");
  PutBlock(file, 6, body);
}

// --- What is known of the run
// ------------------------------------------------------------------------------------------

class Capture {
 public:
  Capture(const Recording& recording, const Excerpt& excerpt) : recording_(recording), excerpt_(excerpt) {}

  std::string Write() {
    LookAtPackets();
    PutSection(file_);
    for (const std::string& host : recording_.hosts) PutInterface(file_, host);
    PutNames();
    excerpt_.Visit(
        recording_, [this](const RecordedEvent& event) { Add(event); },
        [this](const Excerpt::Gap& gap) {
          remarks_.push_back(
              absl::StrCat("before this packet, ", EventName(gap.first), " to ", EventName(gap.last), " are left out"));
        });
    return std::move(file_);
  }

 private:
  using Key = std::tuple<int32_t, int32_t, uint32_t>;  // The link, and which of its packets.
  struct Fate {
    bool arrives = false;
    const RecordedEvent* lost = nullptr;  // On its way.
  };
  using Way = std::pair<SocketAddress, SocketAddress>;

  static Key KeyOf(const RecordedPacket& packet) { return {packet.from, packet.to, packet.ordinal}; }
  static bool IsIp(const RecordedPacket& packet) {
    return packet.source.family() == packet.destination.family() &&
           (packet.source.is_ipv4() || packet.source.is_ipv6());
  }

  // What becomes of each packet, the largest window of each end, whose address is whose.
  void LookAtPackets() {
    for (const RecordedEvent& event : recording_.events) {
      if (!event.packet.has_value() || !IsIp(*event.packet)) continue;
      const RecordedPacket& packet = *event.packet;
      Fate& fate = fates_[KeyOf(packet)];
      if (event.kind == sim::TraceKind::kPacketDelivered) fate.arrives = true;
      if (event.kind == sim::TraceKind::kPacketLost) fate.lost = &event;
      uint32_t& window = windows_[{packet.source, packet.destination}];
      window = std::max(window, packet.window);
      if (packet.from >= 0) names_.emplace(packet.source.WithPort(0), packet.from);
      if (packet.to >= 0) names_.emplace(packet.destination.WithPort(0), packet.to);
    }
  }

  // Wireshark shows them if it is asked to resolve names: tshark -N n.
  void PutNames() {
    std::string body;
    for (const auto& [address, host] : names_) {
      if (address.is_loopback()) continue;  // Everybody's.
      std::string record(AddressBytes(address));
      absl::StrAppend(&record, OneLine(recording_.hosts[static_cast<size_t>(host)]), absl::string_view("\0", 1));
      PutOption(body, address.is_ipv4() ? 1 : 2, record);
    }
    PutOption(body, 0, "");
    PutBlock(file_, 4, body);
  }

  // The window scale of a sender: the smallest that its largest window needs.
  uint8_t ShiftOf(const RecordedPacket& packet) const {
    constexpr uint8_t kMaxShift = 14;
    const uint32_t largest = windows_.at({packet.source, packet.destination});
    uint8_t shift = 0;
    while (shift < kMaxShift && largest >> shift > 0xffff) ++shift;
    return shift;
  }

  void Add(const RecordedEvent& event) {
    if (event.source == RecordedEvent::Source::kNote) {
      remarks_.push_back(absl::StrCat("before this packet, ", EventName(event.number), " at ", TimeName(event.time_ns),
                                      ": ", event.text));
    }
    if (!event.packet.has_value() || !IsIp(*event.packet)) return;
    switch (event.kind) {
      case sim::TraceKind::kPacketDelivered:
        Put(event, event.packet->to, kInbound, ArrivalComment(event));
        return;
      case sim::TraceKind::kPacketSent:
      case sim::TraceKind::kPacketUnreachable:
        if (const Fate& fate = fates_.at(KeyOf(*event.packet)); !fate.arrives) {
          Put(event, event.packet->from, kOutbound, LossComment(event, fate));
        }
        return;
      default:
        return;
    }
  }

  std::string ArrivalComment(const RecordedEvent& event) const {
    std::string comment = EventName(event.number);
    if (event.cause == kNoEvent) return comment;
    const RecordedEvent& sent = recording_.events[event.cause];
    if (!sent.packet.has_value()) return comment;
    absl::StrAppend(&comment, ", sent at ", TimeName(sent.time_ns), " (", EventName(sent.number), ")");
    if (sent.packet->duplicate_arrival_ns.has_value()) absl::StrAppend(&comment, ", fault: arrives twice");
    return comment;
  }

  // Tells also what Wireshark does not see, and the reason once.
  static std::string LossComment(const RecordedEvent& event, const Fate& fate) {
    const std::string& lost = event.packet->lost;
    const std::string name = EventName(event.number);
    if (!lost.empty() && absl::StrContains(event.text, lost)) return absl::StrCat(name, ", ", event.text);
    const std::string text = event.text.empty() ? "" : absl::StrCat("; ", event.text);
    if (!lost.empty()) return absl::StrCat(name, ", lost: ", lost, text);
    if (fate.lost == nullptr) return absl::StrCat(name, ", on its way at the end of the run", text);
    return absl::StrCat(name, ", lost on its way at ", TimeName(fate.lost->time_ns), " (", EventName(fate.lost->number),
                        "): ", fate.lost->packet->lost, text);
  }

  void Put(const RecordedEvent& event, int32_t host, Direction direction, std::string comment) {
    if (host < 0) return;
    std::vector<std::string> comments = std::exchange(remarks_, {});
    comments.push_back(std::move(comment));
    for (std::string& text : comments) text = OneLine(text);
    for (const std::string& packet : PacketsOf(event, direction == kOutbound)) {
      PutPacket(file_, static_cast<uint32_t>(host), event.time_ns, direction, packet, std::exchange(comments, {}));
    }
  }

  std::vector<std::string> PacketsOf(const RecordedEvent& event, bool lost) const {
    const RecordedPacket& packet = *event.packet;
    const Ends ends = {packet.source, packet.destination};
    switch (packet.protocol) {
      case Protocol::kTcp:
        return SegmentsOf(packet, ends, lost ? kLostTcp : kTcp);
      case Protocol::kUdp:
        return {IpPacket(ends, lost ? kLostUdp : kUdp, UdpDatagram(ends, packet.payload))};
      case Protocol::kUnreachable:
        return {UnreachablePacket(ends, OriginalOf(event))};
    }
    return {};
  }

  std::vector<std::string> SegmentsOf(const RecordedPacket& packet, const Ends& ends, IpProtocol protocol) const {
    const absl::string_view payload = packet.payload;
    std::vector<std::string> packets;
    size_t at = 0;
    do {
      const bool is_first = at == 0;
      const bool is_last = payload.size() - at <= kMaxSegment;
      Segment segment;
      segment.flags = packet.flags;
      if (!is_first) segment.flags &= static_cast<uint8_t>(~RecordedPacket::kSyn);
      if (!is_last) segment.flags &= static_cast<uint8_t>(~RecordedPacket::kFin);
      segment.sequence = static_cast<uint32_t>(packet.sequence + at);
      segment.acknowledgement = static_cast<uint32_t>(packet.acknowledgement);
      segment.largest = packet.from == packet.to ? kMaxSegment : kMaxSegmentOfLink;
      segment.shift = ShiftOf(packet);
      const int window_shift = (segment.flags & RecordedPacket::kSyn) != 0 ? 0 : segment.shift;
      segment.window = static_cast<uint16_t>(std::min(packet.window >> window_shift, uint32_t{0xffff}));
      segment.payload = payload.substr(at, kMaxSegment);
      packets.push_back(IpPacket(ends, protocol, TcpSegment(ends, segment)));
      at += segment.payload.size();
    } while (at < payload.size());
    return packets;
  }

  // The bytes that nobody wanted, which are among the causes of the answer; none if they are not.
  absl::string_view OriginalOf(const RecordedEvent& answer) const {
    const RecordedEvent* event = &answer;
    while (event->packet.has_value()) {
      const RecordedPacket& packet = *event->packet;
      if (packet.protocol == Protocol::kUdp) return packet.payload;
      if (event->cause == kNoEvent) return "";
      event = &recording_.events[event->cause];
    }
    return "";
  }

  const Recording& recording_;
  const Excerpt& excerpt_;
  std::map<Key, Fate> fates_;
  std::map<Way, uint32_t> windows_;
  std::map<SocketAddress, int32_t> names_;
  std::string file_;
  std::vector<std::string> remarks_;  // For the next packet.
};

}  // namespace

std::string PcapNg(const Recording& recording, const Excerpt& excerpt) { return Capture(recording, excerpt).Write(); }

}  // namespace tandem::testing
