// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/linearizability.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/core/base/random.h"
#include "tandem/testing/history.h"
#include "tandem/testing/linearizability_models.h"
#include "tandem/testing/random_history_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Operation = History::Operation;
using Verdict = Linearizability::Verdict;

template <typename Model>
Verdict VerdictOn(const History& history, const Model& model) {
  return SearchLinearization(history.operations(), model).verdict;
}

// Asks and is answered with nothing in between.
template <typename... Arguments>
void Do(History* history, std::string answer, std::string name, const Arguments&... arguments) {
  history->Invoke("main", "x", std::move(name), arguments...).Return(answer);
}

// --- Registers ---

TEST(LinearizabilityTest, NothingIsLinearizable) {
  const Linearizability found = SearchLinearization({}, Register());

  EXPECT_EQ(found.verdict, Verdict::kLinearizable);
  EXPECT_EQ(found.steps, 0u);
}

TEST(LinearizabilityTest, AReadDuringAWriteHasTheOldValueOrTheNewOne) {
  for (const std::string value : {"1", "2", "3"}) {
    History history;
    Do(&history, "", "write", 1);
    History::Call write = history.Invoke("ann", "x", "write", 2);
    Do(&history, value, "read");
    write.Return();

    EXPECT_EQ(VerdictOn(history, Register()) == Verdict::kLinearizable, value != "3") << value;
  }
}

TEST(LinearizabilityTest, ANewValueIsNotFollowedByTheOldOne) {
  History history;
  Do(&history, "", "write", 1);
  History::Call write = history.Invoke("ann", "x", "write", 2);
  Do(&history, "2", "read");
  Do(&history, "1", "read");
  write.Return();

  EXPECT_EQ(VerdictOn(history, Register()), Verdict::kNotLinearizable);
}

TEST(LinearizabilityTest, AReadAfterAWriteIsNotStale) {
  History history;
  Do(&history, "", "write", 1);
  Do(&history, "", "write", 2);
  Do(&history, "1", "read");

  EXPECT_EQ(VerdictOn(history, Register()), Verdict::kNotLinearizable);
}

TEST(LinearizabilityTest, AnOpenWriteMayTakeEffectMuchLaterOrNever) {
  History history;
  (void)history.Invoke("ann", "x", "write", 1);
  Do(&history, "", "write", 2);
  Do(&history, "2", "read");
  EXPECT_EQ(VerdictOn(history, Register()), Verdict::kLinearizable);
  Do(&history, "1", "read");
  EXPECT_EQ(VerdictOn(history, Register()), Verdict::kLinearizable);
  Do(&history, "2", "read");
  EXPECT_EQ(VerdictOn(history, Register()), Verdict::kNotLinearizable) << "it takes effect once";
}

TEST(LinearizabilityTest, AnOpenWriteTakesNoEffectBeforeItBegins) {
  History history;
  Do(&history, "1", "read");
  (void)history.Invoke("ann", "x", "write", 1);

  EXPECT_EQ(VerdictOn(history, Register()), Verdict::kNotLinearizable);
}

TEST(LinearizabilityTest, TwoOpenWritesOfOneValueTakeEffectTwice) {
  History history;
  (void)history.Invoke("ann", "x", "write", 1);
  (void)history.Invoke("bob", "x", "write", 1);
  for (const int round : {1, 2, 3}) {
    Do(&history, "1", "read");
    Do(&history, "", "write", 2);
    EXPECT_EQ(VerdictOn(history, Register()), round < 3 ? Verdict::kLinearizable : Verdict::kNotLinearizable);
  }
}

TEST(LinearizabilityTest, AFailedWriteHasNoEffect) {
  History history;
  history.Invoke("ann", "x", "write", 1).Fail();
  Do(&history, "1", "read");

  EXPECT_EQ(VerdictOn(history, Register()), Verdict::kNotLinearizable);
}

TEST(LinearizabilityTest, AnOpenCasMustHaveTakenEffect) {
  for (const std::string second : {"true", "false"}) {
    History history;
    Do(&history, "", "write", 1);
    (void)history.Invoke("ann", "x", "cas", 1, 2);
    Do(&history, second, "cas", 2, 3);
    Do(&history, "3", "read");

    EXPECT_EQ(VerdictOn(history, Register()) == Verdict::kLinearizable, second == "true");
  }
}

