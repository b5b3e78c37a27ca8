// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/history_readers.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "tandem/core/base/instant.h"

namespace tandem::testing {
namespace {

using Operation = History::Operation;
using Operations = std::vector<Operation>;

absl::Status Wrong(absl::string_view what) { return absl::InvalidArgumentError(what); }

// Calls `read` with each line and its number, from 1. An error of it is returned with the number.
absl::Status ForEachLine(absl::string_view text, absl::FunctionRef<absl::Status(absl::string_view, uint64_t)> read) {
  uint64_t number = 0;
  for (const absl::string_view line : absl::StrSplit(absl::StripSuffix(text, "\n"), '\n')) {
    ++number;
    if (line.empty() && text.empty()) break;
    const absl::Status status = read(line, number);
    if (!status.ok()) return absl::Status(status.code(), absl::StrCat("line ", number, ": ", status.message()));
  }
  return absl::OkStatus();
}

// --- Logs of events, one for the beginning and one for the end of an operation ---

struct Event {
  std::string client;
  std::string type;  // "invoke", "ok", "fail", "info".
  std::string name;
  std::string object;
  std::vector<std::string> arguments;  // Of an end: what it repeats of the beginning, if anything.
  std::string answer;                  // Of "ok".
};

class Log {
 public:
  absl::Status Add(Event event, uint64_t line) {
    return event.type == "invoke" ? Begin(std::move(event), line) : End(std::move(event), line);
  }
  Operations Take() { return std::move(operations_); }

 private:
  absl::Status Begin(Event event, uint64_t line) {
    if (!pending_.try_emplace(event.client, operations_.size()).second) {
      return Wrong(absl::StrCat("client ", event.client, " has not ended what it began in line ",
                                operations_[pending_[event.client]].invoked));
    }
    Operation& operation = operations_.emplace_back();
    operation.client = std::move(event.client);
    operation.object = std::move(event.object);
    operation.name = std::move(event.name);
    operation.arguments = std::move(event.arguments);
    operation.invoked = line;
    return absl::OkStatus();
  }

  absl::Status End(Event event, uint64_t line) {
    const auto pending = pending_.find(event.client);
    if (pending == pending_.end()) return Wrong(absl::StrCat("client ", event.client, " has not begun anything"));
    Operation& operation = operations_[pending->second];
    const bool repeats = event.arguments.empty() || event.arguments == operation.arguments;
    if (event.name != operation.name || event.object != operation.object || !repeats) {
      return Wrong(absl::StrCat("this is not the end of what the client began in line ", operation.invoked, ", ",
                                ToString(operation)));
    }
    pending_.erase(pending);
    if (event.type == "info") return absl::OkStatus();
    operation.returned = line;
    const bool refused = event.type == "fail" && operation.name == "cas";
    operation.outcome = event.type == "ok" || refused ? Operation::Outcome::kAnswered : Operation::Outcome::kFailed;
    operation.answer = refused ? "false" : std::move(event.answer);
    return absl::OkStatus();
  }

