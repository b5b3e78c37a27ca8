// SPDX-License-Identifier: Apache-2.0
//
// The capture, byte by byte; tshark_test.cc shows what tshark makes of one.

#include "tandem/testing/report/pcapng.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/excerpt.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/recording_for_test.h"

namespace tandem::testing {
namespace {

uint64_t Little(absl::string_view bytes, size_t at, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value |= uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return value;
}

uint64_t Big(absl::string_view bytes, size_t at, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

struct Option {
  uint64_t code;
  std::string value;
};

struct Block {
  uint64_t type;
  std::string body;

  // Of the options that begin at `at`.
  std::vector<Option> Options(size_t at) const {
    std::vector<Option> options;
    while (Little(body, at, 2) != 0) {
      const size_t size = Little(body, at + 2, 2);
      options.push_back({Little(body, at, 2), body.substr(at + 4, size)});
      at += 4 + (size + 3) / 4 * 4;
    }
    EXPECT_EQ(at + 4, body.size()) << "the end of the options is the end of the block";
    return options;
  }
};

std::vector<Block> BlocksOf(const std::string& file) {
  std::vector<Block> blocks;
  for (size_t at = 0; at < file.size();) {
    const size_t size = Little(file, at + 4, 4);
    EXPECT_EQ(size % 4, 0u);
    EXPECT_EQ(Little(file, at + size - 4, 4), size);
    blocks.push_back({Little(file, at, 4), file.substr(at + 8, size - 12)});
    at += size;
  }
  return blocks;
}

constexpr uint64_t kSection = 0x0a0d0d0a;
constexpr uint64_t kInterface = 1;
constexpr uint64_t kNames = 4;
constexpr uint64_t kPacket = 6;
constexpr uint64_t kIn = 1;
constexpr uint64_t kOut = 2;

struct Captured {
  uint64_t interface;
  int64_t time_ns;
  uint64_t direction;
  std::string bytes;
  std::vector<std::string> comments;
};

std::vector<Captured> PacketsIn(const std::string& file) {
  std::vector<Captured> packets;
  for (const Block& block : BlocksOf(file)) {
    if (block.type != kPacket) continue;
    const size_t size = Little(block.body, 12, 4);
    Captured packet = {Little(block.body, 0, 4),
                       static_cast<int64_t>(Little(block.body, 4, 4) << 32 | Little(block.body, 8, 4)),
                       0,
                       block.body.substr(20, size),
                       {}};
    for (const Option& option : block.Options(20 + (size + 3) / 4 * 4)) {
      if (option.code == 1) packet.comments.push_back(option.value);
      if (option.code == 2) packet.direction = Little(option.value, 0, 4);
    }
    packets.push_back(packet);
  }
  return packets;
}

class PcapNgTest : public ::testing::Test {
 protected:
  RecordingForTest recording_;
  const EndForTest client_ = {recording_.Host("client"), SocketAddress::Ipv4({10, 0, 0, 1}, 49'152)};
  const EndForTest server_ = {recording_.Host("server"), SocketAddress::Ipv4({10, 0, 0, 2}, 7)};
  ConnectionForTest connection_{client_, server_, 0x1'0000'0001, 0xfffffff0};

  std::vector<Captured> Packets() { return PacketsIn(PcapNg(recording_.recording())); }
  // A datagram that was sent at 1 ms and arrived at 2 ms; the packet.
  std::string Datagram(const EndForTest& from, const EndForTest& to, const std::string& payload) {
    recording_.Arrived(2'000'000, recording_.Sent(1'000'000, DatagramForTest(from, to, payload)));
    return Packets().back().bytes;
  }
};

TEST_F(PcapNgTest, HasAnInterfaceForEachHostWithTimesInNanoseconds) {
  const std::vector<Block> blocks = BlocksOf(PcapNg(recording_.recording()));

  ASSERT_EQ(blocks.size(), 4u);
  EXPECT_EQ(blocks[0].type, kSection);
  EXPECT_EQ(Little(blocks[0].body, 0, 4), 0x1a2b3c4du);
  EXPECT_EQ(blocks[1].type, kInterface);
  EXPECT_EQ(Little(blocks[1].body, 0, 2), 101u) << "raw IP";
  const std::vector<Option> options = blocks[2].Options(8);
  ASSERT_EQ(options.size(), 2u);
  EXPECT_EQ(options[0].value, "server");
  EXPECT_EQ(options[1].code, 9u);
  EXPECT_EQ(options[1].value, "\x09");
  EXPECT_EQ(blocks[3].type, kNames);
}

TEST_F(PcapNgTest, APacketIsWhereItArrives) {
  const uint64_t sent =
      recording_.Sent(1'000'000, connection_.Segment(ConnectionForTest::kClient, "", RecordedPacket::kSyn));
  recording_.Arrived(5'000'000'123, sent);

  const std::vector<Captured> packets = Packets();

  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].interface, 1u);
  EXPECT_EQ(packets[0].time_ns, 5'000'000'123);
  EXPECT_EQ(packets[0].direction, kIn);
  EXPECT_EQ(packets[0].comments, std::vector<std::string>({"e1, sent at 0.001000000 (e0)"}));
  EXPECT_EQ(absl::BytesToHexString(packets[0].bytes),
            "4500003000004000400626c6"
            "0a0000010a000002"
            "c0000007"
            "0000000100000000"  // The lower half of the sequence number; nothing is acknowledged.
            "7002ffffb013"      // A SYN with the largest window that it can have.
            "0000"
            "020405b401030301");  // Segments of 1460 bytes, windows in units of 2 bytes.
}

TEST_F(PcapNgTest, APacketThatIsLostIsWhereItWasSent) {
  RecordedPacket packet = connection_.Segment(ConnectionForTest::kClient, "hello");
  packet.lost = "the link loses it";
  recording_.LostOnItsWay(1'000'000, recording_.Sent(1'000'000, packet), packet.lost);

  const std::vector<Captured> packets = Packets();

  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].interface, 0u);
  EXPECT_EQ(packets[0].time_ns, 1'000'000);
  EXPECT_EQ(packets[0].direction, kOut);
  EXPECT_EQ(packets[0].comments, std::vector<std::string>({"e0, lost: the link loses it"}));
  EXPECT_EQ(Big(packets[0].bytes, 9, 1), 253u) << "not TCP";
}

TEST_F(PcapNgTest, APacketThatIsLostSaysInWordsWhatItWas) {
  RecordedPacket packet = connection_.Segment(ConnectionForTest::kClient, "hello");
  recording_.Sent(1'000'000, packet);
  recording_.recording().events[0].text = "client:49152 > server:7 #3 5 bytes; arrives 0.003";
  packet.lost = "the link loses it";
  recording_.Sent(1'000'000, packet);
  recording_.recording().events[1].text = "client:49152 > server:7 #3 5 bytes; lost: the link loses it: \"hello\"";

  const std::vector<Captured> packets = Packets();

  EXPECT_EQ(packets[0].comments, std::vector<std::string>({"e0, on its way at the end of the run; "
                                                           "client:49152 > server:7 #3 5 bytes; arrives 0.003"}));
  EXPECT_EQ(packets[1].comments,
            std::vector<std::string>({"e1, client:49152 > server:7 #3 5 bytes; lost: the link loses it: \"hello\""}));
}

TEST_F(PcapNgTest, APacketThatDoesNotArriveSaysWhatBecameOfIt) {
  const uint64_t cut_off = recording_.Sent(1'000'000, connection_.Segment(ConnectionForTest::kClient, "a"));
  recording_.Sent(2'000'000, connection_.Segment(ConnectionForTest::kClient, "b"));
  recording_.LostOnItsWay(3'000'000, cut_off, "a partition");

  const std::vector<Captured> packets = Packets();

  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[0].time_ns, 1'000'000);
  EXPECT_EQ(packets[0].comments, std::vector<std::string>({"e0, lost on its way at 0.003000000 (e2): a partition"}));
  EXPECT_EQ(packets[1].comments, std::vector<std::string>({"e1, on its way at the end of the run"}));
}

TEST_F(PcapNgTest, APacketToNobodyIsWhereItWasSent) {
  RecordedEvent event;
  event.kind = sim::TraceKind::kPacketUnreachable;
  event.packet = connection_.Segment(ConnectionForTest::kClient, "");
  event.packet->to = kNoHost;
  event.packet->lost = "nobody has this address";
  recording_.Add(1'000'000, event);

  const std::vector<Captured> packets = Packets();

  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].direction, kOut);
  EXPECT_EQ(packets[0].comments, std::vector<std::string>({"e0, lost: nobody has this address"}));
}

