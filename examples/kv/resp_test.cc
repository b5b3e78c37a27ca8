// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/resp.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tandem/examples/kv/integer.h"

namespace tandem::kv {
namespace {

using Request = std::vector<std::string>;
using Result = RequestParser::Result;

// What a connection's bytes came to: whole requests, and the error that ended them, if any.
struct Outcome {
  std::vector<Request> requests;
  std::string error;

  friend bool operator==(const Outcome&, const Outcome&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
    for (const Request& request : outcome.requests) {
      out << "[";
      for (const std::string& argument : request) out << "(" << argument.substr(0, 40) << ")";
      out << "] ";
    }
    return out << outcome.error;
  }
};

// Takes what is there to take; returns whether the parser wants more.
bool Drain(RequestParser& parser, Outcome& outcome) {
  while (true) {
    const Result result = parser.Next();
    if (result == Result::kNeedMore) return true;
    if (result == Result::kError) {
      outcome.error = parser.error();
      return false;
    }
    Request& request = outcome.requests.emplace_back();
    for (Argument& argument : parser.arguments()) {
      const std::string seen(argument.text());
      request.push_back(argument.Take());
      EXPECT_EQ(request.back(), seen);
    }
  }
}

// Feeds `pieces`, each from memory of its own that is overwritten once the parser may not look at it any more.
Outcome ParsePieces(const std::vector<std::string_view>& pieces, const RequestLimits& limits = RequestLimits()) {
  RequestParser parser(limits);
  Outcome outcome;
  for (const std::string_view piece : pieces) {
    std::string memory(piece);
    parser.Feed(memory);
    const bool goes_on = Drain(parser, outcome);
    std::fill(memory.begin(), memory.end(), '#');
    if (!goes_on) break;
  }
  return outcome;
}

Outcome ParseWhole(std::string_view wire, const RequestLimits& limits = RequestLimits()) {
  return ParsePieces({wire}, limits);
}

std::vector<std::string_view> CutEvery(std::string_view wire, size_t size) {
  std::vector<std::string_view> pieces;
  for (size_t at = 0; at < wire.size(); at += size) pieces.push_back(wire.substr(at, size));
  return pieces;
}

std::string Encode(const Request& request) {
  std::string wire = absl::StrCat("*", request.size(), "\r\n");
  for (const std::string& argument : request) absl::StrAppend(&wire, "$", argument.size(), "\r\n", argument, "\r\n");
  return wire;
}

TEST(RequestParserTest, ReadsAnArrayOfBulkStrings) {
  const Outcome outcome = ParseWhole("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n");

  EXPECT_EQ(outcome, (Outcome{{{"SET", "k", "value"}}, ""}));
}

TEST(RequestParserTest, BulkStringsMayHoldAnyByte) {
  const Request request = {"SET", std::string("\0\r\n", 3), "*1\r\n$4\r\nPING\r\n", ""};

  EXPECT_EQ(ParseWhole(Encode(request)), (Outcome{{request}, ""}));
}

TEST(RequestParserTest, YieldsPipelinedRequestsInOrder) {
  const Outcome outcome = ParseWhole("*1\r\n$4\r\nPING\r\nGET a\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n");

  EXPECT_EQ(outcome, (Outcome{{{"PING"}, {"GET", "a"}, {"GET", "b"}}, ""}));
}

TEST(RequestParserTest, SkipsEmptyRequests) {
  EXPECT_EQ(ParseWhole("*0\r\n*-1\r\n*-5\r\n\r\n\n   \r\nPING\r\n"), (Outcome{{{"PING"}}, ""}));
}

TEST(RequestParserTest, ArgumentsOfAWholeRequestAreViewsIntoTheChunk) {
  const std::string wire = Encode({"GET", "key"});
  RequestParser parser;

  parser.Feed(wire);

  ASSERT_EQ(parser.Next(), Result::kRequest);
  EXPECT_EQ(parser.arguments()[1].text().data(), wire.data() + wire.find("key"));
}

TEST(RequestParserTest, WarmParserKeepsItsMemoryBetweenRequests) {
  const std::string wire = Encode({"SET", "key", "value"});
  RequestParser parser;
  Outcome outcome;
  parser.Feed(wire);
  ASSERT_TRUE(Drain(parser, outcome));
  const size_t warm = parser.held_bytes();

  for (int i = 0; i < 100; ++i) {
    parser.Feed(wire);
    ASSERT_TRUE(Drain(parser, outcome));
  }

  EXPECT_EQ(parser.held_bytes(), warm);
}

// A wire image with each construct, requests of each kind behind one another, and an argument long enough to be
// collected apart.
std::string EveryConstruct() {
  return absl::StrCat(Encode({"SET", "k", "v"}), "*0\r\n\r\n", "set \"a \\x41\" 'b c'\r\n",
                      Encode({"MSET", "", std::string(40'000, 'x'), "b", "\r\n"}), "PING\n",
                      Encode({"A", std::string(33'000, 'y'), std::string(33'000, 'z')}), Encode({"GET", "k"}));
}

TEST(RequestParserTest, EverySingleSplitPointGivesTheSameRequests) {
  const std::string wire = EveryConstruct();
  const Outcome whole = ParseWhole(wire);
  ASSERT_EQ(whole.requests.size(), 6u);
  ASSERT_EQ(whole.error, "");

  for (size_t split = 0; split <= wire.size(); ++split) {
    // Inside the long arguments one place is like another.
    const bool is_inside = split >= 8 && split + 8 <= wire.size() && wire[split - 8] == wire[split + 7] &&
                           wire.compare(split - 8, 15, wire, split - 7, 15) == 0;
    if (is_inside && split % 997 != 0) continue;
    ASSERT_EQ(ParsePieces({wire.substr(0, split), wire.substr(split)}), whole) << "split at " << split;
  }
}

TEST(RequestParserTest, EveryPairOfSplitPointsGivesTheSameRequests) {
  const std::string wire = absl::StrCat(Encode({"SET", "k", "a\r\nb"}), "*-1\r\n", "get 'x y'\r\n", Encode({"PING"}));
  const Outcome whole = ParseWhole(wire);
  const std::string_view view = wire;

  for (size_t first = 0; first <= wire.size(); ++first) {
    for (size_t second = first; second <= wire.size(); ++second) {
      ASSERT_EQ(ParsePieces({view.substr(0, first), view.substr(first, second - first), view.substr(second)}), whole)
          << "splits at " << first << " and " << second;
    }
  }
}

TEST(RequestParserTest, PiecesOfEverySizeGiveTheSameRequests) {
  const std::string wire = EveryConstruct();
  const Outcome whole = ParseWhole(wire);

  for (const size_t size : {1, 2, 3, 5, 7, 16, 100, 1024, 4096, 32'768, 65'536}) {
    EXPECT_EQ(ParsePieces(CutEvery(wire, size)), whole) << "pieces of " << size;
  }
}

TEST(RequestParserTest, DamagedRequestsGiveTheSameOutcomeHoweverTheyAreCut) {
  const std::string sound = absl::StrCat(Encode({"SET", "k", "value"}), "get \"a\\x41\" 'b'\r\n", Encode({"GET", "k"}));
  constexpr std::string_view kBytes = "*$\r\n 019-\"'\\x";
  uint64_t state = 1;
  const auto below = [&state](size_t bound) {
    state = state * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
    return static_cast<size_t>((state >> 33) % bound);
  };

  for (int round = 0; round < 5'000; ++round) {
    std::string wire = sound;
    for (size_t damage = 1 + below(3); damage > 0; --damage) {
      const size_t at = below(wire.size());
      const char byte = kBytes[below(kBytes.size())];
      const size_t removed = below(3);
      const size_t added = below(3);
      wire.replace(at, removed, added, byte);
    }
    const Outcome whole = ParseWhole(wire);
    ASSERT_EQ(ParsePieces(CutEvery(wire, 1)), whole) << wire;
    ASSERT_EQ(ParsePieces(CutEvery(wire, 1 + below(20))), whole) << wire;
  }
}

TEST(RequestParserTest, ValueOf64MebibytesArrivesWhole) {
  std::string value(size_t{64} << 20, '\0');
  for (size_t i = 0; i < value.size(); ++i) value[i] = static_cast<char>((i * 2'654'435'761u) >> 24);
  const std::string wire = Encode({"SET", "k", value});
  RequestParser parser;
  size_t held_most = 0;
  Result result = Result::kNeedMore;

  for (const std::string_view piece : CutEvery(wire, 60'001)) {
    parser.Feed(piece);
    result = parser.Next();
    held_most = std::max(held_most, parser.held_bytes());
  }

  ASSERT_EQ(result, Result::kRequest);
  ASSERT_EQ(parser.arguments().size(), 3u);
  EXPECT_TRUE(parser.arguments()[2].Take() == value);
  EXPECT_LE(held_most, value.size() + 300'000);  // No slack on a value that goes to the store as it is.
}

TEST(RequestParserTest, LargeArgumentIsHandedOverWithoutACopy) {
  const std::string wire = Encode({"SET", "k", std::string(100'000, 'v')});
  RequestParser parser;
  parser.Feed(std::string_view(wire).substr(0, 50'000));
  ASSERT_EQ(parser.Next(), Result::kNeedMore);
  parser.Feed(std::string_view(wire).substr(50'000));
  ASSERT_EQ(parser.Next(), Result::kRequest);
  const char* const before = parser.arguments()[2].text().data();

  const std::string taken = parser.arguments()[2].Take();

  EXPECT_EQ(taken.data(), before);
}

TEST(RequestParserTest, AnnouncedLengthsReserveNothing) {
  RequestParser parser;

  parser.Feed("*1048576\r\n$100000000\r\nabc");

  ASSERT_EQ(parser.Next(), Result::kNeedMore);
  EXPECT_LT(parser.held_bytes(), 64u << 10);
}

TEST(RequestParserTest, LargeRequestBindsNoMemoryAfterwards) {
  Request request(20'000, "argument");
  request.push_back(std::string(1'000'000, 'x'));
  const std::string wire = absl::StrCat(Encode(request), "PI");
  RequestParser parser;
  Outcome outcome;

  for (const std::string_view piece : CutEvery(wire, 10'000)) {
    parser.Feed(piece);
    ASSERT_TRUE(Drain(parser, outcome));
  }

  ASSERT_EQ(outcome.requests.size(), 1u);
  EXPECT_LT(parser.held_bytes(), 64u << 10);
}

TEST(RequestParserTest, ManyArgumentsFedByteByByteTakeLinearTime) {
  const Request request(200'000, "");
  const std::string wire = Encode(request);
  RequestParser parser;
  Outcome outcome;

  for (const char& byte : wire) {
    parser.Feed(std::string_view(&byte, 1));
    ASSERT_TRUE(Drain(parser, outcome));
  }

  EXPECT_EQ(outcome.requests, std::vector<Request>{request});
}

TEST(RequestParserDeathTest, FeedingBeforeTheChunkIsUsedUpIsABug) {
  RequestParser parser;
  parser.Feed("PING\r\nPING\r\n");
  ASSERT_EQ(parser.Next(), Result::kRequest);

  EXPECT_DEATH(parser.Feed("x"), "expects_feed_");
}

TEST(RequestParserTest, RequestsBeforeAnErrorAreStillYielded) {
  const Outcome outcome = ParseWhole("PING\r\n*1\r\n!");

  EXPECT_EQ(outcome, (Outcome{{{"PING"}}, "ERR Protocol error: expected '$', got '!'"}));
}

TEST(RequestParserTest, ErrorIsFinal) {
  RequestParser parser;
  parser.Feed("*x\r\nPING\r\n");
  ASSERT_EQ(parser.Next(), Result::kError);

  EXPECT_EQ(parser.Next(), Result::kError);
}

struct WireCase {
  const char* name;
  std::string wire;
  Outcome outcome;

  friend std::ostream& operator<<(std::ostream& out, const WireCase& c) { return out << c.wire.substr(0, 60); }
};

Outcome ProtocolError(std::string_view what) { return Outcome{{}, absl::StrCat("ERR Protocol error: ", what)}; }

std::string CaseName(const testing::TestParamInfo<WireCase>& info) { return info.param.name; }

class MalformedRequestTest : public testing::TestWithParam<WireCase> {};

TEST_P(MalformedRequestTest, GivesTheErrorOfRedisHoweverItIsCut) {
  const WireCase& c = GetParam();

  EXPECT_EQ(ParseWhole(c.wire), c.outcome);
  EXPECT_EQ(ParsePieces(CutEvery(c.wire, 1)), c.outcome);
  EXPECT_EQ(ParsePieces(CutEvery(c.wire, 3)), c.outcome);
}

INSTANTIATE_TEST_SUITE_P(
    Wire, MalformedRequestTest,
    testing::ValuesIn<WireCase>({
        {"CountIsNoNumber", "*x\r\n", ProtocolError("invalid multibulk length")},
        {"CountIsEmpty", "*\r\n", ProtocolError("invalid multibulk length")},
        {"CountHasAPlus", "*+1\r\n", ProtocolError("invalid multibulk length")},
        {"CountHasALeadingZero", "*01\r\n", ProtocolError("invalid multibulk length")},
        {"CountIsAboveTheLimit", "*1048577\r\n", ProtocolError("invalid multibulk length")},
        {"CountOverflows", "*99999999999999999999\r\n", ProtocolError("invalid multibulk length")},
        {"CountLineHasNoLineFeed", "*1\r$", ProtocolError("invalid multibulk length")},
        {"CountLineNeverEnds", "*" + std::string(100, '1'), ProtocolError("too big mbulk count string")},
        {"ArgumentIsNoBulkString", "*1\r\n:5\r\n", ProtocolError("expected '$', got ':'")},
        {"ArgumentTypeDoesNotPrint", "*1\r\n\r\n", ProtocolError("expected '$', got '?'")},
        {"LengthIsNoNumber", "*1\r\n$abc\r\n", ProtocolError("invalid bulk length")},
        {"LengthIsNegative", "*1\r\n$-1\r\n", ProtocolError("invalid bulk length")},
        {"LengthIsAboveTheLimit", "*1\r\n$134217729\r\n",
         ProtocolError("invalid bulk length, the limit is 134217728 bytes")},
        {"LengthIsGiant", "*2\r\n$9223372036854775807\r\n",
         ProtocolError("invalid bulk length, the limit is 134217728 bytes")},
        {"LengthLineNeverEnds", "*1\r\n$" + std::string(100, '0'), ProtocolError("too big bulk count string")},
        {"BulkStringIsLongerThanItsLength", "*1\r\n$2\r\nabc\r\n", ProtocolError("expected CRLF after bulk string")},
        {"LongBulkStringIsLongerThanItsLength", "*1\r\n$40000\r\n" + std::string(40'010, 'a'),
         ProtocolError("expected CRLF after bulk string")},
        {"RequestIsAboveTheLimit", "*2\r\n$3\r\nGET\r\n$134217720\r\n",
         ProtocolError("request exceeds 134217728 bytes")},
        {"InlineNeverEnds", std::string(65'600, 'a'), ProtocolError("too big inline request")},
        {"InlineIsAboveTheLimit", std::string(65'537, 'a') + "\n", ProtocolError("too big inline request")},
        {"InlineQuoteIsOpen", "SET \"a\r\n", ProtocolError("unbalanced quotes in request")},
        {"InlineSingleQuoteIsOpen", "SET 'a\r\n", ProtocolError("unbalanced quotes in request")},
        {"InlineQuoteGoesOn", "SET \"a\"b\r\n", ProtocolError("unbalanced quotes in request")},
    }),
    CaseName);

class InlineCommandTest : public testing::TestWithParam<WireCase> {};

TEST_P(InlineCommandTest, IsSplitAsRedisDoesHoweverItIsCut) {
  const WireCase& c = GetParam();

  EXPECT_EQ(ParseWhole(c.wire), c.outcome);
  EXPECT_EQ(ParsePieces(CutEvery(c.wire, 1)), c.outcome);
}

INSTANTIATE_TEST_SUITE_P(
    Wire, InlineCommandTest,
    testing::ValuesIn<WireCase>({
        {"Words", "SET key value\r\n", {{{"SET", "key", "value"}}, ""}},
        {"LineFeedAlone", "PING\n", {{{"PING"}}, ""}},
        {"RunsOfSpaces", "  GET \t key  \r\n", {{{"GET", "key"}}, ""}},
        {"DoubleQuotes", "SET k \"a b\"\r\n", {{{"SET", "k", "a b"}}, ""}},
        {"EmptyQuotes", "SET k \"\" ''\r\n", {{{"SET", "k", "", ""}}, ""}},
        {"HexEscapes", "SET k \"\\x00\\xfF\\x4\"\r\n", {{{"SET", "k", std::string("\0\xffx4", 4)}}, ""}},
        {"Escapes", "SET k \"\\n\\r\\t\\b\\a\\\"\\\\\\q\"\r\n", {{{"SET", "k", "\n\r\t\b\a\"\\q"}}, ""}},
        {"SingleQuotes", "SET k 'a\\n\"b'\r\n", {{{"SET", "k", "a\\n\"b"}}, ""}},
        {"EscapedSingleQuote", "SET k 'it\\'s'\r\n", {{{"SET", "k", "it's"}}, ""}},
        {"QuoteWithinAWord", "SET k a\"b c\" d\r\n", {{{"SET", "k", "ab c", "d"}}, ""}},
        {"LongestAllowed", std::string(65'536, 'a') + "\n", {{{std::string(65'536, 'a')}}, ""}},
    }),
    CaseName);

TEST(RequestLimitsTest, RequestAtTheLimitPassesAndOneByteMoreDoesNot) {
  const std::string wire = Encode({"SET", "k", std::string(100, 'v')});
  RequestLimits limits;
  limits.max_request_bytes = wire.size();

  EXPECT_EQ(ParseWhole(wire, limits).requests.size(), 1u);
  limits.max_request_bytes = wire.size() - 1;
  EXPECT_EQ(ParseWhole(wire, limits), ProtocolError(absl::StrCat("request exceeds ", wire.size() - 1, " bytes")));
}

TEST(RequestLimitsTest, EachRequestHasTheWholeLimit) {
  const std::string wire = Encode({"SET", "k", std::string(50'000, 'v')});
  RequestLimits limits;
  limits.max_request_bytes = wire.size();

  EXPECT_EQ(ParsePieces(CutEvery(wire + wire + wire, 1000), limits).requests.size(), 3u);
}

TEST(RequestLimitsTest, BulkStringAtTheLimitPassesAndOneByteMoreDoesNot) {
  RequestLimits limits;
  limits.max_bulk_bytes = 10;

  EXPECT_EQ(ParseWhole("*1\r\n$10\r\n0123456789\r\n", limits).requests.size(), 1u);
  EXPECT_EQ(ParseWhole("*1\r\n$11\r\n0123456789A\r\n", limits),
            ProtocolError("invalid bulk length, the limit is 10 bytes"));
}

TEST(RequestLimitsTest, ArgumentCountAtTheLimitPassesAndOneMoreDoesNot) {
  RequestLimits limits;
  limits.max_arguments = 3;

  EXPECT_EQ(ParseWhole(Encode({"a", "b", "c"}), limits).requests.size(), 1u);
  EXPECT_EQ(ParseWhole(Encode({"a", "b", "c", "d"}), limits), ProtocolError("invalid multibulk length"));
}

struct IntegerCase {
  const char* name;
  const char* text;
  std::optional<int64_t> value;
};

class IntegerTest : public testing::TestWithParam<IntegerCase> {};

TEST_P(IntegerTest, AcceptsTheCanonicalFormOnly) { EXPECT_EQ(ParseInteger(GetParam().text), GetParam().value); }

INSTANTIATE_TEST_SUITE_P(Texts, IntegerTest,
                         testing::ValuesIn<IntegerCase>({
                             {"Zero", "0", 0},
                             {"Positive", "42", 42},
                             {"Negative", "-42", -42},
                             {"Largest", "9223372036854775807", INT64_MAX},
                             {"Smallest", "-9223372036854775808", INT64_MIN},
                             {"TooLarge", "9223372036854775808", std::nullopt},
                             {"TooSmall", "-9223372036854775809", std::nullopt},
                             {"Empty", "", std::nullopt},
                             {"SignAlone", "-", std::nullopt},
                             {"Plus", "+1", std::nullopt},
                             {"LeadingZero", "01", std::nullopt},
                             {"NegativeZero", "-0", std::nullopt},
                             {"LeadingSpace", " 1", std::nullopt},
                             {"TrailingSpace", "1 ", std::nullopt},
                             {"Fraction", "1.5", std::nullopt},
                         }),
                         [](const testing::TestParamInfo<IntegerCase>& info) { return info.param.name; });

}  // namespace
}  // namespace tandem::kv
