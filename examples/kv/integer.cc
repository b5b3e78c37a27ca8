// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/integer.h"

#include <charconv>
#include <system_error>

namespace tandem::kv {

std::optional<int64_t> ParseInteger(std::string_view text) {
  if (text == "0") return 0;
  const size_t first_digit = !text.empty() && text.front() == '-' ? 1 : 0;
  if (first_digit >= text.size() || text[first_digit] < '1' || text[first_digit] > '9') return std::nullopt;

  int64_t value = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const std::from_chars_result result = std::from_chars(begin, end, value);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

}  // namespace tandem::kv
