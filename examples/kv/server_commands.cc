// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "examples/kv/command_context.h"
#include "examples/kv/glob.h"
#include "examples/kv/integer.h"

namespace tandem::kv {
namespace {

// The version of Redis whose commands, replies and error texts this server follows. Clients decide by it what to send.
constexpr std::string_view kRedisVersion = "7.0.0";

// What a client may leave behind about itself: it stays in memory as long as the connection.
constexpr size_t kMaxClientTextBytes = 1024;
constexpr std::string_view kClientNames = "Client names";

constexpr std::string_view kDefaultUser = "default";
constexpr std::string_view kWrongPasswordError = "WRONGPASS invalid username-password pair or user is disabled.";

// Replies with the error and returns true if `text` cannot be kept as `what` of a client.
bool RefuseClientText(CommandContext& context, std::string_view what, std::string_view text) {
  if (text.size() > kMaxClientTextBytes) {
    context.reply.Error(absl::StrCat("ERR ", what, " cannot be longer than ", kMaxClientTextBytes, " bytes."));
    return true;
  }
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= '!' && c <= '~'; })) {
    context.reply.Error(absl::StrCat("ERR ", what, " cannot contain spaces, newlines or special characters."));
    return true;
  }
  return false;
}

void SetClientName(CommandContext& context, std::string_view name) {
  if (RefuseClientText(context, kClientNames, name)) return;
  context.session.name = std::string(name);
  context.Ok();
}

void SetClientInfo(CommandContext& context) {
  const bool is_name = context.ArgIs(2, "LIB-NAME");
  if (!is_name && !context.ArgIs(2, "LIB-VER")) {
    return context.reply.Error(absl::StrCat("ERR Unrecognized option '", context.arg(2).substr(0, 128), "'"));
  }
  const std::string_view text = context.arg(3);
  if (RefuseClientText(context, is_name ? "lib-name" : "lib-ver", text)) return;
  (is_name ? context.session.library_name : context.session.library_version) = std::string(text);
  context.Ok();
}

// Sets what CLIENT <switch> ON|OFF sets.
void SetSwitch(CommandContext& context, bool* value) {
  const bool is_on = context.ArgIs(2, "ON");
  if (!is_on && !context.ArgIs(2, "OFF")) return context.reply.Error(kSyntaxError);
  *value = is_on;
  context.Ok();
}

std::vector<std::pair<std::string_view, std::string>> Configuration(const Settings& settings) {
  return {
      {"appendonly", "no"},
      {"databases", "1"},
      {"maxclients", absl::StrCat(settings.max_clients)},
      {"maxmemory", absl::StrCat(settings.max_memory_bytes)},
      {"port", absl::StrCat(settings.port)},
      {"proto-max-bulk-len",
       absl::StrCat(std::min(settings.request_limits.max_bulk_bytes, settings.request_limits.max_request_bytes))},
      {"save", ""},
      {"timeout", absl::StrCat(settings.idle_timeout_s)},
  };
}

void ConfigGet(CommandContext& context) {
  std::vector<std::pair<std::string_view, std::string>> matching;
  for (auto& [name, value] : Configuration(context.settings)) {
    for (size_t i = 2; i < context.arguments.size(); ++i) {
      // Patterns beyond any name's length cannot match in a useful way and would only cost time.
      const std::string pattern = absl::AsciiStrToLower(context.arg(i).substr(0, 64));
      if (!GlobMatches(pattern, name)) continue;
      matching.emplace_back(name, value);
      break;
    }
  }
  context.reply.Map(matching.size());
  for (const auto& [name, value] : matching) {
    context.reply.Bulk(name);
    context.reply.Bulk(std::string_view(value));
  }
}

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
  absl::StrAppend(&text, "\r\ntimed_out_connections:", statistics.connections_timed_out,
                  "\r\nprotocol_errors:", statistics.protocol_errors,
                  "\r\ntotal_error_replies:", statistics.error_replies,
                  "\r\nexpired_keys:", context.store.expired_total(), "\r\nkeyspace_hits:", statistics.keyspace_hits,
                  "\r\nkeyspace_misses:", statistics.keyspace_misses, "\r\n");
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

