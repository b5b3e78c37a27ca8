// SPDX-License-Identifier: Apache-2.0
//
// Semaphore: a number of permits that coroutines take and give back.
//
//   Semaphore connections(100);
//   absl::StatusOr<Semaphore::Guard> permit = co_await connections.Acquire();   // Given back by the guard.
//
// First come, first served: a call that wants many permits is not overtaken by those that want few. Belongs to one
// shard; outlives the guards and the calls on it.

#ifndef TANDEM_CORE_SYNC_SEMAPHORE_H_
#define TANDEM_CORE_SYNC_SEMAPHORE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "tandem/core/sync/wait_list.h"

namespace tandem {

class Semaphore {
 public:
  class AcquireOperation;
  class Guard;

  explicit Semaphore(size_t permits) : available_(permits) {}
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;
  // REQUIRES that no call waits.
  ~Semaphore() = default;

  // Waits until `count` permits are free and all that asked before have theirs, and returns them as a guard. Asking for
  // more than there will ever be waits for ever.
  //
  // Errors:
  //   kDeadlineExceeded    The deadline of the scope or of .By() passed first; nothing was taken.
  //   kCancelled           The enclosing scope was cancelled; nothing was taken.
  [[nodiscard]] AcquireOperation Acquire(size_t count = 1);

  // The permits, when they are free and nobody waits.
  [[nodiscard]] std::optional<Guard> TryAcquire(size_t count = 1);

  // Adds `count` permits: new ones, or those that a guard was told to keep. The sum must fit a size_t (CHECKed).
  void Release(size_t count = 1);

  // Permits that are free.
  size_t available() const { return available_; }

 private:
  bool TryTake(size_t count);
  void Serve();

  size_t available_;
  WaitList<AcquireOperation> waiters_{"semaphore"};
};

// Gives the permits back when it is destroyed.
class [[nodiscard]] Semaphore::Guard {
 public:
  Guard(Guard&& other) noexcept : semaphore_(std::exchange(other.semaphore_, nullptr)), count_(other.count_) {}
  Guard& operator=(Guard&& other) noexcept {
    if (this != &other) {
      Release();
      semaphore_ = std::exchange(other.semaphore_, nullptr);
      count_ = other.count_;
    }
    return *this;
  }
  ~Guard() { Release(); }

  // Gives the permits back now. Idempotent.
  void Release() {
    if (semaphore_ != nullptr && !ShardCrashed()) semaphore_->Release(count_);
    semaphore_ = nullptr;
  }
  // Keeps the permits: whoever gives them back calls Semaphore::Release().
  void Keep() { semaphore_ = nullptr; }

 private:
  friend class Semaphore;
  Guard(Semaphore& semaphore, size_t count) : semaphore_(&semaphore), count_(count) {}

  Semaphore* semaphore_;
  size_t count_;
};

// Awaits to absl::StatusOr<Semaphore::Guard>. See Semaphore::Acquire().
class [[nodiscard]] Semaphore::AcquireOperation final : public WaitingOperation<AcquireOperation> {
 public:
  AcquireOperation(Semaphore& semaphore, size_t count) : semaphore_(semaphore), count_(count) {}
  std::string Describe() const override;
  absl::StatusOr<Semaphore::Guard> TakeResult() {
    if (!granted()) return StopStatus();
    return Semaphore::Guard(semaphore_, count_);
  }

 private:
  friend class Semaphore;
  bool Start() override;
  void OnStop() override;

  Semaphore& semaphore_;
  const size_t count_;
};

inline Semaphore::AcquireOperation Semaphore::Acquire(size_t count) { return AcquireOperation(*this, count); }

}  // namespace tandem

#endif  // TANDEM_CORE_SYNC_SEMAPHORE_H_
