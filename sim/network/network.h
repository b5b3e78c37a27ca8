// SPDX-License-Identifier: Apache-2.0
//
// The simulated network: the hosts, the links between them, and the packets on their way.
//
// A packet is an event at its time of arrival. Nothing moves on its own: the EventQueue runs, and packets and timers
// with it. What is behind a host's end of the links is a NetworkHost (network_host.h).
//
// Payload memory of all hosts comes from one pool, so bytes go from the network to their receiver without a copy.
// Destroy what holds Buffers first, then the Network, then the queue and the trace.

#ifndef TANDEM_SIM_NETWORK_NETWORK_H_
#define TANDEM_SIM_NETWORK_NETWORK_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/names.h"
#include "tandem/sim/network/network_host.h"
#include "tandem/sim/network/packet.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/time/event_queue.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::sim {

// Who says what faults do to links, and is told when something happens that a fault waits for.
class FaultSource {
 public:
  virtual LinkFaults FaultsOf(const NetworkHost& from, const NetworkHost& to) = 0;
  // The next packet of this link, counted from 1, of which it wants to be told, when `sent` were sent; ~0: none.
  virtual uint64_t NextPacketAlarm(const NetworkHost& from, const NetworkHost& to, uint64_t sent) = 0;
  // That packet is sent now. What begins with it holds for it.
  virtual void OnPacketAlarm(const NetworkHost& from, const NetworkHost& to) = 0;
  // A program on `host` makes the call of NetworkHost::set_call_alarm().
  virtual void OnCallAlarm(NetworkHost& host) = 0;

 protected:
  ~FaultSource() = default;
};

class Network {
 public:
  Network(EventQueue& events, Trace& trace, const Choices& choices);
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;
  // CHECKs that no Buffer is left.
  ~Network();

  EventQueue& events() { return events_; }
  Trace& trace() { return trace_; }
  const Choices& choices() const { return choices_; }
  int64_t now_ns() const { return events_.now_ns(); }
  HeapBufferPool& buffers() { return buffers_; }

  // Adds a host, which the network owns; its number is its index. CHECKs that its addresses are not loopbacks, which
  // come by themselves, and nobody else's.
  void Add(std::unique_ptr<NetworkHost> host);
  size_t host_count() const { return hosts_.size(); }
  NetworkHost& host(size_t index) { return *hosts_[index]; }
  // The names of the world. Hosts are in it.
  NameTable& names() { return names_; }
  // Who has `address` (any port), or null. Not for loopback addresses.
  NetworkHost* FindHost(const SocketAddress& address) const;

  // --- Links: one direction each. A link from a host to itself is its loopback. ---

  // What links have that were not set by SetConditions(); does not change loopbacks.
  void SetDefaultConditions(const LinkConditions& conditions);
  const LinkConditions& default_conditions() const { return default_conditions_; }
  void SetConditions(NetworkHost& from, NetworkHost& to, const LinkConditions& conditions);
  const LinkConditions& conditions(NetworkHost& from, NetworkHost& to) { return from.LinkTo(to).conditions(); }
  // Packets that are sent or arrive while it is blocked are lost.
  void Block(NetworkHost& from, NetworkHost& to);
  void Unblock(NetworkHost& from, NetworkHost& to);
  // Packets that were sent on this link so far.
  uint64_t PacketsSent(const NetworkHost& from, const NetworkHost& to) const;
  bool blocked(NetworkHost& from, NetworkHost& to) { return from.LinkTo(to).blocked(); }
  // The same for another reason: Unblock() does not mend, and Mend() does not unblock.
  void Cut(NetworkHost& from, NetworkHost& to);
  void Mend(NetworkHost& from, NetworkHost& to);
  // Packets that arrive from now on, those on their way included, wait for Release(), and then arrive in this order.
  void Hold(NetworkHost& from, NetworkHost& to);
  void Release(NetworkHost& from, NetworkHost& to);

  // --- Faults ---

  void set_fault_source(FaultSource* source) { fault_source_ = source; }
  FaultSource* fault_source() const { return fault_source_; }
  // What the source says has changed. Links ask for it when they have something to carry.
  void FaultsChanged() { ++fault_epoch_; }

  struct Statistics {
    uint64_t packets_sent = 0;
    uint64_t packets_delivered = 0;
    uint64_t packets_lost = 0;
    uint64_t retransmissions = 0;
    uint64_t datagrams_sent = 0;
    uint64_t datagrams_dropped = 0;  // Delivered, and the socket's receive buffer was full.
    uint64_t lookups = 0;            // Of names.
  };
  const Statistics& statistics() const { return statistics_; }

  // --- Packets: for the stacks ---

  // A packet without payload, to be sent or freed. Its addresses, flags and stacks are as its last user left them.
  Packet& NewPacket();
  // Gives back the packet and the payload that it still has.
  void FreePacket(Packet& packet);
  // The faults of links are about to end before their time: what they hold up arrives as late as something that is sent
  // now, in the order in which it would have arrived.
  void EndDelays();
  // Puts `packet` on the link from `packet.from`. `last_arrival_ns` keeps the packets of a connection in order; may be
  // null.
  void Send(Packet& packet, int64_t* last_arrival_ns);
  // What hosts send to themselves after HoldLoopback() is delivered by DeliverLoopback(), with all that answers it, and
  // without delay: on Linux the loopback has delivered before the system call returns.
  void HoldLoopback() { holds_loopback_ = true; }
  void DeliverLoopback();
  // `packet` is lost.
  void Drop(Packet& packet, DropReason reason);
  // `packet` has arrived.
  void Deliver(Packet& packet);
  void CountRetransmission() { ++statistics_.retransmissions; }
  void CountDroppedDatagram() { ++statistics_.datagrams_dropped; }
  void CountLookup() { ++statistics_.lookups; }

 private:
  static constexpr size_t kPacketsPerSlab = 256;

  // The link, with faults as they are now.
  Link& LinkOf(const Packet& packet) {
    Link& link = packet.from->LinkTo(*packet.to);
    if (link.fault_epoch() != fault_epoch_) [[unlikely]] {
      UpdateFaults(link, packet);
    }
    return link;
  }
  // Of the packets that are to arrive those that are meant, in the order in which they will.
  std::vector<Packet*> OnTheirWay(absl::FunctionRef<bool(const Packet& packet)> is_meant);
  void UpdateFaults(Link& link, const Packet& packet);
  void SendCopy(const Packet& packet, int64_t arrival_ns);

  EventQueue& events_;
  Trace& trace_;
  const Choices& choices_;
  LinkConditions default_conditions_;
  Statistics statistics_;
  FaultSource* fault_source_ = nullptr;
  uint64_t fault_epoch_ = 0;
  HeapBufferPool buffers_;  // Outlives the hosts.
  std::vector<std::unique_ptr<std::array<Packet, kPacketsPerSlab>>> slabs_;
  Packet* free_packets_ = nullptr;
  bool holds_loopback_ = false;
  Packet* held_first_ = nullptr;
  Packet* held_last_ = nullptr;
  NameTable names_;
  std::map<SocketAddress, NetworkHost*> hosts_by_address_;
  std::vector<std::unique_ptr<NetworkHost>> hosts_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_NETWORK_NETWORK_H_
