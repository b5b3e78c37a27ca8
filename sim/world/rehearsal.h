// SPDX-License-Identifier: Apache-2.0
//
// A rehearsal: the rest of the run is done by a copy of the process first, without faults, to see what it does.
//
// Faults can then be aimed at what the program does in this seed. The copy says nothing to anybody: it ends where its
// world ends, and its counts are all that is left of it.

#ifndef TANDEM_SIM_WORLD_REHEARSAL_H_
#define TANDEM_SIM_WORLD_REHEARSAL_H_

#include <optional>

#include "tandem/sim/faults/workload.h"

namespace tandem::sim {

class Rehearsal {
 public:
  // Called in a copy before anything else: it closes what others listen to. Without it no world rehearses.
  static void Allow(void (*mute)());
  static bool allowed();

  // Makes the copy. Returns true in it. In the original it returns false when the copy has ended.
  bool Begin();
  // In the copy: tells the original what was counted, and ends the process.
  [[noreturn]] void End(const Workload& workload);

  bool is_copy() const { return descriptor_ >= 0; }
  // In the original: what the copy has counted; none when it came to no end.
  const std::optional<Workload>& workload() const { return workload_; }

 private:
  int descriptor_ = -1;
  std::optional<Workload> workload_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_WORLD_REHEARSAL_H_
