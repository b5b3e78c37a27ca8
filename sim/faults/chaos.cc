// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/faults/chaos.h"

#include <array>
#include <cstdint>

namespace tandem::sim {
namespace {

// Never, seldom, often.
Probability DrawChance(RandomStream& random) {
  switch (random.Below(3)) {
    case 0:
      return Probability();
    case 1:
      return Probability::Ratio(1, 20);
    default:
      return Probability::Ratio(1, 3);
  }
}

}  // namespace

StackFaults DrawChaos(RandomStream random) {
  constexpr std::array<int64_t, 4> kJitters = {0, 10'000, 300'000, 5'000'000};
  StackFaults faults;
  faults.short_read = DrawChance(random);
  faults.short_write = DrawChance(random);
  faults.slow_write = DrawChance(random);
  faults.late_cancel = DrawChance(random);
  faults.stall = DrawChance(random);
  faults.overshoot = DrawChance(random);
  faults.late_end = DrawChance(random);
  faults.completion_jitter_max_ns = kJitters[random.Below(kJitters.size())];
  return faults;
}

}  // namespace tandem::sim
