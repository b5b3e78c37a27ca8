// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/excerpt.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Report ReportOf(size_t events, std::vector<uint64_t> slice) {
  Report report;
  report.recording.events.resize(events);
  for (size_t i = 0; i < events; ++i) report.recording.events[i].number = i;
  report.slice = std::move(slice);
  return report;
}

// A letter for each event: shown or left out.
std::string Shown(const Report& report, size_t events) {
  const Excerpt excerpt(report, events);
  std::string shown;
  for (uint64_t i = 0; i < report.recording.events.size(); ++i) shown += excerpt.Has(i) ? 'x' : '.';
  return shown;
}

TEST(Excerpt, HasEverythingIfThereIsRoom) {
  EXPECT_EQ(Shown(ReportOf(4, {3}), 4), "xxxx");
  EXPECT_EQ(Shown(ReportOf(0, {}), 0), "");
  EXPECT_TRUE(Excerpt().Has(17));
  EXPECT_THAT(Excerpt().gaps(), IsEmpty());
}

TEST(Excerpt, HasTheEndOfTheSliceFirst) {
  const Report report = ReportOf(20, {2, 5, 9, 15});

  EXPECT_EQ(Shown(report, 0), "....................");
  EXPECT_EQ(Shown(report, 1), "...............x....");
  EXPECT_EQ(Shown(report, 3), ".....x...x.....x....");
  EXPECT_EQ(Shown(report, 4), "..x..x...x.....x....");
}

TEST(Excerpt, ThenHasTheBeginningAndWhatIsNearTheFailure) {
  EXPECT_EQ(Shown(ReportOf(40, {10, 30}), 10), "x.........x...............xxxxxxxx......");
  EXPECT_EQ(Shown(ReportOf(20, {}), 8), "x............xxxxxxx") << "the end, without a failure";
}

TEST(Excerpt, FindsTheFailureWithoutASlice) {
  Report report = ReportOf(20, {});
  report.recording.events[10].source = RecordedEvent::Source::kFailure;

  EXPECT_EQ(Shown(report, 3), ".........xxx........");
}

TEST(Excerpt, TellsWhatIsLeftOut) {
  const Excerpt excerpt(ReportOf(20, {2, 5, 15}), 3);

  EXPECT_EQ(excerpt.left_out(), 17u);
  EXPECT_THAT(excerpt.gaps(),
              ElementsAre(Excerpt::Gap{0, 1}, Excerpt::Gap{3, 4}, Excerpt::Gap{6, 14}, Excerpt::Gap{16, 19}));
}

TEST(Excerpt, HasTheOperationsThatAreBadAndTheLast) {
  Report report;
  report.recording.operations.resize(6);
  report.recording.operations[1].bad = report.recording.operations[3].bad = true;
  const auto shown = [&](size_t operations) {
    std::string text;
    for (size_t i = 0; i < 6; ++i) text += Excerpt(report, 0, operations).HasOperation(i) ? 'x' : '.';
    return text;
  };

  EXPECT_EQ(shown(0), "......");
  EXPECT_EQ(shown(1), "...x..");
  EXPECT_EQ(shown(3), ".x.x.x");
  EXPECT_EQ(shown(5), ".xxxxx");
  EXPECT_EQ(shown(6), "xxxxxx");
}

TEST(Excerpt, VisitsEventsAndGapsInOrder) {
  const Report report = ReportOf(8, {2, 3, 6});
  std::string visited;

  Excerpt(report, 3).Visit(
      report.recording, [&](const RecordedEvent& event) { visited += std::to_string(event.number) + " "; },
      [&](const Excerpt::Gap& gap) {
        visited += "(" + std::to_string(gap.first) + "-" + std::to_string(gap.last) + ") ";
      });

  EXPECT_EQ(visited, "(0-1) 2 3 (4-5) 6 (7-7) ");
}

}  // namespace
}  // namespace tandem::testing
