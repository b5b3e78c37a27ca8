// SPDX-License-Identifier: Apache-2.0
//
// Commands that read and write whole values.

#include <optional>
#include <string_view>
#include <utility>

#include "tandem/examples/kv/command_context.h"

namespace tandem::kv {
namespace {

struct ExpiryOption {
  std::string_view name;
  ExpiryKind kind;
};
constexpr ExpiryOption kExpiryOptions[] = {{"EX", ExpiryKind::kSeconds},
                                           {"PX", ExpiryKind::kMilliseconds},
                                           {"EXAT", ExpiryKind::kUnixSeconds},
                                           {"PXAT", ExpiryKind::kUnixMilliseconds}};

// The options that SET and GETEX have.
struct ValueOptions {
  bool if_absent = false;
  bool if_present = false;
  bool get = false;
  bool keep_ttl = false;
  bool persist = false;
  ExpiryKind expiry_kind = ExpiryKind::kNone;
  size_t expiry_argument = 0;

  // Takes argument `index` as the name of an expiry, whose time follows. Returns whether it is one, and combines.
  bool TakeExpiry(const CommandContext& context, size_t index) {
    if (index + 1 >= context.arguments.size() || keep_ttl || persist) return false;
    for (const ExpiryOption& option : kExpiryOptions) {
      if (!context.ArgIs(index, option.name)) continue;
      if (expiry_kind != ExpiryKind::kNone && expiry_kind != option.kind) return false;
      expiry_kind = option.kind;
      expiry_argument = index + 1;  // Of several of one kind the last one counts.
      return true;
    }
    return false;
  }
};

// Reads the options of SET behind the value. Returns nothing for what does not combine.
std::optional<ValueOptions> ParseSetOptions(const CommandContext& context) {
  ValueOptions options;
  for (size_t i = 3; i < context.arguments.size(); ++i) {
    if (context.ArgIs(i, "NX") && !options.if_present) {
      options.if_absent = true;
    } else if (context.ArgIs(i, "XX") && !options.if_absent) {
      options.if_present = true;
    } else if (context.ArgIs(i, "GET")) {
      options.get = true;
    } else if (context.ArgIs(i, "KEEPTTL") && options.expiry_kind == ExpiryKind::kNone) {
      options.keep_ttl = true;
    } else if (options.TakeExpiry(context, i)) {
      ++i;
    } else {
      return std::nullopt;
    }
  }
  return options;
}

// Reads the options of GETEX. Returns nothing for what does not combine.
std::optional<ValueOptions> ParseGetExOptions(const CommandContext& context) {
  ValueOptions options;
  for (size_t i = 2; i < context.arguments.size(); ++i) {
    if (context.ArgIs(i, "PERSIST") && options.expiry_kind == ExpiryKind::kNone) {
      options.persist = true;
    } else if (options.TakeExpiry(context, i)) {
      ++i;
    } else {
      return std::nullopt;
    }
  }
  return options;
}

// Stores argument 3 for the time that argument 2 says.
void SetForATime(CommandContext& context, ExpiryKind kind) {
  const std::optional<int64_t> expires_at_ms = ExpiryArg(context, 2, kind, /*allows_past=*/false);
  if (!expires_at_ms.has_value()) return;
  context.store.Set(context.arg(1), Value(context.arguments[3].Take()), *expires_at_ms, context.now_ms);
  context.Ok();
}

void SetPairs(CommandContext& context) {
  for (size_t i = 1; i < context.arguments.size(); i += 2) {
    context.store.Set(context.arg(i), Value(context.arguments[i + 1].Take()), kNoExpiry, context.now_ms);
  }
}

}  // namespace

void HandleGet(CommandContext& context) { context.ValueOrNull(context.FindForRead(context.arg(1))); }

void HandleSet(CommandContext& context) {
  const std::optional<ValueOptions> options = ParseSetOptions(context);
  if (!options.has_value()) return context.reply.Error(kSyntaxError);

  int64_t expires_at_ms = kNoExpiry;
  if (options->expiry_kind != ExpiryKind::kNone) {
    const std::optional<int64_t> expiry =
        ExpiryArg(context, options->expiry_argument, options->expiry_kind, /*allows_past=*/false);
    if (!expiry.has_value()) return;
    expires_at_ms = *expiry;
  }

  const std::string_view key = context.arg(1);
  const Store::Entry* const before = context.store.Find(key, context.now_ms);
  if (options->get) context.ValueOrNull(before);
  const bool is_refused = before != nullptr ? options->if_absent : options->if_present;
  if (is_refused) {
    if (!options->get) context.reply.Null();
    return;
  }
  if (options->keep_ttl && before != nullptr) expires_at_ms = before->expires_at_ms;
  Value value(context.arguments[2].Take());
  if (before != nullptr) {
    // Saves the second lookup, which is most of what an overwrite costs.
    context.store.Replace(*before, std::move(value));
    context.store.SetExpiry(*before, expires_at_ms);
  } else {
    context.store.Set(key, std::move(value), expires_at_ms, context.now_ms);
  }
  if (!options->get) context.Ok();
}

void HandleSetEx(CommandContext& context) { SetForATime(context, ExpiryKind::kSeconds); }

void HandlePSetEx(CommandContext& context) { SetForATime(context, ExpiryKind::kMilliseconds); }

void HandleSetNx(CommandContext& context) {
  const std::string_view key = context.arg(1);
  const bool is_absent = context.store.Find(key, context.now_ms) == nullptr;
  if (is_absent) context.store.Set(key, Value(context.arguments[2].Take()), kNoExpiry, context.now_ms);
  context.reply.Integer(is_absent ? 1 : 0);
}

void HandleGetSet(CommandContext& context) {
  const std::string_view key = context.arg(1);
  context.ValueOrNull(context.FindForRead(key));
  context.store.Set(key, Value(context.arguments[2].Take()), kNoExpiry, context.now_ms);
}

void HandleGetDel(CommandContext& context) {
  const std::string_view key = context.arg(1);
  context.ValueOrNull(context.FindForRead(key));
  context.store.Erase(key, context.now_ms);
}

void HandleGetEx(CommandContext& context) {
  const std::optional<ValueOptions> options = ParseGetExOptions(context);
  if (!options.has_value()) return context.reply.Error(kSyntaxError);
  const std::string_view key = context.arg(1);
  const Store::Entry* const entry = context.FindForRead(key);
  if (entry == nullptr || options->expiry_kind == ExpiryKind::kNone) {
    context.ValueOrNull(entry);
    const bool loses_expiry = entry != nullptr && options->persist && entry->expires_at_ms != kNoExpiry;
    if (loses_expiry) context.store.SetExpiry(*entry, kNoExpiry);
    return;
  }
  const std::optional<int64_t> expires_at_ms =
      ExpiryArg(context, options->expiry_argument, options->expiry_kind, /*allows_past=*/false);
  if (!expires_at_ms.has_value()) return;
  context.ValueOrNull(entry);
  if (*expires_at_ms <= context.now_ms) {
    context.store.Erase(key, context.now_ms);
  } else {
    context.store.SetExpiry(*entry, *expires_at_ms);
  }
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
  SetPairs(context);
  context.Ok();
}

void HandleMSetNx(CommandContext& context) {
  if (context.arguments.size() % 2 == 0) return context.WrongArity("msetnx");
  for (size_t i = 1; i < context.arguments.size(); i += 2) {
    if (context.store.Find(context.arg(i), context.now_ms) != nullptr) return context.reply.Integer(0);
  }
  SetPairs(context);
  context.reply.Integer(1);
}

}  // namespace tandem::kv
