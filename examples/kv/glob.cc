// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/glob.h"

#include <algorithm>
#include <cstddef>

namespace tandem::kv {
namespace {

struct SetMatch {
  bool matches;
  size_t next;  // The pattern offset behind the set.
};

// Matches `byte` against the set that opens at pattern[open] == '['.
SetMatch MatchSet(std::string_view pattern, size_t open, unsigned char byte) {
  size_t at = open + 1;
  const bool negated = at < pattern.size() && pattern[at] == '^';
  if (negated) ++at;

  bool found = false;
  while (at < pattern.size() && pattern[at] != ']') {
    if (pattern[at] == '\\' && at + 1 < pattern.size()) {
      found |= static_cast<unsigned char>(pattern[at + 1]) == byte;
      at += 2;
    } else if (at + 2 < pattern.size() && pattern[at + 1] == '-') {
      const auto [low, high] =
          std::minmax(static_cast<unsigned char>(pattern[at]), static_cast<unsigned char>(pattern[at + 2]));
      found |= low <= byte && byte <= high;
      at += 3;
    } else {
      found |= static_cast<unsigned char>(pattern[at]) == byte;
      ++at;
    }
  }
  return {found != negated, std::min(at + 1, pattern.size())};
}

// Matches `byte` against the single-byte element at pattern[at], which is not '*'.
SetMatch MatchElement(std::string_view pattern, size_t at, unsigned char byte) {
  switch (pattern[at]) {
    case '?':
      return {true, at + 1};
    case '[':
      return MatchSet(pattern, at, byte);
    case '\\':
      if (at + 1 < pattern.size()) ++at;
      break;
    default:
      break;
  }
  return {static_cast<unsigned char>(pattern[at]) == byte, at + 1};
}

}  // namespace

bool GlobMatches(std::string_view pattern, std::string_view text) {
  size_t pattern_at = 0;
  size_t text_at = 0;
  size_t retry_pattern = std::string_view::npos;  // Just behind the last '*' seen.
  size_t retry_text = 0;                          // Where that '*' has stopped matching so far.

  while (text_at < text.size()) {
    if (pattern_at < pattern.size() && pattern[pattern_at] == '*') {
      retry_pattern = ++pattern_at;
      retry_text = text_at;
      if (retry_pattern == pattern.size()) return true;
      continue;
    }
    if (pattern_at < pattern.size()) {
      const SetMatch match = MatchElement(pattern, pattern_at, static_cast<unsigned char>(text[text_at]));
      if (match.matches) {
        pattern_at = match.next;
        ++text_at;
        continue;
      }
    }
    if (retry_pattern == std::string_view::npos) return false;
    pattern_at = retry_pattern;
    text_at = ++retry_text;
  }
  while (pattern_at < pattern.size() && pattern[pattern_at] == '*') ++pattern_at;
  return pattern_at == pattern.size();
}

}  // namespace tandem::kv
