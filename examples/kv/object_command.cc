// SPDX-License-Identifier: Apache-2.0
//
// OBJECT: what Redis tells of how it keeps a value. Here a value is kept as bytes, whatever they are; the names say how
// Redis would keep one that was made by the same commands.

#include <limits>
#include <optional>
#include <span>
#include <string_view>

#include "tandem/examples/kv/command_context.h"
#include "tandem/examples/kv/integer.h"

namespace tandem::kv {
namespace {

// The longest integer, and the longest value that Redis keeps in one allocation with its header.
constexpr size_t kMaxIntegerBytes = 20;
constexpr size_t kMaxEmbeddedBytes = 44;

// Redis keeps one object for all values of each of these.
constexpr int64_t kSharedIntegers = 10'000;

constexpr std::string_view kHelp[] = {
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Print this help.",
};

// The integer as which Redis keeps the value.
std::optional<int64_t> IntegerOf(const Store::Entry& entry) {
  if (entry.form != ValueForm::kWhole || entry.value.size() > kMaxIntegerBytes) return std::nullopt;
  return ParseInteger(entry.value.view());
}

// The entry of the key; replies with a null if there is none. Looking does not count as a use.
const Store::Entry* FindOrNull(CommandContext& context) {
  const Store::Entry* const entry = context.store.Peek(context.arg(2), context.now_ms);
  if (entry == nullptr) context.reply.Null();
  return entry;
}

void Encoding(CommandContext& context) {
  const Store::Entry* const entry = FindOrNull(context);
  if (entry == nullptr) return;
  if (IntegerOf(*entry).has_value()) return context.reply.Bulk("int");
  const bool is_raw = entry->form == ValueForm::kEdited || entry->value.size() > kMaxEmbeddedBytes;
  context.reply.Bulk(is_raw ? "raw" : "embstr");
}

void Freq(CommandContext& context) {
  if (FindOrNull(context) == nullptr) return;
  context.reply.Error(
      "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching "
      "between policies at runtime LRU and LFU data will take some time to adjust.");
}

void IdleTime(CommandContext& context) {
  const Store::Entry* const entry = FindOrNull(context);
  if (entry != nullptr) context.reply.Integer(context.now_ms / 1000 - entry->used_at_s);
}

void RefCount(CommandContext& context) {
  const Store::Entry* const entry = FindOrNull(context);
  if (entry == nullptr) return;
  const std::optional<int64_t> integer = IntegerOf(*entry);
  const bool is_shared = integer.has_value() && *integer >= 0 && *integer < kSharedIntegers;
  context.reply.Integer(is_shared ? std::numeric_limits<int32_t>::max() : 1);
}

void Help(CommandContext& context) {
  context.reply.Array(std::size(kHelp));
  for (const std::string_view line : kHelp) context.reply.SimpleString(line);
}

constexpr Subcommand kSubcommands[] = {{"encoding", 3, Encoding},
                                       {"freq", 3, Freq},
                                       {"help", 2, Help},
                                       {"idletime", 3, IdleTime},
                                       {"refcount", 3, RefCount}};

}  // namespace

std::span<const Subcommand> ObjectSubcommands() { return kSubcommands; }

}  // namespace tandem::kv
