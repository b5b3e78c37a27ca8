// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/semaphore.h"

#include <limits>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"

namespace tandem {

bool Semaphore::TryTake(size_t count) {
  waiters_.CheckShard();
  if (!waiters_.empty() || available_ < count) return false;
  available_ -= count;
  return true;
}

std::optional<Semaphore::Guard> Semaphore::TryAcquire(size_t count) {
  if (!TryTake(count)) return std::nullopt;
  return Guard(*this, count);
}

void Semaphore::Release(size_t count) {
  waiters_.CheckShard();
  CHECK_LE(count, std::numeric_limits<size_t>::max() - available_) << "a semaphore has too many permits";
  available_ += count;
  Serve();
}

void Semaphore::Serve() {
  while (!waiters_.empty() && waiters_.front().count_ <= available_) {
    AcquireOperation& first = waiters_.PopFront();
    available_ -= first.count_;
    first.Grant();
  }
}

std::string Semaphore::AcquireOperation::Describe() const { return absl::StrCat(count_, " permits of a semaphore"); }

bool Semaphore::AcquireOperation::Start() {
  if (semaphore_.TryTake(count_)) return GrantAtOnce();
  semaphore_.waiters_.PushBack(*this);
  return false;
}

// What was too much for this call may be enough for those behind it.
void Semaphore::AcquireOperation::OnStop() {
  if (LeaveLine()) semaphore_.Serve();
  Finish();
}

}  // namespace tandem
