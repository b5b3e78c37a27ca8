// SPDX-License-Identifier: Apache-2.0
//
// BackOff: what a reactor will try again later, because the kernel had no descriptor or no memory for it, or because
// no event will tell when it can go on. Each entry is a name (of a slot, of a socket's side) with the time of its next
// try; the pauses grow with the failures in a row.

#ifndef TANDEM_POSIX_BACK_OFF_H_
#define TANDEM_POSIX_BACK_OFF_H_

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/log/check.h"
#include "absl/time/time.h"
#include "tandem/core/base/instant.h"

namespace tandem::posix {

// The first pause and the longest. Each is twice the one before it.
struct Pauses {
  int64_t first_ns = 0;
  int64_t longest_ns = 0;

  absl::Duration After(uint32_t failures) const {
    return absl::Nanoseconds(std::min(first_ns << std::min<uint32_t>(failures, 16), longest_ns));
  }
};

// No descriptor number is free, or the kernel has no memory.
inline constexpr Pauses kShortagePauses{.first_ns = 5'000'000, .longest_ns = 100'000'000};
// The receiver's queue is full, and no event tells when it no longer is, which is how Unix sockets are.
inline constexpr Pauses kFullQueuePauses{.first_ns = 1'000'000, .longest_ns = 5'000'000};

class BackOff {
 public:
  bool empty() const { return order_.empty(); }
  // The time of the first try, InfiniteFuture() without one.
  Instant earliest() const { return order_.empty() ? Instant::InfiniteFuture() : order_.begin()->first; }

  // REQUIRES that `name` is not there.
  void Add(uint32_t name, Instant when) {
    CHECK(times_.emplace(name, when).second) << "backs off twice";
    order_.emplace(when, name);
  }
  // REQUIRES that `name` is there.
  void Remove(uint32_t name) {
    const auto entry = times_.find(name);
    CHECK(entry != times_.end());
    order_.erase({entry->second, name});
    times_.erase(entry);
  }

  // Makes the next try of those for which `predicate(name)` is true due at once.
  template <typename Predicate>
  void Hasten(Predicate predicate) {
    std::vector<uint32_t> hastened;
    for (const auto& [when, name] : order_) {
      if (when != Instant::InfinitePast() && predicate(name)) hastened.push_back(name);
    }
    for (const uint32_t name : hastened) {
      Remove(name);
      Add(name, Instant::InfinitePast());
    }
  }

  // Takes out those that are due at `now`, earliest first, and calls `retry(name)` for each, which may add any again.
  template <typename Retry>
  void RetryDue(Instant now, Retry retry) {
    std::vector<uint32_t> due;
    for (auto entry = order_.begin(); entry != order_.end() && entry->first <= now; ++entry) {
      due.push_back(entry->second);
    }
    for (const uint32_t name : due) {
      if (times_.contains(name) && times_.find(name)->second <= now) {
        Remove(name);
        retry(name);
      }
    }
  }

 private:
  absl::btree_set<std::pair<Instant, uint32_t>> order_;
  absl::flat_hash_map<uint32_t, Instant> times_;
};

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_BACK_OFF_H_
