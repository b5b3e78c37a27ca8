// SPDX-License-Identifier: Apache-2.0
//
// Ticker: something to do every so often, without drift.
//
//   Ticker ticker(absl::Seconds(1));
//   for (;;) {
//     absl::StatusOr<Instant> tick = co_await ticker.Next();
//     if (!tick.ok()) co_return tick.status();
//     ...
//   }
//
// Tick k is due at start + k * period, however late the one before was taken. Ticks that pass while nobody waits are
// one: the call returns the latest of them. There is a timer only while a call waits.

#ifndef TANDEM_CORE_SYNC_TICKER_H_
#define TANDEM_CORE_SYNC_TICKER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/timer_queue.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/sync/own_shard.h"

namespace tandem {

// Belongs to one shard; outlives the calls on it.
class Ticker {
 public:
  class NextOperation;

  // Starts now; the first tick is one period later. REQUIRES period >= 1 ns (CHECKed), and a running shard.
  explicit Ticker(absl::Duration period) : Ticker(period, Now() + period) {}
  // The first tick is at `first`, which may have passed. REQUIRES first != Instant::InfinitePast() (CHECKed).
  Ticker(absl::Duration period, Instant first);
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;
  // REQUIRES that no call waits (CHECKed).
  ~Ticker();

  // Waits for the next tick and returns the instant at which it was due; at once when one has passed and was not taken.
  // A call that is stopped takes no tick. One call at a time (CHECKed).
  //
  // Errors: kDeadlineExceeded, kCancelled.
  [[nodiscard]] NextOperation Next();

  absl::Duration period() const { return absl::Nanoseconds(period_ns_); }

 private:
  // The latest tick at or before `now`, which is taken. REQUIRES next_ <= now.
  Instant Take(Instant now);

  const int64_t period_ns_;
  Instant next_;  // The earliest tick that was not taken.
  NextOperation* waiter_ = nullptr;
  OwnShard own_shard_{"ticker"};
};

// Awaits to absl::StatusOr<Instant>. See Ticker::Next().
class [[nodiscard]] Ticker::NextOperation final : public WithDeadline<NextOperation> {
 public:
  explicit NextOperation(Ticker& ticker) : ticker_(&ticker) {}
  ~NextOperation() override;
  std::string Describe() const override;
  absl::StatusOr<Instant> TakeResult() {
    if (tick_ == Instant::InfiniteFuture()) return StopStatus();
    return tick_;
  }

 private:
  friend class Ticker;
  struct Alarm final : Timer {
    explicit Alarm(NextOperation& next) : next(next) {}
    void OnTimer() override { next.OnTick(); }
    NextOperation& next;
  };

  bool Start() override;
  void OnStop() override;
  void OnTick();
  void Leave();

  Ticker* ticker_;  // Null when a simulated crash destroyed the ticker first.
  Instant tick_ = Instant::InfiniteFuture();
  Alarm alarm_{*this};
};

inline Ticker::NextOperation Ticker::Next() { return NextOperation(*this); }

}  // namespace tandem

#endif  // TANDEM_CORE_SYNC_TICKER_H_
