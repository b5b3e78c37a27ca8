// SPDX-License-Identifier: Apache-2.0
//
// What a program can know of its stop, and how it ends with what it has begun.
//
// A stop (SIGTERM, SIGINT, Runtime::RequestStop()) is announced first. While something runs in WithDrain() that is all:
// it stops taking in work, and finishes what it has. When the last drain is over, or has taken its limit, every task is
// cancelled; without a drain that is at once. Serve() does all of this for connections.
//
//   Task<absl::Status> WorkUntilStopped(Channel<Job>* jobs) {
//     for (;;) {
//       absl::StatusOr<Job> job = co_await UntilStop(jobs->Receive());
//       if (!job.ok()) co_return job.status();
//       ...                                      // A stop waits for this.
//     }
//   }
//
//   absl::Status status = co_await WithDrain(absl::Seconds(10), WorkUntilStopped(&jobs));

#ifndef TANDEM_CORE_RUNTIME_STOP_H_
#define TANDEM_CORE_RUNTIME_STOP_H_

#include <utility>

#include "absl/base/attributes.h"
#include "absl/time/time.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/async/leaf.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/core/runtime/stop_control.h"
#include "tandem/core/sync/event.h"

namespace tandem {

// True from the announcement of a stop of the program on, be the running coroutine cancelled or not (that is
// CancelRequested()). REQUIRES that a shard runs on this thread (CHECKed), as all of this.
inline bool StopAnnounced() { return Shard::Current().stop_control().requested(); }

// Waits until a stop is announced, and returns OK then; at once when one was.
//
// Errors:
//   kDeadlineExceeded  The deadline of the scope or of .By() passed first.
//   kCancelled         The enclosing scope was cancelled, which is what a stop without a drain does.
[[nodiscard]] inline Event::WaitOperation WaitForStop() {
  return Shard::Current().stop_control().requested_event().Wait();
}

// Runs `task` and cancels it when a stop is announced, at once when one was. Returns the task's result, which is its
// value when it completed in spite of that; StopAnnounced() tells this kCancelled from that of an enclosing scope.
template <typename T>
Task<T> UntilStop(Task<T> task) {
  static_assert(Stoppable<T>, "a task that a stop ends returns Status, StatusOr or IoResult, to say that it was ended");
  CancelScope& outer = co_await internal::ThisScope{};
  CancelScope scope;
  ScopeEntry entry(scope, outer, Instant::InfiniteFuture(), ScopeEntry::Shielded::kNo);
  internal::StopListener listener(scope);
  T result = co_await internal::InScope<T>(std::move(task), scope);
  co_return result;
}

// The same for one call: `co_await UntilStop(stream.Read(span))`. Lossless, as every cancellation. Await it where it is
// made, as the call is a temporary of that expression (CHECKed).
template <LeafCall Call>
auto UntilStop(Call&& call ABSL_ATTRIBUTE_LIFETIME_BOUND) {
  return UntilStop(internal::AsTask(static_cast<Call&&>(call)));
}

template <internal::NoTaskOrCall Other>
auto UntilStop(Other&&) {
  return internal::RefuseNoTask<Other>();
}

namespace internal {
template <typename T>
Task<T> RunInDrain(absl::Duration limit, Task<T> task) {
  const Drain drain(limit);
  T result = co_await std::move(task);
  co_return result;
}
}  // namespace internal

// Runs `task`, and meanwhile a stop is announced and cancels nothing, for at most `limit` from the announcement on.
// With several drains the cancellation comes when each has ended or taken its limit. A drain that begins after the
// announcement counts from there too, and after the cancellation it has no effect. Other cancellations pass: those of
// scopes, and that of the runtime when main returns.
//
// When a stop was announced and this was the last drain, then everything is cancelled when `task` has ended; and if
// main awaits this, it goes on when all other tasks have ended. While there are other drains it returns at once, to
// main as well: what their tasks use must not go with main's locals. So main awaits those drains itself, two servers
// for example by WhenAll(Serve(...), Serve(...)). REQUIRES limit >= 0 (CHECKed); InfiniteDuration() is fine.
template <typename T>
Task<T> WithDrain(absl::Duration limit, Task<T> task) {
  static_assert(Stoppable<T>, "a task with a drain returns Status, StatusOr or IoResult, to say that it was stopped");
  T result = co_await internal::RunInDrain<T>(limit, std::move(task));
  if (StopAnnounced()) {
    // Suspends also in a scope that is cancelled, so that main can wait for the others.
    Executor::Current().UseUpReadyAwaits();
    static_cast<void>(co_await Yield());
  }
  co_return result;
}
template <internal::NoTask Other>
auto WithDrain(absl::Duration, Other&&) {
  return internal::RefuseNoTask<Other>();
}

}  // namespace tandem

#endif  // TANDEM_CORE_RUNTIME_STOP_H_
