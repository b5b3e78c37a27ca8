// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_divergence.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tandem::testing {
namespace {

constexpr int kContextLines = 5;

// Returns the start of the line that `position` is in.
size_t LineStart(absl::string_view text, size_t position) {
  const size_t newline = position == 0 ? absl::string_view::npos : text.rfind('\n', position - 1);
  return newline == absl::string_view::npos ? 0 : newline + 1;
}

absl::string_view LineAt(absl::string_view text, size_t start) {
  if (start >= text.size()) return "(the trace ends)";
  return text.substr(start, text.find('\n', start) - start);
}

// The number behind "  #".
std::optional<uint64_t> RecordOf(absl::string_view line) {
  constexpr absl::string_view kMark = "  #";
  const size_t mark = line.rfind(kMark);
  if (mark == absl::string_view::npos) return std::nullopt;
  line.remove_prefix(mark + kMark.size());
  uint64_t number = 0;
  if (!absl::SimpleAtoi(line.substr(0, line.find(' ')), &number)) return std::nullopt;
  return number;
}

}  // namespace

Divergence FindFirstDifference(absl::string_view first, absl::string_view second) {
  const auto parting = std::mismatch(first.begin(), first.end(), second.begin(), second.end());
  if (parting.first == first.end() && parting.second == second.end()) return {};
  const size_t line = LineStart(first, static_cast<size_t>(parting.first - first.begin()));
  const int64_t number = 1 + std::count(first.begin(), first.begin() + static_cast<ptrdiff_t>(line), '\n');
  size_t context = line;
  for (int i = 0; i < kContextLines && context > 0; ++i) context = LineStart(first, context - 1);
  std::optional<uint64_t> record = RecordOf(LineAt(first, line));
  if (!record.has_value()) record = RecordOf(LineAt(second, line));
  return {absl::StrCat("the traces part at line ", number, ":\n", first.substr(context, line - context),
                       "run 1: ", LineAt(first, line), "\nrun 2: ", LineAt(second, line), "\n"),
          record};
}

}  // namespace tandem::testing
