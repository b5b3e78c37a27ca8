// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "examples/kv/command_context.h"
#include "examples/kv/glob.h"

namespace tandem::kv {
namespace {

// Matching costs up to the product of pattern and key length, so a pattern may not be as long as a value.
constexpr size_t kMaxPatternBytes = 4096;

// COUNT is a wish. More than this would keep the other clients waiting.
constexpr int64_t kMaxScanCount = 10'000;
constexpr int64_t kDefaultScanCount = 10;

// Replies with the error and returns true if `pattern` is longer than allowed.
bool RefuseLongPattern(CommandContext& context, std::string_view pattern) {
  if (pattern.size() <= kMaxPatternBytes) return false;
  context.reply.Error(absl::StrCat("ERR pattern exceeds the limit of ", kMaxPatternBytes, " bytes"));
  return true;
}

void ReplyKeys(CommandContext& context, const std::vector<std::string_view>& keys) {
  context.reply.Array(keys.size());
  for (const std::string_view key : keys) context.reply.Bulk(key);
}

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
bool Allows(const ExpireConditions& conditions, int64_t before_ns, int64_t after_ns) {
  const bool has_expiry = before_ns != kNoExpiry;
  if (conditions.nx && has_expiry) return false;
  if (conditions.xx && !has_expiry) return false;
  if (conditions.gt && after_ns <= before_ns) return false;
  if (conditions.lt && after_ns >= before_ns) return false;
  return true;
}

void Expire(CommandContext& context, int64_t unit_ns) {
  const std::optional<ExpireConditions> conditions = ParseExpireConditions(context);
  if (!conditions.has_value()) return;
  const std::optional<int64_t> amount = context.IntegerArg(2);
  if (!amount.has_value()) return;
  const std::optional<int64_t> expires_at_ns = ExpiryAfter(context.now_ns, *amount, unit_ns);
  if (!expires_at_ns.has_value()) {
    const std::string name = absl::AsciiStrToLower(context.arg(0));
    return context.reply.Error(absl::StrCat("ERR invalid expire time in '", name, "' command"));
  }

  const std::string_view key = context.arg(1);
  const Store::Entry* const entry = context.store.Find(key, context.now_ns);
  if (entry == nullptr || !Allows(*conditions, entry->expires_at_ns, *expires_at_ns)) return context.reply.Integer(0);
  if (*expires_at_ns <= context.now_ns) {
    context.store.Erase(key, context.now_ns);
  } else {
    context.store.SetExpiry(*entry, *expires_at_ns);
  }
  context.reply.Integer(1);
}

// The rest of an entry's life in milliseconds, rounded up so that what still lives never reads 0; -1 without an expiry,
// -2 without an entry.
int64_t RemainingMilliseconds(CommandContext& context) {
  const Store::Entry* const entry = context.FindForRead(context.arg(1));
  if (entry == nullptr) return -2;
  if (entry->expires_at_ns == kNoExpiry) return -1;
  const int64_t left_ns = entry->expires_at_ns - context.now_ns;
  return left_ns / kNanosecondsPerMillisecond + (left_ns % kNanosecondsPerMillisecond != 0 ? 1 : 0);
}

struct ScanOptions {
  std::string_view pattern = "*";
  int64_t count = kDefaultScanCount;
  bool excludes_strings = false;
};

// Reads MATCH, COUNT and TYPE; replies with the error and returns nothing if they are wrong.
std::optional<ScanOptions> ParseScanOptions(CommandContext& context) {
  ScanOptions options;
  for (size_t i = 2; i < context.arguments.size(); i += 2) {
    const bool has_value = i + 1 < context.arguments.size();
    if (has_value && context.ArgIs(i, "COUNT")) {
      const std::optional<int64_t> count = context.IntegerArg(i + 1);
      if (!count.has_value()) return std::nullopt;
      if (*count < 1) {
        context.reply.Error(kSyntaxError);
        return std::nullopt;
      }
      options.count = std::min(*count, kMaxScanCount);
    } else if (has_value && context.ArgIs(i, "MATCH")) {
      options.pattern = context.arg(i + 1);
      if (RefuseLongPattern(context, options.pattern)) return std::nullopt;
    } else if (has_value && context.ArgIs(i, "TYPE")) {
      options.excludes_strings = !context.ArgIs(i + 1, "STRING");
    } else {
      context.reply.Error(kSyntaxError);
      return std::nullopt;
    }
  }
  return options;
}

std::optional<uint64_t> ParseCursor(std::string_view text) {
  uint64_t cursor = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const std::from_chars_result result = std::from_chars(begin, end, cursor);
  if (text.empty() || result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return cursor;
}

}  // namespace

void HandleDbSize(CommandContext& context) { context.reply.Integer(static_cast<int64_t>(context.store.size())); }

void HandleDel(CommandContext& context) {
  int64_t removed = 0;
  for (size_t i = 1; i < context.arguments.size(); ++i) {
    if (context.store.Erase(context.arg(i), context.now_ns)) ++removed;
  }
  context.reply.Integer(removed);
}

void HandleExists(CommandContext& context) {
  int64_t found = 0;
  for (size_t i = 1; i < context.arguments.size(); ++i) {
    if (context.FindForRead(context.arg(i)) != nullptr) ++found;
  }
  context.reply.Integer(found);
}

void HandleExpire(CommandContext& context) { Expire(context, kNanosecondsPerSecond); }

void HandlePExpire(CommandContext& context) { Expire(context, kNanosecondsPerMillisecond); }

void HandleTtl(CommandContext& context) {
  const int64_t milliseconds = RemainingMilliseconds(context);
  context.reply.Integer(milliseconds < 0 ? milliseconds : (milliseconds + 500) / 1000);
}

void HandlePTtl(CommandContext& context) { context.reply.Integer(RemainingMilliseconds(context)); }

void HandlePersist(CommandContext& context) {
  const Store::Entry* const entry = context.store.Find(context.arg(1), context.now_ns);
  const bool has_expiry = entry != nullptr && entry->expires_at_ns != kNoExpiry;
  if (has_expiry) context.store.SetExpiry(*entry, kNoExpiry);
  context.reply.Integer(has_expiry ? 1 : 0);
}

void HandleType(CommandContext& context) {
  const bool exists = context.FindForRead(context.arg(1)) != nullptr;
  context.reply.SimpleString(exists ? "string" : "none");
}

void HandleFlush(CommandContext& context) {
  const size_t count = context.arguments.size();
  if (count > 2 || (count == 2 && !context.ArgIs(1, "SYNC") && !context.ArgIs(1, "ASYNC"))) {
    return context.reply.Error(kSyntaxError);
  }
  context.store.Clear();
  context.Ok();
}

void HandleKeys(CommandContext& context) {
  const std::string_view pattern = context.arg(1);
  if (RefuseLongPattern(context, pattern)) return;

  const ReplyBuffer::Mark start = context.reply.mark();
  std::vector<std::string_view> keys;
  size_t key_bytes = 0;
  context.store.ForEach(context.now_ns, [&](const Store::Entry& entry) {
    if (pattern != "*" && !GlobMatches(pattern, entry.key)) return true;
    keys.push_back(entry.key);
    key_bytes += entry.key.size();
    return key_bytes <= context.settings.max_reply_bytes;
  });
  ReplyKeys(context, keys);
  context.RefuseLongReply(start);
}

void HandleScan(CommandContext& context) {
  const std::optional<uint64_t> cursor = ParseCursor(context.arg(1));
  if (!cursor.has_value()) return context.reply.Error("ERR invalid cursor");
  const std::optional<ScanOptions> options = ParseScanOptions(context);
  if (!options.has_value()) return;

  std::vector<std::string_view> keys;
  const uint64_t next =
      context.store.Scan(*cursor, static_cast<size_t>(options->count), context.now_ns, [&](const Store::Entry& entry) {
        if (options->excludes_strings) return;
        if (options->pattern == "*" || GlobMatches(options->pattern, entry.key)) keys.push_back(entry.key);
      });
  const ReplyBuffer::Mark start = context.reply.mark();
  context.reply.Array(2);
  context.reply.Bulk(absl::StrCat(next));
  ReplyKeys(context, keys);
  context.RefuseLongReply(start);
}

}  // namespace tandem::kv
