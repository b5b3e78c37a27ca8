// SPDX-License-Identifier: Apache-2.0
//
// SpawnJoinable(): a spawned task with a handle, to await its result and to cancel it.
//
// For a task whose start, end and cancellation belong to different parts of a program. Where one function waits for
// what it started, WithTaskGroup() and WhenAll() say so more safely; where nobody waits, Spawn() is cheaper.

#ifndef TANDEM_CORE_ASYNC_JOIN_HANDLE_H_
#define TANDEM_CORE_ASYNC_JOIN_HANDLE_H_

#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/async/caught_exception.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/async/leaf.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/base/result.h"

namespace tandem {

namespace internal {

// What a joinable task and its handle share. It does not depend on the result.
class JoinState {
 public:
  // A call of Join(), from its start until it has returned.
  class Waiter {
   public:
    virtual void OnEnd() = 0;

   protected:
    ~Waiter() = default;
  };

  CancelScope& scope() { return scope_; }
  bool ended() const { return ended_; }
  CaughtException& exception() { return exception_; }

  // An exception is escaping the task.
  void Fail();
  void End();
  // The handle is gone, so that nobody can see an exception any more.
  void Detach();

  void AddWaiter(Waiter& waiter) {
    CHECK(waiter_ == nullptr) << "two calls wait for the end of one task";
    waiter_ = &waiter;
  }
  void RemoveWaiter(Waiter& waiter) {
    if (waiter_ == &waiter) waiter_ = nullptr;
  }

 private:
  CancelScope scope_;  // What the task runs in.
  Waiter* waiter_ = nullptr;
  CaughtException exception_;
  bool ended_ = false;
  bool detached_ = false;
};

template <typename T>
class JoinStateOf final : public JoinState, public Counted<JoinStateOf<T>> {
 public:
  std::optional<std::conditional_t<std::is_void_v<T>, std::monostate, T>> result;
};

template <typename T>
struct JoinResultOf {
  using Type = absl::StatusOr<T>;
};
template <>
struct JoinResultOf<void> {
  using Type = absl::Status;
};
template <Stoppable T>
struct JoinResultOf<T> {
  using Type = T;
};

}  // namespace internal

// What Join() gives: T where that can say that the call was stopped, else a StatusOr around it, or a Status for void.
template <typename T>
using JoinResult = typename internal::JoinResultOf<T>::Type;

template <typename T>
class [[nodiscard]] JoinOperation final : public WithDeadline<JoinOperation<T>>, private internal::JoinState::Waiter {
 public:
  explicit JoinOperation(Ref<internal::JoinStateOf<T>> state) : state_(std::move(state)) {}
  ~JoinOperation() override { state_->RemoveWaiter(*this); }
  std::string Describe() const override { return "the end of a spawned task"; }
  JoinResult<T> TakeResult() {
    if (!ended_) return JoinResult<T>{this->StopStatus()};
    state_->exception().Rethrow();
    CHECK(state_->result.has_value()) << "the result of a spawned task was taken twice";
    if constexpr (std::is_void_v<T>) {
      state_->result.reset();
      return absl::OkStatus();
    } else {
      JoinResult<T> result = *std::move(state_->result);
      state_->result.reset();
      return result;
    }
  }

 private:
  bool Start() override {
    state_->AddWaiter(*this);
    return ended_ = state_->ended();
  }
  void OnStop() override {
    state_->RemoveWaiter(*this);
    this->Finish();
  }
  void OnEnd() override {
    ended_ = true;
    this->Finish();
  }

  const Ref<internal::JoinStateOf<T>> state_;
  bool ended_ = false;
};

// The handle of one spawned task. It may be moved, kept in an object, and destroyed at any time on its shard: that
// detaches the task, which then runs on as if by Spawn().
template <typename T>
class [[nodiscard]] JoinHandle {
 public:
  // No task; only assignment, destruction and valid() make sense.
  JoinHandle() = default;
  JoinHandle(JoinHandle&& other) noexcept = default;
  JoinHandle& operator=(JoinHandle&& other) noexcept {
    if (this != &other) {
      Detach();
      state_ = std::move(other.state_);
    }
    return *this;
  }
  ~JoinHandle() { Detach(); }

  bool valid() const { return state_ != nullptr; }
  // True when the task has ended: Join() returns at once.
  bool done() const { return state().ended(); }

  // Cancels the task: its calls fail with kCancelled from now on. Does nothing once it has ended. To wait until it has
  // dealt with that, Join() it.
  void Cancel() { state().scope().Cancel(); }

  // Waits for the end of the task and gives its result, once. An exception that escaped the task is thrown here. One
  // call at a time. A call that was stopped has changed nothing: the task runs on, and Join() may be called again.
  //
  // Errors (of the call, not of the task; done() tells them apart): kCancelled, kDeadlineExceeded.
  JoinOperation<T> Join() {
    state();
    return JoinOperation<T>(state_);
  }

 private:
  template <typename Function, typename... Arguments>
  friend auto SpawnJoinable(Function function, Arguments... arguments);

  explicit JoinHandle(Ref<internal::JoinStateOf<T>> state) : state_(std::move(state)) {}

  internal::JoinStateOf<T>& state() const {
    CHECK(valid()) << "a JoinHandle without a task was used";
    return *state_;
  }
  void Detach() {
    if (valid()) state_->Detach();
  }

  Ref<internal::JoinStateOf<T>> state_;
};

namespace internal {

template <typename T, typename Function, typename... Arguments>
RootCoroutine RunJoinable(Ref<JoinStateOf<T>> state, Function function, Arguments... arguments) {
  ScopeEntry entry(state->scope(), Executor::Current().root_scope(), Instant::InfiniteFuture(),
                   ScopeEntry::Shielded::kNo);
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::invoke(function, std::move(arguments)...);
      state->result.emplace();
    } else {
      state->result.emplace(co_await std::invoke(function, std::move(arguments)...));
    }
  } catch (...) {
    state->Fail();
  }
  state->End();
}

}  // namespace internal

// As Spawn(), for a `function` that returns Task<T> for any T: the task is the runtime's, and is cancelled and joined
// when the runtime ends. Returns its JoinHandle<T>.
//
// An exception that escapes the task is for Join(). When the handle is gone without that, nobody has dealt with it: it
// ends the process with a report, as with Spawn().
//
// Costs one allocation more than Spawn().
template <typename Function, typename... Arguments>
auto SpawnJoinable(Function function, Arguments... arguments) {
  if constexpr (internal::CheckSpawned<Function, Arguments...>()) {
    internal::CheckDetachable<Function, Arguments...>();
    using T = typename std::invoke_result_t<Function&, Arguments...>::value_type;
    auto state = Ref<internal::JoinStateOf<T>>::Adopt(new internal::JoinStateOf<T>());
    internal::RunJoinable<T>(state, std::move(function), std::move(arguments)...).Start(state->scope(), nullptr);
    return JoinHandle<T>(std::move(state));
  }
}

}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_JOIN_HANDLE_H_
