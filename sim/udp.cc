// SPDX-License-Identifier: Apache-2.0

#include "sim/udp.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/string_view.h"
#include "core/base/random.h"
#include "sim/ip.h"
#include "sim/trace.h"

namespace tandem::sim {
namespace {

constexpr size_t kLongestUdp = 65535;
constexpr int kMinReceiveBuffer = 2304;
constexpr int kMinSendBuffer = 4608;
constexpr int kMaxBuffer = 425984;

uint64_t FromInt(int64_t value) { return static_cast<uint64_t>(value); }

// What Linux makes of a buffer size that is set.
int DoubledBuffer(int value, int minimum) {
  return static_cast<int>(std::clamp<int64_t>(int64_t{value} * 2, minimum, kMaxBuffer));
}

// 224.0.0.1 and ff02::1, and the interface's own ff01::1: every host is in them.
bool IsAllHosts(const SocketAddress& group) {
  if (group.is_ipv4()) return group.WithPort(0) == SocketAddress::Ipv4({224, 0, 0, 1}, 0);
  std::array<uint8_t, 16> all_nodes = {0xff, group.bytes()[1]};
  all_nodes[15] = 1;
  return group.bytes() == all_nodes && (group.bytes()[1] == 1 || group.bytes()[1] == 2);
}

// Groups are told apart by their bytes alone.
SocketAddress GroupOf(const SocketAddress& address) {
  return address.is_ipv4() ? address.WithPort(0) : SocketAddress::Ipv6(address.bytes(), 0);
}

// ff01::/16 does not leave the host.
bool StaysOnHost(const SocketAddress& group) { return group.is_ipv6() && (group.bytes()[1] & 0x0f) == 1; }

}  // namespace

// --- UdpSocket: names ---

UdpSocket::UdpSocket(UdpStack& owner, AddressFamily family, uint64_t ordinal)
    : owner_(owner),
      stack_(owner.stack_),
      family_(family),
      key_(HashCombine(HashCombine(stack_.seed(), HashName("datagram socket")), ordinal)),
      local_(AnyAddress(family, 0)) {}

int UdpSocket::Bind(const SocketAddress& address) {
  const int result = BindTo(address);
  Network& network = stack_.network();
  network.trace().Record(TraceKind::kBind, network.now_ns(), stack_.index(), FromInt(id_), local_.port(),
                         FromInt(result));
  return result;
}

int UdpSocket::BindTo(const SocketAddress& address) {
  if (address.family() != family_) return -WrongFamily(family_, address.family());
  if (bound_) return -EINVAL;
  SocketAddress local = Unmap(address);
  if (local.is_ipv4() && family_ == AddressFamily::kIpv6 && ipv6_only_) return -EINVAL;
  if (!local.is_any() && !stack_.Owns(local) && !IsMulticast(local) && !IsBroadcast(local)) return -EADDRNOTAVAIL;
  chose_port_ = local.port() != 0;
  if (!chose_port_) {
    const uint16_t port = owner_.FindFreePort(*this, local);
    if (port == 0) return -EADDRINUSE;
    local = local.WithPort(port);
  } else if (owner_.Conflicts(*this, local, /*may_share=*/true)) {
    return -EADDRINUSE;
  }
  chose_address_ = !local.is_any();
  if (local.is_ipv6() && chose_address_) ipv6_only_ = true;  // As Linux.
  local_ = local;
  owner_.AddToPort(*this);
  return 0;
}

int UdpSocket::BindIfUnbound() {
  if (bound_) return 0;
  const uint16_t port = owner_.FindFreePort(*this, local_);
  if (port == 0) return -EAGAIN;
  local_ = local_.WithPort(port);
  owner_.AddToPort(*this);
  return 0;
}

int UdpSocket::Connect(const SocketAddress& address) {
  const int result = ConnectTo(address);
  Network& network = stack_.network();
  network.trace().Record(TraceKind::kConnect, network.now_ns(), stack_.index(), FromInt(id_), address.port(),
                         FromInt(result));
  return result;
}

int UdpSocket::ConnectTo(const SocketAddress& address) {
  if (address.family() == AddressFamily::kNone) {
    Disconnect();
    return 0;
  }
  if (const int error = BindIfUnbound(); error != 0) return error;
  if (address.is_ipv4() && family_ == AddressFamily::kIpv6 && ipv6_only_) return -EAFNOSUPPORT;
  SocketAddress peer;
  if (const int error = Target(address, &peer); error != 0) return error;
  Route route;
  if (const int error = FindRoute(peer, &route); error != 0) return error;
  // The address that the first connect has chosen stays when the peer changes.
  if (local_.is_any()) local_ = route.source.WithPort(local_.port());
  remote_ = peer;
  return 0;
}

// What the program did not choose itself is given up, the port included.
void UdpSocket::Disconnect() {
  remote_ = SocketAddress();
  if (!chose_address_) local_ = AnyAddress(family_, local_.port());
  if (!chose_port_ && bound_) {
    owner_.RemoveFromPort(*this);
    local_ = local_.WithPort(0);
  }
}

int UdpSocket::LocalAddress(SocketAddress* address) const {
  *address = ToFamily(local_, family_);
  return 0;
}

int UdpSocket::PeerAddress(SocketAddress* address) const {
  if (remote_.port() == 0) return -ENOTCONN;
  *address = ToFamily(remote_, family_);
  return 0;
}

int UdpSocket::Shutdown(ShutdownHow how) {
  // It has its effect on a socket without a peer, too.
  if (how != ShutdownHow::kWrite) receive_shutdown_ = true;
  if (how != ShutdownHow::kRead) send_shutdown_ = true;
  const int result = remote_.family() == AddressFamily::kNone ? -ENOTCONN : 0;
  Network& network = stack_.network();
  network.trace().Record(TraceKind::kShutdown, network.now_ns(), stack_.index(), FromInt(id_),
                         static_cast<uint64_t>(how), FromInt(result));
  if (receive_shutdown_ && stack_.observer() != nullptr) stack_.observer()->OnReceivable(id_);
  return result;
}

// --- UdpSocket: options ---

int UdpSocket::CheckOption(SocketOption option, int value) const {
  switch (option) {
    case SocketOption::kNoDelay:
    case SocketOption::kKeepAliveIdle:
    case SocketOption::kKeepAliveInterval:
    case SocketOption::kKeepAliveCount:
    case SocketOption::kUserTimeout:
    case SocketOption::kQuickAck:
    case SocketOption::kError:
      return -ENOPROTOOPT;
    case SocketOption::kIpv6Only:
      if (family_ != AddressFamily::kIpv6) return -ENOPROTOOPT;
      return bound_ ? -EINVAL : 0;
    case SocketOption::kTrafficClass:
    case SocketOption::kMulticastTimeToLive:
      return value < 0 || value > 255 ? -EINVAL : 0;
    case SocketOption::kTimeToLive:
      return value < 1 || value > 255 ? -EINVAL : 0;
    case SocketOption::kMulticastInterface:
      if (value < 0 || value > static_cast<int>(kNetworkInterface)) return -ENODEV;
      return value == static_cast<int>(kNetworkInterface) && !owner_.OnNetwork(family_) ? -ENODEV : 0;
    default:
      return 0;
  }
}

int UdpSocket::SetOption(SocketOption option, int value) {
  Network& network = stack_.network();
  network.trace().Record(TraceKind::kSocketOption, network.now_ns(), stack_.index(), FromInt(id_),
                         static_cast<uint64_t>(option), FromInt(value));
  if (const int error = CheckOption(option, value); error != 0) return error;
  switch (option) {
    case SocketOption::kReceiveBufferSize:
      receive_buffer_ = static_cast<size_t>(DoubledBuffer(value, kMinReceiveBuffer));
      return 0;
    case SocketOption::kSendBufferSize:
      other_options_[option] = DoubledBuffer(value, kMinSendBuffer);
      return 0;
    case SocketOption::kReuseAddress:
      reuse_address_ = value != 0;
      return 0;
    case SocketOption::kReusePort:
      reuse_port_ = value != 0;
      return 0;
    case SocketOption::kIpv6Only:
      ipv6_only_ = value != 0;
      return 0;
    case SocketOption::kBroadcast:
      broadcast_ = value != 0;
      return 0;
    case SocketOption::kMulticastTimeToLive:
      multicast_time_to_live_ = value;
      return 0;
    case SocketOption::kMulticastLoop:
      multicast_loop_ = value != 0;
      return 0;
    case SocketOption::kMulticastInterface:
      multicast_interface_ = static_cast<uint32_t>(value);
      return 0;
    case SocketOption::kPacketInfo:
      packet_info_ = value != 0;
      return 0;
    case SocketOption::kLinger:
      other_options_[option] = std::max(value, -1);
      return 0;
    case SocketOption::kKeepAlive:
      other_options_[option] = value != 0;
      return 0;
    default:  // kTrafficClass and kTimeToLive: nothing in the model looks at them.
      other_options_[option] = value;
      return 0;
  }
}

int UdpSocket::GetOption(SocketOption option, int* value) {
  const auto remembered = [&](int before) {
    const auto found = other_options_.find(option);
    return found == other_options_.end() ? before : found->second;
  };
  switch (option) {
    case SocketOption::kReceiveBufferSize:
      *value = static_cast<int>(receive_buffer_);
      return 0;
    case SocketOption::kSendBufferSize:
      *value = remembered(kDefaultDatagramBuffer);
      return 0;
    case SocketOption::kReuseAddress:
      *value = reuse_address_;
      return 0;
    case SocketOption::kReusePort:
      *value = reuse_port_;
      return 0;
    case SocketOption::kIpv6Only:
      if (family_ != AddressFamily::kIpv6) return -EOPNOTSUPP;  // Unlike setting it.
      *value = ipv6_only_;
      return 0;
    case SocketOption::kLinger:
      *value = remembered(-1);
      return 0;
    case SocketOption::kError:
      *value = std::exchange(error_, 0);
      return 0;
    case SocketOption::kKeepAlive:
    case SocketOption::kTrafficClass:
      *value = remembered(0);
      return 0;
    case SocketOption::kTimeToLive:
      *value = remembered(64);
      return 0;
    case SocketOption::kBroadcast:
      *value = broadcast_;
      return 0;
    case SocketOption::kMulticastTimeToLive:
      *value = multicast_time_to_live_;
      return 0;
    case SocketOption::kMulticastLoop:
      *value = multicast_loop_;
      return 0;
    case SocketOption::kMulticastInterface:
      *value = static_cast<int>(multicast_interface_);
      return 0;
    case SocketOption::kPacketInfo:
      *value = packet_info_;
      return 0;
    default:  // Of TCP alone.
      return family_ == AddressFamily::kIpv6 ? -ENOPROTOOPT : -EOPNOTSUPP;
  }
}

int UdpSocket::SetMembership(const MulticastGroup& group, bool join) {
  uint32_t interface_index = group.interface_index;
  const int result = ChangeMembership(group, &interface_index, join);
  Network& network = stack_.network();
  network.trace().Record(TraceKind::kMembership, network.now_ns(), stack_.index(), FromInt(id_),
                         uint64_t{interface_index} << 1 | (join ? 1 : 0), FromInt(result));
  return result;
}

int UdpSocket::ChangeMembership(const MulticastGroup& group, uint32_t* interface_index, bool join) {
  if (group.address.is_ipv6() && family_ == AddressFamily::kIpv4) return -ENOPROTOOPT;
  if (!IsMulticast(group.address)) return -EINVAL;
  const bool on_network = owner_.OnNetwork(group.address.family());
  if (*interface_index == 0) *interface_index = on_network ? kNetworkInterface : kLoopbackInterface;
  if (*interface_index > (on_network ? kNetworkInterface : kLoopbackInterface)) return -ENODEV;
  const SocketAddress address = GroupOf(group.address);
  const auto found = std::find_if(memberships_.begin(), memberships_.end(), [&](const Membership& membership) {
    return membership.group == address && membership.interface_index == *interface_index;
  });
  if (join) {
    if (found != memberships_.end()) return -EADDRINUSE;
    memberships_.push_back(Membership{address, *interface_index});
    ++owner_.members_[{*interface_index, address}];
    return 0;
  }
  if (found == memberships_.end()) return -EADDRNOTAVAIL;
  memberships_.erase(found);
  const auto count = owner_.members_.find({*interface_index, address});
  if (--count->second == 0) owner_.members_.erase(count);
  return 0;
}

// --- UdpSocket: sending ---

int UdpSocket::Target(const SocketAddress& address, SocketAddress* peer) const {
  if (!address.is_ipv4() && (!address.is_ipv6() || family_ == AddressFamily::kIpv4)) return -EAFNOSUPPORT;
  *peer = Unmap(address);
  if (peer->is_ipv4() && family_ == AddressFamily::kIpv6 && ipv6_only_) return -ENETUNREACH;
  if (peer->is_any()) *peer = ThisHost(*peer, local_);
  return 0;
}

int UdpSocket::FindRoute(const SocketAddress& peer, Route* route) const {
  const bool everybody = IsBroadcast(peer);
  if (everybody && !broadcast_) return -EACCES;
  const bool chosen = !local_.is_any() && !IsMulticast(local_) && !IsBroadcast(local_);
  if (chosen && local_.family() != peer.family()) return local_.is_ipv4() ? -EAFNOSUPPORT : -ENETUNREACH;
  const bool on_network = owner_.OnNetwork(peer.family());
  if (IsMulticast(peer) || everybody) {
    if (IsMulticast(peer) && multicast_interface_ != 0) {
      route->interface_index = multicast_interface_;
    } else if (chosen) {
      route->interface_index = local_.is_loopback() ? kLoopbackInterface : kNetworkInterface;
    } else {
      route->interface_index = on_network && !peer.is_loopback() ? kNetworkInterface : kLoopbackInterface;
    }
    const bool to_network = route->interface_index == kNetworkInterface;
    if (to_network && !on_network) return -ENETUNREACH;
    // Without a network there is no route for everybody.
    if (everybody && !peer.is_loopback() && !to_network && !chosen) return -ENETUNREACH;
    route->source = LoopbackAddress(peer.family(), 0);
    for (const SocketAddress& address : stack_.addresses()) {
      if (!to_network || address.family() != peer.family()) continue;
      route->source = address;
      break;
    }
  } else {
    if (const int error = stack_.SourceAddressFor(peer, &route->source); error != 0) return error;
    const bool to_itself = stack_.Owns(peer);
    if (chosen && local_.is_loopback() && !to_itself) return -EINVAL;
    route->interface_index = to_itself ? kLoopbackInterface : kNetworkInterface;
  }
  route->source = (chosen ? local_ : route->source).WithPort(local_.port());
  return 0;
}

int64_t UdpSocket::Send(const OutgoingDatagram& datagram) {
  const int64_t result = TrySend(datagram);
  Network& network = stack_.network();
  network.trace().Record(TraceKind::kSend, network.now_ns(), stack_.index(), FromInt(id_), FromInt(result),
                         HashBytes(datagram.data.data(), datagram.data.size()));
  return result;
}

// The checks are in the order of Linux.
int64_t UdpSocket::TrySend(const OutgoingDatagram& datagram) {
  if (const int error = BindIfUnbound(); error != 0) return error;
  const size_t size = datagram.data.size();
  if (size > kLongestUdp) return -EMSGSIZE;
  SocketAddress peer = remote_;
  if (datagram.destination.family() != AddressFamily::kNone) {
    const int error = Target(datagram.destination, &peer);
    if (error != 0) return error;
    if (peer.port() == 0) return -EINVAL;
  } else if (remote_.family() == AddressFamily::kNone) {
    return -EDESTADDRREQ;
  }
  Route route;
  if (const int error = FindRoute(peer, &route); error != 0) return error;
  if (size > (peer.is_ipv4() ? kMaxDatagramIpv4 : kMaxDatagramIpv6)) return -EMSGSIZE;
  if (error_ != 0) return -std::exchange(error_, 0);
  if (send_shutdown_) return -EPIPE;
  if (IsMulticast(peer) || IsBroadcast(peer)) {
    SendToGroup(route, peer, datagram.data);
  } else {
    SendPacket(stack_.Route(peer), route, peer, datagram.data);
  }
  return static_cast<int64_t>(size);
}

void UdpSocket::SendToGroup(const Route& route, const SocketAddress& group, absl::string_view data) {
  Network& network = stack_.network();
  const bool multicast = IsMulticast(group);
  // The loopback interface is one big loop, whatever the option says.
  const bool loops = !multicast || multicast_loop_ || route.interface_index == kLoopbackInterface;
  if (loops) SendPacket(&stack_, route, group, data);
  if (route.interface_index != kNetworkInterface) return;
  if (multicast && (multicast_time_to_live_ == 0 || StaysOnHost(group))) return;
  for (size_t i = 0; i < network.host_count(); ++i) {
    HostStack& host = network.host(i);
    if (&host == &stack_ || !host.udp_->OnNetwork(group.family())) continue;
    if (multicast && !host.udp_->IsMember(kNetworkInterface, group)) continue;
    SendPacket(&host, route, group, data);
  }
}

// `to` is null when nobody has the address.
void UdpSocket::SendPacket(HostStack* to, const Route& route, const SocketAddress& peer, absl::string_view data) {
  Network& network = stack_.network();
  Packet& packet = network.NewPacket();
  packet.protocol = Packet::kUdp;
  packet.from = &stack_;
  packet.to = to;
  packet.source = route.source;
  packet.destination = peer;
  packet.flags = 0;
  packet.interface_index = static_cast<uint8_t>(route.interface_index);
  packet.size = static_cast<uint32_t>(data.size());
  if (!data.empty()) packet.payload = network.buffers().Copy(data).ReleaseBlock();
  network.Send(packet, to == nullptr ? nullptr : &last_arrivals_ns_[to->index()]);
}

// --- UdpSocket: receiving ---

int UdpSocket::Score(const SocketAddress& destination, const SocketAddress& source) const {
  if (!Covers(local_, ipv6_only_, destination)) return 0;
  const bool connected = remote_.family() != AddressFamily::kNone;
  if (connected && remote_ != source) return 0;
  const bool same_family = (family_ == AddressFamily::kIpv4) == destination.is_ipv4();
  return (local_.is_any() ? 0 : 16) + (connected ? 8 : 0) + (same_family ? 2 : 1);
}

void UdpSocket::Enqueue(const Packet& packet, Buffer data) {
  Network& network = stack_.network();
  const size_t cost = data.size() + kDatagramOverhead;
  if (!received_.empty() && received_cost_ + cost > receive_buffer_) {
    ++network.statistics_.datagrams_dropped;
    network.trace().Record(TraceKind::kDatagramDropped, network.now_ns(), stack_.index(), FromInt(id_), data.size());
    return;
  }
  received_cost_ += cost;
  Datagram datagram;
  datagram.data = std::move(data);
  datagram.source = packet.source;
  datagram.destination = packet.destination;
  datagram.interface_index = packet.interface_index;
  received_.push_back(std::move(datagram));
  if (stack_.observer() != nullptr) stack_.observer()->OnReceivable(id_);
}

int UdpSocket::Take(Datagram* datagram) {
  if (error_ != 0) return -std::exchange(error_, 0);
  if (received_.empty()) return -EAGAIN;
  *datagram = std::move(received_.front());
  received_.pop_front();
  const size_t size = datagram->data.size();
  received_cost_ -= size + kDatagramOverhead;
  datagram->source = ToFamily(datagram->source, family_);
  if (packet_info_) {
    datagram->destination = ToFamily(datagram->destination, family_);
  } else {
    datagram->destination = SocketAddress();
    datagram->interface_index = 0;
  }
  Network& network = stack_.network();
  network.trace().Record(TraceKind::kReceive, network.now_ns(), stack_.index(), FromInt(id_), size);
  return 0;
}

// --- UdpStack ---

UdpStack::UdpStack(HostStack& stack) : stack_(stack) {
  const uint64_t ports = HostStack::kLastEphemeralPort - HostStack::kFirstEphemeralPort + 1;
  const uint64_t draw = HashCombine(stack.seed(), HashName("ephemeral datagram ports"));
  next_ephemeral_port_ = static_cast<uint16_t>(HostStack::kFirstEphemeralPort + ReduceToRange(draw, ports));
}

UdpSocket& UdpStack::Open(AddressFamily family) {
  sockets_.push_back(std::make_unique<UdpSocket>(*this, family, opened_++));
  return *sockets_.back();
}

void UdpStack::Close(UdpSocket& socket) {
  while (!socket.memberships_.empty()) {
    const UdpSocket::Membership membership = socket.memberships_.back();
    uint32_t interface_index = membership.interface_index;
    socket.ChangeMembership(MulticastGroup{membership.group, interface_index}, &interface_index, /*join=*/false);
  }
  RemoveFromPort(socket);
  std::erase_if(sockets_, [&](const std::unique_ptr<UdpSocket>& owned) { return owned.get() == &socket; });
}

void UdpStack::DropAllSockets() {
  ports_.clear();
  members_.clear();
  sockets_.clear();
}

bool UdpStack::IsMember(uint32_t interface_index, const SocketAddress& group) const {
  return IsAllHosts(group) || members_.count({interface_index, GroupOf(group)}) > 0;
}

bool UdpStack::OnNetwork(AddressFamily family) const {
  const std::vector<SocketAddress>& addresses = stack_.addresses();
  return std::any_of(addresses.begin(), addresses.end(),
                     [family](const SocketAddress& address) { return address.family() == family; });
}

// The rule of Linux (inet_rcv_saddr_equal, udp_lib_lport_inuse). A port that nobody asked for is not shared.
bool UdpStack::Conflicts(const UdpSocket& socket, const SocketAddress& local, bool may_share) const {
  const auto found = ports_.find(local.port());
  if (found == ports_.end()) return false;
  return std::any_of(found->second.begin(), found->second.end(), [&](const UdpSocket* other) {
    if (!Overlap(local, socket.ipv6_only_, other->local_, other->ipv6_only_)) return false;
    const bool shares = (socket.reuse_address_ && other->reuse_address_) || (socket.reuse_port_ && other->reuse_port_);
    return !may_share || !shares;
  });
}

uint16_t UdpStack::FindFreePort(const UdpSocket& socket, const SocketAddress& local) {
  for (int tries = HostStack::kLastEphemeralPort - HostStack::kFirstEphemeralPort + 1; tries > 0; --tries) {
    const uint16_t port = next_ephemeral_port_;
    next_ephemeral_port_ =
        port == HostStack::kLastEphemeralPort ? HostStack::kFirstEphemeralPort : static_cast<uint16_t>(port + 1);
    if (!Conflicts(socket, local.WithPort(port), /*may_share=*/false)) return port;
  }
  return 0;
}

void UdpStack::AddToPort(UdpSocket& socket) {
  ports_[socket.local_.port()].push_back(&socket);
  socket.bound_ = true;
}

void UdpStack::RemoveFromPort(UdpSocket& socket) {
  if (!socket.bound_) return;
  const auto found = ports_.find(socket.local_.port());
  std::erase(found->second, &socket);
  if (found->second.empty()) ports_.erase(found);
  socket.bound_ = false;
}

// The most exact fit; among equals the last one bound, or, with SO_REUSEPORT, the one that a hash of both addresses
// says.
UdpSocket* UdpStack::FindReceiver(const SocketAddress& destination, const SocketAddress& source) const {
  const auto found = ports_.find(destination.port());
  if (found == ports_.end()) return nullptr;
  std::vector<UdpSocket*> best;
  int best_score = 1;
  for (UdpSocket* socket : found->second) {
    const int score = socket->Score(destination, source);
    if (score < best_score) continue;
    if (score > best_score) best.clear();
    best_score = score;
    best.push_back(socket);
  }
  if (best.empty()) return nullptr;
  if (!best.back()->reuse_port_ || best.back()->remote_.family() != AddressFamily::kNone) return best.back();
  std::erase_if(best, [](const UdpSocket* socket) { return !socket->reuse_port_; });
  const uint64_t hash = HashCombine(HashCombine(stack_.seed(), HashAddress(source)), HashAddress(destination));
  return best[ReduceToRange(hash, best.size())];
}

void UdpStack::OnPacket(Packet& packet) {
  if (packet.protocol == Packet::kUnreachable) {
    UdpSocket* socket = FindReceiver(packet.destination, packet.source);
    if (socket == nullptr || socket->remote_.family() == AddressFamily::kNone) return;
    socket->error_ = ECONNREFUSED;
    Network& network = stack_.network();
    network.trace().Record(TraceKind::kSocketError, network.now_ns(), stack_.index(), FromInt(socket->id_),
                           ECONNREFUSED);
    if (stack_.observer() != nullptr) stack_.observer()->OnReceivable(socket->id_);
    return;
  }
  if (IsMulticast(packet.destination) || IsBroadcast(packet.destination)) return DeliverToAll(packet);
  UdpSocket* socket = FindReceiver(packet.destination, packet.source);
  if (socket == nullptr) return AnswerByUnreachable(packet);
  socket->Enqueue(packet, Buffer(std::exchange(packet.payload, nullptr)));
}

// Every socket that fits gets a copy, also those that did not join the group (as with IP_MULTICAST_ALL, the default).
void UdpStack::DeliverToAll(Packet& packet) {
  if (IsMulticast(packet.destination) && !IsMember(packet.interface_index, packet.destination)) return;
  const auto found = ports_.find(packet.destination.port());
  if (found == ports_.end()) return;
  const Buffer data(std::exchange(packet.payload, nullptr));
  for (UdpSocket* socket : found->second) {
    if (socket->Score(packet.destination, packet.source) == 0) continue;
    socket->Enqueue(packet, data.empty() ? Buffer() : stack_.network().buffers().Copy(data.view()));
  }
}

void UdpStack::AnswerByUnreachable(const Packet& packet) {
  Network& network = stack_.network();
  Packet& answer = network.NewPacket();
  answer.protocol = Packet::kUnreachable;
  answer.from = &stack_;
  answer.to = packet.from;
  answer.source = packet.destination;
  answer.destination = packet.source;
  answer.flags = 0;
  network.Send(answer, nullptr);
}

}  // namespace tandem::sim
