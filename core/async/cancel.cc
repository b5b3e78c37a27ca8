// SPDX-License-Identifier: Apache-2.0

#include "core/async/cancel.h"

#include "absl/log/check.h"

namespace tandem {

Leaf::~Leaf() { Abandon(); }

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
  DCHECK(promise_->task->executor == &executor) << "a coroutine was woken on another shard than its own";
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

CancelScope::~CancelScope() {
  if (leaves_.empty() && children_.empty() && entry_ == nullptr) return;
  // A crash destroys tasks in an order that a scope between them cannot choose.
  CHECK(Executor::Current().dead()) << "a cancel scope was destroyed while something runs in it";
  while (!leaves_.empty()) leaves_.PopFront();
  while (!children_.empty()) children_.PopFront();
  if (entry_ != nullptr) entry_->Forget();
}

void CancelScope::Stop(StopCause cause) {
  if (cause_ != StopCause::kNone) return;
  cause_ = cause;
  // Stopping a leaf may finish it, which takes it out of the list; those with work in flight stay.
  IntrusiveList<Leaf, LeafListTag> leaves;
  leaves.Splice(leaves_);
  while (!leaves.empty()) {
    Leaf& leaf = leaves.PopFront();
    leaves_.PushBack(leaf);
    leaf.Stop(StopCause::kCancelled);
  }
  IntrusiveList<CancelScope, ScopeListTag> children;
  children.Splice(children_);
  while (!children.empty()) {
    CancelScope& child = children.PopFront();
    children_.PushBack(child);
    if (!child.shielded_) child.Stop(StopCause::kCancelled);
  }
}

ScopeEntry::ScopeEntry(CancelScope& scope, CancelScope& parent, Instant deadline, Shielded shielded) : scope_(&scope) {
  CHECK(scope.entry_ == nullptr) << "a cancel scope runs two tasks at once";
  scope.entry_ = this;
  scope.shielded_ = shielded == Shielded::kYes;
  parent.children_.PushBack(scope);
  if (parent.cancelled() && !scope.shielded_) scope.Stop(StopCause::kCancelled);
  Executor& executor = Executor::Current();
  if (deadline <= executor.now()) {
    OnTimer();
  } else if (deadline != Instant::InfiniteFuture()) {
    executor.timers().Arm(*this, deadline);
  }
}

ScopeEntry::~ScopeEntry() {
  Executor::Current().timers().Disarm(*this);
  if (scope_ != nullptr) Forget();
}

void ScopeEntry::Forget() {
  if (static_cast<ListLink<ScopeListTag>*>(scope_)->linked()) scope_->Unlink();
  scope_->entry_ = nullptr;
  scope_ = nullptr;
}

void ScopeEntry::OnTimer() {
  if (scope_->cancelled()) return;
  fired_ = true;
  scope_->Stop(StopCause::kDeadlineExceeded);
}

}  // namespace tandem
