// SPDX-License-Identifier: Apache-2.0
//
// What some virtual time of a world costs: events, real time, processor time.

#ifndef TANDEM_BENCH_SIM_METER_H_
#define TANDEM_BENCH_SIM_METER_H_

#include <cstdint>

#include "absl/log/check.h"
#include "absl/time/time.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/world/world.h"

namespace tandem::bench {

class Meter {
 public:
  // From now on.
  explicit Meter(sim::World& world)
      : world_(world), events_(world.events()), real_ns_(sim::RealNow()), cpu_ns_(sim::RealProcessorTime()) {}

  uint64_t events() const { return world_.events() - events_; }
  double seconds() const { return static_cast<double>(sim::RealNow() - real_ns_) * 1e-9; }
  double cpu_seconds() const { return static_cast<double>(sim::RealProcessorTime() - cpu_ns_) * 1e-9; }

  // Lets virtual time pass in steps of that length until so much real time has passed since the beginning.
  void RunForRealSeconds(double seconds, absl::Duration step) {
    while (this->seconds() < seconds) CHECK_OK(world_.RunFor(step));
  }

 private:
  sim::World& world_;
  const uint64_t events_;
  const int64_t real_ns_;
  const int64_t cpu_ns_;
};

}  // namespace tandem::bench

#endif  // TANDEM_BENCH_SIM_METER_H_
