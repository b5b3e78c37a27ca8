// SPDX-License-Identifier: Apache-2.0
//
// The one spelling of an integer that Redis accepts, in protocol headers, in arguments and in stored values.

#ifndef TANDEM_EXAMPLES_KV_INTEGER_H_
#define TANDEM_EXAMPLES_KV_INTEGER_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace tandem::kv {

// Reads `text` as a signed 64-bit decimal in canonical form: an optional '-', then digits without a leading zero.
// Returns nothing for any other text ("", "+1", "007", "-0", " 1", "1e3") and for a value out of range. Canonical means
// that printing the result gives `text` back, so INCR never changes how an untouched value reads.
std::optional<int64_t> ParseInteger(std::string_view text);

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_INTEGER_H_
