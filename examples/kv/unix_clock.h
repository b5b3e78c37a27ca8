// SPDX-License-Identifier: Apache-2.0
//
// Unix time for a server that counts on a monotonic clock.
//
// Expiries are kept in monotonic time, so that no time to live changes when somebody sets the machine's clock. What a
// client says and hears in Unix time (EXPIREAT, EXPIRETIME) is converted by one offset, which stays the same from call
// to call: otherwise EXPIRETIME would differ from EXPIREAT by what passed between two readings of two clocks.
//
// Thread-compatible.

#ifndef TANDEM_EXAMPLES_KV_UNIX_CLOCK_H_
#define TANDEM_EXAMPLES_KV_UNIX_CLOCK_H_

#include <cstdint>
#include <optional>

namespace tandem::kv {

class UnixClock {
 public:
  // `read_ns` returns the nanoseconds since 1970-01-01 UTC.
  explicit UnixClock(int64_t (*read_ns)()) : read_ns_(read_ns) {}

  int64_t NowNs() const { return read_ns_(); }

  // What to add to monotonic milliseconds, of which it is `now_ms`, to get Unix time. When the clock was set by more
  // than a second, the offset follows.
  int64_t OffsetMs(int64_t now_ms) {
    const int64_t offset_ms = read_ns_() / 1'000'000 - now_ms;
    const bool is_reading_jitter =
        offset_ms_.has_value() && offset_ms - *offset_ms_ <= kStepMs && *offset_ms_ - offset_ms <= kStepMs;
    if (!is_reading_jitter) offset_ms_ = offset_ms;
    return *offset_ms_;
  }

 private:
  static constexpr int64_t kStepMs = 1000;

  int64_t (*read_ns_)();
  std::optional<int64_t> offset_ms_;
};

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_UNIX_CLOCK_H_
