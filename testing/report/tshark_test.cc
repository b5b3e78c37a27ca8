// SPDX-License-Identifier: Apache-2.0
//
// What tshark, as Debian has it, makes of a capture.

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/testing/report/command_for_test.h"
#include "tandem/testing/report/pcapng.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/recording_for_test.h"
#include "tandem/testing/report/report_for_test.h"
#include "tandem/testing/report/tshark_for_test.h"

namespace tandem::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint8_t kAck = RecordedPacket::kAck;
constexpr uint8_t kFin = RecordedPacket::kFin;
constexpr uint8_t kReset = RecordedPacket::kReset;
constexpr int64_t kMillisecond = 1'000'000;
constexpr auto kClient = ConnectionForTest::kClient;
constexpr auto kServer = ConnectionForTest::kServer;

// Two hosts, one connection of IPv4, and what can befall it. Ports that tshark does not take for anything.
class TsharkTest : public ::testing::Test {
 protected:
  RecordingForTest recording_;
  const int32_t client_ = recording_.Host("client");
  const int32_t server_ = recording_.Host("server");
  const EndForTest client_ipv4_ = {client_, SocketAddress::Ipv4({10, 0, 0, 1}, 49'152)};
  const EndForTest server_ipv4_ = {server_, SocketAddress::Ipv4({10, 0, 0, 2}, 40'001)};
  const EndForTest client_ipv6_ = {client_, *SocketAddress::Parse("[fd00::1]:49153")};
  const EndForTest server_ipv6_ = {server_, *SocketAddress::Parse("[fd00::2]:40001")};
  // The sequence numbers of the client wrap, as do those of the server on the wire.
  ConnectionForTest connection_{client_ipv4_, server_ipv4_, 0xffff'fff0, 0x5'ffff'ffe0};
  int64_t now_ns_ = 10 * kMillisecond;

  // Sends at the next time, and arrives after a millisecond.
  uint64_t Pass(RecordedPacket packet) {
    const uint64_t sent = recording_.Sent(Next(), std::move(packet));
    return recording_.Arrived(Next(), sent);
  }
  int64_t Next() { return now_ns_ += kMillisecond; }
  void Lose(RecordedPacket packet) {
    packet.lost = "the link loses it";
    const std::string why = packet.lost;
    const uint64_t sent = recording_.Sent(Next(), std::move(packet));
    recording_.LostOnItsWay(now_ns_, sent, why);
  }
  std::string File() { return FileForTest("pcapng", PcapNg(recording_.recording())); }
};

TEST_F(TsharkTest, FollowsAStream) {
  OpenForTest(recording_, 0, connection_);
  Pass(connection_.Segment(kClient, "a question that passes the end of 32 bits"));
  Pass(connection_.Segment(kServer, absl::StrCat("the answer", absl::string_view("\0\xff\n", 3))));
  Pass(connection_.Segment(kClient, "", kAck | kFin));
  Pass(connection_.Segment(kServer, "", kAck | kFin));
  Pass(connection_.Segment(kClient, ""));

  const std::string file = File();

  ExpectNoComplaint(file);
  EXPECT_EQ(FollowAll(file), Arrived(recording_.recording()));
  EXPECT_THAT(Fields(file, "tcp.analysis.flags", "frame.number"), IsEmpty());
  EXPECT_THAT(Fields(file, "tcp.flags.syn == 0", "tcp.window_size"), ::testing::Each("65536"));
}

TEST_F(TsharkTest, FollowsAStreamWithLossesDuplicatesAndOvertaking) {
  OpenForTest(recording_, 0, connection_);
  const RecordedPacket lost = connection_.Segment(kClient, "once upon a time ");
  Lose(lost);
  Pass(connection_.Segment(kClient, "there was a packet "));
  Pass(lost);
  RecordedPacket twice = connection_.Segment(kClient, "that came twice ");
  twice.duplicate_arrival_ns = now_ns_ + 5 * kMillisecond;
  const uint64_t sent = recording_.Sent(Next(), twice);
  recording_.Arrived(Next(), sent);
  recording_.Arrived(Next(), sent);
  const uint64_t slow = recording_.Sent(Next(), connection_.Segment(kServer, "and was "));
  Pass(connection_.Segment(kServer, "overtaken"));
  recording_.Arrived(Next(), slow);

  const std::string file = File();

  ExpectNoComplaint(file);
  EXPECT_EQ(FollowAll(file), Arrived(recording_.recording()));
  EXPECT_EQ(FollowAll(file)[0].from_first, "once upon a time there was a packet that came twice ");
  EXPECT_EQ(Fields(file, "tcp.analysis.retransmission && frame.comment contains twice", "frame.number").size(), 1u);
  EXPECT_THAT(Fields(file, "frame.comment contains \"lost\"", "frame.comment frame.interface_name frame.packet_flags"),
              ElementsAre("e6, lost: the link loses it\tclient\t0x00000002"));
}

TEST_F(TsharkTest, FollowsStreamsOfIpv6AndOfLargePieces) {
  ConnectionForTest ipv6(client_ipv6_, server_ipv6_, 1'000, 2'000);
  std::string large;
  for (int i = 0; i < 50'000; ++i) absl::StrAppend(&large, i, " ");
  OpenForTest(recording_, 0, connection_);
  OpenForTest(recording_, now_ns_, ipv6);
  Pass(ipv6.Segment(kClient, "of IPv6"));
  Pass(connection_.Segment(kServer, large, kAck, 1'000'000));
  Pass(ipv6.Segment(kServer, large));

  const std::string file = File();

  ExpectNoComplaint(file);
  EXPECT_EQ(FollowAll(file), Arrived(recording_.recording()));
  EXPECT_EQ(FollowAll(file).size(), 2u);
  EXPECT_EQ(FollowAll(file)[1].from_second, large);
}

TEST_F(TsharkTest, FollowsNoBytesThatNeverArrive) {
  OpenForTest(recording_, 0, connection_);
  Pass(connection_.Segment(kClient, "arrives"));
  Lose(connection_.Segment(kClient, ", and this does not"));
  Pass(connection_.Segment(kServer, "", kReset));

  const std::string file = File();

  ExpectNoComplaint(file);
  EXPECT_EQ(FollowAll(file), Arrived(recording_.recording()));
  EXPECT_EQ(FollowAll(file)[0].from_first, "arrives");
  EXPECT_THAT(LinesForTest(Tshark(file, "-d ip.proto==253,tcp -Y 'ip.proto == 253' -T fields -e tcp.payload")),
              ElementsAre(absl::BytesToHexString(", and this does not")));
}

TEST_F(TsharkTest, ReadsDatagrams) {
  const EndForTest from = {client_, client_ipv4_.address.WithPort(40'010)};
  const EndForTest to = {server_, server_ipv4_.address.WithPort(40'011)};
  Pass(DatagramForTest(from, to, "of IPv4"));
  Pass(DatagramForTest(client_ipv6_, server_ipv6_, "of IPv6"));
  Lose(DatagramForTest(from, to, "lost"));
  Pass(DatagramForTest(from, to, std::string(65'507, 'x')));
  Pass(DatagramForTest(client_ipv6_, server_ipv6_, std::string(65'527, 'y')));
  Pass(DatagramForTest(from, to, ""));

  const std::string file = File();

  ExpectNoComplaint(file);
  EXPECT_THAT(
      Fields(file, "udp.length > 8", "udp.payload"),
      ElementsAre(absl::BytesToHexString("of IPv4"), absl::BytesToHexString("of IPv6"),
                  absl::BytesToHexString(std::string(65'507, 'x')), absl::BytesToHexString(std::string(65'527, 'y'))));
  EXPECT_THAT(LinesForTest(Tshark(file, "-d ip.proto==254,udp -Y 'ip.proto == 254' -T fields -e udp.payload")),
              ElementsAre(absl::BytesToHexString("lost")));
}

TEST_F(TsharkTest, ReadsThatAPortIsUnreachable) {
  const std::pair<EndForTest, EndForTest> ways[] = {{client_ipv4_, server_ipv4_}, {client_ipv6_, server_ipv6_}};
  for (const auto& [from, to] : ways) {
    RecordedPacket answer = DatagramForTest(to, from, "");
    answer.protocol = RecordedPacket::Protocol::kUnreachable;
    const uint64_t asked = Pass(DatagramForTest(from, to, std::string(1'000, 'q')));
    const uint64_t sent = recording_.Sent(Next(), answer, asked);
    recording_.Arrived(Next(), sent);
  }

  const std::string file = File();

  ExpectNoComplaint(file);
  EXPECT_THAT(Fields(file, "icmp || icmpv6", "icmp.type icmp.code icmpv6.type icmpv6.code udp.dstport"),
              ElementsAre("3\t3\t\t\t40001", "\t\t1\t4\t40001"));
}

TEST_F(TsharkTest, ShowsTheNamesOfHosts) {
  Pass(DatagramForTest(client_ipv4_, server_ipv4_, "a"));
  Pass(DatagramForTest(client_ipv6_, server_ipv6_, "b"));

  const std::string text = Tshark(File(), "-N n");

  EXPECT_EQ(LinesForTest(text).size(), 2u);
  for (const std::string& line : LinesForTest(text)) EXPECT_THAT(line, ::testing::HasSubstr("client"));
  for (const std::string& line : LinesForTest(text)) EXPECT_THAT(line, ::testing::HasSubstr("server"));
}

TEST_F(TsharkTest, FollowsTheStreamsOfALongRun) {
  const Recording recording = ReportForTest(5'000).recording;

  const std::string file = FileForTest("pcapng", PcapNg(recording));

  ExpectNoComplaint(file);
  EXPECT_EQ(FollowAll(file), Arrived(recording));
  EXPECT_GE(Arrived(recording).size(), 4u);
}

}  // namespace
}  // namespace tandem::testing
