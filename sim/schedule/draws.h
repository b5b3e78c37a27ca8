// SPDX-License-Identifier: Apache-2.0
//
// Where a schedule takes its random numbers from: one function of an address.
//
// Number `n` of `entity` is uniform over all 64-bit values and depends on the address alone, so that a task more, or a
// step more of one task, changes no number of another. Entities are the paths of tasks, and kWholeSchedule for what
// concerns all of them.

#ifndef TANDEM_SIM_SCHEDULE_DRAWS_H_
#define TANDEM_SIM_SCHEDULE_DRAWS_H_

#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "tandem/core/base/random.h"

namespace tandem::sim {

using ScheduleDraws = absl::AnyInvocable<uint64_t(uint64_t entity, uint64_t n) const>;

inline constexpr uint64_t kWholeSchedule = HashName("whole schedule");

// The numbers of `seed`. `name` keeps schedules of different kinds apart.
inline ScheduleDraws HashDraws(uint64_t seed, absl::string_view name) {
  const uint64_t key = HashCombine(seed, HashName(name));
  return [key](uint64_t entity, uint64_t n) { return HashCombine(HashCombine(key, entity), n); };
}

}  // namespace tandem::sim

#endif  // TANDEM_SIM_SCHEDULE_DRAWS_H_
