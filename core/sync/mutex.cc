// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/mutex.h"

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/core/async/await_stack.h"
#include "tandem/core/async/executor.h"

namespace tandem {

Mutex::~Mutex() {
  if (locked_) CHECK(ShardCrashed()) << "a mutex was destroyed while it was locked";
}

std::optional<Mutex::Guard> Mutex::TryLock() {
  waiters_.CheckShard();
  if (locked_) return std::nullopt;
  locked_ = true;
  holder_ = {};
  if (Executor::HasCurrent() && Executor::Current().running_task() != nullptr) {
    SetHolder(Executor::Current().running_coroutine());
  }
  return Guard(*this);
}

// The lock is handed over to the first that waits, so nobody can come between.
void Mutex::Unlock() {
  waiters_.CheckShard();
  locked_ = !waiters_.empty();
  if (!locked_) return;
  LockOperation& next = waiters_.PopFront();
  SetHolder(*next.promise());
  next.Grant();
}

void Mutex::SetHolder(const PromiseBase& promise) { holder_ = {promise.task->path, promise.await_location}; }

bool Mutex::LockOperation::Start() {
  mutex_.waiters_.CheckShard();
  if (!mutex_.locked_) {
    mutex_.locked_ = true;
    mutex_.SetHolder(*promise());
    return GrantAtOnce();
  }
  mutex_.waiters_.PushBack(*this);
  return false;
}

std::string Mutex::LockOperation::Describe() const {
  std::string text = "the lock of a mutex";
  if (mutex_.holder_.place.line() == 0) return text;
  absl::StrAppend(&text, " that was locked at ");
  WritePlace(mutex_.holder_.place, [&](absl::string_view part) { absl::StrAppend(&text, part); });
  return text;
}

std::optional<uint64_t> Mutex::LockOperation::WaitsForTask() const {
  if (mutex_.holder_.task == 0) return std::nullopt;
  return mutex_.holder_.task;
}

}  // namespace tandem
