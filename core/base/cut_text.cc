// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/base/cut_text.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tandem::internal {

absl::string_view BeginningOf(absl::string_view text, size_t max) {
  constexpr size_t kBytesOfACharacter = 4;
  if (text.size() <= max) return text;
  const auto goes_on = [text](size_t at) { return (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80; };
  size_t size = max;
  while (size > 0 && max - size < kBytesOfACharacter && goes_on(size)) --size;
  return text.substr(0, max - size < kBytesOfACharacter ? size : max);  // Else no character begins there.
}

std::string BytesMore(uint64_t left_out) {
  return left_out == 0 ? "" : absl::StrCat("... (", left_out, left_out == 1 ? " byte more)" : " bytes more)");
}

std::string CutText(absl::string_view text, size_t max) {
  const absl::string_view beginning = BeginningOf(text, max);
  return absl::StrCat(beginning, BytesMore(text.size() - beginning.size()));
}

}  // namespace tandem::internal