TEST(LinearizabilityTest, ACasThatFailedHasReadAnotherValue) {
  History history;
  Do(&history, "", "write", 1);
  Do(&history, "false", "cas", 1, 2);

  EXPECT_EQ(VerdictOn(history, Register()), Verdict::kNotLinearizable);
}

TEST(LinearizabilityTest, ObjectsAreCheckedOneByOneTheSmallestFirst) {
  History history;
  for (int i = 0; i < 3; ++i) history.Invoke("ann", "a", "read").Return("wrong");
  for (int i = 0; i < 2; ++i) history.Invoke("ann", "b", "read").Return("wrong");
  for (int i = 0; i < 2; ++i) history.Invoke("ann", "c", "read").Return("wrong");

  const Linearizability found = SearchLinearization(history.operations(), Register());

  ASSERT_TRUE(found.window.has_value());
  EXPECT_EQ(found.window->object, "b");
}

// --- Other models ---

TEST(LinearizabilityTest, AKeyIsAppendedToOnce) {
  History history;
  Do(&history, "", "append", "a");
  (void)history.Invoke("ann", "x", "append", "b");
  Do(&history, "ab", "get");
  EXPECT_EQ(VerdictOn(history, KeyValue()), Verdict::kLinearizable);
  Do(&history, "abb", "get");
  EXPECT_EQ(VerdictOn(history, KeyValue()), Verdict::kNotLinearizable);
}

TEST(LinearizabilityTest, AKeyThatIsDeletedIsEmpty) {
  History history;
  Do(&history, "", "put", "a");
  Do(&history, "", "delete");
  Do(&history, "true", "cas", "", "b");
  Do(&history, "b", "get");
  EXPECT_EQ(VerdictOn(history, KeyValue()), Verdict::kLinearizable);
}

// The read of 0 is found to be right in two ways: after the first addition and bob's, or before both. After the first
// way nobody is left who makes it -2.
TEST(LinearizabilityTest, AnOpenAdditionThatWasNotNeededIsNotUsedUp) {
  History history;
  History::Call ann = history.Invoke("ann", "x", "add", -1);
  (void)history.Invoke("bob", "x", "add", 1);
  History::Call zero = history.Invoke("eve", "x", "get");
  ann.Return();
  zero.Return(0);
  History::Call less = history.Invoke("eve", "x", "get");
  (void)history.Invoke("ann", "x", "add", -1);
  less.Return(-2);

  EXPECT_EQ(VerdictOn(history, Counter()), Verdict::kLinearizable);
}

TEST(LinearizabilityTest, TwoAdditionsDoNotHaveTheSameSum) {
  History history;
  History::Call ann = history.Invoke("ann", "x", "add_and_get", 1);
  History::Call bob = history.Invoke("bob", "x", "add_and_get", 1);
  ann.Return(1);
  bob.Return(1);

  EXPECT_EQ(VerdictOn(history, Counter()), Verdict::kNotLinearizable);
}

TEST(LinearizabilityTest, ACounterWrapsAround) {
  History history;
  Do(&history, "", "add", "9223372036854775807");
  Do(&history, "-9223372036854775808", "add_and_get", 1);

  EXPECT_EQ(VerdictOn(history, Counter()), Verdict::kLinearizable);
}

TEST(LinearizabilityTest, AQueueGivesEachValueOnceAndInOrder) {
  for (const std::string second : {"a", "b", ""}) {
    History history;
    Do(&history, "", "enqueue", "a");
    Do(&history, "", "enqueue", "b");
    Do(&history, "a", "dequeue");
    Do(&history, second, "dequeue");

    EXPECT_EQ(VerdictOn(history, Queue()) == Verdict::kLinearizable, second == "b") << second;
  }
}

