// SPDX-License-Identifier: Apache-2.0
//
// UDP sockets of the simulated network, modelled after Linux.
//
// What is there: ports with SO_REUSEADDR and SO_REUSEPORT, connected sockets and their filter, ICMP port unreachable,
// broadcast, multicast for IPv4 and IPv6, packet info, dual stack, receive buffers that overflow. Every host has the
// interfaces 1 (loopback) and, when it has addresses, 2 (the network, which all hosts are on). A datagram to a group or
// to everybody is a packet of its own on the link to each host; it goes to those hosts that have a member when it is
// sent. What is simpler than in Linux: a send never waits for the send buffer, and a neighbour that does not exist is
// no error.

#ifndef TANDEM_SIM_UDP_H_
#define TANDEM_SIM_UDP_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/io/address.h"
#include "core/io/buffer.h"
#include "core/io/datagram.h"
#include "core/io/reactor.h"
#include "sim/network.h"

namespace tandem::sim {

inline constexpr uint32_t kLoopbackInterface = 1;
inline constexpr uint32_t kNetworkInterface = 2;

// Linux' numbers.
inline constexpr size_t kMaxDatagramIpv4 = 65507;
inline constexpr size_t kMaxDatagramIpv6 = 65527;
inline constexpr int kDefaultDatagramBuffer = 212992;
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
  void set_id(SocketId id) { id_ = id; }
  // For addressed draws: the host, and which of its datagram sockets this is.
  uint64_t key() const { return key_; }

  int Bind(const SocketAddress& address);
  // Sets the peer; none: dissolves the association.
  int Connect(const SocketAddress& address);
  int Shutdown(ShutdownHow how);
  int SetOption(SocketOption option, int value);
  int GetOption(SocketOption option, int* value);
  int SetMembership(const MulticastGroup& group, bool join);
  int LocalAddress(SocketAddress* address) const;
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
  struct Membership {
    SocketAddress group;
    uint32_t interface_index;
  };

  int BindTo(const SocketAddress& address);
  int BindIfUnbound();
  int ConnectTo(const SocketAddress& address);
  void Disconnect();
  int ChangeMembership(const MulticastGroup& group, uint32_t* interface_index, bool join);
  int CheckOption(SocketOption option, int value) const;

  // Checks the `address` that a program names and turns it into what packets carry.
  int Target(const SocketAddress& address, SocketAddress* peer) const;
  int FindRoute(const SocketAddress& peer, Route* route) const;
  int64_t TrySend(const OutgoingDatagram& datagram);
  void SendToGroup(const Route& route, const SocketAddress& group, absl::string_view data);
  void SendPacket(HostStack* to, const Route& route, const SocketAddress& peer, absl::string_view data);

  // How well this socket fits a datagram; 0: not at all.
  int Score(const SocketAddress& destination, const SocketAddress& source) const;
  void Enqueue(const Packet& packet, Buffer data);

  UdpStack& owner_;
  HostStack& stack_;
  const AddressFamily family_;
  const uint64_t key_;
  SocketId id_ = kNoSocket;

  SocketAddress local_;   // IPv4 addresses in IPv6 sockets are kept as IPv4.
  SocketAddress remote_;  // None: not connected.
  bool bound_ = false;    // In the port table.
  bool chose_address_ = false;
  bool chose_port_ = false;

  bool reuse_address_ = false;
  bool reuse_port_ = false;
  bool ipv6_only_ = false;
  bool broadcast_ = false;
  bool packet_info_ = false;
  bool multicast_loop_ = true;
  uint32_t multicast_interface_ = 0;
  int multicast_time_to_live_ = 1;
  size_t receive_buffer_ = kDefaultDatagramBuffer;
  std::map<SocketOption, int> other_options_;  // What is only remembered.
  std::vector<Membership> memberships_;

  int error_ = 0;
  bool receive_shutdown_ = false;
  bool send_shutdown_ = false;

  std::deque<Datagram> received_;
  size_t received_cost_ = 0;                      // Of the receive buffer.
  std::map<uint32_t, int64_t> last_arrivals_ns_;  // By the index of the host: keeps datagrams in order.
};

// The datagram half of a HostStack.
class UdpStack {
 public:
  explicit UdpStack(HostStack& stack);
  UdpStack(const UdpStack&) = delete;
  UdpStack& operator=(const UdpStack&) = delete;

  UdpSocket& Open(AddressFamily family);
  void Close(UdpSocket& socket);
  void DropAllSockets();

  void OnPacket(Packet& packet);

  // Whether anybody on this host listens to `group` on this interface.
  bool IsMember(uint32_t interface_index, const SocketAddress& group) const;
  // Whether the host has an address of `family` on the network.
  bool OnNetwork(AddressFamily family) const;

 private:
  friend class UdpSocket;

  bool Conflicts(const UdpSocket& socket, const SocketAddress& local, bool may_share) const;
  uint16_t FindFreePort(const UdpSocket& socket, const SocketAddress& local);
  void AddToPort(UdpSocket& socket);
  void RemoveFromPort(UdpSocket& socket);

  UdpSocket* FindReceiver(const SocketAddress& destination, const SocketAddress& source) const;
  void DeliverToAll(Packet& packet);
  void AnswerByUnreachable(const Packet& packet);

  HostStack& stack_;
  std::vector<std::unique_ptr<UdpSocket>> sockets_;
  std::map<uint16_t, std::vector<UdpSocket*>> ports_;  // In the order of binding.
  std::map<std::pair<uint32_t, SocketAddress>, uint32_t> members_;
  uint64_t opened_ = 0;
  uint16_t next_ephemeral_port_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_UDP_H_
