// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/udp/udp_socket.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "tandem/core/base/random.h"
#include "tandem/sim/network/ip.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/udp/udp_stack.h"

namespace tandem::sim {
namespace {

constexpr size_t kLongestUdp = 65535;

// ff01::/16 does not leave the host.
bool StaysOnHost(const SocketAddress& group) { return group.is_ipv6() && (group.bytes()[1] & 0x0f) == 1; }

}  // namespace

// --- names ---

UdpSocket::UdpSocket(UdpStack& owner, AddressFamily family, uint64_t ordinal)
    : owner_(owner),
      stack_(owner.host()),
      family_(family),
      entity_(stack_.entity().Part("udp", ordinal)),
      local_(AnyAddress(family, 0)),
      options_(SocketType::kDatagram, family) {}

int UdpSocket::Bind(const SocketAddress& address) {
  const int result = BindTo(address);
  stack_.Record(TraceKind::kBind, id_, local_.port(), result);
  return result;
}

int UdpSocket::BindTo(const SocketAddress& address) {
  if (address.family() != family_) return -WrongFamily(family_, address.family());
  if (bound_) return -EINVAL;
  SocketAddress local = Unmap(address);
  if (local.is_ipv4() && family_ == AddressFamily::kIpv6 && ipv6_only()) return -EINVAL;
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
  if (local.is_ipv6() && chose_address_) options_.Force(SocketOption::kIpv6Only, 1);  // As Linux.
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
  stack_.Record(TraceKind::kConnect, id_, address.port(), result);
  return result;
}

int UdpSocket::ConnectTo(const SocketAddress& address) {
  if (address.family() == AddressFamily::kNone) {
    Disconnect();
    return 0;
  }
  if (const int error = BindIfUnbound(); error != 0) return error;
  if (address.is_ipv4() && family_ == AddressFamily::kIpv6 && ipv6_only()) return -EAFNOSUPPORT;
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

SocketAddress UdpSocket::LocalAddress() const { return ToFamily(local_, family_); }

int UdpSocket::PeerAddress(SocketAddress* address) const {
  if (remote_.port() == 0) return -ENOTCONN;
  *address = ToFamily(remote_, family_);
  return 0;
}

int UdpSocket::Shutdown(ShutdownHow how) {
  // It has its effect on a socket without a peer, too.
  if (how != ShutdownHow::kWrite) receive_shutdown_ = true;
  if (how != ShutdownHow::kRead) send_shutdown_ = true;
  if (receive_shutdown_) NotifyReceivable();
  return remote_.family() == AddressFamily::kNone ? -ENOTCONN : 0;
}

// --- options ---

int UdpSocket::SetOption(SocketOption option, int value) {
  if (option == SocketOption::kIpv6Only && family_ == AddressFamily::kIpv6 && bound_) return -EINVAL;
  if (option == SocketOption::kMulticastInterface) {
    const uint32_t last = owner_.OnNetwork(family_) ? kNetworkInterface : kLoopbackInterface;
    if (value < 0 || static_cast<uint32_t>(value) > last) return -ENODEV;
  }
  return options_.Set(option, value);
}

int UdpSocket::GetOption(SocketOption option, int* value) {
  if (option != SocketOption::kError) return options_.Get(option, value);
  *value = std::exchange(error_, 0);
  return 0;
}

int UdpSocket::SetMembership(const MulticastGroup& group, bool join) {
  uint32_t interface_index = group.interface_index;
  const int result = ChangeMembership(group, &interface_index, join);
  stack_.Record(TraceKind::kMembership, id_, uint64_t{interface_index} << 1 | (join ? 1 : 0), result);
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
    owner_.AddMember(*interface_index, address);
    return 0;
  }
  if (found == memberships_.end()) return -EADDRNOTAVAIL;
  memberships_.erase(found);
  owner_.RemoveMember(*interface_index, address);
  return 0;
}

// --- sending ---

int UdpSocket::Target(const SocketAddress& address, SocketAddress* peer) const {
  if (!address.is_ipv4() && (!address.is_ipv6() || family_ == AddressFamily::kIpv4)) return -EAFNOSUPPORT;
  *peer = Unmap(address);
  if (peer->is_ipv4() && family_ == AddressFamily::kIpv6 && ipv6_only()) return -ENETUNREACH;
  if (peer->is_any()) *peer = ThisHost(*peer, local_);
  return 0;
}

int UdpSocket::FindRoute(const SocketAddress& peer, Route* route) const {
  const bool everybody = IsBroadcast(peer);
  if (everybody && !options_.has(SocketOption::kBroadcast)) return -EACCES;
  const bool chosen = !local_.is_any() && !IsMulticast(local_) && !IsBroadcast(local_);
  if (chosen && local_.family() != peer.family()) return local_.is_ipv4() ? -EAFNOSUPPORT : -ENETUNREACH;
  const bool on_network = owner_.OnNetwork(peer.family());
  if (IsMulticast(peer) || everybody) {
    if (IsMulticast(peer) && options_.has(SocketOption::kMulticastInterface)) {
      route->interface_index = static_cast<uint32_t>(options_[SocketOption::kMulticastInterface]);
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
  stack_.Record(TraceKind::kSend, id_, result, HashBytes(datagram.data.data(), datagram.data.size()));
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
  const bool loops =
      !multicast || options_.has(SocketOption::kMulticastLoop) || route.interface_index == kLoopbackInterface;
  if (loops) SendPacket(&stack_, route, group, data);
  if (route.interface_index != kNetworkInterface) return;
  if (multicast && (!options_.has(SocketOption::kMulticastTimeToLive) || StaysOnHost(group))) return;
  for (size_t i = 0; i < network.host_count(); ++i) {
    NetworkHost& host = network.host(i);
    if (&host == &stack_ || !host.ListensTo(kNetworkInterface, group)) continue;
    SendPacket(&host, route, group, data);
  }
}

// `to` is null when nobody has the address.
void UdpSocket::SendPacket(NetworkHost* to, const Route& route, const SocketAddress& peer, absl::string_view data) {
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
  if (to == nullptr) {
    network.Send(packet, nullptr);
    return;
  }
  Flow& flow = FlowTo(*to);
  packet.flow = flow.entity;
  packet.flow_ordinal = flow.sent++;
  network.Send(packet, &flow.last_arrival_ns);
}

UdpSocket::Flow& UdpSocket::FlowTo(const NetworkHost& to) {
  const auto [found, is_new] = flows_.try_emplace(to.index());
  if (is_new) found->second.entity = entity_.Part(to.name());
  return found->second;
}

// --- receiving ---

int UdpSocket::Score(const SocketAddress& destination, const SocketAddress& source) const {
  if (!Covers(local_, ipv6_only(), destination)) return 0;
  const bool connected = remote_.family() != AddressFamily::kNone;
  if (connected && remote_ != source) return 0;
  const bool same_family = (family_ == AddressFamily::kIpv4) == destination.is_ipv4();
  return (local_.is_any() ? 0 : 16) + (connected ? 8 : 0) + (same_family ? 2 : 1);
}

void UdpSocket::Enqueue(const Packet& packet, Buffer data) {
  const size_t cost = data.size() + kDatagramOverhead;
  const auto room = static_cast<size_t>(options_[SocketOption::kReceiveBufferSize]);
  if (!received_.empty() && received_cost_ + cost > room) {
    stack_.network().CountDroppedDatagram();
    stack_.Record(TraceKind::kDatagramDropped, id_, data.size());
    return;
  }
  received_cost_ += cost;
  Datagram datagram;
  datagram.data = std::move(data);
  datagram.source = packet.source;
  datagram.destination = packet.destination;
  datagram.interface_index = packet.interface_index;
  received_.Push(std::move(datagram));
  NotifyReceivable();
}

int UdpSocket::Take(Datagram* datagram) {
  if (error_ != 0) return -std::exchange(error_, 0);
  if (received_.empty()) return -EAGAIN;
  *datagram = received_.Pop();
  const size_t size = datagram->data.size();
  received_cost_ -= size + kDatagramOverhead;
  datagram->source = ToFamily(datagram->source, family_);
  if (options_.has(SocketOption::kPacketInfo)) {
    datagram->destination = ToFamily(datagram->destination, family_);
  } else {
    datagram->destination = SocketAddress();
    datagram->interface_index = 0;
  }
  stack_.RecordBytes(datagram->data.view(), TraceKind::kReceive, id_, size);
  return 0;
}

}  // namespace tandem::sim
