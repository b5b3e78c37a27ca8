// SPDX-License-Identifier: Apache-2.0
//
// Promise and Future: one value, from one task to another, once.
//
//   auto [promise, future] = MakePromise<int>();
//   Spawn(&Compute, std::move(promise));            // ... promise.Set(42);
//   absl::StatusOr<int> answer = co_await future.Get();
//
// Both are handles of a state that they share, so either may go first: there is nothing to outlive. The state belongs
// to one shard.

#ifndef TANDEM_CORE_SYNC_PROMISE_H_
#define TANDEM_CORE_SYNC_PROMISE_H_

#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/base/result.h"
#include "tandem/core/sync/wait_list.h"

namespace tandem {

template <typename T>
class Future;
template <typename T>
class Promise;

namespace internal {

template <typename T>
struct PromiseState final : public Counted<PromiseState<T>> {
  std::optional<T> value;
  bool set = false;
  bool broken = false;  // The promise is gone, and there was no value.
  WaitList<typename Future<T>::GetOperation> getter{"promise"};
};

}  // namespace internal

// Movable. T is movable.
template <typename T>
class Future {
 public:
  class GetOperation;
  // What Get() awaits to: T itself when it can say that a call was stopped, else StatusOr<T>.
  using Result = std::conditional_t<Stoppable<T>, T, absl::StatusOr<T>>;

  Future(Future&&) noexcept = default;
  Future& operator=(Future&&) noexcept = default;

  // Waits for the value and takes it. One call at a time, and none after one that has taken the value (CHECKed).
  // Lossless: a call that is stopped leaves the value to the next.
  //
  // Errors:
  //   kDeadlineExceeded  The deadline of the scope or of .By() passed first.
  //   kCancelled         The enclosing scope was cancelled.
  //   kAborted           The promise was destroyed without a value.
  [[nodiscard]] GetOperation Get() {
    CHECK(state_) << "a moved-from Future is used";
    return GetOperation(state_);
  }
  // True when Get() would not wait.
  bool ready() const {
    CHECK(state_) << "a moved-from Future is used";
    return state_->value.has_value() || state_->broken;
  }

 private:
  template <typename U>
  friend std::pair<Promise<U>, Future<U>> MakePromise();
  explicit Future(Ref<internal::PromiseState<T>> state) : state_(std::move(state)) {}

  Ref<internal::PromiseState<T>> state_;
};

// Movable.
template <typename T>
class Promise {
 public:
  Promise(Promise&&) noexcept = default;
  Promise& operator=(Promise&& other) noexcept {
    if (this != &other) {
      Break();
      state_ = std::move(other.state_);
    }
    return *this;
  }
  // Without a value, the future's calls end with kAborted.
  ~Promise() { Break(); }

  // Gives the value. REQUIRES that none was given (CHECKed). A future that is gone does not matter.
  void Set(T value) {
    CHECK(state_) << "a moved-from Promise is used";
    state_->getter.CheckShard();
    CHECK(!state_->set) << "a promise was set twice";
    state_->value.emplace(std::move(value));
    state_->set = true;
    state_->getter.GrantAll();
  }

 private:
  template <typename U>
  friend std::pair<Promise<U>, Future<U>> MakePromise();
  explicit Promise(Ref<internal::PromiseState<T>> state) : state_(std::move(state)) {}

  void Break() {
    if (!state_ || state_->set || ShardCrashed()) return;
    state_->getter.CheckShard();
    state_->broken = true;
    state_->getter.GrantAll();
  }

  Ref<internal::PromiseState<T>> state_;
};

// A promise and its future.
template <typename T>
std::pair<Promise<T>, Future<T>> MakePromise() {
  auto state = Ref<internal::PromiseState<T>>::Adopt(new internal::PromiseState<T>());
  Future<T> future(state);
  return {Promise<T>(std::move(state)), std::move(future)};
}

// ---------------------------------------------------------------------------------------------------------------------

// Awaits to Future::Result. See Future::Get().
template <typename T>
class [[nodiscard]] Future<T>::GetOperation final : public WaitingOperation<GetOperation> {
 public:
  explicit GetOperation(Ref<internal::PromiseState<T>> state) : state_(std::move(state)) {}
  std::string Describe() const override { return "the value of a promise"; }
  Result TakeResult() {
    if (!this->granted()) return this->StopStatus();
    if (!state_->value.has_value()) return absl::AbortedError("get: the promise was destroyed without a value");
    Result result = *std::move(state_->value);
    state_->value.reset();
    return result;
  }

 private:
  bool Start() override {
    state_->getter.CheckShard();
    CHECK(!state_->set || state_->value.has_value()) << "the value of a future was taken before";
    if (state_->set || state_->broken) return this->GrantAtOnce();
    CHECK(state_->getter.empty()) << "two calls wait for one future";
    state_->getter.PushBack(*this);
    return false;
  }

  const Ref<internal::PromiseState<T>> state_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_SYNC_PROMISE_H_