  Operations operations_;
  std::map<std::string, size_t> pending_;  // The operation that a client has begun and not ended.
};

bool IsType(absl::string_view type) { return type == "invoke" || type == "ok" || type == "fail" || type == "info"; }

bool IsCount(absl::string_view text) {
  uint64_t number = 0;
  return absl::SimpleAtoi(text, &number) && text == absl::StrCat(number);
}

// --- Jepsen ---

// Whether the words behind the name of an operation are right; they go into `*event`.
bool ReadJepsenValue(absl::Span<const std::string> words, Event* event) {
  const bool is_end_without_answer = event->type == "fail" || event->type == "info";
  if (words.size() == 1 && is_end_without_answer && absl::StartsWith(words[0], ":")) return true;  // The reason.
  if (event->name == "cas") {
    if (words.size() != 2 || !absl::StartsWith(words[0], "[") || !absl::EndsWith(words[1], "]")) return false;
    event->arguments = {words[0].substr(1), words[1].substr(0, words[1].size() - 1)};
    if (event->type == "ok") event->answer = "true";
    return !event->arguments[0].empty() && !event->arguments[1].empty();
  }
  if (words.size() != 1 || words[0].find_first_of(":[]") != std::string::npos) return false;
  if (event->name == "write") {
    event->arguments = {words[0]};
    return true;
  }
  if (event->type == "ok") event->answer = words[0];
  return event->type == "ok" || words[0] == "nil";
}

absl::Status ReadJepsenLine(absl::string_view line, uint64_t number, Log* log) {
  std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (words.size() < 6 || words[0] != "INFO" || words[1] != "jepsen.util" || words[2] != "-") {
    return Wrong("not of the form \"INFO  jepsen.util - CLIENT :TYPE :OPERATION VALUE\"");
  }
  if (words[3] == ":nemesis") return absl::OkStatus();
  if (!IsCount(words[3])) return Wrong(absl::StrCat("the client is no number: ", words[3]));
  Event event;
  event.client = words[3];
  event.type = absl::StripPrefix(words[4], ":");
  event.name = absl::StripPrefix(words[5], ":");
  if (words[4][0] != ':' || !IsType(event.type)) return Wrong(absl::StrCat("unknown type ", words[4]));
  if (words[5] != ":read" && words[5] != ":write" && words[5] != ":cas") {
    return Wrong(absl::StrCat("unknown operation ", words[5]));
  }
  if (!ReadJepsenValue(absl::MakeSpan(words).subspan(6), &event)) {
    return Wrong(absl::StrCat("not a value of ", words[4], " ", words[5]));
  }
  return log->Add(std::move(event), number);
}

// --- What both other formats are made of ---

class Cursor {
 public:
  explicit Cursor(absl::string_view text) : rest_(text) {}

  bool IsAtEnd() const { return rest_.empty(); }
  bool Skip(absl::string_view expected) { return absl::ConsumePrefix(&rest_, expected); }

