// SPDX-License-Identifier: Apache-2.0
//
// Commands that count: values that are numbers.

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "tandem/examples/kv/command_context.h"
#include "tandem/examples/kv/integer.h"

namespace tandem::kv {
namespace {

constexpr char kNotAFloatError[] = "ERR value is not a valid float";

// Redis reads no longer ones.
constexpr size_t kMaxFloatBytes = 5 * 1024;

// Stores what a number at `key` has become; `entry` is its entry or null. Returns the entry.
const Store::Entry& StoreNumber(CommandContext& context, std::string_view key, const Store::Entry* entry,
                                std::string number) {
  Value value(std::move(number));
  if (entry == nullptr) return context.store.Set(key, std::move(value), kNoExpiry, context.now_ms);
  context.store.Replace(*entry, std::move(value));
  return *entry;
}

// Adds `delta` to the number at `key`, which counts as 0 if it is absent.
void AddToNumber(CommandContext& context, std::string_view key, int64_t delta) {
  const Store::Entry* const entry = context.store.Find(key, context.now_ms);
  int64_t number = 0;
  if (entry != nullptr) {
    const std::optional<int64_t> stored = ParseInteger(entry->value.view());
    if (!stored.has_value()) return context.reply.Error(kNotAnIntegerError);
    number = *stored;
  }
  int64_t sum = 0;
  if (__builtin_add_overflow(number, delta, &sum)) {
    return context.reply.Error("ERR increment or decrement would overflow");
  }
  StoreNumber(context, key, entry, absl::StrCat(sum));
  context.reply.Integer(sum);
}

// Reads what strtold() reads, all of `text`: decimal and hexadecimal numbers and infinities, but no NaN, and nothing
// out of range.
std::optional<long double> ParseFloat(std::string_view text) {
  if (text.empty() || text.size() >= kMaxFloatBytes || absl::ascii_isspace(static_cast<unsigned char>(text.front()))) {
    return std::nullopt;
  }
  const std::string terminated(text);
  char* end = nullptr;
  errno = 0;
  const long double value = std::strtold(terminated.c_str(), &end);
  if (end != terminated.c_str() + terminated.size() || std::isnan(value)) return std::nullopt;
  if (errno == ERANGE && (std::isinf(value) || value == 0)) return std::nullopt;
  return value;
}

// 17 digits behind the point, without the zeros at their end: enough for most short decimals to read back unchanged.
std::string FormatFloat(long double value) {
  std::string text(kMaxFloatBytes, '\0');  // The largest long double has 4933 digits before the point.
  text.resize(static_cast<size_t>(std::snprintf(text.data(), text.size(), "%.17Lf", value)));
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

}  // namespace

void HandleIncr(CommandContext& context) { AddToNumber(context, context.arg(1), 1); }

void HandleDecr(CommandContext& context) { AddToNumber(context, context.arg(1), -1); }

void HandleIncrBy(CommandContext& context) {
  const std::optional<int64_t> delta = context.IntegerArg(2);
  if (delta.has_value()) AddToNumber(context, context.arg(1), *delta);
}

void HandleDecrBy(CommandContext& context) {
  const std::optional<int64_t> delta = context.IntegerArg(2);
  if (!delta.has_value()) return;
  if (*delta == std::numeric_limits<int64_t>::min()) return context.reply.Error("ERR decrement would overflow");
  AddToNumber(context, context.arg(1), -*delta);
}

void HandleIncrByFloat(CommandContext& context) {
  const std::string_view key = context.arg(1);
  const Store::Entry* const entry = context.store.Find(key, context.now_ms);
  const std::optional<long double> stored = entry != nullptr ? ParseFloat(entry->value.view()) : 0.0L;
  const std::optional<long double> delta = ParseFloat(context.arg(2));
  if (!stored.has_value() || !delta.has_value()) return context.reply.Error(kNotAFloatError);
  const long double sum = *stored + *delta;
  if (!std::isfinite(sum)) return context.reply.Error("ERR increment would produce NaN or Infinity");
  const std::string text = FormatFloat(sum);
  context.reply.Bulk(std::string_view(text));
  context.store.SetForm(StoreNumber(context, key, entry, text), ValueForm::kText);
}

}  // namespace tandem::kv
