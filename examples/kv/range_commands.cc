// SPDX-License-Identifier: Apache-2.0
//
// Commands on parts of a value, and on its length.

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tandem/examples/kv/command_context.h"

namespace tandem::kv {
namespace {

// Replies with the error and returns true if no value may have `size` bytes.
bool RefuseLongValue(CommandContext& context, size_t size) {
  if (size <= context.settings.request_limits.max_bulk_bytes) return false;
  context.reply.Error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
  return true;
}

// The part of `bytes` from index `first` to index `last`, both included; negative ones count from the end.
std::string_view Range(std::string_view bytes, int64_t first, int64_t last) {
  const auto size = static_cast<int64_t>(bytes.size());
  if (first < 0 && last < 0 && first > last) return {};
  if (first < 0) first = std::max<int64_t>(first + size, 0);
  if (last < 0) last = std::max<int64_t>(last + size, 0);
  last = std::min(last, size - 1);
  if (first > last) return {};
  return bytes.substr(static_cast<size_t>(first), static_cast<size_t>(last - first + 1));
}

}  // namespace

void HandleAppend(CommandContext& context) {
  const std::string_view key = context.arg(1);
  const std::string_view tail = context.arg(2);
  const Store::Entry* const entry = context.store.Find(key, context.now_ms);
  const size_t size = tail.size() + (entry != nullptr ? entry->value.size() : 0);
  if (RefuseLongValue(context, size)) return;
  if (entry != nullptr) {
    context.store.Append(*entry, tail);
  } else {
    context.store.Set(key, Value(context.arguments[2].Take()), kNoExpiry, context.now_ms);
  }
  context.reply.Integer(static_cast<int64_t>(size));
}

void HandleStrLen(CommandContext& context) {
  const Store::Entry* const entry = context.FindForRead(context.arg(1));
  context.reply.Integer(entry != nullptr ? static_cast<int64_t>(entry->value.size()) : 0);
}

void HandleGetRange(CommandContext& context) {
  const std::optional<int64_t> first = context.IntegerArg(2);
  if (!first.has_value()) return;
  const std::optional<int64_t> last = context.IntegerArg(3);
  if (!last.has_value()) return;
  const Store::Entry* const entry = context.FindForRead(context.arg(1));
  if (entry == nullptr) return context.reply.Bulk("");

  const std::string_view range = Range(entry->value.view(), *first, *last);
  if (range.size() == entry->value.size()) return context.reply.Bulk(entry->value);  // Shared, if it is large.
  if (context.RefuseLongCopy(range.size())) return;
  context.reply.Bulk(range);
}

void HandleSetRange(CommandContext& context) {
  const std::optional<int64_t> offset = context.IntegerArg(2);
  if (!offset.has_value()) return;
  if (*offset < 0) return context.reply.Error("ERR offset is out of range");
  const std::string_view key = context.arg(1);
  const std::string_view part = context.arg(3);
  const Store::Entry* entry = context.store.Find(key, context.now_ms);
  const size_t size_before = entry != nullptr ? entry->value.size() : 0;
  if (part.empty()) return context.reply.Integer(static_cast<int64_t>(size_before));

  const size_t begin = static_cast<size_t>(*offset);
  const size_t end = begin + part.size();
  if (RefuseLongValue(context, end)) return;
  if (entry == nullptr) entry = &context.store.Set(key, Value(), kNoExpiry, context.now_ms);
  const size_t size = std::max(size_before, end);
  const std::span<char> bytes = context.store.Edit(*entry, size);
  std::copy(part.begin(), part.end(), bytes.begin() + static_cast<std::ptrdiff_t>(begin));
  context.reply.Integer(static_cast<int64_t>(size));
}

}  // namespace tandem::kv
