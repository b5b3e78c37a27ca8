// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/commands.h"

#include <algorithm>
#include <array>
#include <limits>

#include "absl/log/check.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tandem/examples/kv/command_context.h"
#include "tandem/examples/kv/integer.h"

namespace tandem::kv {
namespace {

// How much of a request an error repeats.
constexpr size_t kQuotedBytes = 128;

std::string WrongArityText(std::string_view full_command_name) {
  return absl::StrCat("wrong number of arguments for '", full_command_name, "' command");
}

bool IsArityRight(int arity, size_t argument_count) {
  const int count = static_cast<int>(argument_count);
  return arity >= 0 ? count == arity : count >= -arity;
}

const Subcommand* FindSubcommand(const CommandContext& context, const Command& command) {
  for (const Subcommand& subcommand : command.subcommands()) {
    if (absl::EqualsIgnoreCase(context.arg(1), subcommand.name)) return &subcommand;
  }
  return nullptr;
}

std::string UnknownCommandText(const CommandContext& context) {
  const std::string_view name = context.arg(0).substr(0, kQuotedBytes);
  const std::string_view what = UnsupportedKind(context.arg(0));
  if (!what.empty()) return absl::StrCat("unknown command '", name, "': ", what, " are not supported");
  std::string text = absl::StrCat("unknown command '", name, "', with args beginning with: ");
  const size_t before = text.size();
  for (size_t i = 1; i < context.arguments.size() && text.size() - before < kQuotedBytes; ++i) {
    absl::StrAppend(&text, "'", context.arg(i).substr(0, kQuotedBytes - (text.size() - before)), "' ");
  }
  return text;
}

constexpr std::string_view kOutOfMemoryText = "command not allowed when used memory > 'maxmemory'.";

bool IsOutOfMemory(const CommandContext& context) {
  const size_t limit = context.settings.max_memory_bytes;
  return limit != 0 && context.store.memory().total_bytes >= limit;
}

// Refuses to execute or to queue a request. A transaction that lacks one of its requests must not be executed, and one
// whose EXEC is refused is over.
void Reject(CommandContext& context, const Command* command, std::string_view code, std::string_view text) {
  Transaction& transaction = context.transaction();
  if (command != nullptr && command->handler == HandleExec) {
    transaction.Discard();
    const std::string_view shown_code = code == "ERR" ? "" : code;
    return context.reply.Error(
        absl::StrCat("EXECABORT Transaction discarded because of: ", shown_code, shown_code.empty() ? "" : " ", text));
  }
  transaction.Break();
  context.reply.Error(absl::StrCat(code, " ", text));
}

// What is wrong with the form of the request, empty if nothing is.
std::string FormError(const CommandContext& context, const Command* command) {
  if (command == nullptr) return UnknownCommandText(context);
  const size_t count = context.arguments.size();
  if (!IsArityRight(command->arity, count)) return WrongArityText(command->name);
  if (command->subcommands == nullptr) return "";
  const Subcommand* const subcommand = FindSubcommand(context, *command);
  if (subcommand == nullptr) {
    return absl::StrCat("unknown subcommand '", context.arg(1).substr(0, kQuotedBytes), "'. Try ",
                        absl::AsciiStrToUpper(command->name), " HELP.");
  }
  if (!IsArityRight(subcommand->arity, count))
    return WrongArityText(absl::StrCat(command->name, "|", subcommand->name));
  return "";
}

void Run(CommandContext& context, const Command& command) {
  Session& session = context.session;
  session.last_command = command.name;
  session.last_subcommand = "";
  if (command.subcommands == nullptr) return command.handler(context);
  const Subcommand* const subcommand = FindSubcommand(context, command);
  session.last_subcommand = subcommand->name;
  subcommand->handler(context);
}

void Dispatch(CommandContext& context) {
  const Command* const command = FindCommand(context.arg(0));
  const std::string form_error = FormError(context, command);
  if (!form_error.empty()) return Reject(context, command, "ERR", form_error);
  Transaction& transaction = context.transaction();
  if (transaction.is_open() && (command->flags & kNotInTransaction) != 0) {
    return Reject(context, command, "ERR", "Command not allowed inside a transaction");
  }
  const bool is_queued = transaction.is_open() && (command->flags & kNotQueued) == 0;
  const uint32_t flags = command->flags | (command->handler == HandleExec ? transaction.command_flags() : 0);
  // Queueing takes memory, too, whatever the command.
  if ((is_queued || (flags & kDenyOnOutOfMemory) != 0) && IsOutOfMemory(context)) {
    return Reject(context, command, "OOM", kOutOfMemoryText);
  }
  if (!is_queued) return Run(context, *command);
  transaction.Queue(*command, context.arguments);
  context.reply.SimpleString("QUEUED");
}

}  // namespace

void RunQueued(CommandContext& context, const Command& command) {
  ++context.statistics.commands_processed;
  if ((command.flags & kDenyOnOutOfMemory) != 0 && IsOutOfMemory(context)) {
    return context.reply.Error(absl::StrCat("OOM ", kOutOfMemoryText));
  }
  Run(context, command);
}

bool CommandContext::ArgIs(size_t index, std::string_view upper_case_word) const {
  return absl::EqualsIgnoreCase(arg(index), upper_case_word);
}

std::optional<int64_t> CommandContext::IntegerArg(size_t index, std::string_view error) {
  const std::optional<int64_t> value = ParseInteger(arg(index));
  if (!value.has_value()) reply.Error(error);
  return value;
}

std::optional<int64_t> CommandContext::DatabaseArg(size_t index, std::string_view error) {
  constexpr int64_t kMin = std::numeric_limits<int32_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  const std::optional<int64_t> database = IntegerArg(index, error.empty() ? kNotAnIntegerError : error);
  if (!database.has_value() || (*database >= kMin && *database <= kMax)) return database;
  reply.Error(!error.empty() ? std::string(error)
                             : absl::StrCat("ERR value is out of range, value must between ", kMin, " and ", kMax));
  return std::nullopt;
}

bool CommandContext::RefuseOtherDatabase(size_t index) {
  const std::optional<int64_t> database = DatabaseArg(index);
  if (database.has_value() && *database != 0) reply.Error(kNoSuchDatabaseError);
  return database != 0;
}

const Store::Entry* CommandContext::FindForRead(std::string_view key) {
  const Store::Entry* const entry = store.Find(key, now_ms);
  ++(entry != nullptr ? statistics.keyspace_hits : statistics.keyspace_misses);
  return entry;
}

const Store::Entry* CommandContext::PeekForRead(std::string_view key) {
  const Store::Entry* const entry = store.Peek(key, now_ms);
  ++(entry != nullptr ? statistics.keyspace_hits : statistics.keyspace_misses);
  return entry;
}

std::string CommandContext::LongReplyError(size_t bytes) const {
  if (bytes > settings.max_reply_bytes) {
    return absl::StrCat("ERR reply exceeds the limit of ", settings.max_reply_bytes, " bytes");
  }
  return "";
}

bool CommandContext::RefuseLongReply(const ReplyBuffer::Mark& start, const ReplyBuffer::Mark& own_start) {
  const std::string error = LongReplyError(reply.OwnedSince(start));
  if (error.empty()) return false;
  reply.RollBack(own_start);
  reply.Error(error);
  return true;
}

bool CommandContext::RefuseLongCopy(size_t bytes) {
  const std::string error = LongReplyError(bytes);
  if (!error.empty()) reply.Error(error);
  return !error.empty();
}

void CommandContext::WrongArity(std::string_view full_command_name) {
  reply.Error(absl::StrCat("ERR ", WrongArityText(full_command_name)));
}

void CommandContext::UnknownSubcommand() {
  const Command* const command = FindCommand(arg(0));
  reply.Error(absl::StrCat("ERR unknown subcommand '", arg(1).substr(0, kQuotedBytes), "'. Try ",
                           absl::AsciiStrToUpper(command->name), " HELP."));
}

void CommandContext::Help(std::span<const std::string_view> lines) {
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
  const int64_t now_ms = now_ns / kNanosecondsPerMillisecond;
  CommandContext context{*store_,   *settings_, *statistics_, sessions_,   session,
                         arguments, now_ns,     now_ms,       unix_clock_, reply};
  Dispatch(context);
  statistics_->error_replies += reply.error_count() - errors_before;
  if (is_skipped || session.replies == Session::Replies::kOff) reply.RollBack(start);
}

}  // namespace tandem::kv
