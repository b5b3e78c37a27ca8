// SPDX-License-Identifier: Apache-2.0
//
// The search against one that tries every order, over random small histories of each model.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/core/base/random.h"
#include "tandem/testing/history.h"
#include "tandem/testing/linearizability.h"
#include "tandem/testing/linearizability_models.h"
#include "tandem/testing/random_history_for_test.h"

namespace tandem::testing {
namespace {

using Operation = History::Operation;
using Outcome = Operation::Outcome;
using Verdict = Linearizability::Verdict;

// Tries every order of what has an answer, with every choice of open operations in between, of all objects together.
template <typename Model>
class EveryOrder {
 public:
  EveryOrder(std::vector<Operation> operations, const Model& model)
      : operations_(std::move(operations)), model_(model), done_(operations_.size()) {}

  bool IsLinearizable() {
    if (AllAnswersAreDone()) return true;
    for (size_t i = 0; i < operations_.size(); ++i) {
      if (!MayComeNext(i)) continue;
      const std::map<std::string, typename Model::State> before = objects_;
      auto& state = objects_.try_emplace(operations_[i].object, model_.Start()).first->second;
      const std::optional<std::string> answer = model_.Apply(operations_[i], &state);
      done_[i] = true;
      const bool fits = answer && (operations_[i].outcome == Outcome::kOpen || *answer == operations_[i].answer);
      if (fits && IsLinearizable()) return true;
      done_[i] = false;
      objects_ = before;
    }
    return false;
  }

 private:
  bool AllAnswersAreDone() const {
    for (size_t i = 0; i < operations_.size(); ++i) {
      if (operations_[i].outcome == Outcome::kAnswered && !done_[i]) return false;
    }
    return true;
  }
  bool MayComeNext(size_t index) const {
    if (done_[index] || operations_[index].outcome == Outcome::kFailed) return false;
    for (size_t i = 0; i < operations_.size(); ++i) {
      if (operations_[i].outcome != Outcome::kAnswered || done_[i]) continue;
      if (operations_[i].returned < operations_[index].invoked) return false;
    }
    return true;
  }

  const std::vector<Operation> operations_;
  const Model& model_;
  std::vector<bool> done_;
  std::map<std::string, typename Model::State> objects_;
};

std::string Number(RandomStream& random) { return absl::StrCat(random.Below(3)); }

struct Registers {
  using Model = Register;
  static Question Ask(RandomStream& random) {
    const uint64_t what = random.Below(4);
    if (what < 2) return {"read", {}};
    if (what == 2) return {"write", {Number(random)}};
    return {"cas", {Number(random), Number(random)}};
  }
};

struct KeyValues {
  using Model = KeyValue;
  static Question Ask(RandomStream& random) {
    const uint64_t what = random.Below(8);
    if (what < 3) return {"get", {}};
    if (what == 3) return {"put", {Number(random)}};
    if (what == 4) return {"cas", {Number(random), Number(random)}};
    if (what == 5) return {"delete", {}};
    return {"append", {Number(random)}};
  }
};

struct Counters {
  using Model = Counter;
  static Question Ask(RandomStream& random) {
    const uint64_t what = random.Below(4);
    if (what < 2) return {"get", {}};
    return {what == 2 ? "add" : "add_and_get", {absl::StrCat(random.Between(-1, 1))}};
  }
};

struct Queues {
  using Model = Queue;
  static Question Ask(RandomStream& random) {
    if (random.Below(2) == 0) return {"dequeue", {}};
    return {"enqueue", {Number(random)}};
  }
};

struct Locks {
  using Model = Lock;
  static Question Ask(RandomStream& random) {
    const uint64_t what = random.Below(5);
    return {what < 1 ? "acquire" : what < 3 ? "try_acquire" : "release", {random.Below(2) == 0 ? "ann" : "bob"}};
  }
};

std::string Text(const std::vector<Operation>& operations) {
  return absl::StrJoin(operations, "\n", [](std::string* out, const Operation& operation) {
    absl::StrAppend(out, "[", operation.invoked, ", ", operation.returned, "] ", ToString(operation));
  });
}

template <typename Questions>
class LinearizabilityPropertyTest : public ::testing::Test {
 protected:
  using Model = typename Questions::Model;

