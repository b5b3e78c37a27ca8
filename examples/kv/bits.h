// SPDX-License-Identifier: Apache-2.0
//
// What the commands on bits share. Private to them. Bit 0 is the highest bit of the first byte.

#ifndef TANDEM_EXAMPLES_KV_BITS_H_
#define TANDEM_EXAMPLES_KV_BITS_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "tandem/examples/kv/command_context.h"
#include "tandem/examples/kv/integer.h"

namespace tandem::kv {

// The first eight bytes of `bytes` as a number, the first one highest; missing ones are zero.
inline uint64_t LoadBigEndian(std::string_view bytes) {
  uint64_t word = 0;
  if (bytes.size() >= sizeof(word)) {
    std::memcpy(&word, bytes.data(), sizeof(word));
    return std::endian::native == std::endian::little ? __builtin_bswap64(word) : word;
  }
  for (size_t i = 0; i < 8; ++i) word = word << 8 | (i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0u);
  return word;
}

// `text` as the offset of a bit, in units of `unit_bits`; replies with the error and returns nothing if no value can
// have that bit.
std::optional<uint64_t> BitOffsetArg(CommandContext& context, std::string_view text, int64_t unit_bits);

// The bytes of the value at `key`, to be changed; made longer by zeros so that it has the bit `last_bit`.
std::span<char> EditBits(CommandContext& context, std::string_view key, uint64_t last_bit);

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_BITS_H_
