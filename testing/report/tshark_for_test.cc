// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/tshark_for_test.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/command_for_test.h"

namespace tandem::testing {
namespace {

// The bytes of one direction, in order, as they arrive.
class Assembly {
 public:
  void Add(const RecordedPacket& packet) {
    const bool syn = (packet.flags & RecordedPacket::kSyn) != 0;
    if (!began_) next_ = packet.sequence + (syn ? 1 : 0);
    began_ = true;
    early_.emplace(packet.sequence + (syn ? 1 : 0), packet.payload);
    while (!early_.empty() && early_.begin()->first <= next_) {
      const auto& [sequence, payload] = *early_.begin();
      const uint64_t known = next_ - sequence;
      if (known < payload.size()) {
        absl::StrAppend(&bytes_, absl::string_view(payload).substr(known));
        next_ = sequence + payload.size();
      }
      early_.erase(early_.begin());
    }
  }
  const std::string& bytes() const { return bytes_; }

 private:
  bool began_ = false;
  uint64_t next_ = 0;
  std::multimap<uint64_t, std::string> early_;
  std::string bytes_;
};

}  // namespace

std::string Tshark(const std::string& file, absl::string_view arguments) {
  return RunForTest("tshark", absl::StrCat("tshark -r '", file, "' ", arguments));
}

std::vector<std::string> Fields(const std::string& file, absl::string_view filter, absl::string_view fields) {
  std::string arguments = absl::StrCat("-T fields -Y '", filter, "'");
  for (const absl::string_view field : absl::StrSplit(fields, ' ')) absl::StrAppend(&arguments, " -e ", field);
  return LinesForTest(Tshark(file, arguments));
}

void ExpectNoComplaint(const std::string& file) {
  // Checksums are looked at only if one asks; 0 is a bad one, 1 a good one.
  EXPECT_EQ(Tshark(file,
                   "-o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE "
                   "-Y '_ws.malformed || _ws.short || _ws.unreassembled || _ws.expert.severity == error || "
                   "ip.checksum.status == 0 || udp.checksum.status == 0 || icmp.checksum.status == 0 || "
                   "icmpv6.checksum.status == 0 || (tcp && !(tcp.checksum.status == 1))'"),
            "");
}

void PrintTo(const Stream& stream, std::ostream* out) {
  *out << absl::CHexEscape(stream.from_first) << " | " << absl::CHexEscape(stream.from_second);
}

std::vector<Stream> FollowAll(const std::string& file) {
  size_t streams = 0;
  for (const std::string& line : Fields(file, "tcp", "tcp.stream")) streams = std::max(streams, std::stoul(line) + 1);
  std::string arguments = "-q";
  for (size_t i = 0; i < streams; ++i) absl::StrAppend(&arguments, " -z follow,tcp,raw,", i);
  std::vector<Stream> followed(streams);
  Stream* stream = nullptr;
  for (absl::string_view line : LinesForTest(Tshark(file, arguments))) {
    absl::string_view number = line;
    if (absl::ConsumePrefix(&number, "Filter: tcp.stream eq ")) stream = &followed.at(std::stoul(std::string(number)));
    if (stream == nullptr) continue;
    std::string* const bytes = absl::ConsumePrefix(&line, "\t") ? &stream->from_second : &stream->from_first;
    std::string part;
    if (absl::HexStringToBytes(line, &part)) absl::StrAppend(bytes, part);  // Not the frame around them.
  }
  return followed;
}

std::vector<Stream> Arrived(const Recording& recording) {
  std::map<std::pair<SocketAddress, SocketAddress>, Assembly> ways;
  std::vector<std::pair<SocketAddress, SocketAddress>> connections;
  for (const RecordedEvent& event : recording.events) {
    if (event.kind != sim::TraceKind::kPacketDelivered) continue;
    const RecordedPacket& packet = *event.packet;
    if (packet.protocol != RecordedPacket::Protocol::kTcp) continue;
    const std::pair way(packet.source, packet.destination);
    if (!ways.contains(way) && !ways.contains({way.second, way.first})) connections.push_back(way);
    ways[way].Add(packet);
  }
  std::vector<Stream> streams;
  for (const auto& [first, second] : connections) {
    streams.push_back({ways[{first, second}].bytes(), ways[{second, first}].bytes()});
  }
  return streams;
}

}  // namespace tandem::testing
