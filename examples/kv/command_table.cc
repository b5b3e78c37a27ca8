// SPDX-License-Identifier: Apache-2.0
//
// The one table of all commands.

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "tandem/examples/kv/command_context.h"

namespace tandem::kv {
namespace {

constexpr Command kCommands[] = {
    // name, arity, flags, first key, last key, step, handler, group, since, summary
    {"append", 3, kWrite | kDenyOnOutOfMemory | kFast, 1, 1, 1, HandleAppend, "string", "2.0.0",
     "Appends to the value of a key."},
    {"auth", -2, kFast, 0, 0, 0, HandleAuth, "connection", "1.0.0", "Accepts no password: there is none."},
    {"bitcount", -2, kReadOnly, 1, 1, 1, HandleBitCount, "bitmap", "2.6.0", "Counts the bits that are set."},
    {"bitfield", -2, kWrite | kDenyOnOutOfMemory, 1, 1, 1, HandleBitField, "bitmap", "3.2.0",
     "Reads and changes integers inside a value."},
    {"bitfield_ro", -2, kReadOnly | kFast, 1, 1, 1, HandleBitFieldRo, "bitmap", "6.0.0",
     "Reads integers inside a value."},
    {"bitop", -4, kWrite | kDenyOnOutOfMemory, 2, -1, 1, HandleBitOp, "bitmap", "2.6.0",
     "Stores AND, OR, XOR or NOT of values."},
    {"bitpos", -3, kReadOnly, 1, 1, 1, HandleBitPos, "bitmap", "2.8.7", "Finds the first bit of a kind."},
    {"client", -2, 0, 0, 0, 0, nullptr, "connection", "2.4.0", "Who is connected, and how.", ClientSubcommands},
    {"command", -1, 0, 0, 0, 0, HandleCommand, "server", "2.8.13", "Describes the commands."},
    {"config", -2, kAdmin, 0, 0, 0, nullptr, "server", "2.0.0", "The settings of the server.", ConfigSubcommands},
    {"copy", -3, kWrite | kDenyOnOutOfMemory, 1, 2, 1, HandleCopy, "generic", "6.2.0",
     "Stores a value under another key as well."},
    {"dbsize", 1, kReadOnly | kFast, 0, 0, 0, HandleDbSize, "server", "1.0.0", "Counts the keys."},
    {"decr", 2, kWrite | kDenyOnOutOfMemory | kFast, 1, 1, 1, HandleDecr, "string", "1.0.0",
     "Takes one from a number."},
    {"decrby", 3, kWrite | kDenyOnOutOfMemory | kFast, 1, 1, 1, HandleDecrBy, "string", "1.0.0",
     "Subtracts from a number."},
    {"del", -2, kWrite, 1, -1, 1, HandleDel, "generic", "1.0.0", "Removes keys."},
    {"discard", 1, kFast | kNotQueued, 0, 0, 0, HandleDiscard, "transactions", "2.0.0",
     "Ends a transaction without executing it."},
    {"echo", 2, kFast, 0, 0, 0, HandleEcho, "connection", "1.0.0", "Returns its argument."},
    {"exec", 1, kNotQueued, 0, 0, 0, HandleExec, "transactions", "1.2.0", "Executes what was queued since MULTI."},
    {"exists", -2, kReadOnly | kFast, 1, -1, 1, HandleExists, "generic", "1.0.0", "Counts the keys that exist."},
    {"expire", -3, kWrite | kFast, 1, 1, 1, HandleExpire, "generic", "1.0.0", "Sets the time to live in seconds."},
    {"expireat", -3, kWrite | kFast, 1, 1, 1, HandleExpireAt, "generic", "1.2.0",
     "Sets the Unix time in seconds at which a key expires."},
    {"expiretime", 2, kReadOnly | kFast, 1, 1, 1, HandleExpireTime, "generic", "7.0.0",
     "Returns the Unix time in seconds at which a key expires."},
    {"flushall", -1, kWrite, 0, 0, 0, HandleFlush, "server", "1.0.0", "Removes all keys."},
    {"flushdb", -1, kWrite, 0, 0, 0, HandleFlush, "server", "1.0.0", "Removes all keys."},
    {"get", 2, kReadOnly | kFast, 1, 1, 1, HandleGet, "string", "1.0.0", "Returns the value of a key."},
    {"getbit", 3, kReadOnly | kFast, 1, 1, 1, HandleGetBit, "bitmap", "2.2.0", "Returns a bit of a value."},
    {"getdel", 2, kWrite | kFast, 1, 1, 1, HandleGetDel, "string", "6.2.0", "Returns a value and removes its key."},
    {"getex", -2, kWrite | kFast, 1, 1, 1, HandleGetEx, "string", "6.2.0",
     "Returns a value and changes the time to live of its key."},
    {"getrange", 4, kReadOnly, 1, 1, 1, HandleGetRange, "string", "2.4.0", "Returns a part of a value."},
    {"getset", 3, kWrite | kDenyOnOutOfMemory | kFast, 1, 1, 1, HandleGetSet, "string", "1.0.0",
     "Sets a value and returns the one before."},
    {"hello", -1, kFast, 0, 0, 0, HandleHello, "connection", "6.0.0", "Agrees on the protocol version."},
    {"host:", -1, kNotQueued, 0, 0, 0, HandleHttp, "connection", "1.0.0", "Closes the connection of a browser."},
    {"incr", 2, kWrite | kDenyOnOutOfMemory | kFast, 1, 1, 1, HandleIncr, "string", "1.0.0", "Adds one to a number."},
    {"incrby", 3, kWrite | kDenyOnOutOfMemory | kFast, 1, 1, 1, HandleIncrBy, "string", "1.0.0", "Adds to a number."},
    {"incrbyfloat", 3, kWrite | kDenyOnOutOfMemory | kFast, 1, 1, 1, HandleIncrByFloat, "string", "2.6.0",
     "Adds to a number that may have a fraction."},
    {"info", -1, 0, 0, 0, 0, HandleInfo, "server", "1.0.0", "Reports on the server."},
    {"keys", 2, kReadOnly, 0, 0, 0, HandleKeys, "generic", "1.0.0", "Returns all keys that match a pattern."},
    {"lcs", -3, kReadOnly, 1, 2, 1, HandleLcs, "string", "7.0.0",
     "Finds the longest common subsequence of two values."},
    {"mget", -2, kReadOnly | kFast, 1, -1, 1, HandleMGet, "string", "1.0.0", "Returns the values of keys."},
    {"move", 3, kWrite | kFast, 1, 1, 1, HandleMove, "generic", "1.0.0",
     "Moves a key to another database, of which there is none."},
    {"mset", -3, kWrite | kDenyOnOutOfMemory, 1, -1, 2, HandleMSet, "string", "1.0.1", "Sets keys, all at once."},
    {"msetnx", -3, kWrite | kDenyOnOutOfMemory, 1, -1, 2, HandleMSetNx, "string", "1.0.1",
     "Sets keys, if none of them exists."},
    {"multi", 1, kFast | kNotQueued, 0, 0, 0, HandleMulti, "transactions", "1.2.0",
     "Begins a transaction: queues commands until EXEC."},
    {"object", -2, 0, 0, 0, 0, nullptr, "generic", "2.2.3", "ENCODING, FREQ, IDLETIME, REFCOUNT of a value.",
     ObjectSubcommands},
    {"persist", 2, kWrite | kFast, 1, 1, 1, HandlePersist, "generic", "2.2.0", "Removes the time to live."},
    {"pexpire", -3, kWrite | kFast, 1, 1, 1, HandlePExpire, "generic", "2.6.0",
     "Sets the time to live in milliseconds."},
    {"pexpireat", -3, kWrite | kFast, 1, 1, 1, HandlePExpireAt, "generic", "2.6.0",
     "Sets the Unix time in milliseconds at which a key expires."},
    {"pexpiretime", 2, kReadOnly | kFast, 1, 1, 1, HandlePExpireTime, "generic", "7.0.0",
     "Returns the Unix time in milliseconds at which a key expires."},
    {"ping", -1, kFast, 0, 0, 0, HandlePing, "connection", "1.0.0", "Says that the server is there."},
    {"post", -1, kNotQueued, 0, 0, 0, HandleHttp, "connection", "1.0.0", "Closes the connection of a browser."},
    {"psetex", 4, kWrite | kDenyOnOutOfMemory, 1, 1, 1, HandlePSetEx, "string", "2.6.0",
     "Sets a key for a time in milliseconds."},
    {"pttl", 2, kReadOnly | kFast, 1, 1, 1, HandlePTtl, "generic", "2.6.0",
     "Returns the time to live in milliseconds."},
    {"quit", -1, kFast | kNotQueued, 0, 0, 0, HandleQuit, "connection", "1.0.0", "Closes the connection."},
    {"randomkey", 1, kReadOnly, 0, 0, 0, HandleRandomKey, "generic", "1.0.0", "Returns some key."},
    {"rename", 3, kWrite, 1, 2, 1, HandleRename, "generic", "1.0.0", "Moves a value to another key."},
    {"renamenx", 3, kWrite | kFast, 1, 2, 1, HandleRenameNx, "generic", "1.0.0",
     "Moves a value to a key that does not exist."},
    {"reset", 1, kFast | kNotQueued, 0, 0, 0, HandleReset, "connection", "6.2.0",
     "Forgets what was set on the connection."},
    {"scan", -2, kReadOnly, 0, 0, 0, HandleScan, "generic", "2.8.0",
     "Returns some keys and the cursor for the next ones."},
    {"select", 2, kFast, 0, 0, 0, HandleSelect, "connection", "1.0.0", "Selects database 0, the only one."},
    {"set", -3, kWrite | kDenyOnOutOfMemory, 1, 1, 1, HandleSet, "string", "1.0.0",
     "Sets a key, under conditions and for a time."},
    {"setbit", 4, kWrite | kDenyOnOutOfMemory, 1, 1, 1, HandleSetBit, "bitmap", "2.2.0",
     "Sets or clears a bit of a value."},
    {"setex", 4, kWrite | kDenyOnOutOfMemory, 1, 1, 1, HandleSetEx, "string", "2.0.0",
     "Sets a key for a time in seconds."},
    {"setnx", 3, kWrite | kDenyOnOutOfMemory | kFast, 1, 1, 1, HandleSetNx, "string", "1.0.0",
     "Sets a key that does not exist."},
    {"setrange", 4, kWrite | kDenyOnOutOfMemory, 1, 1, 1, HandleSetRange, "string", "2.2.0",
     "Overwrites a part of a value."},
    {"shutdown", -1, kAdmin | kNotInTransaction, 0, 0, 0, HandleShutdown, "server", "1.0.0", "Stops the server."},
    {"strlen", 2, kReadOnly | kFast, 1, 1, 1, HandleStrLen, "string", "2.2.0", "Returns the length of a value."},
    {"substr", 4, kReadOnly, 1, 1, 1, HandleGetRange, "string", "1.0.0", "Returns a part of a value."},
    {"swapdb", 3, kWrite | kFast, 0, 0, 0, HandleSwapDb, "server", "4.0.0",
     "Exchanges two databases, of which there is one."},
    {"time", 1, kFast, 0, 0, 0, HandleTime, "server", "2.6.0", "Returns the Unix time."},
    {"touch", -2, kReadOnly | kFast, 1, -1, 1, HandleTouch, "generic", "3.2.1",
     "Counts the keys that exist, as a use of them."},
    {"ttl", 2, kReadOnly | kFast, 1, 1, 1, HandleTtl, "generic", "1.0.0", "Returns the time to live in seconds."},
    {"type", 2, kReadOnly | kFast, 1, 1, 1, HandleType, "generic", "1.0.0", "Returns the type of a value."},
    {"unlink", -2, kWrite | kFast, 1, -1, 1, HandleDel, "generic", "4.0.0", "Removes keys."},
    {"unwatch", 1, kFast, 0, 0, 0, HandleUnwatch, "transactions", "2.2.0", "Forgets what is watched."},
    {"watch", -2, kFast | kNotQueued, 1, -1, 1, HandleWatch, "transactions", "2.2.0",
     "Lets EXEC fail if a key changes before it."},
};

constexpr bool IsByName(const Command& a, const Command& b) { return a.name < b.name; }
static_assert(std::is_sorted(std::begin(kCommands), std::end(kCommands), IsByName));

constexpr size_t kMaxNameBytes = 16;
static_assert(std::all_of(std::begin(kCommands), std::end(kCommands),
                          [](const Command& command) { return command.name.size() <= kMaxNameBytes; }));

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

}  // namespace tandem::kv
