// SPDX-License-Identifier: Apache-2.0
//
// Leaf: one suspended call at the bottom of a chain of coroutines, what every Read, Accept, Sleep or Lock is made of.

#ifndef TANDEM_CORE_ASYNC_LEAF_H_
#define TANDEM_CORE_ASYNC_LEAF_H_

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/async/timer_queue.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/intrusive_list.h"
#include "tandem/core/base/result.h"

namespace tandem {

// Why a call was stopped.
enum class StopCause : uint8_t {
  kNone,
  kCancelled,         // The enclosing scope was cancelled.
  kDeadlineExceeded,  // A deadline passed: the call's own, or that of the scope that asks.
};

struct LeafListTag;

namespace internal {
class LeafLoan;
}

// One suspended call.
//
// A derived class starts its work in Start(), calls Finish() when the result is there, and gives the result out after
// the coroutine was resumed. It is created, awaited and destroyed inside one `co_await` expression, and the data that
// it was given a view of may be temporaries of that expression; a call that was given a name cannot be awaited any
// more.
class Leaf : public ListLink<LeafListTag> {
 public:
  Leaf(const Leaf&) = delete;  // A call is awaited where it is made: co_await stream.Read(span).
  Leaf& operator=(const Leaf&) = delete;

  // What the call waits for, for the stuck report: "read from 10.0.0.2:6379".
  virtual std::string Describe() const = 0;
  // The path of the task that the call waits for, when it is one: who holds a lock. The stuck report finds circles by
  // it.
  virtual std::optional<uint64_t> WaitsForTask() const { return std::nullopt; }

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
  friend class internal::LeafLoan;
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
  bool lent_ = false;    // A task is to await it.
};

template <typename Operation>
class LeafReference;

namespace internal {

// Held by a task that awaits a call which its caller owns: when the call goes first, that is a bug of the caller.
class LeafLoan {
 public:
  explicit LeafLoan(Leaf& leaf) : leaf_(&leaf) { leaf.lent_ = true; }
  LeafLoan(LeafLoan&& other) noexcept : leaf_(std::exchange(other.leaf_, nullptr)) {}
  LeafLoan& operator=(LeafLoan&& other) = delete;
  ~LeafLoan() {
    if (leaf_ != nullptr) leaf_->lent_ = false;
  }

 private:
  Leaf* leaf_;
};

template <std::derived_from<Leaf> Operation>
Operation& OperationOf(Operation& operation) {
  return operation;
}
template <typename Operation>
Operation& OperationOf(LeafReference<Operation>& reference) {
  return reference.operation_;
}
}  // namespace internal

// What is awaited where it is made: a leaf operation, or a LeafReference to one.
template <typename T>
concept LeafCall = requires(T& call) { internal::OperationOf(call); };

// A leaf operation that the expression around keeps alive: what By() and WithTimeout() return. Like the operation, it
// is awaited where it is made.
template <typename Operation>
class [[nodiscard]] LeafReference {
 public:
  explicit LeafReference(Operation& operation) : operation_(operation) {}
  LeafReference(const LeafReference&) = delete;  // A call is awaited where it is made: co_await stream.Read(span).
  LeafReference& operator=(const LeafReference&) = delete;

  // See WithDeadline::By().
  LeafReference By(Instant deadline) && { return static_cast<Operation&&>(operation_).By(deadline); }

 private:
  friend Operation& internal::OperationOf<Operation>(LeafReference&);
  Operation& operation_;
};

// Adds `.By(deadline)` to a leaf operation.
template <typename Operation>
class WithDeadline : public Leaf {
 public:
  // The call returns kDeadlineExceeded, having done nothing, when `deadline` passes before it has its result. The
  // earliest of several deadlines counts.
  //
  // A result that is there in the turn in which the deadline passes wins. But a deadline that has passed when the call
  // is made beats what is there already, so that a deadline for many calls bounds them all, also against a peer that
  // never stops sending. To take only what is there, use a Try call.
  LeafReference<Operation> By(Instant deadline) && ABSL_ATTRIBUTE_LIFETIME_BOUND {
    set_deadline(deadline);
    return LeafReference<Operation>(static_cast<Operation&>(*this));
  }

 protected:
  // The status of a call that was stopped. REQUIRES cause() != kNone.
  absl::Status StopStatus() const {
    return cause() == StopCause::kDeadlineExceeded ? DeadlineExceededStatus() : CancelledStatus();
  }
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

#endif  // TANDEM_CORE_ASYNC_LEAF_H_
