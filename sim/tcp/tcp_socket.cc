// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/tcp/tcp_socket.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/log/check.h"
#include "tandem/core/base/random.h"
#include "tandem/sim/network/ip.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/tcp/tcp_stack.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::sim {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

constexpr uint64_t Rotate(uint64_t value) { return value << 7 | value >> 57; }

}  // namespace

TcpSocket::TcpSocket(TcpStack& owner, uint32_t generation)
    : owner_(owner),
      stack_(owner.host()),
      generation_(generation),
      options_(SocketType::kStream, AddressFamily::kNone),
      name_(*this, options_),
      connection_(owner, *this, options_) {}

// --- Beginning ---

void TcpSocket::Open(AddressFamily family, Entity entity) {
  family_ = family;
  entity_ = entity;
  options_ = SocketOptions(SocketType::kStream, family);
  name_.local = name_.bound_to = AnyAddress(family, 0);
}

void TcpSocket::StartConnect(NetworkHost* peer, ConnectFault fault) {
  ++generation_;  // What is still on its way to an earlier connect of this socket must not be taken for an answer.
  connecting_ = true;
  connection_.StartConnect(peer, fault);
}

void TcpSocket::StartPassive(TcpSocket& parent, const Packet& syn) {
  family_ = parent.family_;
  options_ = parent.options_;
  name_.local = name_.bound_to = syn.destination;
  name_.remote = syn.source;
  parent_ = parent.listener();
  parent_->OnHandshake(*this);
  owner_.ports().Add(name_, /*bound_explicitly=*/false);
  CHECK(owner_.ports().AddConnection(name_));
  entity_ = syn.flow.Part("accepted");
  connection_.StartPassive(parent.connection_, syn);
}

void TcpSocket::OnEstablished() {
  was_connected_ = true;
  if (parent_ != nullptr) {
    established_child_ = true;
    parent_->OnEstablished(*this);
    return;
  }
  Record(TraceKind::kConnected);
  connecting_ = false;
  if (id_ != kNoSocket && observer_ != nullptr) observer_->OnConnected(id_, 0);
  if (sender_waits_) NotifySendable();
}

void TcpSocket::StartListening(int backlog) {
  if (listener_ == nullptr) {
    listener_ = std::make_unique<TcpListener>(owner_, *this);
    owner_.ports().AddListener(name_);
  }
  listener_->set_backlog(backlog);
}

// --- What the program reads and writes ---

int64_t TcpSocket::Write(absl::Span<const IoSlice> slices, size_t skip, size_t limit) {
  if (error_ != 0) return -std::exchange(error_, 0);
  if (send_shutdown_) return -EPIPE;
  if (connection_.in_handshake()) {
    sender_waits_ = true;
    return -EAGAIN;
  }
  if (!connection_.can_send_data()) return -EPIPE;
  const size_t room = connection_.send_room();
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
    connection_.Append(slice.data + skipped, size);
    count += size;
    left -= size;
  }
  if (left == 0 && count == room) sender_waits_ = true;
  Record(TraceKind::kSend, count, hash);
  connection_.Output();
  return static_cast<int64_t>(count);
}

Buffer TcpSocket::Take(size_t limit) {
  Buffer buffer = connection_.Pop(limit);
  stack_.RecordBytes(buffer.view(), TraceKind::kReceive, id_, buffer.size());
  connection_.OnRead();
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
  if (connection_.received().ended()) return true;
  if (error_ != 0) {
    *end = SourceEnd::kError;
    *error = std::exchange(error_, 0);
    return true;
  }
  if (receive_shutdown_) return true;
  if (connection_.is_closed()) {
    *end = SourceEnd::kError;
    *error = ENOTCONN;
    return true;
  }
  return false;
}

// --- Ending ---

int TcpSocket::Shutdown(ShutdownHow how) {
  const bool reads = how != ShutdownHow::kWrite;
  const bool writes = how != ShutdownHow::kRead;
  switch (state()) {
    case TcpState::kClosed:
    case TcpState::kSynReceived:
    case TcpState::kTimeWait:
      return -ENOTCONN;
    case TcpState::kListen:
      if (!reads) return 0;
      StopListening();
      NotifyAcceptable();
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
    connection_.QueueFin();
    if (sender_waits_) NotifySendable();
  }
  return 0;
}

bool TcpSocket::Close(uint64_t linger_ticket) {
  id_ = kNoSocket;
  const uint32_t generation = generation_;
  const int linger_seconds = options_[SocketOption::kLinger];
  Orphan();
  if (linger_ticket == 0 || linger_seconds <= 0 || generation_ != generation || !connection_.waits_for_fin()) {
    return false;
  }
  linger_ticket_ = linger_ticket;
  connection_.ArmLinger(stack_.network().now_ns() + linger_seconds * kSecondNs);
  return true;
}

