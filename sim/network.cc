// SPDX-License-Identifier: Apache-2.0

#include "sim/network.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/log/check.h"
#include "sim/ip.h"
#include "sim/tcp.h"
#include "sim/udp.h"

namespace tandem::sim {
namespace {

constexpr int64_t kLoopbackLatencyNs = 15'000;
constexpr int kMaxBacklog = 4096;      // net.core.somaxconn.
constexpr uint32_t kHeaderBytes = 66;  // Ethernet, IP, TCP with time stamps: what a packet costs beside its payload.
constexpr uint32_t kDatagramHeaderBytes = 42;     // Ethernet, IP, UDP.
constexpr uint32_t kFragmentPayloadBytes = 1480;  // Of an IP packet that is not more than 1500 bytes.

uint64_t Pair(uint32_t high, uint32_t low) { return uint64_t{high} << 32 | low; }
uint64_t FromInt(int64_t value) { return static_cast<uint64_t>(value); }

// What a packet is, for the trace.
uint64_t Kind(const Packet& packet) { return Pair(packet.flags | uint32_t{packet.protocol} << 8, packet.size); }

}  // namespace

// The sockets bound to one port.
struct HostStack::PortBucket {
  ~PortBucket() {
    while (!sockets.empty()) sockets.PopFront();
  }

