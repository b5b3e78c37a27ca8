// SPDX-License-Identifier: Apache-2.0
//
// What the synchronisation of this package is made of, and what a program can make its own of: calls that wait in line
// until another coroutine grants them what they wait for.
//
//   class Gate {
//    public:
//     class PassOperation;
//     [[nodiscard]] PassOperation Pass();
//     void LetOnePass();                           // if (!waiters_.empty()) waiters_.PopFront().Grant();
//    private:
//     WaitList<PassOperation> waiters_{"gate"};
//   };
//   class [[nodiscard]] Gate::PassOperation final : public WaitingOperation<PassOperation> {
//     ...
//     std::string Describe() const override { return "a gate"; }                   // For reports of what waits.
//     absl::Status TakeResult() { return granted() ? absl::OkStatus() : StopStatus(); }
//     bool Start() override { gate_.waiters_.PushBack(*this); return false; }      // Or `return GrantAtOnce();`.
//   };
//
// A call is in the line of its object exactly while it waits. Granting takes it out of the line and makes its coroutine
// ready; from then on it cannot be stopped, so what it was granted is not lost. A call that is stopped leaves the line
// with nothing.

#ifndef TANDEM_CORE_SYNC_WAIT_LIST_H_
#define TANDEM_CORE_SYNC_WAIT_LIST_H_

#include "absl/log/check.h"
#include "absl/strings/string_view.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/base/intrusive_list.h"
#include "tandem/core/sync/own_shard.h"

namespace tandem {

// True while a simulated crash destroys the tasks of this shard, in an order that they cannot choose: an object may be
// gone before those who wait for it or hold it.
inline bool ShardCrashed() { return Executor::HasCurrent() && Executor::Current().dead(); }

// For the messages of CHECKs: what was done wrong most likely.
inline constexpr absl::string_view kWhereSharedStateBelongs =
    "what spawned tasks use belongs into a HostLocal, into main, or around the WithTaskGroup() that joins them";

struct WaitListTag;

// One call. `Derived` has Describe(), Start() and TakeResult(), as every Leaf, and nothing else when it needs no more
// than its place in the line.
template <typename Derived>
class WaitingOperation : public WithDeadline<Derived>, public ListLink<WaitListTag> {
 public:
  // Gives the call what it waits for. REQUIRES that it has left its line.
  void Grant() {
    granted_ = true;
    this->Finish();
  }

 protected:
  WaitingOperation() = default;
  ~WaitingOperation() override { LeaveLine(); }  // Only a simulated crash destroys a call that waits.

  // The call is stopped: it leaves with nothing. Overridden where its leaving matters to those behind it.
  void OnStop() override {
    LeaveLine();
    this->Finish();
  }
  // Returns false when the call was in no line, which is so when a crash has destroyed the object before.
  bool LeaveLine() {
    if (!ListLink<WaitListTag>::linked()) return false;
    ListLink<WaitListTag>::Unlink();
    return true;
  }
  // For Start(): there is nothing to wait for.
  bool GrantAtOnce() {
    granted_ = true;
    return true;
  }

  bool granted() const { return granted_; }

 private:
  bool granted_ = false;
};

// A line of `Operation`s, first in, first out: an IntrusiveList with a shard of its own.
template <typename Operation>
class WaitList : public IntrusiveList<Operation, WaitListTag> {
 public:
  // `name` is that of the object, for the messages of CHECKs.
  explicit WaitList(absl::string_view name) : own_shard_(name) {}
  // REQUIRES that nobody waits, but for a simulated crash.
  ~WaitList() {
    if (this->empty()) return;
    CHECK(ShardCrashed()) << "a " << own_shard_.object()
                          << " was destroyed while a call waits for it: " << kWhereSharedStateBelongs;
    while (!this->empty()) this->PopFront();
  }

  // CHECKs that the object is used on its shard, the one on which it was used first. For each call on the object.
  void CheckShard() { own_shard_.Check(); }

  void GrantAll() {
    while (!this->empty()) this->PopFront().Grant();
  }

 private:
  OwnShard own_shard_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_SYNC_WAIT_LIST_H_
