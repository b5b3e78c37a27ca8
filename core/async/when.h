// SPDX-License-Identifier: Apache-2.0
//
// Several at once: WhenAll, WhenAny, WhenSome.
//
// Each joins everything that it started before it returns, whatever happens. No completed result is thrown away, but
// for one case: an exception that escapes one of them is rethrown after the join, and then there is nobody to give the
// results of the others to; what they own (bytes that were read, a stream that was accepted) is destroyed with them.

#ifndef TANDEM_CORE_ASYNC_WHEN_H_
#define TANDEM_CORE_ASYNC_WHEN_H_

#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/log/check.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/async/leaf.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"

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
auto AwaitLeaf(Operation* operation, [[maybe_unused]] LeafLoan loan) -> Task<decltype(operation->TakeResult())> {
  co_return co_await LeafReference<Operation>(*operation);
}
template <LeafCall Call>
auto AsTask(Call&& call) {
  auto& operation = OperationOf(call);
  return AwaitLeaf(&operation, LeafLoan(operation));
}
template <NoTaskOrCall Other>
auto AsTask(Other&&) {
  return RefuseNoTask<Other>();
}

template <typename Awaitable>
inline constexpr bool kIsTask = IsTask<std::remove_cvref_t<Awaitable>>::value;

template <typename T>
RootCoroutine RunInto(std::optional<Present<T>>* result, Task<T> task) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(task);
    result->emplace();
  } else {
    result->emplace(co_await std::move(task));
  }
}

// True for the result of a task that was cancelled before it had any effect.
template <typename T>
bool SaysNothing(const T& value) {
  if constexpr (Stoppable<T>) {
    return IsCancelledByScope(StatusOf(value)) && HasDoneNothing(value);
  } else {
    return false;
  }
}

inline RootCoroutine RunTask(Task<void> task) { co_await std::move(task); }

