// SPDX-License-Identifier: Apache-2.0
//
// Several at once: WhenAll, WhenAny.
//
// Each joins everything that it started before it returns, whatever happens.

#ifndef TANDEM_CORE_ASYNC_WHEN_H_
#define TANDEM_CORE_ASYNC_WHEN_H_

#include <concepts>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "core/async/cancel.h"
#include "core/async/leaf.h"
#include "core/async/spawn.h"
#include "core/async/task.h"
#include "core/base/instant.h"
#include "core/base/result.h"

namespace tandem {

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

#endif  // TANDEM_CORE_ASYNC_WHEN_H_