  // What comes before the next of `ends`, which is not taken.
  std::string Until(absl::string_view ends) {
    const size_t size = std::min(rest_.find_first_of(ends), rest_.size());
    const std::string word(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return word;
  }

  template <typename Number>
  bool ReadNumber(Number* number) {
    return absl::SimpleAtoi(Until(",}"), number);
  }

  // A string in quotation marks, with \", \\, \n, \t and \u00XX.
  bool ReadQuoted(std::string* text) {
    if (!Skip("\"")) return false;
    text->clear();
    for (;;) {
      *text += Until("\"\\");
      if (Skip("\"")) return true;
      if (!ReadEscape(text)) return false;
    }
  }

 private:
  bool ReadEscape(std::string* text) {
    for (const auto& [escape, byte] : {std::pair("\\\"", '"'), {"\\\\", '\\'}, {"\\n", '\n'}, {"\\t", '\t'}}) {
      if (!Skip(escape)) continue;
      *text += byte;
      return true;
    }
    uint32_t byte = 0;
    if (!Skip("\\u00") || rest_.size() < 2 || !absl::SimpleHexAtoi(rest_.substr(0, 2), &byte)) return false;
    *text += static_cast<char>(byte);
    rest_.remove_prefix(2);
    return true;
  }

  absl::string_view rest_;
};

// --- Porcupine ---

absl::Status ReadPorcupineLine(absl::string_view line, uint64_t number, Log* log) {
  Cursor cursor(line);
  Event event;
  std::optional<std::string> value;
  const auto is_read = [&] {
    if (!cursor.Skip("{:process ")) return false;
    event.client = cursor.Until(",");
    if (!cursor.Skip(", :type :")) return false;
    event.type = cursor.Until(",");
    if (!cursor.Skip(", :f :")) return false;
    event.name = cursor.Until(",");
    if (!cursor.Skip(", :key ") || !cursor.ReadQuoted(&event.object) || !cursor.Skip(", :value ")) return false;
    if (!cursor.Skip("nil") && !cursor.ReadQuoted(&value.emplace())) return false;
    return cursor.Skip("}") && cursor.IsAtEnd();
  };
  if (!is_read() || !IsCount(event.client)) {
    return Wrong("not of the form {:process N, :type :TYPE, :f :OPERATION, :key \"KEY\", :value VALUE}");
  }
  if (!IsType(event.type)) return Wrong(absl::StrCat("unknown type :", event.type));
  if (event.name == "get") {
    if (value.has_value() != (event.type == "ok")) return Wrong("a get has a value when it is ok, and only then");
    event.answer = value.value_or("");
  } else if (event.name == "put" || event.name == "append") {
    if (!value.has_value()) return Wrong(absl::StrCat("a ", event.name, " without a value"));
    event.arguments = {*value};
  } else {
    return Wrong(absl::StrCat("unknown operation :", event.name));
  }
  return log->Add(std::move(event), number);
}

absl::StatusOr<Operations> ReadLog(absl::string_view text,
                                   absl::FunctionRef<absl::Status(absl::string_view, uint64_t, Log*)> read) {
  Log log;
  absl::Status status = ForEachLine(text, [&](absl::string_view line, uint64_t number) {
    return absl::StartsWith(line, ";") ? absl::OkStatus() : read(line, number, &log);
  });
  if (!status.ok()) return status;
  return log.Take();
}

// --- Our own ---

bool ReadStrings(Cursor* cursor, std::vector<std::string>* strings) {
  if (!cursor->Skip("[")) return false;
  if (cursor->Skip("]")) return true;
  do {
    if (!cursor->ReadQuoted(&strings->emplace_back())) return false;
  } while (cursor->Skip(","));
  return cursor->Skip("]");
}

bool ReadTime(Cursor* cursor, absl::string_view name, std::optional<Instant>* time) {
  if (!cursor->Skip(name)) return true;
  int64_t ns = 0;
  if (!cursor->ReadNumber(&ns)) return false;
  *time = Instant::FromNanoseconds(ns);
  return true;
}

bool ReadOutcome(Cursor* cursor, Operation* operation) {
  if (cursor->Skip("\"open\"")) return true;
  if (cursor->Skip("\"failed\"")) {
    operation->outcome = Operation::Outcome::kFailed;
    return true;
  }
  operation->outcome = Operation::Outcome::kAnswered;
  return cursor->Skip("\"answered\",\"answer\":") && cursor->ReadQuoted(&operation->answer);
}

bool ReadJsonOperation(absl::string_view line, Operation* operation) {
  Cursor cursor(line);
  return cursor.Skip("{\"client\":") && cursor.ReadQuoted(&operation->client) && cursor.Skip(",\"object\":") &&
         cursor.ReadQuoted(&operation->object) && cursor.Skip(",\"name\":") && cursor.ReadQuoted(&operation->name) &&
         cursor.Skip(",\"arguments\":") && ReadStrings(&cursor, &operation->arguments) &&
         cursor.Skip(",\"outcome\":") && ReadOutcome(&cursor, operation) && cursor.Skip(",\"invoked\":") &&
         cursor.ReadNumber(&operation->invoked) &&
         (!cursor.Skip(",\"returned\":") || cursor.ReadNumber(&operation->returned)) &&
         ReadTime(&cursor, ",\"invoked_ns\":", &operation->invoked_at) &&
         ReadTime(&cursor, ",\"returned_ns\":", &operation->returned_at) && cursor.Skip("}") && cursor.IsAtEnd();
}

absl::Status AddJsonLine(absl::string_view line, Operations* operations) {
  Operation operation;
  if (!ReadJsonOperation(line, &operation)) return Wrong("not an operation as ToJsonLines() writes it");
  if (!operations->empty() && operation.invoked <= operations->back().invoked) {
    return Wrong("began before the operation above, or with it");
  }
  const bool is_open = operation.outcome == Operation::Outcome::kOpen;
  if (is_open != (operation.returned == Operation::kNever)) return Wrong("has returned and is open, or neither");
  if (operation.returned <= operation.invoked) return Wrong("has returned before it began");
  operations->push_back(std::move(operation));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Operations> ReadJepsenLog(absl::string_view text) { return ReadLog(text, ReadJepsenLine); }

absl::StatusOr<Operations> ReadPorcupineKv(absl::string_view text) { return ReadLog(text, ReadPorcupineLine); }

absl::StatusOr<Operations> ReadJsonLines(absl::string_view text) {
  Operations operations;
  absl::Status status =
      ForEachLine(text, [&](absl::string_view line, uint64_t) { return AddJsonLine(line, &operations); });
  if (!status.ok()) return status;
  return operations;
}

}  // namespace tandem::testing
