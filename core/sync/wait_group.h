// SPDX-License-Identifier: Apache-2.0
//
// WaitGroup: waits until a number of things is done.
//
// For work that no scope joins; tasks that one function starts and waits for belong into WithTaskGroup(). A Wait() that
// is stopped returns before the work is done, so the group must not be a local variable of the coroutine that waits: it
// belongs where it outlives the work, in a HostLocal or in main. Belongs to one shard.

#ifndef TANDEM_CORE_SYNC_WAIT_GROUP_H_
#define TANDEM_CORE_SYNC_WAIT_GROUP_H_

#include <cstddef>
#include <limits>
#include <string>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/sync/wait_list.h"

namespace tandem {

class WaitGroup {
 public:
  class WaitOperation;

  WaitGroup() = default;
  WaitGroup(const WaitGroup&) = delete;
  WaitGroup& operator=(const WaitGroup&) = delete;
  // REQUIRES that nothing is to be done any more: pending() == 0 (CHECKed, but for a simulated crash). Somebody is
  // about to call Done() otherwise.
  ~WaitGroup() {
    if (pending_ == 0) return;
    CHECK(ShardCrashed()) << "a wait group was destroyed with " << pending_ << " pending: " << kWhereSharedStateBelongs;
  }

  // `count` more things are to be done. The sum must fit a size_t (CHECKed).
  void Add(size_t count = 1) {
    waiters_.CheckShard();
    CHECK_LE(count, std::numeric_limits<size_t>::max() - pending_) << "a wait group counts too much";
    pending_ += count;
  }
  // One of them is done. With the last one all calls that wait go on, also when more is added before they run. REQUIRES
  // pending() > 0 (CHECKed).
  void Done();
  size_t pending() const { return pending_; }

  // Waits until nothing is to be done; at once when that is so already.
  //
  // Errors: kDeadlineExceeded, kCancelled.
  [[nodiscard]] WaitOperation Wait();

 private:
  size_t pending_ = 0;
  WaitList<WaitOperation> waiters_{"wait group"};
};

// Awaits to absl::Status. See WaitGroup::Wait().
class [[nodiscard]] WaitGroup::WaitOperation final : public WaitingOperation<WaitOperation> {
 public:
  explicit WaitOperation(WaitGroup& group) : group_(group) {}
  std::string Describe() const override { return absl::StrCat("a wait group with ", group_.pending(), " pending"); }
  absl::Status TakeResult() { return granted() ? absl::OkStatus() : StopStatus(); }

 private:
  bool Start() override {
    group_.waiters_.CheckShard();
    if (group_.pending_ == 0) return GrantAtOnce();
    group_.waiters_.PushBack(*this);
    return false;
  }

  WaitGroup& group_;
};

inline void WaitGroup::Done() {
  waiters_.CheckShard();
  CHECK_GT(pending_, 0u) << "a wait group is done more often than was added";
  if (--pending_ == 0) waiters_.GrantAll();
}

inline WaitGroup::WaitOperation WaitGroup::Wait() { return WaitOperation(*this); }

}  // namespace tandem

#endif  // TANDEM_CORE_SYNC_WAIT_GROUP_H_