TEST(LinearizabilityTest, ALockHasOneOwner) {
  History history;
  History::Call ann = history.Invoke("ann", "x", "acquire", "ann");
  History::Call bob = history.Invoke("bob", "x", "acquire", "bob");
  ann.Return();
  Do(&history, "false", "try_acquire", "eve");
  EXPECT_EQ(VerdictOn(history, Lock()), Verdict::kLinearizable);
  bob.Return();
  EXPECT_EQ(VerdictOn(history, Lock()), Verdict::kNotLinearizable);
}

TEST(LinearizabilityTest, ALockOfOneWhoIsGoneMayBeReleasedOrNot) {
  History history;
  Do(&history, "", "acquire", "ann");
  (void)history.Invoke("ann", "x", "release", "ann");
  Do(&history, "false", "try_acquire", "bob");
  Do(&history, "true", "try_acquire", "bob");
  EXPECT_EQ(VerdictOn(history, Lock()), Verdict::kLinearizable);
  Do(&history, "", "release", "ann");
  EXPECT_EQ(VerdictOn(history, Lock()), Verdict::kNotLinearizable) << "ann does not have it any more";
}

// The model of the comment in linearizability.h.
struct Highest {
  using State = int64_t;
  State Start() const { return 0; }
  std::optional<std::string> Apply(const Operation& operation, State* state) const {
    if (operation.name == "read") return absl::StrCat(*state);
    int64_t value = 0;
    if (!absl::SimpleAtoi(operation.arguments[0], &value)) return std::nullopt;
    *state = std::max(*state, value);
    return "";
  }
};

TEST(LinearizabilityTest, AModelOfOnesOwn) {
  History history;
  Do(&history, "", "write", 5);
  Do(&history, "", "write", 3);
  Do(&history, "5", "read");
  EXPECT_OK(CheckLinearizable(history.operations(), Highest()));
  Do(&history, "3", "read");
  EXPECT_THAT(CheckLinearizable(history.operations(), Highest()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("read(x) -> 3")));
}

// A model of several objects at once: what moves between accounts is an operation on the bank.
struct Bank {
  using State = std::map<std::string, int>;
  State Start() const { return {{"a", 1}, {"b", 1}}; }
  std::optional<std::string> Apply(const Operation& operation, State* state) const {
    if (operation.name == "sum") return absl::StrCat((*state)["a"] + (*state)["b"]);
    --(*state)[operation.arguments[0]];
    ++(*state)[operation.arguments[1]];
    return "";
  }
};

TEST(LinearizabilityTest, ATransactionIsAnOperationOnTheWhole) {
  History history;
  History::Call move = history.Invoke("ann", "bank", "move", "a", "b");
  history.Invoke("bob", "bank", "sum").Return(2);
  move.Return();
  EXPECT_OK(CheckLinearizable(history.operations(), Bank()));
  history.Invoke("bob", "bank", "sum").Return(1);
  EXPECT_THAT(CheckLinearizable(history.operations(), Bank()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("(\"a\", 0)")));
}

TEST(LinearizabilityDeathTest, AnOperationThatTheModelDoesNotHave) {
  History history;
  Do(&history, "", "wriet", 1);

  EXPECT_DEATH((void)SearchLinearization(history.operations(), Register()), "no operation \"wriet\" with 1 arguments");
}

// --- The window ---

TEST(LinearizabilityTest, TheWindowEndsWithTheAnswerThatCannotBe) {
  History history;
  Do(&history, "", "write", 1);
  (void)history.Invoke("ann", "x", "cas", 7, 8);
  History::Call write = history.Invoke("bob", "x", "write", 2);
  Do(&history, "2", "read");
  Do(&history, "1", "read");
  write.Return();
  Do(&history, "2", "read");

  const Linearizability found = SearchLinearization(history.operations(), Register());

  ASSERT_TRUE(found.window.has_value());
  EXPECT_EQ(found.window->operations.size(), 5u);
  EXPECT_THAT(found.window->linearized, ElementsAre(0, 2, 3));
  EXPECT_THAT(found.window->states, ElementsAre("\"1\"", "\"2\"", "\"2\""));
  EXPECT_EQ(
      found.window->ToString(),
      R"("x" is not linearizable: no order explains main: read(x) -> 1 in [6, 7], the last to return of the first 5 of its 6 operations
  The longest linearization has 3 of them:
    [0, 1]         main: write(x, 1)                        then it is "1"
    [3, ...]       bob: write(x, 2) -> ?                    then it is "2"
    [4, 5]         main: read(x) -> 2                       then it is "2"
  None of the others can come next:
    [6, 7]         main: read(x) -> 1                       would answer 2
    [2, ...]       ann: cas(x, 7, 8) -> ?                   would change nothing
)");
}

