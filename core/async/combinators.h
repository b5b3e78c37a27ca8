// SPDX-License-Identifier: Apache-2.0
//
// Structured concurrency: WithTimeout, Shield, WithTaskGroup, WhenAll, WhenAny, Sleep, Yield.
//
// Each of them joins everything it started before it returns, whatever happens: no task of a combinator outlives the
// combinator. And none throws a completed result away: bytes that a losing read has already got are in its result.

#ifndef TANDEM_CORE_ASYNC_COMBINATORS_H_
#define TANDEM_CORE_ASYNC_COMBINATORS_H_

#include <concepts>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/async/cancel.h"
#include "core/async/executor.h"
#include "core/async/spawn.h"
#include "core/async/task.h"
#include "core/base/instant.h"
#include "core/base/result.h"

namespace tandem {

// The monotonic time of this shard at the start of the current turn of its loop.
inline Instant Now() { return Executor::Current().now(); }

// Adds `.By(deadline)` to a leaf operation.
template <typename Operation>
class WithDeadline : public Leaf {
 public:
  // The call returns kDeadlineExceeded, having done nothing, when `deadline` passes before it has its result. The
  // earliest of several deadlines counts.
  Operation&& By(Instant deadline) && ABSL_ATTRIBUTE_LIFETIME_BOUND {
    set_deadline(deadline);
    return static_cast<Operation&&>(*this);
  }

 protected:
  // The status of a call that was stopped. REQUIRES cause() != kNone.
  absl::Status StopStatus() const {
    return cause() == StopCause::kDeadlineExceeded ? DeadlineExceededStatus() : CancelledStatus();
  }
};

// --- Sleep and Yield ---

class [[nodiscard]] SleepOperation final : public WithDeadline<SleepOperation> {
 public:
  explicit SleepOperation(Instant wake_up) : wake_up_(wake_up) {}
  std::string Describe() const override;
  absl::Status TakeResult() { return cause() == StopCause::kNone || woke_ ? absl::OkStatus() : StopStatus(); }

 private:
  struct WakeUp final : Timer {
    explicit WakeUp(SleepOperation& sleep) : sleep(sleep) {}
    ~WakeUp() {
      if (armed()) Executor::Current().timers().Disarm(*this);
    }
    void OnTimer() override;
    SleepOperation& sleep;
  };

  bool Start() override;
  void OnStop() override;

  Instant wake_up_;
  bool woke_ = false;
  WakeUp timer_{*this};
};

// Waits for `duration`; zero or less returns at once. Never early, counted from Now(), which is the start of this turn.
//
// Errors: kCancelled, kDeadlineExceeded.
inline SleepOperation Sleep(absl::Duration duration) { return SleepOperation(Now() + duration); }
inline SleepOperation SleepUntil(Instant instant) { return SleepOperation(instant); }

// Awaits to absl::Status. See Yield() and Checkpoint().
class [[nodiscard]] YieldOperation final : public Leaf {
 public:
  enum class Kind : uint8_t { kAlways, kNowAndThen };

  explicit YieldOperation(Kind kind) : kind_(kind) {}
  std::string Describe() const override { return "its turn after a yield"; }
  absl::Status TakeResult() { return cause() == StopCause::kNone ? absl::OkStatus() : CancelledStatus(); }

 private:
  bool Start() override;
  void OnStop() override {}

