// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/report_json.h"

#include <cstdint>

#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/testing/report/excerpt.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/recording_for_test.h"

namespace tandem::testing {
namespace {

TEST(ReportJson, HasAllButTheEventsAndOperations) {
  RecordingForTest recording;
  const EndForTest a = {recording.Host("a"), SocketAddress::Ipv4({10, 0, 0, 1}, 1)};
  const EndForTest b = {recording.Host("b"), SocketAddress::Ipv4({10, 0, 0, 2}, 2)};
  recording.Arrived(2, recording.Sent(1, DatagramForTest(a, b, "x")));
  recording.Note(3, "fault begins");
  Report report;
  report.recording = recording.recording();
  report.recording.bands.push_back({3, 9, "partition a | b", {a.host, b.host}, 4});
  report.recording.end_ns = 9;
  report.test = "Suite.Name";
  report.seed = ~uint64_t{0};
  report.digest = "0123456789abcdef0123456789abcdef";
  report.message = "Expected: \"1\"\n";
  report.place = "a_test.cc:1";
  report.replay = "bazel run //a -- --seed=1";
  report.scenario = "seed 1\n";
  report.sentences = "Seed 1.\n";
  report.likelihood = {{0, 2, 3, 50, 7}};
  report.recording.operations.resize(3);
  report.recording.operations[1].end_ns = 8;
  report.recording.operations[2].bad = true;
  report.slice = {0, 2};

  EXPECT_EQ(
      ReportJson(report, {"log.txt"}, Excerpt(report, 2)),
      R"({"schema_version":1,"test":"Suite.Name","seed":18446744073709551615,)"
      R"("digest":"0123456789abcdef0123456789abcdef","message":"Expected: \"1\"\n","place":"a_test.cc:1",)"
      R"("replay":"bazel run //a -- --seed=1","scenario":"seed 1\n","sentences":"Seed 1.\n","end_ns":9,)"
      R"("hosts":["a","b"],"faults":[{"text":"partition a | b","begin_ns":3,"end_ns":9,"hits":4,)"
      R"("hosts":["a","b"]}],"slice":[0,2],"likelihood":[{"first":0,"last":2,"failed":3,"branches":50,"otherwise":7}],"events":{"all":3,"trace":2,"log":0,"note":1,"failure":0,)"
      R"("left_out":[{"first":1,"last":1}]},"packets":{"sent":1,"arrived":1},)"
      R"("operations":{"all":3,"open":2,"bad":1},"files":["log.txt"]})"
      "\n");
}

}  // namespace
}  // namespace tandem::testing
