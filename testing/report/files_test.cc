// SPDX-License-Identifier: Apache-2.0
//
// What programs of other people make of the folder: JSON Schema, the format of Perfetto, and that events have the same
// numbers in all files.

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/testing/report/command_for_test.h"
#include "tandem/testing/report/folder.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/report_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

using ::testing::HasSubstr;

std::string Check(const Report& report, uint64_t max_bytes = kMaxReportBytes) {
  const std::string folder =
      absl::StrCat(::testing::TempDir(), "/", ::testing::UnitTest::GetInstance()->current_test_info()->name());
  EXPECT_OK(WriteFolder(report, folder, max_bytes));
  return RunForTest("python3", absl::StrCat("python3 testing/report/check_files.py '", folder, "' testing/report"));
}

TEST(Files, OfALongRunAreValid) { EXPECT_THAT(Check(ReportForTest(3'000)), HasSubstr("events: 3000\n")); }

TEST(Files, WithPartsLeftOutAreValid) { EXPECT_THAT(Check(ReportForTest(3'000), 200'000), HasSubstr("events: ")); }

TEST(Files, OfNothingAreValid) { EXPECT_EQ(Check(Report()), "events: 0\n"); }

TEST(Files, OfAnyBytesAreValid) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  Report report = ReportForTest(200);
  report.test = report.message = report.place = report.replay = report.scenario = report.sentences = bytes;
  report.recording.hosts[0] = bytes;
  for (RecordedEvent& event : report.recording.events) {
    event.task = event.place = event.verb = event.text = event.connection = bytes;
    if (event.packet.has_value()) event.packet->payload = event.packet->lost = bytes;
  }
  for (RecordedBand& band : report.recording.bands) band.text = bytes;
  for (RecordedOperation& operation : report.recording.operations) operation.client = operation.text = bytes;

  EXPECT_EQ(Check(report), "events: 200\n");
}

}  // namespace
}  // namespace tandem::testing