TEST_F(PcapNgTest, APacketThatArrivesTwiceIsThereTwice) {
  RecordedPacket packet = connection_.Segment(ConnectionForTest::kClient, "hello");
  packet.duplicate_arrival_ns = 3'000'000;
  const uint64_t sent = recording_.Sent(1'000'000, packet);
  recording_.Arrived(2'000'000, sent);
  recording_.Arrived(3'000'000, sent);

  const std::vector<Captured> packets = Packets();

  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[0].bytes, packets[1].bytes);
  EXPECT_EQ(packets[1].comments, std::vector<std::string>({"e2, sent at 0.001000000 (e0), fault: arrives twice"}));
}

TEST_F(PcapNgTest, WindowsAreScaledAsTheSynSays) {
  OpenForTest(recording_, 0, connection_);
  recording_.Arrived(9'000'000, recording_.Sent(8'000'000, connection_.Segment(ConnectionForTest::kServer, "x",
                                                                               RecordedPacket::kAck, 1'000'003)));

  const std::vector<Captured> packets = Packets();

  ASSERT_EQ(packets.size(), 4u);
  EXPECT_EQ(packets[0].bytes.back(), 1) << "of the client, whose largest window is 65536";
  EXPECT_EQ(packets[1].bytes.back(), 4) << "of the server";
  EXPECT_EQ(Big(packets[2].bytes, 34, 2), 65'536u >> 1);
  EXPECT_EQ(Big(packets[3].bytes, 34, 2), 1'000'003u >> 4);
}

TEST_F(PcapNgTest, APayloadThatDoesNotFitBecomesSeveralPackets) {
  recording_.Arrived(9, recording_.Sent(8, connection_.Segment(ConnectionForTest::kClient, std::string(100'000, 'x'),
                                                               RecordedPacket::kAck | RecordedPacket::kFin)));

  const std::vector<Captured> packets = Packets();

  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[0].bytes.size(), 40u + 65'483u);
  EXPECT_EQ(packets[1].bytes.size(), 40u + 100'000u - 65'483u);
  EXPECT_EQ(Big(packets[0].bytes, 24, 4), 1u);
  EXPECT_EQ(Big(packets[1].bytes, 24, 4), 1u + 65'483u);
  EXPECT_EQ(Big(packets[0].bytes, 33, 1), 0x10u);
  EXPECT_EQ(Big(packets[1].bytes, 33, 1), 0x11u) << "the FIN";
  EXPECT_EQ(packets[1].comments.size(), 0u);
}

TEST_F(PcapNgTest, WritesDatagramsOfIpv4) {
  EXPECT_EQ(absl::BytesToHexString(Datagram(client_, server_, "abc")),
            "4500001f0000400040"
            "1126cc"
            "0a0000010a000002"
            "c0000007000b676b"
            "616263");
}

TEST_F(PcapNgTest, WritesDatagramsOfIpv6) {
  const EndForTest from = {client_.host, *SocketAddress::Parse("[fd00::1]:5")};
  const EndForTest to = {server_.host, *SocketAddress::Parse("[fd00::2]:6")};

  EXPECT_EQ(absl::BytesToHexString(Datagram(from, to, "ab")),
            "60000000000a1140"
            "fd000000000000000000000000000001"
            "fd000000000000000000000000000002"
            "00050006000aa468"
            "6162");
}

TEST_F(PcapNgTest, AChecksumOfADatagramIsNeverZero) {
  const std::string payload = "\x2b\xd0";  // All words of the datagram and its addresses add up to 0xffff.
  const std::string packet = Datagram(client_, server_, payload);

  EXPECT_EQ(Big(packet, 26, 2), 0xffffu);
}

TEST_F(PcapNgTest, AnAnswerThatAPortIsUnreachableQuotesTheDatagram) {
  const uint64_t asked = recording_.Sent(1'000'000, DatagramForTest(client_, server_, std::string(600, 'q')));
  RecordedPacket packet = DatagramForTest(server_, client_, "");
  packet.protocol = RecordedPacket::Protocol::kUnreachable;
  recording_.Arrived(3'000'000, recording_.Sent(2'000'000, packet, recording_.Arrived(2'000'000, asked)));

  const std::string bytes = Packets().back().bytes;

  ASSERT_EQ(bytes.size(), 20u + 8u + 20u + 500u);
  EXPECT_EQ(Big(bytes, 9, 1), 1u) << "ICMP";
  EXPECT_EQ(Big(bytes, 20, 2), 0x0303u);
  EXPECT_EQ(bytes.substr(28, 20 + 500), Packets().front().bytes.substr(0, 20 + 500));
}

TEST_F(PcapNgTest, NamesTheAddressesOfHosts) {
  Datagram(client_, server_, "abc");
  const std::vector<Option> names = BlocksOf(PcapNg(recording_.recording()))[3].Options(0);

  ASSERT_EQ(names.size(), 2u);
  EXPECT_EQ(names[0].code, 1u);
  EXPECT_EQ(names[0].value, absl::string_view("\x0a\0\0\1client\0", 11));
  EXPECT_EQ(names[1].value, absl::string_view("\x0a\0\0\2server\0", 11));
}

TEST_F(PcapNgTest, AFaultIsACommentOfTheNextPacket) {
  recording_.Note(500'000, "fault begins: partition n1 | n\xff");
  Datagram(client_, server_, "abc");
  Datagram(client_, server_, "abc");

  const std::vector<Captured> packets = Packets();

  EXPECT_EQ(packets[0].comments,
            std::vector<std::string>({"before this packet, e0 at 0.000500000: fault begins: partition n1 | n\\xff",
                                      "e2, sent at 0.001000000 (e1)"}));
  EXPECT_EQ(packets[1].comments.size(), 1u);
}

TEST_F(PcapNgTest, SaysWhatIsLeftOut) {
  Report report;
  for (int i = 0; i < 4; ++i) Datagram(client_, server_, "abc");
  report.recording = recording_.recording();
  report.slice = {1, 7};

  const std::vector<Captured> packets = PacketsIn(PcapNg(report.recording, Excerpt(report, 2)));

  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[0].comments,
            std::vector<std::string>({"before this packet, e0 to e0 are left out", "e1, sent at 0.001000000 (e0)"}));
  EXPECT_EQ(packets[1].comments,
            std::vector<std::string>({"before this packet, e2 to e6 are left out", "e7, sent at 0.001000000 (e6)"}));
}

TEST_F(PcapNgTest, PacketsOfUnixSocketsAreNotInIt) {
  RecordedPacket packet = DatagramForTest(client_, server_, "abc");
  packet.destination = *SocketAddress::Unix("/run/a");
  recording_.Sent(1, packet);

  EXPECT_EQ(Packets().size(), 0u);
}

TEST_F(PcapNgTest, IsTheSameEachTime) {
  OpenForTest(recording_, 0, connection_);

  EXPECT_EQ(PcapNg(recording_.recording()), PcapNg(recording_.recording()));
}

}  // namespace
}  // namespace tandem::testing
