// SPDX-License-Identifier: Apache-2.0

#include "posix/stop_signals.h"

#include <sched.h>

#include <cerrno>

#include "absl/log/check.h"

namespace tandem::posix {
namespace {

// A handler counts itself in `running` before it reads `owner`, and the destructor clears `owner` before it reads
// `running`: sequentially consistent, so one of the two sees the other.
std::atomic<StopSignals*> owner{nullptr};
std::atomic<int> running{0};
static_assert(std::atomic<StopSignals*>::is_always_lock_free && std::atomic<int>::is_always_lock_free &&
              std::atomic<bool>::is_always_lock_free);

}  // namespace

StopSignals::StopSignals(void (*wake)(void*), void* context) : wake_(wake), context_(context) {
  StopSignals* nobody = nullptr;
  CHECK(owner.compare_exchange_strong(nobody, this)) << "SIGINT and SIGTERM already have an owner in this process";
  struct sigaction action = {};
  action.sa_handler = &OnSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaddset(&action.sa_mask, SIGINT);
  sigaddset(&action.sa_mask, SIGTERM);
  PCHECK(sigaction(SIGINT, &action, &old_interrupt_) == 0);
  PCHECK(sigaction(SIGTERM, &action, &old_terminate_) == 0);
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  PCHECK(sigaction(SIGPIPE, &ignore, &old_pipe_) == 0);
}

StopSignals::~StopSignals() {
  PCHECK(sigaction(SIGINT, &old_interrupt_, nullptr) == 0);
  PCHECK(sigaction(SIGTERM, &old_terminate_, nullptr) == 0);
  PCHECK(sigaction(SIGPIPE, &old_pipe_, nullptr) == 0);
  owner.store(nullptr);
  while (running.load() != 0) sched_yield();
}

void StopSignals::OnSignal(int) {
  const int saved_errno = errno;
  running.fetch_add(1);
  if (StopSignals* self = owner.load(); self != nullptr) {
    struct sigaction standard = {};
    standard.sa_handler = SIG_DFL;
    sigaction(SIGINT, &standard, nullptr);
    sigaction(SIGTERM, &standard, nullptr);
    self->requested_.store(true, std::memory_order_release);
    self->wake_(self->context_);
  }
  running.fetch_sub(1);
  errno = saved_errno;
}

}  // namespace tandem::posix
