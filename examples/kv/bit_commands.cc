// SPDX-License-Identifier: Apache-2.0
//
// Commands on the bits of a value. Bit 0 is the highest bit of the first byte.

#include <algorithm>
#include <bit>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tandem/examples/kv/bits.h"
#include "tandem/examples/kv/command_context.h"

namespace tandem::kv {
namespace {

constexpr char kBadBitError[] = "ERR bit is not an integer or out of range";

bool BitOf(std::string_view bytes, uint64_t offset) {
  const uint64_t byte = offset / 8;
  return byte < bytes.size() && ((static_cast<unsigned char>(bytes[byte]) >> (7 - offset % 8)) & 1) != 0;
}

// A range of bits, as BITCOUNT and BITPOS take it: the bits from `begin` up to but without `end`.
struct BitRange {
  uint64_t begin;
  uint64_t end;
  bool is_empty() const { return begin >= end; }
};

struct RangeArguments {
  int64_t first = 0;
  int64_t last = -1;
  bool counts_bits = false;
};

// Reads BIT or BYTE.
bool ParseRangeUnit(CommandContext& context, size_t index, RangeArguments& range) {
  range.counts_bits = context.ArgIs(index, "BIT");
  if (range.counts_bits || context.ArgIs(index, "BYTE")) return true;
  context.reply.Error(kSyntaxError);
  return false;
}

// The bits of a value of `size` bytes that `range` means.
BitRange Resolve(const RangeArguments& range, size_t size) {
  const int64_t unit_bits = range.counts_bits ? 1 : 8;
  const int64_t length = static_cast<int64_t>(size) * 8 / unit_bits;
  int64_t first = range.first < 0 ? range.first + length : range.first;
  int64_t last = range.last < 0 ? range.last + length : range.last;
  first = std::max<int64_t>(first, 0);
  last = std::min(std::max<int64_t>(last, 0), length - 1);
  if (first > last) return {0, 0};
  return {static_cast<uint64_t>(first * unit_bits), static_cast<uint64_t>((last + 1) * unit_bits)};
}

// Calls `visit` with the words of 64 bits that make up `range`, in order: the first bit highest. Bits outside of the
// range are `padding`. Stops when `visit` returns false.
template <typename Visit>
void ForEachWord(std::string_view bytes, BitRange range, bool padding, Visit visit) {
  for (uint64_t at = range.begin; at < range.end;) {
    const uint64_t byte = at / 8;
    const uint64_t skipped = at % 8;
    uint64_t word = LoadBigEndian(bytes.substr(byte, 8));
    const uint64_t stop = std::min(range.end, byte * 8 + 64);
    uint64_t inside = ~uint64_t{0} >> skipped;
    if (const uint64_t unused = byte * 8 + 64 - stop; unused > 0) inside &= ~uint64_t{0} << unused;
    word = padding ? word | ~inside : word & inside;
    if (!visit(byte * 8, word)) return;
    at = stop;
  }
}

enum class BitOperation : uint8_t { kAnd, kOr, kXor, kNot };

std::optional<BitOperation> ParseBitOperation(const CommandContext& context) {
  if (context.ArgIs(1, "AND")) return BitOperation::kAnd;
  if (context.ArgIs(1, "OR")) return BitOperation::kOr;
  if (context.ArgIs(1, "XOR")) return BitOperation::kXor;
  if (context.ArgIs(1, "NOT")) return BitOperation::kNot;
  return std::nullopt;
}

// Combines `bytes` with `other`, which counts as continued by zeros.
void Combine(BitOperation operation, std::string& bytes, std::string_view other) {
  const size_t common = std::min(bytes.size(), other.size());
  switch (operation) {
    case BitOperation::kAnd:
      for (size_t i = 0; i < common; ++i) bytes[i] = static_cast<char>(bytes[i] & other[i]);
      std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(common), bytes.end(), '\0');
      break;
    case BitOperation::kOr:
      for (size_t i = 0; i < common; ++i) bytes[i] = static_cast<char>(bytes[i] | other[i]);
      break;
    case BitOperation::kXor:
      for (size_t i = 0; i < common; ++i) bytes[i] = static_cast<char>(bytes[i] ^ other[i]);
      break;
    case BitOperation::kNot:
      for (char& byte : bytes) byte = static_cast<char>(~byte);
      break;
  }
}

}  // namespace

std::optional<uint64_t> BitOffsetArg(CommandContext& context, std::string_view text, int64_t unit_bits) {
  constexpr char kError[] = "ERR bit offset is not an integer or out of range";
  const std::optional<int64_t> number = ParseInteger(text);
  int64_t offset = 0;
  if (!number.has_value() || __builtin_mul_overflow(*number, unit_bits, &offset) || offset < 0 ||
      static_cast<uint64_t>(offset) / 8 >= context.settings.request_limits.max_bulk_bytes) {
    context.reply.Error(kError);
    return std::nullopt;
  }
  return static_cast<uint64_t>(offset);
}

std::span<char> EditBits(CommandContext& context, std::string_view key, uint64_t last_bit) {
  const Store::Entry* entry = context.store.Find(key, context.now_ms);
  if (entry == nullptr) entry = &context.store.Set(key, Value(), kNoExpiry, context.now_ms);
  return context.store.Edit(*entry, std::max<size_t>(entry->value.size(), last_bit / 8 + 1));
}

