// SPDX-License-Identifier: Apache-2.0
//
// Who runs the process above a SimReactor.

#ifndef TANDEM_SIM_REACTOR_HOST_WAKER_H_
#define TANDEM_SIM_REACTOR_HOST_WAKER_H_

#include <cstdint>

#include "tandem/core/io/reactor.h"

namespace tandem::sim {

// Told when a host has something to do.
class HostWaker {
 public:
  // The reactor has turned from nothing to report to something to report. Called from events, from calls of the
  // program, and at the end of a Poll() that left something for the next one. Must not call Poll().
  virtual void OnRunnable() = 0;
  // Calls `work`, outside of any shard. Returns how long it slept, in nanoseconds.
  virtual int64_t RunWork(BlockingWork& work) {
    work.Run();
    return 0;
  }
  // The process does not run before or at this time, threads included; one that is past: it runs.
  virtual int64_t paused_until_ns() const { return -1; }

 protected:
  ~HostWaker() = default;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REACTOR_HOST_WAKER_H_
