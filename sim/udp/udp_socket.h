// SPDX-License-Identifier: Apache-2.0
//
// A UDP socket of the simulated network, modelled after Linux.
//
// What is there: connected sockets and their filter, broadcast, multicast for IPv4 and IPv6, packet info, dual stack,
// receive buffers that overflow. Every host has the interfaces 1 (loopback) and, when it has addresses, 2 (the network,
// which all hosts are on). A datagram to a group or to everybody is a packet of its own on the link to each host; it
// goes to those hosts that have a member when it is sent. What is simpler than in Linux: a send never waits for the
// send buffer, and a neighbour that does not exist is no error.

#ifndef TANDEM_SIM_UDP_UDP_SOCKET_H_
#define TANDEM_SIM_UDP_UDP_SOCKET_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "absl/strings/string_view.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/network/network_host.h"
#include "tandem/sim/network/packet.h"
#include "tandem/sim/network/socket_options.h"
#include "tandem/sim/network/stack_observer.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/udp/datagram_queue.h"

namespace tandem::sim {

class UdpStack;

inline constexpr uint32_t kLoopbackInterface = 1;
inline constexpr uint32_t kNetworkInterface = 2;

// Linux' numbers.
inline constexpr size_t kMaxDatagramIpv4 = 65507;
inline constexpr size_t kMaxDatagramIpv6 = 65527;
// What a datagram takes of the receive buffer beside its bytes: what Linux takes for a small one.
inline constexpr size_t kDatagramOverhead = 832;

// Made and owned by a UdpStack. Calls return 0 or a value, or -errno.
class UdpSocket {
 public:
  // `ordinal` tells the sockets of a host apart.
  UdpSocket(UdpStack& owner, AddressFamily family, uint64_t ordinal);
  UdpSocket(const UdpSocket&) = delete;
  UdpSocket& operator=(const UdpSocket&) = delete;

  SocketId id() const { return id_; }
  // A program has it, as `id`; `observer`, or nobody, is told what happens.
  void set_program(SocketId id, StackObserver* observer) {
    id_ = id;
    observer_ = observer;
  }
  // What decisions about this socket are addressed by: "client/udp#0" for the first one that client opens. A flow has
  // the name of the host that it goes to in addition: "client/udp#0/server".
  Entity entity() const { return entity_; }

  int Bind(const SocketAddress& address);
  // Sets the peer; none: dissolves the association.
  int Connect(const SocketAddress& address);
  int Shutdown(ShutdownHow how);
  int SetOption(SocketOption option, int value);
  int GetOption(SocketOption option, int* value);
  int SetMembership(const MulticastGroup& group, bool join);
  SocketAddress LocalAddress() const;
  int PeerAddress(SocketAddress* address) const;

  // The bytes sent.
  int64_t Send(const OutgoingDatagram& datagram);
  // The next datagram; -EAGAIN when there is none; or the pending error, which this clears.
  int Take(Datagram* datagram);
  // True when Take() would not say -EAGAIN.
  bool readable() const { return error_ != 0 || !received_.empty(); }
  // The program has shut down receiving: nothing will wake it.
  bool receive_shutdown() const { return receive_shutdown_; }

 private:
  friend class UdpStack;

  // Where a datagram goes out.
  struct Route {
    SocketAddress source;
    uint32_t interface_index = 0;
  };
  // What this socket sends to one host.
  struct Flow {
    Entity entity;
    uint64_t sent = 0;
    int64_t last_arrival_ns = 0;  // Keeps datagrams in order.
  };
  struct Membership {
    SocketAddress group;
    uint32_t interface_index;
  };

  int BindTo(const SocketAddress& address);
  int BindIfUnbound();
  int ConnectTo(const SocketAddress& address);
  void Disconnect();
  int ChangeMembership(const MulticastGroup& group, uint32_t* interface_index, bool join);

  // Checks the `address` that a program names and turns it into what packets carry.
  int Target(const SocketAddress& address, SocketAddress* peer) const;
  int FindRoute(const SocketAddress& peer, Route* route) const;
  int64_t TrySend(const OutgoingDatagram& datagram);
  void SendToGroup(const Route& route, const SocketAddress& group, absl::string_view data);
  void SendPacket(NetworkHost* to, const Route& route, const SocketAddress& peer, absl::string_view data);

  Flow& FlowTo(const NetworkHost& to);

  bool ipv6_only() const { return options_.has(SocketOption::kIpv6Only); }
  // How well this socket fits a datagram; 0: not at all.
  int Score(const SocketAddress& destination, const SocketAddress& source) const;
  void Enqueue(const Packet& packet, Buffer data);
  void NotifyReceivable() {
    if (observer_ != nullptr) observer_->OnReceivable(id_);
  }

  UdpStack& owner_;
  NetworkHost& stack_;
  const AddressFamily family_;
  const Entity entity_;
  SocketId id_ = kNoSocket;
  StackObserver* observer_ = nullptr;

  SocketAddress local_;   // IPv4 addresses in IPv6 sockets are kept as IPv4.
  SocketAddress remote_;  // None: not connected.
  bool bound_ = false;    // In the port table.
  bool chose_address_ = false;
  bool chose_port_ = false;

  SocketOptions options_;
  std::vector<Membership> memberships_;

  int error_ = 0;
  bool receive_shutdown_ = false;
  bool send_shutdown_ = false;

  DatagramQueue received_;
  size_t received_cost_ = 0;        // Of the receive buffer.
  std::map<uint32_t, Flow> flows_;  // By the index of the host.
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_UDP_UDP_SOCKET_H_
