// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/report_for_test.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {
namespace {

class ReportForTestTest : public ::testing::TestWithParam<size_t> {};

TEST_P(ReportForTestTest, IsARecordingOfThatSize) {
  const Report report = ReportForTest(GetParam());

  ASSERT_EQ(report.recording.events.size(), GetParam());
  int64_t time_ns = 0;
  for (size_t i = 0; i < report.recording.events.size(); ++i) {
    const RecordedEvent& event = report.recording.events[i];
    EXPECT_EQ(event.number, i);
    EXPECT_GE(event.time_ns, time_ns);
    EXPECT_TRUE(event.cause == kNoEvent || event.cause < i);
    time_ns = event.time_ns;
  }
  EXPECT_EQ(report.recording.end_ns, time_ns);
}

TEST_P(ReportForTestTest, HasASliceThatEndsWithTheFailure) {
  const Report report = ReportForTest(GetParam());

  EXPECT_TRUE(std::is_sorted(report.slice.begin(), report.slice.end()));
  EXPECT_EQ(report.slice.back(), GetParam() - 1);
  EXPECT_EQ(report.recording.events.back().source, RecordedEvent::Source::kFailure);
}

INSTANTIATE_TEST_SUITE_P(Sizes, ReportForTestTest, ::testing::Values(kFewestEventsForTest, 100, 1000, 20'000));

TEST(ReportForTest, HasPacketsThatAreLostAndThatComeTwice) {
  const Report report = ReportForTest(2000);

  const auto packets = [&report](auto what) {
    return std::any_of(report.recording.events.begin(), report.recording.events.end(),
                       [what](const RecordedEvent& event) { return event.packet.has_value() && what(*event.packet); });
  };
  EXPECT_TRUE(packets([](const RecordedPacket& packet) { return packet.lost == "the link loses it"; }));
  EXPECT_TRUE(packets([](const RecordedPacket& packet) { return packet.duplicate_arrival_ns.has_value(); }));
  EXPECT_TRUE(packets([](const RecordedPacket& packet) { return (packet.flags & RecordedPacket::kSyn) != 0; }));
}

}  // namespace
}  // namespace tandem::testing
