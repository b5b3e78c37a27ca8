// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_expectation.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace tandem::testing {
namespace {

// An expression stands two blanks from the left, its value behind it, four.
absl::string_view ExpressionIn(absl::string_view line) {
  return absl::ConsumePrefix(&line, "  ") && !absl::StartsWith(line, " ") ? line : absl::string_view();
}

// "Expected equality of these values:", an expression, its value unless it is a literal, another expression.
std::string EqualityIn(const std::vector<absl::string_view>& lines) {
  if (lines.size() < 3) return "";
  const bool has_value = absl::StartsWith(lines[2], "    Which is: ");
  const size_t second = has_value ? 3 : 2;
  // Empty behind a value of several lines.
  const absl::string_view other = second < lines.size() ? ExpressionIn(lines[second]) : absl::string_view();
  return absl::StrCat(ExpressionIn(lines[1]), " == ", other.empty() ? "..." : other);
}

}  // namespace

std::string ExpectationIn(absl::string_view message) {
  const std::vector<absl::string_view> lines = absl::StrSplit(message, '\n');
  absl::string_view first = lines[0];
  if (first == "Expected equality of these values:") return EqualityIn(lines);
  if (absl::ConsumePrefix(&first, "Value of: ")) {
    // A matcher describes itself with values.
    for (const absl::string_view value : {"true", "false"}) {
      const bool is_expected = std::any_of(lines.begin(), lines.end(), [value](absl::string_view line) {
        return absl::ConsumePrefix(&line, "Expected: ") && line == value;
      });
      if (is_expected) return absl::StrCat(first, " is ", value);
    }
    return std::string(first);
  }
  if (absl::ConsumePrefix(&first, "Expected: ")) {
    const size_t values = first.find(", actual: ");
    // Or an exception, of which type.
    return std::string(values == first.npos ? absl::StripSuffix(first, ".") : first.substr(0, values));
  }
  return "";
}

}  // namespace tandem::testing
