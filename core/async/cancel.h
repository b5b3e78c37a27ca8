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

#include <cstdint>
#include <source_location>
#include <string>

#include "core/async/executor.h"
#include "core/async/timer_queue.h"
#include "core/base/instant.h"
#include "core/base/intrusive_list.h"

namespace tandem {

class ScopeEntry;
template <typename T>
class Task;

// Why a call was stopped.
enum class StopCause : uint8_t {
  kNone,
  kCancelled,         // The enclosing scope was cancelled.
  kDeadlineExceeded,  // A deadline passed: the call's own, or that of the scope that asks.
};

struct LeafListTag;
struct ScopeListTag;

// One suspended call at the bottom of a chain of coroutines: what every Read, Accept, Sleep or Lock is made of.
//
// A derived class starts its work in Start(), calls Finish() when the result is there, and gives the result out after
// the coroutine was resumed. It is created, awaited and destroyed inside one `co_await` expression; it can be neither
// stored nor moved.
class Leaf : public ListLink<LeafListTag> {
 public:
  Leaf(const Leaf&) = delete;
  Leaf& operator=(const Leaf&) = delete;

  // What the call waits for, for the stuck report: "read from 10.0.0.2:6379".
  virtual std::string Describe() const = 0;

 protected:
  Leaf() = default;
  virtual ~Leaf();

  // Starts the call. Returns true when it has its result already; else Finish() will be called later.
  virtual bool Start() = 0;
  // The call was stopped while suspended (cause() says why): arrange that Finish() is called, now or, when something
  // in flight must end first, later. Called at most once.
  virtual void OnStop() = 0;
  // The result is there: makes the coroutine ready. Called at most once, and only after Start() returned false.
  void Finish();

  bool suspended() const { return suspended_; }
  // Why the call was stopped or never started. A call that has a result nevertheless returns the result.
  StopCause cause() const { return cause_; }
  PromiseBase* promise() const { return promise_; }

  // The deadline of this call alone.
  void set_deadline(Instant deadline) {
    if (deadline < deadline_) deadline_ = deadline;
  }
  // Ignores cancellation and runs to its end: for calls that only wait for something that is bound to end.
  void set_uncancellable() { uncancellable_ = true; }

 private:
  friend class CancelScope;
  template <typename Operation>
  friend class LeafAwaiter;

  struct DeadlineTimer final : Timer {
    explicit DeadlineTimer(Leaf& leaf) : leaf(leaf) {}
    void OnTimer() override { leaf.Stop(StopCause::kDeadlineExceeded); }
    Leaf& leaf;
  };

  // The two halves of awaiting. Begin() returns true when the coroutine need not suspend.
  bool Begin(PromiseBase& promise);
  void Suspend();
  void Stop(StopCause cause);
  void Abandon();

  PromiseBase* promise_ = nullptr;
  DeadlineTimer timer_{*this};
  Instant deadline_ = Instant::InfiniteFuture();
  StopCause cause_ = StopCause::kNone;
  bool uncancellable_ = false;
  bool suspended_ = false;
  bool yields_ = false;  // Has its result, but lets others run first.
};

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

  // Marks the scope stopped and stops every leaf and every scope below. The first cause stays.
  void Stop(StopCause cause);

 private:
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
  void OnTimer() override;
  void Forget();

  CancelScope* scope_;  // Null when a crash destroyed the scope first.
  bool fired_ = false;
};

// Awaits a Leaf. `Operation` derives from Leaf and has `Result TakeResult()`.
template <typename Operation>
class LeafAwaiter {
 public:
  LeafAwaiter(Operation& operation, PromiseBase& promise) : operation_(operation), promise_(promise) {}
  LeafAwaiter(const LeafAwaiter&) = delete;
  ~LeafAwaiter() { static_cast<Leaf&>(operation_).Abandon(); }
  bool await_ready() { return static_cast<Leaf&>(operation_).Begin(promise_); }
  void await_suspend(std::coroutine_handle<>) { static_cast<Leaf&>(operation_).Suspend(); }
  auto await_resume() { return operation_.TakeResult(); }

 private:
  Operation& operation_;
  PromiseBase& promise_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_CANCEL_H_
