// SPDX-License-Identifier: Apache-2.0
//
// CONFIG: the settings that can be read, and those that can be changed while the server runs.

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "tandem/examples/kv/command_context.h"
#include "tandem/examples/kv/glob.h"
#include "tandem/examples/kv/integer.h"

namespace tandem::kv {
namespace {

// A longer pattern than any name matches nothing that a shorter one does not, and would only cost time.
constexpr size_t kMaxPatternBytes = 64;

constexpr std::string_view kConfigHelp[] = {
    "GET <pattern>",
    "    Return parameters matching the glob-like <pattern> and their values.",
    "SET <directive> <value>",
    "    Set the configuration <directive> to <value>.",
    "RESETSTAT",
    "    Reset statistics reported by the INFO command.",
};

// A setting by the name that it has in Redis.
struct Parameter {
  std::string_view name;
  std::string (*get)(const Settings& settings);
  // Changes the setting, or returns what is wrong with the value. Null: it stays as the server was started.
  std::optional<std::string> (*set)(Settings& settings, std::string_view value);
};

// Redis' notation: 1k is 1000, 1kb is 1024, and so on up to gb.
std::optional<size_t> ParseMemory(std::string_view text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::optional<int64_t> number = ParseInteger(text.substr(0, digits));
  if (!number.has_value()) return std::nullopt;
  constexpr std::pair<std::string_view, int64_t> kUnits[] = {
      {"", 1},          {"b", 1},        {"k", 1000},          {"kb", 1 << 10},
      {"m", 1'000'000}, {"mb", 1 << 20}, {"g", 1'000'000'000}, {"gb", 1 << 30}};
  for (const auto& [unit, factor] : kUnits) {
    int64_t bytes = 0;
    if (!absl::EqualsIgnoreCase(text.substr(digits), unit)) continue;
    if (__builtin_mul_overflow(*number, factor, &bytes)) return std::nullopt;
    return static_cast<size_t>(bytes);
  }
  return std::nullopt;
}

std::optional<std::string> SetMemory(size_t* setting, std::string_view value) {
  const std::optional<size_t> bytes = ParseMemory(value);
  if (!bytes.has_value()) return "argument must be a memory value";
  *setting = *bytes;
  return std::nullopt;
}

// Reads a number from `min` to `max`, or sets what is wrong with it.
std::optional<int64_t> ParseNumber(std::string_view value, int64_t min, int64_t max,
                                   std::optional<std::string>* wrong) {
  const std::optional<int64_t> number = ParseInteger(value);
  if (!number.has_value()) {
    *wrong = "argument couldn't be parsed into an integer";
  } else if (*number < min || *number > max) {
    *wrong = absl::StrCat("argument must be between ", min, " and ", max, " inclusive");
  } else {
    return number;
  }
  return std::nullopt;
}

// `normal <hard limit> 0 0`: all clients are normal ones, and there is no soft limit.
std::optional<std::string> SetOutputBufferLimit(Settings& settings, std::string_view value) {
  const std::vector<std::string_view> words = absl::StrSplit(value, ' ', absl::SkipEmpty());
  if (words.size() != 4) return "Wrong number of arguments in buffer limit configuration.";
  if (!absl::EqualsIgnoreCase(words[0], "normal"))
    return "Invalid client class specified in buffer limit configuration.";
  if (words[2] != "0" || words[3] != "0") return "there is no soft limit here: it must be 0 0";
  if (SetMemory(&settings.client_output_buffer_limit, words[1]).has_value()) {
    return "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
  }
  return std::nullopt;
}

std::optional<std::string> SetMaxClients(Settings& settings, std::string_view value) {
  std::optional<std::string> wrong;
  const std::optional<int64_t> count = ParseNumber(value, 1, std::numeric_limits<uint32_t>::max(), &wrong);
  if (!count.has_value()) return wrong;
  if (*count > settings.max_clients_possible) {
    return absl::StrCat("The operating system is not able to handle the specified number of clients, try with ",
                        settings.max_clients_possible);
  }
  settings.max_clients = static_cast<uint32_t>(*count);
  return std::nullopt;
}

// In seconds, rounded up: what is not 0 does not read as 0, which means never.
std::string IdleTimeout(const Settings& settings) {
  if (settings.idle_timeout == absl::InfiniteDuration()) return "0";
  return absl::StrCat(absl::ToInt64Seconds(absl::Ceil(settings.idle_timeout, absl::Seconds(1))));
}

std::optional<std::string> SetIdleTimeout(Settings& settings, std::string_view value) {
  std::optional<std::string> wrong;
  const std::optional<int64_t> seconds = ParseNumber(value, 0, std::numeric_limits<int32_t>::max(), &wrong);
  if (seconds.has_value()) settings.idle_timeout = absl::Seconds(*seconds);
  return wrong;
}

// Ordered by name.
constexpr Parameter kParameters[] = {
    {"appendonly", [](const Settings&) -> std::string { return "no"; }, nullptr},
    {"client-output-buffer-limit",
     [](const Settings& settings) { return absl::StrCat("normal ", settings.client_output_buffer_limit, " 0 0"); },
     SetOutputBufferLimit},
    {"databases", [](const Settings&) -> std::string { return "1"; }, nullptr},
    {"maxclients", [](const Settings& settings) { return absl::StrCat(settings.max_clients); }, SetMaxClients},
    {"maxmemory", [](const Settings& settings) { return absl::StrCat(settings.max_memory_bytes); },
     [](Settings& settings, std::string_view value) { return SetMemory(&settings.max_memory_bytes, value); }},
    {"maxmemory-clients", [](const Settings& settings) { return absl::StrCat(settings.max_client_buffer_bytes); },
     [](Settings& settings, std::string_view value) { return SetMemory(&settings.max_client_buffer_bytes, value); }},
    {"maxmemory-policy", [](const Settings&) -> std::string { return "noeviction"; }, nullptr},
    {"port", [](const Settings& settings) { return absl::StrCat(settings.port); }, nullptr},
    {"proto-max-bulk-len",
     [](const Settings& settings) {
       return absl::StrCat(std::min(settings.request_limits.max_bulk_bytes, settings.request_limits.max_request_bytes));
     },
     nullptr},
    {"save", [](const Settings&) -> std::string { return ""; }, nullptr},
    {"timeout", IdleTimeout, SetIdleTimeout},
};

void ConfigGet(CommandContext& context) {
  std::vector<std::pair<std::string_view, std::string>> matching;
  for (const Parameter& parameter : kParameters) {
    for (size_t i = 2; i < context.arguments.size(); ++i) {
      const std::string pattern = absl::AsciiStrToLower(context.arg(i).substr(0, kMaxPatternBytes));
      if (!GlobMatches(pattern, parameter.name)) continue;
      matching.emplace_back(parameter.name, parameter.get(context.settings));
      break;
    }
  }
  context.reply.Map(matching.size());
  for (const auto& [name, value] : matching) {
    context.reply.Bulk(name);
    context.reply.Bulk(std::string_view(value));
  }
}

const Parameter* FindParameter(std::string_view name) {
  for (const Parameter& parameter : kParameters) {
    if (absl::EqualsIgnoreCase(parameter.name, name)) return &parameter;
  }
  return nullptr;
}

std::optional<std::string> Apply(const Parameter& parameter, Settings& settings, std::string_view value) {
  if (parameter.set != nullptr) return parameter.set(settings, value);
  // What cannot be changed takes the value that it has.
  if (value == parameter.get(settings)) return std::nullopt;
  return "can't set immutable config";
}

// CONFIG SET parameter value...: all or nothing.
void ConfigSet(CommandContext& context) {
  if (context.arguments.size() % 2 != 0) return context.reply.Error(kSyntaxError);
  Settings changed = context.settings;
  std::vector<const Parameter*> seen;
  for (size_t i = 2; i < context.arguments.size(); i += 2) {
    const Parameter* const parameter = FindParameter(context.arg(i));
    if (parameter == nullptr) {
      return context.reply.Error(absl::StrCat("ERR Unknown option or number of arguments for CONFIG SET - '",
                                              context.arg(i).substr(0, 128), "'"));
    }
    std::optional<std::string> wrong = "duplicate parameter";
    const bool is_new = std::find(seen.begin(), seen.end(), parameter) == seen.end();
    if (is_new) wrong = Apply(*parameter, changed, context.arg(i + 1));
    if (wrong.has_value()) {
      return context.reply.Error(
          absl::StrCat("ERR CONFIG SET failed (possibly related to argument '", parameter->name, "') - ", *wrong));
    }
    seen.push_back(parameter);
  }
  ++changed.version;
  context.settings = changed;
  context.Ok();
}

void ResetStatistics(CommandContext& context) {
  Statistics& statistics = context.statistics;
  Statistics zero;
  // What is, as opposed to what has happened.
  zero.started_at_ns = statistics.started_at_ns;
  zero.connected_clients = statistics.connected_clients;
  zero.client_buffer_bytes = statistics.client_buffer_bytes;
  zero.expired_before = context.store.expired_total();
  statistics = zero;
  context.Ok();
}

void Help(CommandContext& context) { context.Help(kConfigHelp); }

constexpr Subcommand kSubcommands[] = {
    {"get", -3, ConfigGet}, {"help", 2, Help}, {"resetstat", 2, ResetStatistics}, {"set", -4, ConfigSet}};

}  // namespace

std::span<const Subcommand> ConfigSubcommands() { return kSubcommands; }

}  // namespace tandem::kv
