// SPDX-License-Identifier: Apache-2.0
//
// What faults do inside one host: to the calls of its processes, to their connections and to their time.

#ifndef TANDEM_SIM_NETWORK_STACK_FAULTS_H_
#define TANDEM_SIM_NETWORK_STACK_FAULTS_H_

#include <cstdint>

#include "tandem/core/base/random.h"

namespace tandem::sim {

inline constexpr int64_t kSlowLookupMaxNs = 30'000'000'000;

struct StackFaults {
  Probability connect_refused;    // Of connects: the peer answers as if nobody listened.
  Probability connect_timed_out;  // Of connects: every SYN is lost.
  // Of accepts, where a connection waits:
  Probability accept_emfile;    // no descriptor is free, for now.
  Probability accept_enfile;    // Likewise, of the machine.
  Probability accept_enobufs;   // No memory is free, for now.
  Probability accept_aborted;   // The connection has ended; the peer sees a reset.
  Probability short_read;       // Of deliveries to a Source: only a random part now, the rest in a later Poll().
  Probability short_write;      // Of sends: reported short after a random part.
  Probability slow_write;       // Of sends: the send buffer takes a few bytes at a time.
  bool stalled_window = false;  // TCP offers no more room than it has.
  int64_t completion_jitter_max_ns = 0;  // Completions and items show up this much later, at random.
  int64_t turn_ns = 0;                   // Each turn of the process takes this long.
  int64_t timer_tick_ns = 0;             // Timers wake the process at multiples of this only. 0: at any time.
  // What the contract of core/io/reactor.h allows and a quiet machine seldom does; see chaos.h.
  Probability late_cancel;       // Of cancels and disarms: what is cancelled goes on for a while, and may win.
  Probability stall;             // Of looks at a Source: nothing is delivered for a while, as when no buffer is free.
  Probability overshoot;         // Of deliveries to a Source: the budget does not bound this one.
  Probability late_end;          // Of ends of an arming: some time after the last item.
  Probability lookup_failed;     // Of names looked up: EAGAIN, as when the name servers do not answer.
  Probability lookup_missing;    // Of names looked up: ENOENT, as if there were no such name.
  Probability lookup_slow;       // Of names looked up: the answer takes kSlowLookupMaxNs more, at most.
  Probability lookup_changing;   // Of names looked up: some of their addresses, in any order.
  Probability lookup_stale;      // Of names looked up: what they were before the last change, if there was one.
  int64_t work_slow_max_ns = 0;  // Blocking work takes this much longer, at random.
  Probability work_stuck;        // Of blocking work: it does not end before work_stuck_until_ns.
  int64_t work_stuck_until_ns = 0;

  // Where hits are counted; null: nowhere.
  struct Hits {
    uint64_t* connect_refused = nullptr;
    uint64_t* connect_timed_out = nullptr;
    uint64_t* accept_emfile = nullptr;
    uint64_t* accept_enfile = nullptr;
    uint64_t* accept_enobufs = nullptr;
    uint64_t* accept_aborted = nullptr;
    uint64_t* short_read = nullptr;
    uint64_t* short_write = nullptr;
    uint64_t* stalled_window = nullptr;
    uint64_t* completion_jitter = nullptr;
    uint64_t* turn = nullptr;
    uint64_t* timer_tick = nullptr;
    uint64_t* lookup_failed = nullptr;
    uint64_t* lookup_missing = nullptr;
    uint64_t* lookup_slow = nullptr;
    uint64_t* lookup_changing = nullptr;
    uint64_t* lookup_stale = nullptr;
    uint64_t* work_slow = nullptr;
    uint64_t* work_stuck = nullptr;
  };
  Hits hits;

  static void CountHit(uint64_t* hits) {
    if (hits != nullptr) ++*hits;
  }
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_NETWORK_STACK_FAULTS_H_
