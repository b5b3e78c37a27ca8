// SPDX-License-Identifier: Apache-2.0
//
// Task groups: WithTaskGroup() joins every child that was started in it before it returns, whatever happens.

#ifndef TANDEM_CORE_ASYNC_TASK_GROUP_H_
#define TANDEM_CORE_ASYNC_TASK_GROUP_H_

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"

namespace tandem {

// Children that are joined together. Exists only inside WithTaskGroup().
class TaskGroup {
 public:
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Starts `function(arguments...)` as a child; it begins in the next turn of the loop. `function` returns Task<void>
  // or Task<absl::Status>; it, with its captures, and the arguments are moved into the child's frame and live until the
  // child ends. What they refer to must outlive WithTaskGroup(): the body's own locals end with the body, before the
  // children are joined. The first child that fails cancels the group.
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
// exception does the same and is rethrown after the join, instead of any failure. `body` returns Task<absl::Status>. It
// captures references or nothing: it runs inside the caller's expression, so what the caller has is alive.
template <typename Body>
Task<absl::Status> WithTaskGroup(Body body) {
  static_assert(std::is_trivially_copyable_v<Body>,
                "the body of a task group captures references or nothing: g++ 12 destroys the captures of a lambda "
                "that is made inside of a co_await expression twice");
  static_assert(std::is_invocable_r_v<Task<absl::Status>, Body&, TaskGroup&>,
                "the body of a task group takes a TaskGroup& and returns Task<absl::Status>");
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
  if constexpr (internal::CheckSpawned<Function, Arguments...>()) {
    set_.Start(RunChild(this, std::move(function), std::move(arguments)...));
  }
}

template <typename Function, typename... Arguments>
internal::RootCoroutine TaskGroup::RunChild(TaskGroup* group, Function function, Arguments... arguments) {
  using Result = typename std::invoke_result_t<Function&, Arguments...>::value_type;
  if constexpr (std::is_void_v<Result>) {
    co_await std::invoke(function, std::move(arguments)...);
  } else if constexpr (std::same_as<Result, absl::Status>) {
    absl::Status status = co_await std::invoke(function, std::move(arguments)...);
    group->Note(std::move(status));
  } else {
    static_assert(internal::kNever<Result>, "a child of a group returns Task<void> or Task<absl::Status>");
  }
}

template <typename Body>
Task<void> TaskGroup::RunBody(TaskGroup* group, Body* body) {
  absl::Status status = co_await (*body)(*group);
  group->Note(std::move(status));
}

}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_TASK_GROUP_H_
