// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/co_assert.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest-spi.h"
#include "gtest/gtest.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/runtime/runtime.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

using ::testing::HasSubstr;

int reached = 0;
absl::Status ended;
const absl::Status kBroken = absl::UnavailableError("broken");

template <typename T>
T RunTask(Task<T> task) {
  Runtime runtime;
  return runtime.BlockOn(std::move(task));
}

Task<absl::Status> EndWith(absl::Status status) {
  (void)co_await Sleep(absl::Milliseconds(1));
  co_return status;
}

Task<absl::StatusOr<std::unique_ptr<int>>> Make(absl::Status status) {
  (void)co_await Sleep(absl::Milliseconds(1));
  if (!status.ok()) co_return status;
  co_return std::make_unique<int>(5);
}

// --- What holds ---

Task<absl::Status> AllHold() {
  CO_ASSERT_TRUE(true);
  CO_ASSERT_FALSE(false) << "not shown";
  CO_ASSERT_EQ(1 + 1, 2);
  CO_ASSERT_NE(1, 2);
  CO_ASSERT_LT(1, 2);
  CO_ASSERT_LE(2, 2);
  CO_ASSERT_GT(2, 1);
  CO_ASSERT_GE(2, 2);
  CO_ASSERT_THAT(std::string("text"), HasSubstr("ex"));
  CO_ASSERT_OK(co_await EndWith(absl::OkStatus()));
  CO_ASSERT_OK_AND_ASSIGN(std::unique_ptr<int> five, co_await Make(absl::OkStatus()));
  CO_ASSERT_EQ(*five, 5);
  ++reached;
  co_return absl::OkStatus();
}

// The smallest coroutine: it has no variable of its own.
Task<absl::Status> AwaitsInAnAssertion() {
  CO_ASSERT_OK(co_await EndWith(absl::OkStatus()));
  co_return absl::OkStatus();
}

TEST(CoAssertTest, WhatHoldsGoesOn) {
  reached = 0;
  EXPECT_OK(RunTask(AllHold()));
  EXPECT_EQ(reached, 1);
  EXPECT_OK(RunTask(AwaitsInAnAssertion()));
}

// --- What does not ---

// A task of one assertion, for EXPECT_FATAL_FAILURE.
#define TASK_THAT_FAILS(name, ...)  \
  Task<absl::Status> name##Task() { \
    ++reached;                      \
    __VA_ARGS__;                    \
    ++reached;                      \
    co_return absl::OkStatus();     \
  }                                 \
  void name() { ended = RunTask(name##Task()); }

TASK_THAT_FAILS(FailTrue, CO_ASSERT_TRUE(1 > 2) << "in the " << 3 << "rd round")
TASK_THAT_FAILS(FailFalse, CO_ASSERT_FALSE(2 > 1))
TASK_THAT_FAILS(FailEq, CO_ASSERT_EQ(1, 2))
TASK_THAT_FAILS(FailNe, CO_ASSERT_NE(1, 1))
TASK_THAT_FAILS(FailLt, CO_ASSERT_LT(1, 1))
TASK_THAT_FAILS(FailLe, CO_ASSERT_LE(2, 1))
TASK_THAT_FAILS(FailGt, CO_ASSERT_GT(1, 1))
TASK_THAT_FAILS(FailGe, CO_ASSERT_GE(1, 2))
TASK_THAT_FAILS(FailThat, CO_ASSERT_THAT(std::string("text"), HasSubstr("no")))
TASK_THAT_FAILS(FailOk, CO_ASSERT_OK(co_await EndWith(kBroken)))
TASK_THAT_FAILS(FailAssign, CO_ASSERT_OK_AND_ASSIGN([[maybe_unused]] std::unique_ptr<int> five, co_await Make(kBroken)))
TASK_THAT_FAILS(FailAlways, CO_FAIL() << "as it should")

// Each has failed the test, and its coroutine has returned there.
#define EXPECT_CO_FAILURE(function, text)                                                                              \
  do {                                                                                                                 \
    reached = 0;                                                                                                       \
    EXPECT_FATAL_FAILURE(function(), text);                                                                            \
    EXPECT_EQ(reached, 1);                                                                                             \
    EXPECT_THAT(ended,                                                                                                 \
                StatusIs(absl::StatusCode::kAborted, HasSubstr("an assertion failed at testing/co_assert_test.cc:"))); \
  } while (false)

TEST(CoAssertTest, WhatDoesNotHoldFailsTheTestAndReturns) {
  EXPECT_CO_FAILURE(FailTrue, "in the 3rd round");
  EXPECT_CO_FAILURE(FailTrue, "Value of: 1 > 2");
  EXPECT_CO_FAILURE(FailFalse, "Expected: false");
  EXPECT_CO_FAILURE(FailEq, "Expected equality of these values");
  EXPECT_CO_FAILURE(FailNe, "Expected: (1) != (1)");
  EXPECT_CO_FAILURE(FailLt, "Expected: (1) < (1)");
  EXPECT_CO_FAILURE(FailLe, "Expected: (2) <= (1)");
  EXPECT_CO_FAILURE(FailGt, "Expected: (1) > (1)");
  EXPECT_CO_FAILURE(FailGe, "Expected: (1) >= (2)");
  EXPECT_CO_FAILURE(FailThat, "Expected: has substring \"no\"");
  EXPECT_CO_FAILURE(FailOk, "broken");
  EXPECT_CO_FAILURE(FailAssign, "broken");
  EXPECT_CO_FAILURE(FailAlways, "as it should");
}

// --- Results of other types ---

Task<void> FailInVoid() {
  CO_ASSERT_TRUE(false);
  ++reached;
}
Task<absl::StatusOr<int>> FailInStatusOr() {
  CO_ASSERT_TRUE(false);
  co_return 1;
}
Task<int> FailInInt() {
  CO_ASSERT_TRUE(false);
  co_return 1;
}
Task<IoResult> FailInIoResult() {
  CO_ASSERT_TRUE(false);
  co_return IoResult();
}

TEST(CoAssertTest, EveryTaskCanFail) {
  reached = 0;
  EXPECT_FATAL_FAILURE(RunTask(FailInVoid()), "Value of: false");
  EXPECT_EQ(reached, 0);
  static absl::StatusOr<int> status_or;
  EXPECT_FATAL_FAILURE(status_or = RunTask(FailInStatusOr()), "Value of: false");
  EXPECT_THAT(status_or, StatusIs(absl::StatusCode::kAborted));
  static int number = 7;
  EXPECT_FATAL_FAILURE(number = RunTask(FailInInt()), "Value of: false");
  EXPECT_EQ(number, 0);
  EXPECT_FATAL_FAILURE((void)RunTask(FailInIoResult()), "Value of: false");
}

}  // namespace
}  // namespace tandem::testing
