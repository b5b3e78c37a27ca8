// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/udp/udp_stack.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/log/check.h"
#include "tandem/core/base/random.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/network/ip.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/network/network_host.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/udp/udp_socket.h"

namespace tandem::sim {
namespace {

// 224.0.0.1 and ff02::1, and the interface's own ff01::1: every host is in them.
bool IsAllHosts(const SocketAddress& group) {
  if (group.is_ipv4()) return group.WithPort(0) == SocketAddress::Ipv4({224, 0, 0, 1}, 0);
  std::array<uint8_t, 16> all_nodes = {0xff, group.bytes()[1]};
  all_nodes[15] = 1;
  return group.bytes() == all_nodes && (group.bytes()[1] == 1 || group.bytes()[1] == 2);
}

}  // namespace

UdpStack::UdpStack(NetworkHost& stack)
    : stack_(stack), ephemeral_(stack.network().choices().Draw(Choice::kPort, stack.entity().Part("udp"), 0)) {}

UdpStack::~UdpStack() = default;

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

void UdpStack::Forget(const StackObserver& observer) {
  for (const std::unique_ptr<UdpSocket>& socket : sockets_) {
    if (socket->observer_ == &observer) socket->observer_ = nullptr;
  }
}

void UdpStack::RemoveMember(uint32_t interface_index, const SocketAddress& group) {
  const auto count = members_.find({interface_index, group});
  if (--count->second == 0) members_.erase(count);
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
    if (!Overlap(local, socket.ipv6_only(), other->local_, other->ipv6_only())) return false;
    const auto both_have = [&](SocketOption option) {
      return socket.options_.has(option) && other->options_.has(option);
    };
    return !may_share || !(both_have(SocketOption::kReuseAddress) || both_have(SocketOption::kReusePort));
  });
}

uint16_t UdpStack::FindFreePort(const UdpSocket& socket, const SocketAddress& local) {
  return ephemeral_.Find([&](uint16_t port) { return !Conflicts(socket, local.WithPort(port), /*may_share=*/false); });
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

// The most exact fit; among equals the last one bound, or, with SO_REUSEPORT, the one that a hash of the flow says:
// of addresses, another host could move it.
UdpSocket* UdpStack::FindReceiver(const Packet& packet) const {
  const SocketAddress& destination = packet.destination;
  const SocketAddress& source = packet.source;
  const auto found = ports_.find(destination.port());
  if (found == ports_.end()) return nullptr;
  const auto shares = [](const UdpSocket& socket) { return socket.options_.has(SocketOption::kReusePort); };
  UdpSocket* best = nullptr;
  int best_score = 1;
  uint64_t sharing = 0;  // How many with the best score share their port.
  for (UdpSocket* socket : found->second) {
    const int score = socket->Score(destination, source);
    if (score < best_score) continue;
    if (score > best_score) sharing = 0;
    best_score = score;
    best = socket;
    if (shares(*socket)) ++sharing;
  }
  if (best == nullptr || !shares(*best) || best->remote_.family() != AddressFamily::kNone || sharing == 1) return best;
  const uint64_t flow = HashCombine(packet.flow.hash(), destination.port());
  const uint64_t hash = stack_.network().choices().Draw(Choice::kListener, stack_.entity(), flow);
  uint64_t skip = ReduceToRange(hash, sharing);
  for (UdpSocket* socket : found->second) {
    if (socket->Score(destination, source) == best_score && shares(*socket) && skip-- == 0) return socket;
  }
  return best;
}

void UdpStack::OnPacket(Packet& packet) {
  if (packet.protocol == Packet::kUnreachable) {
    UdpSocket* socket = FindReceiver(packet);
    if (socket == nullptr || socket->remote_.family() == AddressFamily::kNone) return;
    socket->error_ = ECONNREFUSED;
    stack_.Record(TraceKind::kSocketError, socket->id_, ECONNREFUSED);
    socket->NotifyReceivable();
    return;
  }
  if (IsMulticast(packet.destination) || IsBroadcast(packet.destination)) return DeliverToAll(packet);
  UdpSocket* socket = FindReceiver(packet);
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
  answer.Answer(packet);
  answer.source = packet.destination;
  answer.destination = packet.source;
  answer.flags = 0;
  network.Send(answer, nullptr);
}

}  // namespace tandem::sim
