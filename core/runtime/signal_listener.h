// SPDX-License-Identifier: Apache-2.0
//
// SignalListener: signals of the process as something to await.
//
//   absl::StatusOr<SignalListener> reload = SignalListener::Listen({SIGHUP});
//   while ((co_await reload->Next()).ok()) LoadConfiguration();

#ifndef TANDEM_CORE_RUNTIME_SIGNAL_LISTENER_H_
#define TANDEM_CORE_RUNTIME_SIGNAL_LISTENER_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/runtime/shard.h"

namespace tandem {

namespace internal {
class SignalState;
}  // namespace internal

// Awaits to absl::StatusOr<int>. See SignalListener::Next().
class [[nodiscard]] NextSignalOperation final : public WithDeadline<NextSignalOperation> {
 public:
  explicit NextSignalOperation(internal::SignalState& state) : state_(state) {}
  std::string Describe() const override { return "a signal"; }
  absl::StatusOr<int> TakeResult();

 private:
  friend class internal::SignalState;
  bool Start() override;
  void OnStop() override;
  void OnSignal(int signal);

  internal::SignalState& state_;
  int signal_ = 0;  // What the call returns; 0: none yet.
};

// A handle, movable. Belongs to one shard; must not outlive the runtime. In the simulator the signals are those that
// sim::Host::DeliverSignal() sends.
class SignalListener {
 public:
  // Listens for `signals`, by their numbers (signal(7)), from now on: they lose their action in this process until
  // every listener for them is gone. SIGINT and SIGTERM then no longer cancel the main task. Several listeners may
  // listen for one signal; each of them hears it.
  //
  // Errors:
  //   kInvalidArgument  EINVAL: one of `signals` is no signal, or cannot be caught (SIGKILL, SIGSTOP); or there is
  //   none.
  static absl::StatusOr<SignalListener> Listen(std::initializer_list<int> signals);

  SignalListener(SignalListener&&) noexcept;
  SignalListener& operator=(SignalListener&&) noexcept;
  ~SignalListener();

  // Waits for one of the signals and returns its number. A signal that came since Listen() and was not returned yet is
  // returned at once, the lowest number first; one that came several times meanwhile is returned once. At most one
  // call may wait (CHECKed). Lossless: a signal that comes when the call is being stopped waits for the next call.
  //
  // Errors:
  //   kDeadlineExceeded  The deadline of the scope or of .By() passed first.
  //   kCancelled         The enclosing scope was cancelled.
  NextSignalOperation Next();

 private:
  explicit SignalListener(std::unique_ptr<internal::SignalState> state);
  std::unique_ptr<internal::SignalState> state_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_RUNTIME_SIGNAL_LISTENER_H_
