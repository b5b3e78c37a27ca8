// SPDX-License-Identifier: Apache-2.0
//
// The events of the format, one by one; files_test.cc checks all of a long run by the rules of the format.

#include "tandem/testing/report/perfetto.h"

#include <cstdint>
#include <string>

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
using ::testing::Not;

class PerfettoTest : public ::testing::Test {
 protected:
  RecordingForTest recording_;
  const EndForTest client_ = {recording_.Host("client"), SocketAddress::Ipv4({10, 0, 0, 1}, 49'152)};
  const EndForTest server_ = {recording_.Host("server"), SocketAddress::Ipv4({10, 0, 0, 2}, 7)};
  Report report_;

  std::string Json() {
    report_.recording = recording_.recording();
    return PerfettoJson(report_);
  }
  // Something that a task of the server does.
  uint64_t Step(int64_t time_ns, absl::string_view verb, absl::string_view place) {
    RecordedEvent event;
    event.kind = sim::TraceKind::kTaskResume;
    event.host = server_.host;
    event.task = "Serve";
    event.task_id = 5;
    event.verb = verb;
    event.place = place;
    return recording_.Add(time_ns, event);
  }
};

TEST_F(PerfettoTest, HostsAreProcesses) {
  const std::string json = Json();

  EXPECT_THAT(json, HasSubstr(R"({"ph":"M","name":"process_name","pid":2,"tid":2,"args":{"name":"client"}})"));
  EXPECT_THAT(json, HasSubstr(R"({"ph":"M","name":"process_name","pid":3,"tid":3,"args":{"name":"server"}})"));
}

TEST_F(PerfettoTest, ATaskIsAThreadWithSlicesForItsEventsAndAwaits) {
  Step(1'000, "resumes", "server.cc:1");
  Step(1'000, "writes", "server.cc:1");
  Step(2'000'500, "resumes", "server.cc:2");
  report_.slice = {2};

  const std::string json = Json();

  EXPECT_THAT(json, HasSubstr(R"({"ph":"M","name":"thread_name","pid":3,"tid":6,"args":{"name":"Serve"}})"));
  EXPECT_THAT(json, HasSubstr(R"({"ph":"X","name":"resumes","pid":3,"tid":6,"cat":"task_resume","ts":1.0002,)"
                              R"("dur":0.001,"args":{"event":0,"time_ns":1000,"what":"resumes",)"
                              R"("place":"server.cc:1"}})"));
  EXPECT_THAT(json, HasSubstr(R"("name":"writes","pid":3,"tid":6,"cat":"task_resume","ts":1.0012,"dur":0.001,)"
                              R"("args":{"event":1,"time_ns":1000,)"))
      << "behind the event before it, not over it";
  EXPECT_THAT(json, HasSubstr(R"({"ph":"X","name":"awaits server.cc:2","pid":3,"tid":6,"cat":"await","ts":1.0022,)"
                              R"("dur":1999.498})"));
  EXPECT_THAT(json, HasSubstr(R"("event":2,"time_ns":2000500,"what":"resumes","place":"server.cc:2","slice":true})"));
}

TEST_F(PerfettoTest, AnArrowGoesFromWhereAPacketIsSentToWhereItArrives) {
  const uint64_t sent = recording_.Sent(1'000, DatagramForTest(client_, server_, "x"));
  recording_.Arrived(3'000, sent);

  const std::string json = Json();

  EXPECT_THAT(json, HasSubstr(R"({"ph":"s","name":"packet","pid":2,"tid":6,"cat":"flow","id":1,"ts":1.0002})"));
  EXPECT_THAT(json,
              HasSubstr(R"({"ph":"f","name":"packet","pid":3,"tid":7,"cat":"flow","id":1,"ts":3.0002,"bp":"e"})"));
}

TEST_F(PerfettoTest, WhatHappensAtOneTimeIsDrawnInItsOrder) {
  Step(1'000, "resumes", "server.cc:1");
  recording_.Sent(1'000, DatagramForTest(server_, client_, "x"), /*cause=*/0);
  Step(1'000, "writes", "server.cc:1");

  const std::string json = Json();

  EXPECT_THAT(json, HasSubstr(R"({"ph":"s","name":"cause","pid":3,"tid":6,"cat":"flow","id":1,"ts":1.0002})"));
  EXPECT_THAT(json, HasSubstr(R"({"ph":"f","name":"cause","pid":3,"tid":7,"cat":"flow","id":1,"ts":1.0012,"bp":"e"})"));
  EXPECT_THAT(json, HasSubstr(R"("name":"writes","pid":3,"tid":6,"cat":"task_resume","ts":1.0022,)"));
  EXPECT_THAT(json, Not(HasSubstr("awaits"))) << "no time has passed";
}

TEST_F(PerfettoTest, FaultsAreAsynchronousSlices) {
  recording_.recording().bands.push_back({1'000, 3'000, "partition client | server", {client_.host}, 7});

  const std::string json = Json();

  EXPECT_THAT(json, HasSubstr(R"({"ph":"b","name":"partition client | server","pid":1,"tid":1,"cat":"fault","id":1,)"
                              R"("ts":1.0002,"args":{"hits":7,"hosts":["client"]}},)"
                              R"({"ph":"e","name":"partition client | server","pid":1,"tid":1,"cat":"fault","id":1,)"
                              R"("ts":3.0002})"));
}

TEST_F(PerfettoTest, OperationsOfAClientThatOverlapAreOnThreadsOfTheirOwn) {
  recording_.recording().end_ns = 9'000;
  recording_.recording().operations = {{"ann", "put", 1'000, 3'000, false, 0, ""},
                                       {"ann", "get", 2'000, -1, true, 0, ""},
                                       {"ann", "cas", 3'000, 4'000, false, 0, ""}};

  const std::string json = Json();

  EXPECT_THAT(json, HasSubstr(R"("name":"put","pid":5,"tid":6,"cat":"operation","ts":1.0002,"dur":2.000,)"
                              R"("args":{"operation":0,"open":false,"bad":false}})"));
  EXPECT_THAT(json, HasSubstr(R"("name":"get","pid":5,"tid":7,"cat":"operation","ts":2.0002,"dur":7.000,)"
                              R"("args":{"operation":1,"open":true,"bad":true}})"));
  EXPECT_THAT(json, HasSubstr(R"("name":"cas","pid":5,"tid":6,)"));
}

TEST_F(PerfettoTest, HasNoArrowFromWhatIsLeftOut) {
  const uint64_t sent = recording_.Sent(1'000, DatagramForTest(client_, server_, "x"));
  recording_.Arrived(3'000, sent);
  report_.recording = recording_.recording();

  const std::string json = PerfettoJson(report_, Excerpt(report_, 1));

  EXPECT_THAT(json, HasSubstr(R"("events_left_out":"1")"));
  EXPECT_THAT(json, HasSubstr(R"("event":1)"));
  EXPECT_THAT(json, Not(HasSubstr(R"("ph":"s")")));
}

}  // namespace
}  // namespace tandem::testing
