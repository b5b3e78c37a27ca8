// SPDX-License-Identifier: Apache-2.0
//
// Starting tasks: Spawn() for those that nobody waits for, TaskSet for those that somebody joins.
//
// TaskSet is the mechanism under WithTaskGroup, WhenAll and WhenAny; programs use those.

#ifndef TANDEM_CORE_ASYNC_SPAWN_H_
#define TANDEM_CORE_ASYNC_SPAWN_H_

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/async/caught_exception.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/async/task.h"

namespace tandem {

namespace internal {

class TaskSet;

// The first frame of a task. Destroys itself when the task ends.
class RootCoroutine {
 public:
  class promise_type final : public RootPromise, public Awaits<promise_type> {
   public:
    ~promise_type() {
      if (linked()) Executor::Current().ForgetTask(*this);
    }
    RootCoroutine get_return_object() { return RootCoroutine(*this); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept { return Ender{}; }
    void return_void() {}
    void unhandled_exception();

    TaskSet* set = nullptr;

   private:
    struct Ender {
      bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<promise_type> ended) noexcept;
      void await_resume() noexcept {}
    };
  };

  // Starts the task in `scope`; `set`, if any, hears of its end.
  void Start(CancelScope& scope, TaskSet* set) &&;
  // The task, until it ends.
  const TaskContext& context() const { return promise_.context; }

 private:
  explicit RootCoroutine(promise_type& promise) : promise_(promise) {}
  promise_type& promise_;
};

// Tasks that run in one scope and are joined together.
class TaskSet {
 public:
  TaskSet() = default;
  TaskSet(const TaskSet&) = delete;
  TaskSet& operator=(const TaskSet&) = delete;
  // REQUIRES that every task has ended (but for a simulated crash).
  ~TaskSet();

  CancelScope& scope() { return scope_; }
  void Start(RootCoroutine root) {
    ++running_;
    std::move(root).Start(scope_, this);
  }

  // Waits until no task runs. Cannot be cancelled: cancelling the scope makes the tasks end, and then this.
  class JoinOperation final : public Leaf {
   public:
    explicit JoinOperation(TaskSet& set) : set_(set) { set_uncancellable(); }
    std::string Describe() const override;
    void TakeResult() {}

   private:
    friend class TaskSet;
    bool Start() override;
    void OnStop() override {}
    TaskSet& set_;
  };
  [[nodiscard]] JoinOperation Join() { return JoinOperation(*this); }

  // Throws the first exception that escaped a task, if any did.
  void RethrowFirst() { first_exception_.Rethrow(); }
  // An exception escaped the running task: keeps the first one and cancels the rest.
  void Fail();
  // A simulated crash has destroyed the tasks.
  void Abandon() { running_ = 0; }

 private:
  friend class RootCoroutine;
  void OnTaskEnded();

  CancelScope scope_;
  size_t running_ = 0;
  JoinOperation* joiner_ = nullptr;
  CaughtException first_exception_;
};

// `function` and `arguments` are copies in this frame, which outlives the call.
template <typename Function, typename... Arguments>
RootCoroutine RunDetached(Function function, Arguments... arguments) {
  co_await std::invoke(function, std::move(arguments)...);
}

template <typename Function>
inline constexpr bool kCapturesNothing =
    std::is_empty_v<Function> || std::is_member_function_pointer_v<Function> ||
    (std::is_pointer_v<Function> && std::is_function_v<std::remove_pointer_t<Function>>);

// Types that refer to what another owns. (So do pointers, and there it shows.)
template <typename T>
inline constexpr bool kBorrows = std::is_same_v<T, absl::string_view> || std::is_same_v<T, std::string_view>;
template <typename T>
inline constexpr bool kBorrows<absl::Span<T>> = true;
template <typename T, size_t kExtent>
inline constexpr bool kBorrows<std::span<T, kExtent>> = true;
template <typename T>
inline constexpr bool kBorrows<std::reference_wrapper<T>> = true;
template <typename T>
inline constexpr bool kBorrows<absl::FunctionRef<T>> = true;

// Whether `function(arguments...)` is a task; says what to write when it is none.
template <typename Function, typename... Arguments>
constexpr bool CheckSpawned() {
  constexpr bool kIsCalled = IsTask<Function>::value;
  constexpr bool kFits = std::is_invocable_v<Function&, Arguments...>;
  constexpr bool kFitsReferences = std::is_invocable_v<Function&, Arguments&...>;
  static_assert(!kIsCalled, "spawn the function, not the task that it makes: Spawn(f, x) instead of Spawn(f(x))");
  static_assert(
      kIsCalled || kFits || !kFitsReferences,
      "a spawned function takes its arguments by value, since they are moved into its frame: give it a pointer "
      "instead of a reference, to what outlives the task");
  static_assert(kIsCalled || kFits || kFitsReferences,
                "the spawned function cannot be called with these arguments: Spawn(f, x) calls f(x), and "
                "Spawn(&Server::Run, server, x) calls server->Run(x)");
  if constexpr (kFits) {
    using Result = std::invoke_result_t<Function&, Arguments...>;
    static_assert(IsTask<Result>::value, "a spawned function is a coroutine: it returns a Task");
    return IsTask<Result>::value;
  } else {
    return false;
  }
}

// What Spawn() and SpawnJoinable() ask of their arguments.
template <typename Function, typename... Arguments>
constexpr void CheckDetachable() {
  static_assert(
      kCapturesNothing<Function>,
      "a spawned lambda captures nothing: pass what it needs as arguments, they are kept in the task's frame");
  static_assert(!(kBorrows<Arguments> || ...),
                "a spawned task outlives the expression that starts it: pass a std::string for a string_view, a vector "
                "for a span, a pointer to what lives long enough for a reference_wrapper");
}

}  // namespace internal

// Starts `function(arguments...)`, a coroutine that returns Task<void>, as a task of its own, under the runtime's root
// scope. It begins in the next turn of the loop. `function` captures nothing; it and the arguments are copied or moved
// into the new task's frame. It may be a member function, with a pointer to the object as its first argument. The
// runtime owns the task: it is cancelled when the runtime stops or main has returned, and joined. An exception that
// escapes it ends the process with a report.
//
// The task may outlive its caller, so what it points to does not belong into the caller's frame. It belongs into the
// arguments, as a value or a std::shared_ptr; into a HostLocal, which is destroyed after every task; or into main,
// which on a stop goes on when all other tasks have ended (but must not return by itself before). Tasks that share the
// locals of one function belong into WithTaskGroup().
template <typename Function, typename... Arguments>
void Spawn(Function function, Arguments... arguments) {
  if constexpr (internal::CheckSpawned<Function, Arguments...>()) {
    using Result = std::invoke_result_t<Function&, Arguments...>;
    static_assert(std::same_as<Result, Task<void>>,
                  "a spawned function returns Task<void>: nobody is there to see a Status, so handle it inside");
    internal::CheckDetachable<Function, Arguments...>();
    internal::RunDetached(std::move(function), std::move(arguments)...)
        .Start(Executor::Current().root_scope(), nullptr);
  }
}

}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_SPAWN_H_
