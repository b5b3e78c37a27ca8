// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_hand_offs.h"

#include "gtest/gtest.h"

namespace tandem::testing {
namespace {

TEST(NewHandOffsTest, NothingSeenIsNothingSaid) {
  NewHandOffs hand_offs;
  hand_offs.Add(0, 1, {});
  EXPECT_EQ(hand_offs.ToString(), "");
}

TEST(NewHandOffsTest, TheLastSeedWithANewOneIsNamed) {
  NewHandOffs hand_offs;
  hand_offs.Add(0, 100, {3, 5});
  hand_offs.Add(1, 101, {5, 65535});
  hand_offs.Add(2, 102, {3});
  EXPECT_EQ(hand_offs.ToString(), "[sim] hand-offs between tasks: 3, the last new one at seed 101\n");
}

TEST(NewHandOffsTest, TheOrderInWhichSeedsEndDoesNotMatter) {
  NewHandOffs hand_offs;
  hand_offs.Add(2, 102, {1, 2});
  hand_offs.Add(1, 101, {2});
  hand_offs.Add(0, 100, {1});
  EXPECT_EQ(hand_offs.ToString(), "[sim] hand-offs between tasks: 2, the last new one at seed 101\n");
}

}  // namespace
}  // namespace tandem::testing
