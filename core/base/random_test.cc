// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/base/random.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

namespace tandem {
namespace {

// The numbers were computed by another implementation. Changing one of them changes what every seed means.
TEST(RandomTest, HashesArePinned) {
  EXPECT_EQ(MixBits(0), 0u);
  EXPECT_EQ(MixBits(1), 0x5692161d100b05e5u);
  EXPECT_EQ(HashCombine(1, 2), 0xeea5afb876290143u);
  EXPECT_EQ(HashCombine(2, 1), 0x46bad70204011dadu);
  EXPECT_EQ(HashName(""), 0xf52a15e9a9b5e89bu);
  EXPECT_EQ(HashName("retry"), 0xc17e23a8a9f052a1u);
}

TEST(RandomTest, StreamIsPinned) {
  RandomStream stream(42);
  EXPECT_EQ(stream.Next(), 0x9f593507f692e374u);
  EXPECT_EQ(stream.Next(), 0x42d3dd78b961a8cfu);
  EXPECT_EQ(stream.Next(), 0x371d1da51cccf6d9u);
  EXPECT_EQ(stream.Next(), 0xe39e00e0f9649c3du);
}

TEST(RandomTest, BelowIsPinned) {
  RandomStream stream(42);
  for (const uint64_t expected : {62u, 26u, 21u, 88u, 31u, 49u, 61u, 38u}) EXPECT_EQ(stream.Below(100), expected);
}

TEST(RandomTest, ChildDoesNotDependOnHowFarItsParentWasDrawn) {
  RandomStream drawn(42);
  drawn.Next();
  RandomStream child = drawn.Child(7);

  EXPECT_EQ(child.key(), RandomStream(42).Child(7).key());
  EXPECT_EQ(child.Next(), 0xdc6e3e53db3fa956u);
}

TEST(RandomTest, CopyKeepsThePosition) {
  RandomStream stream(1);
  stream.Next();
  RandomStream copy = stream;
  EXPECT_EQ(copy.Next(), stream.Next());
}

TEST(RandomTest, BelowCoversItsRangeEvenly) {
  RandomStream stream(3);
  std::array<int, 10> counts = {};
  for (int i = 0; i < 10'000; ++i) ++counts[stream.Below(10)];
  for (const int count : counts) {
    EXPECT_GT(count, 850);
    EXPECT_LT(count, 1150);
  }
}

TEST(RandomTest, BelowOneIsAlwaysZero) {
  RandomStream stream(3);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(stream.Below(1), 0u);
}

TEST(RandomTest, BetweenIncludesBothEnds) {
  RandomStream stream(4);
  int64_t low = 100;
  int64_t high = -100;
  for (int i = 0; i < 1000; ++i) {
    const int64_t value = stream.Between(-3, 3);
    low = std::min(low, value);
    high = std::max(high, value);
  }
  EXPECT_EQ(low, -3);
  EXPECT_EQ(high, 3);
}

TEST(RandomTest, BetweenOfOneValueAndOfAllValues) {
  RandomStream stream(5);
  EXPECT_EQ(stream.Between(9, 9), 9);
  const int64_t min = std::numeric_limits<int64_t>::min();
  const int64_t max = std::numeric_limits<int64_t>::max();
  const int64_t first = stream.Between(min, max);
  EXPECT_NE(stream.Between(min, max), first);
}

TEST(RandomTest, ReduceToRangeStaysBelowTheBound) {
  EXPECT_EQ(ReduceToRange(0, 7), 0u);
  EXPECT_EQ(ReduceToRange(~uint64_t{0}, 7), 6u);
  EXPECT_EQ(ReduceToRange(~uint64_t{0}, ~uint64_t{0}), ~uint64_t{0} - 1);
}

TEST(ProbabilityTest, NeverAndAlwaysAreExact) {
  EXPECT_TRUE(Probability().is_never());
  EXPECT_FALSE(Probability().Hits(0));
  EXPECT_TRUE(Probability::Always().Hits(0));
  EXPECT_TRUE(Probability::Always().Hits(~uint64_t{0}));
  EXPECT_TRUE(Probability::Ratio(0, 5).is_never());
  EXPECT_FALSE(Probability::Ratio(1, ~uint64_t{0}).is_never());
  EXPECT_TRUE(Probability::Ratio(5, 5).Hits(~uint64_t{0}));
}

TEST(ProbabilityTest, HalfSplitsInTheMiddle) {
  const Probability half = Probability::Ratio(1, 2);
  EXPECT_TRUE(half.Hits((uint64_t{1} << 63) - 1));
  EXPECT_FALSE(half.Hits(uint64_t{1} << 63));
}

TEST(ProbabilityTest, RatioIsMetInTheLongRun) {
  RandomStream stream(6);
  int hits = 0;
  for (int i = 0; i < 10'000; ++i) hits += stream.Chance(Probability::Ratio(1, 10)) ? 1 : 0;
  EXPECT_GT(hits, 850);
  EXPECT_LT(hits, 1150);
}

TEST(RandomDeathTest, EmptyRangesAreBugs) {
  RandomStream stream(1);
  EXPECT_DEATH(stream.Below(0), "bound > 0");
  EXPECT_DEATH(stream.Between(2, 1), "low <= high");
}

}  // namespace
}  // namespace tandem