  IntrusiveList<TcpSocket, PortListTag> sockets;
  std::vector<TcpSocket*> listeners;  // In the order of listen().
  size_t bound_explicitly = 0;
};

void Packet::Run() { from->network().Deliver(*this); }

// --- HostStack: life and death ---

HostStack::HostStack(Network& network, uint32_t index, std::string name, std::vector<SocketAddress> addresses)
    : network_(network),
      index_(index),
      name_(std::move(name)),
      addresses_(std::move(addresses)),
      seed_(HashCombine(network.seed(), HashName(name_))) {
  const uint64_t ports = kLastEphemeralPort - kFirstEphemeralPort + 1;
  next_ephemeral_port_ = static_cast<uint16_t>(kFirstEphemeralPort +
                                               ReduceToRange(HashCombine(seed_, HashName("ephemeral ports")), ports));
  udp_ = std::make_unique<UdpStack>(*this);
}

HostStack::~HostStack() { DropAllSockets(); }

bool HostStack::Owns(const SocketAddress& address) const {
  if (address.is_loopback()) return true;
  const SocketAddress host = address.WithPort(0);
  return std::find(addresses_.begin(), addresses_.end(), host) != addresses_.end();
}

void HostStack::CrashMachine() {
  up_ = false;
  observer_ = nullptr;
  DropAllSockets();
}

void HostStack::StartMachine() { up_ = true; }

void HostStack::KillProcess() {
  observer_ = nullptr;
  for (size_t id = 0; id < descriptors_.size(); ++id) {
    if (descriptors_[id].in_use()) Close(static_cast<SocketId>(id));
  }
  // Nobody waits any more for the closes that linger; the next process has tickets of its own.
  for (const std::unique_ptr<TcpSocket>& socket : sockets_) socket->linger_ticket_ = 0;
  descriptors_.clear();
  free_descriptors_.clear();
}

void HostStack::DropAllSockets() {
  for (const std::unique_ptr<TcpSocket>& socket : sockets_) {
    if (socket->in_use_) FreeSocket(*socket);
  }
  udp_->DropAllSockets();
  descriptors_.clear();
  free_descriptors_.clear();
  open_descriptors_ = 0;
}

size_t HostStack::established_connections() const {
  size_t count = 0;
  for (const std::unique_ptr<TcpSocket>& socket : sockets_) {
    if (socket->in_use_ && socket->can_send_data()) ++count;
  }
  return count;
}

bool HostStack::ResetConnection(uint64_t draw) {
  const size_t count = established_connections();
  if (count == 0) return false;
  size_t chosen = ReduceToRange(draw, count);
  for (const std::unique_ptr<TcpSocket>& socket : sockets_) {
    if (!socket->in_use_ || !socket->can_send_data()) continue;
    if (chosen-- != 0) continue;
    network_.trace_.Record(TraceKind::kResetFault, network_.now_ns(), index_, FromInt(socket->id_));
    socket->SendReset();
    socket->Die(ECONNRESET);
    break;
  }
  return true;
}

// --- HostStack: tables ---

Link& HostStack::LinkTo(HostStack& to) {
  if (to.index_ >= links_.size()) links_.resize(to.index_ + 1);
  std::unique_ptr<Link>& link = links_[to.index_];
  if (link == nullptr) {
    const uint64_t key = HashCombine(HashCombine(seed_, HashName("link")), HashName(to.name_));
    LinkConditions conditions = network_.default_conditions_;
    if (&to == this) {
      conditions = LinkConditions();
      conditions.latency = LatencyDistribution::Fixed(kLoopbackLatencyNs);
    }
    link = std::make_unique<Link>(key, conditions);
    if (&to == this) link->set_has_own_conditions();
  }
  return *link;
}

TcpSocket* HostStack::NewSocket() {
  if (free_sockets_.empty()) {
    sockets_.push_back(std::make_unique<TcpSocket>(*this, static_cast<uint32_t>(sockets_.size()), 1u));
    free_sockets_.push_back(sockets_.back().get());
  }
  TcpSocket* socket = free_sockets_.back();
  free_sockets_.pop_back();
  socket->in_use_ = true;
  return socket;
}

void HostStack::FreeSocket(TcpSocket& socket) {
  CHECK(socket.in_use_);
  socket.EndLinger();
  network_.events_.Cancel(socket);
  RemoveConnection(socket);
  RemoveFromPort(socket);
  socket.DropAcknowledged(socket.send_bytes_);
  while (socket.early_ != nullptr) {
    Packet& packet = *socket.early_;
    socket.early_ = packet.next;
    network_.FreePacket(packet);
  }
  // The memory stays, and late packets find another generation in it.
  const uint32_t index = socket.index_;
  const uint32_t generation = socket.generation_ + 1;
  std::destroy_at(&socket);
  free_sockets_.push_back(std::construct_at(&socket, *this, index, generation));
}

SocketId HostStack::AddDescriptor(const Descriptor& descriptor) {
  SocketId id;
  if (free_descriptors_.empty()) {
    id = static_cast<SocketId>(descriptors_.size());
    descriptors_.push_back(descriptor);
  } else {
    id = free_descriptors_.back();
    free_descriptors_.pop_back();
    descriptors_[static_cast<size_t>(id)] = descriptor;
  }
  ++open_descriptors_;
  return id;
}

SocketId HostStack::AddDescriptor(TcpSocket& socket) {
  socket.id_ = AddDescriptor(Descriptor{&socket, nullptr});
  return socket.id_;
}

void HostStack::RemoveDescriptor(SocketId id) {
  Descriptor& descriptor = descriptors_[static_cast<size_t>(id)];
  if (descriptor.stream != nullptr) descriptor.stream->id_ = kNoSocket;
  descriptor = Descriptor();
  free_descriptors_.push_back(id);
  --open_descriptors_;
}

// The rule of Linux (inet_csk_bind_conflict).
bool HostStack::BindConflicts(const TcpSocket& socket, const SocketAddress& local) const {
  const auto bucket = ports_.find(local.port());
  if (bucket == ports_.end()) return false;
  bool conflict = false;
  bucket->second->sockets.ForEach([&](const TcpSocket& other) {
    if (&other == &socket) return;
    if (!Overlap(local, socket.ipv6_only_, other.local_, other.ipv6_only_)) return;
    if (socket.reuse_address_ && other.reuse_address_ && other.state_ != TcpState::kListen) return;
    if (socket.reuse_port_ && other.reuse_port_) return;
    conflict = true;
  });
  return conflict;
}

void HostStack::AddToPort(TcpSocket& socket, bool bound_explicitly) {
  std::unique_ptr<PortBucket>& bucket = ports_[socket.local_.port()];
  if (bucket == nullptr) bucket = std::make_unique<PortBucket>();
  bucket->sockets.PushBack(socket);
  socket.bound_ = true;
  socket.bound_explicitly_ = bound_explicitly;
  if (bound_explicitly) ++bucket->bound_explicitly;
}

void HostStack::RemoveFromPort(TcpSocket& socket) {
  if (!socket.bound_) return;
  const auto found = ports_.find(socket.local_.port());
  CHECK(found != ports_.end());
  PortBucket& bucket = *found->second;
  RemoveListener(socket);
  socket.Unlink();
  if (socket.bound_explicitly_) --bucket.bound_explicitly;
  socket.bound_ = socket.bound_explicitly_ = false;
  if (bucket.sockets.empty()) ports_.erase(found);
}

void HostStack::RemoveListener(TcpSocket& socket) {
  if (socket.state_ == TcpState::kListen) std::erase(ports_.find(socket.local_.port())->second->listeners, &socket);
}

// A port of the ephemeral range to which `socket` could be bound at `local`, or 0.
uint16_t HostStack::FindFreePort(const TcpSocket& socket, const SocketAddress& local) {
  for (int tries = kLastEphemeralPort - kFirstEphemeralPort + 1; tries > 0; --tries) {
    const uint16_t port = next_ephemeral_port_;
    next_ephemeral_port_ = port == kLastEphemeralPort ? kFirstEphemeralPort : static_cast<uint16_t>(port + 1);
    if (!BindConflicts(socket, local.WithPort(port))) return port;
  }
  return 0;
}

// False when the pair of addresses is taken.
bool HostStack::TakeConnection(TcpSocket& socket) {
  const bool added = connections_.try_emplace(ConnectionKey(socket.local_, socket.remote_), &socket).second;
  if (added) socket.connected_ = true;
  return added;
}

void HostStack::RemoveConnection(TcpSocket& socket) {
  if (!socket.connected_) return;
  connections_.erase(ConnectionKey(socket.local_, socket.remote_));
  socket.connected_ = false;
}

TcpSocket* HostStack::FindConnection(const SocketAddress& local, const SocketAddress& remote) const {
  const auto found = connections_.find(ConnectionKey(local, remote));
  return found == connections_.end() ? nullptr : found->second;
}

TcpSocket* HostStack::FindListener(const Packet& packet) const {
  const auto bucket = ports_.find(packet.destination.port());
  if (bucket == ports_.end()) return nullptr;
  // The most exact address wins; among equals with SO_REUSEPORT, a hash of the peer chooses.
  std::vector<TcpSocket*> best;
  int best_score = 0;
  for (TcpSocket* listener : bucket->second->listeners) {
    if (!Covers(listener->local_, listener->ipv6_only_, packet.destination)) continue;
    const int score = !listener->local_.is_any() ? 3 : listener->local_.family() == packet.destination.family() ? 2 : 1;
    if (score < best_score) continue;
    if (score > best_score) best.clear();
    best_score = score;
    best.push_back(listener);
  }
  if (best.empty()) return nullptr;
  return best[ReduceToRange(HashCombine(seed_, HashAddress(packet.source)), best.size())];
}

HostStack* HostStack::Route(const SocketAddress& address) { return Owns(address) ? this : network_.FindHost(address); }

// --- HostStack: system calls ---

int64_t HostStack::Open(AddressFamily family) {
  if (family == AddressFamily::kNone) return -EAFNOSUPPORT;
  if (open_descriptors_ >= descriptor_limit_) return -EMFILE;
  TcpSocket* socket = NewSocket();
  socket->family_ = family;
  socket->local_ = socket->bound_to_ = AnyAddress(family, 0);
  const SocketId id = AddDescriptor(*socket);
  network_.trace_.Record(TraceKind::kOpen, network_.now_ns(), index_, FromInt(id));
  return id;
}

int64_t HostStack::OpenDatagrams(AddressFamily family) {
  if (family == AddressFamily::kNone) return -EAFNOSUPPORT;
  if (open_descriptors_ >= descriptor_limit_) return -EMFILE;
  UdpSocket& socket = udp_->Open(family);
  const SocketId id = AddDescriptor(Descriptor{nullptr, &socket});
  socket.set_id(id);
  network_.trace_.Record(TraceKind::kOpen, network_.now_ns(), index_, FromInt(id), 1);
  return id;
}

int HostStack::Bind(SocketId id, const SocketAddress& address) {
  if (UdpSocket* datagrams = FindDatagrams(id)) return datagrams->Bind(address);
  TcpSocket* socket = Find(id);
  if (socket == nullptr) return -EBADF;
  const auto bind = [&]() -> int {
    if (address.family() != socket->family_) return -WrongFamily(socket->family_, address.family());
    if (socket->bound_ || socket->state_ != TcpState::kClosed || socket->was_connected_) return -EINVAL;
    SocketAddress local = Unmap(address);
    if (local.is_ipv4() && socket->family_ == AddressFamily::kIpv6 && socket->ipv6_only_) return -EINVAL;
    if (!local.is_any() && !Owns(local)) return -EADDRNOTAVAIL;
    if (local.port() == 0) {
      const uint16_t port = FindFreePort(*socket, local);
      if (port == 0) return -EADDRINUSE;
      local = local.WithPort(port);
    } else if (BindConflicts(*socket, local)) {
      return -EADDRINUSE;
    }
    socket->local_ = socket->bound_to_ = local;
    socket->chose_port_ = address.port() != 0;
    if (local.is_ipv6() && !local.is_any()) socket->ipv6_only_ = true;  // As Linux.
    AddToPort(*socket, /*bound_explicitly=*/true);
    return 0;
  };
  const int result = bind();
  network_.trace_.Record(TraceKind::kBind, network_.now_ns(), index_, FromInt(id), socket->local_.port(),
                         FromInt(result));
  return result;
}

int HostStack::Listen(SocketId id, int backlog) {
  if (FindDatagrams(id) != nullptr) return -EOPNOTSUPP;
  TcpSocket* socket = Find(id);
  if (socket == nullptr) return -EBADF;
  const auto listen = [&]() -> int {
    if (socket->state_ == TcpState::kListen) return 0;
    if (socket->state_ != TcpState::kClosed || socket->was_connected_) return -EINVAL;
    if (!socket->bound_) {
      const uint16_t port = FindFreePort(*socket, socket->local_);
      if (port == 0) return -EADDRINUSE;
      socket->local_ = socket->local_.WithPort(port);
      AddToPort(*socket, /*bound_explicitly=*/false);
    } else if (BindConflicts(*socket, socket->local_)) {
      return -EADDRINUSE;
    }
    socket->state_ = TcpState::kListen;
    ports_.find(socket->local_.port())->second->listeners.push_back(socket);
    return 0;
  };
  const int result = listen();
  if (result == 0) socket->backlog_ = backlog < 0 ? kMaxBacklog : std::min(backlog, kMaxBacklog);
  network_.trace_.Record(TraceKind::kListen, network_.now_ns(), index_, FromInt(id), FromInt(backlog), FromInt(result));
  return result;
}

// Checks `address` and turns it into what packets carry.
int HostStack::ConnectTarget(const TcpSocket& socket, const SocketAddress& address, SocketAddress* peer) const {
  switch (socket.state_) {
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
  if (peer->is_ipv4() && socket.family_ == AddressFamily::kIpv6 && socket.ipv6_only_) return -ENETUNREACH;
  if (peer->is_any()) *peer = ThisHost(*peer, socket.local_);
  const uint8_t first = peer->bytes()[0];
  const bool multicast = peer->is_ipv4() ? first >= 224 : first == 0xff;
  return multicast ? -ENETUNREACH : 0;
}

int HostStack::SourceAddressFor(const SocketAddress& peer, SocketAddress* source) const {
  if (Owns(peer)) {
    *source = peer.is_loopback() && peer.is_ipv4() ? SocketAddress::LoopbackIpv4(0) : peer.WithPort(0);
    return 0;
  }
  for (const SocketAddress& address : addresses_) {
    if (address.family() != peer.family()) continue;
    *source = address;
    return 0;
  }
  return -ENETUNREACH;
}

// Gives `socket`, which is to connect to `peer`, its local address, and puts it into the tables.
int HostStack::ChooseLocal(TcpSocket& socket, const SocketAddress& peer) {
  SocketAddress source;
  if (const int error = SourceAddressFor(peer, &source); error != 0) return error;
  socket.remote_ = peer;
  if (!socket.local_.is_any()) {
    if (socket.local_.family() != peer.family()) return socket.local_.is_ipv4() ? -EAFNOSUPPORT : -ENETUNREACH;
    if (socket.local_.is_loopback() && !Owns(peer)) return -EINVAL;
    source = socket.local_;
  }
  if (socket.bound_) {
    const SocketAddress before = socket.local_;
    socket.local_ = source.WithPort(before.port());
    if (TakeConnection(socket)) return 0;
    socket.local_ = before;
    return -EADDRNOTAVAIL;
  }
  // A port may serve connections to many peers, but not one that somebody asked for by name.
  for (int tries = kLastEphemeralPort - kFirstEphemeralPort + 1; tries > 0; --tries) {
    const uint16_t port = next_ephemeral_port_;
    next_ephemeral_port_ = port == kLastEphemeralPort ? kFirstEphemeralPort : static_cast<uint16_t>(port + 1);
    const auto bucket = ports_.find(port);
    if (bucket != ports_.end() && (bucket->second->bound_explicitly > 0 || !bucket->second->listeners.empty())) {
      continue;
    }
    socket.local_ = source.WithPort(port);
    if (!TakeConnection(socket)) continue;
    AddToPort(socket, /*bound_explicitly=*/false);
    return 0;
  }
  socket.local_ = socket.bound_to_;
  return -EADDRNOTAVAIL;
}

void HostStack::DrawConnectFaults(TcpSocket& socket) {
  const RandomStream draws = RandomStream(socket.key_).Child(HashName("connect faults"));
  RandomStream refused = draws.Child(1);
  RandomStream timed_out = draws.Child(2);
  socket.refuse_fault_ = refused.Chance(faults_.connect_refused);
  socket.timeout_fault_ = !socket.refuse_fault_ && timed_out.Chance(faults_.connect_timed_out);
  if (!socket.refuse_fault_ && !socket.timeout_fault_) return;
  network_.trace_.Record(TraceKind::kConnectFault, network_.now_ns(), index_, FromInt(socket.id_),
                         socket.refuse_fault_ ? 1 : 2);
}

int HostStack::Connect(SocketId id, const SocketAddress& address) {
  TcpSocket* socket = Find(id);
  if (socket == nullptr) return -EBADF;
  SocketAddress peer;
  int result = ConnectTarget(*socket, address, &peer);
  if (result == 0) result = ChooseLocal(*socket, peer);
  network_.trace_.Record(TraceKind::kConnect, network_.now_ns(), index_, FromInt(id), address.port(), FromInt(result));
  if (result != 0) return result;
  HostStack* target = Route(peer);
  const uint32_t target_index = target == nullptr ? ~uint32_t{0} : target->index_;
  const uint64_t ordinal = connects_to_[target_index]++;
  const uint64_t path = HashCombine(seed_, target == nullptr ? 0 : HashName(target->name_));
  socket->key_ = HashCombine(path, ordinal);
  socket->peer_stack_ = target;
  DrawConnectFaults(*socket);
  socket->StartConnect();
  return -EINPROGRESS;
}

int64_t HostStack::Accept(SocketId id) {
  if (FindDatagrams(id) != nullptr) return -EOPNOTSUPP;
  TcpSocket* listener = Find(id);
  if (listener == nullptr) return -EBADF;
  // Linux takes the descriptor first, also when nothing waits.
  if (open_descriptors_ >= descriptor_limit_) return -EMFILE;
  if (listener->state_ != TcpState::kListen) return -EINVAL;
  if (!listener->acceptable()) return -EAGAIN;
  TcpSocket* socket = listener->accept_queue_[listener->accept_head_++];
  if (!listener->acceptable()) {
    listener->accept_queue_.clear();
    listener->accept_head_ = 0;
  }
  socket->listener_ = nullptr;
  socket->queued_ = false;
  const SocketId accepted = AddDescriptor(*socket);
  network_.trace_.Record(TraceKind::kAccept, network_.now_ns(), index_, FromInt(id), FromInt(accepted));
  return accepted;
}

int HostStack::Shutdown(SocketId id, ShutdownHow how) {
  if (UdpSocket* datagrams = FindDatagrams(id)) return datagrams->Shutdown(how);
  TcpSocket* socket = Find(id);
  if (socket == nullptr) return -EBADF;
  const int result = socket->Shutdown(how);
  network_.trace_.Record(TraceKind::kShutdown, network_.now_ns(), index_, FromInt(id), static_cast<uint64_t>(how),
                         FromInt(result));
  return result;
}

int HostStack::Close(SocketId id, uint64_t ticket) {
  if (UdpSocket* datagrams = FindDatagrams(id)) {
    network_.trace_.Record(TraceKind::kClose, network_.now_ns(), index_, FromInt(id));
    RemoveDescriptor(id);
    udp_->Close(*datagrams);
    if (observer_ != nullptr) observer_->OnDescriptorFree();
    return 0;
  }
  TcpSocket* socket = Find(id);
  if (socket == nullptr) return -EBADF;
  network_.trace_.Record(TraceKind::kClose, network_.now_ns(), index_, FromInt(id));
  RemoveDescriptor(id);
  const bool lingers = socket->CloseDescriptor(ticket);
  if (observer_ != nullptr) observer_->OnDescriptorFree();
  return lingers ? -EINPROGRESS : 0;
}

int HostStack::SetOption(SocketId id, SocketOption option, int value) {
  if (UdpSocket* datagrams = FindDatagrams(id)) return datagrams->SetOption(option, value);
  TcpSocket* socket = Find(id);
  if (socket == nullptr) return -EBADF;
  network_.trace_.Record(TraceKind::kSocketOption, network_.now_ns(), index_, FromInt(id),
                         static_cast<uint64_t>(option), FromInt(value));
  const auto doubled = [value](int minimum) {
    return static_cast<int>(std::clamp<int64_t>(int64_t{value} * 2, minimum, kMaxBuffer));
  };
  switch (option) {
    case SocketOption::kNoDelay:
      socket->no_delay_ = value != 0;
      if (socket->no_delay_) socket->Output();
      return 0;
    case SocketOption::kReceiveBufferSize:
      socket->receive_buffer_ = doubled(kMinReceiveBuffer);
      return 0;
    case SocketOption::kSendBufferSize:
      socket->send_buffer_ = doubled(kMinSendBuffer);
      return 0;
    case SocketOption::kReuseAddress:
      socket->reuse_address_ = value != 0;
      return 0;
    case SocketOption::kReusePort:
      socket->reuse_port_ = value != 0;
      return 0;
    case SocketOption::kIpv6Only:
      if (socket->family_ != AddressFamily::kIpv6) return -ENOPROTOOPT;
      if (socket->bound_) return -EINVAL;
      socket->ipv6_only_ = value != 0;
      return 0;
    case SocketOption::kLinger:
      socket->linger_seconds_ = std::max(value, -1);
      return 0;
    default:
      return socket->SetOption(option, value);
  }
  return -ENOPROTOOPT;
}

int HostStack::GetOption(SocketId id, SocketOption option, int* value) {
  if (UdpSocket* datagrams = FindDatagrams(id)) return datagrams->GetOption(option, value);
  TcpSocket* socket = Find(id);
  if (socket == nullptr) return -EBADF;
  switch (option) {
    case SocketOption::kNoDelay:
      *value = socket->no_delay_;
      return 0;
    case SocketOption::kReceiveBufferSize:
      *value = socket->receive_buffer_;
      return 0;
    case SocketOption::kSendBufferSize:
      *value = socket->send_buffer_;
      return 0;
    case SocketOption::kReuseAddress:
      *value = socket->reuse_address_;
      return 0;
    case SocketOption::kReusePort:
      *value = socket->reuse_port_;
      return 0;
    case SocketOption::kIpv6Only:
      if (socket->family_ != AddressFamily::kIpv6) return -EOPNOTSUPP;  // Unlike setting it.
      *value = socket->ipv6_only_;
      return 0;
    case SocketOption::kLinger:
      *value = socket->linger_seconds_;
      return 0;
    case SocketOption::kError:
      *value = std::exchange(socket->error_, 0);
      return 0;
    default:
      return socket->GetOption(option, value);
  }
  return -ENOPROTOOPT;
}

int HostStack::LocalAddress(SocketId id, SocketAddress* address) {
  if (const UdpSocket* datagrams = FindDatagrams(id)) return datagrams->LocalAddress(address);
  const TcpSocket* socket = Find(id);
  if (socket == nullptr) return -EBADF;
  *address = ToFamily(socket->local_, socket->family_);
  return 0;
}

int HostStack::PeerAddress(SocketId id, SocketAddress* address) {
  if (const UdpSocket* datagrams = FindDatagrams(id)) return datagrams->PeerAddress(address);
  const TcpSocket* socket = Find(id);
  if (socket == nullptr) return -EBADF;
  switch (socket->state_) {
    case TcpState::kClosed:
    case TcpState::kListen:
    case TcpState::kSynSent:
    case TcpState::kTimeWait:
      return -ENOTCONN;
    default:
      *address = ToFamily(socket->remote_, socket->family_);
      return 0;
  }
}

// --- HostStack: packets ---

void HostStack::OnPacket(Packet& packet) {
  if (packet.protocol != Packet::kTcp) return udp_->OnPacket(packet);
  TcpSocket* socket = packet.receiver;
  if (socket == nullptr || socket->generation_ != packet.receiver_generation || !socket->connected_) {
    socket = FindConnection(packet.destination, packet.source);
  }
  const bool opens = packet.has(Packet::kSyn) && !packet.has(Packet::kAck) && !packet.has(Packet::kReset);
  if (opens && packet.has(Packet::kRefuseFault)) {
    AnswerByReset(packet);
    return;
  }
  // A new connection may take the place of one that only waits for stragglers.
  if (socket != nullptr && opens && socket->state_ == TcpState::kTimeWait && packet.sequence > socket->receive_next_) {
    socket->Die(0);
    socket = nullptr;
  }
  if (socket == nullptr && opens) socket = FindListener(packet);
  if (socket == nullptr) {
    AnswerByReset(packet);
    return;
  }
  socket->OnSegment(packet);
}

void HostStack::AnswerByReset(const Packet& packet) {
  if (packet.has(Packet::kReset)) return;
  Packet& reset = network_.NewPacket();
  reset.from = this;
  reset.to = packet.from;
  reset.source = packet.destination;
  reset.destination = packet.source;
  reset.receiver = packet.sender;
  reset.receiver_generation = packet.sender_generation;
  if (packet.has(Packet::kAck)) {
    reset.flags = Packet::kReset;
    reset.sequence = packet.acknowledgement;
  } else {
    reset.flags = Packet::kReset | Packet::kAck;
    reset.acknowledgement =
        packet.sequence + packet.size + (packet.has(Packet::kSyn) ? 1 : 0) + (packet.has(Packet::kFin) ? 1 : 0);
  }
  network_.Send(reset, nullptr);
}

// --- Network ---

Network::Network(EventQueue& events, Trace& trace, uint64_t seed)
    : events_(events), trace_(trace), seed_(HashCombine(seed, HashName("network"))) {}

Network::~Network() {
  hosts_.clear();
  for (const auto& slab : slabs_) {
    for (Packet& packet : *slab) {
      events_.Cancel(packet);
      if (packet.payload != nullptr) buffers_.Release(std::exchange(packet.payload, nullptr));
    }
  }
}

HostStack& Network::AddHost(absl::string_view name, std::vector<SocketAddress> addresses) {
  const auto index = static_cast<uint32_t>(hosts_.size());
  for (SocketAddress& address : addresses) address = address.WithPort(0);
  hosts_.push_back(std::make_unique<HostStack>(*this, index, std::string(name), std::move(addresses)));
  HostStack& host = *hosts_.back();
  for (const SocketAddress& address : host.addresses()) {
    CHECK(!address.is_loopback() && !address.is_any()) << address.ToString();
    CHECK(hosts_by_address_.try_emplace(address, &host).second) << "two hosts with " << address.HostToString();
  }
  const bool only_loopback = host.addresses().empty();
  names_.SetDefault(
      name, only_loopback ? std::vector<SocketAddress>{SocketAddress::LoopbackIpv6(0), SocketAddress::LoopbackIpv4(0)}
                          : host.addresses());
  return host;
}

HostStack* Network::FindHost(const SocketAddress& address) const {
  const auto found = hosts_by_address_.find(address.WithPort(0));
  return found == hosts_by_address_.end() ? nullptr : found->second;
}

void Network::SetDefaultConditions(const LinkConditions& conditions) {
  default_conditions_ = conditions;
  constexpr uint32_t kAllHosts = ~uint32_t{0};
  trace_.Record(TraceKind::kConditions, now_ns(), kAllHosts, kAllHosts, FromInt(conditions.latency.median_ns),
                conditions.bytes_per_second);
  for (const std::unique_ptr<HostStack>& host : hosts_) {
    for (const std::unique_ptr<Link>& link : host->links_) {
      if (link != nullptr && !link->has_own_conditions()) link->set_conditions(conditions);
    }
  }
}

void Network::SetConditions(HostStack& from, HostStack& to, const LinkConditions& conditions) {
  Link& link = from.LinkTo(to);
  link.set_conditions(conditions);
  link.set_has_own_conditions();
  trace_.Record(TraceKind::kConditions, now_ns(), from.index(), to.index(), FromInt(conditions.latency.median_ns),
                conditions.bytes_per_second);
}

void Network::Block(HostStack& from, HostStack& to) {
  from.LinkTo(to).set_blocked(true);
  trace_.Record(TraceKind::kBlock, now_ns(), from.index(), to.index(), 1);
}

void Network::Unblock(HostStack& from, HostStack& to) {
  from.LinkTo(to).set_blocked(false);
  trace_.Record(TraceKind::kBlock, now_ns(), from.index(), to.index(), 0);
}

void Network::Clog(HostStack& from, HostStack& to, int64_t until_ns) {
  from.LinkTo(to).set_clogged_until_ns(until_ns);
  trace_.Record(TraceKind::kClog, now_ns(), from.index(), to.index(), FromInt(until_ns));
}

Packet& Network::NewPacket() {
  if (free_packets_ == nullptr) {
    slabs_.push_back(std::make_unique<std::array<Packet, kPacketsPerSlab>>());
    for (Packet& packet : *slabs_.back()) packet.next = std::exchange(free_packets_, &packet);
  }
  Packet& packet = *free_packets_;
  free_packets_ = std::exchange(packet.next, nullptr);
  return packet;
}

void Network::FreePacket(Packet& packet) {
  if (packet.payload != nullptr) buffers_.Release(std::exchange(packet.payload, nullptr));
  packet.protocol = Packet::kTcp;
  packet.sender = packet.receiver = nullptr;
  packet.sequence = packet.acknowledgement = 0;
  packet.size = packet.window = 0;
  packet.next = std::exchange(free_packets_, &packet);
}

Link::Outcome Network::PutOnLink(const Packet& packet) {
  Link& link = packet.from->LinkTo(*packet.to);
  if (packet.protocol == Packet::kTcp) return link.Send(now_ns(), packet.size + kHeaderBytes);
  const uint32_t fragments =
      packet.from == packet.to ? 1 : std::max(1u, (packet.size + kFragmentPayloadBytes - 1) / kFragmentPayloadBytes);
  return link.SendDatagram(now_ns(), packet.size + fragments * kDatagramHeaderBytes, fragments);
}

void Network::Send(Packet& packet, int64_t* last_arrival_ns) {
  const int64_t now = now_ns();
  ++statistics_.packets_sent;
  if (packet.to == nullptr) {
    trace_.Record(TraceKind::kPacketUnreachable, now, packet.from->index(), Kind(packet) >> 32, packet.size,
                  packet.sequence);
    FreePacket(packet);
    return;
  }
  const Link::Outcome outcome = PutOnLink(packet);
  packet.link_ordinal = outcome.ordinal;
  trace_.Record(TraceKind::kPacketSent, now, packet.from->index(), Pair(packet.to->index(), outcome.ordinal),
                Kind(packet), packet.sequence);
  if (outcome.dropped) {
    Drop(packet, outcome.reason);
    return;
  }
  if (outcome.duplicate_arrival_ns != 0) {
    Packet& copy = NewPacket();
    copy.from = packet.from;
    copy.to = packet.to;
    copy.sender = packet.sender;
    copy.sender_generation = packet.sender_generation;
    copy.receiver = packet.receiver;
    copy.receiver_generation = packet.receiver_generation;
    copy.source = packet.source;
    copy.destination = packet.destination;
    copy.sequence = packet.sequence;
    copy.acknowledgement = packet.acknowledgement;
    copy.window = packet.window;
    copy.size = packet.size;
    copy.flags = packet.flags;
    copy.protocol = packet.protocol;
    copy.interface_index = packet.interface_index;
    copy.link_ordinal = packet.link_ordinal;
    if (packet.payload != nullptr) {
      const absl::string_view bytes(packet.payload->memory + packet.payload->begin, packet.size);
      copy.payload = buffers_.Copy(bytes).ReleaseBlock();
    }
    events_.Schedule(copy, outcome.duplicate_arrival_ns);
  }
  int64_t arrival = outcome.arrival_ns;
  if (last_arrival_ns != nullptr && !outcome.reordered) {
    arrival = std::max(arrival, *last_arrival_ns);
    *last_arrival_ns = arrival;
  }
  events_.Schedule(packet, arrival);
}

void Network::Deliver(Packet& packet) {
  if (packet.from->LinkTo(*packet.to).blocked()) {
    Drop(packet, DropReason::kBlockedOnArrival);
    return;
  }
  if (!packet.to->up_) {
    Drop(packet, DropReason::kHostDown);
    return;
  }
  ++statistics_.packets_delivered;
  trace_.Record(TraceKind::kPacketDelivered, now_ns(), packet.to->index(),
                Pair(packet.from->index(), packet.link_ordinal), Kind(packet), packet.sequence);
  packet.to->OnPacket(packet);
  FreePacket(packet);
}

void Network::Drop(Packet& packet, DropReason reason) {
  ++statistics_.packets_lost;
  trace_.Record(TraceKind::kPacketLost, now_ns(), packet.from->index(), Pair(packet.to->index(), packet.link_ordinal),
                static_cast<uint64_t>(reason));
  FreePacket(packet);
}

}  // namespace tandem::sim
