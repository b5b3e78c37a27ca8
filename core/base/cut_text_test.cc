// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/base/cut_text.h"

#include <string>

#include "gtest/gtest.h"

namespace tandem::internal {
namespace {

TEST(CutTextTest, LeavesWhatIsNotTooLong) {
  EXPECT_EQ(CutText("", 0), "");
  EXPECT_EQ(CutText("four", 4), "four");
  EXPECT_EQ(CutText(std::string(kTextMax, 'x'), kTextMax), std::string(kTextMax, 'x'));
}

TEST(CutTextTest, SaysHowMuchIsLeftOut) {
  EXPECT_EQ(CutText("fiver", 4), "five... (1 byte more)");
  EXPECT_EQ(CutText(std::string(50'000'000, 'x'), 3), "xxx... (49999997 bytes more)");
  EXPECT_EQ(CutText("some", 0), "... (4 bytes more)");
}

TEST(CutTextTest, CutsNoCharacterInTwo) {
  EXPECT_EQ(CutText("a\xc3\xa4z", 2), "a... (3 bytes more)");
  EXPECT_EQ(CutText("a\xc3\xa4z", 3), "a\xc3\xa4... (1 byte more)");
  for (const size_t max : {1, 2, 3}) EXPECT_EQ(BeginningOf("\xf0\x9f\x9a\xb2z", max), "");
  EXPECT_EQ(BeginningOf("\xf0\x9f\x9a\xb2z", 4), "\xf0\x9f\x9a\xb2");
}

TEST(CutTextTest, CutsBytesThatAreNoCharactersAnywhere) {
  EXPECT_EQ(BeginningOf(std::string(100, '\x80'), 50), std::string(50, '\x80'));
}

}  // namespace
}  // namespace tandem::internal
