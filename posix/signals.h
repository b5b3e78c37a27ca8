// SPDX-License-Identifier: Apache-2.0
//
// Signals: signals of this process as a set of flags that a reactor looks at.
//
// The signal handler only sets a flag and wakes the owner. SIGPIPE does nothing while a Signals exists; programs that
// are started meanwhile have it as it was by default.
//
// Signals belong to the process, so at most one Signals exists at a time (CHECKed). In a child of fork(2) a signal has
// the action that it had before, and the child may make a Signals of its own. The handler may run on any thread;
// everything else belongs to one.

#ifndef TANDEM_POSIX_SIGNALS_H_
#define TANDEM_POSIX_SIGNALS_H_

#include <signal.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "tandem/core/io/reactor.h"

namespace tandem::posix {

class Signals {
 public:
  // `wake(context)` is called from the signal handler: it must be async-signal-safe, and `context` must live as long
  // as this object.
  Signals(void (*wake)(void*), void* context);
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  // Puts back the actions that were there before, and waits for a handler that is running on another thread.
  ~Signals();

  // As Reactor::WatchSignal().
  int Watch(int signal, SignalWatch watch);

  bool pending() const { return pending_.load(std::memory_order_relaxed) != 0; }
  // The signals that came since the last call: bit `signal - 1`.
  uint64_t TakePending() { return pending_.exchange(0, std::memory_order_acquire); }

 private:
  static constexpr int kLastSignal = 64;

  static void OnSignal(int signal);
  void Release();

  void (*const wake_)(void*);
  void* const context_;
  const pid_t process_;
  std::atomic<uint64_t> pending_{0};
  struct Watched {
    SignalWatch watch = SignalWatch::kOff;
    struct sigaction old_action = {};
  };
  std::array<Watched, kLastSignal + 1> watched_;  // By number.
  struct sigaction old_pipe_ = {};
};

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_SIGNALS_H_
