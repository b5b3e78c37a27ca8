// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/trace_jsonl.h"

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/excerpt.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/recording_for_test.h"

namespace tandem::testing {
namespace {

using ::testing::HasSubstr;

class TraceJsonlTest : public ::testing::Test {
 protected:
  RecordingForTest recording_;
  const EndForTest client_ = {recording_.Host("client"), SocketAddress::Ipv4({10, 0, 0, 1}, 49'152)};
  const EndForTest server_ = {recording_.Host("server"), SocketAddress::Ipv4({10, 0, 0, 2}, 7)};

  std::string Lines() { return TraceJsonl(recording_.recording()); }
};

TEST_F(TraceJsonlTest, SaysWhatIsKnownOfAnEvent) {
  recording_.Note(5, "fault begins: partition");
  RecordedEvent event;
  event.kind = sim::TraceKind::kReceive;
  event.detail = true;
  event.host = server_.host;
  event.task = "HandleConnection";
  event.task_id = 0x123;
  event.place = "echo.cc:31";
  event.verb = "reads";
  event.text = "12 bytes from \"socket\" 4";
  event.a = 4;
  event.b = ~uint64_t{0};
  event.socket = 0;
  event.connection = "tcp 10.0.0.1:7 10.0.0.2:49152";
  event.cause = 0;
  recording_.Add(250'310'000, event);

  EXPECT_EQ(Lines(),
            R"({"event":0,"time_ns":5,"source":"note","text":"fault begins: partition"})"
            "\n"
            R"({"event":1,"time_ns":250310000,"source":"trace","kind":"receive","detail":true,"host":"server",)"
            R"("task":"HandleConnection","task_id":"0000000000000123","place":"echo.cc:31","verb":"reads",)"
            R"("text":"12 bytes from \"socket\" 4","a":"4","b":"18446744073709551615","socket":0,)"
            R"("connection":"tcp 10.0.0.1:7 10.0.0.2:49152","cause":0})"
            "\n");
}

TEST_F(TraceJsonlTest, SaysWhatIsKnownOfASegment) {
  ConnectionForTest connection(client_, server_, 0x1'0000'0000, 2);
  RecordedPacket packet =
      connection.Segment(ConnectionForTest::kClient, "hi\r\n", RecordedPacket::kAck | RecordedPacket::kFin);
  packet.arrival_ns = 70;
  packet.duplicate_arrival_ns = 80;
  recording_.Sent(60, packet);

  EXPECT_EQ(Lines(),
            R"({"event":0,"time_ns":60,"source":"trace","kind":"packet_sent","host":"client","verb":"sends",)"
            R"("packet":{"protocol":"tcp","from":"client","to":"server","ordinal":1,"source":"10.0.0.1:49152",)"
            R"("destination":"10.0.0.2:7","flags":["ack","fin"],"sequence":4294967296,"acknowledgement":2,)"
            R"("window":65536,"size":4,"payload":"hi\u000d\n","arrival_ns":70,"duplicate_arrival_ns":80}})"
            "\n");
}

TEST_F(TraceJsonlTest, SaysWhatIsKnownOfADatagram) {
  RecordedPacket packet = DatagramForTest(client_, server_, absl::StrCat("a", absl::string_view("\0\xff", 2)));
  packet.to = kNoHost;
  packet.lost = "nobody has this address";
  recording_.Sent(60, packet);

  EXPECT_THAT(Lines(), HasSubstr(R"("packet":{"protocol":"udp","from":"client","ordinal":1,)"
                                 R"("source":"10.0.0.1:49152","destination":"10.0.0.2:7","size":3,)"
                                 R"("payload_base64":"YQD/","lost":"nobody has this address"}})"));
}

TEST_F(TraceJsonlTest, HasOnlyTheFirstBytesOfALargePayload) {
  recording_.Sent(60, DatagramForTest(client_, server_, std::string(5'000, 'x')));

  EXPECT_THAT(Lines(), HasSubstr(absl::StrCat(R"("size":5000,"payload":")", std::string(1'024, 'x'), "\"")));
}

TEST_F(TraceJsonlTest, ALogAndAFailureHaveNoKind) {
  RecordedEvent log;
  log.source = RecordedEvent::Source::kLog;
  log.verb = "W";
  log.text = "two\nlines";
  recording_.Add(1, log);
  RecordedEvent failure;
  failure.source = RecordedEvent::Source::kFailure;
  failure.place = "server_test.cc:42";
  failure.text = "expected 1";
  recording_.Add(2, failure);

  EXPECT_EQ(Lines(), R"({"event":0,"time_ns":1,"source":"log","verb":"W","text":"two\nlines"})"
                     "\n"
                     R"({"event":1,"time_ns":2,"source":"failure","place":"server_test.cc:42","text":"expected 1"})"
                     "\n");
}

TEST_F(TraceJsonlTest, SaysWhatIsLeftOut) {
  for (int i = 0; i < 5; ++i) recording_.Note(i, "note");
  Report report;
  report.recording = recording_.recording();
  report.slice = {3};

  const std::string lines = TraceJsonl(report.recording, Excerpt(report, 1));

  EXPECT_EQ(lines, R"({"left_out":{"first":0,"last":2}})"
                   "\n"
                   R"({"event":3,"time_ns":3,"source":"note","text":"note"})"
                   "\n"
                   R"({"left_out":{"first":4,"last":4}})"
                   "\n");
}

}  // namespace
}  // namespace tandem::testing
