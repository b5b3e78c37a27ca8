// SPDX-License-Identifier: Apache-2.0
//
// Time and turns: Now, Sleep, Pause, Yield, Checkpoint.

#ifndef TANDEM_CORE_ASYNC_SLEEP_H_
#define TANDEM_CORE_ASYNC_SLEEP_H_

#include <cstdint>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/async/leaf.h"
#include "tandem/core/async/timer_queue.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"

namespace tandem {

// The monotonic time: what deadlines are made of. Each call reads the clock (some 20 ns), so what is counted from it, a
// Sleep(), a WithTimeout(), counts from there however long the turn has worked already. In the simulator a program
// computes in no time: the clock moves between turns.
inline Instant Now() { return Executor::Current().ReadNow(); }

// Awaits to `Result`: absl::Status or void. See Sleep() and Pause().
template <typename Result>
class [[nodiscard]] TimedOperation final : public WithDeadline<TimedOperation<Result>> {
 public:
  explicit TimedOperation(Instant wake_up) : wake_up_(wake_up) {}
  std::string Describe() const override;
  Result TakeResult() {
    if constexpr (!std::is_void_v<Result>) {
      return this->cause() == StopCause::kNone || woke_ ? absl::OkStatus() : this->StopStatus();
    }
  }

 private:
  struct WakeUp final : Timer {
    explicit WakeUp(TimedOperation& operation) : operation(operation) {}
    ~WakeUp() {
      if (armed()) Executor::Current().timers().Disarm(*this);
    }
    void OnTimer() override;
    TimedOperation& operation;
  };

  bool Start() override;
  void OnStop() override;

  Instant wake_up_;
  bool woke_ = false;
  WakeUp timer_{*this};
};

using SleepOperation = TimedOperation<absl::Status>;
using PauseOperation = TimedOperation<void>;
extern template class TimedOperation<absl::Status>;
extern template class TimedOperation<void>;

// Waits for `duration` from now; zero or less returns at once. Never early.
//
// Errors: kCancelled, kDeadlineExceeded.
inline SleepOperation Sleep(absl::Duration duration) { return SleepOperation(Now() + duration); }
// As Sleep(), and does not say how it ended: for tests, and where the next call tells of a cancellation anyway. A loop
// that awaits nothing else ignores its cancellation.
inline PauseOperation Pause(absl::Duration duration) { return PauseOperation(Now() + duration); }
inline SleepOperation SleepUntil(Instant instant) { return SleepOperation(instant); }

// Awaits to absl::Status. See Yield() and Checkpoint().
class [[nodiscard]] YieldOperation final : public Leaf {
 public:
  enum class Kind : uint8_t { kAlways, kNowAndThen };

  explicit YieldOperation(Kind kind) : kind_(kind) {}
  std::string Describe() const override { return "its turn after a yield"; }
  absl::Status TakeResult() { return cause() == StopCause::kNone ? absl::OkStatus() : CancelledStatus(); }

 private:
  bool Start() override;
  void OnStop() override {}

  const Kind kind_;
};

// Lets every other ready task run first. In a simulation the schedule of the seed may hold some of them back, and goes
// on with this one: what must have happened needs something that waits for it, not a Yield().
//
// Errors: kCancelled.
inline YieldOperation Yield() { return YieldOperation(YieldOperation::Kind::kAlways); }

// For code that works long without waiting: asks whether it was cancelled, and lets others run when it has not
// suspended for Executor::TimeSlice() since the first Checkpoint(), or for Executor::kReadyAwaitsInARow awaits. In the
// simulator, where work takes no time, only the awaits count.
//
// Errors: kCancelled.
inline YieldOperation Checkpoint() { return YieldOperation(YieldOperation::Kind::kNowAndThen); }

}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_SLEEP_H_
