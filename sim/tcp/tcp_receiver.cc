// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/tcp/tcp_receiver.h"

#include <algorithm>
#include <utility>

#include "tandem/sim/network/network.h"

namespace tandem::sim {

TcpReceiver::~TcpReceiver() {
  while (early_ != nullptr) {
    Packet& packet = *early_;
    early_ = packet.next;
    network_.FreePacket(packet);
  }
}

bool TcpReceiver::CutOff(Packet& packet) const {
  const uint64_t end = packet.sequence + packet.size;
  packet.size -= static_cast<uint32_t>(end - std::max(window_end_, packet.sequence));
  packet.flags &= static_cast<uint8_t>(~Packet::kFin);
  return packet.size > 0 && packet.sequence + packet.size > next_;
}

void TcpReceiver::Keep(Packet& packet) {
  Packet** link = &early_;
  while (*link != nullptr && (*link)->sequence < packet.sequence) link = &(*link)->next;
  const Packet* same = *link;
  if (same != nullptr && same->sequence == packet.sequence && same->size >= packet.size &&
      same->has(Packet::kFin) >= packet.has(Packet::kFin)) {
    return;
  }
  Packet& kept = network_.NewPacket();
  kept.sequence = packet.sequence;
  kept.size = packet.size;
  kept.flags = packet.flags;
  kept.payload = std::exchange(packet.payload, nullptr);
  kept.next = std::exchange(*link, &kept);
}

void TcpReceiver::TakeKept(Taken& taken) {
  while (early_ != nullptr && early_->sequence <= next_ && !ended_) {
    Packet& kept = *early_;
    early_ = std::exchange(kept.next, nullptr);
    TakeOne(kept, taken);
    network_.FreePacket(kept);
    taken.filled_gap = true;
  }
}

void TcpReceiver::TakeOne(Packet& packet, Taken& taken) {
  const uint64_t end = packet.sequence + packet.size;
  if (end > next_) {
    BufferBlock* block = std::exchange(packet.payload, nullptr);
    const auto known = static_cast<uint32_t>(next_ - packet.sequence);
    block->end = block->begin + packet.size;
    block->begin += known;
    received_.Push(Buffer(block));
    next_ = end;
    taken.bytes += packet.size - known;
  }
  if (!packet.has(Packet::kFin) || end != next_) return;
  ++next_;
  window_end_ = std::max(window_end_, next_);
  ended_ = taken.end = true;
}

// The rest goes back to the front, and the beginning is copied; which only happens at the end of a byte budget or by a
// fault.
Buffer TcpReceiver::Split(Buffer buffer, size_t limit) {
  Buffer part = network_.buffers().Copy(buffer.view().substr(0, limit));
  buffer.RemovePrefix(limit);
  BufferQueue rest;
  rest.Push(std::move(buffer));
  while (!received_.empty()) rest.Push(received_.Pop());
  while (!rest.empty()) received_.Push(rest.Pop());
  return part;
}

}  // namespace tandem::sim
