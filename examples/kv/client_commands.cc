// SPDX-License-Identifier: Apache-2.0
//
// Commands on clients: who is connected, under which name, with which protocol.

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tandem/examples/kv/command_context.h"
#include "tandem/examples/kv/integer.h"

namespace tandem::kv {
namespace {

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

void SetName(CommandContext& context) {
  const std::string_view name = context.arg(2);
  if (RefuseClientText(context, kClientNames, name)) return;
  context.session.name = std::string(name);
  context.Ok();
}

void GetName(CommandContext& context) {
  const std::string& name = context.session.name;
  return name.empty() ? context.reply.Null() : context.reply.Bulk(std::string_view(name));
}

void Id(CommandContext& context) { context.reply.Integer(static_cast<int64_t>(context.session.id)); }

void SetInfo(CommandContext& context) {
  const bool is_name = context.ArgIs(2, "LIB-NAME");
  if (!is_name && !context.ArgIs(2, "LIB-VER")) {
    return context.reply.Error(absl::StrCat("ERR Unrecognized option '", context.arg(2).substr(0, 128), "'"));
  }
  const std::string_view text = context.arg(3);
  if (RefuseClientText(context, is_name ? "lib-name" : "lib-ver", text)) return;
  (is_name ? context.session.library_name : context.session.library_version) = std::string(text);
  context.Ok();
}

// Sets what ON or OFF sets.
void SetSwitch(CommandContext& context, bool* value) {
  const bool is_on = context.ArgIs(2, "ON");
  if (!is_on && !context.ArgIs(2, "OFF")) return context.reply.Error(kSyntaxError);
  *value = is_on;
  context.Ok();
}

void NoEvict(CommandContext& context) { SetSwitch(context, &context.session.no_evict); }

// Accepted: that a key was used is told by OBJECT IDLETIME only.
void NoTouch(CommandContext& context) {
  bool ignored = false;
  SetSwitch(context, &ignored);
}

constexpr std::string_view kClientHelp[] = {
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections. Options are:",
    "    * ADDR <ip:port>",
    "      Kill connections made from the specified address",
    "    * ID <client-id>",
    "      Kill the connection of that ID.",
    "    * LADDR <ip:port>",
    "      Kill connections made to specified local address",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Kill connections by type.",
    "    * USER <username>",
    "      Kill connections authenticated by <username>.",
    "    * SKIPME (YES|NO)",
    "      Skip killing current connection (default: yes).",
    "LIST [ID <client-id> ...] [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)]",
    "    Return information about client connections.",
    "NO-EVICT (ON|OFF)",
    "    Protect current client connection from eviction.",
    "NO-TOUCH (ON|OFF)",
    "    Accepted without an effect.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETINFO (LIB-NAME|LIB-VER) <value>",
    "    Say which library the client uses.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
};

void SetReplies(CommandContext& context) {
  Session& session = context.session;
  if (context.ArgIs(2, "ON")) {
    session.replies = Session::Replies::kOn;
    context.Ok();
  } else if (context.ArgIs(2, "OFF")) {
    session.replies = Session::Replies::kOff;
  } else if (context.ArgIs(2, "SKIP")) {
    if (session.replies == Session::Replies::kOn) session.replies = Session::Replies::kSkipNext;
  } else {
    context.reply.Error(kSyntaxError);
  }
}

// One line of CLIENT LIST, with the fields of Redis 7 that mean something here.
std::string DescribeClient(const CommandContext& context, const Session& session) {
  const Session::Connection connection = session.DescribeConnection();
  const int64_t age_s = (context.now_ns - session.connected_at_ns) / kNanosecondsPerSecond;
  const int64_t idle_s = (context.now_ns - session.last_request_ns) / kNanosecondsPerSecond;
  const Transaction& transaction = session.transaction;
  const int64_t queued = transaction.is_open() ? static_cast<int64_t>(transaction.queued_count()) : -1;
  std::string flags = absl::StrCat(transaction.is_open() ? "x" : "", session.no_evict ? "e" : "");
  if (flags.empty()) flags = "N";
  std::string text = absl::StrCat("id=", session.id, " addr=", connection.address, " laddr=", connection.local_address,
                                  " name=", session.name, " age=", age_s, " idle=", idle_s);
  absl::StrAppend(&text, " flags=", flags, " db=0 sub=0 psub=0 ssub=0 multi=", queued,
                  " qbuf=", connection.request_bytes, " qbuf-free=0 obl=0 oll=", connection.reply_buffers,
                  " omem=", connection.reply_bytes, " tot-mem=", connection.request_bytes + connection.reply_bytes);
  absl::StrAppend(&text, " events=", connection.reply_bytes > 0 ? "rw" : "r", " cmd=", session.last_command,
                  session.last_subcommand.empty() ? "" : "|", session.last_subcommand, " user=", kDefaultUser,
                  " redir=-1 resp=", static_cast<int>(session.protocol), " lib-name=", session.library_name,
                  " lib-ver=", session.library_version, "\n");
  return text;
}

// Whether argument `index` is the type of the clients here; nothing, after an error reply, if there is no such type.
std::optional<bool> IsTypeOfAll(CommandContext& context, size_t index) {
  if (context.ArgIs(index, "NORMAL")) return true;
  for (const std::string_view other : {"MASTER", "REPLICA", "SLAVE", "PUBSUB"}) {
    if (context.ArgIs(index, other)) return false;
  }
  context.reply.Error(absl::StrCat("ERR Unknown client type '", context.arg(index).substr(0, 128), "'"));
  return std::nullopt;
}

void Info(CommandContext& context) { context.reply.Verbatim(DescribeClient(context, context.session)); }

// CLIENT LIST [TYPE type] [ID id...]
void List(CommandContext& context) {
  const size_t count = context.arguments.size();
  bool lists_none = false;
  std::vector<uint64_t> ids;
  if (count == 4 && context.ArgIs(2, "TYPE")) {
    const std::optional<bool> is_normal = IsTypeOfAll(context, 3);
    if (!is_normal.has_value()) return;
    lists_none = !*is_normal;
  } else if (count > 3 && context.ArgIs(2, "ID")) {
    for (size_t i = 3; i < count; ++i) {
      const std::optional<int64_t> id = ParseInteger(context.arg(i));
      if (!id.has_value()) return context.reply.Error("ERR Invalid client ID");
      ids.push_back(static_cast<uint64_t>(*id));
    }
    std::sort(ids.begin(), ids.end());
  } else if (count != 2) {
    return context.reply.Error(kSyntaxError);
  }
  std::string text;
  context.sessions.ForEach([&](const Session& session) {
    if (lists_none || (!ids.empty() && !std::binary_search(ids.begin(), ids.end(), session.id))) return;
    text.append(DescribeClient(context, session));
  });
  context.reply.Verbatim(text);
}

struct KillFilter {
  std::optional<uint64_t> id;
  std::optional<std::string_view> address;
  std::optional<std::string_view> local_address;
  bool kills_none = false;
  bool skips_me = true;

