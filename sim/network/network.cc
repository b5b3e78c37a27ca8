// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/network/network.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "tandem/core/base/random.h"

namespace tandem::sim {
namespace {

constexpr uint32_t kHeaderBytes = 66;  // Ethernet, IP, TCP with time stamps: what a packet costs beside its payload.
constexpr uint32_t kDatagramHeaderBytes = 42;     // Ethernet, IP, UDP.
constexpr uint32_t kFragmentPayloadBytes = 1480;  // Of an IP packet that is not more than 1500 bytes.

uint64_t Pair(uint32_t high, uint32_t low) { return uint64_t{high} << 32 | low; }
uint64_t FromInt(int64_t value) { return static_cast<uint64_t>(value); }

// What a packet is, for the trace.
uint64_t Kind(const Packet& packet) { return Pair(packet.flags | uint32_t{packet.protocol} << 8, packet.size); }

PacketFate SendDatagram(Link& link, int64_t now_ns, const Packet& packet, const PacketChoices& choices) {
  const uint32_t fragments =
      packet.from == packet.to ? 1 : std::max(1u, (packet.size + kFragmentPayloadBytes - 1) / kFragmentPayloadBytes);
  return link.SendDatagram(now_ns, packet.size, kDatagramHeaderBytes, fragments, choices);
}

}  // namespace

void Packet::Run() { from->network().Deliver(*this); }

Network::Network(EventQueue& events, Trace& trace, const Choices& choices)
    : events_(events), trace_(trace), choices_(choices) {}

Network::~Network() {
  hosts_.clear();
  for (const auto& slab : slabs_) {
    for (Packet& packet : *slab) {
      events_.Cancel(packet);
      if (packet.payload != nullptr) buffers_.Release(std::exchange(packet.payload, nullptr));
    }
  }
}

void Network::Add(std::unique_ptr<NetworkHost> added) {
  NetworkHost& host = *added;
  host.index_ = static_cast<uint32_t>(hosts_.size());
  hosts_.push_back(std::move(added));
  for (const SocketAddress& address : host.addresses()) {
    CHECK(!address.is_loopback() && !address.is_any()) << address.ToString();
    CHECK(hosts_by_address_.try_emplace(address, &host).second) << "two hosts with " << address.HostToString();
  }
  const bool only_loopback = host.addresses().empty();
  names_.SetDefault(host.name(), only_loopback ? std::vector<SocketAddress>{SocketAddress::LoopbackIpv6(0),
                                                                            SocketAddress::LoopbackIpv4(0)}
                                               : host.addresses());
}

NetworkHost* Network::FindHost(const SocketAddress& address) const {
  const auto found = hosts_by_address_.find(address.WithPort(0));
  return found == hosts_by_address_.end() ? nullptr : found->second;
}

void Network::SetDefaultConditions(const LinkConditions& conditions) {
  default_conditions_ = conditions;
  constexpr uint32_t kAllHosts = ~uint32_t{0};
  trace_.Record(TraceKind::kConditions, now_ns(), kAllHosts, kAllHosts, FromInt(conditions.latency.median_ns),
                conditions.bytes_per_second);
}

void Network::SetConditions(NetworkHost& from, NetworkHost& to, const LinkConditions& conditions) {
  from.LinkTo(to).set_conditions(conditions);
  trace_.Record(TraceKind::kConditions, now_ns(), from.index(), to.index(), FromInt(conditions.latency.median_ns),
                conditions.bytes_per_second);
}

void Network::Block(NetworkHost& from, NetworkHost& to) {
  from.LinkTo(to).set_blocked(true);
  trace_.Record(TraceKind::kBlock, now_ns(), from.index(), to.index(), 1);
}

void Network::Unblock(NetworkHost& from, NetworkHost& to) {
  from.LinkTo(to).set_blocked(false);
  trace_.Record(TraceKind::kBlock, now_ns(), from.index(), to.index(), 0);
}

void Network::Cut(NetworkHost& from, NetworkHost& to) {
  from.LinkTo(to).set_cut(true);
  trace_.Record(TraceKind::kBlock, now_ns(), from.index(), to.index(), 1);
}

void Network::Mend(NetworkHost& from, NetworkHost& to) {
  from.LinkTo(to).set_cut(false);
  trace_.Record(TraceKind::kBlock, now_ns(), from.index(), to.index(), 0);
}

void Network::Hold(NetworkHost& from, NetworkHost& to) {
  from.LinkTo(to).set_holds(true);
  trace_.Record(TraceKind::kBlock, now_ns(), from.index(), to.index(), 2);
}

void Network::Release(NetworkHost& from, NetworkHost& to) {
  Link& link = from.LinkTo(to);
  link.set_holds(false);
  trace_.Record(TraceKind::kBlock, now_ns(), from.index(), to.index(), 0);
  // What arrives at this very instant comes behind it.
  const std::vector<Packet*> due = OnTheirWay(
      [&](const Packet& packet) { return packet.from == &from && packet.to == &to && packet.time_ns() == now_ns(); });
  for (Packet* packet : std::exchange(link.held(), {})) events_.Schedule(*packet, now_ns());
  for (Packet* packet : due) events_.Reschedule(*packet, now_ns());
}

uint64_t Network::PacketsSent(const NetworkHost& from, const NetworkHost& to) const {
  const Link* const link = from.FindLink(to);
  return link == nullptr ? 0 : link->sent();
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

void Network::Send(Packet& packet, int64_t* last_arrival_ns) {
  const int64_t now = now_ns();
  ++statistics_.packets_sent;
  if (packet.protocol == Packet::kUdp) ++statistics_.datagrams_sent;
  if (packet.to == nullptr) {
    trace_.About(packet);
    trace_.Record(TraceKind::kPacketUnreachable, now, packet.from->index(), Kind(packet) >> 32, packet.size,
                  packet.sequence);
    FreePacket(packet);
    return;
  }
  Link* link_now = &LinkOf(packet);
  if (link_now->sent() + 1 == link_now->alarm()) [[unlikely]] {
    fault_source_->OnPacketAlarm(*packet.from, *packet.to);
    link_now = &LinkOf(packet);
  }
  Link& link = *link_now;
  const PacketChoices choices = {choices_, packet.flow, packet.flow_ordinal};
  PacketFate fate = packet.protocol == Packet::kTcp ? link.Send(now, packet.size, kHeaderBytes, choices)
                                                    : SendDatagram(link, now, packet, choices);
  packet.link_ordinal = fate.ordinal;
  const bool held = holds_loopback_ && packet.from == packet.to && !fate.dropped;
  if (held) {
    fate.arrival_ns = now;
  } else if (last_arrival_ns != nullptr && !fate.reordered && !fate.dropped) {
    // Packets of a connection arrive in order.
    fate.arrival_ns = std::max(fate.arrival_ns, std::min(*last_arrival_ns, link.in_order_until_ns()));
    *last_arrival_ns = fate.arrival_ns;
    link.NoteArrival(fate.arrival_ns);
  }
  trace_.About(packet, &fate);
  trace_.Record(TraceKind::kPacketSent, now, packet.from->index(), Pair(packet.to->index(), fate.ordinal), Kind(packet),
                packet.sequence);
  if (fate.dropped) {
    Drop(packet, fate.reason);
    return;
  }
  if (fate.duplicate_arrival_ns.has_value()) SendCopy(packet, *fate.duplicate_arrival_ns);
  if (held) {
    (held_first_ == nullptr ? held_first_ : held_last_->next) = &packet;
    held_last_ = &packet;
    return;
  }
  events_.Schedule(packet, fate.arrival_ns);
}

void Network::EndDelays() {
  for (const std::unique_ptr<NetworkHost>& from : hosts_) {
    for (size_t to = 0; to < from->links().size(); ++to) {
      Link* const link = from->links()[to].get();
      if (link == nullptr || hosts_[to] == from || !fault_source_->FaultsOf(*from, *hosts_[to]).any) continue;
      link->LimitArrivals(now_ns() + link->conditions().latency.max_ns);
    }
  }
  const auto latest = [](const Packet& packet) { return packet.from->FindLink(*packet.to)->in_order_until_ns(); };
  for (Packet* packet : OnTheirWay([&](const Packet& packet) { return packet.time_ns() > latest(packet); })) {
    events_.Reschedule(*packet, latest(*packet));
  }
}

std::vector<Packet*> Network::OnTheirWay(absl::FunctionRef<bool(const Packet& packet)> is_meant) {
  std::vector<Packet*> all;
  for (const auto& slab : slabs_) {
    for (Packet& packet : *slab) {
      if (packet.scheduled() && is_meant(packet)) all.push_back(&packet);
    }
  }
  // Copies of a packet, which alone are equal here, are the same bytes.
  std::sort(all.begin(), all.end(), [](const Packet* a, const Packet* b) {
    return std::tuple(a->time_ns(), a->from->index(), a->to->index(), a->link_ordinal) <
           std::tuple(b->time_ns(), b->from->index(), b->to->index(), b->link_ordinal);
  });
  return all;
}

void Network::DeliverLoopback() {
  while (held_first_ != nullptr) {
    Packet& packet = *held_first_;
    held_first_ = std::exchange(packet.next, nullptr);
    Deliver(packet);
  }
  holds_loopback_ = false;
}

void Network::UpdateFaults(Link& link, const Packet& packet) {
  const bool loopback = packet.from == packet.to;
  if (fault_source_ == nullptr || loopback) {
    link.set_faults(LinkFaults(), fault_epoch_, ~uint64_t{0});
    return;
  }
  link.set_faults(fault_source_->FaultsOf(*packet.from, *packet.to), fault_epoch_,
                  fault_source_->NextPacketAlarm(*packet.from, *packet.to, link.sent()));
}

void Network::SendCopy(const Packet& packet, int64_t arrival_ns) {
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
  copy.flow = packet.flow;
  copy.flow_ordinal = packet.flow_ordinal;
  if (packet.payload != nullptr) {
    const absl::string_view bytes(packet.payload->memory + packet.payload->begin, packet.size);
    copy.payload = buffers_.Copy(bytes).ReleaseBlock();
  }
  events_.Schedule(copy, arrival_ns);
}

void Network::Deliver(Packet& packet) {
  Link& link = LinkOf(packet);
  if (link.blocked() || link.cut() || link.IsParted()) {
    Drop(packet, DropReason::kBlockedOnArrival);
    return;
  }
  if (link.holds()) {
    link.held().push_back(&packet);
    return;
  }
  if (!packet.to->up()) {
    Drop(packet, DropReason::kHostDown);
    return;
  }
  ++statistics_.packets_delivered;
  trace_.About(packet);
  trace_.Record(TraceKind::kPacketDelivered, now_ns(), packet.to->index(),
                Pair(packet.from->index(), packet.link_ordinal), Kind(packet), packet.sequence);
  packet.to->OnPacket(packet);
  FreePacket(packet);
}

void Network::Drop(Packet& packet, DropReason reason) {
  ++statistics_.packets_lost;
  trace_.About(packet);
  trace_.Record(TraceKind::kPacketLost, now_ns(), packet.from->index(), Pair(packet.to->index(), packet.link_ordinal),
                static_cast<uint64_t>(reason));
  FreePacket(packet);
}

}  // namespace tandem::sim