  const Kind kind_;
};

// Lets every other ready task run first.
//
// Errors: kCancelled.
inline YieldOperation Yield() { return YieldOperation(YieldOperation::Kind::kAlways); }

// For code that works long without waiting: asks whether it was cancelled, and lets others run when it has not
// suspended for Executor::kReadyAwaitsInARow awaits.
//
// Errors: kCancelled.
inline YieldOperation Checkpoint() { return YieldOperation(YieldOperation::Kind::kNowAndThen); }

// --- WithTimeout and Shield ---

// Gives one call `timeout` from now. The same as `.By(Now() + timeout)`, without a frame:
//   co_await WithTimeout(absl::Seconds(1), stream.Read(span))
template <typename Operation>
  requires std::derived_from<Operation, WithDeadline<Operation>>
Operation&& WithTimeout(absl::Duration timeout, Operation&& operation ABSL_ATTRIBUTE_LIFETIME_BOUND) {
  return static_cast<Operation&&>(operation).By(Now() + timeout);
}

template <typename T>
Task<T> WithDeadlineAt(Instant deadline, Task<T> task);

// Runs `task` and cancels it after `timeout`. Returns the task's result, which is its value when it completed in spite
// of the cancellation; a kCancelled that the timeout caused becomes kDeadlineExceeded.
template <typename T>
Task<T> WithTimeout(absl::Duration timeout, Task<T> task) {
  static_assert(Stoppable<T>,
                "a task under a timeout returns Status, StatusOr or IoResult, to say that it was stopped");
  return WithDeadlineAt(Now() + timeout, std::move(task));
}

// The same with the instant at which to stop.
template <typename T>
Task<T> WithDeadlineAt(Instant deadline, Task<T> task) {
  static_assert(Stoppable<T>,
                "a task under a deadline returns Status, StatusOr or IoResult, to say that it was stopped");
  CancelScope& outer = co_await internal::ThisScope{};
  CancelScope scope;
  ScopeEntry entry(scope, outer, deadline, ScopeEntry::Shielded::kNo);
  T result = co_await internal::InScope<T>(std::move(task), scope);
  if (entry.deadline_fired() && absl::IsCancelled(StatusOf(result))) ReplaceStatus(result, DeadlineExceededStatus());
  co_return result;
}

// Runs `task` masked from the cancellation of the enclosing scopes, for at most `limit`: for clean-up that has to
// happen although the caller was cancelled.
template <typename T>
Task<T> Shield(absl::Duration limit, Task<T> task) {
  static_assert(Stoppable<T>, "a shielded task returns Status, StatusOr or IoResult, to say that its limit passed");
  CancelScope& outer = co_await internal::ThisScope{};
  CancelScope scope;
  ScopeEntry entry(scope, outer, Now() + limit, ScopeEntry::Shielded::kYes);
  T result = co_await internal::InScope<T>(std::move(task), scope);
  if (entry.deadline_fired() && absl::IsCancelled(StatusOf(result))) ReplaceStatus(result, DeadlineExceededStatus());
  co_return result;
}

template <typename T>
Task<T> CancelScope::Run(Task<T> task) {
  static_assert(Stoppable<T>,
                "a task in a cancel scope returns Status, StatusOr or IoResult, to say that it was stopped");
  CancelScope& outer = co_await internal::ThisScope{};
  ScopeEntry entry(*this, outer, Instant::InfiniteFuture(), ScopeEntry::Shielded::kNo);
  T result = co_await internal::InScope<T>(std::move(task), *this);
  co_return result;
}

// --- Task groups ---

// Children that are joined together. Exists only inside WithTaskGroup().
class TaskGroup {
 public:
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Starts `function(arguments...)` as a child; it begins in the next turn of the loop. `function` returns Task<void>
  // or Task<absl::Status> and captures nothing or references (it is trivially copyable); it and the arguments are
  // copied or moved into the child's frame. References must be to what outlives WithTaskGroup(): the body's own locals
  // end with the body, before the children are joined. The first child that fails cancels the group.
  template <typename Function, typename... Arguments>
  void Spawn(Function function, Arguments... arguments);

  // Cancels the body and all children. What the group returns is still what they return: the first failure, or OK when
  // all of them end well in spite of it.
  void Cancel() { set_.scope().Cancel(); }

 private:
  template <typename Body>
  friend Task<absl::Status> WithTaskGroup(Body body);
  TaskGroup() = default;

  void Note(absl::Status status) {
    if (status.ok()) return;
    if (first_error_.ok()) first_error_ = std::move(status);
    set_.scope().Cancel();
  }
  template <typename Function, typename... Arguments>
  static internal::RootCoroutine RunChild(TaskGroup* group, Function function, Arguments... arguments);
  template <typename Body>
  static Task<void> RunBody(TaskGroup* group, Body* body);

  internal::TaskSet set_;
  absl::Status first_error_;
};

// Runs `body(group)`, which may spawn children into the group, and returns when the body and all children have ended,
// whatever happens. The first failure (a Status of the body or of a child) cancels the rest and is returned; an
// exception does the same and is rethrown after the join. `body` returns Task<absl::Status>.
template <typename Body>
Task<absl::Status> WithTaskGroup(Body body) {
  static_assert(std::is_trivially_copyable_v<Body>,
                "the body of a task group captures references or nothing; it is copied into the group's frame");
  CancelScope& outer = co_await internal::ThisScope{};
  TaskGroup group;
  ScopeEntry entry(group.set_.scope(), outer, Instant::InfiniteFuture(), ScopeEntry::Shielded::kNo);
  group.set_.Start(internal::RunDetached(&TaskGroup::RunBody<Body>, &group, &body));
  co_await group.set_.Join();
  group.set_.RethrowFirst();
  co_return std::move(group.first_error_);
}

template <typename Function, typename... Arguments>
void TaskGroup::Spawn(Function function, Arguments... arguments) {
  static_assert(std::is_trivially_copyable_v<Function>,
                "a child of a group captures references or nothing; pass values as arguments");
  set_.Start(RunChild(this, std::move(function), std::move(arguments)...));
}

template <typename Function, typename... Arguments>
internal::RootCoroutine TaskGroup::RunChild(TaskGroup* group, Function function, Arguments... arguments) {
  using Result = typename std::invoke_result_t<Function&, Arguments...>::value_type;
  if constexpr (std::is_void_v<Result>) {
    co_await std::invoke(function, std::move(arguments)...);
  } else {
    static_assert(std::same_as<Result, absl::Status>, "a child of a group returns Task<void> or Task<absl::Status>");
    absl::Status status = co_await std::invoke(function, std::move(arguments)...);
    group->Note(std::move(status));
  }
}

template <typename Body>
Task<void> TaskGroup::RunBody(TaskGroup* group, Body* body) {
  absl::Status status = co_await (*body)(*group);
  group->Note(std::move(status));
}

// --- WhenAll and WhenAny ---

namespace internal {

// void results become std::monostate.
template <typename T>
using Present = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <typename T>
Task<T> AsTask(Task<T> task) {
  return task;
}
// Awaits a leaf operation that the caller's full expression keeps alive.
template <typename Operation>
auto AwaitLeaf(Operation* operation) -> Task<decltype(operation->TakeResult())> {
  co_return co_await static_cast<Operation&&>(*operation);
}
template <typename Operation>
  requires std::derived_from<Operation, Leaf>
auto AsTask(Operation&& operation) {
  return AwaitLeaf(&operation);
}

template <typename T>
RootCoroutine RunInto(std::optional<Present<T>>* result, Task<T> task) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(task);
    result->emplace();
  } else {
    result->emplace(co_await std::move(task));
  }
}

