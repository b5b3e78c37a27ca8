// SPDX-License-Identifier: Apache-2.0

#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "examples/kv/command_context.h"
#include "examples/kv/integer.h"

namespace tandem::kv {
namespace {

struct SetOptions {
  bool if_absent = false;
  bool if_present = false;
  bool get = false;
  bool keep_ttl = false;
  size_t expiry_argument = 0;  // 0 if there is none.
  int64_t expiry_unit_ns = 0;
};

// Reads the options of SET behind the value. Returns nothing for what does not combine.
std::optional<SetOptions> ParseSetOptions(const CommandContext& context) {
  SetOptions options;
  for (size_t i = 3; i < context.arguments.size(); ++i) {
    const bool has_next = i + 1 < context.arguments.size();
    const bool is_seconds = context.ArgIs(i, "EX");
    const bool is_milliseconds = context.ArgIs(i, "PX");
    const int64_t unit_ns = is_seconds ? kNanosecondsPerSecond : kNanosecondsPerMillisecond;
    const bool other_expiry = options.expiry_argument != 0 && options.expiry_unit_ns != unit_ns;
    if (context.ArgIs(i, "NX") && !options.if_present) {
      options.if_absent = true;
    } else if (context.ArgIs(i, "XX") && !options.if_absent) {
      options.if_present = true;
    } else if (context.ArgIs(i, "GET")) {
      options.get = true;
    } else if (context.ArgIs(i, "KEEPTTL") && options.expiry_argument == 0) {
      options.keep_ttl = true;
    } else if ((is_seconds || is_milliseconds) && has_next && !options.keep_ttl && !other_expiry) {
      options.expiry_argument = ++i;  // Of several in one unit the last one counts.
      options.expiry_unit_ns = unit_ns;
    } else {
      return std::nullopt;
    }
  }
  return options;
}

// Adds `delta` to the number at `key`, which counts as 0 if it is absent.
void AddToNumber(CommandContext& context, std::string_view key, int64_t delta) {
  const Store::Entry* const entry = context.store.Find(key, context.now_ns);
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
  Value value(absl::StrCat(sum));
  if (entry != nullptr) {
    context.store.Replace(*entry, std::move(value));
  } else {
    context.store.Set(key, std::move(value), kNoExpiry);
  }
  context.reply.Integer(sum);
}

}  // namespace

void HandleGet(CommandContext& context) { context.ValueOrNull(context.FindForRead(context.arg(1))); }

void HandleSet(CommandContext& context) {
  const std::optional<SetOptions> options = ParseSetOptions(context);
  if (!options.has_value()) return context.reply.Error(kSyntaxError);

  int64_t expires_at_ns = kNoExpiry;
  if (options->expiry_argument != 0) {
    const std::optional<int64_t> amount = context.IntegerArg(options->expiry_argument);
    if (!amount.has_value()) return;
    const std::optional<int64_t> expiry = ExpiryAfter(context.now_ns, *amount, options->expiry_unit_ns);
    if (*amount <= 0 || !expiry.has_value()) return context.reply.Error("ERR invalid expire time in 'set' command");
    expires_at_ns = *expiry;
  }

  const std::string_view key = context.arg(1);
  const Store::Entry* const before = context.store.Find(key, context.now_ns);
  if (options->get) context.ValueOrNull(before);
  const bool is_refused = before != nullptr ? options->if_absent : options->if_present;
  if (is_refused) {
    if (!options->get) context.reply.Null();
    return;
  }
  if (options->keep_ttl && before != nullptr) expires_at_ns = before->expires_at_ns;
  Value value(context.arguments[2].Take());
  if (before != nullptr) {
    // Saves the second lookup, which is most of what an overwrite costs.
    context.store.Replace(*before, std::move(value));
    context.store.SetExpiry(*before, expires_at_ns);
  } else {
    context.store.Set(key, std::move(value), expires_at_ns);
  }
  if (!options->get) context.Ok();
}

void HandleGetSet(CommandContext& context) {
  const std::string_view key = context.arg(1);
  context.ValueOrNull(context.FindForRead(key));
  context.store.Set(key, Value(context.arguments[2].Take()), kNoExpiry);
}

void HandleSetNx(CommandContext& context) {
  const std::string_view key = context.arg(1);
  const bool is_absent = context.store.Find(key, context.now_ns) == nullptr;
  if (is_absent) context.store.Set(key, Value(context.arguments[2].Take()), kNoExpiry);
  context.reply.Integer(is_absent ? 1 : 0);
}

void HandleMGet(CommandContext& context) {
  const ReplyBuffer::Mark start = context.reply.mark();
  context.reply.Array(context.arguments.size() - 1);
  for (size_t i = 1; i < context.arguments.size(); ++i) {
    context.ValueOrNull(context.FindForRead(context.arg(i)));
    if (context.RefuseLongReply(start)) return;
  }
}

void HandleMSet(CommandContext& context) {
  if (context.arguments.size() % 2 == 0) return context.WrongArity("mset");
  for (size_t i = 1; i < context.arguments.size(); i += 2) {
    context.store.Set(context.arg(i), Value(context.arguments[i + 1].Take()), kNoExpiry);
  }
  context.Ok();
}

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

void HandleAppend(CommandContext& context) {
  const std::string_view key = context.arg(1);
  const std::string_view tail = context.arg(2);
  const Store::Entry* const entry = context.store.Find(key, context.now_ns);
  const size_t size = tail.size() + (entry != nullptr ? entry->value.size() : 0);
  if (size > context.settings.request_limits.max_bulk_bytes) {
    return context.reply.Error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
  }
  if (entry != nullptr) {
    context.store.Append(*entry, tail);
  } else {
    context.store.Set(key, Value(context.arguments[2].Take()), kNoExpiry);
  }
  context.reply.Integer(static_cast<int64_t>(size));
}

void HandleStrLen(CommandContext& context) {
  const Store::Entry* const entry = context.FindForRead(context.arg(1));
  context.reply.Integer(entry != nullptr ? static_cast<int64_t>(entry->value.size()) : 0);
}

}  // namespace tandem::kv
