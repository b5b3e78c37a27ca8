// SPDX-License-Identifier: Apache-2.0
//
// How much of a TCP connection may be in flight so that the network is not flooded: slow start, congestion avoidance
// and fast recovery (RFC 5681, NewReno).
//
// It hears of every acknowledgement and of every time-out, and says when a loss is to be mended at once. Sequence
// numbers are the sender's: `unacknowledged` is the first that the peer has not acknowledged, `sent` the first that was
// never sent.

#ifndef TANDEM_SIM_TCP_TCP_CONGESTION_H_
#define TANDEM_SIM_TCP_TCP_CONGESTION_H_

#include <algorithm>
#include <cstdint>

namespace tandem::sim {

class TcpCongestion {
 public:
  // Begins a connection at the sequence number `first`, with full segments of `mss` bytes.
  void Start(uint64_t first, uint32_t mss) {
    mss_ = mss;
    window_ = kInitialSegments * mss;
    slow_start_threshold_ = kMaxWindow;
    recovery_end_ = first;
  }

  // So many bytes may be in flight.
  uint32_t window() const { return window_; }

  // Something new was acknowledged: `count` bytes, up to `acknowledgement`. True when it shows the next hole of those
  // that are being mended: the first unacknowledged segment is to be sent again.
  bool OnAcknowledged(uint64_t acknowledgement, uint64_t count) {
    duplicates_ = 0;
    if (fast_recovery_ && acknowledgement < recovery_end_) return true;
    fast_recovery_ = false;
    Grow(count);
    return false;
  }

  // An acknowledgement said nothing new while something was in flight. True when that shows a loss: the first
  // unacknowledged segment is to be sent again.
  bool OnDuplicate(uint64_t unacknowledged, uint64_t sent) {
    ++duplicates_;
    if (duplicates_ != kDuplicatesForRetransmission || fast_recovery_ || unacknowledged < recovery_end_) return false;
    Shrink(sent - unacknowledged);
    window_ = slow_start_threshold_;
    fast_recovery_ = true;
    recovery_end_ = sent;
    return true;
  }

  void OnTimeout(uint64_t unacknowledged, uint64_t sent) {
    Shrink(sent - unacknowledged);
    window_ = mss_;
    fast_recovery_ = false;
    recovery_end_ = sent;
  }

 private:
  static constexpr uint32_t kInitialSegments = 10;
  static constexpr uint32_t kMaxWindow = 16 << 20;
  static constexpr uint32_t kDuplicatesForRetransmission = 3;

  void Shrink(uint64_t in_flight) {
    slow_start_threshold_ =
        static_cast<uint32_t>(std::clamp<uint64_t>(in_flight / 2, 2 * uint64_t{mss_}, uint64_t{kMaxWindow}));
    acknowledged_in_window_ = 0;
  }

  void Grow(uint64_t acknowledged) {
    if (window_ >= kMaxWindow) return;
    const auto count = static_cast<uint32_t>(std::min<uint64_t>(acknowledged, window_));
    if (window_ < slow_start_threshold_) {
      window_ += count;
      return;
    }
    acknowledged_in_window_ += count;
    if (acknowledged_in_window_ < window_) return;
    acknowledged_in_window_ -= window_;
    window_ += mss_;
  }

  uint32_t mss_ = 0;
  uint32_t window_ = 0;
  uint32_t slow_start_threshold_ = 0;
  uint32_t acknowledged_in_window_ = 0;
  uint64_t recovery_end_ = 0;  // What had been sent when a loss was noticed.
  bool fast_recovery_ = false;
  uint32_t duplicates_ = 0;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_CONGESTION_H_