// As RunInto, and the first result cancels the others. A result that only says "cancelled" is none.
template <typename T>
RootCoroutine RunFirst(TaskSet* set, std::optional<Present<T>>* result, Task<T> task) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(task);
    result->emplace();
  } else {
    T value = co_await std::move(task);
    if constexpr (Stoppable<T>) {
      if (set->scope().cancelled() && absl::IsCancelled(StatusOf(value)) && HasDoneNothing(value)) co_return;
    }
    result->emplace(std::move(value));
  }
  set->scope().Cancel();
}

template <typename... Ts>
Task<std::tuple<Present<Ts>...>> WhenAllTasks(Task<Ts>... tasks) {
  CancelScope& outer = co_await ThisScope{};
  std::tuple<std::optional<Present<Ts>>...> results;
  TaskSet set;
  ScopeEntry entry(set.scope(), outer, Instant::InfiniteFuture(), ScopeEntry::Shielded::kNo);
  std::apply([&](auto&... result) { (set.Start(RunInto<Ts>(&result, std::move(tasks))), ...); }, results);
  co_await set.Join();
  set.RethrowFirst();
  co_return std::apply([](auto&... result) { return std::tuple<Present<Ts>...>(*std::move(result)...); }, results);
}

template <typename... Ts>
Task<std::tuple<std::optional<Present<Ts>>...>> WhenAnyTasks(Task<Ts>... tasks) {
  CancelScope& outer = co_await ThisScope{};
  std::tuple<std::optional<Present<Ts>>...> results;
  TaskSet set;
  ScopeEntry entry(set.scope(), outer, Instant::InfiniteFuture(), ScopeEntry::Shielded::kNo);
  std::apply([&](auto&... result) { (set.Start(RunFirst<Ts>(&set, &result, std::move(tasks))), ...); }, results);
  co_await set.Join();
  set.RethrowFirst();
  co_return std::move(results);
}

}  // namespace internal

// Runs all of `awaitables` (tasks or leaf operations) at the same time and returns all results, in order, as a tuple
// (std::monostate for void). Await it where it is made: leaf operations are temporaries of that expression. An
// exception cancels the others and is rethrown after all have ended. A result that is an error does not cancel the
// others: it is a result.
template <typename... Awaitables>
auto WhenAll(Awaitables&&... awaitables) {
  return internal::WhenAllTasks(internal::AsTask(std::forward<Awaitables>(awaitables))...);
}

// Runs all of `awaitables` at the same time; the first that ends cancels the others, and all are joined. Returns a
// tuple of optionals with *every* result that completed: more than one when several were ready together. An optional is
// empty when its task only says that it was cancelled and had done nothing; all are empty when the enclosing scope was
// cancelled first. A Task<void> cannot say that and always counts as completed. Await it where it is made: leaf
// operations are temporaries of that expression.
template <typename... Awaitables>
auto WhenAny(Awaitables&&... awaitables) {
  return internal::WhenAnyTasks(internal::AsTask(std::forward<Awaitables>(awaitables))...);
}

// As WhenAll(), for any number of tasks of one type.
template <typename T>
Task<std::vector<T>> WhenAll(std::vector<Task<T>> tasks) {
  CancelScope& outer = co_await internal::ThisScope{};
  std::vector<std::optional<T>> results(tasks.size());
  internal::TaskSet set;
  ScopeEntry entry(set.scope(), outer, Instant::InfiniteFuture(), ScopeEntry::Shielded::kNo);
  for (size_t i = 0; i < tasks.size(); ++i) set.Start(internal::RunInto<T>(&results[i], std::move(tasks[i])));
  co_await set.Join();
  set.RethrowFirst();
  std::vector<T> values;
  values.reserve(results.size());
  for (std::optional<T>& result : results) values.push_back(*std::move(result));
  co_return values;
}

}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_COMBINATORS_H_
