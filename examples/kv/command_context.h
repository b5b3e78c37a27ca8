// SPDX-License-Identifier: Apache-2.0
//
// What a command's handler works with, and the rows of the command table. Private to the commands.

#ifndef TANDEM_EXAMPLES_KV_COMMAND_CONTEXT_H_
#define TANDEM_EXAMPLES_KV_COMMAND_CONTEXT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tandem/examples/kv/commands.h"
#include "tandem/examples/kv/reply.h"
#include "tandem/examples/kv/resp.h"
#include "tandem/examples/kv/session.h"
#include "tandem/examples/kv/store.h"
#include "tandem/examples/kv/transaction.h"
#include "tandem/examples/kv/unix_clock.h"

namespace tandem::kv {

// The version of Redis whose commands, replies and error texts this server follows. Clients decide by it what to send.
inline constexpr std::string_view kRedisVersion = "7.0.0";

inline constexpr char kSyntaxError[] = "ERR syntax error";
inline constexpr char kNoSuchDatabaseError[] = "ERR DB index is out of range";
inline constexpr char kNotAnIntegerError[] = "ERR value is not an integer or out of range";

struct CommandContext {
  Store& store;
  Settings& settings;
  Statistics& statistics;
  const SessionList& sessions;
  Session& session;
  std::span<Argument> arguments;
  int64_t now_ns;
  int64_t now_ms;  // The same, in the store's unit.
  UnixClock& unix_clock;
  ReplyBuffer& reply;

  std::string_view arg(size_t index) const { return arguments[index].text(); }
  // Argument `index` is `upper_case_word`, in any case.
  bool ArgIs(size_t index, std::string_view upper_case_word) const;
  // Argument `index` as an integer; replies with `error` and returns nothing if it is not one.
  std::optional<int64_t> IntegerArg(size_t index, std::string_view error = kNotAnIntegerError);
  // Argument `index` as the number of a database, of which there is one, 0; replies with `error`, or with Redis' own
  // text if that is empty, and returns nothing if it is no 32-bit integer.
  std::optional<int64_t> DatabaseArg(size_t index, std::string_view error = "");
  // Replies with the error and returns true if argument `index` is not the number of a database.
  bool RefuseOtherDatabase(size_t index);
  Transaction& transaction() { return session.transaction; }
  // Finds a key for reading and counts a hit or a miss.
  const Store::Entry* FindForRead(std::string_view key);
  // The same, but it does not count as a use of the entry.
  const Store::Entry* PeekForRead(std::string_view key);
  // Whether the reply begun at `start` takes more memory than it may; if so, replaces it by an error.
  bool RefuseLongReply(const ReplyBuffer::Mark& start) { return RefuseLongReply(start, start); }
  // The same where `start` is that of the whole reply, of which only the part from `own_start` on is replaced.
  bool RefuseLongReply(const ReplyBuffer::Mark& start, const ReplyBuffer::Mark& own_start);

  // Whether a reply that copies `bytes` takes more memory than it may; if so, replies with the error.
  bool RefuseLongCopy(size_t bytes);

  void Ok() { reply.SimpleString("OK"); }
  void WrongArity(std::string_view full_command_name);
  void UnknownSubcommand();
  // The reply of a HELP subcommand: what it may be, then `lines`, a subcommand and below it what it does.
  void Help(std::span<const std::string_view> lines);
  void ValueOrNull(const Store::Entry* entry);

