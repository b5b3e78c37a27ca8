// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/history.h"

#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "tandem/testing/report/json.h"

namespace tandem::testing {

using Operation = History::Operation;

// --- Recording ---

History::Call::Call(Call&& other) noexcept : history_(std::exchange(other.history_, nullptr)), index_(other.index_) {}

History::Call& History::Call::operator=(Call&& other) noexcept {
  history_ = std::exchange(other.history_, nullptr);
  index_ = other.index_;
  return *this;
}

void History::Call::Return(const absl::AlphaNum& answer) {
  CHECK(history_ != nullptr) << "the operation has ended before";
  std::exchange(history_, nullptr)->End(index_, Operation::Outcome::kAnswered, std::string(answer.Piece()));
}

void History::Call::Fail() {
  CHECK(history_ != nullptr) << "the operation has ended before";
  std::exchange(history_, nullptr)->End(index_, Operation::Outcome::kFailed, "");
}

History::Call History::Begin(std::string client, std::string object, std::string name,
                             std::vector<std::string> arguments) {
  const std::optional<Instant> now = ReadClock();
  const std::lock_guard lock(mutex_);
  Operation& operation = operations_.emplace_back();
  operation.client = std::move(client);
  operation.object = std::move(object);
  operation.name = std::move(name);
  operation.arguments = std::move(arguments);
  operation.invoked = events_++;
  operation.invoked_at = now;
  if (internal::history_watcher != nullptr) {
    internal::history_watcher->OnOperation(*this, operations_.size() - 1, operation);
  }
  return Call(this, operations_.size() - 1);
}

void History::End(size_t index, Operation::Outcome outcome, std::string answer) {
  const std::optional<Instant> now = ReadClock();
  const std::lock_guard lock(mutex_);
  Operation& operation = operations_[index];
  operation.outcome = outcome;
  operation.answer = std::move(answer);
  operation.returned = events_++;
  operation.returned_at = now;
  if (internal::history_watcher != nullptr) internal::history_watcher->OnOperation(*this, index, operation);
}

std::optional<Instant> History::ReadClock() const {
  if (!clock_) return std::nullopt;
  return clock_();
}

std::vector<Operation> History::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

// --- Text ---

std::string ToString(const Operation& operation) {
  std::string text = operation.client.empty() ? "" : absl::StrCat(operation.client, ": ");
  absl::StrAppend(&text, operation.name, "(", operation.object);
  if (!operation.object.empty() && !operation.arguments.empty()) absl::StrAppend(&text, ", ");
  absl::StrAppend(&text, absl::StrJoin(operation.arguments, ", "), ")");
  switch (operation.outcome) {
    case Operation::Outcome::kOpen:
      return absl::StrCat(text, " -> ?");
    case Operation::Outcome::kFailed:
      return absl::StrCat(text, " -> failed");
    case Operation::Outcome::kAnswered:
      return operation.answer.empty() ? text : absl::StrCat(text, " -> ", operation.answer);
  }
  return text;
}

namespace {

absl::string_view OutcomeName(Operation::Outcome outcome) {
  switch (outcome) {
    case Operation::Outcome::kOpen:
      return "open";
    case Operation::Outcome::kAnswered:
      return "answered";
    case Operation::Outcome::kFailed:
      return "failed";
  }
  return "";
}

void AppendJson(const Operation& operation, std::string* text) {
  JsonWriter json(text);
  json.BeginObject().Key("client").String(operation.client).Key("object").String(operation.object);
  json.Key("name").String(operation.name).Key("arguments").BeginArray();
  for (const std::string& argument : operation.arguments) json.String(argument);
  json.EndArray().Key("outcome").String(OutcomeName(operation.outcome));
  if (operation.outcome == Operation::Outcome::kAnswered) json.Key("answer").String(operation.answer);
  json.Key("invoked").Number(operation.invoked);
  if (operation.returned != Operation::kNever) json.Key("returned").Number(operation.returned);
  if (operation.invoked_at) json.Key("invoked_ns").Number(operation.invoked_at->nanoseconds());
  if (operation.returned_at) json.Key("returned_ns").Number(operation.returned_at->nanoseconds());
  json.EndObject();
}

}  // namespace

std::string ToJsonLines(absl::Span<const Operation> operations) {
  std::string text;
  for (const Operation& operation : operations) {
    AppendJson(operation, &text);
    text += '\n';
  }
  return text;
}

absl::Status WriteJsonLines(absl::Span<const Operation> operations, const std::string& path) {
  const std::string text = ToJsonLines(operations);
  std::FILE* const file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const int write_errno = errno;
  if (std::fclose(file) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("close ", path));
  return written ? absl::OkStatus() : absl::ErrnoToStatus(write_errno, absl::StrCat("write ", path));
}

}  // namespace tandem::testing
