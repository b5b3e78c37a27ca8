// SPDX-License-Identifier: Apache-2.0
//
// Runtime: runs a program's main coroutine in the world that the binary was linked with.
//
//   int main() {
//     tandem::Runtime runtime;
//     absl::Status status = runtime.BlockOn(Serve());
//   }
//
// On a real machine, BlockOn's thread becomes the shard. In the simulator the same call makes a world with one host,
// `main`, whose seed is TANDEM_SEED (default 1).

#ifndef TANDEM_CORE_RUNTIME_RUNTIME_H_
#define TANDEM_CORE_RUNTIME_RUNTIME_H_

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tandem/core/async/task.h"
#include "tandem/core/io/reactor_options.h"
#include "tandem/core/io/reactor_statistics.h"
#include "tandem/core/runtime/shard.h"

namespace tandem {

class Reactor;

class RuntimeOptions {
 public:
  RuntimeOptions() {}

  const ReactorOptions& reactor() const { return reactor_; }
  RuntimeOptions& set_reactor(ReactorOptions options) {
    reactor_ = options;
    return *this;
  }
  // How long tasks may take to end after they were cancelled, because of a stop or because main has returned.
  absl::Duration grace() const { return grace_; }
  RuntimeOptions& set_grace(absl::Duration grace) {
    grace_ = grace;
    return *this;
  }
  // Whether a crash of the process (a failed CHECK, an exception that nobody catches, SIGSEGV and the like) writes a
  // stack with files and lines, and the awaits of the running task, to standard error, before the signal ends the
  // process as it would have. A signal that has a handler already keeps it.
  bool crash_report() const { return crash_report_; }
  RuntimeOptions& set_crash_report(bool crash_report) {
    crash_report_ = crash_report;
    return *this;
  }

  // Whether SIGQUIT (Ctrl-\ at a terminal, kill -QUIT) writes what every task waits for to standard error, and the
  // process goes on; else it ends the process, as any program. It is the loop that answers: of a task that never
  // awaits, SIGABRT shows where it is. A SignalListener hears it as well. The simulator has no such signal.
  bool task_report() const { return task_report_; }
  RuntimeOptions& set_task_report(bool task_report) {
    task_report_ = task_report;
    return *this;
  }

 private:
  ReactorOptions reactor_;
  absl::Duration grace_ = absl::Seconds(10);
  bool crash_report_ = true;
  bool task_report_ = true;
};

// A process has one at a time (CHECKed): it owns the signals and, in the simulator, the clocks.
// A child of fork(2), daemon(3) for one, must make its own (CHECKed).
class Runtime {
 public:
  // Creates the reactor.
  //
  // Where the kernel refuses io_uring it serves by epoll, and a line on standard error names the cause and the cure;
  // ReactorOptions::set_kind() says otherwise.
  //
  // Errors (the message names the cause and the cure):
  //   kPermissionDenied   kUring: io_uring is switched off, or a seccomp filter refuses it.
  //   kResourceExhausted  Too many open files; kUring: too little locked memory.
  //   kUnimplemented      kUring: the kernel is too old; the message names the version that is needed. Or the binary
  //                       was built without io_uring.
  //   kInvalidArgument    The environment variable TANDEM_REACTOR names no reactor.
  static absl::StatusOr<std::unique_ptr<Runtime>> Create(const RuntimeOptions& options = RuntimeOptions());

  // As Create(), but a failure prints its message and ends the process with exit code 1: for main().
  explicit Runtime(const RuntimeOptions& options = RuntimeOptions());

  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime();

  // Runs `main` until it ends, then cancels and joins every task that is left, and returns what `main` returned or
  // throws what it threw. May be called once.
  //
  // SIGINT, SIGTERM and RequestStop() stop it: every task is cancelled, at once or after a drain (stop.h). `main`
  // itself comes last: its coroutine, with those that it awaits, goes on with kCancelled when all other tasks have
  // ended, so that what spawned tasks use may be a local variable of `main`. But when `main` returns by itself, also
  // after a drain of its own that ended before those of others (WithDrain(), Serve()), its locals are gone before the
  // others are cancelled. A further SIGTERM does nothing; a SIGINT after either kills.
  //
  // The grace time counts from the cancellation. When it takes longer than a second, what is waited for is said on
  // standard error. Tasks that do not end within the grace time are named there, and the process exits with code 2,
  // without freeing memory that the kernel may still write to. In the simulator a program in which nothing can ever
  // happen again exits with code 3 and a list of what its tasks wait for.
  template <typename T>
  T BlockOn(Task<T> main);
  template <internal::NoTask Other>
  auto BlockOn(Other&&) {
    return internal::RefuseNoTask<Other>();
  }

  // Stops `main` and all other tasks, from any thread, as SIGTERM does. Idempotent.
  void RequestStop() { shard_->RequestStop(); }
  // Runs `function` on the runtime's thread, from any thread; before BlockOn(), in its first turn. It must not throw.
  // Returns false, and destroys `function` unrun, when BlockOn() has returned or is about to: what was accepted before
  // is run, unless the process ends with the grace time. The runtime may be destroyed as soon as `function` has run.
  bool Post(absl::AnyInvocable<void()> function) { return shard_->Post(std::move(function)); }

  // Counters of the reactor, and a line that says which one it is and what it chose. From any thread.
  ReactorStatistics statistics() const;
  Shard& shard() { return *shard_; }

 private:
  Runtime(const RuntimeOptions& options, std::unique_ptr<Reactor> reactor);

  template <typename T>
  static Task<void> Capture(std::optional<T>* result, Task<T> main) {
    result->emplace(co_await std::move(main));
  }
  void Run(Task<void> main);
  void TurnOrExit();

  const absl::Duration grace_;
  const bool task_report_;
  std::unique_ptr<Shard> shard_;
  bool reported_ = false;  // That the shutdown takes long.
};

template <typename T>
T Runtime::BlockOn(Task<T> main) {
  if constexpr (std::is_void_v<T>) {
    Run(std::move(main));
  } else {
    std::optional<T> result;
    Run(Capture<T>(&result, std::move(main)));
    return *std::move(result);
  }
}

}  // namespace tandem

#endif  // TANDEM_CORE_RUNTIME_RUNTIME_H_
