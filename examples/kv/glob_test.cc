// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/glob.h"

#include <ostream>
#include <string>

#include "gtest/gtest.h"

namespace tandem::kv {
namespace {

struct GlobCase {
  const char* name;
  std::string pattern;
  std::string text;
  bool matches;

  friend std::ostream& operator<<(std::ostream& out, const GlobCase& c) { return out << c.pattern << " on " << c.text; }
};

class GlobTest : public testing::TestWithParam<GlobCase> {};

TEST_P(GlobTest, MatchesAsRedisDoes) {
  EXPECT_EQ(GlobMatches(GetParam().pattern, GetParam().text), GetParam().matches);
}

INSTANTIATE_TEST_SUITE_P(Patterns, GlobTest,
                         testing::ValuesIn<GlobCase>({
                             {"EmptyPatternMatchesEmptyText", "", "", true},
                             {"EmptyPatternMatchesNothingElse", "", "a", false},
                             {"LiteralMatchesItself", "key:1", "key:1", true},
                             {"LiteralIsAnchoredAtTheEnd", "key", "key:1", false},
                             {"LiteralIsAnchoredAtTheStart", "1", "key:1", false},
                             {"CaseMatters", "KEY", "key", false},
                             {"StarMatchesAll", "*", "anything", true},
                             {"StarMatchesEmptyText", "*", "", true},
                             {"StarsMatchEmptyText", "***", "", true},
                             {"StarInTheMiddle", "user:*:name", "user:42:name", true},
                             {"StarMatchesEmptyRun", "a*b", "ab", true},
                             {"StarMustReachTheEnd", "a*b", "a12b3", false},
                             {"StarTriesLaterPlaces", "*ab", "aab", true},
                             {"SecondStarTriesLaterPlaces", "a*b*cd", "a1b2c3cd", true},
                             {"QuestionMarkTakesOneByte", "h?llo", "hello", true},
                             {"QuestionMarkNeedsAByte", "hello?", "hello", false},
                             {"SetTakesAMember", "h[ae]llo", "hallo", true},
                             {"SetRefusesOthers", "h[ae]llo", "hillo", false},
                             {"RangeTakesItsBounds", "[a-c][a-c]", "ac", true},
                             {"RangeRefusesOutside", "[a-c]", "d", false},
                             {"RangeMayBeReversed", "[c-a]", "b", true},
                             {"RangeComparesUnsigned", "[a-\xff]", "\xe9", true},
                             {"NegatedSetTakesOthers", "[^a-c]", "d", true},
                             {"NegatedSetRefusesMembers", "[^a-c]", "b", false},
                             {"NegatedSetNeedsAByte", "x[^a]", "x", false},
                             {"EmptySetMatchesNothing", "[]", "]", false},
                             {"EscapeInSet", "[\\]]", "]", true},
                             {"EscapedDashInSetIsLiteral", "[a\\-z]", "-", true},
                             {"EscapedDashInSetIsNoRange", "[a\\-z]", "b", false},
                             {"UnclosedSetReachesToTheEnd", "[ab", "b", true},
                             {"LastDashIsLiteral", "[a-]", "-",
                              false},  // As in Redis: the range is "a-]" and the set is unclosed.
                             {"EscapedStarIsLiteral", "a\\*", "a*", true},
                             {"EscapedStarIsNoWildcard", "a\\*", "ab", false},
                             {"EscapedBracketIsLiteral", "\\[a]", "[a]", true},
                             {"LastBackslashIsLiteral", "a\\", "a\\", true},
                             {"ZeroBytesAreBytes", std::string("a\0*", 3), std::string("a\0b", 3), true},
                         }),
                         [](const testing::TestParamInfo<GlobCase>& info) { return info.param.name; });

TEST(GlobTest, ManyStarsTakeNoExponentialTime) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  pattern += "b";

  EXPECT_FALSE(GlobMatches(pattern, std::string(4000, 'a')));
}

}  // namespace
}  // namespace tandem::kv
