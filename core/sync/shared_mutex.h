// SPDX-License-Identifier: Apache-2.0
//
// SharedMutex: a lock for one writer or many readers, also across their awaits.
//
//   absl::StatusOr<SharedMutex::Guard> reading = co_await mutex.LockShared();
//   absl::StatusOr<SharedMutex::Guard> writing = co_await mutex.Lock();
//
// First come, first served: a reader does not overtake a writer that waits, so neither starves. Belongs to one shard;
// outlives the guards and the calls on it (CHECKed).

#ifndef TANDEM_CORE_SYNC_SHARED_MUTEX_H_
#define TANDEM_CORE_SYNC_SHARED_MUTEX_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "tandem/core/sync/wait_list.h"

namespace tandem {

class SharedMutex {
 public:
  class Guard;
  class LockOperation;

  SharedMutex() = default;
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;
  // REQUIRES that it is not locked.
  ~SharedMutex();

  // Waits for the lock, for the caller alone or together with others that share it, and returns it as a guard. A
  // coroutine that asks for the lock while it holds it may wait for ever, a reader too: a writer may have come between.
  //
  // Errors:
  //   kDeadlineExceeded    The deadline of the scope or of .By() passed first.
  //   kCancelled           The enclosing scope was cancelled.
  [[nodiscard]] LockOperation Lock();
  [[nodiscard]] LockOperation LockShared();

  // The lock, when it is free for that and nobody waits.
  [[nodiscard]] std::optional<Guard> TryLock();
  [[nodiscard]] std::optional<Guard> TryLockShared();

  bool locked() const { return writing_ || readers_ > 0; }
  // How many share it now.
  size_t readers() const { return readers_; }

 private:
  enum class Kind : uint8_t { kAlone, kShared };

  bool TryTake(Kind kind);
  bool Take(Kind kind);
  void Unlock(Kind kind);
  void Serve();

  bool writing_ = false;
  size_t readers_ = 0;
  WaitList<LockOperation> waiters_{"shared mutex"};
};

// Holds the lock until it is destroyed or moved from.
class [[nodiscard]] SharedMutex::Guard {
 public:
  Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)), kind_(other.kind_) {}
  Guard& operator=(Guard&& other) noexcept {
    if (this != &other) {
      Unlock();
      mutex_ = std::exchange(other.mutex_, nullptr);
      kind_ = other.kind_;
    }
    return *this;
  }
  ~Guard() { Unlock(); }

  // Gives the lock back before the end of the guard's life. Idempotent.
  void Unlock() {
    if (mutex_ != nullptr && !ShardCrashed()) mutex_->Unlock(kind_);
    mutex_ = nullptr;
  }

 private:
  friend class SharedMutex;
  Guard(SharedMutex& mutex, Kind kind) : mutex_(&mutex), kind_(kind) {}

  SharedMutex* mutex_;
  Kind kind_;
};

// Awaits to absl::StatusOr<SharedMutex::Guard>. See SharedMutex::Lock().
class [[nodiscard]] SharedMutex::LockOperation final : public WaitingOperation<LockOperation> {
 public:
  LockOperation(SharedMutex& mutex, Kind kind) : mutex_(mutex), kind_(kind) {}
  std::string Describe() const override {
    return kind_ == Kind::kAlone ? "the lock of a shared mutex" : "the shared lock of a shared mutex";
  }
  absl::StatusOr<SharedMutex::Guard> TakeResult() {
    if (!granted()) return StopStatus();
    return Guard(mutex_, kind_);
  }

 private:
  friend class SharedMutex;
  bool Start() override;
  void OnStop() override;

  SharedMutex& mutex_;
  const Kind kind_;
};

inline SharedMutex::LockOperation SharedMutex::Lock() { return LockOperation(*this, Kind::kAlone); }
inline SharedMutex::LockOperation SharedMutex::LockShared() { return LockOperation(*this, Kind::kShared); }

}  // namespace tandem

#endif  // TANDEM_CORE_SYNC_SHARED_MUTEX_H_
