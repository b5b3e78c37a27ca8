// SPDX-License-Identifier: Apache-2.0
//
// Limits of time: WithTimeout, WithDeadlineAt, Shield.

#ifndef TANDEM_CORE_ASYNC_TIMEOUT_H_
#define TANDEM_CORE_ASYNC_TIMEOUT_H_

#include <utility>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/async/leaf.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"

namespace tandem {

// Gives one call `timeout` from now. The same as `.By(Now() + timeout)`, without a frame:
//   co_await WithTimeout(absl::Seconds(1), stream.Read(span))
// With a `timeout` of zero or less the call does nothing and fails: see By().
template <LeafCall Call>
auto WithTimeout(absl::Duration timeout, Call&& call ABSL_ATTRIBUTE_LIFETIME_BOUND) {
  return static_cast<Call&&>(call).By(Now() + timeout);
}

// Runs `task` and cancels it at `deadline`. Returns the task's result, which is its value when it completed in spite of
// the cancellation; a kCancelled that the deadline caused becomes kDeadlineExceeded.
//
// Cancellation reaches a task at its awaits. One that never has to wait is stopped too: it gives way after
// Executor::kReadyAwaitsInARow awaits, and then the deadline is looked at. One that does not even await runs on; see
// CancelRequested().
template <typename T>
Task<T> WithDeadlineAt(Instant deadline, Task<T> task) {
  static_assert(Stoppable<T>,
                "a task under a deadline returns Status, StatusOr or IoResult, to say that it was stopped");
  CancelScope& outer = co_await internal::ThisScope{};
  CancelScope scope;
  ScopeEntry entry(scope, outer, deadline, ScopeEntry::Shielded::kNo);
  T result = co_await internal::InScope<T>(std::move(task), scope);
  if (entry.deadline_fired() && IsCancelledByScope(StatusOf(result))) ReplaceStatus(result, DeadlineExceededStatus());
  co_return result;
}

// The same with a time that counts from now.
template <typename T>
Task<T> WithTimeout(absl::Duration timeout, Task<T> task) {
  return WithDeadlineAt(Now() + timeout, std::move(task));
}

template <internal::NoTask Other>
auto WithDeadlineAt(Instant, Other&&) {
  return internal::RefuseNoTask<Other>();
}
template <internal::NoTaskOrCall Other>
auto WithTimeout(absl::Duration, Other&&) {
  return internal::RefuseNoTask<Other>();
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
  if (entry.deadline_fired() && IsCancelledByScope(StatusOf(result))) ReplaceStatus(result, DeadlineExceededStatus());
  co_return result;
}
template <internal::NoTask Other>
auto Shield(absl::Duration, Other&&) {
  return internal::RefuseNoTask<Other>();
}

}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_TIMEOUT_H_
