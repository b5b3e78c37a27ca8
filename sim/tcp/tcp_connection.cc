// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/tcp/tcp_connection.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "tandem/core/base/random.h"
#include "tandem/sim/tcp/tcp_socket.h"
#include "tandem/sim/tcp/tcp_stack.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::sim {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

}  // namespace

TcpConnection::TcpConnection(TcpStack& owner, TcpSocket& socket, const SocketOptions& options)
    : owner_(owner),
      socket_(socket),
      network_(owner.host().network()),
      options_(options),
      flow_(socket, owner.host()),
      sender_(network_.buffers()),
      receiver_(network_),
      retries_(options),
      timers_(network_.events(), *this) {}

TcpConnection::~TcpConnection() { network_.events().Cancel(*this); }

// --- Beginning and end ---

void TcpConnection::StartSequences() {
  // Grows with time, so that a new connection between the same addresses starts beyond the old one.
  sender_.Start(static_cast<uint64_t>(now_ns()) + (MixBits(socket_.entity().hash()) & 0xffff), mss());
  retries_.Start(now_ns());
}

void TcpConnection::StartConnect(NetworkHost* peer, ConnectFault fault) {
  fault_ = fault;
  flow_.Start(peer);
  state_ = TcpState::kSynSent;
  StartSequences();
  if (!flow_.has_route()) timers_.Arm(TcpTimers::kEnd, now_ns() + kUnreachableNs);
  SendSyn();
}

void TcpConnection::StartPassive(const TcpConnection& listener, const Packet& syn) {
  ack_delay_.Inherit(listener.ack_delay_);
  flow_.Start(syn.from);
  state_ = TcpState::kSynReceived;
  StartSequences();
  flow_.Learn(syn);
  receiver_.Start(syn.sequence + 1, receive_capacity());
  sender_.SetFirstWindow(syn.window);
  SendSynAck();
}

void TcpConnection::BecomeEstablished() {
  state_ = TcpState::kEstablished;
  retries_.OnProgress();
  timers_.Disarm(TcpTimers::kRetransmit);
  last_heard_ns_ = now_ns();
  ArmKeepAlive();
  socket_.OnEstablished();
}

