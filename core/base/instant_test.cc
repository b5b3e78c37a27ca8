// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/base/instant.h"

#include <limits>

#include "absl/hash/hash_testing.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

constexpr Instant At(int64_t ns) { return Instant::FromNanoseconds(ns); }

TEST(InstantTest, OrdersByTime) {
  EXPECT_LT(At(1), At(2));
  EXPECT_EQ(At(7), At(7));
  EXPECT_LT(Instant::InfinitePast(), At(std::numeric_limits<int64_t>::min() + 1));
  EXPECT_GT(Instant::InfiniteFuture(), At(std::numeric_limits<int64_t>::max() - 1));
}

TEST(InstantTest, StartsAtZero) { EXPECT_EQ(Instant(), At(0)); }

TEST(InstantTest, AddsAndSubtractsDurations) {
  EXPECT_EQ(At(10) + absl::Nanoseconds(5), At(15));
  EXPECT_EQ(At(10) - absl::Nanoseconds(15), At(-5));
  EXPECT_EQ(At(1'000'000'007) - At(7), absl::Seconds(1));
  EXPECT_EQ(At(7) - At(1'000'000'007), -absl::Seconds(1));
}

TEST(InstantTest, CompoundAdditionMovesTheInstant) {
  Instant instant = At(1);
  instant += absl::Microseconds(1);
  EXPECT_EQ(instant, At(1001));
}

TEST(InstantTest, SumThatDoesNotFitBecomesInfinite) {
  EXPECT_EQ(At(std::numeric_limits<int64_t>::max() - 1) + absl::Seconds(1), Instant::InfiniteFuture());
  EXPECT_EQ(At(std::numeric_limits<int64_t>::min() + 1) - absl::Seconds(1), Instant::InfinitePast());
}

TEST(InstantTest, InfiniteDurationGivesAnInfiniteInstantFromEverywhere) {
  for (const int64_t ns : {int64_t{-5}, int64_t{0}, int64_t{5}, int64_t{1} << 60, -(int64_t{1} << 60)}) {
    EXPECT_EQ(At(ns) + absl::InfiniteDuration(), Instant::InfiniteFuture()) << ns;
    EXPECT_EQ(At(ns) - absl::InfiniteDuration(), Instant::InfinitePast()) << ns;
  }
}

TEST(InstantTest, InfiniteInstantsStayInfinite) {
  EXPECT_EQ(Instant::InfiniteFuture() - absl::Hours(1), Instant::InfiniteFuture());
  EXPECT_EQ(Instant::InfiniteFuture() - absl::InfiniteDuration(), Instant::InfiniteFuture());
  EXPECT_EQ(Instant::InfinitePast() + absl::Hours(1), Instant::InfinitePast());
}

TEST(InstantTest, DistanceFromAnInfiniteInstantIsInfinite) {
  EXPECT_EQ(Instant::InfiniteFuture() - At(5), absl::InfiniteDuration());
  EXPECT_EQ(At(5) - Instant::InfinitePast(), absl::InfiniteDuration());
  EXPECT_EQ(At(5) - Instant::InfiniteFuture(), -absl::InfiniteDuration());
  EXPECT_EQ(Instant::InfinitePast() - At(5), -absl::InfiniteDuration());
}

TEST(InstantTest, DistanceOfExtremesDoesNotOverflow) {
  const Instant early = At(std::numeric_limits<int64_t>::min() + 1);
  const Instant late = At(std::numeric_limits<int64_t>::max() - 1);
  EXPECT_EQ(late - early, absl::Nanoseconds(late.nanoseconds()) - absl::Nanoseconds(early.nanoseconds()));
  EXPECT_GT(late - early, absl::Hours(24 * 365 * 500));
}

TEST(InstantTest, HashesLikeItCompares) {
  EXPECT_TRUE(absl::VerifyTypeImplementsAbslHashCorrectly({Instant(), Instant::FromNanoseconds(1),
                                                           Instant::FromNanoseconds(-1), Instant::InfiniteFuture(),
                                                           Instant::InfinitePast(), Instant() + absl::Hours(1)}));
}

TEST(InstantTest, TextIsTheTimeSinceTheStartOfTheClock) {
  EXPECT_EQ(absl::StrCat(Instant::FromNanoseconds(3'723'004'000'000)), "1h2m3.004s");
  EXPECT_EQ(absl::StrCat(Instant()), "0");
  EXPECT_EQ(absl::StrCat(Instant::InfiniteFuture()), "inf");
  EXPECT_EQ(absl::StrCat(Instant::InfinitePast()), "-inf");
  EXPECT_EQ(::testing::PrintToString(Instant::FromNanoseconds(3'723'004'000'000)), "1h2m3.004s");
}

}  // namespace
}  // namespace tandem
