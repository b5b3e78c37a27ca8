// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/tcp/tcp_socket.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/log/check.h"
#include "tandem/core/base/random.h"
#include "tandem/sim/network/ip.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::sim {
namespace {

constexpr int64_t kMillisecondNs = 1'000'000;
constexpr int64_t kSecondNs = 1'000'000'000;

constexpr uint64_t Rotate(uint64_t value) { return value << 7 | value >> 57; }

}  // namespace

TcpSocket::TcpSocket(TcpStack& owner, uint32_t generation)
    : owner_(owner),
      stack_(owner.host()),
      network_(stack_.network()),
      generation_(generation),
      options_(SocketType::kStream, AddressFamily::kNone),
      name_(*this, options_),
      sender_(network_.buffers()),
      receiver_(network_),
      timers_(network_.events(), *this) {}

// --- Starting ---

void TcpSocket::Open(AddressFamily family) {
  family_ = family;
  options_ = SocketOptions(SocketType::kStream, family);
  name_.local = name_.bound_to = AnyAddress(family, 0);
}

void TcpSocket::StartSequences() {
  loopback_ = peer_stack_ == &stack_;
  // Grows with time, so that a new connection between the same addresses starts beyond the old one.
  sender_.Start(static_cast<uint64_t>(now_ns()) + (MixBits(entity_.hash()) & 0xffff), mss());
  tries_ = 0;
  retransmits_since_ns_ = now_ns();
}

void TcpSocket::StartConnect() {
  ++generation_;  // What is still on its way to an earlier connect of this socket must not be taken for an answer.
  peer_ = nullptr;
  connecting_ = true;
  state_ = TcpState::kSynSent;
  StartSequences();
  if (peer_stack_ == nullptr) timers_.Arm(TcpTimers::kEnd, now_ns() + kUnreachableNs);
  SendSyn();
}

void TcpSocket::StartPassive(TcpSocket& listener, const Packet& syn) {
  family_ = listener.family_;
  options_ = listener.options_;
  ack_delay_.Inherit(listener.ack_delay_);
  name_.local = name_.bound_to = syn.destination;
  name_.remote = syn.source;
  listener_ = &listener;
  listener.accepts_.AddHalfOpen(*this);
  owner_.ports().Add(name_, /*bound_explicitly=*/false);
  CHECK(owner_.ports().AddConnection(name_));

  peer_stack_ = syn.from;
  entity_ = syn.flow.Part("accepted");
  state_ = TcpState::kSynReceived;
  StartSequences();
  peer_ = syn.sender;
  peer_generation_ = syn.sender_generation;
  receiver_.Start(syn.sequence + 1, receive_capacity());
  sender_.SetFirstWindow(syn.window);
  SendSynAck();
}

void TcpSocket::BecomeEstablished() {
  state_ = TcpState::kEstablished;
  was_connected_ = true;
  tries_ = 0;
  timers_.Disarm(TcpTimers::kRetransmit);
  last_heard_ns_ = now_ns();
  ArmKeepAlive();
  if (listener_ != nullptr) {
    listener_->accepts_.Complete(*this);
    queued_ = true;
    if (stack_.observer() != nullptr) stack_.observer()->OnAcceptable(listener_->id_);
    return;
  }
  stack_.Record(TraceKind::kConnected, id_);
  connecting_ = false;
  if (id_ != kNoSocket && stack_.observer() != nullptr) stack_.observer()->OnConnected(id_, 0);
  if (sender_waits_) NotifySendable();
}

TcpSocket& TcpSocket::TakeAccepted() {
  TcpSocket& socket = accepts_.Pop();
  socket.listener_ = nullptr;
  socket.queued_ = false;
  return socket;
}

// --- Receiving ---

