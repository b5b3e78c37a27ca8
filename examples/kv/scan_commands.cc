// SPDX-License-Identifier: Apache-2.0
//
// Commands that look for keys: KEYS and SCAN.

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tandem/examples/kv/command_context.h"
#include "tandem/examples/kv/glob.h"

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

void HandleKeys(CommandContext& context) {
  const std::string_view pattern = context.arg(1);
  if (RefuseLongPattern(context, pattern)) return;

  const ReplyBuffer::Mark start = context.reply.mark();
  std::vector<std::string_view> keys;
  size_t key_bytes = 0;
  context.store.ForEach(context.now_ms, [&](const Store::Entry& entry) {
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
      context.store.Scan(*cursor, static_cast<size_t>(options->count), context.now_ms, [&](const Store::Entry& entry) {
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
