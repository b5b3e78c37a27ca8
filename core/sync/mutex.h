// SPDX-License-Identifier: Apache-2.0
//
// Mutex: lets one coroutine at a time through, also across its awaits.
//
//   absl::StatusOr<Mutex::Guard> guard = co_await mutex.Lock();
//   if (!guard.ok()) co_return guard.status();
//
// Coroutines of one shard do not run at the same time, so what is done without an await in between needs no mutex. The
// lock is handed over first come, first served. Belongs to one shard; outlives the guards and the calls (CHECKed).

#ifndef TANDEM_CORE_SYNC_MUTEX_H_
#define TANDEM_CORE_SYNC_MUTEX_H_

#include <cstdint>
#include <optional>
#include <source_location>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "tandem/core/sync/wait_list.h"

namespace tandem {

class Mutex {
 public:
  class Guard;
  class LockOperation;

  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  // REQUIRES that it is not locked.
  ~Mutex();

  // Waits for the lock and returns it as a guard. A coroutine that asks for a lock that it holds waits for ever.
  //
  // Errors:
  //   kDeadlineExceeded    The deadline of the scope or of .By() passed first.
  //   kCancelled           The enclosing scope was cancelled.
  [[nodiscard]] LockOperation Lock();

  // The lock, when it is free.
  [[nodiscard]] std::optional<Guard> TryLock();

  bool locked() const { return locked_; }

 private:
  // Who has the lock: the task and the place that it locked at. A guard may be handed on; this stays.
  struct Holder {
    uint64_t task = 0;
    std::source_location place;
  };

  void SetHolder(const PromiseBase& promise);
  void Unlock();

  bool locked_ = false;
  Holder holder_;
  WaitList<LockOperation> waiters_{"mutex"};
};

// Holds the lock until it is destroyed or moved from.
class [[nodiscard]] Mutex::Guard {
 public:
  Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
  Guard& operator=(Guard&& other) noexcept {
    if (this != &other) {
      Unlock();
      mutex_ = std::exchange(other.mutex_, nullptr);
    }
    return *this;
  }
  ~Guard() { Unlock(); }

  // Gives the lock back before the end of the guard's life. Idempotent.
  void Unlock() {
    if (mutex_ != nullptr && !ShardCrashed()) mutex_->Unlock();
    mutex_ = nullptr;
  }

 private:
  friend class Mutex;
  explicit Guard(Mutex& mutex) : mutex_(&mutex) {}

  Mutex* mutex_;
};

// Awaits to absl::StatusOr<Mutex::Guard>. See Mutex::Lock().
class [[nodiscard]] Mutex::LockOperation final : public WaitingOperation<LockOperation> {
 public:
  explicit LockOperation(Mutex& mutex) : mutex_(mutex) {}
  std::string Describe() const override;
  std::optional<uint64_t> WaitsForTask() const override;
  absl::StatusOr<Mutex::Guard> TakeResult() {
    if (!granted()) return StopStatus();
    return Mutex::Guard(mutex_);
  }

 private:
  friend class Mutex;
  bool Start() override;

  Mutex& mutex_;
};

inline Mutex::LockOperation Mutex::Lock() { return LockOperation(*this); }

}  // namespace tandem

#endif  // TANDEM_CORE_SYNC_MUTEX_H_
