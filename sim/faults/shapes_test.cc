// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/faults/shapes.h"

#include <cstddef>
#include <set>

#include "gtest/gtest.h"

namespace tandem::sim {
namespace {

constexpr size_t kHostsMax = 12;

std::set<size_t> ReachedBy(Shape shape, size_t place, size_t count) {
  std::set<size_t> reached;
  for (size_t other = 0; other < count; ++other) {
    if (!IsCut(shape, place, other, count)) reached.insert(other);
  }
  return reached;
}

TEST(ShapeTest, BothDirectionsAreCut) {
  for (const Shape shape : {Shape::kRing, Shape::kBridge, Shape::kChain}) {
    for (size_t a = 0; a < kHostsMax; ++a) {
      for (size_t b = 0; b < kHostsMax; ++b) EXPECT_EQ(IsCut(shape, a, b, kHostsMax), IsCut(shape, b, a, kHostsMax));
    }
  }
}

TEST(ShapeTest, TheCutPlacesAreCut) {
  for (const Shape shape : {Shape::kRing, Shape::kBridge, Shape::kChain}) {
    for (size_t count = LeastHosts(shape); count <= kHostsMax; ++count) {
      const auto [a, b] = CutPlaces(shape, count);
      EXPECT_TRUE(IsCut(shape, a, b, count)) << count;
    }
  }
}

TEST(ShapeTest, EachHostOfARingReachesAMajorityAndNoTwoTheSame) {
  for (size_t count = LeastHosts(Shape::kRing); count <= kHostsMax; ++count) {
    std::set<std::set<size_t>> majorities;
    for (size_t place = 0; place < count; ++place) {
      const std::set<size_t> reached = ReachedBy(Shape::kRing, place, count);
      EXPECT_GT(2 * reached.size(), count);
      EXPECT_LT(reached.size(), count);
      majorities.insert(reached);
    }
    EXPECT_EQ(majorities.size(), count);
  }
}

TEST(ShapeTest, OnlyTheMiddleOfABridgeReachesAll) {
  for (size_t count = LeastHosts(Shape::kBridge); count <= kHostsMax; ++count) {
    size_t reach_all = 0;
    for (size_t place = 0; place < count; ++place) reach_all += ReachedBy(Shape::kBridge, place, count).size() == count;
    EXPECT_EQ(reach_all, 1u) << count;
  }
}

TEST(ShapeTest, AChainReachesTheNeighbours) {
  EXPECT_EQ(ReachedBy(Shape::kChain, 0, 5), (std::set<size_t>{0, 1}));
  EXPECT_EQ(ReachedBy(Shape::kChain, 2, 5), (std::set<size_t>{1, 2, 3}));
}

TEST(SwizzleTest, AllAreHitInTheMiddleAndEachForAWhile) {
  const Span whole = {100, 1100};
  for (size_t count = 2; count <= kHostsMax; ++count) {
    for (size_t hit = 0; hit < count; ++hit) {
      for (size_t heals = 0; heals < count; ++heals) {
        const Span span = SwizzleSpan(whole, hit, heals, count);
        EXPECT_GE(span.begin_ns, whole.begin_ns);
        EXPECT_LE(span.end_ns, whole.end_ns);
        EXPECT_LE(span.begin_ns, 600);
        EXPECT_GE(span.end_ns, 600);
        EXPECT_LT(span.begin_ns, span.end_ns);
      }
    }
  }
}

}  // namespace
}  // namespace tandem::sim
