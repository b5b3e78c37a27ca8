// SPDX-License-Identifier: Apache-2.0
//
// Cancellation: a tree of scopes with the suspended calls as its leaves.
//
// Every coroutine runs in a scope, by default that of its caller. Cancelling a scope cancels everything below it:
// calls that are suspended are asked to stop, and every later call in the scope fails at once (cancellation is
// sticky). A call that the reactor has already completed keeps its result; nothing that arrived is lost. Shield() cuts
// the tree for bounded clean-up.

#ifndef TANDEM_CORE_ASYNC_CANCEL_H_
#define TANDEM_CORE_ASYNC_CANCEL_H_

#include "tandem/core/async/leaf.h"
#include "tandem/core/async/timer_queue.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/intrusive_list.h"

namespace tandem {

class ScopeEntry;
template <typename T>
class Task;

struct ScopeListTag;

// A subtree of cancellation. It belongs to one shard.
//
// Use it through Run(), WithTimeout(), WithTaskGroup() and friends. A CancelScope may live anywhere that outlives what
// runs in it, for example in an object that represents a connection:
//
//   absl::Status status = co_await scope.Run(Serve(stream));   // elsewhere: scope.Cancel();
class CancelScope : public ListLink<ScopeListTag> {
 public:
  CancelScope() = default;
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;
  // REQUIRES that nothing runs in the scope.
  virtual ~CancelScope();

  // Cancels everything that runs in the scope and everything that will. Idempotent.
  void Cancel() { Stop(StopCause::kCancelled); }
  bool cancelled() const { return cause_ != StopCause::kNone; }
  StopCause cause() const { return cause_; }

  // Runs `task` in this scope, which becomes a child of the awaiting coroutine's scope meanwhile. Returns what the task
  // returns. At most one Run() at a time. T must be a Status, StatusOr or IoResult, so that it can say kCancelled.
  template <typename T>
  Task<T> Run(Task<T> task);

 protected:
  friend class Executor;
  friend class Leaf;
  friend class ScopeEntry;
  friend Instant CurrentDeadline();

  // Marks the scope stopped and stops every leaf and every scope below. The first cause stays.
  void Stop(StopCause cause);

 private:
  void StopLeaves();

  IntrusiveList<Leaf, LeafListTag> leaves_;
  IntrusiveList<CancelScope, ScopeListTag> children_;
  ScopeEntry* entry_ = nullptr;  // What links this scope below its parent.
  StopCause cause_ = StopCause::kNone;
  bool shielded_ = false;
};

// Links a scope below `parent` while it lives, and stops the scope at `deadline`.
class ScopeEntry final : public Timer {
 public:
  enum class Shielded : bool { kNo, kYes };

  ScopeEntry(CancelScope& scope, CancelScope& parent, Instant deadline, Shielded shielded);
  ~ScopeEntry();

  // True when this entry's deadline, and nothing else, stopped the scope.
  bool deadline_fired() const { return fired_; }

 private:
  friend class CancelScope;
  friend Instant CurrentDeadline();
  void OnTimer() override;
  void Forget();

  CancelScope* scope_;  // Null when a crash destroyed the scope first.
  CancelScope& parent_;
  const Instant scope_deadline_;
  bool fired_ = false;
};

// The earliest deadline of the scopes that the running coroutine is in, up to the innermost Shield(), which has one of
// its own; InfiniteFuture() when there is none. What is left is `CurrentDeadline() - Now()`: for the header of a
// request that another server is to answer in time. The deadline of a single call, `.By()`, is not among them.
//
// CHECKs that a coroutine runs. It and CancelRequested() take a step for each coroutine that awaits the running one.
Instant CurrentDeadline();

// True when the running coroutine was cancelled, or its CurrentDeadline() has passed: for long work between two awaits,
// which no cancellation can reach. An await tells it as well, with a Status: see Checkpoint(). That the program is to
// end is another question: StopAnnounced().
bool CancelRequested();

}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_CANCEL_H_
