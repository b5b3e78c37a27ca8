// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/text_files.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/excerpt.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/recording_for_test.h"

namespace tandem::testing {
namespace {

class TextFilesTest : public ::testing::Test {
 protected:
  RecordingForTest recording_;
  const int32_t server_ = recording_.Host("server");

  uint64_t Log(int64_t time_ns, absl::string_view text) {
    RecordedEvent event;
    event.source = RecordedEvent::Source::kLog;
    event.host = server_;
    event.task = "Serve";
    event.place = "server.cc:12";
    event.verb = "W";
    event.text = text;
    return recording_.Add(time_ns, event);
  }
  uint64_t Fail(int64_t time_ns, absl::string_view text) {
    RecordedEvent event;
    event.source = RecordedEvent::Source::kFailure;
    event.place = "test.cc:3";
    event.text = text;
    return recording_.Add(time_ns, event);
  }
  uint64_t Turn(int64_t time_ns) {
    RecordedEvent event;
    event.kind = sim::TraceKind::kHostTurn;
    event.host = server_;
    event.a = 17;
    event.text = "has its turn 17";
    return recording_.Add(time_ns, event);
  }
  Report ReportOf(std::vector<uint64_t> slice) {
    Report report;
    report.recording = recording_.recording();
    report.slice = slice;
    return report;
  }
};

TEST_F(TextFilesTest, TheLogHasTimeHostTaskAndPlaceOnEachLine) {
  Turn(1);
  Log(12'345'678'901, "closed by\nthe \xff peer");
  Fail(13'000'000'000, "Expected: 1");

  EXPECT_EQ(LogText(recording_.recording()),
            "e1 W 12.345678901 server/Serve server.cc:12] closed by\n"
            "e1 W 12.345678901 server/Serve server.cc:12] the \\xff peer\n"
            "e2 FAILURE 13.000000000 - test.cc:3] Expected: 1\n");
}

TEST_F(TextFilesTest, TheLogSaysWhichOfItsLinesAreLeftOut) {
  Turn(1);
  Log(2, "first");
  Turn(3);
  Turn(4);
  Fail(5, "Expected: 1");
  Log(6, "last");
  const Report report = ReportOf({2, 4});

  EXPECT_EQ(LogText(report.recording, Excerpt(report, 2)),
            "# e0 to e1 are left out\n"
            "e4 FAILURE 0.000000005 - test.cc:3] Expected: 1\n"
            "# e5 to e5 are left out\n");
}

TEST_F(TextFilesTest, TheTimelineHasAnEventALine) {
  recording_.Note(250'310'000, "fault begins: a\tb");
  Log(1'000'000'000, "a line");
  RecordedEvent event;
  event.kind = sim::TraceKind::kReceive;
  event.host = server_;
  event.task = "Handle Connection";
  event.place = "echo.cc:31";
  event.verb = "reads";
  event.text = "12 bytes";
  event.cause = 1;
  recording_.Add(1'000'000'000, event);
  Turn(2'000'000'000);

  EXPECT_EQ(
      TimelineText(ReportOf({1, 2})),
      "# event, * if it led to the failure, its cause, seconds, host, task, where it awaits, what happened\n"
      "e0       -  -        0.250310000    -         -                   -                   fault begins: a\\x09b\n"
      "e1       *  -        1.000000000    server    Serve               server.cc:12        logs W: a line\n"
      "e2       *  e1       1.000000000    server    Handle_Connection   echo.cc:31          reads 12 bytes\n"
      "e3       -  -        2.000000000    server    -                   -                   has its turn 17\n");
}

TEST_F(TextFilesTest, TheTimelineSaysWhatIsLeftOut) {
  for (int i = 0; i < 6; ++i) Turn(i);
  const Report report = ReportOf({1, 4});

  const std::string text = TimelineText(report, Excerpt(report, 2));

  EXPECT_EQ(text,
            "# event, * if it led to the failure, its cause, seconds, host, task, where it awaits, what happened\n"
            "# e0 to e0 are left out\n"
            "e1       *  -        0.000000001    server    -                   -                   has its turn 17\n"
            "# e2 to e3 are left out\n"
            "e4       *  -        0.000000004    server    -                   -                   has its turn 17\n"
            "# e5 to e5 are left out\n");
}

RecordedOperation Operation(absl::string_view line, size_t history = 0, bool bad = false) {
  RecordedOperation operation;
  operation.bad = bad;
  operation.history = history;
  operation.json_line = absl::StrCat(line, "\n");
  return operation;
}

TEST(HistoryJsonl, HasTheLinesOfOneHistory) {
  Report report;
  report.recording.operations = {Operation("a"), Operation("b", 1), Operation("c")};

  EXPECT_EQ(HistoryJsonl(report, 0), "a\nc\n");
  EXPECT_EQ(HistoryJsonl(report, 1), "b\n");
}

TEST(HistoryJsonl, SaysWhatIsLeftOut) {
  Report report;
  report.recording.operations.assign(20, Operation("."));
  report.recording.operations[2] = Operation("of another", 1);
  report.recording.operations[4] = Operation("bad", 0, true);

  EXPECT_EQ(HistoryJsonl(report, 0, Excerpt(report, 0, 2)), R"({"left_out":{"first":0,"last":2}})"
                                                            "\nbad\n"
                                                            R"({"left_out":{"first":4,"last":17}})"
                                                            "\n.\n");
  EXPECT_EQ(HistoryJsonl(report, 1, Excerpt(report, 0, 2)), "{\"left_out\":{\"first\":0,\"last\":0}}\n");
}

}  // namespace
}  // namespace tandem::testing