  static std::vector<Operation> Random(uint64_t seed) {
    RandomHistoryOptions options;
    options.operations = 2 + seed % 7;
    options.clients = 2 + seed % 5;
    options.objects = 1 + seed % 2;
    options.open = Probability::Ratio(seed % 4, 12);
    options.fail = Probability::Ratio(1, 20);
    options.wrong = Probability::Ratio(seed % 3, 6);
    options.wrong_answers = {"", "0", "1", "2", "12", "true", "false"};
    return RandomHistory<Model>(Model(), Questions::Ask, options, seed).Run();
  }

  static bool TryEveryOrder(const std::vector<Operation>& operations) {
    const Model model;
    return EveryOrder<Model>(operations, model).IsLinearizable();
  }

  // It is not linearizable, is without its last answer, and what it says of the longest linearization is so.
  static void CheckWindow(const BadWindow& window) {
    EXPECT_TRUE(window.is_shortest);
    EXPECT_FALSE(TryEveryOrder(window.operations));
    std::vector<Operation> without_last = window.operations;
    Operation* last = nullptr;
    for (Operation& operation : without_last) {
      if (operation.outcome != Outcome::kAnswered) continue;
      if (last == nullptr || operation.returned > last->returned) last = &operation;
    }
    ASSERT_NE(last, nullptr);
    last->outcome = Outcome::kOpen;
    last->returned = Operation::kNever;
    EXPECT_TRUE(TryEveryOrder(without_last));

    const Model model;
    typename Model::State state = model.Start();
    std::vector<size_t> indices;
    for (size_t i = 0; i < window.linearized.size(); ++i) {
      const Operation& operation = window.operations[window.linearized[i]];
      const std::optional<std::string> answer = model.Apply(operation, &state);
      ASSERT_TRUE(answer.has_value());
      if (operation.outcome == Outcome::kAnswered) {
        EXPECT_EQ(*answer, operation.answer);
      }
      EXPECT_EQ(window.states[i], ::testing::PrintToString(state));
      indices.push_back(window.linearized[i]);
    }
    for (const BadWindow::Missing& missing : window.missing) {
      indices.push_back(missing.operation);
      EXPECT_NE(missing.why, "");
    }
    std::vector<size_t> all(window.operations.size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = i;
    EXPECT_THAT(indices, ::testing::UnorderedElementsAreArray(all));
  }
};

using AllQuestions = ::testing::Types<Registers, KeyValues, Counters, Queues, Locks>;
TYPED_TEST_SUITE(LinearizabilityPropertyTest, AllQuestions);

TYPED_TEST(LinearizabilityPropertyTest, SaysWhatTryingEveryOrderSays) {
  std::map<Verdict, int> verdicts;
  int with_open = 0;
  for (uint64_t seed = 1; seed <= 1000 && !this->HasFailure(); ++seed) {
    const std::vector<Operation> operations = this->Random(seed);
    SCOPED_TRACE(absl::StrCat("seed ", seed, ":\n", Text(operations)));
    const Linearizability found = SearchLinearization(operations, typename TypeParam::Model());
    EXPECT_EQ(found.verdict == Verdict::kLinearizable, this->TryEveryOrder(operations));
    ++verdicts[found.verdict];
    for (const Operation& operation : operations) with_open += operation.outcome == Outcome::kOpen ? 1 : 0;
    if (found.window) this->CheckWindow(*found.window);
  }
  EXPECT_GT(verdicts[Verdict::kLinearizable], 300);
  EXPECT_GT(verdicts[Verdict::kNotLinearizable], 100);
  EXPECT_EQ(verdicts[Verdict::kGaveUp], 0);
  EXPECT_GT(with_open, 1000);
}

}  // namespace
}  // namespace tandem::testing
