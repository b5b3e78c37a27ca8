// SPDX-License-Identifier: Apache-2.0
//
// The packets that one end of a TCP connection sends: from whom to whom they go, the number of each, and their order.

#ifndef TANDEM_SIM_TCP_TCP_FLOW_H_
#define TANDEM_SIM_TCP_TCP_FLOW_H_

#include <cstdint>

#include "tandem/sim/network/network.h"
#include "tandem/sim/network/network_host.h"
#include "tandem/sim/network/packet.h"

namespace tandem::sim {

class TcpSocket;

class TcpFlow {
 public:
  // The flow of `socket`, whose addresses and entity its packets have.
  TcpFlow(TcpSocket& socket, NetworkHost& host) : socket_(socket), host_(host), network_(host.network()) {}

  // Where the packets go; null: no route leads there.
  void Start(NetworkHost* peer_host) {
    peer_host_ = peer_host;
    peer_ = nullptr;
  }
  bool has_route() const { return peer_host_ != nullptr; }
  bool loopback() const { return peer_host_ == &host_; }
  // The peer's socket is the one that sent `packet`.
  void Learn(const Packet& packet) {
    peer_ = packet.sender;
    peer_generation_ = packet.sender_generation;
  }

  // The next packet, to be filled in and sent, or dropped.
  Packet& New(uint8_t flags, uint64_t sequence);
  void Send(Packet& packet) { network_.Send(packet, &last_arrival_ns_); }

 private:
  TcpSocket& socket_;
  NetworkHost& host_;
  Network& network_;
  NetworkHost* peer_host_ = nullptr;
  TcpSocket* peer_ = nullptr;  // Once it has been seen.
  uint32_t peer_generation_ = 0;
  uint64_t packets_ = 0;         // So far.
  int64_t last_arrival_ns_ = 0;  // Of packets sent, to keep them in order.
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_FLOW_H_