void TcpSocket::EndLinger() {
  connection_.DisarmLinger();
  const uint64_t ticket = std::exchange(linger_ticket_, 0);
  if (ticket != 0 && observer_ != nullptr) observer_->OnLingerEnd(ticket);
}

void TcpSocket::Orphan() {
  orphan_ = true;
  connecting_ = false;
  switch (state()) {
    case TcpState::kListen:
      StopListening();
      owner_.Free(*this);
      return;
    case TcpState::kClosed:
    case TcpState::kSynSent:
      owner_.Free(*this);
      return;
    case TcpState::kTimeWait:
      connection_.DropReceived();
      return;
    case TcpState::kSynReceived:
      connection_.SendReset();
      Die(0);
      return;
    default:
      break;
  }
  // As Linux: what the program will never read, and a linger of zero, end the connection at once.
  if (!connection_.received().empty() || options_[SocketOption::kLinger] == 0) {
    connection_.SendReset();
    Die(0);
    return;
  }
  send_shutdown_ = true;
  connection_.QueueFin();
  connection_.OnOrphaned();
}

void TcpSocket::Abort() {
  connection_.SendReset();
  Die(ECONNRESET);
}

void TcpSocket::FailWith(int error) {
  if (!connection_.can_send_data()) return;
  if (error != ETIMEDOUT) connection_.SendReset();
  Die(error == EPIPE ? 0 : error);
}

void TcpSocket::Die(int error) {
  Record(TraceKind::kSocketError, error);
  if (parent_ != nullptr && !established_child_) {
    parent_->OnFailed(*this);
    orphan_ = true;
  }
  if (orphan_) {
    owner_.Free(*this);
    return;
  }
  owner_.ports().RemoveConnection(name_);
  // A port that the program did not ask for by number is free again, though the program still has the socket.
  if (!name_.chose_port) owner_.ports().Remove(name_);
  connection_.Close();
  error_ = error;
  send_shutdown_ = receive_shutdown_ = true;
  NotifyReceivable();
  NotifySendable();
}

void TcpSocket::FailConnect(int error) {
  Record(TraceKind::kConnected, error);
  owner_.ports().RemoveConnection(name_);
  if (!name_.bound_explicitly) owner_.ports().Remove(name_);
  name_.local = name_.bound_to;
  connection_.Close();
  connecting_ = false;
  if (id_ == kNoSocket || observer_ == nullptr) return;
  observer_->OnConnected(id_, error);
  NotifyReceivable();
  NotifySendable();
}

void TcpSocket::StopListening() {
  owner_.ports().RemoveListener(name_);
  if (!name_.bound_explicitly) {
    owner_.ports().Remove(name_);
    name_.local = name_.bound_to;
  }
  const std::unique_ptr<TcpListener> listener = std::move(listener_);
  listener->EndAll();
}

// As tcp_twsk_unique() with net.ipv4.tcp_tw_reuse = 2.
bool TcpSocket::MakesWay(bool port_is_bound) const {
  const TcpState state = connection_.state();
  if (port_is_bound) return state == TcpState::kTimeWait || (orphan_ && state == TcpState::kFinWait2);
  const bool loopback = name_.local.is_loopback() || name_.remote.is_loopback();
  return state == TcpState::kTimeWait && loopback &&
         stack_.network().now_ns() - connection_.last_heard_ns() > kTimeWaitReuseNs;
}

// --- Options and addresses ---

int TcpSocket::SetOption(SocketOption option, int value) {
  if (option == SocketOption::kIpv6Only && family_ == AddressFamily::kIpv6 && name_.bound) return -EINVAL;
  if (const int error = options_.Set(option, value); error != 0) return error;
  connection_.OnOptionChanged(option);
  return 0;
}

int TcpSocket::GetOption(SocketOption option, int* value) {
  switch (option) {
    case SocketOption::kError:
      *value = std::exchange(error_, 0);
      return 0;
    case SocketOption::kQuickAck:
      *value = connection_.quick_ack();
      return 0;
    default:
      return options_.Get(option, value);
  }
}

SocketAddress TcpSocket::LocalAddress() const { return ToFamily(name_.local, family_); }

int TcpSocket::PeerAddress(SocketAddress* address) const {
  const TcpState state = connection_.state();
  if (state == TcpState::kClosed || state == TcpState::kSynSent || state == TcpState::kTimeWait) return -ENOTCONN;
  *address = ToFamily(name_.remote, family_);
  return 0;
}

// --- Telling the program ---

void TcpSocket::NotifyReceivable() {
  if (id_ != kNoSocket && observer_ != nullptr) observer_->OnReceivable(id_);
}

void TcpSocket::NotifyAcceptable() {
  if (observer_ != nullptr) observer_->OnAcceptable(id_);
}

void TcpSocket::NotifySendable() {
  sender_waits_ = false;
  if (id_ != kNoSocket && observer_ != nullptr) observer_->OnSendable(id_);
}

}  // namespace tandem::sim
