// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_divergence.h"

#include <optional>

#include "gtest/gtest.h"

namespace tandem::testing {
namespace {

TEST(FirstDifferenceTest, EqualTracesHaveNone) {
  EXPECT_EQ(FindFirstDifference("", "").text, "");
  EXPECT_EQ(FindFirstDifference("a\nb\n", "a\nb\n").text, "");
}

TEST(FirstDifferenceTest, NamesTheFirstLineThatDiffers) {
  EXPECT_EQ(FindFirstDifference("a\nb 1\nc\n", "a\nb 2\nd\n").text,
            "the traces part at line 2:\na\nrun 1: b 1\nrun 2: b 2\n");
}

TEST(FirstDifferenceTest, DiffersInTheFirstCharacterOfALine) {
  EXPECT_EQ(FindFirstDifference("a\nb\n", "a\nc\n").text, "the traces part at line 2:\na\nrun 1: b\nrun 2: c\n");
  EXPECT_EQ(FindFirstDifference("a\n", "b\n").text, "the traces part at line 1:\nrun 1: a\nrun 2: b\n");
}

TEST(FirstDifferenceTest, OneTraceEndsEarlier) {
  EXPECT_EQ(FindFirstDifference("a\nb\n", "a\n").text,
            "the traces part at line 2:\na\nrun 1: b\nrun 2: (the trace ends)\n");
  EXPECT_EQ(FindFirstDifference("", "a\n").text, "the traces part at line 1:\nrun 1: (the trace ends)\nrun 2: a\n");
}

TEST(FirstDifferenceTest, HasTheNumberOfTheRecord) {
  EXPECT_EQ(FindFirstDifference("x  #1 7\n", "x  #1 8\n").record, 1u);
  EXPECT_EQ(FindFirstDifference("work #7  #12 7\n", "").record, 12u);
  EXPECT_EQ(FindFirstDifference("", "x  #13 8\n").record, 13u);
  EXPECT_EQ(FindFirstDifference("x #1\n", "x #2\n").record, std::nullopt);
}

TEST(FirstDifferenceTest, ShowsFiveLinesBefore) {
  EXPECT_EQ(FindFirstDifference("1\n2\n3\n4\n5\n6\n7\nx\n", "1\n2\n3\n4\n5\n6\n7\ny\n").text,
            "the traces part at line 8:\n3\n4\n5\n6\n7\nrun 1: x\nrun 2: y\n");
}

}  // namespace
}  // namespace tandem::testing
