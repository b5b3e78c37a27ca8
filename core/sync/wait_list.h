// SPDX-License-Identifier: Apache-2.0
//
// What the synchronisation of this package is made of: calls that wait in line until another coroutine grants them
// what they wait for.
//
// A call is in the line of its object exactly while it waits. Granting takes it out of the line and makes its coroutine
// ready; from then on it cannot be stopped, so what it was granted is not lost. A call that is stopped leaves the line
// with nothing.

#ifndef TANDEM_CORE_SYNC_WAIT_LIST_H_
#define TANDEM_CORE_SYNC_WAIT_LIST_H_

#include "absl/log/check.h"
#include "absl/strings/string_view.h"
#include "core/async/combinators.h"
#include "core/async/executor.h"
#include "core/base/intrusive_list.h"

namespace tandem::internal {

// True while a simulated crash destroys the tasks of this shard, in an order that they cannot choose: an object may be
// gone before those who wait for it or hold it.
inline bool ShardCrashed() { return Executor::HasCurrent() && Executor::Current().dead(); }

struct WaitListTag;

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

// A line of `Operation`s, first in, first out.
template <typename Operation>
class WaitList : public IntrusiveList<Operation, WaitListTag> {
 public:
  // `name` is that of the object, for the message of the CHECK in the destructor.
  explicit WaitList(absl::string_view name) : name_(name) {}
  // REQUIRES that nobody waits, but for a simulated crash.
  ~WaitList() {
    if (this->empty()) return;
    CHECK(ShardCrashed()) << "a " << name_ << " was destroyed while a call waits for it";
    while (!this->empty()) this->PopFront();
  }

  void GrantAll() {
    while (!this->empty()) this->PopFront().Grant();
  }

 private:
  const absl::string_view name_;
};

}  // namespace tandem::internal

#endif  // TANDEM_CORE_SYNC_WAIT_LIST_H_
