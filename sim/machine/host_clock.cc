// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/machine/host_clock.h"

#include <algorithm>
#include <limits>

namespace tandem::sim {

int64_t HostClock::TimeOf(int64_t monotonic_ns) const {
  const int64_t missing_ns = monotonic_ns - MonotonicNs(since_ns_);
  if (rate_ == 0 || missing_ns <= 0) return since_ns_ + missing_ns;
  const __int128 later = static_cast<__int128>(missing_ns) * kMillion / (kMillion + rate_);
  const __int128 latest = std::numeric_limits<int64_t>::max() / 2;
  int64_t time_ns = since_ns_ + static_cast<int64_t>(std::min(later, latest));
  // What was rounded.
  while (MonotonicNs(time_ns) < monotonic_ns) ++time_ns;
  while (MonotonicNs(time_ns - 1) >= monotonic_ns) --time_ns;
  return time_ns;
}

}  // namespace tandem::sim
