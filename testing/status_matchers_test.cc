// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/status_matchers.h"

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest-spi.h"
#include "gtest/gtest.h"
#include "tandem/core/base/result.h"

namespace tandem::testing {
namespace {

using ::testing::AnyOf;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pointee;

absl::StatusOr<std::unique_ptr<int>> Make(int value) {
  if (value < 0) return absl::InvalidArgumentError("negative");
  return std::make_unique<int>(value);
}

TEST(StatusMatchersTest, IsOkTakesEveryKindOfResult) {
  EXPECT_THAT(absl::OkStatus(), IsOk());
  EXPECT_THAT(Make(1), IsOk());
  EXPECT_THAT(Make(-1), Not(IsOk()));
  EXPECT_THAT((IoResult{absl::OkStatus(), 3}), IsOk());
  EXPECT_THAT((IoResult{CancelledStatus(), 3}), Not(IsOk()));
  EXPECT_OK(absl::OkStatus());
  ASSERT_OK(Make(1));
}

TEST(StatusMatchersTest, IsOkAndHoldsTakesValuesAndMatchers) {
  EXPECT_THAT(absl::StatusOr<int>(5), IsOkAndHolds(5));
  EXPECT_THAT(absl::StatusOr<int>(5), IsOkAndHolds(Ge(4)));
  EXPECT_THAT(absl::StatusOr<int>(5), Not(IsOkAndHolds(6)));
  EXPECT_THAT(absl::StatusOr<int>(absl::UnknownError("")), Not(IsOkAndHolds(5)));
  EXPECT_THAT(Make(7), IsOkAndHolds(Pointee(7)));
}

TEST(StatusMatchersTest, StatusIsLooksAtCodeAndMessage) {
  EXPECT_THAT(Make(-1), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Make(-1), StatusIs(absl::StatusCode::kInvalidArgument, "negative"));
  EXPECT_THAT(Make(-1), StatusIs(AnyOf(absl::StatusCode::kInvalidArgument, absl::StatusCode::kOk), HasSubstr("neg")));
  EXPECT_THAT(Make(-1), Not(StatusIs(absl::StatusCode::kInvalidArgument, "positive")));
  EXPECT_THAT(Make(-1), Not(StatusIs(absl::StatusCode::kUnknown)));
  EXPECT_THAT((IoResult{CancelledStatus(), 3}), StatusIs(absl::StatusCode::kCancelled));
}

TEST(StatusMatchersTest, AssignMovesTheValue) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<int> value, Make(3));
  EXPECT_EQ(*value, 3);
  ASSERT_OK_AND_ASSIGN(value, Make(4));
  EXPECT_EQ(*value, 4);
}

TEST(StatusMatchersTest, FailuresShowTheStatus) {
  EXPECT_NONFATAL_FAILURE(EXPECT_OK(absl::UnavailableError("peer gone")), "UNAVAILABLE: peer gone");
  EXPECT_FATAL_FAILURE(ASSERT_OK_AND_ASSIGN(auto value, Make(-1)), "INVALID_ARGUMENT: negative");
}

}  // namespace
}  // namespace tandem::testing