void ReplyHello(CommandContext& context) {
  context.reply.Map(7);
  context.reply.Bulk("server");
  context.reply.Bulk("tandem-kv");
  context.reply.Bulk("version");
  context.reply.Bulk(kRedisVersion);
  context.reply.Bulk("proto");
  context.reply.Integer(static_cast<int64_t>(context.session.protocol));
  context.reply.Bulk("id");
  context.reply.Integer(static_cast<int64_t>(context.session.id));
  context.reply.Bulk("mode");
  context.reply.Bulk("standalone");
  context.reply.Bulk("role");
  context.reply.Bulk("master");
  context.reply.Bulk("modules");
  context.reply.Array(0);
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

void HandleReset(CommandContext& context) {
  context.transaction().Discard();
  context.session.name.clear();
  context.session.protocol = Protocol::kResp2;
  context.session.no_evict = false;
  context.reply.set_protocol(Protocol::kResp2);
  context.reply.SimpleString("RESET");
}

// A browser that was tricked into posting commands must not get any executed: its header lines come first.
void HandleHttp(CommandContext& context) { context.session.should_close = true; }

// The default user has no password, so any is right; there are no other users.
void HandleAuth(CommandContext& context) {
  if (context.arguments.size() > 3) return context.reply.Error(kSyntaxError);
  if (context.arguments.size() == 2) {
    return context.reply.Error(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your "
        "configuration is correct?");
  }
  if (context.arg(1) != kDefaultUser) return context.reply.Error(kWrongPasswordError);
  context.Ok();
}

void HandleHello(CommandContext& context) {
  Protocol protocol = context.session.protocol;
  if (context.arguments.size() > 1) {
    const std::optional<int64_t> version = ParseInteger(context.arg(1));
    if (!version.has_value()) {
      return context.reply.Error("ERR Protocol version is not an integer or out of range");
    }
    if (*version != 2 && *version != 3) return context.reply.Error("NOPROTO unsupported protocol version");
    protocol = static_cast<Protocol>(*version);
  }
  std::optional<std::string> name;
  for (size_t i = 2; i < context.arguments.size(); ++i) {
    if (context.ArgIs(i, "AUTH") && i + 2 < context.arguments.size()) {
      if (context.arg(i + 1) != kDefaultUser) return context.reply.Error(kWrongPasswordError);
      i += 2;
      continue;
    }
    if (!context.ArgIs(i, "SETNAME") || i + 1 >= context.arguments.size()) {
      return context.reply.Error(
          absl::StrCat("ERR Syntax error in HELLO option '", context.arg(i).substr(0, 128), "'"));
    }
    if (RefuseClientText(context, kClientNames, context.arg(++i))) return;
    name = std::string(context.arg(i));
  }
  if (name.has_value()) context.session.name = *std::move(name);
  context.session.protocol = protocol;
  context.reply.set_protocol(protocol);
  ReplyHello(context);
}

void HandleClient(CommandContext& context) {
  const size_t count = context.arguments.size();
  if (context.ArgIs(1, "SETNAME")) {
    return count == 3 ? SetClientName(context, context.arg(2)) : context.WrongArity("client|setname");
  }
  if (context.ArgIs(1, "GETNAME")) {
    if (count != 2) return context.WrongArity("client|getname");
    const std::string& name = context.session.name;
    return name.empty() ? context.reply.Null() : context.reply.Bulk(std::string_view(name));
  }
  if (context.ArgIs(1, "ID")) {
    if (count != 2) return context.WrongArity("client|id");
    return context.reply.Integer(static_cast<int64_t>(context.session.id));
  }
  if (context.ArgIs(1, "NO-EVICT")) {
    return count == 3 ? SetSwitch(context, &context.session.no_evict) : context.WrongArity("client|no-evict");
  }
  if (context.ArgIs(1, "NO-TOUCH")) {
    bool ignored = false;  // Nothing here counts how often a key is used.
    return count == 3 ? SetSwitch(context, &ignored) : context.WrongArity("client|no-touch");
  }
  if (context.ArgIs(1, "SETINFO")) {
    return count == 4 ? SetClientInfo(context) : context.WrongArity("client|setinfo");
  }
  context.UnknownSubcommand();
}

void HandleConfig(CommandContext& context) {
  if (!context.ArgIs(1, "GET")) return context.UnknownSubcommand();
  if (context.arguments.size() < 3) return context.WrongArity("config|get");
  ConfigGet(context);
}

void HandleCommand(CommandContext& context) {
  if (context.arguments.size() == 1 || context.ArgIs(1, "INFO")) return CommandInfo(context);
  if (context.ArgIs(1, "DOCS")) return CommandDocs(context);
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