void HandleSetBit(CommandContext& context) {
  const std::optional<uint64_t> offset = BitOffsetArg(context, context.arg(2), 1);
  if (!offset.has_value()) return;
  const std::optional<int64_t> bit = context.IntegerArg(3, kBadBitError);
  if (!bit.has_value()) return;
  if (*bit != 0 && *bit != 1) return context.reply.Error(kBadBitError);
  char& byte = EditBits(context, context.arg(1), *offset)[*offset / 8];
  const auto mask = static_cast<unsigned char>(0x80 >> *offset % 8);
  const auto before = static_cast<unsigned char>(byte);
  byte = static_cast<char>(*bit == 1 ? before | mask : before & ~mask);
  context.reply.Integer((before & mask) != 0 ? 1 : 0);
}

void HandleGetBit(CommandContext& context) {
  const std::optional<uint64_t> offset = BitOffsetArg(context, context.arg(2), 1);
  if (!offset.has_value()) return;
  const Store::Entry* const entry = context.FindForRead(context.arg(1));
  context.reply.Integer(entry != nullptr && BitOf(entry->value.view(), *offset) ? 1 : 0);
}

void HandleBitCount(CommandContext& context) {
  const Store::Entry* const entry = context.FindForRead(context.arg(1));
  if (entry == nullptr) return context.reply.Integer(0);
  RangeArguments range;
  const size_t count = context.arguments.size();
  if (count == 3 || count > 5) return context.reply.Error(kSyntaxError);
  if (count >= 4) {
    const std::optional<int64_t> first = context.IntegerArg(2);
    if (!first.has_value()) return;
    const std::optional<int64_t> last = context.IntegerArg(3);
    if (!last.has_value()) return;
    range.first = *first;
    range.last = *last;
    if (range.first < 0 && range.last < 0 && range.first > range.last) return context.reply.Integer(0);
    if (count == 5 && !ParseRangeUnit(context, 4, range)) return;
  }
  const std::string_view bytes = entry->value.view();
  int64_t bits = 0;
  ForEachWord(bytes, Resolve(range, bytes.size()), /*padding=*/false, [&bits](uint64_t, uint64_t word) {
    bits += std::popcount(word);
    return true;
  });
  context.reply.Integer(bits);
}

void HandleBitPos(CommandContext& context) {
  const std::optional<int64_t> bit = context.IntegerArg(2);
  if (!bit.has_value()) return;
  if (*bit != 0 && *bit != 1) return context.reply.Error("ERR The bit argument must be 1 or 0.");
  const Store::Entry* const entry = context.FindForRead(context.arg(1));
  if (entry == nullptr) return context.reply.Integer(*bit == 1 ? -1 : 0);

  RangeArguments range;
  const size_t count = context.arguments.size();
  if (count > 6) return context.reply.Error(kSyntaxError);
  if (count >= 4) {
    const std::optional<int64_t> first = context.IntegerArg(3);
    if (!first.has_value()) return;
    range.first = *first;
  }
  if (count == 6 && !ParseRangeUnit(context, 5, range)) return;
  const bool has_end = count >= 5;
  if (has_end) {
    const std::optional<int64_t> last = context.IntegerArg(4);
    if (!last.has_value()) return;
    range.last = *last;
  }

  const std::string_view bytes = entry->value.view();
  const BitRange bits = Resolve(range, bytes.size());
  if (bits.is_empty()) return context.reply.Integer(-1);
  int64_t position = -1;
  ForEachWord(bytes, bits, /*padding=*/*bit == 0, [&position, &bit](uint64_t word_begin, uint64_t word) {
    const int skipped = *bit == 1 ? std::countl_zero(word) : std::countl_one(word);
    if (skipped < 64) position = static_cast<int64_t>(word_begin) + skipped;
    return skipped == 64;
  });
  // Without an end, the value counts as continued by zeros.
  if (position < 0 && *bit == 0 && !has_end) position = static_cast<int64_t>(bits.end);
  context.reply.Integer(position);
}

void HandleBitOp(CommandContext& context) {
  const std::optional<BitOperation> operation = ParseBitOperation(context);
  if (!operation.has_value()) return context.reply.Error(kSyntaxError);
  if (*operation == BitOperation::kNot && context.arguments.size() != 4) {
    return context.reply.Error("ERR BITOP NOT must be called with a single source key.");
  }
  std::vector<std::string_view> sources;
  size_t size = 0;
  for (size_t i = 3; i < context.arguments.size(); ++i) {
    const Store::Entry* const entry = context.FindForRead(context.arg(i));
    sources.push_back(entry != nullptr ? entry->value.view() : std::string_view());
    size = std::max(size, sources.back().size());
  }
  const std::string_view key = context.arg(2);
  if (size == 0) {
    context.store.Erase(key, context.now_ms);
    return context.reply.Integer(0);
  }
  std::string bytes(sources.front());
  bytes.resize(size);
  if (*operation == BitOperation::kNot) Combine(*operation, bytes, {});
  for (size_t i = 1; i < sources.size(); ++i) Combine(*operation, bytes, sources[i]);
  context.store.SetForm(context.store.Set(key, Value(std::move(bytes)), kNoExpiry, context.now_ms), ValueForm::kEdited);
  context.reply.Integer(static_cast<int64_t>(size));
}

}  // namespace tandem::kv
