// SPDX-License-Identifier: Apache-2.0

#include "examples/kv/commands.h"

#include <algorithm>
#include <array>
#include <limits>

#include "absl/log/check.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/kv/command_context.h"
#include "examples/kv/integer.h"

namespace tandem::kv {
namespace {

constexpr Command kCommands[] = {
    // name, arity, flags, first key, last key, step, handler, group, since, summary
    {"append", 3, kWrite | kDenyOnOutOfMemory | kFast, 1, 1, 1, HandleAppend, "string", "2.0.0",
     "Appends to the value of a key."},
    {"auth", -2, kFast, 0, 0, 0, HandleAuth, "connection", "1.0.0", "Accepts no password: there is none."},
    {"client", -2, 0, 0, 0, 0, HandleClient, "connection", "2.4.0", "Names and settings of this connection."},
    {"command", -1, 0, 0, 0, 0, HandleCommand, "server", "2.8.13", "Describes the commands."},
    {"config", -2, kAdmin, 0, 0, 0, HandleConfig, "server", "2.0.0",
     "GET, SET: the settings of the server. RESETSTAT."},
    {"dbsize", 1, kReadOnly | kFast, 0, 0, 0, HandleDbSize, "server", "1.0.0", "Counts the keys."},
    {"decr", 2, kWrite | kDenyOnOutOfMemory | kFast, 1, 1, 1, HandleDecr, "string", "1.0.0",
     "Takes one from a number."},
    {"decrby", 3, kWrite | kDenyOnOutOfMemory | kFast, 1, 1, 1, HandleDecrBy, "string", "1.0.0",
     "Subtracts from a number."},
    {"del", -2, kWrite, 1, -1, 1, HandleDel, "generic", "1.0.0", "Removes keys."},
    {"echo", 2, kFast, 0, 0, 0, HandleEcho, "connection", "1.0.0", "Returns its argument."},
    {"exists", -2, kReadOnly | kFast, 1, -1, 1, HandleExists, "generic", "1.0.0", "Counts the keys that exist."},
    {"expire", -3, kWrite | kFast, 1, 1, 1, HandleExpire, "generic", "1.0.0", "Sets the time to live in seconds."},
    {"flushall", -1, kWrite, 0, 0, 0, HandleFlush, "server", "1.0.0", "Removes all keys."},
    {"flushdb", -1, kWrite, 0, 0, 0, HandleFlush, "server", "1.0.0", "Removes all keys."},
    {"get", 2, kReadOnly | kFast, 1, 1, 1, HandleGet, "string", "1.0.0", "Returns the value of a key."},
    {"getset", 3, kWrite | kDenyOnOutOfMemory | kFast, 1, 1, 1, HandleGetSet, "string", "1.0.0",
     "Sets a value and returns the one before."},
    {"hello", -1, kFast, 0, 0, 0, HandleHello, "connection", "6.0.0", "Agrees on the protocol version."},
    {"host:", -1, 0, 0, 0, 0, HandleHttp, "connection", "1.0.0", "Closes the connection of a browser."},
    {"incr", 2, kWrite | kDenyOnOutOfMemory | kFast, 1, 1, 1, HandleIncr, "string", "1.0.0", "Adds one to a number."},
    {"incrby", 3, kWrite | kDenyOnOutOfMemory | kFast, 1, 1, 1, HandleIncrBy, "string", "1.0.0", "Adds to a number."},
    {"info", -1, 0, 0, 0, 0, HandleInfo, "server", "1.0.0", "Reports on the server."},
    {"keys", 2, kReadOnly, 0, 0, 0, HandleKeys, "generic", "1.0.0", "Returns all keys that match a pattern."},
    {"mget", -2, kReadOnly | kFast, 1, -1, 1, HandleMGet, "string", "1.0.0", "Returns the values of keys."},
    {"mset", -3, kWrite | kDenyOnOutOfMemory, 1, -1, 2, HandleMSet, "string", "1.0.1", "Sets keys, all at once."},
    {"persist", 2, kWrite | kFast, 1, 1, 1, HandlePersist, "generic", "2.2.0", "Removes the time to live."},
    {"pexpire", -3, kWrite | kFast, 1, 1, 1, HandlePExpire, "generic", "2.6.0",
     "Sets the time to live in milliseconds."},
    {"ping", -1, kFast, 0, 0, 0, HandlePing, "connection", "1.0.0", "Says that the server is there."},
    {"post", -1, 0, 0, 0, 0, HandleHttp, "connection", "1.0.0", "Closes the connection of a browser."},
    {"pttl", 2, kReadOnly | kFast, 1, 1, 1, HandlePTtl, "generic", "2.6.0",
     "Returns the time to live in milliseconds."},
    {"quit", -1, kFast, 0, 0, 0, HandleQuit, "connection", "1.0.0", "Closes the connection."},
    {"reset", 1, kFast, 0, 0, 0, HandleReset, "connection", "6.2.0", "Forgets what was set on the connection."},
    {"scan", -2, kReadOnly, 0, 0, 0, HandleScan, "generic", "2.8.0",
     "Returns some keys and the cursor for the next ones."},
    {"select", 2, kFast, 0, 0, 0, HandleSelect, "connection", "1.0.0", "Selects database 0, the only one."},
    {"set", -3, kWrite | kDenyOnOutOfMemory, 1, 1, 1, HandleSet, "string", "1.0.0",
     "Sets a key, under conditions and for a time."},
    {"setnx", 3, kWrite | kDenyOnOutOfMemory | kFast, 1, 1, 1, HandleSetNx, "string", "1.0.0",
     "Sets a key that does not exist."},
    {"shutdown", -1, kAdmin, 0, 0, 0, HandleShutdown, "server", "1.0.0", "Stops the server."},
    {"strlen", 2, kReadOnly | kFast, 1, 1, 1, HandleStrLen, "string", "2.2.0", "Returns the length of a value."},
    {"ttl", 2, kReadOnly | kFast, 1, 1, 1, HandleTtl, "generic", "1.0.0", "Returns the time to live in seconds."},
    {"type", 2, kReadOnly | kFast, 1, 1, 1, HandleType, "generic", "1.0.0", "Returns the type of a value."},
};

constexpr bool IsByName(const Command& a, const Command& b) { return a.name < b.name; }
static_assert(std::is_sorted(std::begin(kCommands), std::end(kCommands), IsByName));

constexpr size_t kMaxNameBytes = 16;
static_assert(std::all_of(std::begin(kCommands), std::end(kCommands),
                          [](const Command& command) { return command.name.size() <= kMaxNameBytes; }));

// How much of a request an error repeats.
constexpr size_t kQuotedBytes = 128;

bool IsArityRight(const Command& command, size_t argument_count) {
  const int count = static_cast<int>(argument_count);
  return command.arity >= 0 ? count == command.arity : count >= -command.arity;
}

void RejectUnknown(CommandContext& context) {
  std::string text =
      absl::StrCat("ERR unknown command '", context.arg(0).substr(0, kQuotedBytes), "', with args beginning with: ");
  const size_t before = text.size();
  for (size_t i = 1; i < context.arguments.size() && text.size() - before < kQuotedBytes; ++i) {
    absl::StrAppend(&text, "'", context.arg(i).substr(0, kQuotedBytes - (text.size() - before)), "' ");
  }
  context.reply.Error(text);
}

void Dispatch(CommandContext& context) {
  const Command* const command = FindCommand(context.arg(0));
  if (command == nullptr) return RejectUnknown(context);
  if (!IsArityRight(*command, context.arguments.size())) return context.WrongArity(command->name);
  const size_t limit = context.settings.max_memory_bytes;
  if ((command->flags & kDenyOnOutOfMemory) != 0 && limit != 0 && context.store.memory().total_bytes >= limit) {
    return context.reply.Error("OOM command not allowed when used memory > 'maxmemory'.");
  }
  context.session.last_command = command->name;
  command->handler(context);
}

}  // namespace

std::span<const Command> CommandTable() { return kCommands; }

const Command* FindCommand(std::string_view name) {
  if (name.size() > kMaxNameBytes) return nullptr;
  std::array<char, kMaxNameBytes> buffer;
  std::transform(name.begin(), name.end(), buffer.begin(), [](char c) { return absl::ascii_tolower(c); });
  const std::string_view lower(buffer.data(), name.size());
  const auto at = std::lower_bound(std::begin(kCommands), std::end(kCommands), lower,
                                   [](const Command& command, std::string_view text) { return command.name < text; });
  return at != std::end(kCommands) && at->name == lower ? at : nullptr;
}

bool CommandContext::ArgIs(size_t index, std::string_view upper_case_word) const {
  return absl::EqualsIgnoreCase(arg(index), upper_case_word);
}

std::optional<int64_t> CommandContext::IntegerArg(size_t index) {
  const std::optional<int64_t> value = ParseInteger(arg(index));
  if (!value.has_value()) reply.Error(kNotAnIntegerError);
  return value;
}

const Store::Entry* CommandContext::FindForRead(std::string_view key) {
  const Store::Entry* const entry = store.Find(key, now_ns);
  ++(entry != nullptr ? statistics.keyspace_hits : statistics.keyspace_misses);
  return entry;
}

bool CommandContext::RefuseLongReply(const ReplyBuffer::Mark& start) {
  const size_t bytes = reply.OwnedSince(start);
  if (bytes > settings.max_reply_bytes) {
    reply.RollBack(start);
    reply.Error(absl::StrCat("ERR reply exceeds the limit of ", settings.max_reply_bytes, " bytes"));
    return true;
  }
  return false;
}

void CommandContext::WrongArity(std::string_view full_command_name) {
  reply.Error(absl::StrCat("ERR wrong number of arguments for '", full_command_name, "' command"));
}

void CommandContext::UnknownSubcommand() {
  const Command* const command = FindCommand(arg(0));
  reply.Error(absl::StrCat("ERR unknown subcommand '", arg(1).substr(0, kQuotedBytes), "'. Try ",
                           absl::AsciiStrToUpper(command->name), " HELP."));
}

void CommandContext::Help(std::span<const std::string_view> lines) {
  if (arguments.size() != 2) return WrongArity(absl::StrCat(FindCommand(arg(0))->name, "|help"));
  reply.Array(lines.size() + 3);
  const std::string name = absl::AsciiStrToUpper(FindCommand(arg(0))->name);
  reply.SimpleString(absl::StrCat(name, " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
  for (const std::string_view line : lines) reply.SimpleString(line);
  reply.SimpleString("HELP");
  reply.SimpleString("    Prints this help.");
}

void CommandContext::ValueOrNull(const Store::Entry* entry) {
  if (entry == nullptr) return reply.Null();
  reply.Bulk(entry->value);
}

std::optional<int64_t> ExpiryAfter(int64_t now_ns, int64_t amount, int64_t unit_ns) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  if (amount < kMin / (unit_ns / kNanosecondsPerMillisecond)) return std::nullopt;
  if (amount <= 0) return now_ns;
  if (amount >= (kNoExpiry - now_ns) / unit_ns) return std::nullopt;
  return now_ns + amount * unit_ns;
}

size_t ClientBytes(const Statistics& statistics, const Store& store) {
  return statistics.client_buffer_bytes + store.memory().released_bytes;
}

void CommandExecutor::Execute(std::span<Argument> arguments, Session& session, int64_t now_ns, ReplyBuffer& reply) {
  CHECK(!arguments.empty());
  ++statistics_->commands_processed;
  session.last_request_ns = now_ns;
  reply.set_protocol(session.protocol);
  const ReplyBuffer::Mark start = reply.mark();
  const uint64_t errors_before = reply.error_count();
  const bool is_skipped = session.replies == Session::Replies::kSkipNext;
  if (is_skipped) session.replies = Session::Replies::kOn;
  CommandContext context{*store_, *settings_, *statistics_, sessions_, session, arguments, now_ns, reply};
  Dispatch(context);
  statistics_->error_replies += reply.error_count() - errors_before;
  if (is_skipped || session.replies == Session::Replies::kOff) reply.RollBack(start);
}

}  // namespace tandem::kv
