// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "tandem/examples/kv/command_context.h"
#include "tandem/examples/kv/glob.h"
#include "tandem/examples/kv/integer.h"

namespace tandem::kv {
namespace {

constexpr size_t kMaxPatternBytes = 64;

constexpr std::string_view kCommandHelp[] = {
    "(no subcommand)",
    "    Return details about all commands.",
    "COUNT",
    "    Return the number of commands.",
    "DOCS [<command-name> ...]",
    "    Return documentation of the named commands, or of all.",
    "INFO [<command-name> ...]",
    "    Return details about the named commands, or about all.",
    "LIST [FILTERBY PATTERN <pattern>]",
    "    Return the names of the commands.",
};

std::vector<std::string_view> FlagNames(const Command& command) {
  constexpr std::pair<CommandFlags, std::string_view> kNames[] = {
      {kWrite, "write"}, {kReadOnly, "readonly"}, {kDenyOnOutOfMemory, "denyoom"}, {kAdmin, "admin"}, {kFast, "fast"}};
  std::vector<std::string_view> names;
  for (const auto& [flag, name] : kNames) {
    if ((command.flags & flag) != 0) names.push_back(name);
  }
  return names;
}

// One element of COMMAND's reply, in the form of Redis 7. Categories, tips, key specifications and subcommands are
// empty.
void ReplyCommandInfo(ReplyBuffer& reply, const Command& command) {
  const std::vector<std::string_view> flags = FlagNames(command);
  reply.Array(10);
  reply.Bulk(command.name);
  reply.Integer(command.arity);
  reply.Set(flags.size());
  for (const std::string_view flag : flags) reply.SimpleString(flag);
  reply.Integer(command.first_key);
  reply.Integer(command.last_key);
  reply.Integer(command.key_step);
  for (int i = 0; i < 4; ++i) reply.Set(0);
}

void ReplyCommandDocs(ReplyBuffer& reply, const Command& command) {
  reply.Bulk(command.name);
  reply.Map(3);
  reply.Bulk("summary");
  reply.Bulk(command.summary);
  reply.Bulk("since");
  reply.Bulk(command.since);
  reply.Bulk("group");
  reply.Bulk(command.group);
}

// COMMAND INFO [name...]: an unknown name gives a null.
void CommandInfo(CommandContext& context) {
  if (context.arguments.size() <= 2) {
    context.reply.Array(CommandTable().size());
    for (const Command& command : CommandTable()) ReplyCommandInfo(context.reply, command);
    return;
  }
  const ReplyBuffer::Mark start = context.reply.mark();
  context.reply.Array(context.arguments.size() - 2);
  for (size_t i = 2; i < context.arguments.size(); ++i) {
    const Command* const command = FindCommand(context.arg(i));
    if (command != nullptr) {
      ReplyCommandInfo(context.reply, *command);
    } else {
      context.reply.Null();
    }
    if (context.RefuseLongReply(start)) return;
  }
}

// COMMAND DOCS [name...]: a map; an unknown name is left out.
void CommandDocs(CommandContext& context) {
  std::vector<const Command*> commands;
  for (size_t i = 2; i < context.arguments.size(); ++i) {
    const Command* const command = FindCommand(context.arg(i));
    if (command != nullptr) commands.push_back(command);
  }
  if (context.arguments.size() <= 2) {
    for (const Command& command : CommandTable()) commands.push_back(&command);
  }
  const ReplyBuffer::Mark start = context.reply.mark();
  context.reply.Map(commands.size());
  for (const Command* command : commands) {
    ReplyCommandDocs(context.reply, *command);
    if (context.RefuseLongReply(start)) return;
  }
}

// COMMAND LIST [FILTERBY PATTERN <pattern>]: names. There are neither modules nor categories to filter by.
void CommandList(CommandContext& context) {
  const size_t count = context.arguments.size();
  if (count != 2 && (count != 5 || !context.ArgIs(2, "FILTERBY"))) return context.reply.Error(kSyntaxError);
  std::vector<std::string_view> names;
  if (count == 2 || context.ArgIs(3, "PATTERN")) {
    // A longer pattern than any name matches nothing that a shorter one does not, and would only cost time.
    const std::string pattern = count == 2 ? "*" : absl::AsciiStrToLower(context.arg(4).substr(0, kMaxPatternBytes));
    for (const Command& command : CommandTable()) {
      if (GlobMatches(pattern, command.name)) names.push_back(command.name);
    }
  } else if (!context.ArgIs(3, "MODULE") && !context.ArgIs(3, "ACLCAT")) {
    return context.reply.Error(kSyntaxError);
  }
  context.reply.Array(names.size());
  for (const std::string_view name : names) context.reply.Bulk(name);
}

std::string InfoServer(const CommandContext& context) {
  const int64_t uptime_s = (context.now_ns - context.statistics.started_at_ns) / kNanosecondsPerSecond;
  return absl::StrCat("# Server\r\nserver_name:tandem-kv\r\nredis_version:", kRedisVersion,
                      "\r\nredis_mode:standalone\r\ntcp_port:", context.settings.port,
                      "\r\nuptime_in_seconds:", uptime_s, "\r\nuptime_in_days:", uptime_s / 86'400, "\r\n");
}

std::string InfoClients(const CommandContext& context) {
  return absl::StrCat("# Clients\r\nconnected_clients:", context.statistics.connected_clients,
                      "\r\nmaxclients:", context.settings.max_clients, "\r\n");
}

std::string InfoMemory(const CommandContext& context) {
  const Store::MemoryStatistics memory = context.store.memory();
  const size_t client_bytes = ClientBytes(context.statistics, context.store);
  const size_t total = memory.total_bytes + client_bytes;
  return absl::StrCat("# Memory\r\nused_memory:", total, "\r\nused_memory_dataset:", memory.total_bytes,
                      "\r\nused_memory_keys:", memory.key_bytes, "\r\nused_memory_values:", memory.value_bytes,
                      "\r\nmem_clients_normal:", client_bytes, "\r\nmaxmemory:", context.settings.max_memory_bytes,
                      "\r\nmaxmemory_policy:noeviction\r\n");
}

std::string InfoStats(const CommandContext& context) {
  const Statistics& statistics = context.statistics;
  std::string text = absl::StrCat("# Stats\r\ntotal_connections_received:", statistics.connections_received,
                                  "\r\ntotal_commands_processed:", statistics.commands_processed,
                                  "\r\ntotal_net_input_bytes:", statistics.input_bytes,
                                  "\r\ntotal_net_output_bytes:", statistics.output_bytes,
                                  "\r\nrejected_connections:", statistics.connections_rejected);
  absl::StrAppend(
      &text, "\r\ntimed_out_connections:", statistics.connections_timed_out,
      "\r\nclient_output_buffer_limit_disconnections:", statistics.output_limit_disconnections,
      "\r\nevicted_clients:", statistics.evicted_clients, "\r\nprotocol_errors:", statistics.protocol_errors,
      "\r\ntotal_error_replies:", statistics.error_replies,
      "\r\nexpired_keys:", context.store.expired_total() - statistics.expired_before,
      "\r\nkeyspace_hits:", statistics.keyspace_hits, "\r\nkeyspace_misses:", statistics.keyspace_misses, "\r\n");
  return text;
}

std::string InfoKeyspace(const CommandContext& context) {
  const size_t keys = context.store.size();
  if (keys == 0) return "# Keyspace\r\n";
  return absl::StrCat("# Keyspace\r\ndb0:keys=", keys, ",expires=", context.store.expiring_count(), ",avg_ttl=0\r\n");
}

bool WantsSection(const CommandContext& context, std::string_view section) {
  if (context.arguments.size() == 1) return true;
  for (size_t i = 1; i < context.arguments.size(); ++i) {
    for (const std::string_view wanted :
         {section, std::string_view("ALL"), std::string_view("DEFAULT"), std::string_view("EVERYTHING")}) {
      if (context.ArgIs(i, wanted)) return true;
    }
  }
  return false;
}

}  // namespace

void HandlePing(CommandContext& context) {
  switch (context.arguments.size()) {
    case 1:
      return context.reply.SimpleString("PONG");
    case 2:
      return context.reply.Bulk(context.arguments[1].Take());
    default:
      return context.WrongArity("ping");
  }
}

void HandleEcho(CommandContext& context) { context.reply.Bulk(context.arguments[1].Take()); }

void HandleSelect(CommandContext& context) {
  if (!context.RefuseOtherDatabase(1)) context.Ok();
}

void HandleQuit(CommandContext& context) {
  context.session.should_close = true;
  context.Ok();
}

// Nothing is kept on disk, so SAVE and NOSAVE come to the same.
void HandleShutdown(CommandContext& context) {
  bool save = false;
  bool nosave = false;
  bool abort = false;
  for (size_t i = 1; i < context.arguments.size(); ++i) {
    if (context.ArgIs(i, "SAVE")) {
      save = true;
    } else if (context.ArgIs(i, "NOSAVE")) {
      nosave = true;
    } else if (context.ArgIs(i, "ABORT")) {
      abort = true;
    } else if (!context.ArgIs(i, "NOW") && !context.ArgIs(i, "FORCE")) {
      return context.reply.Error(kSyntaxError);
    }
  }
  if ((save && nosave) || (abort && context.arguments.size() > 2)) return context.reply.Error(kSyntaxError);
  if (abort) return context.reply.Error("ERR No shutdown in progress.");
  context.session.should_close = true;
  context.session.should_stop_server = true;
}

// A browser that was tricked into posting commands must not get any executed: its header lines come first.
void HandleHttp(CommandContext& context) { context.session.should_close = true; }

void HandleCommand(CommandContext& context) {
  if (context.arguments.size() == 1 || context.ArgIs(1, "INFO")) return CommandInfo(context);
  if (context.ArgIs(1, "DOCS")) return CommandDocs(context);
  if (context.ArgIs(1, "LIST")) return CommandList(context);
  if (context.ArgIs(1, "HELP"))
    return context.arguments.size() == 2 ? context.Help(kCommandHelp) : context.WrongArity("command|help");
  if (!context.ArgIs(1, "COUNT")) return context.UnknownSubcommand();
  if (context.arguments.size() != 2) return context.WrongArity("command|count");
  context.reply.Integer(static_cast<int64_t>(CommandTable().size()));
}

void HandleInfo(CommandContext& context) {
  using Section = std::string (*)(const CommandContext&);
  constexpr std::pair<std::string_view, Section> kSections[] = {{"SERVER", InfoServer},
                                                                {"CLIENTS", InfoClients},
                                                                {"MEMORY", InfoMemory},
                                                                {"STATS", InfoStats},
                                                                {"KEYSPACE", InfoKeyspace}};
  std::string text;
  for (const auto& [name, section] : kSections) {
    if (!WantsSection(context, name)) continue;
    if (!text.empty()) text.append("\r\n");
    text.append(section(context));
  }
  context.reply.Verbatim(text);
}

}  // namespace tandem::kv
