// SPDX-License-Identifier: Apache-2.0
//
// When a TCP socket acknowledges what it has received: at once, or a while later in the hope that an answer carries it.
//
// It counts what is not acknowledged and watches whether bytes are answered by bytes ("ping-pong", as Linux calls it),
// which ends the quick ACKs that a program has asked for by TCP_QUICKACK. The socket has the timer.

#ifndef TANDEM_SIM_TCP_TCP_ACK_DELAY_H_
#define TANDEM_SIM_TCP_TCP_ACK_DELAY_H_

#include <cstdint>
#include <optional>

namespace tandem::sim {

inline constexpr int64_t kDelayedAckNs = 40'000'000;
inline constexpr int kQuickAcks = 16;  // ACKs that are sent at once after TCP_QUICKACK was set.

class TcpAckDelay {
 public:
  void OnReceived(uint32_t bytes, int64_t now_ns) {
    if (bytes == 0) return;
    bytes_ += bytes;
    last_bytes_ns_ = now_ns;
  }
  void OnAcknowledged() { bytes_ = 0; }
  // New bytes went out.
  void OnSent(int64_t now_ns) {
    if (last_bytes_ns_.has_value() && now_ns - *last_bytes_ns_ < kDelayedAckNs) ping_pong_ = true;
  }

  // How much was received since the last ACK.
  uint64_t bytes() const { return bytes_; }
  // True for an ACK that is not to be delayed; counts it.
  bool TakeQuick() {
    if (quick_ == 0 || ping_pong_) return false;
    --quick_;
    return true;
  }

  // TCP_QUICKACK, and what a get of it says.
  void SetQuick(bool on) {
    ping_pong_ = !on;
    quick_ = on ? kQuickAcks : 0;
  }
  bool quick() const { return !ping_pong_; }
  // What an accepted socket has from its listener.
  void Inherit(const TcpAckDelay& listener) { ping_pong_ = listener.ping_pong_; }

 private:
  uint64_t bytes_ = 0;
  std::optional<int64_t> last_bytes_ns_;
  bool ping_pong_ = false;
  int quick_ = 0;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_ACK_DELAY_H_
