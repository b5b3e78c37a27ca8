// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/mutex.h"

#include "absl/log/check.h"

namespace tandem {

Mutex::~Mutex() {
  if (locked_) CHECK(ShardCrashed()) << "a mutex was destroyed while it was locked";
}

std::optional<Mutex::Guard> Mutex::TryLock() {
  waiters_.CheckShard();
  if (locked_) return std::nullopt;
  locked_ = true;
  return Guard(*this);
}

// The lock is handed over to the first that waits, so nobody can come between.
void Mutex::Unlock() {
  waiters_.CheckShard();
  locked_ = !waiters_.empty();
  if (locked_) waiters_.PopFront().Grant();
}

bool Mutex::LockOperation::Start() {
  mutex_.waiters_.CheckShard();
  if (!mutex_.locked_) {
    mutex_.locked_ = true;
    return GrantAtOnce();
  }
  mutex_.waiters_.PushBack(*this);
  return false;
}

}  // namespace tandem
