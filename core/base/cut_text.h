// SPDX-License-Identifier: Apache-2.0
//
// Texts that programs make, of any length, in what people read of a failure. Each is cut once, where it is taken in:
// whoever shows or writes it later has only so much of it.

#ifndef TANDEM_CORE_BASE_CUT_TEXT_H_
#define TANDEM_CORE_BASE_CUT_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace tandem::internal {

// In bytes: of why something has failed, and of one value, line of a log or remark.
inline constexpr size_t kMessageMax = 16 << 10;
inline constexpr size_t kTextMax = 4 << 10;

// The first bytes of `text`, at most `max` of them; where it is UTF-8, whole characters. Uses no heap.
absl::string_view BeginningOf(absl::string_view text, size_t max);

// What stands behind the beginning of a text of which so many bytes are left out: "... (3000 bytes more)"; empty for 0.
std::string BytesMore(uint64_t left_out);

// Both: `text` itself, if it is not longer than `max`.
std::string CutText(absl::string_view text, size_t max);

}  // namespace tandem::internal

#endif  // TANDEM_CORE_BASE_CUT_TEXT_H_
