// SPDX-License-Identifier: Apache-2.0
//
// RateLimiter: a token bucket. Tokens come at a steady rate, up to a burst; whoever wants to do something takes some.
//
//   RateLimiter requests(100, absl::Seconds(1), /*burst=*/20);   // 100 a second, 20 at once after a pause.
//   absl::Status status = co_await requests.Acquire();
//
// Exact: integers throughout, no drift and no rounding that adds up. First come, first served: a call that wants many
// tokens is not overtaken by those that want few. There is a timer only while a call waits.

#ifndef TANDEM_CORE_SYNC_RATE_LIMITER_H_
#define TANDEM_CORE_SYNC_RATE_LIMITER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tandem/core/async/timer_queue.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/sync/wait_list.h"

namespace tandem {

// Belongs to one shard; outlives the calls on it (CHECKed).
class RateLimiter {
 public:
  class AcquireOperation;

  // `tokens` tokens come every `period`, and at most `burst` are kept; so many are there at the start. REQUIRES
  // tokens > 0, period >= 1 ns and finite, burst > 0 (CHECKed).
  RateLimiter(uint64_t tokens, absl::Duration period, uint64_t burst);
  RateLimiter(const RateLimiter&) = delete;
  RateLimiter& operator=(const RateLimiter&) = delete;
  // REQUIRES that no call waits.
  ~RateLimiter() = default;

  // Waits until all that asked before have their tokens and `count` more are there, and takes them. A call that is
  // stopped has taken nothing, and those behind it move up.
  //
  // Errors:
  //   kDeadlineExceeded    The deadline of the scope or of .By() passed first.
  //   kCancelled           The enclosing scope was cancelled.
  //   kInvalidArgument     `count` is more than the burst: so many tokens are never there.
  [[nodiscard]] AcquireOperation Acquire(uint64_t count = 1);

  // Takes `count` tokens when they are there and nobody waits; else returns false.
  [[nodiscard]] bool TryAcquire(uint64_t count = 1);

  // Tokens that are there now.
  uint64_t available();

 private:
  // A token is period_ns_ of these; one comes every nanosecond for each token of the rate.
  using Units = unsigned __int128;

  Units UnitsOf(uint64_t count) const { return Units{count} * period_ns_; }
  // Adds what has come, serves who can be served, and sets the alarm of the first that cannot.
  void Serve();
  void SetAlarm();

  const uint64_t tokens_;
  const uint64_t period_ns_;
  const uint64_t burst_;
  Units level_;
  Instant refilled_;
  WaitList<AcquireOperation> waiters_{"rate limiter"};
};

// Awaits to absl::Status. See RateLimiter::Acquire().
class [[nodiscard]] RateLimiter::AcquireOperation final : public WaitingOperation<AcquireOperation> {
 public:
  AcquireOperation(RateLimiter& limiter, uint64_t count) : limiter_(limiter), count_(count) {}
  ~AcquireOperation() override { DisarmAlarm(); }
  std::string Describe() const override;
  absl::Status TakeResult();

 private:
  friend class RateLimiter;
  // Armed while the call is the first in line.
  struct Alarm final : Timer {
    explicit Alarm(RateLimiter& limiter) : limiter(limiter) {}
    void OnTimer() override { limiter.Serve(); }
    RateLimiter& limiter;
  };

  bool Start() override;
  void OnStop() override;
  void DisarmAlarm();

  RateLimiter& limiter_;
  const uint64_t count_;
  bool refused_ = false;
  Alarm alarm_{limiter_};
};

inline RateLimiter::AcquireOperation RateLimiter::Acquire(uint64_t count) { return AcquireOperation(*this, count); }

}  // namespace tandem

#endif  // TANDEM_CORE_SYNC_RATE_LIMITER_H_