TEST(LinearizabilityTest, OfOneImpossibleOperationThereIsNoLinearization) {
  History history;
  Do(&history, "7", "read");
  Do(&history, "", "write", 1);

  const Linearizability found = SearchLinearization(history.operations(), Register());

  ASSERT_TRUE(found.window.has_value());
  EXPECT_EQ(found.window->ToString(),
            R"("x" is not linearizable: no order explains main: read(x) -> 7 in [0, 1], the first of its 2 operations
  None can come first:
    [0, 1]         main: read(x) -> 7                       would answer nil
)");
}

// At the return that the search cannot pass it is not known yet what the cas will say: it may have succeeded.
TEST(LinearizabilityTest, TheWindowMayBeLongerThanTheSearchCame) {
  History history;
  Do(&history, "", "write", 1);
  History::Call cas = history.Invoke("ann", "x", "cas", 1, 2);
  Do(&history, "2", "read");
  Do(&history, "2", "read");
  cas.Return("false");
  Do(&history, "2", "read");

  const Linearizability found = SearchLinearization(history.operations(), Register());

  ASSERT_TRUE(found.window.has_value());
  EXPECT_EQ(found.window->operations.size(), 4u);
  EXPECT_EQ(found.window->of_operations, 5u);
  EXPECT_EQ(found.window->operations[1].answer, "false");
  EXPECT_THAT(found.window->ToString(), HasSubstr("began when main: read(x) -> 2 had returned, which is missing"));
}

TEST(LinearizabilityTest, OfALongLinearizationTheEndIsShown) {
  History history;
  for (int i = 0; i < 100; ++i) Do(&history, "", "write", i);
  for (int i = 0; i < 20; ++i) (void)history.Invoke("ann", "x", "cas", -1, i);
  Do(&history, "-1", "read");

  const std::string text = SearchLinearization(history.operations(), Register()).window->ToString();

  EXPECT_THAT(text, HasSubstr("has 100 of them, the last 12 are:\n    [176, 177] "));
  EXPECT_THAT(text, HasSubstr("and 9 more\n"));
}

TEST(LinearizabilityTest, OfALongAnswerTheEndsAreShown) {
  History history;
  Do(&history, "", "put", std::string(1000, 'a'));
  Do(&history, "b", "get");

  const std::string text = SearchLinearization(history.operations(), KeyValue()).window->ToString();

  EXPECT_THAT(text, HasSubstr("would answer aaa"));
  EXPECT_THAT(text, HasSubstr("aaa ... aaa"));
  EXPECT_LT(text.size(), 1500u);
}

// --- Limits ---

// One write that is read of many that are open: their order is what the search has to find.
std::vector<Operation> Hard() {
  History history;
  for (int i = 0; i < 12; ++i) (void)history.Invoke("ann", "hard", "append", i);
  history.Invoke("bob", "hard", "get").Return("never");
  return history.operations();
}

TEST(LinearizabilityTest, ALimitEndsTheSearch) {
  for (const LinearizabilityLimits& limits :
       {LinearizabilityLimits{.steps_max = 1000}, LinearizabilityLimits{.situations_max = 1000}}) {
    const Linearizability found = SearchLinearization(Hard(), KeyValue(), limits);

    EXPECT_EQ(found.verdict, Verdict::kGaveUp);
    EXPECT_LE(found.steps, 100'000u);
    EXPECT_THAT(found.ToStatus(), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("\"hard\"")));
  }
}

TEST(LinearizabilityTest, AfterGivingUpTheOtherObjectsAreChecked) {
  std::vector<Operation> operations = Hard();
  History history;
  for (int i = 0; i < 20; ++i) history.Invoke("ann", "easy", "get").Return(i < 19 ? "" : "wrong");
  for (const Operation& operation : history.operations()) operations.push_back(operation);

  const Linearizability found = SearchLinearization(operations, KeyValue(), {.steps_max = 1000});

  EXPECT_EQ(found.verdict, Verdict::kNotLinearizable);
  EXPECT_THAT(found.gave_up_on, ElementsAre("hard"));
  EXPECT_EQ(found.window->object, "easy");
}

