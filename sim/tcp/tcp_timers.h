// SPDX-License-Identifier: Apache-2.0
//
// The timers of a TCP socket: several deadlines and one event.
//
// The event stays in the queue when its deadline moves away, and looks again when it runs: a steady exchange of
// messages costs one event per segment and no timer. When it runs, the socket asks which timers are due, and ends by
// LookAgain().

#ifndef TANDEM_SIM_TCP_TCP_TIMERS_H_
#define TANDEM_SIM_TCP_TCP_TIMERS_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {

class TcpTimers {
 public:
  enum Timer : uint8_t {
    kRetransmit,  // Or the next probe of a closed window.
    kDelayedAck,
    kEnd,  // Of TIME_WAIT, of FIN_WAIT2 of an orphan, or of a connect that no route serves.
    kKeepAlive,
    kLinger,
  };

  // Both outlive the timers. The owner cancels `event` before it dies.
  TcpTimers(EventQueue& events, Event& event) : events_(events), event_(event) { deadlines_.fill(kNever); }

  void Arm(Timer timer, int64_t time_ns) {
    deadlines_[timer] = time_ns;
    LookAt(time_ns);
  }
  void Disarm(Timer timer) { deadlines_[timer] = kNever; }
  void DisarmAll() { deadlines_.fill(kNever); }
  bool armed(Timer timer) const { return deadlines_[timer] != kNever; }
  bool due(Timer timer) const { return deadlines_[timer] <= events_.now_ns(); }

  // The event has run: schedules it for what is still armed.
  void LookAgain() {
    const int64_t next = *std::min_element(deadlines_.begin(), deadlines_.end());
    if (next != kNever) LookAt(next);
  }

 private:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  static constexpr size_t kCount = 5;

  // The event runs at `time_ns` or before.
  void LookAt(int64_t time_ns) {
    if (!event_.scheduled()) {
      events_.Schedule(event_, time_ns);
    } else if (event_.time_ns() > time_ns) {
      events_.Reschedule(event_, time_ns);
    }
  }

  EventQueue& events_;
  Event& event_;
  std::array<int64_t, kCount> deadlines_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_TIMERS_H_
