// SPDX-License-Identifier: Apache-2.0
//
// LCS: the longest common subsequence of two values, by the table of the lengths of the subsequences of all prefixes.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/examples/kv/command_context.h"

namespace tandem::kv {
namespace {

struct LcsOptions {
  bool wants_length = false;
  bool wants_ranges = false;
  bool with_match_length = false;
  int64_t min_match_length = 0;
};

// Reads the options of LCS; replies with the error and returns nothing if they are wrong.
std::optional<LcsOptions> ParseLcsOptions(CommandContext& context) {
  LcsOptions options;
  for (size_t i = 3; i < context.arguments.size(); ++i) {
    if (context.ArgIs(i, "IDX")) {
      options.wants_ranges = true;
    } else if (context.ArgIs(i, "LEN")) {
      options.wants_length = true;
    } else if (context.ArgIs(i, "WITHMATCHLEN")) {
      options.with_match_length = true;
    } else if (context.ArgIs(i, "MINMATCHLEN") && i + 1 < context.arguments.size()) {
      const std::optional<int64_t> length = context.IntegerArg(++i);
      if (!length.has_value()) return std::nullopt;
      options.min_match_length = *length;
    } else {
      context.reply.Error(kSyntaxError);
      return std::nullopt;
    }
  }
  if (options.wants_length && options.wants_ranges) {
    context.reply.Error("ERR If you want both the length and indexes, please just use IDX.");
    return std::nullopt;
  }
  return options;
}

// lengths.at(i, j) is the length for the first i bytes of one value and the first j bytes of the other.
class LcsTable {
 public:
  LcsTable(std::string_view a, std::string_view b) : width_(b.size() + 1), lengths_((a.size() + 1) * width_) {
    for (size_t i = 1; i <= a.size(); ++i) {
      for (size_t j = 1; j <= b.size(); ++j) {
        lengths_[i * width_ + j] = a[i - 1] == b[j - 1] ? at(i - 1, j - 1) + 1 : std::max(at(i - 1, j), at(i, j - 1));
      }
    }
  }

  static bool Fits(std::string_view a, std::string_view b, size_t max_bytes) {
    return (b.size() + 1) <= max_bytes / sizeof(uint32_t) / (a.size() + 1);
  }

  uint32_t at(size_t i, size_t j) const { return lengths_[i * width_ + j]; }

 private:
  const size_t width_;
  std::vector<uint32_t> lengths_;
};

// Bytes that both values have in common in one piece: where it begins in each, and how long it is.
struct Match {
  size_t a;
  size_t b;
  size_t length;
};

// The pieces that make up the subsequence, the last one first.
std::vector<Match> Matches(const LcsTable& lengths, std::string_view a, std::string_view b) {
  std::vector<Match> matches;
  size_t i = a.size();
  size_t j = b.size();
  while (i > 0 && j > 0) {
    if (a[i - 1] == b[j - 1]) {
      const bool extends = !matches.empty() && matches.back().a == i && matches.back().b == j;
      if (!extends) matches.push_back({i, j, 0});
      --i;
      --j;
      --matches.back().a;
      --matches.back().b;
      ++matches.back().length;
    } else if (lengths.at(i - 1, j) > lengths.at(i, j - 1)) {
      --i;
    } else {
      --j;
    }
  }
  return matches;
}

void ReplyRange(CommandContext& context, size_t begin, size_t length) {
  context.reply.Array(2);
  context.reply.Integer(static_cast<int64_t>(begin));
  context.reply.Integer(static_cast<int64_t>(begin + length - 1));
}

void ReplyMatches(CommandContext& context, const LcsOptions& options, std::vector<Match> matches, uint32_t length) {
  std::erase_if(matches, [&options](const Match& match) {
    return options.min_match_length > 0 && match.length < static_cast<size_t>(options.min_match_length);
  });
  const ReplyBuffer::Mark start = context.reply.mark();
  context.reply.Map(2);
  context.reply.Bulk("matches");
  context.reply.Array(matches.size());
  for (const Match& match : matches) {
    context.reply.Array(options.with_match_length ? 3 : 2);
    ReplyRange(context, match.a, match.length);
    ReplyRange(context, match.b, match.length);
    if (options.with_match_length) context.reply.Integer(static_cast<int64_t>(match.length));
  }
  context.reply.Bulk("len");
  context.reply.Integer(length);
  context.RefuseLongReply(start);
}

std::string_view ValueOf(const Store::Entry* entry) { return entry != nullptr ? entry->value.view() : ""; }

}  // namespace

void HandleLcs(CommandContext& context) {
  const std::string_view a = ValueOf(context.FindForRead(context.arg(1)));
  const std::string_view b = ValueOf(context.FindForRead(context.arg(2)));
  const std::optional<LcsOptions> options = ParseLcsOptions(context);
  if (!options.has_value()) return;
  if (!LcsTable::Fits(a, b, context.settings.request_limits.max_bulk_bytes)) {
    return context.reply.Error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
  }

  const LcsTable lengths(a, b);
  const uint32_t length = lengths.at(a.size(), b.size());
  if (options->wants_length) return context.reply.Integer(length);
  const std::vector<Match> matches = Matches(lengths, a, b);
  if (options->wants_ranges) return ReplyMatches(context, *options, matches, length);
  std::string subsequence;
  subsequence.reserve(length);
  for (auto match = matches.rbegin(); match != matches.rend(); ++match) {
    subsequence.append(a.substr(match->a, match->length));
  }
  context.reply.Bulk(std::string_view(subsequence));
}

}  // namespace tandem::kv
