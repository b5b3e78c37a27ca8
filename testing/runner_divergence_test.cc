// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_divergence.h"

#include "gtest/gtest.h"

namespace tandem::testing {
namespace {

TEST(DescribeDivergenceTest, EqualTracesHaveNone) {
  EXPECT_EQ(DescribeDivergence("", ""), "");
  EXPECT_EQ(DescribeDivergence("a\nb\n", "a\nb\n"), "");
}

TEST(DescribeDivergenceTest, NamesTheFirstLineThatDiffers) {
  EXPECT_EQ(DescribeDivergence("a\nb 1\nc\n", "a\nb 2\nd\n"),
            "the traces part at line 2:\na\nrun 1: b 1\nrun 2: b 2\n");
}

TEST(DescribeDivergenceTest, DiffersInTheFirstCharacterOfALine) {
  EXPECT_EQ(DescribeDivergence("a\nb\n", "a\nc\n"), "the traces part at line 2:\na\nrun 1: b\nrun 2: c\n");
  EXPECT_EQ(DescribeDivergence("a\n", "b\n"), "the traces part at line 1:\nrun 1: a\nrun 2: b\n");
}

TEST(DescribeDivergenceTest, OneTraceEndsEarlier) {
  EXPECT_EQ(DescribeDivergence("a\nb\n", "a\n"), "the traces part at line 2:\na\nrun 1: b\nrun 2: (the trace ends)\n");
  EXPECT_EQ(DescribeDivergence("", "a\n"), "the traces part at line 1:\nrun 1: (the trace ends)\nrun 2: a\n");
}

TEST(DescribeDivergenceTest, ShowsFiveLinesBefore) {
  EXPECT_EQ(DescribeDivergence("1\n2\n3\n4\n5\n6\n7\nx\n", "1\n2\n3\n4\n5\n6\n7\ny\n"),
            "the traces part at line 8:\n3\n4\n5\n6\n7\nrun 1: x\nrun 2: y\n");
}

}  // namespace
}  // namespace tandem::testing
