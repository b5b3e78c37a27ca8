// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/base/assertions.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/base/cut_text.h"

namespace tandem::internal {
namespace {

constinit const AssertionSite* first_site = nullptr;
constinit uint32_t site_count = 0;

// Where the first of `names` ends: at a comma that is in no brackets and in no literal.
size_t EndOfName(absl::string_view names) {
  int depth = 0;
  char quote = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    const char c = names[i];
    if (quote != 0) {
      if (c == '\\') ++i;
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '(' || c == '[' || c == '{') {
      ++depth;
    } else if (c == ')' || c == ']' || c == '}') {
      --depth;
    } else if (c == ',' && depth == 0) {
      return i;
    }
  }
  return names.size();
}

}  // namespace

absl::string_view AssertionKindName(AssertionKind kind) {
  switch (kind) {
    case AssertionKind::kAlways:
      return "always";
    case AssertionKind::kSometimes:
      return "sometimes";
    case AssertionKind::kReachable:
      return "reachable";
    case AssertionKind::kUnreachable:
      return "unreachable";
    case AssertionKind::kChecker:
      return "checker";
  }
  return "?";
}

AssertionSite::AssertionSite(const AssertionText& text) : text_(text), index_(site_count++), next_(first_site) {
  first_site = this;
}

const AssertionSite* AssertionSite::First() { return first_site; }

uint32_t AssertionSite::Count() { return site_count; }

std::string PairWithNames(absl::string_view names, absl::Span<const std::string> values) {
  std::string text;
  for (const std::string& value : values) {
    const size_t end = EndOfName(names);
    absl::StrAppend(&text, text.empty() ? "" : ", ", absl::StripAsciiWhitespace(names.substr(0, end)), "=",
                    CutText(value, kTextMax));
    names.remove_prefix(end < names.size() ? end + 1 : end);
  }
  return text;
}

}  // namespace tandem::internal