  bool Matches(const Session& session) const {
    if (kills_none || (id.has_value() && session.id != *id)) return false;
    if (!address.has_value() && !local_address.has_value()) return true;
    const Session::Connection connection = session.DescribeConnection();
    return (!address.has_value() || connection.address == *address) &&
           (!local_address.has_value() || connection.local_address == *local_address);
  }
};

// Reads the options of CLIENT KILL; replies with the error and returns nothing if they are wrong.
std::optional<KillFilter> ParseKillFilter(CommandContext& context) {
  KillFilter filter;
  for (size_t i = 2; i < context.arguments.size(); i += 2) {
    const size_t value = i + 1;
    const bool has_value = value < context.arguments.size();
    if (has_value && context.ArgIs(i, "ID")) {
      const std::optional<int64_t> id = ParseInteger(context.arg(value));
      if (!id.has_value() || *id < 1) {
        context.reply.Error("ERR client-id should be greater than 0");
        return std::nullopt;
      }
      filter.id = static_cast<uint64_t>(*id);
    } else if (has_value && context.ArgIs(i, "ADDR")) {
      filter.address = context.arg(value);
    } else if (has_value && context.ArgIs(i, "LADDR")) {
      filter.local_address = context.arg(value);
    } else if (has_value && context.ArgIs(i, "TYPE")) {
      const std::optional<bool> is_normal = IsTypeOfAll(context, value);
      if (!is_normal.has_value()) return std::nullopt;
      filter.kills_none = filter.kills_none || !*is_normal;
    } else if (has_value && context.ArgIs(i, "USER")) {
      if (context.arg(value) != kDefaultUser) {
        context.reply.Error(absl::StrCat("ERR No such user '", context.arg(value).substr(0, 128), "'"));
        return std::nullopt;
      }
    } else if (has_value && context.ArgIs(i, "SKIPME") && (context.ArgIs(value, "YES") || context.ArgIs(value, "NO"))) {
      filter.skips_me = context.ArgIs(value, "YES");
    } else {
      context.reply.Error(kSyntaxError);
      return std::nullopt;
    }
  }
  return filter;
}

// CLIENT KILL address, or CLIENT KILL option value...
void Kill(CommandContext& context) {
  const bool by_address = context.arguments.size() == 3;
  KillFilter filter;
  if (by_address) {
    filter.address = context.arg(2);
    filter.skips_me = false;
  } else {
    const std::optional<KillFilter> parsed = ParseKillFilter(context);
    if (!parsed.has_value()) return;
    filter = *parsed;
  }
  int64_t killed = 0;
  context.sessions.ForEach([&](Session& session) {
    const bool is_me = &session == &context.session;
    if ((is_me && filter.skips_me) || !filter.Matches(session)) return;
    ++killed;
    if (is_me) {
      session.should_close = true;  // After the reply.
    } else {
      session.Kill();
    }
  });
  if (!by_address) return context.reply.Integer(killed);
  if (killed == 0) return context.reply.Error("ERR No such client");
  context.Ok();
}

void Help(CommandContext& context) { context.Help(kClientHelp); }

constexpr Subcommand kSubcommands[] = {{"getname", 2, GetName},  {"help", 2, Help},        {"id", 2, Id},
                                       {"info", 2, Info},        {"kill", -3, Kill},       {"list", -2, List},
                                       {"no-evict", 3, NoEvict}, {"no-touch", 3, NoTouch}, {"reply", 3, SetReplies},
                                       {"setinfo", 4, SetInfo},  {"setname", 3, SetName}};

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

void HandleReset(CommandContext& context) {
  context.transaction().Discard();
  context.session.name.clear();
  context.session.protocol = Protocol::kResp2;
  context.session.no_evict = false;
  context.session.replies = Session::Replies::kOn;
  context.reply.set_protocol(Protocol::kResp2);
  context.reply.SimpleString("RESET");
}

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

std::span<const Subcommand> ClientSubcommands() { return kSubcommands; }

}  // namespace tandem::kv
