// SPDX-License-Identifier: Apache-2.0
//
// Models of what is often tested, for linearizability.h. An operation is written here with its arguments, and what it
// answers behind the arrow; without an arrow its answer is empty.

#ifndef TANDEM_TESTING_LINEARIZABILITY_MODELS_H_
#define TANDEM_TESTING_LINEARIZABILITY_MODELS_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "tandem/testing/history.h"

namespace tandem::testing {

// read -> value, write(value), cas(expected, value) -> "true" or "false".
class Register {
 public:
  using State = std::string;

  // `initial` is what is read before the first write; "nil" is Jepsen's word for it.
  explicit Register(std::string initial = "nil") : initial_(std::move(initial)) {}

  State Start() const { return initial_; }
  std::optional<std::string> Apply(const History::Operation& operation, State* state) const;
  absl::Status Knows(const History::Operation& operation) const;

 private:
  std::string initial_;
};

// A key of a key-value store, which is the object: get -> value, put(value), append(value), delete,
// cas(expected, value) -> "true" or "false". An absent key reads as the empty value.
class KeyValue {
 public:
  using State = std::string;

  State Start() const { return ""; }
  std::optional<std::string> Apply(const History::Operation& operation, State* state) const;
  absl::Status Knows(const History::Operation& operation) const;
};

// add(n), get -> value, add_and_get(n) -> value. It begins at 0, numbers are those of int64_t, and sums wrap around.
class Counter {
 public:
  using State = int64_t;

  State Start() const { return 0; }
  std::optional<std::string> Apply(const History::Operation& operation, State* state) const;
  absl::Status Knows(const History::Operation& operation) const;
};

// First in, first out: enqueue(value), dequeue -> value, or an empty answer when there is none.
class Queue {
 public:
  using State = std::deque<std::string>;

  State Start() const { return {}; }
  std::optional<std::string> Apply(const History::Operation& operation, State* state) const;
  absl::Status Knows(const History::Operation& operation) const;
};

// acquire(owner), which waits while somebody has it, try_acquire(owner) -> "true" or "false", release(owner), which
// only who has it can do. An owner that has it cannot get it once more.
class Lock {
 public:
  using State = std::string;  // The owner; empty: free.

  State Start() const { return ""; }
  std::optional<std::string> Apply(const History::Operation& operation, State* state) const;
  absl::Status Knows(const History::Operation& operation) const;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_LINEARIZABILITY_MODELS_H_
