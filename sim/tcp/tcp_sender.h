// SPDX-License-Identifier: Apache-2.0
//
// The sending half of a TCP connection: the bytes that are not acknowledged, how far they were sent, and which segment
// the windows of the peer and of the network, and Nagle's rule, allow next.
//
// It sends nothing itself: the socket asks for segments, sends them, and passes on acknowledgements and time-outs.
// Sequence numbers: unacknowledged() <= next() <= sent() <= the end of the buffer, and 1 for the FIN. The SYN is the
// number before the first byte.

#ifndef TANDEM_SIM_TCP_TCP_SENDER_H_
#define TANDEM_SIM_TCP_TCP_SENDER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "tandem/core/io/buffer.h"
#include "tandem/sim/tcp/tcp_congestion.h"
#include "tandem/sim/tcp/tcp_round_trip.h"
#include "tandem/sim/tcp/tcp_send_buffer.h"

namespace tandem::sim {

class TcpSender {
 public:
  explicit TcpSender(HeapBufferPool& pool) : buffer_(pool) {}

  struct Segment {
    uint64_t sequence = 0;
    uint32_t size = 0;
    bool fin = false;
    bool again = false;  // Something of it was sent before.
  };

  // --- The handshake ---

  // Begins a connection whose SYN has the number `first`, and counts that as sent.
  void Start(uint64_t first, uint32_t mss);
  uint64_t first() const { return first_; }
  // How much the peer can take, as said by its SYN.
  void SetFirstWindow(uint32_t window) { window_end_ = first_ + 1 + window; }
  // The SYN, or the SYN-ACK, goes out; perhaps not for the first time.
  void OnSynSent(int64_t now_ns) {
    if (std::exchange(syn_sent_, true)) {
      round_trip_.OnSentAgain();
    } else {
      round_trip_.OnSent(first_ + 1, now_ns);
    }
  }
  // The peer has acknowledged the SYN.
  void Establish(uint32_t window, int64_t now_ns) {
    round_trip_.OnAcknowledged(first_ + 1, now_ns);
    unacknowledged_ = first_ + 1;
    SetFirstWindow(window);
  }

  // --- Bytes ---

  size_t buffered() const { return buffer_.size(); }
  void Append(const char* data, size_t size) { buffer_.Append(data, size); }
  void Copy(const Segment& segment, char* target) const {
    buffer_.Copy(segment.sequence - unacknowledged_, segment.size, target);
  }
  void DropAll() {
    buffer_.Drop(buffer_.size());
    fin_queued_ = false;
  }
  // After the last byte comes the end of the stream.
  void QueueFin() { fin_queued_ = true; }
  // The FIN is queued, and not acknowledged.
  bool fin_queued() const { return fin_queued_; }
  bool has_unacknowledged() const { return buffer_.size() > 0 || fin_queued_; }

  // --- Segments ---

  uint64_t unacknowledged() const { return unacknowledged_; }
  uint64_t next() const { return next_; }
  // Beyond next() after a time-out.
  uint64_t sent() const { return highest_sent_; }
  bool in_flight() const { return highest_sent_ != unacknowledged_; }
  // The peer has closed its window, and there is something to send.
  bool blocked() const { return next_ < end() && next_ == unacknowledged_; }

  // The next segment, if one may be sent now; counts it as sent. `no_delay` suspends Nagle's rule.
  std::optional<Segment> TakeNext(bool no_delay, int64_t now_ns) {
    widest_window_ = std::max(widest_window_, window_end_ - unacknowledged_);
    if (next_ > end() || (next_ == end() && !fin_queued_)) return std::nullopt;
    return TakeUnsent(no_delay, now_ns);
  }
  // The first segment that is not acknowledged, to be sent again; nothing when none was sent.
  std::optional<Segment> TakeFirst(int64_t now_ns);

  // --- Answers ---

  // Takes the peer's word on its window. True when that moved.
  bool OnWindow(uint64_t window_end) {
    if (window_end <= window_end_) return false;
    window_end_ = window_end;
    return true;
  }
  struct Acknowledged {
    bool fin = false;         // The FIN as well, just now.
    bool send_again = false;  // TakeFirst() is to be sent at once.
  };
  // REQUIRES unacknowledged() < acknowledgement <= sent().
  Acknowledged OnAcknowledged(uint64_t acknowledgement, int64_t now_ns);
  // An acknowledgement that said nothing new. True: TakeFirst() is to be sent at once.
  bool OnDuplicate() { return next_ > unacknowledged_ && congestion_.OnDuplicate(unacknowledged_, highest_sent_); }
  // No answer came in time: all is sent again, from the first unacknowledged byte on.
  void OnTimeout();
  // How long to wait for an answer, without back-off.
  int64_t timeout_ns() const { return round_trip_.timeout_ns(); }

 private:
  uint64_t end() const { return unacknowledged_ + buffer_.size(); }
  // What a sender does not wait to exceed: half of the widest window that the peer has offered, as Linux bounds its
  // segments (tcp_bound_to_half_wnd). Otherwise a window of one segment and a bit stalls until a delayed ACK.
  uint32_t full_segment() const {
    const uint64_t half = std::max<uint64_t>(widest_window_ / 2, 536);
    return static_cast<uint32_t>(std::min<uint64_t>(mss_, half));
  }
  std::optional<Segment> TakeUnsent(bool no_delay, int64_t now_ns);
  void CountSent(Segment& segment, int64_t now_ns);

  uint32_t mss_ = 0;
  uint64_t first_ = 0;
  bool syn_sent_ = false;
  uint64_t unacknowledged_ = 0;
  uint64_t next_ = 0;
  uint64_t highest_sent_ = 0;
  uint64_t window_end_ = 0;     // The first number that the peer has no room for.
  uint64_t widest_window_ = 0;  // The most room that it ever had.
  uint64_t small_end_ = 0;      // The end of the last segment that was not full (Minshall).
  bool fin_queued_ = false;
  TcpSendBuffer buffer_;
  TcpCongestion congestion_;
  TcpRoundTrip round_trip_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_SENDER_H_
