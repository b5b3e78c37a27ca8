// SPDX-License-Identifier: Apache-2.0
//
// The two clocks of a real machine, as the reactors read them.

#ifndef TANDEM_POSIX_CLOCK_H_
#define TANDEM_POSIX_CLOCK_H_

#include <time.h>

#include <cstdint>

#include "tandem/core/base/instant.h"

namespace tandem::posix {

// CLOCK_MONOTONIC. Never goes back; stands still while the machine is suspended.
inline Instant ReadMonotonicClock() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return Instant::FromNanoseconds(int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
}

// CLOCK_REALTIME: nanoseconds since 1970-01-01 UTC.
inline int64_t ReadRealtimeClock() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_CLOCK_H_
