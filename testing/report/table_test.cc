// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/table.h"

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/recording_for_test.h"

namespace tandem::testing {
namespace {

// A story in which all that happens led to the failure.
class Story {
 public:
  int32_t Host(std::string name) { return run_.Host(std::move(name)); }
  void Logs(int32_t host, std::string text) {
    RecordedEvent event;
    event.source = RecordedEvent::Source::kLog;
    event.host = host;
    event.text = std::move(text);
    run_.Add(0, std::move(event));
  }
  void Fails(int32_t host, std::string text) {
    RecordedEvent event;
    event.source = RecordedEvent::Source::kFailure;
    event.host = host;
    event.place = "a_test.cc:7";
    event.text = std::move(text);
    run_.Add(0, std::move(event));
  }
  void GoesOn(int32_t host, std::string task) {
    RecordedEvent event;
    event.kind = sim::TraceKind::kTaskResume;
    event.host = host;
    event.task = std::move(task);
    run_.Add(0, std::move(event));
  }
  std::vector<std::string> Table() {
    Report report;
    report.recording = run_.recording();
    for (const RecordedEvent& event : report.recording.events) report.slice.push_back(event.number);
    return absl::StrSplit(SliceTable(report), '\n', absl::SkipEmpty());
  }

 private:
  RecordingForTest run_;
};

TEST(TableTest, WhatIsOfNoHostIsInNoColumn) {
  Story story;
  story.Logs(story.Host("server"), "is up");
  story.Fails(kNoHost, "no answer");

  const std::vector<std::string> table = story.Table();

  ASSERT_EQ(table.size(), 3u);
  const size_t column = table[0].find("server");
  EXPECT_EQ(table[1].find("logs is up"), column);
  EXPECT_EQ(table[2].find("* FAILS: no answer"), column - 2);
}

TEST(TableTest, WithoutHostsThePlaceIsApartFromTheText) {
  Story story;
  story.Fails(kNoHost, std::string(300, 'x'));

  EXPECT_TRUE(absl::StrContains(story.Table().back(), "x...  a_test.cc:7")) << story.Table().back();
}

TEST(TableTest, WhereLittleElseIsSeenTheLastStepsOfTheFailingHostFillIt) {
  Story story;
  const int32_t host = story.Host("bank");
  const int32_t other = story.Host("client");
  story.Logs(host, "is up");
  for (int i = 0; i < 100; ++i) {
    story.GoesOn(host, i % 2 == 0 ? "Deposit" : "Withdraw");
    story.GoesOn(other, "Ask");
  }
  story.Fails(host, "lost 7");

  const std::vector<std::string> table = story.Table();

  const size_t rows = TableSize().rows;
  ASSERT_EQ(table.size(), 1 + rows + 1);  // The headings, and how many are left out.
  EXPECT_TRUE(absl::StrContains(table[2], absl::StrCat(100 - (rows - 2), " "))) << table[2];
  EXPECT_TRUE(absl::StrContains(table[rows], "Withdraw goes on")) << table[rows];
  EXPECT_FALSE(absl::StrContains(absl::StrJoin(table, "\n"), "Ask"));
}

TEST(TableTest, OfManyHostsThoseWithMostRowsHaveColumns) {
  Story story;
  std::vector<int32_t> hosts;
  for (int i = 0; i < 12; ++i) hosts.push_back(story.Host(absl::StrCat("host-with-a-long-name-", i)));
  for (const int32_t host : hosts) story.Logs(host, "once");
  for (int i = 4; i < 11; ++i) story.Logs(hosts[static_cast<size_t>(i)], "twice");
  story.Fails(hosts[0], "it");

  const std::vector<std::string> table = story.Table();

  const std::vector<std::string> words = absl::StrSplit(table[0], ' ', absl::SkipEmpty());
  std::vector<std::string> expected = {"seconds", "host-with-a-long-name-0"};
  for (int i = 4; i < 11; ++i) expected.push_back(absl::StrCat("host-with-a-long-name-", i));
  expected.emplace_back("at");
  EXPECT_EQ(words, expected);
  EXPECT_TRUE(absl::StrContains(table[12], "  [host-with-a-long-name-11] logs once"));
  EXPECT_TRUE(absl::StrContains(table.back(), "  * host-with-a-long-name-0 FAILS: it"));
}

TEST(TableTest, HeadingsThatAreTooLongRemainDistinct) {
  Story story;
  const std::string same(40, 'n');
  for (const absl::string_view name : {"first", "second"}) {
    for (const absl::string_view end : {"a", "b"}) {
      story.Logs(story.Host(absl::StrCat(same, name, same, end)), "is up");
    }
  }

  const std::vector<std::string> words = absl::StrSplit(story.Table()[0], ' ', absl::SkipEmpty());

  ASSERT_GE(words.size(), 5u);
  const std::set<std::string> distinct(words.begin(), words.end());
  EXPECT_EQ(distinct.size(), words.size());
  EXPECT_TRUE(absl::StartsWith(words[1], "nnn") && absl::EndsWith(words[1], "nna")) << words[1];
}

// Below the headings to its right, where nothing else is in its row.
TEST(TableTest, ATextThatIsWiderThanItsColumnIsWholeNonetheless) {
  Story story;
  const std::string longest(60, 'x');
  for (int i = 0; i < 4; ++i) story.Logs(story.Host(absl::StrCat("host", i)), longest.substr(5));
  story.Fails(0, "it");

  const std::vector<std::string> table = story.Table();

  for (size_t i = 1; i <= 4; ++i) {
    EXPECT_TRUE(absl::EndsWith(table[i], absl::StrCat(" logs ", longest.substr(5)))) << table[i];
    EXPECT_EQ(table[i].find("logs"), table[0].find(absl::StrCat("host", i - 1)));
    EXPECT_LE(table[i].size(), 134u);
  }
  EXPECT_EQ(table[5].find("a_test.cc:7"), table[0].find("at")) << table[5];
}

TEST(TableTest, HasNothingThatATerminalObeys) {
  Story story;
  story.Logs(story.Host("host"), "red \x1b[31m\nand\tmore \xff");

  EXPECT_TRUE(absl::EndsWith(story.Table().back(), R"(logs red \x1b[31m and more \xff)")) << story.Table().back();
}

}  // namespace
}  // namespace tandem::testing