void TcpConnection::QueueFin() {
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

void TcpConnection::OnOrphaned() {
  if (state_ == TcpState::kFinWait2) timers_.Arm(TcpTimers::kEnd, now_ns() + kTimeWaitNs);
}

void TcpConnection::Close() {
  state_ = TcpState::kClosed;
  fault_ = ConnectFault::kNone;
  sender_.DropAll();
  timers_.DisarmAll();
}

// --- Receiving ---

void TcpConnection::OnSegment(Packet& packet) {
  if (state_ == TcpState::kClosed) [[unlikely]] {
    owner_.AnswerByReset(packet);
    return;
  }
  if (state_ == TcpState::kSynSent) [[unlikely]] {
    OnSegmentSynSent(packet);
    return;
  }
  if (packet.has(Packet::kReset)) [[unlikely]] {
    OnReset(packet);
    return;
  }
  flow_.Learn(packet);
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

void TcpConnection::OnSegmentSynSent(const Packet& packet) {
  const bool acknowledges = packet.has(Packet::kAck);
  if (acknowledges && packet.acknowledgement != sender_.next()) {
    // The peer still has an earlier connection, which the reset ends: the next SYN need not wait.
    if (retries_.tries() == 0) timers_.Arm(TcpTimers::kRetransmit, now_ns() + kShortestTimeoutNs);
    owner_.AnswerByReset(packet);
    return;
  }
  if (packet.has(Packet::kReset)) {
    if (acknowledges) socket_.FailConnect(ECONNREFUSED);
    return;
  }
  if (!packet.has(Packet::kSyn)) return;
  flow_.Learn(packet);
  receiver_.Start(packet.sequence + 1, receive_capacity());
  if (!acknowledges) {  // Both ends opened at once.
    sender_.SetFirstWindow(packet.window);
    state_ = TcpState::kSynReceived;
    retries_.OnProgress();
    SendSynAck();
    return;
  }
  sender_.Establish(packet.window, now_ns());
  SendAck();
  BecomeEstablished();
}

void TcpConnection::OnReset(const Packet& packet) {
  if (packet.sequence != receiver_.next()) {
    // RFC 5961: one that is only near may be forged or old. The answer brings an exact one when it was real.
    if (packet.sequence > receiver_.next() && packet.sequence <= receiver_.window_end()) SendAck();
    return;
  }
  switch (state_) {
    case TcpState::kCloseWait:
      socket_.Die(EPIPE);
      return;
    case TcpState::kTimeWait:
      socket_.Die(0);
      return;
    case TcpState::kSynReceived:
      if (socket_.connecting()) {
        socket_.FailConnect(ECONNRESET);
        return;
      }
      socket_.Die(0);
      return;
    default:
      socket_.Die(ECONNRESET);
      return;
  }
}

// The acknowledgement that ends the handshake of the passive side. False: `packet` is to be ignored.
bool TcpConnection::OnSynReceived(const Packet& packet) {
  if (packet.acknowledgement != sender_.first() + 1) {
    owner_.AnswerByReset(packet);
    return false;
  }
  // The client believes that it is connected; it will hear our SYN-ACK again.
  if (socket_.parent() != nullptr && socket_.parent()->full()) return false;
  sender_.Establish(packet.window, now_ns());
  BecomeEstablished();
  return true;
}

bool TcpConnection::OnAcknowledgement(const Packet& packet) {
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
    if (!sender_.in_flight()) retries_.OnProgress();
    retries_.OnWindow();
  }
  retries_.OnAnswer();
  if (acknowledgement > sender_.unacknowledged()) return OnNewAcknowledgement(packet);
  const bool pure = packet.size == 0 && !packet.has(Packet::kFin) && !packet.has(Packet::kSyn);
  if (pure && !window_moved && sender_.OnDuplicate()) Retransmit();
  return true;
}

bool TcpConnection::OnNewAcknowledgement(const Packet& packet) {
  const TcpSender::Acknowledged result = sender_.OnAcknowledged(packet.acknowledgement, now_ns());
  retries_.OnProgress();
  if (result.send_again) Retransmit();
  if (sender_.next() == sender_.unacknowledged()) {
    timers_.Disarm(TcpTimers::kRetransmit);
  } else {
    ArmRetransmit();
  }
  socket_.OnRoom(send_room(), send_capacity());
  return result.fin ? OnFinAcknowledged() : true;
}

bool TcpConnection::OnFinAcknowledged() {
  timers_.Disarm(TcpTimers::kRetransmit);
  socket_.EndLinger();
  switch (state_) {
    case TcpState::kFinWait1:
      state_ = TcpState::kFinWait2;
      if (socket_.orphan()) timers_.Arm(TcpTimers::kEnd, now_ns() + kTimeWaitNs);
      return true;
    case TcpState::kClosing:
      EnterTimeWait();
      return true;
    case TcpState::kLastAck:
      socket_.Die(0);
      return false;
    default:
      return true;
  }
}

bool TcpConnection::OnPayload(Packet& packet) {
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
  const bool unread = socket_.orphan() || socket_.receive_shutdown();
  if (unread && state_ != TcpState::kEstablished && end > receiver_.next()) {
    socket_.Abort();  // Nobody will ever read it.
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
  socket_.NotifyReceivable();
  return true;
}

void TcpConnection::OnFin() {
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

void TcpConnection::EnterTimeWait() {
  state_ = TcpState::kTimeWait;
  timers_.Disarm(TcpTimers::kRetransmit);
  timers_.Arm(TcpTimers::kEnd, now_ns() + kTimeWaitNs);
}

void TcpConnection::OnRead() {
  const bool stalled = owner_.host().faults().stalled_window;
  if (can_receive_data() && !stalled && receiver_.IsUpdateDue(receive_capacity(), mss())) SendAck();
}

// --- Sending ---

size_t TcpConnection::send_room() const {
  const size_t capacity = send_capacity();
  return sender_.buffered() >= capacity ? 0 : capacity - sender_.buffered();
}

uint32_t TcpConnection::OfferWindow() {
  const StackFaults& faults = owner_.host().faults();
  if (!faults.stalled_window) [[likely]]
    return receiver_.OfferWindow(receive_capacity(), mss());
  if (receiver_.CanOfferMore(receive_capacity(), mss())) StackFaults::CountHit(faults.hits.stalled_window);
  return receiver_.OfferNoMore();
}

Packet& TcpConnection::MakePacket(uint8_t flags, uint64_t sequence) {
  Packet& packet = flow_.New(flags, sequence);
  if ((flags & Packet::kAck) != 0) {
    packet.window = OfferWindow();
    packet.acknowledgement = receiver_.next();
    timers_.Disarm(TcpTimers::kDelayedAck);
    ack_delay_.OnAcknowledged();
  } else {
    packet.window = static_cast<uint32_t>(receive_capacity());
  }
  return packet;
}

void TcpConnection::SendSyn() {
  Packet& packet = MakePacket(Packet::kSyn, sender_.first());
  sender_.OnSynSent(now_ns());
  ArmSynRetransmit();
  if (fault_ == ConnectFault::kTimedOut && flow_.has_route()) {
    network_.Drop(packet, DropReason::kConnectFault);
    return;
  }
  if (fault_ == ConnectFault::kRefused) packet.flags |= Packet::kRefuseFault;
  flow_.Send(packet);
}

void TcpConnection::SendSynAck() {
  sender_.OnSynSent(now_ns());
  ArmSynRetransmit();
  flow_.Send(MakePacket(Packet::kSyn | Packet::kAck, sender_.first()));
}

void TcpConnection::SendAck() { flow_.Send(MakePacket(Packet::kAck, sender_.next())); }

void TcpConnection::SendReset() { flow_.Send(MakePacket(Packet::kReset | Packet::kAck, sender_.sent())); }

void TcpConnection::SendProbe() { flow_.Send(MakePacket(Packet::kAck | Packet::kProbe, sender_.unacknowledged() - 1)); }

void TcpConnection::SendSegment(const TcpSender::Segment& segment) {
  Packet& packet = MakePacket(segment.fin ? Packet::kAck | Packet::kFin : Packet::kAck, segment.sequence);
  packet.size = segment.size;
  if (segment.size > 0) {
    packet.payload = network_.buffers().Allocate(segment.size);
    packet.payload->end = segment.size;
    sender_.Copy(segment, packet.payload->memory);
  }
  if (segment.again) {
    network_.CountRetransmission();
    socket_.Record(TraceKind::kRetransmit, segment.sequence, retries_.tries());
  } else {
    ack_delay_.OnSent(now_ns());
  }
  if (!timers_.armed(TcpTimers::kRetransmit) || segment.sequence == sender_.unacknowledged()) ArmRetransmit();
  flow_.Send(packet);
}

void TcpConnection::Output() {
  if (!can_send_data() && !(sender_.fin_queued() && waits_for_fin())) return;
  const bool no_delay = options_.has(SocketOption::kNoDelay);
  while (const std::optional<TcpSender::Segment> segment = sender_.TakeNext(no_delay, now_ns())) SendSegment(*segment);
  // The peer has closed its window: ask now and then.
  if (sender_.blocked() && !timers_.armed(TcpTimers::kRetransmit)) ArmRetransmit();
}

void TcpConnection::Retransmit() {
  if (const std::optional<TcpSender::Segment> segment = sender_.TakeFirst(now_ns())) SendSegment(*segment);
}

// --- Timers ---

void TcpConnection::ArmRetransmit() {
  timers_.Arm(TcpTimers::kRetransmit, now_ns() + retries_.AnswerTimeout(sender_.timeout_ns(), now_ns()));
}

void TcpConnection::ArmSynRetransmit() {
  timers_.Arm(TcpTimers::kRetransmit, now_ns() + retries_.SynTimeout(now_ns()));
}

void TcpConnection::OnTimer() {
  if (timers_.due(TcpTimers::kEnd)) {
    if (state_ == TcpState::kSynSent) {
      socket_.FailConnect(EHOSTUNREACH);
    } else {
      socket_.Die(0);
    }
    return;
  }
  if (timers_.due(TcpTimers::kDelayedAck)) SendAck();
  if (timers_.due(TcpTimers::kRetransmit) && !OnRetransmitTimer()) return;
  if (timers_.due(TcpTimers::kKeepAlive) && !OnKeepAliveTimer()) return;
  // As Linux: what is not acknowledged by then is still sent.
  if (timers_.due(TcpTimers::kLinger)) socket_.EndLinger();
  timers_.LookAgain();
}

bool TcpConnection::OnRetransmitTimer() {
  timers_.Disarm(TcpTimers::kRetransmit);
  if (in_handshake()) return OnHandshakeTimer();
  if (!sender_.in_flight()) return OnProbeTimer();
  if (!retries_.SendsAgain(socket_.orphan(), sender_.timeout_ns(), now_ns())) {
    socket_.Die(ETIMEDOUT);
    return false;
  }
  sender_.OnTimeout();
  Retransmit();
  return true;
}

bool TcpConnection::OnHandshakeTimer() {
  const bool active = state_ == TcpState::kSynSent;
  if (!retries_.SendsSynAgain(active, now_ns())) {
    if (socket_.connecting()) {
      socket_.FailConnect(ETIMEDOUT);
    } else {
      socket_.Die(ETIMEDOUT);
    }
    return false;
  }
  if (active) {
    SendSyn();
  } else {
    SendSynAck();
  }
  return true;
}

// The window is closed.
bool TcpConnection::OnProbeTimer() {
  if (!sender_.has_unacknowledged()) return true;
  if (!retries_.Probes(socket_.orphan(), now_ns())) {
    socket_.Die(ETIMEDOUT);
    return false;
  }
  ArmRetransmit();
  SendProbe();
  return true;
}

// --- Keep-alive ---

bool TcpConnection::keeps_alive() const {
  if (!options_.has(SocketOption::kKeepAlive) || socket_.orphan()) return false;
  return state_ != TcpState::kClosed && state_ != TcpState::kTimeWait && !in_handshake();
}

// Starts or stops the timer after the connection or an option has changed.
void TcpConnection::ArmKeepAlive() {
  timers_.Disarm(TcpTimers::kKeepAlive);
  if (!keeps_alive()) return;
  const int64_t due = last_heard_ns_ + options_[SocketOption::kKeepAliveIdle] * kSecondNs;
  timers_.Arm(TcpTimers::kKeepAlive, std::max(due, now_ns()));
}

bool TcpConnection::OnKeepAliveTimer() {
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
  if (!retries_.KeepsAlive(last_heard_ns_, now_ns())) {
    SendReset();
    socket_.Die(ETIMEDOUT);
    return false;
  }
  timers_.Arm(TcpTimers::kKeepAlive, now_ns() + options_[SocketOption::kKeepAliveInterval] * kSecondNs);
  SendProbe();
  return true;
}

// --- Options ---

void TcpConnection::OnOptionChanged(SocketOption option) {
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
}

}  // namespace tandem::sim
