// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/time/loop.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/cleanup/cleanup.h"

namespace tandem::sim {

TurnTaker::~TurnTaker() { CHECK(!listed_ && !spinning()) << "destroyed while it had turns to take"; }

void TurnTaker::SetReady() {
  if (listed_ || in_turn_) return;
  listed_ = true;
  loop_.ready_.push_back(this);
}

void TurnTaker::SetIdle() {
  turns_in_a_row_ = 0;
  turns_left_ = 0;
  loop_.queue_.Cancel(spin_end_);
  if (!listed_) return;
  listed_ = false;
  if (loop_.goes_on_ == this) loop_.goes_on_ = nullptr;
  std::replace(loop_.ready_.begin() + static_cast<ptrdiff_t>(loop_.next_), loop_.ready_.end(), this,
               static_cast<TurnTaker*>(nullptr));
}

void TurnTaker::Run() {
  listed_ = false;
  in_turn_ = true;
  bool has_work = false;
  {
    const absl::Cleanup leave = [this] { in_turn_ = false; };
    const int rest = std::exchange(turns_left_, 0);
    has_work = TakeTurns(rest > 0 ? rest : spinning() ? kWokenTurns : kSpinTurns);
  }
  if (turns_left_ > 0) [[unlikely]] {
    listed_ = true;
    loop_.goes_on_ = this;
    return;
  }
  if (!has_work) {
    SetIdle();
    return OnIdle();
  }
  if (!spinning()) loop_.queue_.Schedule(spin_end_, loop_.queue_.now_ns() + kSpinNs);
}

bool Loop::Step(int64_t until_ns) {
  if (goes_on_ != nullptr) [[unlikely]] {
    std::exchange(goes_on_, nullptr)->Run();
    return true;
  }
  while (next_ < ready_.size() && (queue_.empty() || queue_.next_time_ns() > queue_.now_ns())) {
    TurnTaker* const taker = ready_[next_++];
    if (next_ == ready_.size()) {
      ready_.clear();
      next_ = 0;
    }
    if (taker == nullptr) continue;  // It has left.
    taker->Run();
    return true;
  }
  if (queue_.empty() || queue_.next_time_ns() > until_ns) return false;
  queue_.RunNext();
  return true;
}

}  // namespace tandem::sim
