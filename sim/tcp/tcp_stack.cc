// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/tcp/tcp_stack.h"

#include <cerrno>
#include <utility>

#include "absl/log/check.h"
#include "tandem/core/base/prefetch.h"
#include "tandem/core/base/random.h"
#include "tandem/sim/network/ip.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/network/network_host.h"
#include "tandem/sim/tcp/tcp_socket.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::sim {

TcpStack::TcpStack(NetworkHost& stack) : stack_(stack), ports_(stack.network().choices(), stack.entity()) {}

TcpStack::~TcpStack() { DropAllSockets(); }

// --- Sockets ---

TcpSocket& TcpStack::NewSocket() {
  if (free_sockets_.empty()) {
    sockets_.push_back(std::make_unique<TcpSocket>(*this, /*generation=*/1u));
    free_sockets_.push_back(sockets_.back().get());
  }
  TcpSocket* socket = free_sockets_.back();
  free_sockets_.pop_back();
  socket->in_use_ = true;
  return *socket;
}

TcpSocket& TcpStack::Open(AddressFamily family) {
  TcpSocket& socket = NewSocket();
  socket.Open(family, stack_.entity().Part("socket", opened_++));
  return socket;
}

void TcpStack::Free(TcpSocket& socket) {
  CHECK(socket.in_use_);
  socket.EndLinger();
  ports_.RemoveConnection(socket.name_);
  ports_.Remove(socket.name_);
  // The memory stays, and late packets find another generation in it.
  const uint32_t generation = socket.generation_ + 1;
  std::destroy_at(&socket);
  free_sockets_.push_back(std::construct_at(&socket, *this, generation));
}

void TcpStack::DropAllSockets() {
  for (const std::unique_ptr<TcpSocket>& socket : sockets_) {
    if (socket->in_use_) Free(*socket);
  }
}

void TcpStack::Forget(const StackObserver& observer) {
  for (const std::unique_ptr<TcpSocket>& socket : sockets_) {
    if (socket->observer_ == &observer) socket->observer_ = nullptr;
  }
}

// --- System calls ---

int TcpStack::Bind(TcpSocket& socket, const SocketAddress& address) {
  const int result = TryBind(socket, address);
  stack_.Record(TraceKind::kBind, socket.id_, socket.name_.local.port(), result);
  return result;
}

int TcpStack::TryBind(TcpSocket& socket, const SocketAddress& address) {
  TcpName& name = socket.name_;
  if (address.family() != socket.family_) return -WrongFamily(socket.family_, address.family());
  if (name.bound || socket.state() != TcpState::kClosed || socket.was_connected_) return -EINVAL;
  SocketAddress local = Unmap(address);
  if (local.is_ipv4() && socket.family_ == AddressFamily::kIpv6 && name.ipv6_only()) return -EINVAL;
  if (!local.is_any() && !stack_.Owns(local)) return -EADDRNOTAVAIL;
  if (local.port() == 0) {
    const uint16_t port = ports_.FindFree(name, local);
    if (port == 0) return -EADDRINUSE;
    local = local.WithPort(port);
  } else if (ports_.Conflicts(name, local)) {
    return -EADDRINUSE;
  }
  name.local = name.bound_to = local;
  name.chose_port = address.port() != 0;
  if (local.is_ipv6() && !local.is_any()) socket.options_.Force(SocketOption::kIpv6Only, 1);  // As Linux.
  ports_.Add(name, /*bound_explicitly=*/true);
  return 0;
}

int TcpStack::Listen(TcpSocket& socket, int backlog) {
  const int result = TryListen(socket);
  if (result == 0) socket.StartListening(backlog);
  stack_.Record(TraceKind::kListen, socket.id_, backlog, result);
  return result;
}

int TcpStack::TryListen(TcpSocket& socket) {
  TcpName& name = socket.name_;
  if (socket.state() == TcpState::kListen) return 0;
  if (socket.state() != TcpState::kClosed || socket.was_connected_) return -EINVAL;
  if (!name.bound) {
    const uint16_t port = ports_.FindFree(name, name.local);
    if (port == 0) return -EADDRINUSE;
    name.local = name.local.WithPort(port);
    ports_.Add(name, /*bound_explicitly=*/false);
  } else if (ports_.Conflicts(name, name.local)) {
    return -EADDRINUSE;
  }
  return 0;
}

int TcpStack::Connect(TcpSocket& socket, const SocketAddress& address) {
  SocketAddress peer;
  int result = ConnectTarget(socket, address, &peer);
  if (result == 0) result = ChooseLocal(socket, peer);
  stack_.Record(TraceKind::kConnect, socket.id_, address.port(), result);
  if (result != 0) return result;
  stack_.CountConnect();
  NetworkHost* target = stack_.Route(peer);
  const uint32_t target_index = target == nullptr ? ~uint32_t{0} : target->index();
  const uint64_t ordinal = connects_to_[target_index]++;
  socket.entity_ = stack_.entity().Part("tcp").Part(target == nullptr ? "nobody" : target->name(), ordinal);
  const ConnectFault fault = DrawConnectFault(socket);
  stack_.network().HoldLoopback();
  socket.StartConnect(target, fault);
  stack_.network().DeliverLoopback();
  return -EINPROGRESS;
}

