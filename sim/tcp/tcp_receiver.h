// SPDX-License-Identifier: Apache-2.0
//
// The receiving half of a TCP connection: bytes in their order for the program to read, segments that came before those
// in front of them, and the window, which is how far the peer may send.
//
// A window that was offered is never taken back, whatever becomes of the buffer; silly ones are not offered. The
// `capacity` that functions take is what the program's receive buffer holds now.

#ifndef TANDEM_SIM_TCP_TCP_RECEIVER_H_
#define TANDEM_SIM_TCP_TCP_RECEIVER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tandem/core/io/buffer.h"
#include "tandem/sim/network/packet.h"

namespace tandem::sim {

class Network;

class TcpReceiver {
 public:
  explicit TcpReceiver(Network& network) : network_(network) {}
  TcpReceiver(const TcpReceiver&) = delete;
  TcpReceiver& operator=(const TcpReceiver&) = delete;
  ~TcpReceiver();

  // Begins a connection in which `next` is the peer's first number after its SYN.
  void Start(uint64_t next, size_t capacity) {
    next_ = next;
    window_end_ = next + capacity;
  }

  // --- Segments ---

  // The first number that has not come.
  uint64_t next() const { return next_; }
  // The first number that the peer must not send.
  uint64_t window_end() const { return window_end_; }
  bool ended() const { return ended_; }
  // Some segment waits for those before it.
  bool has_gap() const { return early_ != nullptr; }

  // Cuts off what is beyond the window, a FIN with it. False when nothing new is left.
  bool Trim(Packet& packet) const { return packet.sequence + packet.size <= window_end_ || CutOff(packet); }
  // Keeps a segment that has come before those in front of it.
  void Keep(Packet& packet);
  struct Taken {
    uint32_t bytes = 0;
    bool filled_gap = false;
    bool end = false;  // The FIN came with it.
  };
  // Takes what is new in `packet`, which begins at or before next(), and what was kept and follows.
  Taken Take(Packet& packet) {
    Taken taken;
    TakeOne(packet, taken);
    if (has_gap()) TakeKept(taken);
    return taken;
  }

  // --- The program ---

  size_t bytes() const { return received_.bytes(); }
  bool empty() const { return received_.empty(); }
  // Up to `limit` bytes, from at most one segment. REQUIRES !empty().
  Buffer Pop(size_t limit) {
    Buffer buffer = received_.Pop();
    return buffer.size() <= limit ? std::move(buffer) : Split(std::move(buffer), limit);
  }
  void Clear() { received_.Clear(); }

  // --- The window ---

  // Moves the end of the window as far as there is room for it, and returns its width: what an ACK says.
  uint32_t OfferWindow(size_t capacity, uint32_t mss) {
    if (CanOfferMore(capacity, mss)) window_end_ = next_ + FreeOf(capacity);
    return OfferNoMore();
  }
  bool CanOfferMore(size_t capacity, uint32_t mss) const {
    const size_t free = FreeOf(capacity);
    return free >= std::min<size_t>(mss, capacity / 2) && next_ + free > window_end_;
  }
  // The same, but nothing is added to what was offered before.
  uint32_t OfferNoMore() const { return static_cast<uint32_t>(window_end_ - next_); }
  // The program has read so much that the peer should hear of the room at once.
  bool IsUpdateDue(size_t capacity, uint32_t mss) const {
    const uint64_t left = window_end_ - next_;
    if (left * 2 > capacity) return false;
    const size_t free = FreeOf(capacity);
    return free >= std::min<size_t>(mss, capacity / 2) && free >= 2 * left;
  }

 private:
  size_t FreeOf(size_t capacity) const { return capacity > received_.bytes() ? capacity - received_.bytes() : 0; }
  Buffer Split(Buffer buffer, size_t limit);
  bool CutOff(Packet& packet) const;
  void TakeOne(Packet& packet, Taken& taken);
  void TakeKept(Taken& taken);

  Network& network_;
  uint64_t next_ = 0;
  uint64_t window_end_ = 0;
  bool ended_ = false;
  BufferQueue received_;
  Packet* early_ = nullptr;  // By sequence number.
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_RECEIVER_H_
