// SPDX-License-Identifier: Apache-2.0
//
// Commands on the time to live of keys, and TIME.

#include <algorithm>
#include <limits>
#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "tandem/examples/kv/command_context.h"

namespace tandem::kv {
namespace {

constexpr int64_t kMillisecondsPerSecond = 1000;
constexpr int64_t kMaxMs = std::numeric_limits<int64_t>::max();
constexpr int64_t kMinMs = std::numeric_limits<int64_t>::min();

struct ExpireConditions {
  bool nx = false;
  bool xx = false;
  bool gt = false;
  bool lt = false;
};

// Reads the conditions of EXPIRE; replies with the error and returns nothing if they are wrong.
std::optional<ExpireConditions> ParseExpireConditions(CommandContext& context) {
  ExpireConditions conditions;
  for (size_t i = 3; i < context.arguments.size(); ++i) {
    if (context.ArgIs(i, "NX")) {
      conditions.nx = true;
    } else if (context.ArgIs(i, "XX")) {
      conditions.xx = true;
    } else if (context.ArgIs(i, "GT")) {
      conditions.gt = true;
    } else if (context.ArgIs(i, "LT")) {
      conditions.lt = true;
    } else {
      context.reply.Error(absl::StrCat("ERR Unsupported option ", context.arg(i).substr(0, 128)));
      return std::nullopt;
    }
  }
  if (conditions.nx && (conditions.xx || conditions.gt || conditions.lt)) {
    context.reply.Error("ERR NX and XX, GT or LT options at the same time are not compatible");
    return std::nullopt;
  }
  if (conditions.gt && conditions.lt) {
    context.reply.Error("ERR GT and LT options at the same time are not compatible");
    return std::nullopt;
  }
  return conditions;
}

// kNoExpiry is the largest time, so an entry without one counts as living for ever, as GT and LT want it.
bool Allows(const ExpireConditions& conditions, int64_t before_ms, int64_t after_ms) {
  const bool has_expiry = before_ms != kNoExpiry;
  if (conditions.nx && has_expiry) return false;
  if (conditions.xx && !has_expiry) return false;
  if (conditions.gt && after_ms <= before_ms) return false;
  if (conditions.lt && after_ms >= before_ms) return false;
  return true;
}

void Expire(CommandContext& context, ExpiryKind kind) {
  const std::optional<ExpireConditions> conditions = ParseExpireConditions(context);
  if (!conditions.has_value()) return;
  const std::optional<int64_t> expires_at_ms = ExpiryArg(context, 2, kind, /*allows_past=*/true);
  if (!expires_at_ms.has_value()) return;

  const std::string_view key = context.arg(1);
  const Store::Entry* const entry = context.store.Find(key, context.now_ms);
  if (entry == nullptr || !Allows(*conditions, entry->expires_at_ms, *expires_at_ms)) return context.reply.Integer(0);
  if (*expires_at_ms <= context.now_ms) {
    context.store.Erase(key, context.now_ms);
  } else {
    context.store.SetExpiry(*entry, *expires_at_ms);
  }
  context.reply.Integer(1);
}

int64_t RoundToSeconds(int64_t ms) {
  return ms / kMillisecondsPerSecond + (ms % kMillisecondsPerSecond >= kMillisecondsPerSecond / 2 ? 1 : 0);
}

enum class TimeUnit : uint8_t { kSeconds, kMilliseconds };
enum class TimeBase : uint8_t { kNow, kUnix };

// Replies when the key expires: -1 for never, -2 for a key that is not there.
void ReplyExpiry(CommandContext& context, TimeUnit unit, TimeBase base) {
  const Store::Entry* const entry = context.PeekForRead(context.arg(1));
  if (entry == nullptr) return context.reply.Integer(-2);
  if (entry->expires_at_ms == kNoExpiry) return context.reply.Integer(-1);
  int64_t ms = entry->expires_at_ms - context.now_ms;
  if (base == TimeBase::kUnix) {
    const int64_t offset_ms = context.unix_clock.OffsetMs(context.now_ms);
    ms = offset_ms > 0 && entry->expires_at_ms > kMaxMs - offset_ms ? kMaxMs : entry->expires_at_ms + offset_ms;
  }
  context.reply.Integer(unit == TimeUnit::kSeconds ? RoundToSeconds(ms) : ms);
}

}  // namespace

std::optional<int64_t> ExpiryArg(CommandContext& context, size_t index, ExpiryKind kind, bool allows_past) {
  const std::optional<int64_t> amount = context.IntegerArg(index);
  if (!amount.has_value()) return std::nullopt;
  const auto refuse = [&context]() -> std::optional<int64_t> {
    const std::string name = absl::AsciiStrToLower(context.arg(0));
    context.reply.Error(absl::StrCat("ERR invalid expire time in '", name, "' command"));
    return std::nullopt;
  };
  if (*amount <= 0 && !allows_past) return refuse();
  int64_t unix_ms = *amount;
  if (kind == ExpiryKind::kSeconds || kind == ExpiryKind::kUnixSeconds) {
    if (unix_ms > kMaxMs / kMillisecondsPerSecond || unix_ms < kMinMs / kMillisecondsPerSecond) return refuse();
    unix_ms *= kMillisecondsPerSecond;
  }
  const int64_t offset_ms = context.unix_clock.OffsetMs(context.now_ms);
  if (kind == ExpiryKind::kSeconds || kind == ExpiryKind::kMilliseconds) {
    const int64_t unix_now_ms = context.now_ms + offset_ms;
    if (unix_now_ms > 0 && unix_ms > kMaxMs - unix_now_ms) return refuse();
    unix_ms += unix_now_ms;
  }
  if (offset_ms > 0 && unix_ms < kMinMs + offset_ms) return kMinMs;
  if (offset_ms < 0 && unix_ms > kMaxMs + offset_ms) return kNoExpiry - 1;
  return std::min(unix_ms - offset_ms, kNoExpiry - 1);
}

void HandleExpire(CommandContext& context) { Expire(context, ExpiryKind::kSeconds); }

void HandlePExpire(CommandContext& context) { Expire(context, ExpiryKind::kMilliseconds); }

void HandleExpireAt(CommandContext& context) { Expire(context, ExpiryKind::kUnixSeconds); }

void HandlePExpireAt(CommandContext& context) { Expire(context, ExpiryKind::kUnixMilliseconds); }

void HandleTtl(CommandContext& context) { ReplyExpiry(context, TimeUnit::kSeconds, TimeBase::kNow); }

void HandlePTtl(CommandContext& context) { ReplyExpiry(context, TimeUnit::kMilliseconds, TimeBase::kNow); }

void HandleExpireTime(CommandContext& context) { ReplyExpiry(context, TimeUnit::kSeconds, TimeBase::kUnix); }

void HandlePExpireTime(CommandContext& context) { ReplyExpiry(context, TimeUnit::kMilliseconds, TimeBase::kUnix); }

void HandlePersist(CommandContext& context) {
  const Store::Entry* const entry = context.store.Find(context.arg(1), context.now_ms);
  const bool has_expiry = entry != nullptr && entry->expires_at_ms != kNoExpiry;
  if (has_expiry) context.store.SetExpiry(*entry, kNoExpiry);
  context.reply.Integer(has_expiry ? 1 : 0);
}

void HandleTime(CommandContext& context) {
  constexpr int64_t kNanosecondsPerMicrosecond = 1000;
  const int64_t now_ns = context.unix_clock.NowNs();
  context.reply.Array(2);
  context.reply.Bulk(absl::StrCat(now_ns / kNanosecondsPerSecond));
  context.reply.Bulk(absl::StrCat(now_ns % kNanosecondsPerSecond / kNanosecondsPerMicrosecond));
}

}  // namespace tandem::kv
