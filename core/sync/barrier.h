// SPDX-License-Identifier: Apache-2.0
//
// Barrier: a number of tasks wait for each other, again and again.
//
// Belongs to one shard; outlives the calls on it (CHECKed).

#ifndef TANDEM_CORE_SYNC_BARRIER_H_
#define TANDEM_CORE_SYNC_BARRIER_H_

#include <cstddef>
#include <string>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/sync/wait_list.h"

namespace tandem {

class Barrier {
 public:
  class ArriveOperation;

  // `count` calls wait for each other. REQUIRES count > 0 (CHECKed).
  explicit Barrier(size_t count) : count_(count) { CHECK_GT(count, 0u) << "a barrier for nobody"; }
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;
  // REQUIRES that no call waits.
  ~Barrier() = default;

  // Waits until `count` calls have come, this one included. Then all of them go on, and the barrier counts anew. A call
  // that is stopped has not come.
  //
  // Errors: kDeadlineExceeded, kCancelled.
  [[nodiscard]] ArriveOperation Arrive();

  // Calls that wait now.
  size_t waiting() const { return waiting_; }

 private:
  const size_t count_;
  size_t waiting_ = 0;
  WaitList<ArriveOperation> waiters_{"barrier"};
};

// Awaits to absl::Status. See Barrier::Arrive().
class [[nodiscard]] Barrier::ArriveOperation final : public WaitingOperation<ArriveOperation> {
 public:
  explicit ArriveOperation(Barrier& barrier) : barrier_(barrier) {}
  std::string Describe() const override {
    return absl::StrCat("a barrier with ", barrier_.waiting_, " of ", barrier_.count_);
  }
  absl::Status TakeResult() { return granted() ? absl::OkStatus() : StopStatus(); }

 private:
  bool Start() override {
    barrier_.waiters_.CheckShard();
    if (++barrier_.waiting_ < barrier_.count_) {
      barrier_.waiters_.PushBack(*this);
      return false;
    }
    barrier_.waiting_ = 0;
    barrier_.waiters_.GrantAll();
    return GrantAtOnce();
  }
  void OnStop() override {
    if (LeaveLine()) --barrier_.waiting_;
    Finish();
  }

  Barrier& barrier_;
};

inline Barrier::ArriveOperation Barrier::Arrive() { return ArriveOperation(*this); }

}  // namespace tandem

#endif  // TANDEM_CORE_SYNC_BARRIER_H_
