// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/tcp/tcp_flow.h"

#include "tandem/sim/tcp/tcp_socket.h"

namespace tandem::sim {

Packet& TcpFlow::New(uint8_t flags, uint64_t sequence) {
  Packet& packet = network_.NewPacket();
  packet.from = &host_;
  packet.to = peer_host_;
  packet.flow = socket_.entity();
  packet.flow_ordinal = packets_++;
  packet.sender = &socket_;
  packet.sender_generation = socket_.generation();
  packet.receiver = peer_;
  packet.receiver_generation = peer_generation_;
  packet.source = socket_.name().local;
  packet.destination = socket_.name().remote;
  packet.sequence = sequence;
  packet.flags = flags;
  return packet;
}

}  // namespace tandem::sim
