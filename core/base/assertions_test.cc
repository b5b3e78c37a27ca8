// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/base/assertions.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/task.h"

namespace tandem::internal {
namespace {

struct Visit {
  const AssertionSite* site;
  bool holds;
  std::string values;
};

std::vector<Visit>* g_visits = nullptr;

// While it lives, visits are noted.
class Watcher {
 public:
  Watcher() {
    g_visits = &visits_;
    assertion_visited = [](const AssertionSite& site, bool holds, absl::FunctionRef<std::string()> values) {
      g_visits->push_back({&site, holds, values()});
    };
  }
  ~Watcher() {
    assertion_visited = nullptr;
    g_visits = nullptr;
  }

  const std::vector<Visit>& visits() const { return visits_; }

 private:
  std::vector<Visit> visits_;
};

bool Evaluated(int* count) {
  ++*count;
  return false;
}

TEST(AssertionsTest, EvaluateNothingWhereNobodyWatches) {
  int count = 0;
  TANDEM_ALWAYS(Evaluated(&count), "is not looked at", Evaluated(&count));
  TANDEM_SOMETIMES(Evaluated(&count), "is not looked at");
  TANDEM_REACHABLE("may come here");
  TANDEM_UNREACHABLE("comes here, and nobody looks");
  EXPECT_EQ(count, 0);
}

TEST(AssertionsTest, TellWhatHoldsAndWhere) {
  const Watcher watcher;
  const int committed = 4;
  const std::vector<int> log = {1, 2, 3};
  const int line = __LINE__ + 1;
  TANDEM_ALWAYS(committed <= 3, "what is committed is in the log", committed, log.size(), std::min(2, 1));
  TANDEM_SOMETIMES(committed == 4, "four");
  TANDEM_REACHABLE("here");
  TANDEM_UNREACHABLE("nowhere", absl::Seconds(2), "a, \"b");

  ASSERT_EQ(watcher.visits().size(), 4u);
  const Visit& always = watcher.visits()[0];
  EXPECT_EQ(always.site->kind(), AssertionKind::kAlways);
  EXPECT_EQ(always.site->message(), "what is committed is in the log");
  EXPECT_EQ(always.site->line(), line);
  EXPECT_TRUE(always.site->file().ends_with("core/base/assertions_test.cc"));
  EXPECT_FALSE(always.holds);
  EXPECT_EQ(always.values, "committed=4, log.size()=3, std::min(2, 1)=1");
  EXPECT_EQ(watcher.visits()[1].site->kind(), AssertionKind::kSometimes);
  EXPECT_TRUE(watcher.visits()[1].holds);
  EXPECT_EQ(watcher.visits()[1].values, "");
  EXPECT_EQ(watcher.visits()[2].site->kind(), AssertionKind::kReachable);
  EXPECT_TRUE(watcher.visits()[2].holds);
  EXPECT_EQ(watcher.visits()[3].site->kind(), AssertionKind::kUnreachable);
  EXPECT_FALSE(watcher.visits()[3].holds);
  EXPECT_EQ(watcher.visits()[3].values, "absl::Seconds(2)=2s, \"a, \\\"b\"=a, \"b");
}

template <typename T>
void InATemplate(const T& value) {
  TANDEM_SOMETIMES(value == T(), "in a template", value);
}

inline void InAnInlineFunction() { TANDEM_REACHABLE("in an inline function"); }

// Awaited in no test: a coroutine is where most assertions are.
Task<int> InACoroutine(int number) {
  TANDEM_ALWAYS(number < 10, "in a coroutine", number);
  co_return number;
}

class WithAMember {
 public:
  void Grow() {
    ++size_;
    TANDEM_ALWAYS(size_ < 2, "in a member function", size_);
  }

 private:
  int size_ = 0;
};

TEST(AssertionsTest, AreWhereverCodeIs) {
  const Watcher watcher;
  InATemplate(1);
  InATemplate<std::string>("text");
  InAnInlineFunction();
  WithAMember member;
  member.Grow();
  member.Grow();
  const auto [first, second] = std::pair(1, 2);
  TANDEM_ALWAYS(first > second, "of a structured binding", second);

  ASSERT_EQ(watcher.visits().size(), 6u);
  EXPECT_NE(watcher.visits()[0].site, watcher.visits()[1].site);  // One for each type.
  EXPECT_EQ(watcher.visits()[1].values, "value=text");
  EXPECT_EQ(watcher.visits()[3].site, watcher.visits()[4].site);
  EXPECT_EQ(watcher.visits()[4].values, "size_=2");
  EXPECT_EQ(watcher.visits()[5].values, "second=2");
}

TEST(AssertionsTest, ThereIsASiteForEachFromTheStart) {
  std::set<uint32_t> numbers;
  std::set<std::string> messages;
  for (const AssertionSite* site = AssertionSite::First(); site != nullptr; site = site->next()) {
    EXPECT_LT(site->index(), AssertionSite::Count());
    EXPECT_TRUE(numbers.insert(site->index()).second);
    messages.insert(std::string(site->message()));
  }
  EXPECT_EQ(numbers.size(), AssertionSite::Count());
  for (const char* message : {"in a coroutine", "in a template", "in an inline function", "is not looked at"}) {
    EXPECT_TRUE(messages.contains(message)) << message;
  }
  if (numbers.empty()) static_cast<void>(InACoroutine(1));
}

TEST(AssertionsTest, KindsHaveNames) {
  EXPECT_EQ(AssertionKindName(AssertionKind::kAlways), "always");
  EXPECT_EQ(AssertionKindName(AssertionKind::kSometimes), "sometimes");
  EXPECT_EQ(AssertionKindName(AssertionKind::kReachable), "reachable");
  EXPECT_EQ(AssertionKindName(AssertionKind::kUnreachable), "unreachable");
  EXPECT_EQ(AssertionKindName(AssertionKind::kChecker), "checker");
}

}  // namespace
}  // namespace tandem::internal