void TcpSocket::OnSegment(Packet& packet) {
  switch (state_) {
    case TcpState::kClosed:
      owner_.AnswerByReset(packet);
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
    if (state_ != TcpState::kSynReceived || packet.sequence + 1 != receiver_.next()) {
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
  last_heard_ns_ = now_ns();
  if (packet.sequence > receiver_.window_end()) {
    SendAck();
    return;
  }
  if (!OnAcknowledgement(packet)) return;
  if (!OnPayload(packet)) return;
  Output();
}

void TcpSocket::OnSegmentListening(const Packet& packet) {
  if (!packet.opens()) {
    owner_.AnswerByReset(packet);
    return;
  }
  // As with tcp_abort_on_overflow = 0: silence, and the client tries again.
  if (!accepts_.closed_to_new()) owner_.StartPassive(*this, packet);
}

void TcpSocket::OnSegmentSynSent(const Packet& packet) {
  const bool acknowledges = packet.has(Packet::kAck);
  if (acknowledges && packet.acknowledgement != sender_.next()) {
    // The peer still has an earlier connection, which the reset ends: the next SYN need not wait.
    if (tries_ == 0) timers_.Arm(TcpTimers::kRetransmit, now_ns() + kShortestTimeoutNs);
    owner_.AnswerByReset(packet);
    return;
  }
  if (packet.has(Packet::kReset)) {
    if (acknowledges) FailConnect(ECONNREFUSED);
    return;
  }
  if (!packet.has(Packet::kSyn)) return;
  peer_ = packet.sender;
  peer_generation_ = packet.sender_generation;
  receiver_.Start(packet.sequence + 1, receive_capacity());
  if (!acknowledges) {  // Both ends opened at once.
    sender_.SetFirstWindow(packet.window);
    state_ = TcpState::kSynReceived;
    tries_ = 0;
    SendSynAck();
    return;
  }
  sender_.Establish(packet.window, now_ns());
  SendAck();
  BecomeEstablished();
}

void TcpSocket::OnReset(const Packet& packet) {
  if (packet.sequence != receiver_.next()) {
    // RFC 5961: one that is only near may be forged or old. The answer brings an exact one when it was real.
    if (packet.sequence > receiver_.next() && packet.sequence <= receiver_.window_end()) SendAck();
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
        FailConnect(ECONNRESET);
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
  if (packet.acknowledgement != sender_.first() + 1) {
    owner_.AnswerByReset(packet);
    return false;
  }
  // The client believes that it is connected; it will hear our SYN-ACK again.
  if (listener_ != nullptr && listener_->accepts_.full()) return false;
  sender_.Establish(packet.window, now_ns());
  BecomeEstablished();
  return true;
}

bool TcpSocket::OnAcknowledgement(const Packet& packet) {
  const uint64_t acknowledgement = packet.acknowledgement;
  if (acknowledgement > sender_.sent()) {
    SendAck();
    return false;
  }
  if (acknowledgement < sender_.unacknowledged()) return true;
  const bool window_moved = sender_.OnWindow(acknowledgement + packet.window);
  if (window_moved) {
    // A closed window has opened: the back-off of its probes, which were answered, does not count against what is sent
    // now. (Where something is in flight, no probes were sent.)
    if (!sender_.in_flight()) tries_ = 0;
    probes_since_ns_.reset();
  }
  unanswered_probes_ = 0;
  if (acknowledgement > sender_.unacknowledged()) return OnNewAcknowledgement(packet);
  const bool pure = packet.size == 0 && !packet.has(Packet::kFin) && !packet.has(Packet::kSyn);
  if (pure && !window_moved && sender_.OnDuplicate()) Retransmit();
  return true;
}

bool TcpSocket::OnNewAcknowledgement(const Packet& packet) {
  const TcpSender::Acknowledged result = sender_.OnAcknowledged(packet.acknowledgement, now_ns());
  tries_ = 0;
  if (result.send_again) Retransmit();
  if (sender_.next() == sender_.unacknowledged()) {
    timers_.Disarm(TcpTimers::kRetransmit);
  } else {
    ArmRetransmit();
  }
  if (sender_waits_ && send_room() >= send_capacity() / 3) NotifySendable();
  return result.fin ? OnFinAcknowledged() : true;
}

bool TcpSocket::OnFinAcknowledged() {
  timers_.Disarm(TcpTimers::kRetransmit);
  EndLinger();
  switch (state_) {
    case TcpState::kFinWait1:
      state_ = TcpState::kFinWait2;
      if (orphan_) timers_.Arm(TcpTimers::kEnd, now_ns() + kTimeWaitNs);
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

bool TcpSocket::OnPayload(Packet& packet) {
  const bool fin = packet.has(Packet::kFin);
  if (packet.size == 0 && !fin) {
    if (packet.has(Packet::kProbe) || packet.has(Packet::kSyn)) SendAck();
    return true;
  }
  const uint64_t end = packet.sequence + packet.size;
  if (!can_receive_data() || end + (fin ? 1 : 0) <= receiver_.next()) {
    if (state_ == TcpState::kTimeWait) timers_.Arm(TcpTimers::kEnd, now_ns() + kTimeWaitNs);
    SendAck();  // The peer has not heard our acknowledgement.
    return true;
  }
  if ((orphan_ || receive_shutdown_) && state_ != TcpState::kEstablished && end > receiver_.next()) {
    Abort();  // Nobody will ever read it.
    return false;
  }
  if (!receiver_.Trim(packet)) {
    SendAck();
    return true;
  }
  if (packet.sequence > receiver_.next()) {
    receiver_.Keep(packet);
    SendAck();
    return true;
  }
  const TcpReceiver::Taken taken = receiver_.Take(packet);
  ack_delay_.OnReceived(taken.bytes, now_ns());
  if (taken.end) OnFin();
  const uint64_t acknowledge_after = std::min<uint64_t>(2 * mss(), receive_capacity() / 2);
  const bool quick = ack_delay_.TakeQuick();
  if (quick || receiver_.ended() || taken.filled_gap || receiver_.has_gap() ||
      ack_delay_.bytes() >= acknowledge_after) {
    SendAck();
  } else if (!timers_.armed(TcpTimers::kDelayedAck)) {
    timers_.Arm(TcpTimers::kDelayedAck, now_ns() + kDelayedAckNs);
  }
  NotifyReceivable();
  return true;
}

void TcpSocket::OnFin() {
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
  timers_.Disarm(TcpTimers::kRetransmit);
  timers_.Arm(TcpTimers::kEnd, now_ns() + kTimeWaitNs);
}

// As tcp_twsk_unique() with net.ipv4.tcp_tw_reuse = 2.
bool TcpSocket::MakesWay(bool port_is_bound) const {
  if (port_is_bound) return state_ == TcpState::kTimeWait || (orphan_ && state_ == TcpState::kFinWait2);
  const bool loopback = name_.local.is_loopback() || name_.remote.is_loopback();
  return state_ == TcpState::kTimeWait && loopback && now_ns() - last_heard_ns_ > kTimeWaitReuseNs;
}

// --- What the program reads and writes ---

size_t TcpSocket::send_room() const {
  const size_t capacity = send_capacity();
  return sender_.buffered() >= capacity ? 0 : capacity - sender_.buffered();
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
    sender_.Append(slice.data + skipped, size);
    count += size;
    left -= size;
  }
  if (left == 0 && count == room) sender_waits_ = true;
  stack_.Record(TraceKind::kSend, id_, count, hash);
  Output();
  return static_cast<int64_t>(count);
}

Buffer TcpSocket::Take(size_t limit) {
  Buffer buffer = receiver_.Pop(limit);
  stack_.RecordBytes(buffer.view(), TraceKind::kReceive, id_, buffer.size());
  if (can_receive_data() && receiver_.IsUpdateDue(receive_capacity(), mss())) SendAck();
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
  if (receiver_.ended()) return true;
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

// --- Sending ---

Packet& TcpSocket::MakePacket(uint8_t flags, uint64_t sequence) {
  Packet& packet = network_.NewPacket();
  packet.from = &stack_;
  packet.to = peer_stack_;
  packet.flow = entity_;
  packet.flow_ordinal = packets_sent_++;
  packet.sender = this;
  packet.sender_generation = generation_;
  packet.receiver = peer_;
  packet.receiver_generation = peer_generation_;
  packet.source = name_.local;
  packet.destination = name_.remote;
  packet.sequence = sequence;
  packet.flags = flags;
  if ((flags & Packet::kAck) != 0) {
    packet.window = receiver_.OfferWindow(receive_capacity(), mss());
    packet.acknowledgement = receiver_.next();
    timers_.Disarm(TcpTimers::kDelayedAck);
    ack_delay_.OnAcknowledged();
  } else {
    packet.window = static_cast<uint32_t>(receive_capacity());
  }
  return packet;
}

void TcpSocket::Transmit(Packet& packet) { network_.Send(packet, &last_arrival_ns_); }

void TcpSocket::SendSyn() {
  Packet& packet = MakePacket(Packet::kSyn, sender_.first());
  sender_.OnSynSent(now_ns());
  ArmSynRetransmit();
  if (timeout_fault_ && peer_stack_ != nullptr) {
    network_.Drop(packet, DropReason::kConnectFault);
    return;
  }
  if (refuse_fault_) packet.flags |= Packet::kRefuseFault;
  Transmit(packet);
}

void TcpSocket::SendSynAck() {
  sender_.OnSynSent(now_ns());
  ArmSynRetransmit();
  Transmit(MakePacket(Packet::kSyn | Packet::kAck, sender_.first()));
}

void TcpSocket::SendAck() { Transmit(MakePacket(Packet::kAck, sender_.next())); }

void TcpSocket::SendReset() { Transmit(MakePacket(Packet::kReset | Packet::kAck, sender_.sent())); }

void TcpSocket::SendProbe() { Transmit(MakePacket(Packet::kAck | Packet::kProbe, sender_.unacknowledged() - 1)); }

void TcpSocket::SendSegment(const TcpSender::Segment& segment) {
  Packet& packet = MakePacket(segment.fin ? Packet::kAck | Packet::kFin : Packet::kAck, segment.sequence);
  packet.size = segment.size;
  if (segment.size > 0) {
    packet.payload = network_.buffers().Allocate(segment.size);
    packet.payload->end = segment.size;
    sender_.Copy(segment, packet.payload->memory);
  }
  if (segment.again) {
    network_.CountRetransmission();
    stack_.Record(TraceKind::kRetransmit, id_, segment.sequence, tries_);
  } else {
    ack_delay_.OnSent(now_ns());
  }
  if (!timers_.armed(TcpTimers::kRetransmit) || segment.sequence == sender_.unacknowledged()) ArmRetransmit();
  Transmit(packet);
}

void TcpSocket::Output() {
  if (!can_send_data() && !(sender_.fin_queued() && waits_for_fin())) return;
  const bool no_delay = options_.has(SocketOption::kNoDelay);
  while (const std::optional<TcpSender::Segment> segment = sender_.TakeNext(no_delay, now_ns())) SendSegment(*segment);
  // The peer has closed its window: ask now and then.
  if (sender_.blocked() && !timers_.armed(TcpTimers::kRetransmit)) ArmRetransmit();
}

void TcpSocket::Retransmit() {
  if (const std::optional<TcpSender::Segment> segment = sender_.TakeFirst(now_ns())) SendSegment(*segment);
}

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
      if (stack_.observer() != nullptr) stack_.observer()->OnAcceptable(id_);
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
  sender_.QueueFin();
  Output();
}

bool TcpSocket::Close(uint64_t linger_ticket) {
  id_ = kNoSocket;
  const uint32_t generation = generation_;
  const int linger_seconds = options_[SocketOption::kLinger];
  Orphan();
  if (linger_ticket == 0 || linger_seconds <= 0 || generation_ != generation || !waits_for_fin()) return false;
  linger_ticket_ = linger_ticket;
  timers_.Arm(TcpTimers::kLinger, now_ns() + linger_seconds * kSecondNs);
  return true;
}

void TcpSocket::EndLinger() {
  timers_.Disarm(TcpTimers::kLinger);
  const uint64_t ticket = std::exchange(linger_ticket_, 0);
  if (ticket != 0 && stack_.observer() != nullptr) stack_.observer()->OnLingerEnd(ticket);
}

void TcpSocket::Orphan() {
  orphan_ = true;
  connecting_ = false;
  switch (state_) {
    case TcpState::kListen:
      StopListening();
      owner_.Free(*this);
      return;
    case TcpState::kClosed:
    case TcpState::kSynSent:
      owner_.Free(*this);
      return;
    case TcpState::kTimeWait:
      receiver_.Clear();
      return;
    case TcpState::kSynReceived:
      SendReset();
      Die(0);
      return;
    default:
      break;
  }
  // As Linux: what the program will never read, and a linger of zero, end the connection at once.
  if (!receiver_.empty() || options_[SocketOption::kLinger] == 0) {
    SendReset();
    Die(0);
    return;
  }
  send_shutdown_ = true;
  QueueFin();
  if (state_ == TcpState::kFinWait2) timers_.Arm(TcpTimers::kEnd, now_ns() + kTimeWaitNs);
}

void TcpSocket::Abort() {
  SendReset();
  Die(ECONNRESET);
}

void TcpSocket::Die(int error) {
  stack_.Record(TraceKind::kSocketError, id_, error);
  if (listener_ != nullptr && !queued_) {
    listener_->accepts_.RemoveHalfOpen(*this);
    orphan_ = true;
  }
  if (orphan_) {
    owner_.Free(*this);
    return;
  }
  owner_.ports().RemoveConnection(name_);
  // A port that the program did not ask for by number is free again, though the program still has the socket.
  if (!name_.chose_port) owner_.ports().Remove(name_);
  sender_.DropAll();
  state_ = TcpState::kClosed;
  error_ = error;
  send_shutdown_ = receive_shutdown_ = true;
  timers_.DisarmAll();
  NotifyReceivable();
  NotifySendable();
}

void TcpSocket::FailConnect(int error) {
  stack_.Record(TraceKind::kConnected, id_, error);
  owner_.ports().RemoveConnection(name_);
  if (!name_.bound_explicitly) owner_.ports().Remove(name_);
  name_.local = name_.bound_to;
  state_ = TcpState::kClosed;
  connecting_ = false;
  refuse_fault_ = timeout_fault_ = false;
  timers_.DisarmAll();
  if (id_ == kNoSocket || stack_.observer() == nullptr) return;
  stack_.observer()->OnConnected(id_, error);
  NotifyReceivable();
  NotifySendable();
}

void TcpSocket::StopListening() {
  owner_.ports().RemoveListener(name_);
  if (!name_.bound_explicitly) {
    owner_.ports().Remove(name_);
    name_.local = name_.bound_to;
  }
  state_ = TcpState::kClosed;
  for (TcpSocket* child : accepts_.TakeHalfOpen()) owner_.Free(*child);
  while (!accepts_.empty()) {
    TcpSocket& child = accepts_.Pop();
    if (child.state_ != TcpState::kClosed) child.SendReset();
    owner_.Free(child);
  }
}

// --- Timers ---

void TcpSocket::ArmRetransmit() {
  int64_t timeout = std::min(sender_.timeout_ns() << std::min(tries_, 20), kRetransmitMaxNs);
  if (options_.has(SocketOption::kUserTimeout)) [[unlikely]] {
    if (probes_since_ns_.has_value()) {
      timeout = ClampToUserTimeout(timeout, *probes_since_ns_);
    } else if (tries_ > 0) {
      timeout = ClampToUserTimeout(timeout, retransmits_since_ns_);
    }
  }
  timers_.Arm(TcpTimers::kRetransmit, now_ns() + timeout);
}

void TcpSocket::ArmSynRetransmit() {
  int64_t timeout = kSynTimeoutNs << tries_;
  if (tries_ > 0) timeout = ClampToUserTimeout(timeout, retransmits_since_ns_);
  timers_.Arm(TcpTimers::kRetransmit, now_ns() + timeout);
}

bool TcpSocket::user_timeout_passed(int64_t since_ns) const {
  const int user_timeout_ms = options_[SocketOption::kUserTimeout];
  return user_timeout_ms > 0 && now_ns() - since_ns >= user_timeout_ms * kMillisecondNs;
}

int64_t TcpSocket::ClampToUserTimeout(int64_t timeout, int64_t since_ns) const {
  const int user_timeout_ms = options_[SocketOption::kUserTimeout];
  if (user_timeout_ms == 0) return timeout;
  const int64_t left = since_ns + user_timeout_ms * kMillisecondNs - now_ns();
  return std::min(timeout, std::max(left, kMillisecondNs));
}

void TcpSocket::OnTimer() {
  if (timers_.due(TcpTimers::kEnd)) {
    if (state_ == TcpState::kSynSent) {
      FailConnect(EHOSTUNREACH);
    } else {
      Die(0);
    }
    return;
  }
  if (timers_.due(TcpTimers::kDelayedAck)) SendAck();
  if (timers_.due(TcpTimers::kRetransmit) && !OnRetransmitTimer()) return;
  if (timers_.due(TcpTimers::kKeepAlive) && !OnKeepAliveTimer()) return;
  // As Linux: what is not acknowledged by then is still sent.
  if (timers_.due(TcpTimers::kLinger)) EndLinger();
  timers_.LookAgain();
}

// False when the connection has died.
bool TcpSocket::OnRetransmitTimer() {
  timers_.Disarm(TcpTimers::kRetransmit);
  if (state_ == TcpState::kSynSent || state_ == TcpState::kSynReceived) return OnHandshakeTimer();
  if (!sender_.in_flight()) return OnProbeTimer();
  if (tries_ >= (orphan_ ? kOrphanTries : kDataTries) || (tries_ > 0 && user_timeout_passed(retransmits_since_ns_))) {
    Die(ETIMEDOUT);
    return false;
  }
  if (tries_++ == 0) retransmits_since_ns_ = now_ns() - sender_.timeout_ns();
  sender_.OnTimeout();
  Retransmit();
  return true;
}

bool TcpSocket::OnHandshakeTimer() {
  const bool active = state_ == TcpState::kSynSent;
  const bool too_long = tries_ > 0 && user_timeout_passed(retransmits_since_ns_);
  if (tries_ >= (active ? kSynTries : kSynAckTries) || too_long) {
    if (connecting_) {
      FailConnect(ETIMEDOUT);
    } else {
      Die(ETIMEDOUT);
    }
    return false;
  }
  ++tries_;
  if (active) {
    SendSyn();
  } else {
    SendSynAck();
  }
  return true;
}

// The window is closed. The peer may keep it closed for ever, as long as it answers.
bool TcpSocket::OnProbeTimer() {
  if (!sender_.has_unacknowledged()) return true;
  if (!probes_since_ns_.has_value()) probes_since_ns_ = now_ns();
  if (unanswered_probes_ >= (orphan_ ? kOrphanTries : kDataTries) || user_timeout_passed(*probes_since_ns_)) {
    Die(ETIMEDOUT);
    return false;
  }
  ++unanswered_probes_;
  tries_ = std::min(tries_ + 1, kDataTries);
  ArmRetransmit();
  SendProbe();
  return true;
}

// --- Keep-alive ---

bool TcpSocket::keeps_alive() const {
  if (!options_.has(SocketOption::kKeepAlive) || orphan_) return false;
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
  timers_.Disarm(TcpTimers::kKeepAlive);
  if (!keeps_alive()) return;
  const int64_t due = last_heard_ns_ + options_[SocketOption::kKeepAliveIdle] * kSecondNs;
  timers_.Arm(TcpTimers::kKeepAlive, std::max(due, now_ns()));
}

// False when the connection has died.
bool TcpSocket::OnKeepAliveTimer() {
  timers_.Disarm(TcpTimers::kKeepAlive);
  if (!keeps_alive()) return true;
  const int64_t idle_ns = options_[SocketOption::kKeepAliveIdle] * kSecondNs;
  // What is sent and not acknowledged asks the peer by itself.
  if (sender_.has_unacknowledged()) {
    timers_.Arm(TcpTimers::kKeepAlive, now_ns() + idle_ns);
    return true;
  }
  if (now_ns() - last_heard_ns_ < idle_ns) {
    timers_.Arm(TcpTimers::kKeepAlive, last_heard_ns_ + idle_ns);
    return true;
  }
  const bool gives_up = options_.has(SocketOption::kUserTimeout)
                            ? unanswered_probes_ > 0 && user_timeout_passed(last_heard_ns_)
                            : unanswered_probes_ >= options_[SocketOption::kKeepAliveCount];
  if (gives_up) {
    SendReset();
    Die(ETIMEDOUT);
    return false;
  }
  ++unanswered_probes_;
  timers_.Arm(TcpTimers::kKeepAlive, now_ns() + options_[SocketOption::kKeepAliveInterval] * kSecondNs);
  SendProbe();
  return true;
}

// --- Options and addresses ---

int TcpSocket::SetOption(SocketOption option, int value) {
  if (option == SocketOption::kIpv6Only && family_ == AddressFamily::kIpv6 && name_.bound) return -EINVAL;
  if (const int error = options_.Set(option, value); error != 0) return error;
  switch (option) {
    case SocketOption::kNoDelay:
      if (options_.has(option)) Output();
      break;
    case SocketOption::kKeepAlive:
    case SocketOption::kKeepAliveIdle:
      ArmKeepAlive();  // As Linux: a new interval and a new count show at the next probe.
      break;
    case SocketOption::kQuickAck:
      // Sends the ACK that waits, and does not delay the next ones. It is over when the program answers.
      ack_delay_.SetQuick(options_.has(option));
      if (ack_delay_.quick() && timers_.armed(TcpTimers::kDelayedAck)) SendAck();
      break;
    default:
      break;
  }
  return 0;
}

int TcpSocket::GetOption(SocketOption option, int* value) {
  switch (option) {
    case SocketOption::kError:
      *value = std::exchange(error_, 0);
      return 0;
    case SocketOption::kQuickAck:
      *value = ack_delay_.quick();
      return 0;
    default:
      return options_.Get(option, value);
  }
}

SocketAddress TcpSocket::LocalAddress() const { return ToFamily(name_.local, family_); }

int TcpSocket::PeerAddress(SocketAddress* address) const {
  switch (state_) {
    case TcpState::kClosed:
    case TcpState::kListen:
    case TcpState::kSynSent:
    case TcpState::kTimeWait:
      return -ENOTCONN;
    default:
      *address = ToFamily(name_.remote, family_);
      return 0;
  }
}

// --- Telling the program ---

void TcpSocket::NotifyReceivable() {
  if (id_ != kNoSocket && stack_.observer() != nullptr) stack_.observer()->OnReceivable(id_);
}

void TcpSocket::NotifySendable() {
  sender_waits_ = false;
  if (id_ != kNoSocket && stack_.observer() != nullptr) stack_.observer()->OnSendable(id_);
}

}  // namespace tandem::sim
