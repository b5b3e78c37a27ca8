// SPDX-License-Identifier: Apache-2.0
//
// How a shard is stopped: the stop is announced, drains may hold it up, and then every task is cancelled. For Shard and
// for stop.h, which programs use.

#ifndef TANDEM_CORE_RUNTIME_STOP_CONTROL_H_
#define TANDEM_CORE_RUNTIME_STOP_CONTROL_H_

#include "absl/time/time.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/async/timer_queue.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/intrusive_list.h"
#include "tandem/core/sync/event.h"

namespace tandem {
class Shard;
}  // namespace tandem

namespace tandem::internal {

struct DrainListTag;
struct StopListenerListTag;

// Holds up the cancellation for at most `limit` from the announcement on.
class Drain final : public ListLink<DrainListTag>, public Timer {
 public:
  explicit Drain(absl::Duration limit);
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;
  ~Drain();

 private:
  friend class StopControl;
  void HoldFrom(Instant requested_at);
  void OnTimer() override;

  const absl::Duration limit_;
};

// Cancels `scope` when a stop is announced; at once when one was.
class StopListener final : public ListLink<StopListenerListTag> {
 public:
  explicit StopListener(CancelScope& scope);
  StopListener(const StopListener&) = delete;
  StopListener& operator=(const StopListener&) = delete;
  ~StopListener();

 private:
  friend class StopControl;
  CancelScope& scope_;
};

class StopControl {
 public:
  explicit StopControl(Shard& shard) : shard_(shard) {}

  // Announces the stop, and cancels everything when no drain holds it up. Idempotent.
  void Request();
  bool requested() const { return requested_.is_set(); }
  // Set when the stop is announced.
  Event& requested_event() { return requested_; }

 private:
  friend class Drain;
  friend class StopListener;

  void CancelUnlessHeld();

  Shard& shard_;
  Event requested_;
  Instant requested_at_ = Instant::InfiniteFuture();
  IntrusiveList<StopListener, StopListenerListTag> listeners_;
  IntrusiveList<Drain, DrainListTag> drains_;
};

}  // namespace tandem::internal

#endif  // TANDEM_CORE_RUNTIME_STOP_CONTROL_H_
