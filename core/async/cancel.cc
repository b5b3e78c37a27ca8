// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/cancel.h"

#include <algorithm>

#include "absl/log/check.h"
#include "tandem/core/async/executor.h"

namespace tandem {

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
  StopLeaves();
  // Depth first, in the order of the scopes, and without recursion: scopes may be nested as deep as calls.
  IntrusiveList<CancelScope, ScopeListTag> pending;
  pending.Splice(children_);
  while (!pending.empty()) {
    CancelScope& scope = pending.PopFront();
    scope.entry_->parent_.children_.PushBack(scope);
    if (scope.shielded_ || scope.cancelled()) continue;
    scope.cause_ = StopCause::kCancelled;
    scope.StopLeaves();
    while (!scope.children_.empty()) pending.PushFront(scope.children_.PopBack());
  }
}

void CancelScope::StopLeaves() {
  // Stopping a leaf may finish it, which takes it out of the list; those with work in flight stay.
  IntrusiveList<Leaf, LeafListTag> leaves;
  leaves.Splice(leaves_);
  while (!leaves.empty()) {
    Leaf& leaf = leaves.PopFront();
    leaves_.PushBack(leaf);
    leaf.Stop(StopCause::kCancelled);
  }
}

ScopeEntry::ScopeEntry(CancelScope& scope, CancelScope& parent, Instant deadline, Shielded shielded)
    : scope_(&scope), parent_(parent), scope_deadline_(deadline) {
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

Instant CurrentDeadline() {
  if (Executor::Current().dead()) return Instant::InfinitePast();
  Instant earliest = Instant::InfiniteFuture();
  const CancelScope* scope = Executor::Current().running_coroutine().scope;
  for (const ScopeEntry* entry = scope->entry_; entry != nullptr; entry = entry->parent_.entry_) {
    earliest = std::min(earliest, entry->scope_deadline_);
    if (entry->scope_->shielded_) break;
  }
  return earliest;
}

bool CancelRequested() {
  Executor& executor = Executor::Current();
  if (executor.dead() || executor.running_coroutine().scope->cancelled()) return true;
  const Instant deadline = CurrentDeadline();
  return deadline != Instant::InfiniteFuture() && deadline <= executor.ReadNow();
}

void ScopeEntry::OnTimer() {
  if (scope_->cancelled()) return;
  fired_ = true;
  scope_->Stop(StopCause::kDeadlineExceeded);
}

}  // namespace tandem
