// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/tcp/tcp_sender.h"

#include "absl/log/check.h"

namespace tandem::sim {

void TcpSender::Start(uint64_t first, uint32_t mss) {
  mss_ = mss;
  first_ = unacknowledged_ = small_end_ = first;
  next_ = highest_sent_ = first + 1;
  window_end_ = first + 1;
  syn_sent_ = false;
  congestion_.Start(first, mss);
  round_trip_ = TcpRoundTrip();
}

std::optional<TcpSender::Segment> TcpSender::TakeUnsent(bool no_delay, int64_t now_ns) {
  const uint64_t end = this->end();
  Segment segment;
  segment.sequence = next_;
  if (next_ == end && fin_queued_) {
    segment.fin = true;
    CountSent(segment, now_ns);
    return segment;
  }
  const uint64_t limit = std::min(window_end_, unacknowledged_ + congestion_.window());
  if (next_ >= end || next_ >= limit) return std::nullopt;
  const uint64_t left = end - next_;
  const uint32_t full = full_segment();
  segment.size = static_cast<uint32_t>(std::min<uint64_t>({left, limit - next_, full}));
  const bool last = segment.size == left;
  if (segment.size < full && next_ > unacknowledged_) {
    if (!last) return std::nullopt;  // A window is nearly full: the rest of it is not worth a segment.
    // Nagle, as Minshall changed it: one segment that is not full may be on its way.
    if (!no_delay && !fin_queued_ && small_end_ > unacknowledged_) return std::nullopt;
  }
  segment.fin = last && fin_queued_;
  CountSent(segment, now_ns);
  if (segment.size < full) small_end_ = next_;
  return segment;
}

std::optional<TcpSender::Segment> TcpSender::TakeFirst(int64_t now_ns) {
  Segment segment;
  segment.sequence = unacknowledged_;
  segment.size =
      static_cast<uint32_t>(std::min<uint64_t>({buffer_.size(), highest_sent_ - unacknowledged_, full_segment()}));
  segment.fin = fin_queued_ && segment.size == buffer_.size() && highest_sent_ > end();
  if (segment.size == 0 && !segment.fin) return std::nullopt;
  CountSent(segment, now_ns);
  return segment;
}

void TcpSender::CountSent(Segment& segment, int64_t now_ns) {
  const uint64_t segment_end = segment.sequence + segment.size + (segment.fin ? 1 : 0);
  segment.again = segment.sequence < highest_sent_;
  if (segment.again) {
    round_trip_.OnSentAgain();
  } else {
    round_trip_.OnSent(segment_end, now_ns);
  }
  highest_sent_ = std::max(highest_sent_, segment_end);
  next_ = std::max(next_, segment_end);
}

TcpSender::Acknowledged TcpSender::OnAcknowledged(uint64_t acknowledgement, int64_t now_ns) {
  DCHECK(acknowledgement > unacknowledged_ && acknowledgement <= highest_sent_);
  uint64_t count = acknowledgement - unacknowledged_;
  Acknowledged result;
  result.fin = fin_queued_ && acknowledgement == end() + 1;
  if (result.fin) {
    --count;
    fin_queued_ = false;
  }
  round_trip_.OnAcknowledged(acknowledgement, now_ns);
  buffer_.Drop(count);
  unacknowledged_ = acknowledgement;
  next_ = std::max(next_, acknowledgement);
  result.send_again = congestion_.OnAcknowledged(acknowledgement, count);
  return result;
}

void TcpSender::OnTimeout() {
  congestion_.OnTimeout(unacknowledged_, highest_sent_);
  next_ = unacknowledged_;
  small_end_ = unacknowledged_;
  round_trip_.OnSentAgain();
}

}  // namespace tandem::sim
