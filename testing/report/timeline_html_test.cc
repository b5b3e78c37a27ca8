// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/timeline_html.h"

#include <cstddef>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/report_for_test.h"

namespace tandem::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Lt;
using ::testing::Not;

// What stands between the tags of the data.
std::string DataOf(const Report& report) {
  const std::string page = TimelineHtml(report);
  constexpr absl::string_view kTag = "<script type=\"application/json\" id=\"data\">";
  const size_t begin = page.find(kTag) + kTag.size();
  return page.substr(begin, page.find("</script>", begin) - begin);
}

Report WithText(absl::string_view text) {
  Report report = ReportForTest(kFewestEventsForTest);
  report.recording.events[1].text = std::string(text);
  return report;
}

TEST(TimelineHtmlTest, TheSameReportGivesTheSameBytes) {
  EXPECT_EQ(TimelineHtml(ReportForTest(1000)), TimelineHtml(ReportForTest(1000)));
}

TEST(TimelineHtmlTest, AllowsNothingButItsOwnScriptAndStyle) {
  const std::string page = TimelineHtml(ReportForTest(kFewestEventsForTest));

  EXPECT_THAT(page, HasSubstr("content=\"default-src 'none'; script-src 'sha256-"));
  EXPECT_THAT(page, Not(HasSubstr("unsafe-inline")));
  EXPECT_THAT(page, Not(HasSubstr("@style_hash@")));
  EXPECT_THAT(page, Not(HasSubstr("@script_hash@")));
  EXPECT_THAT(page, Not(HasSubstr("://")));
}

TEST(TimelineHtmlTest, NoTextEndsTheElementOfTheData) {
  Report report = WithText("</script><script>alert(1)</script><!-- <script");
  report.message = report.scenario = report.replay = report.recording.hosts[0] = "</ScRiPt ><b>";
  report.recording.bands[0].text = report.recording.operations[0].text = report.recording.events[2].place = "<!--";

  EXPECT_THAT(DataOf(report), Not(HasSubstr("<")));
  EXPECT_THAT(DataOf(report),
              HasSubstr(R"("\u003c/script>\u003cscript>alert(1)\u003c/script>\u003c!-- \u003cscript")"));
}

TEST(TimelineHtmlTest, EscapesWhatJsonDoes) {
  EXPECT_THAT(DataOf(WithText(absl::string_view("a\"b\\c\nd\te\0f\x7f", 12))),
              HasSubstr(R"("a\"b\\c\nd\u0009e\u0000f\u007f")"));
  EXPECT_THAT(DataOf(WithText("a\xe2\x80\xa8z\xe2\x80\xa9")), HasSubstr(R"("a\u2028z\u2029")"));
}

TEST(TimelineHtmlTest, IsUtf8WhateverTheTextsAre) {
  EXPECT_THAT(DataOf(WithText("\xe2\x82\xac \xff\xe2\x82")),
              HasSubstr("\"\xe2\x82\xac \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""));
}

TEST(TimelineHtmlTest, CutsTextsBetweenCharacters) {
  Report report = WithText("");
  std::string text = "x";
  for (int i = 0; i < 10'000; ++i) text += "\xe2\x82\xac";
  report.recording.events[1].text = report.message = text;

  EXPECT_THAT(DataOf(report), HasSubstr("\xe2\x82\xac...\""));
  EXPECT_THAT(DataOf(report), Not(HasSubstr("\xef\xbf\xbd")));
  EXPECT_THAT(DataOf(report).size(), Lt(text.size()));
}

TEST(TimelineHtmlTest, FiftyThousandEventsAreLessThanTenMegabytes) {
  const size_t size = TimelineHtml(ReportForTest(50'000)).size();

  RecordProperty("bytes", static_cast<int>(size));
  EXPECT_THAT(size, Lt(10'000'000u));
}

TEST(TimelineHtmlTest, OfMoreEventsItShowsAnExcerpt) {
  Report report = ReportForTest(kTimelineEventsMax + 1000);
  report.slice.insert(report.slice.begin(), 7000);  // It is left out of the others.

  const std::string data = DataOf(report);

  EXPECT_TRUE(absl::StrContains(data, "\"left_out\":1000,"));
  EXPECT_TRUE(absl::StrContains(data, "\"slice\":[6247,"));
  EXPECT_TRUE(absl::StrContains(data, ",1,1,1,754,248,1,1,"));  // Their numbers, each less the one before.
}

TEST(TimelineHtmlTest, AReportMayBeEmpty) {
  EXPECT_THAT(DataOf(Report()), HasSubstr("\"number\":[]"));

  Report report;
  report.slice = {5};  // There is no such event.
  EXPECT_THAT(DataOf(report), HasSubstr("\"slice\":[]"));
}

}  // namespace
}  // namespace tandem::testing