int TcpStack::ConnectTarget(const TcpSocket& socket, const SocketAddress& address, SocketAddress* peer) const {
  switch (socket.state()) {
    case TcpState::kClosed:
      if (socket.was_connected_) return -EISCONN;
      break;
    case TcpState::kSynSent:
    case TcpState::kSynReceived:
      return -EALREADY;
    default:
      return -EISCONN;
  }
  if (address.family() != socket.family_) return -WrongFamily(socket.family_, address.family());
  *peer = Unmap(address);
  if (peer->is_ipv4() && socket.family_ == AddressFamily::kIpv6 && socket.name_.ipv6_only()) return -ENETUNREACH;
  if (peer->is_any()) *peer = ThisHost(*peer, socket.name_.local);
  const uint8_t first = peer->bytes()[0];
  const bool multicast = peer->is_ipv4() ? first >= 224 : first == 0xff;
  return multicast ? -ENETUNREACH : 0;
}

int TcpStack::ChooseLocal(TcpSocket& socket, const SocketAddress& peer) {
  TcpName& name = socket.name_;
  SocketAddress source;
  if (const int error = stack_.SourceAddressFor(peer, &source); error != 0) return error;
  name.remote = peer;
  if (!name.local.is_any()) {
    if (name.local.family() != peer.family()) return name.local.is_ipv4() ? -EAFNOSUPPORT : -ENETUNREACH;
    if (name.local.is_loopback() && !stack_.Owns(peer)) return -EINVAL;
    source = name.local;
  }
  if (!name.bound) return ports_.AddConnectionAtFreePort(name, source) ? 0 : -EADDRNOTAVAIL;
  const SocketAddress before = name.local;
  name.local = source.WithPort(before.port());
  if (ports_.AddConnection(name)) return 0;
  name.local = before;
  return -EADDRNOTAVAIL;
}

ConnectFault TcpStack::DrawConnectFault(const TcpSocket& socket) {
  const Choices& choices = stack_.network().choices();
  const StackFaults& faults = stack_.faults();
  ConnectFault fault = ConnectFault::kNone;
  if (faults.connect_refused.Hits(choices.Draw(Choice::kConnect, socket.entity_, 0, 0))) {
    fault = ConnectFault::kRefused;
    StackFaults::CountHit(faults.hits.connect_refused);
  } else if (faults.connect_timed_out.Hits(choices.Draw(Choice::kConnect, socket.entity_, 0, 1))) {
    fault = ConnectFault::kTimedOut;
    StackFaults::CountHit(faults.hits.connect_timed_out);
  }
  if (fault != ConnectFault::kNone) stack_.Record(TraceKind::kConnectFault, socket.id_, fault);
  return fault;
}

// --- Packets ---

void TcpStack::OnPacket(Packet& packet) {
  TcpSocket* socket = packet.receiver;
  if (socket != nullptr) Prefetch(socket, sizeof(*socket));
  if (socket == nullptr || socket->generation_ != packet.receiver_generation || !socket->name_.connected) {
    socket = ports_.FindConnection(packet.destination, packet.source);
  }
  const bool opens = packet.opens();
  if (opens && packet.has(Packet::kRefuseFault)) {
    AnswerByReset(packet);
    return;
  }
  // A new connection may take the place of one that only waits for stragglers.
  if (socket != nullptr && opens && socket->connection_.IsReplacedBy(packet)) {
    socket->Die(0);
    socket = nullptr;
  }
  if (socket == nullptr && opens) socket = ports_.FindListener(packet.destination, packet.flow);
  if (socket == nullptr) {
    AnswerByReset(packet);
    return;
  }
  socket->OnSegment(packet);
}

void TcpStack::AnswerByReset(const Packet& packet) {
  if (packet.has(Packet::kReset)) return;
  Network& network = stack_.network();
  Packet& reset = network.NewPacket();
  reset.from = &stack_;
  reset.to = packet.from;
  reset.Answer(packet);
  reset.source = packet.destination;
  reset.destination = packet.source;
  reset.receiver = packet.sender;
  reset.receiver_generation = packet.sender_generation;
  if (packet.has(Packet::kAck)) {
    reset.flags = Packet::kReset;
    reset.sequence = packet.acknowledgement;
  } else {
    reset.flags = Packet::kReset | Packet::kAck;
    reset.acknowledgement = packet.end_sequence();
  }
  network.Send(reset, nullptr);
}

void TcpStack::StartPassive(TcpSocket& listener, const Packet& syn) { NewSocket().StartPassive(listener, syn); }

// --- Faults ---

size_t TcpStack::established_connections() const {
  size_t count = 0;
  for (const std::unique_ptr<TcpSocket>& socket : sockets_) {
    if (socket->in_use_ && socket->connection_.can_send_data()) ++count;
  }
  return count;
}

uint64_t TcpStack::ResetConnections(absl::FunctionRef<bool(Entity connection)> hits) {
  uint64_t count = 0;
  // A reset may end another connection of the list, its other end.
  for (size_t i = 0; i < sockets_.size(); ++i) {
    TcpSocket& socket = *sockets_[i];
    if (!socket.in_use_ || !socket.connection_.can_send_data() || !hits(socket.entity_)) continue;
    stack_.Record(TraceKind::kResetFault, socket.id_);
    socket.Abort();
    ++count;
  }
  return count;
}

uint64_t TcpStack::ForgetConnections(absl::FunctionRef<bool(Entity connection)> hits) {
  uint64_t count = 0;
  for (size_t i = 0; i < sockets_.size(); ++i) {
    TcpSocket& socket = *sockets_[i];
    if (!socket.in_use_ || !socket.connection_.can_send_data() || !hits(socket.entity_)) continue;
    stack_.Record(TraceKind::kResetFault, socket.id_, 1);
    socket.Die(ECONNRESET);
    ++count;
  }
  return count;
}

void TcpStack::OfferWindows() {
  for (const std::unique_ptr<TcpSocket>& socket : sockets_) {
    if (socket->in_use_) socket->connection_.OnRead();
  }
}

}  // namespace tandem::sim
