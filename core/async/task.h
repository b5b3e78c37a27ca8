// SPDX-License-Identifier: Apache-2.0
//
// Task<T>: a coroutine that computes a T.
//
// A task is lazy: it runs when it is awaited, once, by `co_await` on an rvalue. Its caller suspends meanwhile and gets
// the value, or the exception that the body threw. A task that was never awaited may be dropped; a task that has
// started cannot be, since only its awaiter holds it.
//
// Parameters are copied or moved into the frame; references and spans are for leaf functions that say so. A lambda
// with captures must not be a coroutine: the captures die with the lambda, not with the frame. Pass arguments instead.
// No compiler tells; clang-tidy does, see "Mistakes that the compiler finds" in docs/using.md.

#ifndef TANDEM_CORE_ASYNC_TASK_H_
#define TANDEM_CORE_ASYNC_TASK_H_

#include <coroutine>
#include <exception>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/async/leaf.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"

namespace tandem {

namespace internal {

template <typename T>
class TaskPromise;

template <typename T>
class TaskAwaiter;

struct FinalAwaiter {
  bool await_ready() noexcept { return false; }
  template <typename Promise>
  void await_suspend(std::coroutine_handle<Promise> ended) noexcept {
    PromiseBase* parent = ended.promise().parent;
    parent->child = nullptr;
    Executor::Current().SetNext(parent->self);
  }
  void await_resume() noexcept {}
};

}  // namespace internal

template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::TaskPromise<T>;
  using value_type = T;

  // No task; awaiting it is a bug.
  Task() = default;
  Task(const Task&) = delete;  // A task is awaited once; who has it in a variable gives it away: std::move(task).
  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (coroutine_) coroutine_.destroy();
      coroutine_ = std::exchange(other.coroutine_, nullptr);
    }
    return *this;
  }
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }

 private:
  friend class internal::TaskPromise<T>;
  friend class internal::TaskAwaiter<T>;

  explicit Task(std::coroutine_handle<promise_type> coroutine) : coroutine_(coroutine) {}

  std::coroutine_handle<promise_type> coroutine_;
};

namespace internal {

template <typename T>
struct IsTask : std::false_type {};
template <typename T>
struct IsTask<Task<T>> : std::true_type {};

template <typename T>
inline constexpr bool kNever = false;

template <typename T>
concept NoTask = !IsTask<std::remove_cvref_t<T>>::value;
template <typename T>
concept NoTaskOrCall = NoTask<T> && !LeafCall<std::remove_cvref_t<T>>;

// Where a task is wanted and `Other` is none: says what to write instead. Its result is deduced so that compilers look
// into it at once, and tell who has called.
template <typename Other>
auto RefuseNoTask() {
  static_assert(!std::is_invocable_v<Other>,
                "a task is wanted, not the function that makes it: call it, f() or [] { ... }()");
  static_assert(!LeafCall<std::remove_cvref_t<Other>>,
                "a task is wanted, not a call such as Read() or Sleep(): await the call in a coroutine of its own");
  static_assert(std::is_invocable_v<Other> || LeafCall<std::remove_cvref_t<Other>>,
                "a task is wanted, which is what a call of a coroutine gives: f()");
  return Task<absl::Status>();
}

// Owns a started task until its awaiter is gone.
template <typename T>
class TaskAwaiter {
 public:
  using Handle = std::coroutine_handle<TaskPromise<T>>;

  // `scope` is where the task runs, by default in its caller's.
  TaskAwaiter(Task<T>&& task, CancelScope& scope) : coroutine_(std::exchange(task.coroutine_, nullptr)) {
    CHECK(coroutine_) << "a task was awaited twice, or was moved away before";
    coroutine_.promise().scope = &scope;
  }
  TaskAwaiter(const TaskAwaiter&) = delete;
  TaskAwaiter& operator=(const TaskAwaiter&) = delete;
  ~TaskAwaiter() {
    // Still its caller's child: a crash has destroyed it, see Executor::DestroyTasks().
    if (caller_ != nullptr && caller_->child == &coroutine_.promise()) return;
    coroutine_.destroy();
  }

  bool await_ready() { return false; }
  template <typename Promise>
  void await_suspend(std::coroutine_handle<Promise> parent) {
    PromiseBase& child = coroutine_.promise();
    caller_ = &parent.promise();
    child.self = coroutine_;
    child.parent = caller_;
    child.task = caller_->task;
    caller_->child = &child;
    Executor::Current().SetNext(coroutine_);
  }
  T await_resume() { return coroutine_.promise().Take(); }

 private:
  Handle coroutine_;
  PromiseBase* caller_ = nullptr;
};

// Awaits a task in another scope than the caller's.
template <typename T>
class InScope {
 public:
  // Not an aggregate: g++ 12 destroys a temporary aggregate in an await twice.
  InScope(Task<T> task, CancelScope& scope) : task(std::move(task)), scope(scope) {}
  Task<T> task;
  CancelScope& scope;
};

// Gives a coroutine the scope that it runs in, without suspending: `CancelScope& scope = co_await ThisScope{};`
struct ThisScope {};

class ThisScopeAwaiter {
 public:
  explicit ThisScopeAwaiter(CancelScope& scope) : scope_(scope) {}
  bool await_ready() { return true; }
  void await_suspend(std::coroutine_handle<>) {}
  CancelScope& await_resume() { return scope_; }

