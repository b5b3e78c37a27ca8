// SPDX-License-Identifier: Apache-2.0
//
// What a command's handler works with, and the rows of the command table. Private to the commands.

#ifndef TANDEM_EXAMPLES_KV_COMMAND_CONTEXT_H_
#define TANDEM_EXAMPLES_KV_COMMAND_CONTEXT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "examples/kv/commands.h"
#include "examples/kv/reply.h"
#include "examples/kv/resp.h"
#include "examples/kv/session.h"
#include "examples/kv/store.h"

namespace tandem::kv {

// The version of Redis whose commands, replies and error texts this server follows. Clients decide by it what to send.
inline constexpr std::string_view kRedisVersion = "7.0.0";

inline constexpr char kSyntaxError[] = "ERR syntax error";
inline constexpr char kNotAnIntegerError[] = "ERR value is not an integer or out of range";

struct CommandContext {
  Store& store;
  Settings& settings;
  Statistics& statistics;
  const SessionList& sessions;
  Session& session;
  std::span<Argument> arguments;
  int64_t now_ns;
  ReplyBuffer& reply;

  std::string_view arg(size_t index) const { return arguments[index].text(); }
  // Argument `index` is `upper_case_word`, in any case.
  bool ArgIs(size_t index, std::string_view upper_case_word) const;
  // Argument `index` as an integer; replies with the error and returns nothing if it is not one.
  std::optional<int64_t> IntegerArg(size_t index);
  // Finds a key for reading and counts a hit or a miss.
  const Store::Entry* FindForRead(std::string_view key);
  // Whether the reply begun at `start` takes more memory than it may; if so, replaces it by an error.
  bool RefuseLongReply(const ReplyBuffer::Mark& start);

  void Ok() { reply.SimpleString("OK"); }
  void WrongArity(std::string_view full_command_name);
  void UnknownSubcommand();
  // The reply of a HELP subcommand: what it may be, then `lines`, a subcommand and below it what it does.
  void Help(std::span<const std::string_view> lines);
  void ValueOrNull(const Store::Entry* entry);
};

enum CommandFlags : uint32_t {
  kWrite = 1 << 0,
  kReadOnly = 1 << 1,
  kDenyOnOutOfMemory = 1 << 2,
  kFast = 1 << 3,
  kAdmin = 1 << 4,
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
};

// All commands, ordered by name.
std::span<const Command> CommandTable();
// The command of that name in any case, or null.
const Command* FindCommand(std::string_view name);

// Handlers of string commands (string_commands.cc).
void HandleAppend(CommandContext& context);
void HandleDecr(CommandContext& context);
void HandleDecrBy(CommandContext& context);
void HandleGet(CommandContext& context);
void HandleGetSet(CommandContext& context);
void HandleIncr(CommandContext& context);
void HandleIncrBy(CommandContext& context);
void HandleMGet(CommandContext& context);
void HandleMSet(CommandContext& context);
void HandleSet(CommandContext& context);
void HandleSetNx(CommandContext& context);
void HandleStrLen(CommandContext& context);

// Handlers of commands on keys of any type (key_commands.cc).
void HandleDbSize(CommandContext& context);
void HandleDel(CommandContext& context);
void HandleExists(CommandContext& context);
void HandleExpire(CommandContext& context);
void HandleFlush(CommandContext& context);
void HandleKeys(CommandContext& context);
void HandlePExpire(CommandContext& context);
void HandlePTtl(CommandContext& context);
void HandlePersist(CommandContext& context);
void HandleScan(CommandContext& context);
void HandleTtl(CommandContext& context);
void HandleType(CommandContext& context);

// Handlers of commands on clients (client_commands.cc).
void HandleAuth(CommandContext& context);
void HandleClient(CommandContext& context);
void HandleHello(CommandContext& context);
void HandleReset(CommandContext& context);

// Handlers of server commands (config_commands.cc, server_commands.cc).
void HandleCommand(CommandContext& context);
void HandleConfig(CommandContext& context);
void HandleEcho(CommandContext& context);
void HandleHttp(CommandContext& context);
void HandleInfo(CommandContext& context);
void HandlePing(CommandContext& context);
void HandleQuit(CommandContext& context);
void HandleSelect(CommandContext& context);
void HandleShutdown(CommandContext& context);

// The nanosecond at which a time to live of `amount` units of `unit_ns` ends: now if it is over already. Nothing if no
// clock gets there (292 years), or for a time in the past that Redis, which counts in milliseconds, does not take.
std::optional<int64_t> ExpiryAfter(int64_t now_ns, int64_t amount, int64_t unit_ns);
inline constexpr int64_t kNanosecondsPerMillisecond = 1'000'000;
inline constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_COMMAND_CONTEXT_H_