// --- Long histories ---

// Each open write may have taken effect or not, which makes 2^40 sets of them.
TEST(LinearizabilityTest, AStaleReadBehindManyOpenWritesIsFoundInFewSteps) {
  History history;
  for (int i = 0; i < 40; ++i) (void)history.Invoke("ann", "x", "write", i);
  Do(&history, "", "write", "a");
  Do(&history, "", "write", "b");
  Do(&history, "17", "read");
  Do(&history, "a", "read");
  Do(&history, "b", "read");

  const Linearizability found = SearchLinearization(history.operations(), Register());

  EXPECT_EQ(found.verdict, Verdict::kNotLinearizable);
  EXPECT_LE(found.steps, 20'000u);
}

Question AskRegister(RandomStream& random) {
  const uint64_t what = random.Below(4);
  if (what < 2) return {"read", {}};
  if (what == 2) return {"write", {absl::StrCat(random.Below(5))}};
  return {"cas", {absl::StrCat(random.Below(5)), absl::StrCat(random.Below(5))}};
}

Question AskQueue(RandomStream& random) {
  if (random.Below(5) < 3) return {"dequeue", {}};
  return {"enqueue", {absl::StrCat(random.Below(100))}};
}

RandomHistoryOptions Long() {
  RandomHistoryOptions options;
  options.operations = 10'000;
  options.clients = 10;
  options.objects = 20;
  options.open = Probability::Ratio(1, 100);
  options.wrong_answers = {"9"};
  return options;
}

TEST(LinearizabilityTest, TenThousandOperationsAreCheckedInFewSteps) {
  const Register model;
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    const auto operations = RandomHistory<Register>(model, AskRegister, Long(), seed).Run();
    ASSERT_EQ(operations.size(), 10'000u);

    const Linearizability found = SearchLinearization(operations, model);

    EXPECT_OK(found.ToStatus());
    EXPECT_LE(found.steps, 12'000u) << seed;
    if (seed == 1) {
      EXPECT_EQ(found.steps, 10'897u) << "they are the same on every machine";
    }
  }
}

TEST(LinearizabilityTest, OneObjectOfTenThousandOperationsIsCheckedInFewSteps) {
  RandomHistoryOptions options = Long();
  options.objects = 1;
  const Register model;
  const auto operations = RandomHistory<Register>(model, AskRegister, options, 1).Run();

  const Linearizability found = SearchLinearization(operations, model);

  EXPECT_OK(found.ToStatus());
  EXPECT_LE(found.steps, 1'000'000u);
}

TEST(LinearizabilityTest, AQueueOfAThousandOperationsIsCheckedInFewSteps) {
  RandomHistoryOptions options = Long();
  options.operations = 1000;
  options.clients = 5;
  options.objects = 1;
  options.open = Probability();
  const Queue model;
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    const auto operations = RandomHistory<Queue>(model, AskQueue, options, seed).Run();

    const Linearizability found = SearchLinearization(operations, model, {.steps_max = 1'000'000});

    EXPECT_OK(found.ToStatus());
    EXPECT_LE(found.steps, 30'000u);
  }
}

TEST(LinearizabilityTest, AStaleReadAmongTenThousandOperationsIsFoundInFewSteps) {
  const Register model;
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    auto operations = RandomHistory<Register>(model, AskRegister, Long(), seed).Run();
    const auto read = std::find_if(operations.begin() + 5000, operations.end(), [](const Operation& operation) {
      return operation.name == "read" && operation.outcome == Operation::Outcome::kAnswered;
    });
    read->answer = "9";

    const Linearizability found = SearchLinearization(operations, model);

    ASSERT_TRUE(found.window.has_value());
    EXPECT_EQ(found.window->object, read->object);
    EXPECT_LE(found.steps, 15'000u) << seed;
  }
}

}  // namespace
}  // namespace tandem::testing
