// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/signals.h"

#include <sched.h>
#include <unistd.h>

#include <cerrno>

#include "absl/log/check.h"

namespace tandem::posix {
namespace {

// A handler counts itself in `running` before it reads `owner`, and the destructor clears `owner` before it reads
// `running`: sequentially consistent, so one of the two sees the other.
std::atomic<Signals*> owner{nullptr};
std::atomic<int> running{0};
static_assert(std::atomic<Signals*>::is_always_lock_free && std::atomic<int>::is_always_lock_free &&
              std::atomic<uint64_t>::is_always_lock_free);

void DoNothing(int) {}

}  // namespace

Signals::Signals(void (*wake)(void*), void* context) : wake_(wake), context_(context), process_(getpid()) {
  Signals* previous = owner.load();
  // In a child of fork(2) it is a copy of the parent's.
  if (previous != nullptr && previous->process_ != process_) {
    previous->Release();
    running.store(0);  // Of threads that the child does not have.
  }
  Signals* nobody = nullptr;
  CHECK(owner.compare_exchange_strong(nobody, this)) << "the signals of this process already have an owner";
  // A handler, and not SIG_IGN: that would stay in the programs that this one starts.
  struct sigaction ignore = {};
  ignore.sa_handler = &DoNothing;
  ignore.sa_flags = SA_RESTART;
  sigemptyset(&ignore.sa_mask);
  PCHECK(sigaction(SIGPIPE, &ignore, &old_pipe_) == 0);
}

Signals::~Signals() {
  Release();
  while (running.load() != 0) sched_yield();
}

void Signals::Release() {
  Signals* self = this;
  if (owner.load() != this) return;
  for (int signal = 1; signal <= kLastSignal; ++signal) Watch(signal, SignalWatch::kOff);
  PCHECK(sigaction(SIGPIPE, &old_pipe_, nullptr) == 0);
  owner.compare_exchange_strong(self, nullptr);
}

int Signals::Watch(int signal, SignalWatch watch) {
  if (signal <= 0 || signal > kLastSignal || signal == SIGKILL || signal == SIGSTOP) return -EINVAL;
  Watched& watched = watched_[static_cast<size_t>(signal)];
  if (watch == SignalWatch::kOff) {
    if (watched.watch == SignalWatch::kOff) return 0;
    PCHECK(sigaction(signal, &watched.old_action, nullptr) == 0);
    watched.watch = watch;
    return 0;
  }
  struct sigaction action = {};
  action.sa_handler = &OnSignal;
  action.sa_flags = SA_RESTART;
  // The kernel itself puts the default action back.
  if (watch == SignalWatch::kOnce) action.sa_flags |= static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  struct sigaction old_action = {};
  if (sigaction(signal, &action, &old_action) != 0) return -errno;  // The C library keeps some for itself.
  if (watched.watch == SignalWatch::kOff) watched.old_action = old_action;
  watched.watch = watch;
  return 0;
}

void Signals::OnSignal(int signal) {
  const int saved_errno = errno;
  running.fetch_add(1);
  Signals* const self = owner.load();
  if (self != nullptr && self->process_ != getpid()) {
    // A child of fork(2) that has not called exec(2): the signal is the child's, and does what it did before.
    sigaction(signal, &self->watched_[static_cast<size_t>(signal)].old_action, nullptr);
    raise(signal);
  } else if (self != nullptr) {
    self->pending_.fetch_or(uint64_t{1} << (signal - 1), std::memory_order_release);
    self->wake_(self->context_);
  }
  running.fetch_sub(1);
  errno = saved_errno;
}

}  // namespace tandem::posix
