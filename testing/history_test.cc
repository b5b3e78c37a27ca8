// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/history.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/core/base/instant.h"
#include "tandem/testing/linearizability.h"
#include "tandem/testing/linearizability_models.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Operation = History::Operation;
using Outcome = Operation::Outcome;

TEST(HistoryTest, CountsWhatBeginsAndEnds) {
  History history;
  History::Call write = history.Invoke("ann", "x", "write", 3);
  History::Call cas = history.Invoke("bob", "y", "cas", "old", "new");
  write.Return();
  cas.Return("true");

  const std::vector<Operation> operations = history.operations();
  ASSERT_EQ(operations.size(), 2u);
  EXPECT_EQ(operations[0].client, "ann");
  EXPECT_EQ(operations[0].object, "x");
  EXPECT_EQ(operations[0].name, "write");
  EXPECT_THAT(operations[0].arguments, ElementsAre("3"));
  EXPECT_EQ(operations[0].outcome, Outcome::kAnswered);
  EXPECT_EQ(operations[0].invoked, 0u);
  EXPECT_EQ(operations[0].returned, 2u);
  EXPECT_FALSE(operations[0].invoked_at.has_value());
  EXPECT_THAT(operations[1].arguments, ElementsAre("old", "new"));
  EXPECT_EQ(operations[1].answer, "true");
  EXPECT_EQ(operations[1].invoked, 1u);
  EXPECT_EQ(operations[1].returned, 3u);
}

TEST(HistoryTest, ACallThatIsDestroyedLeavesItsOperationOpen) {
  History history;
  (void)history.Invoke("ann", "x", "write", 3);
  history.Invoke("ann", "x", "write", 4).Return();

  EXPECT_EQ(history.operations()[0].outcome, Outcome::kOpen);
  EXPECT_EQ(history.operations()[0].returned, Operation::kNever);
  EXPECT_EQ(history.operations()[1].outcome, Outcome::kAnswered);
}

TEST(HistoryTest, ACallMayOutliveTheHistory) {
  std::optional<History::Call> call;
  {
    History history;
    call = history.Invoke("ann", "x", "write", 3);
  }
  call.reset();
}

TEST(HistoryTest, WhatFailedHasEnded) {
  History history;
  history.Invoke("ann", "x", "write", 3).Fail();

  EXPECT_EQ(history.operations()[0].outcome, Outcome::kFailed);
  EXPECT_EQ(history.operations()[0].returned, 1u);
}

TEST(HistoryTest, ACallCanBeMoved) {
  History history;
  History::Call first = history.Invoke("ann", "x", "write", 3);
  History::Call second = history.Invoke("bob", "x", "write", 4);
  second = std::move(first);  // Bob's stays open.
  const History::Call third = std::move(second);
  EXPECT_EQ(history.operations()[0].outcome, Outcome::kOpen);
  EXPECT_EQ(history.operations()[1].outcome, Outcome::kOpen);
}

TEST(HistoryTest, TheClockIsReadAtBothEnds) {
  int64_t now_ns = 0;
  History history([&] { return Instant::FromNanoseconds(now_ns += 10); });
  History::Call call = history.Invoke("ann", "x", "write", 3);
  history.Invoke("bob", "x", "read").Return(3);
  call.Return();

  EXPECT_EQ(history.operations()[0].invoked_at, Instant::FromNanoseconds(10));
  EXPECT_EQ(history.operations()[0].returned_at, Instant::FromNanoseconds(40));
  EXPECT_EQ(history.operations()[1].returned_at, Instant::FromNanoseconds(30));
}

TEST(HistoryTest, ThreadsAgreeOnTheOrder) {
  constexpr int kThreads = 4;
  constexpr int kAdditions = 500;
  History history;
  std::atomic<int64_t> sum = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kAdditions; ++i) {
        History::Call call = history.Invoke(absl::StrCat("thread ", t), "sum", "add_and_get", 1);
        call.Return(sum.fetch_add(1) + 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(history.operations().size(), size_t{kThreads * kAdditions});
  EXPECT_OK(CheckLinearizable(history.operations(), Counter()));
}

TEST(HistoryDeathTest, AnOperationEndsOnce) {
  History history;
  History::Call call = history.Invoke("ann", "x", "write", 3);
  call.Return();

  EXPECT_DEATH(call.Return(), "has ended before");
  EXPECT_DEATH(call.Fail(), "has ended before");
}

TEST(HistoryTest, AnOperationAsText) {
  History history;
  history.Invoke("ann", "x", "cas", 3, 4).Return("true");
  history.Invoke("ann", "x", "write", 3).Return();
  history.Invoke("", "", "write", 3).Fail();
  (void)history.Invoke("bob", "x", "read");

  std::vector<std::string> texts;
  for (const Operation& operation : history.operations()) texts.push_back(ToString(operation));
  EXPECT_THAT(texts,
              ElementsAre("ann: cas(x, 3, 4) -> true", "ann: write(x, 3)", "write(3) -> failed", "bob: read(x) -> ?"));
}

TEST(HistoryTest, LinesOfJson) {
  int64_t now_ns = 0;
  History history([&] { return Instant::FromNanoseconds(now_ns += 10); });
  history.Invoke("ann", "x", "cas", 3, "\"4\"\n").Return("true");
  (void)history.Invoke("bob", "\xc3\xa4", "read");
  history.Invoke("eve", "x", "write", "\\").Fail();

  const std::string expected =
      R"({"client":"ann","object":"x","name":"cas","arguments":["3","\"4\"\n"],"outcome":"answered","answer":"true","invoked":0,"returned":1,"invoked_ns":10,"returned_ns":20})"
      "\n"
      R"({"client":"bob","object":"ä","name":"read","arguments":[],"outcome":"open","invoked":2,"invoked_ns":30})"
      "\n"
      R"({"client":"eve","object":"x","name":"write","arguments":["\\"],"outcome":"failed","invoked":3,"returned":4,"invoked_ns":40,"returned_ns":50})"
      "\n";
  EXPECT_EQ(ToJsonLines(history.operations()), expected);

  const std::string path = absl::StrCat(::testing::TempDir(), "/history.jsonl");
  ASSERT_OK(WriteJsonLines(history.operations(), path));
  std::ostringstream written;
  written << std::ifstream(path).rdbuf();
  EXPECT_EQ(written.str(), expected);
}

TEST(HistoryTest, AFileThatCannotBeWritten) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/there/is/no/such/folder");

  EXPECT_THAT(WriteJsonLines({}, path), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path)));
}

}  // namespace
}  // namespace tandem::testing
