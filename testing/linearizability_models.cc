// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/linearizability_models.h"

#include <cstddef>
#include <initializer_list>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/log/check.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tandem::testing {
namespace {

using Operation = History::Operation;
using Answer = std::optional<std::string>;

struct Signature {
  absl::string_view name;
  size_t arguments;
};

absl::Status KnowsOneOf(const Operation& operation, std::initializer_list<Signature> signatures) {
  for (const Signature& signature : signatures) {
    if (operation.name == signature.name && operation.arguments.size() == signature.arguments) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("the model has no operation \"", operation.name, "\" with ",
                                                 operation.arguments.size(), " arguments: ", ToString(operation)));
}

Answer CompareAndSet(const Operation& operation, std::string* state) {
  if (*state != operation.arguments[0]) return "false";
  *state = operation.arguments[1];
  return "true";
}

int64_t WrappingSum(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

}  // namespace

Answer Register::Apply(const Operation& operation, State* state) const {
  if (operation.name == "read") return *state;
  if (operation.name == "cas") return CompareAndSet(operation, state);
  *state = operation.arguments[0];
  return "";
}

absl::Status Register::Knows(const Operation& operation) const {
  return KnowsOneOf(operation, {{"read", 0}, {"write", 1}, {"cas", 2}});
}

Answer KeyValue::Apply(const Operation& operation, State* state) const {
  if (operation.name == "get") return *state;
  if (operation.name == "cas") return CompareAndSet(operation, state);
  if (operation.name == "append") {
    *state += operation.arguments[0];
  } else {
    *state = operation.name == "put" ? operation.arguments[0] : "";
  }
  return "";
}

absl::Status KeyValue::Knows(const Operation& operation) const {
  return KnowsOneOf(operation, {{"get", 0}, {"put", 1}, {"append", 1}, {"delete", 0}, {"cas", 2}});
}

Answer Counter::Apply(const Operation& operation, State* state) const {
  if (operation.name == "get") return absl::StrCat(*state);
  int64_t n = 0;
  CHECK(absl::SimpleAtoi(operation.arguments[0], &n));
  *state = WrappingSum(*state, n);
  return operation.name == "add" ? "" : absl::StrCat(*state);
}

absl::Status Counter::Knows(const Operation& operation) const {
  int64_t n = 0;
  if (!absl::c_all_of(operation.arguments, [&](const std::string& text) { return absl::SimpleAtoi(text, &n); })) {
    return absl::InvalidArgumentError(absl::StrCat("no number: ", ToString(operation)));
  }
  return KnowsOneOf(operation, {{"add", 1}, {"get", 0}, {"add_and_get", 1}});
}

Answer Queue::Apply(const Operation& operation, State* state) const {
  if (operation.name == "enqueue") {
    state->push_back(operation.arguments[0]);
    return "";
  }
  if (state->empty()) return "";
  std::string first = std::move(state->front());
  state->pop_front();
  return first;
}

absl::Status Queue::Knows(const Operation& operation) const {
  return KnowsOneOf(operation, {{"enqueue", 1}, {"dequeue", 0}});
}

Answer Lock::Apply(const Operation& operation, State* state) const {
  const std::string& owner = operation.arguments[0];
  if (operation.name == "release") {
    if (*state != owner) return std::nullopt;
    state->clear();
    return "";
  }
  const bool is_free = state->empty();
  if (is_free) *state = owner;
  if (operation.name == "try_acquire") return is_free ? "true" : "false";
  return is_free ? Answer("") : std::nullopt;
}

absl::Status Lock::Knows(const Operation& operation) const {
  if (!operation.arguments.empty() && operation.arguments[0].empty()) {
    return absl::InvalidArgumentError(absl::StrCat("an owner without a name: ", ToString(operation)));
  }
  return KnowsOneOf(operation, {{"acquire", 1}, {"try_acquire", 1}, {"release", 1}});
}

}  // namespace tandem::testing
