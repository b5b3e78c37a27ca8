// SPDX-License-Identifier: Apache-2.0
//
// Matchers and assertions for absl::Status, absl::StatusOr<T> and tandem::IoResult.
//
//   EXPECT_OK(stream.Close());
//   ASSERT_OK_AND_ASSIGN(TcpStream stream, Connect(address));
//   EXPECT_THAT(Read(), IsOkAndHolds(5));
//   EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("reset")));
//
// The ASSERT_ forms return from the function they are in, so they do not work in a coroutine.

#ifndef TANDEM_TESTING_STATUS_MATCHERS_H_
#define TANDEM_TESTING_STATUS_MATCHERS_H_

#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tandem/core/base/result.h"

namespace tandem::testing {

// Says which status `value` has, unless it is one: then gtest has said so already.
template <typename T>
void ExplainStatus(const T& value, ::testing::MatchResultListener* listener) {
  if constexpr (!std::is_same_v<T, absl::Status>) *listener << "which is " << StatusOf(value).ToString();
}

MATCHER(IsOk, negation ? "is not OK" : "is OK") {
  ExplainStatus(arg, result_listener);
  return StatusOf(arg).ok();
}

// Matches a StatusOr that is OK and whose value matches `value`, which is a value or a matcher.
MATCHER_P(IsOkAndHolds, value, negation ? "is not OK or has another value" : "is OK and has the value") {
  if (!arg.ok()) {
    *result_listener << "which is " << arg.status().ToString();
    return false;
  }
  return ::testing::ExplainMatchResult(value, *arg, result_listener);
}

// Matches by code and message; both may be values or matchers.
MATCHER_P2(StatusIs, code, message, negation ? "has another status" : "has the status") {
  const absl::Status& status = StatusOf(arg);
  ExplainStatus(arg, result_listener);
  return ::testing::Matches(code)(status.code()) && ::testing::Matches(message)(status.message());
}

// Matches by code alone.
MATCHER_P(StatusIs, code, negation ? "has another status code" : "has the status code") {
  ExplainStatus(arg, result_listener);
  return ::testing::Matches(code)(StatusOf(arg).code());
}

}  // namespace tandem::testing

#define EXPECT_OK(expression) EXPECT_THAT(expression, ::tandem::testing::IsOk())
#define ASSERT_OK(expression) ASSERT_THAT(expression, ::tandem::testing::IsOk())

// Evaluates `expression`, a StatusOr, and moves its value into `target`, which may be a declaration.
#define ASSERT_OK_AND_ASSIGN(target, expression) \
  TANDEM_ASSERT_OK_AND_ASSIGN(TANDEM_CONCATENATE(tandem_status_or_, __LINE__), target, expression)

#define TANDEM_ASSERT_OK_AND_ASSIGN(result, target, expression) \
  auto result = (expression);                                   \
  ASSERT_TRUE(result.ok()) << result.status();                  \
  target = *std::move(result)

#define TANDEM_CONCATENATE(a, b) TANDEM_CONCATENATE_EXPANDED(a, b)
#define TANDEM_CONCATENATE_EXPANDED(a, b) a##b

#endif  // TANDEM_TESTING_STATUS_MATCHERS_H_
