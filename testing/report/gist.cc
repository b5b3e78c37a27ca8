// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/gist.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace tandem::testing {
namespace {

// Lines that GoogleTest writes, of which the first says no more than what was expected.
constexpr absl::string_view kWords[] = {"Value of: ", "Expected", "Failed"};

bool IsGoogleTests(absl::string_view line) {
  return std::any_of(std::begin(kWords), std::end(kWords),
                     [line](absl::string_view word) { return absl::StartsWith(line, word); });
}

// What GoogleTest writes behind a value, and before one.
constexpr absl::string_view kOfType = " (of type ";
constexpr absl::string_view kWhichIs = "    Which is: ";
constexpr absl::string_view kActual = "  Actual: ";

constexpr absl::string_view kEquality = "Expected equality of these values:";

using Lines = std::vector<absl::string_view>;

// The first line from `next` on that neither GoogleTest has written nor the harness: what the author of the expectation
// says. Empty: there is none.
absl::string_view AuthorsLine(const Lines& lines, size_t next) {
  for (; next < lines.size(); ++next) {
    const absl::string_view line = lines[next];
    if (!line.empty() && line.front() != ' ' && !IsGoogleTests(line)) return absl::StripTrailingAsciiWhitespace(line);
  }
  return "";
}

// One side of an EXPECT_EQ: "  holder", and where that does not say it itself, "    Which is: 7".
struct Operand {
  absl::string_view expression;
  absl::string_view value;  // The first line of it; empty: there is none.
  size_t end = 0;           // The line behind it.
};

// REQUIRES that there is such a line.
Operand OperandAt(const Lines& lines, size_t at) {
  Operand operand{absl::StripAsciiWhitespace(lines[at]), "", at + 1};
  if (operand.end < lines.size() && absl::ConsumePrefix(&(operand.value = lines[operand.end]), kWhichIs)) {
    ++operand.end;
  } else {
    operand.value = "";
  }
  return operand;
}

// "DEADLINE_EXCEEDED: not in 120 s" of an absl::Status.
bool IsError(absl::string_view value) {
  const size_t colon = value.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
  return colon != value.npos && colon > 0 && absl::StartsWith(value.substr(colon), ": ");
}

// A value may have lines of its own, and what is behind them can be told only by the next value.
std::string GistOfEquality(const Lines& lines) {
  if (lines.size() < 3) return std::string(lines[0]);
  const Operand left = OperandAt(lines, 1);
  size_t right_at = left.end;
  for (size_t at = left.end + 1; at < lines.size(); ++at) {
    if (absl::StartsWith(lines[at], kWhichIs)) right_at = at - 1;
  }
  if (right_at >= lines.size() || !absl::StartsWith(lines[right_at], "  ")) return std::string(lines[0]);
  const Operand right = OperandAt(lines, right_at);
  size_t end = right.end;
  if (end < lines.size() && lines[end] == "With diff:") {
    ++end;
    while (end < lines.size() && !lines[end].empty() && absl::StrContains("@-+ ", lines[end].substr(0, 1))) ++end;
  }
  const bool goes_on = absl::EndsWith(right.value, ":");
  if (const absl::string_view said = goes_on ? "" : AuthorsLine(lines, end); !said.empty()) return std::string(said);
  for (const absl::string_view value : {left.value, right.value}) {
    if (IsError(value)) return std::string(value);
  }
  const auto say = [](const Operand& operand) {
    return operand.value.empty() ? std::string(operand.expression)
                                 : absl::StrCat(operand.expression, " (", operand.value, ")");
  };
  return absl::StrCat("Expected equality of ", say(left), " and ", say(right));
}

// Of EXPECT_TRUE() and of a matcher: "Value of: ", then what it was, with lines of its own until its type, before or
// behind what was expected.
std::string GistOfValue(const Lines& lines) {
  const auto actual =
      std::find_if(lines.begin(), lines.end(), [](absl::string_view line) { return absl::StartsWith(line, kActual); });
  if (actual == lines.end()) return std::string(lines[0]);
  const bool of_matcher = actual != lines.begin() + 1;
  size_t next = static_cast<size_t>(actual - lines.begin()) + 1;
  if (of_matcher) {
    const auto last =
        std::find_if(actual, lines.end(), [](absl::string_view line) { return absl::StrContains(line, kOfType); });
    next = static_cast<size_t>(last - lines.begin()) + 1;
  }
  if (const absl::string_view said = AuthorsLine(lines, next); !said.empty()) return std::string(said);
  const absl::string_view value = absl::StripAsciiWhitespace(actual->substr(0, actual->find(kOfType)));
  return of_matcher ? std::string(value) : absl::StrCat(lines[0], ", actual: ", absl::StripPrefix(value, "Actual: "));
}

// "server_test.cc:42: " of a line that begins so.
absl::string_view PlaceIn(absl::string_view line) {
  const size_t colon = line.find(": ");
  if (colon == line.npos || colon == 0 || !absl::ascii_isdigit(static_cast<unsigned char>(line[colon - 1]))) return "";
  const size_t number = line.find_last_not_of("0123456789", colon - 1);
  const bool is_place = number != line.npos && line[number] == ':' && line.find(' ') == colon + 1;
  return is_place ? line.substr(0, colon + 2) : "";
}

}  // namespace

std::string FailureGist(absl::string_view message) {
  const absl::string_view place = PlaceIn(message.substr(0, message.find('\n')));
  Lines lines = absl::StrSplit(absl::StripPrefix(message, place), '\n');
  // What follows at another place is another failure, which has nothing to say of this one.
  lines.erase(
      std::find_if(lines.begin() + 1, lines.end(), [](absl::string_view line) { return !PlaceIn(line).empty(); }),
      lines.end());
  if (!IsGoogleTests(lines[0])) return absl::StrCat(place, lines[0]);
  if (lines[0] == kEquality) return absl::StrCat(place, GistOfEquality(lines));
  if (absl::StartsWith(lines[0], "Value of: ")) return absl::StrCat(place, GistOfValue(lines));
  const absl::string_view said = AuthorsLine(lines, 1);
  return absl::StrCat(place, said.empty() ? lines[0] : said);
}

}  // namespace tandem::testing