// As RunInto, and the first result cancels the others.
template <typename T>
RootCoroutine RunFirst(TaskSet* set, std::optional<Present<T>>* result, Task<T> task) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(task);
    result->emplace();
  } else {
    T value = co_await std::move(task);
    if (set->scope().cancelled() && SaysNothing(value)) co_return;
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
// (std::monostate for void). A leaf operation is a temporary of the expression that makes it, so await that expression
// as it stands: clang warns of others, and they end the process when the operation goes (CHECKed). An exception cancels
// the others and is rethrown after all have ended. A result that is an error does not cancel the others: it is a
// result.
template <typename... Awaitables>
  requires(internal::kIsTask<Awaitables> && ...)
auto WhenAll(Awaitables&&... tasks) {
  return internal::WhenAllTasks(internal::AsTask(std::forward<Awaitables>(tasks))...);
}
template <typename... Awaitables>
auto WhenAll(Awaitables&&... awaitables ABSL_ATTRIBUTE_LIFETIME_BOUND) {
  return internal::WhenAllTasks(internal::AsTask(std::forward<Awaitables>(awaitables))...);
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
inline Task<void> WhenAll(std::vector<Task<void>> tasks) {
  CancelScope& outer = co_await internal::ThisScope{};
  internal::TaskSet set;
  ScopeEntry entry(set.scope(), outer, Instant::InfiniteFuture(), ScopeEntry::Shielded::kNo);
  for (Task<void>& task : tasks) set.Start(internal::RunTask(std::move(task)));
  co_await set.Join();
  set.RethrowFirst();
}

// Runs all of `awaitables` at the same time; the first that ends cancels the others, and all are joined. Returns a
// tuple of optionals with *every* result that completed: more than one when several were ready together. An optional is
// empty when its task only says that it was cancelled and had done nothing; all are empty when the enclosing scope was
// cancelled first. A Task<void> cannot say that and always counts as completed. An exception cancels the others and is
// rethrown after all have ended. Leaf operations as in WhenAll().
template <typename... Awaitables>
  requires(internal::kIsTask<Awaitables> && ...)
auto WhenAny(Awaitables&&... tasks) {
  return internal::WhenAnyTasks(internal::AsTask(std::forward<Awaitables>(tasks))...);
}
template <typename... Awaitables>
auto WhenAny(Awaitables&&... awaitables ABSL_ATTRIBUTE_LIFETIME_BOUND) {
  return internal::WhenAnyTasks(internal::AsTask(std::forward<Awaitables>(awaitables))...);
}

// As WhenAny(), for any number of tasks of one type: the results in the order of the tasks. Without tasks it returns at
// once.
template <typename T>
Task<std::vector<std::optional<internal::Present<T>>>> WhenAny(std::vector<Task<T>> tasks) {
  CancelScope& outer = co_await internal::ThisScope{};
  std::vector<std::optional<internal::Present<T>>> results(tasks.size());
  internal::TaskSet set;
  ScopeEntry entry(set.scope(), outer, Instant::InfiniteFuture(), ScopeEntry::Shielded::kNo);
  for (size_t i = 0; i < tasks.size(); ++i) set.Start(internal::RunFirst<T>(&set, &results[i], std::move(tasks[i])));
  co_await set.Join();
  set.RethrowFirst();
  co_return results;
}

// The default of WhenSome(): what has no error.
struct Succeeded {
  template <Stoppable T>
  bool operator()(const T& result) const {
    return StatusOf(result).ok();
  }
};

template <typename T>
struct WhenSomeResult {
  // How many of the results were accepted: `wanted` or more; fewer when that could not be reached.
  size_t accepted = 0;
  // In the order of the tasks; empty for one that only says that it was cancelled and had done nothing.
  std::vector<std::optional<T>> results;
};

namespace internal {

template <typename T, typename Accept>
struct Quorum {
  Quorum(size_t wanted, size_t tasks, Accept accept) : wanted(wanted), undecided(tasks), accept(accept) {
    outcome.results.resize(tasks);
  }

  void Note(const T& value) {
    --undecided;
    if (accept(value)) ++outcome.accepted;
    EndIfDecided();
  }
  void EndIfDecided() {
    if (outcome.accepted >= wanted || outcome.accepted + undecided < wanted) set.scope().Cancel();
  }

  const size_t wanted;
  size_t undecided;  // Tasks whose result has not come.
  Accept accept;
  WhenSomeResult<T> outcome;
  TaskSet set;
};

template <typename T, typename Accept>
RootCoroutine RunUntilQuorum(Quorum<T, Accept>* quorum, std::optional<T>* result, Task<T> task) {
  T value = co_await std::move(task);
  if (quorum->set.scope().cancelled() && SaysNothing(value)) co_return;
  result->emplace(std::move(value));
  quorum->Note(**result);
}

}  // namespace internal

// A quorum: runs all of `tasks` at the same time until `wanted` of their results are accepted, or so many were refused
// that this cannot be reached any more; then the rest is cancelled, and all are joined. Returns every result that
// completed, as WhenAny() does, so that more than `wanted` may be accepted. With `wanted` == 0, or more than there are
// tasks, all are cancelled before they begin: each runs to its first call.
//
// `accept(result)` is asked once for each result, in the order in which they come; by default a result is accepted when
// it is no error. It captures references or nothing. An exception cancels the others and is rethrown after all have
// ended.
template <typename T, typename Accept = Succeeded>
Task<WhenSomeResult<T>> WhenSome(size_t wanted, std::vector<Task<T>> tasks, Accept accept = Accept()) {
  static_assert(std::is_trivially_copyable_v<Accept>,
                "what accepts results captures references or nothing; it is copied into the frame of WhenSome()");
  CancelScope& outer = co_await internal::ThisScope{};
  internal::Quorum<T, Accept> quorum(wanted, tasks.size(), accept);
  ScopeEntry entry(quorum.set.scope(), outer, Instant::InfiniteFuture(), ScopeEntry::Shielded::kNo);
  for (size_t i = 0; i < tasks.size(); ++i) {
    quorum.set.Start(internal::RunUntilQuorum(&quorum, &quorum.outcome.results[i], std::move(tasks[i])));
  }
  quorum.EndIfDecided();
  co_await quorum.set.Join();
  quorum.set.RethrowFirst();
  co_return std::move(quorum.outcome);
}

}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_WHEN_H_
