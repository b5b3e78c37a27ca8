// SPDX-License-Identifier: Apache-2.0
//
// Assertions for coroutines: as googletest's, which return from the function they are in and so work in no coroutine.
//
//   Task<absl::Status> RunClient() {
//     CO_ASSERT_OK_AND_ASSIGN(TcpStream stream, co_await TcpStream::Connect(address));
//     CO_ASSERT_OK(co_await stream.WriteAll("ping"));
//     CO_ASSERT_EQ(co_await Reply(&stream), "pong") << "after a restart";
//     co_return absl::OkStatus();
//   }
//
// One that fails is a fatal failure of the test, and the coroutine returns: nothing from a Task<void>, kAborted with
// the place from one whose result can be made of a status, and else a result without arguments. It ends no other
// coroutine.

#ifndef TANDEM_TESTING_CO_ASSERT_H_
#define TANDEM_TESTING_CO_ASSERT_H_

#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {

// A failure in a Task<T>: reports it when it is assigned its message, and gives what the coroutine returns.
template <typename T>
class CoFailure {
 public:
  CoFailure(const char* file, int line, const char* summary) : file_(file), line_(line), summary_(summary) {}

  // NOLINTNEXTLINE(misc-unconventional-assign-operator): so that `=` comes after what is streamed.
  T operator=(const ::testing::Message& message) const {
    ::testing::internal::AssertHelper(::testing::TestPartResult::kFatalFailure, file_, line_, summary_) = message;
    if constexpr (std::is_constructible_v<T, absl::Status>) {
      return T(absl::AbortedError(absl::StrCat("an assertion failed at ", file_, ":", line_)));
    } else {
      return T();
    }
  }

 private:
  const char* const file_;
  const int line_;
  const char* const summary_;
};

template <typename T>
CoFailure<T> MakeCoFailure(std::type_identity<T>, const char* file, int line, const char* summary) {
  return CoFailure<T>(file, line, summary);
}

}  // namespace tandem::testing

#define TANDEM_CO_FAILURE(summary)                                                                                     \
  co_return ::tandem::testing::MakeCoFailure(co_await ::tandem::internal::ThisResult{}, __FILE__, __LINE__, summary) = \
      ::testing::Message()

#define CO_FAIL() TANDEM_CO_FAILURE("Failed")
#define CO_ASSERT_TRUE(condition) GTEST_TEST_BOOLEAN_(condition, #condition, false, true, TANDEM_CO_FAILURE)
#define CO_ASSERT_FALSE(condition) GTEST_TEST_BOOLEAN_(!(condition), #condition, true, false, TANDEM_CO_FAILURE)
#define CO_ASSERT_EQ(a, b) GTEST_PRED_FORMAT2_(::testing::internal::EqHelper::Compare, a, b, TANDEM_CO_FAILURE)
#define CO_ASSERT_NE(a, b) GTEST_PRED_FORMAT2_(::testing::internal::CmpHelperNE, a, b, TANDEM_CO_FAILURE)
#define CO_ASSERT_LT(a, b) GTEST_PRED_FORMAT2_(::testing::internal::CmpHelperLT, a, b, TANDEM_CO_FAILURE)
#define CO_ASSERT_LE(a, b) GTEST_PRED_FORMAT2_(::testing::internal::CmpHelperLE, a, b, TANDEM_CO_FAILURE)
#define CO_ASSERT_GT(a, b) GTEST_PRED_FORMAT2_(::testing::internal::CmpHelperGT, a, b, TANDEM_CO_FAILURE)
#define CO_ASSERT_GE(a, b) GTEST_PRED_FORMAT2_(::testing::internal::CmpHelperGE, a, b, TANDEM_CO_FAILURE)
#define CO_ASSERT_THAT(value, matcher) \
  GTEST_PRED_FORMAT1_(::testing::internal::MakePredicateFormatterFromMatcher(matcher), value, TANDEM_CO_FAILURE)
#define CO_ASSERT_OK(expression) CO_ASSERT_THAT(expression, ::tandem::testing::IsOk())

// Evaluates `expression`, a StatusOr, and moves its value into `target`, which may be a declaration.
#define CO_ASSERT_OK_AND_ASSIGN(target, expression) \
  TANDEM_CO_ASSERT_OK_AND_ASSIGN(TANDEM_CONCATENATE(tandem_status_or_, __LINE__), target, expression)

#define TANDEM_CO_ASSERT_OK_AND_ASSIGN(result, target, expression) \
  auto result = (expression);                                      \
  CO_ASSERT_TRUE(result.ok()) << result.status();                  \
  target = *std::move(result)

#endif  // TANDEM_TESTING_CO_ASSERT_H_
