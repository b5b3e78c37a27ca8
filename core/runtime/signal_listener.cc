// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/runtime/signal_listener.h"

#include <bit>
#include <cerrno>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/io/errors.h"

namespace tandem {
namespace internal {

class SignalState final : public Shard::SignalReceiver {
 public:
  ~SignalState() override {
    CHECK(waiter == nullptr || Executor::Current().dead())
        << "a signal listener was destroyed while a call waits on it";
  }

  // Signals that came when no call waited: bit `signal - 1`.
  uint64_t pending = 0;
  NextSignalOperation* waiter = nullptr;

 private:
  void OnSignal(int signal) override {
    if (waiter != nullptr) {
      std::exchange(waiter, nullptr)->OnSignal(signal);
    } else {
      pending |= uint64_t{1} << (signal - 1);
    }
  }
};

}  // namespace internal

bool NextSignalOperation::Start() {
  CHECK(state_.waiter == nullptr) << "two calls wait for a signal on one listener";
  if (state_.pending == 0) {
    state_.waiter = this;
    return false;
  }
  signal_ = std::countr_zero(state_.pending) + 1;
  state_.pending &= state_.pending - 1;
  return true;
}

void NextSignalOperation::OnSignal(int signal) {
  signal_ = signal;
  Finish();
}

void NextSignalOperation::OnStop() {
  state_.waiter = nullptr;
  Finish();
}

absl::StatusOr<int> NextSignalOperation::TakeResult() {
  if (signal_ == 0) return StopStatus();
  return signal_;
}

absl::StatusOr<SignalListener> SignalListener::Listen(std::initializer_list<int> signals) {
  if (signals.size() == 0) return absl::InvalidArgumentError("listen for signals: no signal was given");
  auto state = std::make_unique<internal::SignalState>();
  for (const int signal : signals) {
    const int result = Shard::Current().ReceiveSignal(*state, signal);
    if (result < 0) return ErrnoStatus(-result, absl::StrCat("listen for signal ", signal));
  }
  return SignalListener(std::move(state));
}

SignalListener::SignalListener(std::unique_ptr<internal::SignalState> state) : state_(std::move(state)) {}
SignalListener::SignalListener(SignalListener&&) noexcept = default;
SignalListener& SignalListener::operator=(SignalListener&&) noexcept = default;
SignalListener::~SignalListener() = default;

NextSignalOperation SignalListener::Next() { return NextSignalOperation(*state_); }

}  // namespace tandem
