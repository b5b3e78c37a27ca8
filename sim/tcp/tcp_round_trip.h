// SPDX-License-Identifier: Apache-2.0
//
// How long a TCP connection waits for an acknowledgement before it sends again: the estimator of RFC 6298, with Linux'
// bounds, measuring one segment at a time and none that was sent twice (Karn's rule).

#ifndef TANDEM_SIM_TCP_TCP_ROUND_TRIP_H_
#define TANDEM_SIM_TCP_TCP_ROUND_TRIP_H_

#include <algorithm>
#include <cstdint>

namespace tandem::sim {

inline constexpr int64_t kRetransmitInitialNs = 1'000'000'000;  // Until something was measured.
inline constexpr int64_t kRetransmitMinNs = 200'000'000;
inline constexpr int64_t kRetransmitMaxNs = 120'000'000'000;

class TcpRoundTrip {
 public:
  // The time to wait, without back-off.
  int64_t timeout_ns() const { return timeout_ns_; }

  // Something up to `end` was sent for the first time.
  void OnSent(uint64_t end, int64_t now_ns) {
    if (timed_end_ != 0) return;
    timed_end_ = end;
    timed_since_ns_ = now_ns;
  }
  // Something was sent again: its answer would not say to which of the two.
  void OnSentAgain() { timed_end_ = 0; }

  void OnAcknowledged(uint64_t acknowledgement, int64_t now_ns) {
    if (timed_end_ == 0 || acknowledgement < timed_end_) return;
    timed_end_ = 0;
    const int64_t sample = now_ns - timed_since_ns_;
    if (smoothed_ns_ == 0) {
      smoothed_ns_ = sample;
      variation_ns_ = sample / 2;
    } else {
      const int64_t error = sample - smoothed_ns_;
      variation_ns_ += ((error < 0 ? -error : error) - variation_ns_) / 4;
      smoothed_ns_ += error / 8;
    }
    timeout_ns_ = std::min(smoothed_ns_ + std::max(4 * variation_ns_, kRetransmitMinNs), kRetransmitMaxNs);
  }

 private:
  int64_t timeout_ns_ = kRetransmitInitialNs;
  int64_t smoothed_ns_ = 0;
  int64_t variation_ns_ = 0;
  uint64_t timed_end_ = 0;  // The acknowledgement that ends the measurement; 0: none runs.
  int64_t timed_since_ns_ = 0;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_ROUND_TRIP_H_