  // The error instead of a reply that takes so much memory, empty if it may.
  std::string LongReplyError(size_t bytes) const;
};

enum CommandFlags : uint32_t {
  kWrite = 1 << 0,
  kReadOnly = 1 << 1,
  kDenyOnOutOfMemory = 1 << 2,
  kFast = 1 << 3,
  kAdmin = 1 << 4,
  kNotInTransaction = 1 << 5,  // Refused after MULTI.
  kNotQueued = 1 << 6,         // Executed at once after MULTI, too.
};

// A command that is the first argument of another one, as in CLIENT ID.
struct Subcommand {
  std::string_view name;  // Lower case.
  int arity;              // As for a command, with both names.
  void (*handler)(CommandContext& context);
};

struct Command {
  std::string_view name;  // Lower case.
  int arity;              // Arguments with the name; -N means N or more.
  uint32_t flags;
  int first_key;  // Positions of keys among the arguments: first, last (negative counts from the end), step.
  int last_key;
  int key_step;
  void (*handler)(CommandContext& context);
  std::string_view group;
  std::string_view since;
  std::string_view summary;
  // If there are any, `handler` is not called, but that of the subcommand.
  std::span<const Subcommand> (*subcommands)() = nullptr;
};

// All commands, ordered by name.
std::span<const Command> CommandTable();
// The command of that name in any case, or null.
const Command* FindCommand(std::string_view name);
// What a command of Redis that is not in the table works on, for an error: "lists". Empty for any other name.
std::string_view UnsupportedKind(std::string_view name);
// Executes the request of `context`, which was queued by a transaction, with `command`.
void RunQueued(CommandContext& context, const Command& command);

// Handlers that read and write strings (string_commands.cc, range_commands.cc, lcs_command.cc).
void HandleAppend(CommandContext& context);
void HandleGet(CommandContext& context);
void HandleGetDel(CommandContext& context);
void HandleGetEx(CommandContext& context);
void HandleGetRange(CommandContext& context);
void HandleGetRange(CommandContext& context);
void HandleGetSet(CommandContext& context);
void HandleLcs(CommandContext& context);
void HandleMGet(CommandContext& context);
void HandleMSet(CommandContext& context);
void HandleMSetNx(CommandContext& context);
void HandlePSetEx(CommandContext& context);
void HandleSet(CommandContext& context);
void HandleSetEx(CommandContext& context);
void HandleSetNx(CommandContext& context);
void HandleSetRange(CommandContext& context);
void HandleStrLen(CommandContext& context);

// Handlers that count (number_commands.cc).
void HandleDecr(CommandContext& context);
void HandleDecrBy(CommandContext& context);
void HandleIncr(CommandContext& context);
void HandleIncrBy(CommandContext& context);
void HandleIncrByFloat(CommandContext& context);

// Handlers that work on bits (bit_commands.cc, bitfield_commands.cc).
void HandleBitCount(CommandContext& context);
void HandleBitField(CommandContext& context);
void HandleBitFieldRo(CommandContext& context);
void HandleBitOp(CommandContext& context);
void HandleBitPos(CommandContext& context);
void HandleGetBit(CommandContext& context);
void HandleSetBit(CommandContext& context);

// Handlers of commands on keys of any type (key_commands.cc, scan_commands.cc, object_command.cc).
void HandleCopy(CommandContext& context);
void HandleDbSize(CommandContext& context);
void HandleDel(CommandContext& context);
void HandleExists(CommandContext& context);
void HandleFlush(CommandContext& context);
void HandleKeys(CommandContext& context);
void HandleMove(CommandContext& context);
void HandleRandomKey(CommandContext& context);
void HandleRename(CommandContext& context);
void HandleRenameNx(CommandContext& context);
void HandleScan(CommandContext& context);
void HandleSwapDb(CommandContext& context);
void HandleTouch(CommandContext& context);
void HandleType(CommandContext& context);
std::span<const Subcommand> ObjectSubcommands();

// Handlers on times to live (expire_commands.cc).
void HandleExpire(CommandContext& context);
void HandleExpireAt(CommandContext& context);
void HandleExpireTime(CommandContext& context);
void HandlePExpire(CommandContext& context);
void HandlePExpireAt(CommandContext& context);
void HandlePExpireTime(CommandContext& context);
void HandlePTtl(CommandContext& context);
void HandlePersist(CommandContext& context);
void HandleTime(CommandContext& context);
void HandleTtl(CommandContext& context);

// Handlers of transactions (transactions.cc).
void HandleDiscard(CommandContext& context);
void HandleExec(CommandContext& context);
void HandleMulti(CommandContext& context);
void HandleUnwatch(CommandContext& context);
void HandleWatch(CommandContext& context);

// Handlers of commands on clients (client_commands.cc).
void HandleAuth(CommandContext& context);
std::span<const Subcommand> ClientSubcommands();
void HandleHello(CommandContext& context);
void HandleReset(CommandContext& context);

// Handlers of server commands (config_commands.cc, server_commands.cc).
void HandleCommand(CommandContext& context);
std::span<const Subcommand> ConfigSubcommands();
void HandleEcho(CommandContext& context);
void HandleHttp(CommandContext& context);
void HandleInfo(CommandContext& context);
void HandlePing(CommandContext& context);
void HandleQuit(CommandContext& context);
void HandleSelect(CommandContext& context);
void HandleShutdown(CommandContext& context);

// How an argument says when a key expires.
enum class ExpiryKind : uint8_t { kNone, kSeconds, kMilliseconds, kUnixSeconds, kUnixMilliseconds };

// The time of the store's clock at which a key expires according to argument `index`. Replies with the error and
// returns nothing if it is no number, or no time: Redis counts Unix milliseconds in 64 bits. What is over already gives
// a time that is not in the future, if `allows_past`; else zero and less are errors.
std::optional<int64_t> ExpiryArg(CommandContext& context, size_t index, ExpiryKind kind, bool allows_past);

inline constexpr int64_t kNanosecondsPerMillisecond = 1'000'000;
inline constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_COMMAND_CONTEXT_H_
