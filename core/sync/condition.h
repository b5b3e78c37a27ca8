// SPDX-License-Identifier: Apache-2.0
//
// Condition: waits until something is so. What a condition variable is to threads; there is no mutex, since the tasks
// of one shard do not run at the same time.
//
//   absl::Status waited = co_await log.advanced.Wait([&] { return log.length >= wanted; });
//   ...
//   log.length += appended;                           // Elsewhere.
//   log.advanced.Notify();
//
// Belongs to one shard; outlives the calls on it (CHECKed).

#ifndef TANDEM_CORE_SYNC_CONDITION_H_
#define TANDEM_CORE_SYNC_CONDITION_H_

#include <string>
#include <type_traits>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/intrusive_list.h"
#include "tandem/core/sync/wait_list.h"

namespace tandem {

class Condition {
 public:
  Condition() = default;
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;
  // REQUIRES that no call waits.
  ~Condition() = default;

  // What somebody waits for may be so now: asks the predicates of all that wait, in the order in which they came, and
  // lets those go on whose predicate is true. Costs a call of each predicate.
  void Notify();

  // Waits until `predicate()` is true, and returns OK then; it is true still when the coroutine goes on. One whose
  // predicate another has made false meanwhile waits again, behind the others. `predicate` returns bool, captures
  // references or nothing (it is trivially copyable), does not throw, and changes nothing; it is asked at first and at
  // each Notify(). Under a timeout: WithTimeout(duration, condition.Wait(predicate)).
  //
  // Errors: kDeadlineExceeded, kCancelled.
  template <typename Predicate>
  Task<absl::Status> Wait(Predicate predicate);

 private:
  class HoldsOperation;
  WaitList<HoldsOperation> waiters_{"condition"};
};

// Awaits to absl::Status: OK when the predicate was true in a Notify().
class [[nodiscard]] Condition::HoldsOperation final : public WaitingOperation<HoldsOperation> {
 public:
  HoldsOperation(Condition& condition, absl::FunctionRef<bool()> predicate)
      : condition_(condition), predicate_(predicate) {}
  std::string Describe() const override { return "a condition"; }
  absl::Status TakeResult() { return granted() ? absl::OkStatus() : StopStatus(); }

 private:
  friend class Condition;
  bool Start() override {
    condition_.waiters_.CheckShard();
    condition_.waiters_.PushBack(*this);
    return false;
  }
  bool Holds() const noexcept { return predicate_(); }

  Condition& condition_;
  const absl::FunctionRef<bool()> predicate_;
};

inline void Condition::Notify() {
  waiters_.CheckShard();
  IntrusiveList<HoldsOperation, WaitListTag> left;
  while (!waiters_.empty()) {
    HoldsOperation& first = waiters_.PopFront();
    if (first.Holds()) {
      first.Grant();
    } else {
      left.PushBack(first);
    }
  }
  waiters_.Splice(left);
}

template <typename Predicate>
Task<absl::Status> Condition::Wait(Predicate predicate) {
  static_assert(std::is_trivially_copyable_v<Predicate>,
                "a predicate captures references or nothing; what it refers to outlives the call");
  while (!predicate()) {
    absl::Status notified = co_await HoldsOperation(*this, predicate);
    if (!notified.ok()) co_return notified;
  }
  co_return absl::OkStatus();
}

}  // namespace tandem

#endif  // TANDEM_CORE_SYNC_CONDITION_H_
