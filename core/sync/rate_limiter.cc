// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/rate_limiter.h"

#include <algorithm>
#include <limits>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/async/executor.h"

namespace tandem {

// The product of a uint64_t with nanoseconds fits 127 bits, so the sum of two does not overflow.
RateLimiter::RateLimiter(uint64_t tokens, absl::Duration period, uint64_t burst)
    : tokens_(tokens),
      period_ns_(static_cast<uint64_t>(absl::ToInt64Nanoseconds(period))),
      burst_(burst),
      level_(UnitsOf(burst)) {
  CHECK_GT(tokens, 0u) << "a rate limiter without tokens";
  CHECK(period >= absl::Nanoseconds(1) && period != absl::InfiniteDuration())
      << "a rate limiter with period " << period;
  CHECK_GT(burst, 0u) << "a rate limiter that lets nothing through";
}

bool RateLimiter::TryAcquire(uint64_t count) {
  Serve();  // Those whose alarm is due in this turn come first.
  if (!waiters_.empty() || UnitsOf(count) > level_) return false;
  level_ -= UnitsOf(count);
  return true;
}

uint64_t RateLimiter::available() {
  Serve();
  return static_cast<uint64_t>(level_ / period_ns_);
}

// Those who wait take their tokens as they come, so the bucket overflows only after them.
void RateLimiter::Serve() {
  waiters_.CheckShard();
  const Instant now = Now();
  level_ += Units{tokens_} * static_cast<uint64_t>(now.nanoseconds() - refilled_.nanoseconds());
  refilled_ = now;
  while (!waiters_.empty() && UnitsOf(waiters_.front().count_) <= level_) {
    AcquireOperation& first = waiters_.PopFront();
    first.DisarmAlarm();
    level_ -= UnitsOf(first.count_);
    first.Grant();
  }
  level_ = std::min(level_, UnitsOf(burst_));
  SetAlarm();
}

void RateLimiter::SetAlarm() {
  if (waiters_.empty() || waiters_.front().alarm_.armed()) return;
  const Units missing = UnitsOf(waiters_.front().count_) - level_;
  const Units wait_ns = (missing + tokens_ - 1) / tokens_;
  const auto most = static_cast<Units>(std::numeric_limits<int64_t>::max());
  const Instant due = Now() + absl::Nanoseconds(static_cast<int64_t>(std::min(wait_ns, most)));
  if (due != Instant::InfiniteFuture()) Executor::Current().timers().Arm(waiters_.front().alarm_, due);
}

std::string RateLimiter::AcquireOperation::Describe() const {
  return absl::StrCat(count_, " tokens of a rate limiter");
}

absl::Status RateLimiter::AcquireOperation::TakeResult() {
  if (granted()) return absl::OkStatus();
  if (!refused_) return StopStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("acquire: ", count_, " tokens are more than the burst of ", limiter_.burst_));
}

bool RateLimiter::AcquireOperation::Start() {
  if (count_ > limiter_.burst_) return refused_ = true;
  if (limiter_.TryAcquire(count_)) return GrantAtOnce();
  limiter_.waiters_.PushBack(*this);
  limiter_.SetAlarm();
  return false;
}

void RateLimiter::AcquireOperation::OnStop() {
  DisarmAlarm();
  if (LeaveLine()) limiter_.Serve();
  Finish();
}

void RateLimiter::AcquireOperation::DisarmAlarm() {
  if (alarm_.armed()) Executor::Current().timers().Disarm(alarm_);
}

}  // namespace tandem