 private:
  CancelScope& scope_;
};

// Gives a coroutine the T of its Task<T>, as a type, without suspending: `co_await ThisResult{}` is a
// std::type_identity<T>. For macros that return from whatever they are in.
struct ThisResult {};

template <typename Promise>
struct ResultOf;
template <typename T>
struct ResultOf<TaskPromise<T>> {
  using type = T;
};

template <typename T>
class ThisResultAwaiter {
 public:
  bool await_ready() { return true; }
  void await_suspend(std::coroutine_handle<>) {}
  std::type_identity<T> await_resume() { return {}; }
};

// Adds `co_await` for tasks and leaf operations to a promise. Awaiters are returned by value: g++ 12 copies an awaiter
// that await_transform returns by reference.
template <typename Derived>
class Awaits {
 public:
  template <typename T>
  auto await_transform(Task<T>&& task, std::source_location location = std::source_location::current()) {
    Here().await_location = location;
    return TaskAwaiter<T>(std::move(task), *Here().scope);
  }
  template <typename T>
  auto await_transform(InScope<T>&& in_scope, std::source_location location = std::source_location::current()) {
    Here().await_location = location;
    return TaskAwaiter<T>(std::move(in_scope.task), in_scope.scope);
  }
  // Leaf operations are pinned temporaries: they live to the end of the full expression, which is inside the frame. By
  // value, so that what cannot be moved is awaited by the expression that makes it and by no other; a parameter lives
  // as long as a temporary, which the language leaves open and the ABI of both compilers says.
  template <LeafCall Call>
  auto await_transform(Call call, std::source_location location = std::source_location::current()) {
    Here().await_location = location;
    return LeafAwaiter(OperationOf(call), Here());
  }
  auto await_transform(ThisScope) { return ThisScopeAwaiter(*Here().scope); }
  auto await_transform(ThisResult) { return ThisResultAwaiter<typename ResultOf<Derived>::type>(); }
  // What is refused.
  template <typename T>
  auto await_transform(Task<T>& task) {
    static_assert(kNever<T>,
                  "a task is awaited once; who has it in a variable gives it away: co_await std::move(task)");
    return TaskAwaiter<T>(std::move(task), *Here().scope);
  }
  template <NoTaskOrCall Other>
  auto await_transform(Other&&) {
    RefuseNoTask<Other>();
    return std::suspend_never();
  }

 private:
  PromiseBase& Here() { return static_cast<Derived&>(*this); }
};

// What a coroutine returned.
template <typename T>
class TaskResult {
 public:
  // As `return`: what converts explicitly only, such as a number of elements to a vector, does not.
  template <typename U>
    requires std::is_convertible_v<U&&, T>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  void return_value(T&& value) { value_.emplace(std::move(value)); }
  template <typename U>
    requires(!std::is_convertible_v<U &&, T>)
  void return_value(U&&) {
    static_assert(kNever<U>, "what is given to co_return does not convert to the T of the coroutine's Task<T>");
  }

 protected:
  T TakeValue() {
    CHECK(value_.has_value()) << "a coroutine ended without a co_return";
    return *std::move(value_);
  }

 private:
  std::optional<T> value_;
};

template <>
class TaskResult<void> {
 public:
  void return_void() {}

 protected:
  void TakeValue() {}
};

template <typename T>
class TaskPromise final : public PromiseBase, public Awaits<TaskPromise<T>>, public TaskResult<T> {
 public:
  Task<T> get_return_object() { return Task<T>(std::coroutine_handle<TaskPromise>::from_promise(*this)); }
  std::suspend_always initial_suspend() noexcept { return {}; }
  FinalAwaiter final_suspend() noexcept { return {}; }
  void unhandled_exception() {
    if (Executor::Current().destroys_tasks()) Executor::Current().EscapedException();
    Executor::Current().exception_trace().Note(*this);
    exception_ = std::current_exception();
  }

  T Take() {
    if (exception_) std::rethrow_exception(std::move(exception_));
    return this->TakeValue();
  }

 private:
  std::exception_ptr exception_;
};

}  // namespace internal

template <typename T>
Task<T> CancelScope::Run(Task<T> task) {
  static_assert(Stoppable<T>,
                "a task in a cancel scope returns Status, StatusOr or IoResult, to say that it was stopped");
  CancelScope& outer = co_await internal::ThisScope{};
  ScopeEntry entry(*this, outer, Instant::InfiniteFuture(), ScopeEntry::Shielded::kNo);
  T result = co_await internal::InScope<T>(std::move(task), *this);
  co_return result;
}

}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_TASK_H_
