// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/ticker.h"

#include <cstdint>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/sync/wait_list.h"

namespace tandem {

Ticker::Ticker(absl::Duration period, Instant first) : period_ns_(absl::ToInt64Nanoseconds(period)), next_(first) {
  CHECK_GT(period_ns_, 0) << "a ticker needs a period of at least a nanosecond";
  CHECK(first != Instant::InfinitePast()) << "a ticker that never started";
}

Ticker::~Ticker() {
  if (waiter_ == nullptr) return;
  CHECK(ShardCrashed()) << "a ticker was destroyed while a call waits for it";
  waiter_->ticker_ = nullptr;
}

Instant Ticker::Take(Instant now) {
  const int64_t late_ns = now.nanoseconds() - next_.nanoseconds();
  const Instant tick = next_ + absl::Nanoseconds(late_ns - late_ns % period_ns_);
  next_ = tick + absl::Nanoseconds(period_ns_);
  return tick;
}

Ticker::NextOperation::~NextOperation() { Leave(); }

std::string Ticker::NextOperation::Describe() const {
  return absl::StrCat("the tick of a ticker in ", absl::FormatDuration(ticker_->next_ - Now()));
}

bool Ticker::NextOperation::Start() {
  ticker_->own_shard_.Check();
  CHECK(ticker_->waiter_ == nullptr) << "two calls wait for one ticker";
  Executor& executor = Executor::Current();
  if (ticker_->next_ <= executor.now()) {
    tick_ = ticker_->Take(executor.now());
    return true;
  }
  ticker_->waiter_ = this;
  if (ticker_->next_ != Instant::InfiniteFuture()) executor.timers().Arm(alarm_, ticker_->next_);
  return false;
}

void Ticker::NextOperation::OnStop() {
  Leave();
  Finish();
}

void Ticker::NextOperation::OnTick() {
  tick_ = ticker_->Take(Executor::Current().now());
  Leave();
  Finish();
}

void Ticker::NextOperation::Leave() {
  if (alarm_.armed()) Executor::Current().timers().Disarm(alarm_);
  if (ticker_ != nullptr && ticker_->waiter_ == this) ticker_->waiter_ = nullptr;
}

}  // namespace tandem
