// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/sleep.h"

#include "absl/strings/str_cat.h"

namespace tandem {

bool SleepOperation::Start() {
  Executor& executor = Executor::Current();
  if (wake_up_ <= executor.now()) return true;
  if (wake_up_ != Instant::InfiniteFuture()) executor.timers().Arm(timer_, wake_up_);
  return false;
}

void SleepOperation::OnStop() {
  Executor::Current().timers().Disarm(timer_);
  Finish();
}

void SleepOperation::WakeUp::OnTimer() {
  sleep.woke_ = true;
  sleep.Finish();
}

std::string SleepOperation::Describe() const {
  if (wake_up_ == Instant::InfiniteFuture()) return "the end of an endless sleep";
  return absl::StrCat("a timer in ", absl::FormatDuration(wake_up_ - Now()));
}

bool YieldOperation::Start() {
  Executor& executor = Executor::Current();
  if (kind_ == Kind::kAlways || executor.TimeSliceIsOver()) executor.UseUpReadyAwaits();
  return true;
}

}  // namespace tandem
