// SPDX-License-Identifier: Apache-2.0
//
// StopSignals: SIGINT and SIGTERM as a flag that a reactor looks at.
//
// The signal handler only sets a flag and wakes the owner. After the first signal the default action of both is back,
// so that a second one ends a process that does not stop. SIGPIPE is ignored while a StopSignals exists.
//
// Signals belong to the process, so at most one StopSignals exists at a time (CHECKed). The handler may run on any
// thread; construction and destruction belong to one.

#ifndef TANDEM_POSIX_STOP_SIGNALS_H_
#define TANDEM_POSIX_STOP_SIGNALS_H_

#include <signal.h>

#include <atomic>

namespace tandem::posix {

class StopSignals {
 public:
  // `wake(context)` is called from the signal handler: it must be async-signal-safe, and `context` must live as long
  // as this object.
  StopSignals(void (*wake)(void*), void* context);
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  // Puts back the actions that were there before, and waits for a handler that is running on another thread.
  ~StopSignals();

  // True once for the signal that came.
  bool TakeRequest() {
    return requested_.load(std::memory_order_relaxed) && requested_.exchange(false, std::memory_order_acquire);
  }

 private:
  static void OnSignal(int signal);

  void (*const wake_)(void*);
  void* const context_;
  std::atomic<bool> requested_{false};
  struct sigaction old_interrupt_ = {};
  struct sigaction old_terminate_ = {};
  struct sigaction old_pipe_ = {};
};

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_STOP_SIGNALS_H_
