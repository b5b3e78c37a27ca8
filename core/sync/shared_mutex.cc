// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/shared_mutex.h"

#include "absl/log/check.h"

namespace tandem {

SharedMutex::~SharedMutex() {
  if (locked()) CHECK(ShardCrashed()) << "a shared mutex was destroyed while it was locked";
}

std::optional<SharedMutex::Guard> SharedMutex::TryLock() {
  if (!TryTake(Kind::kAlone)) return std::nullopt;
  return Guard(*this, Kind::kAlone);
}

std::optional<SharedMutex::Guard> SharedMutex::TryLockShared() {
  if (!TryTake(Kind::kShared)) return std::nullopt;
  return Guard(*this, Kind::kShared);
}

bool SharedMutex::TryTake(Kind kind) {
  waiters_.CheckShard();
  return waiters_.empty() && Take(kind);
}

bool SharedMutex::Take(Kind kind) {
  if (writing_ || (kind == Kind::kAlone && readers_ > 0)) return false;
  if (kind == Kind::kAlone) {
    writing_ = true;
  } else {
    ++readers_;
  }
  return true;
}

void SharedMutex::Unlock(Kind kind) {
  waiters_.CheckShard();
  if (kind == Kind::kAlone) {
    writing_ = false;
  } else {
    --readers_;
  }
  Serve();
}

void SharedMutex::Serve() {
  while (!waiters_.empty() && Take(waiters_.front().kind_)) waiters_.PopFront().Grant();
}

bool SharedMutex::LockOperation::Start() {
  if (mutex_.TryTake(kind_)) return GrantAtOnce();
  mutex_.waiters_.PushBack(*this);
  return false;
}

// A writer that leaves may have kept readers waiting.
void SharedMutex::LockOperation::OnStop() {
  if (LeaveLine()) mutex_.Serve();
  Finish();
}

}  // namespace tandem
