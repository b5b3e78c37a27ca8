// SPDX-License-Identifier: Apache-2.0
//
// The datagram half of a host's stack: the ports and groups of its UDP sockets, and to which of them a datagram goes.
//
// Ports may be shared by SO_REUSEADDR (the last one bound receives) and SO_REUSEPORT (a hash of the addresses chooses).
// A datagram that nobody takes is answered by ICMP port unreachable.

#ifndef TANDEM_SIM_UDP_UDP_STACK_H_
#define TANDEM_SIM_UDP_UDP_STACK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "tandem/core/io/address.h"
#include "tandem/sim/network/ephemeral_ports.h"
#include "tandem/sim/network/packet.h"

namespace tandem::sim {

class NetworkHost;
class StackObserver;
class UdpSocket;

class UdpStack {
 public:
  explicit UdpStack(NetworkHost& stack);
  UdpStack(const UdpStack&) = delete;
  UdpStack& operator=(const UdpStack&) = delete;
  ~UdpStack();

  UdpSocket& Open(AddressFamily family);
  void Close(UdpSocket& socket);
  void DropAllSockets();
  // It is told nothing any more.
  void Forget(const StackObserver& observer);

  NetworkHost& host() { return stack_; }

  // --- Ports ---

  // Whether another socket keeps `socket` from being bound to `local`; unless `may_share`, any other does.
  bool Conflicts(const UdpSocket& socket, const SocketAddress& local, bool may_share) const;
  // A port of the ephemeral range that nobody has at `local`, or 0.
  uint16_t FindFreePort(const UdpSocket& socket, const SocketAddress& local);
  void AddToPort(UdpSocket& socket);
  // Does nothing when it is not there.
  void RemoveFromPort(UdpSocket& socket);

  // --- Groups ---

  void AddMember(uint32_t interface_index, const SocketAddress& group) { ++members_[{interface_index, group}]; }
  // REQUIRES that there is one.
  void RemoveMember(uint32_t interface_index, const SocketAddress& group);

  // Whether anybody on this host listens to `group` on this interface.
  bool IsMember(uint32_t interface_index, const SocketAddress& group) const;
  // Whether the host has an address of `family` on the network.
  bool OnNetwork(AddressFamily family) const;

  void OnPacket(Packet& packet);

 private:
  UdpSocket* FindReceiver(const Packet& packet) const;
  void DeliverToAll(Packet& packet);
  void AnswerByUnreachable(const Packet& packet);

  NetworkHost& stack_;
  std::vector<std::unique_ptr<UdpSocket>> sockets_;
  std::map<uint16_t, std::vector<UdpSocket*>> ports_;  // In the order of binding.
  std::map<std::pair<uint32_t, SocketAddress>, uint32_t> members_;
  uint64_t opened_ = 0;
  EphemeralPorts ephemeral_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_UDP_UDP_STACK_H_
