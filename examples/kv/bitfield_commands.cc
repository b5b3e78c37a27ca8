// SPDX-License-Identifier: Apache-2.0
//
// BITFIELD and BITFIELD_RO: integers of 1 to 64 bits at any bit of a value, the highest bit first.

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "tandem/examples/kv/bits.h"
#include "tandem/examples/kv/command_context.h"

namespace tandem::kv {
namespace {

struct FieldType {
  bool is_signed;
  int bits;
};

enum class FieldAction : uint8_t { kGet, kSet, kIncrBy };
enum class Overflow : uint8_t { kWrap, kSaturate, kFail };

struct FieldOperation {
  FieldAction action;
  FieldType type;
  uint64_t offset;
  int64_t operand = 0;  // What to set or to add.
  Overflow overflow = Overflow::kWrap;
};

// Numbers of both kinds of types, and sums of two of them.
using Wide = __int128;

Wide MinOf(FieldType type) { return type.is_signed ? -(Wide{1} << (type.bits - 1)) : 0; }
Wide MaxOf(FieldType type) { return (Wide{1} << (type.is_signed ? type.bits - 1 : type.bits)) - 1; }

uint64_t MaskOf(FieldType type) { return ~uint64_t{0} >> (64 - type.bits); }

// `bits` as a number of `type`; higher bits do not matter.
int64_t FromBits(FieldType type, uint64_t bits) {
  bits &= MaskOf(type);
  const bool is_negative = type.is_signed && (bits >> (type.bits - 1)) != 0;
  return static_cast<int64_t>(is_negative ? bits | ~MaskOf(type) : bits);
}

uint64_t LoadBits(std::string_view bytes, uint64_t offset, int count) {
  const uint64_t byte = offset / 8;
  const int skipped = static_cast<int>(offset % 8);
  const std::string_view rest = byte < bytes.size() ? bytes.substr(byte) : std::string_view();
  uint64_t word = LoadBigEndian(rest) << skipped;
  if (skipped > 0 && rest.size() > 8) word |= static_cast<unsigned char>(rest[8]) >> (8 - skipped);
  return word >> (64 - count);
}

void StoreBits(std::span<char> bytes, uint64_t offset, int count, uint64_t value) {
  for (int i = 0; i < count; ++i, ++offset) {
    const auto mask = static_cast<unsigned char>(0x80 >> offset % 8);
    const bool bit = ((value >> (count - 1 - i)) & 1) != 0;
    char& byte = bytes[offset / 8];
    byte = static_cast<char>(bit ? byte | mask : byte & ~mask);
  }
}

std::optional<FieldType> FieldTypeArg(CommandContext& context, size_t index) {
  const std::string_view text = context.arg(index);
  const bool is_signed = !text.empty() && text.front() == 'i';
  const std::optional<int64_t> bits =
      is_signed || (!text.empty() && text.front() == 'u') ? ParseInteger(text.substr(1)) : std::nullopt;
  if (!bits.has_value() || *bits < 1 || *bits > (is_signed ? 64 : 63)) {
    context.reply.Error(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
    return std::nullopt;
  }
  return FieldType{is_signed, static_cast<int>(*bits)};
}

// "#3" is the fourth integer of its width.
std::optional<uint64_t> FieldOffsetArg(CommandContext& context, size_t index, FieldType type) {
  const std::string_view text = context.arg(index);
  const bool counts_fields = !text.empty() && text.front() == '#';
  return BitOffsetArg(context, counts_fields ? text.substr(1) : text, counts_fields ? type.bits : 1);
}

std::optional<Overflow> OverflowArg(CommandContext& context, size_t index) {
  if (context.ArgIs(index, "WRAP")) return Overflow::kWrap;
  if (context.ArgIs(index, "SAT")) return Overflow::kSaturate;
  if (context.ArgIs(index, "FAIL")) return Overflow::kFail;
  context.reply.Error("ERR Invalid OVERFLOW type specified");
  return std::nullopt;
}

// Reads the operations. Replies with the error and returns nothing if one is wrong.
std::optional<std::vector<FieldOperation>> ParseFieldOperations(CommandContext& context) {
  std::vector<FieldOperation> operations;
  Overflow overflow = Overflow::kWrap;
  const size_t count = context.arguments.size();
  for (size_t i = 2; i < count;) {
    const size_t following = count - i - 1;
    if (context.ArgIs(i, "OVERFLOW") && following >= 1) {
      const std::optional<Overflow> next = OverflowArg(context, i + 1);
      if (!next.has_value()) return std::nullopt;
      overflow = *next;
      i += 2;
      continue;
    }
    const bool is_get = context.ArgIs(i, "GET") && following >= 2;
    const bool is_set = context.ArgIs(i, "SET") && following >= 3;
    const bool is_incr_by = context.ArgIs(i, "INCRBY") && following >= 3;
    if (!is_get && !is_set && !is_incr_by) {
      context.reply.Error(kSyntaxError);
      return std::nullopt;
    }
    const std::optional<FieldType> type = FieldTypeArg(context, i + 1);
    if (!type.has_value()) return std::nullopt;
    const std::optional<uint64_t> offset = FieldOffsetArg(context, i + 2, *type);
    if (!offset.has_value()) return std::nullopt;
    FieldOperation operation{FieldAction::kGet, *type, *offset};
    if (!is_get) {
      const std::optional<int64_t> operand = context.IntegerArg(i + 3);
      if (!operand.has_value()) return std::nullopt;
      operation.action = is_set ? FieldAction::kSet : FieldAction::kIncrBy;
      operation.operand = *operand;
      operation.overflow = overflow;
    }
    operations.push_back(operation);
    i += is_get ? 3 : 4;
  }
  return operations;
}

// What a field becomes that should become `wanted`, which may not fit. Nothing if it must fit.
std::optional<int64_t> Fit(const FieldOperation& operation, Wide wanted) {
  const FieldType type = operation.type;
  if (wanted >= MinOf(type) && wanted <= MaxOf(type)) return static_cast<int64_t>(wanted);
  switch (operation.overflow) {
    case Overflow::kWrap:
      return FromBits(type, static_cast<uint64_t>(wanted));
    case Overflow::kSaturate:
      return static_cast<int64_t>(wanted < MinOf(type) ? MinOf(type) : MaxOf(type));
    case Overflow::kFail:
      break;
  }
  return std::nullopt;
}

// Executes SET or INCRBY on `bytes`.
void Change(CommandContext& context, const FieldOperation& operation, std::span<char> bytes) {
  const FieldType type = operation.type;
  const std::string_view view(bytes.data(), bytes.size());
  const int64_t before = FromBits(type, LoadBits(view, operation.offset, type.bits));
  // Redis takes what to set an unsigned field to as the unsigned number of the same bits.
  const bool is_set = operation.action == FieldAction::kSet;
  const Wide operand = is_set && !type.is_signed ? Wide{static_cast<uint64_t>(operation.operand)} : operation.operand;
  const std::optional<int64_t> after = Fit(operation, is_set ? operand : before + operand);
  if (!after.has_value()) return context.reply.Null();
  StoreBits(bytes, operation.offset, type.bits, static_cast<uint64_t>(*after));
  context.reply.Integer(is_set ? before : *after);
}

void BitField(CommandContext& context, bool is_read_only) {
  const std::optional<std::vector<FieldOperation>> operations = ParseFieldOperations(context);
  if (!operations.has_value()) return;
  const std::string_view key = context.arg(1);
  bool changes = false;
  uint64_t last_bit = 0;
  for (const FieldOperation& operation : *operations) {
    if (operation.action == FieldAction::kGet) continue;
    changes = true;
    last_bit = std::max<uint64_t>(last_bit, operation.offset + static_cast<uint64_t>(operation.type.bits) - 1);
  }
  if (changes && is_read_only) return context.reply.Error("ERR BITFIELD_RO only supports the GET subcommand");

  std::span<char> bytes;
  if (changes) bytes = EditBits(context, key, last_bit);
  const Store::Entry* const entry = changes ? nullptr : context.FindForRead(key);
  const std::string_view view = entry != nullptr ? entry->value.view() : std::string_view(bytes.data(), bytes.size());
  context.reply.Array(operations->size());
  for (const FieldOperation& operation : *operations) {
    if (operation.action == FieldAction::kGet) {
      const FieldType type = operation.type;
      context.reply.Integer(FromBits(type, LoadBits(view, operation.offset, type.bits)));
    } else {
      Change(context, operation, bytes);
    }
  }
}

}  // namespace

void HandleBitField(CommandContext& context) { BitField(context, /*is_read_only=*/false); }

void HandleBitFieldRo(CommandContext& context) { BitField(context, /*is_read_only=*/true); }

}  // namespace tandem::kv
