// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/leaf.h"

#include "absl/log/check.h"
#include "tandem/core/async/cancel.h"

namespace tandem {

Leaf::~Leaf() {
  Abandon();
  // A crash of the simulated host destroys tasks in any order.
  CHECK(!lent_ || (Executor::HasCurrent() && Executor::Current().dead()))
      << "a call was destroyed before the task that was to await it; WhenAll(), WhenAny() and UntilStop() of calls are "
         "awaited where they are made";
}

void Leaf::Abandon() {
  if (!suspended_) return;
  // Only a crash of the simulated host destroys a suspended frame: its operations were abandoned before.
  CHECK(Executor::Current().dead()) << "a coroutine frame was destroyed while suspended at "
                                    << promise_->await_location.file_name() << ":" << promise_->await_location.line();
  suspended_ = false;
  if (linked()) Unlink();
  Executor::Current().timers().Disarm(timer_);
}

bool Leaf::Begin(PromiseBase& promise) {
  CHECK(promise_ == nullptr) << "an operation was awaited twice";
  promise_ = &promise;
  Executor& executor = Executor::Current();
  if (!uncancellable_) {
    if (promise.scope->cancelled()) {
      cause_ = StopCause::kCancelled;
      executor.NoteRefusedAwait(*promise.task);
    } else if (deadline_ <= executor.now()) {
      cause_ = StopCause::kDeadlineExceeded;
    }
  }
  if (cause_ == StopCause::kNone && !Start()) return false;
  yields_ = !executor.TakeReadyAwait();
  return !yields_;
}

void Leaf::Suspend() {
  Executor& executor = Executor::Current();
  if (yields_) {
    executor.Ready(*promise_);
    return;
  }
  suspended_ = true;
  promise_->leaf = this;
  promise_->scope->leaves_.PushBack(*this);
  if (deadline_ != Instant::InfiniteFuture()) executor.timers().Arm(timer_, deadline_);
}

void Leaf::Finish() {
  CHECK(suspended_) << "a call finished twice";
  Executor& executor = Executor::Current();
  CHECK(promise_->task->executor == &executor) << "a coroutine was woken on another shard than its own";
  suspended_ = false;
  promise_->leaf = nullptr;
  Unlink();
  executor.timers().Disarm(timer_);
  executor.Ready(*promise_);
}

void Leaf::Stop(StopCause cause) {
  if (uncancellable_ || cause_ != StopCause::kNone) return;
  cause_ = cause;
  OnStop();
}

}  // namespace tandem
