// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/folder.h"

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/report_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> NamesOf(const std::vector<ReportFile>& files) {
  std::vector<std::string> names;
  for (const ReportFile& file : files) names.push_back(file.name);
  return names;
}

std::string Content(const std::vector<ReportFile>& files, const std::string& name) {
  for (const ReportFile& file : files) {
    if (file.name == name) return file.content;
  }
  ADD_FAILURE() << "no " << name;
  return "";
}

uint64_t Bytes(const std::vector<ReportFile>& files) {
  uint64_t bytes = 0;
  for (const ReportFile& file : files) bytes += file.content.size();
  return bytes;
}

std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

TEST(ReportFiles, AreThese) {
  const Report report = ReportForTest(100);

  const std::vector<ReportFile> files = ReportFiles(report);

  EXPECT_THAT(NamesOf(files), ElementsAre("report.json", "scenario.txt", "log.txt", "timeline.html", "timeline.txt",
                                          "trace.jsonl", "trace.json", "capture.pcapng", "history.jsonl"));
  EXPECT_EQ(Content(files, "scenario.txt"), report.scenario);
  EXPECT_THAT(Content(files, "report.json"), HasSubstr("\"timeline.html\""));
}

TEST(ReportFiles, HaveNoEmptyOneForOperations) {
  Report report = ReportForTest(100);
  report.recording.operations.clear();

  EXPECT_THAT(NamesOf(ReportFiles(report)), Not(Contains("history.jsonl")));
}

TEST(ReportFiles, AreTheSameEachTime) {
  const std::vector<ReportFile> one = ReportFiles(ReportForTest(5'000), 300'000);
  const std::vector<ReportFile> other = ReportFiles(ReportForTest(5'000), 300'000);

  ASSERT_EQ(one.size(), other.size());
  for (size_t i = 0; i < one.size(); ++i) EXPECT_EQ(one[i].content, other[i].content) << one[i].name;
}

TEST(ReportFiles, AreNotLargerThanTheyMay) {
  const Report report = ReportForTest(8'000);
  constexpr uint64_t kLargest = 3'000'000;
  ASSERT_GT(Bytes(ReportFiles(report, ~uint64_t{0})), kLargest);

  for (const uint64_t max_bytes : {uint64_t{200'000}, uint64_t{1'000'000}, kLargest}) {
    const std::vector<ReportFile> files = ReportFiles(report, max_bytes);

    EXPECT_LE(Bytes(files), max_bytes);
    EXPECT_GE(Bytes(files), max_bytes * 3 / 4) << "and what fits is there";
    const std::string timeline = Content(files, "timeline.txt");
    for (const uint64_t event : report.slice) {
      EXPECT_TRUE(absl::StrContains(timeline, absl::StrCat("\ne", event, " "))) << event;
    }
    for (const char* const file :
         {"report.json", "log.txt", "timeline.txt", "trace.jsonl", "trace.json", "capture.pcapng"}) {
      EXPECT_TRUE(absl::StrContains(Content(files, file), "left_out") ||
                  absl::StrContains(Content(files, file), "left out"))
          << file;
    }
  }
}

TEST(ReportFiles, LeaveOutLongTextsRatherThanAllEvents) {
  Report report = ReportForTest(5'000);
  report.recording.events[2'000].text = std::string(3'000'000, 'x');
  constexpr uint64_t kMax = 1'000'000;

  const std::vector<ReportFile> files = ReportFiles(report, kMax);

  EXPECT_LE(Bytes(files), kMax);
  EXPECT_GE(Bytes(files), kMax / 2);
}

TEST(ReportFiles, AreNotMadeOnceItIsLate) {
  int asked = 0;
  const auto is_late = [&asked] { return ++asked > 3; };

  EXPECT_TRUE(ReportFiles(ReportForTest(100), kMaxReportBytes, is_late).empty());
}

TEST(ReportFiles, SayWhatFailedWhereNothingElseFits) {
  const Report report = ReportForTest(5'000);

  const std::vector<ReportFile> files = ReportFiles(report, 0);

  EXPECT_EQ(Content(files, "scenario.txt"), report.scenario);
  EXPECT_THAT(Content(files, "trace.jsonl"), HasSubstr(R"({"left_out":{"first":0,"last":4999}})"));
}

TEST(ReportFiles, OfNothingAreFilesToo) { EXPECT_THAT(Content(ReportFiles(Report()), "trace.jsonl"), ""); }

TEST(WriteFolder, WritesTheFiles) {
  const Report report = ReportForTest(100);
  const std::string folder = absl::StrCat(::testing::TempDir(), "/report");

  for (int i = 0; i < 2; ++i) ASSERT_OK(WriteFolder(report, folder));

  for (const ReportFile& file : ReportFiles(report)) {
    std::ifstream stream(absl::StrCat(folder, "/", file.name), std::ios::binary);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(stream), {}), file.content) << file.name;
  }
}

TEST(WriteFolder, SaysWhereItFailed) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/none/report");

  const absl::Status status = WriteFolder(ReportForTest(100), folder);

  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr(folder));
}

TEST(WriteFolder, SaysWhichFileFailed) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/full");
  ASSERT_EQ(mkdir(folder.c_str(), 0777), 0);
  ASSERT_EQ(mkdir(absl::StrCat(folder, "/log.txt").c_str(), 0777), 0);

  EXPECT_THAT(WriteFolder(ReportForTest(100), folder).message(), HasSubstr("full/log.txt"));
  EXPECT_THAT(NamesIn(folder), ElementsAre("log.txt")) << "nor is a part of the report left";
}

TEST(WriteFolder, LeavesNoFolderOnceItIsLate) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/late");

  EXPECT_EQ(WriteFolder(ReportForTest(100), folder, kMaxReportBytes, [] { return true; }).code(),
            absl::StatusCode::kCancelled);
  EXPECT_FALSE(std::filesystem::exists(folder));
}

}  // namespace
}  // namespace tandem::testing
