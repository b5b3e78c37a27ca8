// SPDX-License-Identifier: Apache-2.0

#include "sim/tcp.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/log/check.h"

namespace tandem::sim {
namespace {

constexpr uint32_t kInitialSegments = 10;
constexpr uint32_t kMaxCongestionWindow = 16 << 20;
constexpr uint32_t kDuplicateAcksForRetransmission = 3;
constexpr size_t kMaxHalfOpen = 4096;
// Blocks of the send buffer: the first one fits what is written, since most messages leave at once; later ones gather.
constexpr size_t kGatherBlock = 4096;
constexpr size_t kMaxSendBlock = 16384;

constexpr int64_t kMillisecondNs = 1'000'000;
constexpr int64_t kSecondNs = 1'000'000'000;

constexpr uint64_t Rotate(uint64_t value) { return value << 7 | value >> 57; }

}  // namespace

// --- Starting ---

void TcpSocket::StartSequences() {
  loopback_ = peer_stack_ == &stack_;
  // Grows with time, so that a new connection between the same addresses starts beyond the old one.
  initial_sequence_ = static_cast<uint64_t>(network_.now_ns()) + (MixBits(key_) & 0xffff);
  unacknowledged_ = next_ = highest_sent_ = small_end_ = recovery_end_ = initial_sequence_;
  window_end_ = initial_sequence_ + 1;
  congestion_window_ = kInitialSegments * mss();
  slow_start_threshold_ = kMaxCongestionWindow;
  tries_ = 0;
}

// REQUIRES that the addresses are chosen.
void TcpSocket::StartConnect() {
  ++generation_;  // What is still on its way to an earlier connect of this socket must not be taken for an answer.
  peer_ = nullptr;
  connecting_ = true;
  state_ = TcpState::kSynSent;
  StartSequences();
  next_ = highest_sent_ = initial_sequence_ + 1;
  if (peer_stack_ == nullptr) Arm(end_at_ns_, network_.now_ns() + kUnreachableNs);
  SendSyn();
}

void TcpSocket::StartPassive(TcpSocket& listener, const Packet& syn) {
  family_ = listener.family_;
  no_delay_ = listener.no_delay_;
  reuse_address_ = listener.reuse_address_;
  reuse_port_ = listener.reuse_port_;
  ipv6_only_ = listener.ipv6_only_;
  keep_alive_ = listener.keep_alive_;
  linger_seconds_ = listener.linger_seconds_;
  keep_alive_idle_seconds_ = listener.keep_alive_idle_seconds_;
  keep_alive_interval_seconds_ = listener.keep_alive_interval_seconds_;
  keep_alive_count_ = listener.keep_alive_count_;
  user_timeout_ms_ = listener.user_timeout_ms_;
  traffic_class_ = listener.traffic_class_;
  time_to_live_ = listener.time_to_live_;
  ping_pong_ = listener.ping_pong_;
  receive_buffer_ = listener.receive_buffer_;
  send_buffer_ = listener.send_buffer_;
  local_ = bound_to_ = syn.destination;
  remote_ = syn.source;
  listener_ = &listener;
  listener.half_open_.push_back(this);
  stack_.AddToPort(*this, /*bound_explicitly=*/false);
  CHECK(stack_.TakeConnection(*this));

  peer_stack_ = syn.from;
  const bool sender_lives = syn.sender != nullptr && syn.sender->generation_ == syn.sender_generation;
  key_ = HashCombine(sender_lives ? syn.sender->key_ : syn.sequence, HashName("accepted"));
  state_ = TcpState::kSynReceived;
  StartSequences();
  next_ = highest_sent_ = initial_sequence_ + 1;
  peer_ = syn.sender;
  peer_generation_ = syn.sender_generation;
  receive_next_ = syn.sequence + 1;
  advertised_end_ = receive_next_ + receive_capacity();
  window_end_ = initial_sequence_ + 1 + syn.window;
  SendSynAck();
}

void TcpSocket::BecomeEstablished() {
  state_ = TcpState::kEstablished;
  was_connected_ = true;
  tries_ = 0;
  retransmit_at_ns_ = kNever;
  last_heard_ns_ = network_.now_ns();
  ArmKeepAlive();
  if (listener_ != nullptr) {
    std::erase(listener_->half_open_, this);
    listener_->accept_queue_.push_back(this);
    queued_ = true;
    if (stack_.observer_ != nullptr) stack_.observer_->OnAcceptable(listener_->id_);
    return;
  }
  network_.trace_.Record(TraceKind::kConnected, network_.now_ns(), stack_.index(), static_cast<uint64_t>(id_));
  connecting_ = false;
  if (id_ != kNoSocket && stack_.observer_ != nullptr) stack_.observer_->OnConnected(id_, 0);
  if (sender_waits_) NotifySendable();
}

// --- Receiving ---

void TcpSocket::OnSegment(Packet& packet) {
  switch (state_) {
    case TcpState::kClosed:
      stack_.AnswerByReset(packet);
      return;
    case TcpState::kListen:
      OnSegmentListening(packet);
      return;
    case TcpState::kSynSent:
      OnSegmentSynSent(packet);
      return;
    default:
      break;
  }
  if (packet.has(Packet::kReset)) {
    OnReset(packet);
    return;
  }
  peer_ = packet.sender;
  peer_generation_ = packet.sender_generation;
  if (packet.has(Packet::kSyn)) [[unlikely]] {
    if (state_ != TcpState::kSynReceived || packet.sequence + 1 != receive_next_) {
      SendAck();  // To a late SYN or SYN-ACK: the acknowledgement tells the peer where we are.
      return;
    }
    if (!packet.has(Packet::kAck)) {
      SendSynAck();
      return;
    }
  }
  if (!packet.has(Packet::kAck)) return;
  if (state_ == TcpState::kSynReceived && !OnSynReceived(packet)) return;
  last_heard_ns_ = network_.now_ns();
  if (packet.sequence > advertised_end_) {
    SendAck();
    return;
  }
  if (!OnAcknowledgement(packet)) return;
  if (!OnPayload(packet)) return;
  Output();
}

void TcpSocket::OnSegmentListening(const Packet& packet) {
  const bool opens = packet.has(Packet::kSyn) && !packet.has(Packet::kAck) && !packet.has(Packet::kReset);
  if (!opens) {
    stack_.AnswerByReset(packet);
    return;
  }
  // As with tcp_abort_on_overflow = 0: silence, and the client tries again.
  if (accept_queue_full() || half_open_.size() >= kMaxHalfOpen) return;
  stack_.NewSocket()->StartPassive(*this, packet);
}

void TcpSocket::OnSegmentSynSent(const Packet& packet) {
  const bool acknowledges = packet.has(Packet::kAck);
  if (acknowledges && packet.acknowledgement != next_) {
    stack_.AnswerByReset(packet);
    return;
  }
  if (packet.has(Packet::kReset)) {
    if (acknowledges) FailConnect(ECONNREFUSED);
    return;
  }
  if (!packet.has(Packet::kSyn)) return;
  peer_ = packet.sender;
  peer_generation_ = packet.sender_generation;
  receive_next_ = packet.sequence + 1;
  advertised_end_ = receive_next_ + receive_capacity();
  if (!acknowledges) {  // Both ends opened at once.
    window_end_ = initial_sequence_ + 1 + packet.window;
    state_ = TcpState::kSynReceived;
    tries_ = 0;
    SendSynAck();
    return;
  }
  unacknowledged_ = packet.acknowledgement;
  window_end_ = unacknowledged_ + packet.window;
  SendAck();
  BecomeEstablished();
}

void TcpSocket::OnReset(const Packet& packet) {
  if (packet.sequence != receive_next_) {
    // RFC 5961: one that is only near may be forged or old. The answer brings an exact one when it was real.
    if (packet.sequence > receive_next_ && packet.sequence <= advertised_end_) SendAck();
    return;
  }
  switch (state_) {
    case TcpState::kCloseWait:
      Die(EPIPE);
      return;
    case TcpState::kTimeWait:
      Die(0);
      return;
    case TcpState::kSynReceived:
      if (connecting_) {
        FailConnect(ECONNREFUSED);
        return;
      }
      Die(0);
      return;
    default:
      Die(ECONNRESET);
      return;
  }
}

// The acknowledgement that ends the handshake of the passive side. False: `packet` is to be ignored.
bool TcpSocket::OnSynReceived(const Packet& packet) {
  if (packet.acknowledgement != initial_sequence_ + 1) {
    stack_.AnswerByReset(packet);
    return false;
  }
  // The client believes that it is connected; it will hear our SYN-ACK again.
  if (listener_ != nullptr && listener_->accept_queue_full()) return false;
  unacknowledged_ = packet.acknowledgement;
  window_end_ = unacknowledged_ + packet.window;
  BecomeEstablished();
  return true;
}

bool TcpSocket::OnAcknowledgement(const Packet& packet) {
  const uint64_t acknowledgement = packet.acknowledgement;
  if (acknowledgement > highest_sent_) {
    SendAck();
    return false;
  }
  if (acknowledgement < unacknowledged_) return true;
  const uint64_t window_end = acknowledgement + packet.window;
  const bool window_moved = window_end > window_end_;
  if (window_moved) {
    // A closed window has opened: the back-off of its probes, which were answered, does not count against what is sent
    // now. (Where something is in flight, no probes were sent.)
    if (highest_sent_ == unacknowledged_) tries_ = 0;
    probes_since_ns_ = 0;
    window_end_ = window_end;
  }
  unanswered_probes_ = 0;
  if (acknowledgement > unacknowledged_) return OnNewAcknowledgement(packet);
  const bool pure = packet.size == 0 && !packet.has(Packet::kFin) && !packet.has(Packet::kSyn);
  if (pure && !window_moved && next_ > unacknowledged_) OnDuplicateAcknowledgement();
  return true;
}

bool TcpSocket::OnNewAcknowledgement(const Packet& packet) {
  const uint64_t acknowledgement = packet.acknowledgement;
  uint64_t count = acknowledgement - unacknowledged_;
  const bool fin_acknowledged = fin_queued_ && acknowledgement == send_end() + 1;
  if (fin_acknowledged) --count;
  MeasureRoundTrip(acknowledgement);
  DropAcknowledged(count);
  unacknowledged_ = acknowledgement;
  next_ = std::max(next_, acknowledgement);
  tries_ = 0;
  duplicate_acks_ = 0;
  if (fast_recovery_ && acknowledgement < recovery_end_) {
    Retransmit();  // The next hole (NewReno).
  } else {
    fast_recovery_ = false;
    GrowCongestionWindow(count);
  }
  if (next_ == unacknowledged_) {
    retransmit_at_ns_ = kNever;
  } else {
    ArmRetransmit();
  }
  if (sender_waits_ && send_room() >= send_capacity() / 3) NotifySendable();
  return fin_acknowledged ? OnFinAcknowledged() : true;
}

bool TcpSocket::OnFinAcknowledged() {
  fin_queued_ = false;
  retransmit_at_ns_ = kNever;
  EndLinger();
  switch (state_) {
    case TcpState::kFinWait1:
      state_ = TcpState::kFinWait2;
      if (orphan_) Arm(end_at_ns_, network_.now_ns() + kTimeWaitNs);
      return true;
    case TcpState::kClosing:
      EnterTimeWait();
      return true;
    case TcpState::kLastAck:
      Die(0);
      return false;
    default:
      return true;
  }
}

void TcpSocket::OnDuplicateAcknowledgement() {
  ++duplicate_acks_;
  if (duplicate_acks_ != kDuplicateAcksForRetransmission || fast_recovery_ || unacknowledged_ < recovery_end_) return;
  OnCongestion();
  congestion_window_ = slow_start_threshold_;
  fast_recovery_ = true;
  recovery_end_ = highest_sent_;
  Retransmit();
}

bool TcpSocket::OnPayload(Packet& packet) {
  bool fin = packet.has(Packet::kFin);
  if (packet.size == 0 && !fin) {
    if (packet.has(Packet::kProbe) || packet.has(Packet::kSyn)) SendAck();
    return true;
  }
  const bool receives =
      state_ == TcpState::kEstablished || state_ == TcpState::kFinWait1 || state_ == TcpState::kFinWait2;
  const uint64_t end = packet.sequence + packet.size;
  if (!receives || end + (fin ? 1 : 0) <= receive_next_) {
    if (state_ == TcpState::kTimeWait) Arm(end_at_ns_, network_.now_ns() + kTimeWaitNs);
    SendAck();  // The peer has not heard our acknowledgement.
    return true;
  }
  if ((orphan_ || receive_shutdown_) && state_ != TcpState::kEstablished && end > receive_next_) {
    SendReset();  // Nobody will ever read it.
    Die(ECONNRESET);
    return false;
  }
  if (end > advertised_end_) {
    // More than there was room for.
    const uint64_t excess = end - std::max(advertised_end_, packet.sequence);
    packet.size -= static_cast<uint32_t>(excess);
    fin = false;
    packet.flags &= static_cast<uint8_t>(~Packet::kFin);
    if (packet.size == 0 || packet.sequence + packet.size <= receive_next_) {
      SendAck();
      return true;
    }
  }
  if (packet.sequence > receive_next_) {
    QueueEarly(packet);
    SendAck();
    return true;
  }
  TakePayload(packet);
  const bool filled_gap = early_ != nullptr && TakeEarly();
  const uint64_t acknowledge_after = std::min<uint64_t>(2 * mss(), receive_capacity() / 2);
  const bool quick = quick_acks_ > 0 && !ping_pong_;
  if (fin_received_ || filled_gap || early_ != nullptr || quick ||
      unacknowledged_bytes_received_ >= acknowledge_after) {
    if (quick) --quick_acks_;
    SendAck();
  } else if (delayed_ack_at_ns_ == kNever) {
    Arm(delayed_ack_at_ns_, network_.now_ns() + kDelayedAckNs);
  }
  NotifyReceivable();
  return true;
}

// Takes what is new in `packet`, which begins at or before the next expected byte.
void TcpSocket::TakePayload(Packet& packet) {
  const uint64_t end = packet.sequence + packet.size;
  if (end > receive_next_) {
    BufferBlock* block = std::exchange(packet.payload, nullptr);
    const uint64_t known = receive_next_ - packet.sequence;
    block->end = block->begin + packet.size;
    block->begin += static_cast<uint32_t>(known);
    const uint32_t count = packet.size - static_cast<uint32_t>(known);
    received_.Push(Buffer(block));
    last_bytes_ns_ = network_.now_ns();
    receive_next_ += count;
    unacknowledged_bytes_received_ += count;
  }
  if (packet.has(Packet::kFin) && end == receive_next_) OnFin();
}

// Keeps a segment that has come before those in front of it.
void TcpSocket::QueueEarly(Packet& packet) {
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

// True when something was taken.
bool TcpSocket::TakeEarly() {
  bool took = false;
  while (early_ != nullptr && early_->sequence <= receive_next_ && !fin_received_) {
    Packet& packet = *early_;
    early_ = std::exchange(packet.next, nullptr);
    TakePayload(packet);
    network_.FreePacket(packet);
    took = true;
  }
  return took;
}

void TcpSocket::OnFin() {
  ++receive_next_;
  advertised_end_ = std::max(advertised_end_, receive_next_);
  fin_received_ = true;
  switch (state_) {
    case TcpState::kEstablished:
      state_ = TcpState::kCloseWait;
      break;
    case TcpState::kFinWait1:
      state_ = TcpState::kClosing;
      break;
    case TcpState::kFinWait2:
      EnterTimeWait();
      break;
    default:
      break;
  }
}

void TcpSocket::EnterTimeWait() {
  state_ = TcpState::kTimeWait;
  retransmit_at_ns_ = kNever;
  Arm(end_at_ns_, network_.now_ns() + kTimeWaitNs);
}

// --- What the program reads and writes ---

size_t TcpSocket::send_room() const {
  const size_t capacity = send_capacity();
  return send_bytes_ >= capacity ? 0 : capacity - send_bytes_;
}

int64_t TcpSocket::Write(absl::Span<const IoSlice> slices, size_t skip, size_t limit) {
  if (error_ != 0) return -std::exchange(error_, 0);
  if (send_shutdown_) return -EPIPE;
  if (state_ == TcpState::kSynSent || state_ == TcpState::kSynReceived) {
    sender_waits_ = true;
    return -EAGAIN;
  }
  if (!can_send_data()) return -EPIPE;
  const size_t room = send_room();
  if (room == 0) {
    sender_waits_ = true;
    return -EAGAIN;
  }
  size_t left = std::min(room, limit);
  size_t count = 0;
  uint64_t hash = 0;
  for (const IoSlice& slice : slices) {
    const size_t skipped = std::min(skip, slice.size);
    skip -= skipped;
    const size_t size = std::min(slice.size - skipped, left);
    if (size == 0) continue;
    hash = Rotate(hash) ^ HashBytes(slice.data + skipped, size);
    Append(slice.data + skipped, size);
    count += size;
    left -= size;
  }
  if (left == 0 && count == room) sender_waits_ = true;
  network_.trace_.Record(TraceKind::kSend, network_.now_ns(), stack_.index(), static_cast<uint64_t>(id_), count, hash);
  Output();
  return static_cast<int64_t>(count);
}

void TcpSocket::Append(const char* data, size_t size) {
  send_bytes_ += size;
  while (size > 0) {
    if (send_tail_ == nullptr || send_tail_->end == send_tail_->capacity) {
      const size_t wanted = std::min(send_tail_ == nullptr ? size : std::max(size, kGatherBlock), kMaxSendBlock);
      BufferBlock* block = network_.buffers_.Allocate(wanted);
      block->next = nullptr;
      (send_tail_ == nullptr ? send_head_ : send_tail_->next) = block;
      send_tail_ = block;
    }
    const size_t count = std::min<size_t>(size, send_tail_->capacity - send_tail_->end);
    std::memcpy(send_tail_->memory + send_tail_->end, data, count);
    send_tail_->end += static_cast<uint32_t>(count);
    data += count;
    size -= count;
  }
}

void TcpSocket::CopyUnacknowledged(uint64_t sequence, uint32_t size, char* target) const {
  size_t offset = sequence - unacknowledged_;
  const BufferBlock* block = send_head_;
  while (size > 0) {
    DCHECK(block != nullptr);
    const size_t bytes = block->end - block->begin;
    if (offset < bytes) {
      const size_t count = std::min<size_t>(size, bytes - offset);
      std::memcpy(target, block->memory + block->begin + offset, count);
      target += count;
      size -= static_cast<uint32_t>(count);
      offset = 0;
    } else {
      offset -= bytes;
    }
    block = block->next;
  }
}

void TcpSocket::DropAcknowledged(uint64_t count) {
  CHECK_LE(count, send_bytes_);
  send_bytes_ -= count;
  while (count > 0) {
    BufferBlock* block = send_head_;
    const size_t bytes = std::min<uint64_t>(count, block->end - block->begin);
    block->begin += static_cast<uint32_t>(bytes);
    count -= bytes;
    if (block->begin != block->end) break;
    send_head_ = block->next;
    if (send_head_ == nullptr) send_tail_ = nullptr;
    network_.buffers_.Release(block);
  }
}

Buffer TcpSocket::Take(size_t limit) {
  Buffer buffer = received_.Pop();
  if (buffer.size() > limit) {
    // The rest goes back to the front: by a copy of it, which only happens at the end of a byte budget or by a fault.
    Buffer part = network_.buffers_.Copy(buffer.view().substr(0, limit));
    buffer.RemovePrefix(limit);
    BufferQueue rest;
    rest.Push(std::move(buffer));
    while (!received_.empty()) rest.Push(received_.Pop());
    while (!rest.empty()) received_.Push(rest.Pop());
    buffer = std::move(part);
  }
  network_.trace_.Record(TraceKind::kReceive, network_.now_ns(), stack_.index(), static_cast<uint64_t>(id_),
                         buffer.size());
  MaybeSendWindowUpdate();
  return buffer;
}

int64_t TcpSocket::Read(absl::Span<char> target) {
  if (receive_bytes() == 0) {
    SourceEnd end = SourceEnd::kEndOfStream;
    int error = 0;
    if (!TakeEnd(&end, &error)) return -EAGAIN;
    return -int64_t{error};
  }
  size_t count = 0;
  while (count < target.size() && receive_bytes() > 0) {
    const Buffer buffer = Take(target.size() - count);
    std::memcpy(target.data() + count, buffer.data(), buffer.size());
    count += buffer.size();
  }
  return static_cast<int64_t>(count);
}

bool TcpSocket::TakeEnd(SourceEnd* end, int* error) {
  *error = 0;
  *end = SourceEnd::kEndOfStream;
  if (fin_received_) return true;
  if (error_ != 0) {
    *end = SourceEnd::kError;
    *error = std::exchange(error_, 0);
    return true;
  }
  if (receive_shutdown_) return true;
  if (state_ == TcpState::kClosed || state_ == TcpState::kListen) {
    *end = SourceEnd::kError;
    *error = ENOTCONN;
    return true;
  }
  return false;
}

void TcpSocket::UpdateAdvertised() {
  const size_t capacity = receive_capacity();
  const size_t free = capacity - std::min(capacity, received_.bytes());
  // Silly windows are not offered.
  if (free < std::min<size_t>(mss(), capacity / 2)) return;
  advertised_end_ = std::max(advertised_end_, receive_next_ + free);
}

void TcpSocket::MaybeSendWindowUpdate() {
  const bool receives =
      state_ == TcpState::kEstablished || state_ == TcpState::kFinWait1 || state_ == TcpState::kFinWait2;
  if (!receives) return;
  const size_t capacity = receive_capacity();
  const uint64_t left = advertised_end_ - receive_next_;
  if (left * 2 > capacity) return;
  const size_t free = capacity - std::min(capacity, received_.bytes());
  if (free < std::min<size_t>(mss(), capacity / 2) || free < 2 * left) return;
  SendAck();
}

// --- Sending ---

Packet& TcpSocket::MakePacket(uint8_t flags, uint64_t sequence) {
  Packet& packet = network_.NewPacket();
  packet.from = &stack_;
  packet.to = peer_stack_;
  packet.sender = this;
  packet.sender_generation = generation_;
  packet.receiver = peer_;
  packet.receiver_generation = peer_generation_;
  packet.source = local_;
  packet.destination = remote_;
  packet.sequence = sequence;
  packet.flags = flags;
  if ((flags & Packet::kAck) != 0) {
    UpdateAdvertised();
    packet.acknowledgement = receive_next_;
    packet.window = static_cast<uint32_t>(advertised_end_ - receive_next_);
    delayed_ack_at_ns_ = kNever;
    unacknowledged_bytes_received_ = 0;
  } else {
    packet.window = static_cast<uint32_t>(receive_capacity());
  }
  return packet;
}

void TcpSocket::Transmit(Packet& packet) { network_.Send(packet, &last_arrival_ns_); }

void TcpSocket::SendSyn() {
  Packet& packet = MakePacket(Packet::kSyn, initial_sequence_);
  ArmSynRetransmit();
  if (timeout_fault_ && peer_stack_ != nullptr) {
    network_.Drop(packet, DropReason::kConnectFault);
    return;
  }
  if (refuse_fault_) packet.flags |= Packet::kRefuseFault;
  Transmit(packet);
}

void TcpSocket::SendSynAck() {
  ArmSynRetransmit();
  Transmit(MakePacket(Packet::kSyn | Packet::kAck, initial_sequence_));
}

void TcpSocket::SendAck() { Transmit(MakePacket(Packet::kAck, next_)); }

void TcpSocket::SendReset() { Transmit(MakePacket(Packet::kReset | Packet::kAck, highest_sent_)); }

void TcpSocket::SendSegment(uint64_t sequence, uint32_t size, bool fin) {
  Packet& packet = MakePacket(fin ? Packet::kAck | Packet::kFin : Packet::kAck, sequence);
  packet.size = size;
  if (size > 0) {
    packet.payload = network_.buffers_.Allocate(size);
    packet.payload->end = size;
    CopyUnacknowledged(sequence, size, packet.payload->memory);
  }
  const uint64_t end = sequence + size + (fin ? 1 : 0);
  const int64_t now = network_.now_ns();
  if (sequence < highest_sent_) {
    ++network_.statistics_.retransmissions;
    network_.trace_.Record(TraceKind::kRetransmit, now, stack_.index(), static_cast<uint64_t>(id_), sequence,
                           static_cast<uint64_t>(tries_));
    timed_sequence_ = 0;  // Karn: an answer would not say to which of the two.
  } else {
    if (timed_sequence_ == 0) {
      timed_sequence_ = end;
      timed_since_ns_ = now;
    }
    if (!ping_pong_ && last_bytes_ns_ != 0 && now - last_bytes_ns_ < kDelayedAckNs) ping_pong_ = true;
  }
  highest_sent_ = std::max(highest_sent_, end);
  if (retransmit_at_ns_ == kNever || sequence == unacknowledged_) ArmRetransmit();
  Transmit(packet);
}

void TcpSocket::Output() {
  const bool sends =
      can_send_data() ||
      (fin_queued_ && (state_ == TcpState::kFinWait1 || state_ == TcpState::kClosing || state_ == TcpState::kLastAck));
  if (!sends) return;
  const uint64_t end = send_end();
  widest_window_ = std::max(widest_window_, window_end_ - unacknowledged_);
  const uint32_t full = full_segment();
  const uint64_t limit = std::min(window_end_, unacknowledged_ + congestion_window_);
  while (next_ < end && next_ < limit) {
    const uint64_t left = end - next_;
    const auto size = static_cast<uint32_t>(std::min<uint64_t>({left, limit - next_, full}));
    const bool in_flight = next_ > unacknowledged_;
    const bool last = size == left;
    if (size < full && in_flight) {
      if (!last) return;  // A window is nearly full: the rest of it is not worth a segment.
      // Nagle, as Minshall changed it: one segment that is not full may be on its way.
      if (!no_delay_ && !fin_queued_ && small_end_ > unacknowledged_) return;
    }
    const bool fin = last && fin_queued_;
    SendSegment(next_, size, fin);
    next_ += size + (fin ? 1 : 0);
    if (size < full) small_end_ = next_;
  }
  if (next_ == end && fin_queued_) {
    SendSegment(next_, 0, /*fin=*/true);
    ++next_;
  }
  // The peer has closed its window: ask now and then.
  if (next_ < end && next_ == unacknowledged_ && retransmit_at_ns_ == kNever) ArmRetransmit();
}

// Sends again the first segment that is not acknowledged.
void TcpSocket::Retransmit() {
  const auto size =
      static_cast<uint32_t>(std::min<uint64_t>({send_bytes_, highest_sent_ - unacknowledged_, full_segment()}));
  const bool fin = fin_queued_ && size == send_bytes_ && highest_sent_ > send_end();
  if (size == 0 && !fin) return;
  SendSegment(unacknowledged_, size, fin);
  next_ = std::max(next_, unacknowledged_ + size + (fin ? 1 : 0));
}

void TcpSocket::SendProbe() { Transmit(MakePacket(Packet::kAck | Packet::kProbe, unacknowledged_ - 1)); }

// --- Ending ---

int TcpSocket::Shutdown(ShutdownHow how) {
  const bool reads = how != ShutdownHow::kWrite;
  const bool writes = how != ShutdownHow::kRead;
  switch (state_) {
    case TcpState::kClosed:
    case TcpState::kSynReceived:
    case TcpState::kTimeWait:
      return -ENOTCONN;
    case TcpState::kListen:
      if (!reads) return 0;
      StopListening();
      if (stack_.observer_ != nullptr) stack_.observer_->OnAcceptable(id_);
      return 0;
    case TcpState::kSynSent:
      FailConnect(ECONNRESET);
      return 0;
    default:
      break;
  }
  if (reads && !receive_shutdown_) {
    receive_shutdown_ = true;
    NotifyReceivable();
  }
  if (writes && !send_shutdown_) {
    send_shutdown_ = true;
    QueueFin();
    if (sender_waits_) NotifySendable();
  }
  return 0;
}

void TcpSocket::QueueFin() {
  switch (state_) {
    case TcpState::kEstablished:
      state_ = TcpState::kFinWait1;
      break;
    case TcpState::kCloseWait:
      state_ = TcpState::kLastAck;
      break;
    default:
      return;
  }
  fin_queued_ = true;
  Output();
}

bool TcpSocket::CloseDescriptor(uint64_t linger_ticket) {
  const uint32_t generation = generation_;
  const int linger_seconds = linger_seconds_;
  Orphan();
  if (linger_ticket == 0 || linger_seconds <= 0 || generation_ != generation || !waits_for_fin()) return false;
  linger_ticket_ = linger_ticket;
  Arm(linger_end_at_ns_, network_.now_ns() + linger_seconds * kSecondNs);
  return true;
}

void TcpSocket::EndLinger() {
  linger_end_at_ns_ = kNever;
  const uint64_t ticket = std::exchange(linger_ticket_, 0);
  if (ticket != 0 && stack_.observer_ != nullptr) stack_.observer_->OnLingerEnd(ticket);
}

void TcpSocket::Orphan() {
  orphan_ = true;
  connecting_ = false;
  switch (state_) {
    case TcpState::kListen:
      StopListening();
      stack_.FreeSocket(*this);
      return;
    case TcpState::kClosed:
    case TcpState::kSynSent:
      stack_.FreeSocket(*this);
      return;
    case TcpState::kTimeWait:
      received_.Clear();
      return;
    case TcpState::kSynReceived:
      SendReset();
      Die(0);
      return;
    default:
      break;
  }
  // As Linux: what the program will never read, and a linger of zero, end the connection at once.
  if (!received_.empty() || linger_seconds_ == 0) {
    SendReset();
    Die(0);
    return;
  }
  send_shutdown_ = true;
  QueueFin();
  if (state_ == TcpState::kFinWait2) Arm(end_at_ns_, network_.now_ns() + kTimeWaitNs);
}

void TcpSocket::Die(int error) {
  network_.trace_.Record(TraceKind::kSocketError, network_.now_ns(), stack_.index(), static_cast<uint64_t>(id_),
                         static_cast<uint64_t>(error));
  if (listener_ != nullptr && !queued_) {
    std::erase(listener_->half_open_, this);
    orphan_ = true;
  }
  if (orphan_) {
    stack_.FreeSocket(*this);
    return;
  }
  stack_.RemoveConnection(*this);
  // A port that the program did not ask for by number is free again, though the program still has the socket.
  if (!chose_port_) stack_.RemoveFromPort(*this);
  DropAcknowledged(send_bytes_);
  state_ = TcpState::kClosed;
  error_ = error;
  send_shutdown_ = receive_shutdown_ = true;
  fin_queued_ = false;
  retransmit_at_ns_ = delayed_ack_at_ns_ = end_at_ns_ = keep_alive_at_ns_ = kNever;
  NotifyReceivable();
  NotifySendable();
}

void TcpSocket::FailConnect(int error) {
  network_.trace_.Record(TraceKind::kConnected, network_.now_ns(), stack_.index(), static_cast<uint64_t>(id_),
                         static_cast<uint64_t>(error));
  stack_.RemoveConnection(*this);
  if (!bound_explicitly_) stack_.RemoveFromPort(*this);
  local_ = bound_to_;
  state_ = TcpState::kClosed;
  connecting_ = false;
  refuse_fault_ = timeout_fault_ = false;
  retransmit_at_ns_ = delayed_ack_at_ns_ = end_at_ns_ = kNever;
  if (id_ == kNoSocket || stack_.observer_ == nullptr) return;
  stack_.observer_->OnConnected(id_, error);
  NotifyReceivable();
  NotifySendable();
}

void TcpSocket::StopListening() {
  stack_.RemoveListener(*this);
  if (!bound_explicitly_) {
    stack_.RemoveFromPort(*this);
    local_ = bound_to_;
  }
  state_ = TcpState::kClosed;
  for (TcpSocket* child : std::exchange(half_open_, {})) stack_.FreeSocket(*child);
  const std::vector<TcpSocket*> queue = std::exchange(accept_queue_, {});
  for (size_t i = std::exchange(accept_head_, 0); i < queue.size(); ++i) {
    if (queue[i]->state_ != TcpState::kClosed) queue[i]->SendReset();
    stack_.FreeSocket(*queue[i]);
  }
}

// --- Timers ---

void TcpSocket::Arm(int64_t& deadline, int64_t time_ns) {
  deadline = time_ns;
  LookAt(time_ns);
}

// The timer runs at `time_ns` or before.
void TcpSocket::LookAt(int64_t time_ns) {
  if (!scheduled()) {
    network_.events_.Schedule(*this, time_ns);
  } else if (this->time_ns() > time_ns) {
    network_.events_.Reschedule(*this, time_ns);
  }
}

void TcpSocket::ArmRetransmit() {
  int64_t timeout = std::min(retransmit_ns_ << std::min(tries_, 20), kRetransmitMaxNs);
  if (user_timeout_ms_ > 0) [[unlikely]] {
    if (probes_since_ns_ != 0) {
      timeout = ClampToUserTimeout(timeout, probes_since_ns_);
    } else if (tries_ > 0) {
      timeout = ClampToUserTimeout(timeout, retransmits_since_ns_);
    }
  }
  Arm(retransmit_at_ns_, network_.now_ns() + timeout);
}

void TcpSocket::ArmSynRetransmit() {
  int64_t timeout = kSynTimeoutNs << tries_;
  if (tries_ > 0) timeout = ClampToUserTimeout(timeout, retransmits_since_ns_);
  Arm(retransmit_at_ns_, network_.now_ns() + timeout);
}

bool TcpSocket::user_timeout_passed(int64_t since_ns) const {
  return user_timeout_ms_ > 0 && network_.now_ns() - since_ns >= user_timeout_ms_ * kMillisecondNs;
}

int64_t TcpSocket::ClampToUserTimeout(int64_t timeout, int64_t since_ns) const {
  if (user_timeout_ms_ == 0) return timeout;
  const int64_t left = since_ns + user_timeout_ms_ * kMillisecondNs - network_.now_ns();
  return std::min(timeout, std::max(left, kMillisecondNs));
}

void TcpSocket::OnTimer() {
  const int64_t now = network_.now_ns();
  if (end_at_ns_ <= now) {
    if (state_ == TcpState::kSynSent) {
      FailConnect(EHOSTUNREACH);
    } else {
      Die(0);
    }
    return;
  }
  if (delayed_ack_at_ns_ <= now) SendAck();
  if (retransmit_at_ns_ <= now && !OnRetransmitTimer()) return;
  if (keep_alive_at_ns_ <= now && !OnKeepAliveTimer()) return;
  // As Linux: what is not acknowledged by then is still sent.
  if (linger_end_at_ns_ <= now) EndLinger();
  const int64_t next =
      std::min({end_at_ns_, delayed_ack_at_ns_, retransmit_at_ns_, keep_alive_at_ns_, linger_end_at_ns_});
  if (next != kNever) LookAt(next);
}

// False when the connection has died.
bool TcpSocket::OnRetransmitTimer() {
  retransmit_at_ns_ = kNever;
  const bool too_long = tries_ > 0 && user_timeout_passed(retransmits_since_ns_);
  switch (state_) {
    case TcpState::kSynSent:
      if (tries_ >= kSynTries || too_long) {
        FailConnect(ETIMEDOUT);
        return false;
      }
      CountTry(kSynTimeoutNs);
      SendSyn();
      return true;
    case TcpState::kSynReceived:
      if (tries_ >= kSynAckTries || too_long) {
        if (connecting_) {
          FailConnect(ETIMEDOUT);
        } else {
          Die(ETIMEDOUT);
        }
        return false;
      }
      CountTry(kSynTimeoutNs);
      SendSynAck();
      return true;
    default:
      break;
  }
  const int limit = orphan_ ? kOrphanTries : kDataTries;
  if (highest_sent_ == unacknowledged_) {
    if (send_bytes_ == 0 && !fin_queued_) return true;
    // A closed window. The peer may keep it closed for ever, as long as it answers.
    if (probes_since_ns_ == 0) probes_since_ns_ = network_.now_ns();
    if (unanswered_probes_ >= limit || user_timeout_passed(probes_since_ns_)) {
      Die(ETIMEDOUT);
      return false;
    }
    ++unanswered_probes_;
    tries_ = std::min(tries_ + 1, kDataTries);
    ArmRetransmit();
    SendProbe();
    return true;
  }
  if (tries_ >= limit || too_long) {
    Die(ETIMEDOUT);
    return false;
  }
  CountTry(retransmit_ns_);
  OnCongestion();
  congestion_window_ = mss();
  fast_recovery_ = false;
  recovery_end_ = highest_sent_;
  next_ = unacknowledged_;
  small_end_ = unacknowledged_;
  timed_sequence_ = 0;
  Retransmit();
  return true;
}

void TcpSocket::CountTry(int64_t first_timeout_ns) {
  if (tries_ == 0) retransmits_since_ns_ = network_.now_ns() - first_timeout_ns;
  ++tries_;
}

// --- Keep-alive ---

bool TcpSocket::keeps_alive() const {
  if (!keep_alive_ || orphan_) return false;
  switch (state_) {
    case TcpState::kClosed:
    case TcpState::kListen:
    case TcpState::kSynSent:
    case TcpState::kSynReceived:
    case TcpState::kTimeWait:
      return false;
    default:
      return true;
  }
}

// Starts or stops the timer after the connection or an option has changed.
void TcpSocket::ArmKeepAlive() {
  keep_alive_at_ns_ = kNever;
  if (!keeps_alive()) return;
  const int64_t due = last_heard_ns_ + keep_alive_idle_seconds_ * kSecondNs;
  Arm(keep_alive_at_ns_, std::max(due, network_.now_ns()));
}

// False when the connection has died.
bool TcpSocket::OnKeepAliveTimer() {
  keep_alive_at_ns_ = kNever;
  if (!keeps_alive()) return true;
  const int64_t now = network_.now_ns();
  const int64_t idle_ns = keep_alive_idle_seconds_ * kSecondNs;
  // What is sent and not acknowledged asks the peer by itself.
  if (send_bytes_ > 0 || fin_queued_) {
    Arm(keep_alive_at_ns_, now + idle_ns);
    return true;
  }
  if (now - last_heard_ns_ < idle_ns) {
    Arm(keep_alive_at_ns_, last_heard_ns_ + idle_ns);
    return true;
  }
  const bool gives_up = user_timeout_ms_ > 0 ? unanswered_probes_ > 0 && user_timeout_passed(last_heard_ns_)
                                             : unanswered_probes_ >= keep_alive_count_;
  if (gives_up) {
    SendReset();
    Die(ETIMEDOUT);
    return false;
  }
  ++unanswered_probes_;
  Arm(keep_alive_at_ns_, now + keep_alive_interval_seconds_ * kSecondNs);
  SendProbe();
  return true;
}

// --- Options ---

int TcpSocket::SetOption(SocketOption option, int value) {
  switch (option) {
    case SocketOption::kKeepAlive:
      keep_alive_ = value != 0;
      ArmKeepAlive();
      return 0;
    case SocketOption::kKeepAliveIdle:
      return SetKeepAlive(&keep_alive_idle_seconds_, 32767, value);
    case SocketOption::kKeepAliveInterval:
      return SetKeepAlive(&keep_alive_interval_seconds_, 32767, value);
    case SocketOption::kKeepAliveCount:
      return SetKeepAlive(&keep_alive_count_, 127, value);
    case SocketOption::kUserTimeout:
      if (value < 0) return -EINVAL;
      user_timeout_ms_ = value;
      return 0;
    case SocketOption::kQuickAck:
      SetQuickAck(value != 0);
      return 0;
    case SocketOption::kTrafficClass:
      // IPv4 takes the low byte of anything. A stream's two ECN bits are the kernel's own.
      if (family_ == AddressFamily::kIpv6 && (value < -1 || value > 255)) return -EINVAL;
      traffic_class_ = family_ == AddressFamily::kIpv6 && value == -1 ? 0 : value & 0xfc;
      return 0;
    case SocketOption::kTimeToLive:
      if (value < -1 || value > 255 || (value == 0 && family_ == AddressFamily::kIpv4)) return -EINVAL;
      time_to_live_ = value;
      return 0;
    default:
      return -ENOPROTOOPT;
  }
}

int TcpSocket::GetOption(SocketOption option, int* value) const {
  switch (option) {
    case SocketOption::kKeepAlive:
      *value = keep_alive_;
      return 0;
    case SocketOption::kKeepAliveIdle:
      *value = keep_alive_idle_seconds_;
      return 0;
    case SocketOption::kKeepAliveInterval:
      *value = keep_alive_interval_seconds_;
      return 0;
    case SocketOption::kKeepAliveCount:
      *value = keep_alive_count_;
      return 0;
    case SocketOption::kUserTimeout:
      *value = user_timeout_ms_;
      return 0;
    case SocketOption::kQuickAck:
      *value = !ping_pong_;
      return 0;
    case SocketOption::kTrafficClass:
      *value = traffic_class_;
      return 0;
    case SocketOption::kTimeToLive:
      *value = time_to_live_ < 0 ? kDefaultTimeToLive : time_to_live_;
      return 0;
    default:
      return -ENOPROTOOPT;
  }
}

int TcpSocket::SetKeepAlive(int* setting, int maximum, int value) {
  if (value < 1 || value > maximum) return -EINVAL;
  *setting = value;
  // As Linux: a new interval and a new count show at the next probe.
  if (setting == &keep_alive_idle_seconds_) ArmKeepAlive();
  return 0;
}

// Sends the ACK that waits, and does not delay the next ones. It is over when the program answers.
void TcpSocket::SetQuickAck(bool on) {
  ping_pong_ = !on;
  quick_acks_ = on ? kQuickAcks : 0;
  if (on && delayed_ack_at_ns_ != kNever) SendAck();
}

void TcpSocket::MeasureRoundTrip(uint64_t acknowledgement) {
  if (timed_sequence_ == 0 || acknowledgement < timed_sequence_) return;
  timed_sequence_ = 0;
  const int64_t sample = network_.now_ns() - timed_since_ns_;
  if (smoothed_round_trip_ns_ == 0) {
    smoothed_round_trip_ns_ = sample;
    round_trip_variation_ns_ = sample / 2;
  } else {
    const int64_t error = sample - smoothed_round_trip_ns_;
    round_trip_variation_ns_ += ((error < 0 ? -error : error) - round_trip_variation_ns_) / 4;
    smoothed_round_trip_ns_ += error / 8;
  }
  retransmit_ns_ =
      std::min(smoothed_round_trip_ns_ + std::max(4 * round_trip_variation_ns_, kRetransmitMinNs), kRetransmitMaxNs);
}

void TcpSocket::OnCongestion() {
  const uint64_t in_flight = highest_sent_ - unacknowledged_;
  slow_start_threshold_ =
      static_cast<uint32_t>(std::clamp<uint64_t>(in_flight / 2, 2 * uint64_t{mss()}, kMaxCongestionWindow));
  acknowledged_in_window_ = 0;
}

void TcpSocket::GrowCongestionWindow(uint64_t acknowledged) {
  if (congestion_window_ >= kMaxCongestionWindow) return;
  const auto count = static_cast<uint32_t>(std::min<uint64_t>(acknowledged, congestion_window_));
  if (congestion_window_ < slow_start_threshold_) {
    congestion_window_ += count;
    return;
  }
  acknowledged_in_window_ += count;
  if (acknowledged_in_window_ < congestion_window_) return;
  acknowledged_in_window_ -= congestion_window_;
  congestion_window_ += mss();
}

// --- Telling the program ---

void TcpSocket::NotifyReceivable() {
  if (id_ != kNoSocket && stack_.observer_ != nullptr) stack_.observer_->OnReceivable(id_);
}

void TcpSocket::NotifySendable() {
  sender_waits_ = false;
  if (id_ != kNoSocket && stack_.observer_ != nullptr) stack_.observer_->OnSendable(id_);
}

}  // namespace tandem::sim
