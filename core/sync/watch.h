// SPDX-License-Identifier: Apache-2.0
//
// Watch: a value that changes, and those who follow it. They see the latest value, not every one.
//
//   Watch<Configuration> configuration(first);
//   Watch<Configuration>::Observer observer = configuration.Observe();   // For another task.
//   for (;;) {
//     absl::StatusOr<Configuration> next = co_await observer.Next();     // The first at once, then each change.
//     if (!next.ok()) break;
//     ...
//   }
//
// An observer shares the value with its watch, so either may go first. They belong to one shard.

#ifndef TANDEM_CORE_SYNC_WATCH_H_
#define TANDEM_CORE_SYNC_WATCH_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/sync/wait_list.h"

namespace tandem {

// T is copyable.
template <typename T>
class Watch {
 public:
  class NextOperation;
  class Observer;

  explicit Watch(T value) : state_(Ref<State>::Adopt(new State(std::move(value)))) {}
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  // As Close().
  ~Watch() {
    if (!ShardCrashed()) Close();
  }

  // The latest value; valid until the next Set().
  const T& value() const { return state_->value; }
  // Changes the value, and lets all go on that wait for that. An equal value is a change, too. REQUIRES !closed()
  // (CHECKed).
  void Set(T value) {
    state_->waiters.CheckShard();
    CHECK(!state_->closed) << "a watch was set after it was closed";
    state_->value = std::move(value);
    ++state_->version;
    state_->waiters.GrantAll();
  }
  // There will be no further change. Idempotent.
  void Close() {
    state_->waiters.CheckShard();
    state_->closed = true;
    state_->waiters.GrantAll();
  }
  bool closed() const { return state_->closed; }

  // One who has not seen any value yet.
  Observer Observe() const { return Observer(state_); }

 private:
  struct State final : public Counted<State> {
    explicit State(T value) : value(std::move(value)) {}
    T value;
    uint64_t version = 1;  // Counts values.
    bool closed = false;
    WaitList<NextOperation> waiters{"watch"};
  };

  const Ref<State> state_;
};

// Copyable: a copy has seen what the original had.
template <typename T>
class Watch<T>::Observer {
 public:
  // Waits until there is a value that this observer has not seen and returns the latest; at once when there is one.
  // The observer stays where it is until the call has returned. Calls that wait at the same time all see the change.
  // Lossless: a call that is stopped has seen nothing.
  //
  // Errors:
  //   kDeadlineExceeded  The deadline of the scope or of .By() passed first.
  //   kCancelled         The enclosing scope was cancelled.
  //   kOutOfRange        The watch was closed or destroyed, and its last value was seen.
  [[nodiscard]] NextOperation Next() { return NextOperation(*this); }

  // The latest value, seen or not, also of a watch that is gone; valid until the next change.
  const T& value() const { return state_->value; }
  // True when Next() would return a value at once.
  bool changed() const { return seen_ != state_->version; }

 private:
  friend class Watch;
  explicit Observer(Ref<State> state) : state_(std::move(state)) {}

  Ref<State> state_;
  uint64_t seen_ = 0;  // The version.
};

// Awaits to absl::StatusOr<T>. See Watch::Observer::Next().
template <typename T>
class [[nodiscard]] Watch<T>::NextOperation final : public WaitingOperation<NextOperation> {
 public:
  explicit NextOperation(Observer& observer) : observer_(observer), state_(observer.state_) {}
  std::string Describe() const override { return "a change of a watch"; }
  absl::StatusOr<T> TakeResult() {
    if (!this->granted()) return this->StopStatus();
    if (seen_ == state_->version) return absl::OutOfRangeError("next: the watch is closed");
    observer_.seen_ = state_->version;
    return state_->value;
  }

 private:
  bool Start() override {
    state_->waiters.CheckShard();
    seen_ = observer_.seen_;
    if (observer_.changed() || state_->closed) return this->GrantAtOnce();
    state_->waiters.PushBack(*this);
    return false;
  }

  Observer& observer_;
  const Ref<State> state_;
  uint64_t seen_ = 0;  // Before the call: another one may see the change first.
};

}  // namespace tandem

#endif  // TANDEM_CORE_SYNC_WATCH_H_
