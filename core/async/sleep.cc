// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/sleep.h"

#include "absl/strings/str_cat.h"

namespace tandem {

template <typename Result>
bool TimedOperation<Result>::Start() {
  Executor& executor = Executor::Current();
  if (wake_up_ <= executor.now()) return true;
  if (wake_up_ != Instant::InfiniteFuture()) executor.timers().Arm(timer_, wake_up_);
  return false;
}

template <typename Result>
void TimedOperation<Result>::OnStop() {
  Executor::Current().timers().Disarm(timer_);
  this->Finish();
}

template <typename Result>
void TimedOperation<Result>::WakeUp::OnTimer() {
  operation.woke_ = true;
  operation.Finish();
}

template <typename Result>
std::string TimedOperation<Result>::Describe() const {
  if (wake_up_ == Instant::InfiniteFuture()) return "the end of an endless sleep";
  return absl::StrCat("a timer in ", absl::FormatDuration(wake_up_ - Now()));
}

template class TimedOperation<absl::Status>;
template class TimedOperation<void>;

bool YieldOperation::Start() {
  Executor& executor = Executor::Current();
  if (kind_ == Kind::kAlways || executor.TimeSliceIsOver()) executor.UseUpReadyAwaits();
  return true;
}

}  // namespace tandem
