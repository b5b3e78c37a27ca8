// SPDX-License-Identifier: Apache-2.0
//
// Instant: a point on the monotonic clock of a host.
//
// An Instant is a count of nanoseconds since an arbitrary but fixed start. Instants of one host compare and subtract;
// Instants of two hosts have nothing to do with each other. Wall-clock time is absl::Time and comes from WallNow().

#ifndef TANDEM_CORE_BASE_INSTANT_H_
#define TANDEM_CORE_BASE_INSTANT_H_

#include <compare>
#include <cstdint>
#include <limits>
#include <ostream>
#include <utility>

#include "absl/time/time.h"

namespace tandem {

class Instant {
 public:
  // The start of the clock.
  constexpr Instant() = default;

  static constexpr Instant FromNanoseconds(int64_t ns) { return Instant(ns); }

  // Later than every instant that a clock can show; a deadline there never passes.
  static constexpr Instant InfiniteFuture() { return Instant(std::numeric_limits<int64_t>::max()); }
  // Earlier than every instant that a clock can show; a deadline there has always passed.
  static constexpr Instant InfinitePast() { return Instant(std::numeric_limits<int64_t>::min()); }

  constexpr int64_t nanoseconds() const { return ns_; }

  friend constexpr auto operator<=>(Instant, Instant) = default;

  // Saturates: an infinite instant stays infinite, and a sum that does not fit becomes infinite.
  friend Instant operator+(Instant instant, absl::Duration duration) {
    if (instant == InfiniteFuture() || instant == InfinitePast()) return instant;
    if (duration == absl::InfiniteDuration()) return InfiniteFuture();
    if (duration == -absl::InfiniteDuration()) return InfinitePast();
    return instant.AddNanoseconds(absl::ToInt64Nanoseconds(duration));
  }
  friend Instant operator-(Instant instant, absl::Duration duration) { return instant + -duration; }

  friend absl::Duration operator-(Instant later, Instant earlier) {
    if (later == InfiniteFuture() || earlier == InfinitePast()) return absl::InfiniteDuration();
    if (later == InfinitePast() || earlier == InfiniteFuture()) return -absl::InfiniteDuration();
    return absl::Nanoseconds(later.ns_) - absl::Nanoseconds(earlier.ns_);
  }

  Instant& operator+=(absl::Duration duration) { return *this = *this + duration; }

  template <typename H>
  friend H AbslHashValue(H hash, Instant instant) {
    return H::combine(std::move(hash), instant.ns_);
  }
  // The time since the start of the clock, as absl::FormatDuration() writes it: "1h2m3.004s", "inf", "-inf".
  template <typename Sink>
  friend void AbslStringify(Sink& sink, Instant instant) {
    sink.Append(absl::FormatDuration(instant - Instant()));
  }
  // The same; GoogleTest prints by it.
  friend std::ostream& operator<<(std::ostream& out, Instant instant) { return out << instant - Instant(); }

 private:
  explicit constexpr Instant(int64_t ns) : ns_(ns) {}

  constexpr Instant AddNanoseconds(int64_t delta) const {
    int64_t sum = 0;
    if (__builtin_add_overflow(ns_, delta, &sum)) return delta > 0 ? InfiniteFuture() : InfinitePast();
    return Instant(sum);
  }

  int64_t ns_ = 0;
};

}  // namespace tandem

#endif  // TANDEM_CORE_BASE_INSTANT_H_
