// SPDX-License-Identifier: Apache-2.0
//
// Decimal numbers in the text of addresses and ports, for every parser of them: what one refuses no other accepts.

#ifndef TANDEM_CORE_IO_DECIMAL_H_
#define TANDEM_CORE_IO_DECIMAL_H_

#include <cstdint>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace tandem::internal {

// The value of `text`, at most `max`. Digits only: no sign, no space, no leading zero ("010" is octal to some parsers
// and ten to others).
inline std::optional<uint32_t> ParseDecimal(absl::string_view text, uint32_t max) {
  if (text.empty() || text.size() > 10) return std::nullopt;
  if (text.size() > 1 && text[0] == '0') return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  if (value > max) return std::nullopt;
  return static_cast<uint32_t>(value);
}

}  // namespace tandem::internal

#endif  // TANDEM_CORE_IO_DECIMAL_H_
