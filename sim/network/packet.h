// SPDX-License-Identifier: Apache-2.0
//
// What travels over the links of the simulated network: a segment of TCP, a datagram, or word that nobody has a port.
//
// A packet is an event at its time of arrival. Packets belong to the Network, which reuses them.

#ifndef TANDEM_SIM_NETWORK_PACKET_H_
#define TANDEM_SIM_NETWORK_PACKET_H_

#include <cstdint>

#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {

class NetworkHost;
class TcpSocket;

// A segment or datagram on its way, or a segment waiting in a receiver for those before it.
class Packet final : public Event {
 public:
  enum Flag : uint8_t {
    kSyn = 1,
    kAck = 2,
    kFin = 4,
    kReset = 8,
    kProbe = 16,        // Of a closed window; asks for an acknowledgement.
    kRefuseFault = 32,  // A fault: the receiver answers as if nobody listened.
  };
  enum Protocol : uint8_t {
    kTcp,
    kUdp,
    kUnreachable,  // ICMP: nobody has the port to which `destination` sent a datagram at `source`.
  };

  bool has(Flag flag) const { return (flags & flag) != 0; }
  // Makes this the answer to `packet`, which takes its fate from that one's.
  void Answer(const Packet& packet) {
    flow = packet.flow.Part("answer", packet.flow_ordinal);
    flow_ordinal = 0;
  }
  // True for a SYN that begins a connection.
  bool opens() const { return (flags & (kSyn | kAck | kReset)) == kSyn; }
  // The first sequence number behind this segment.
  uint64_t end_sequence() const { return sequence + size + (has(kSyn) ? 1 : 0) + (has(kFin) ? 1 : 0); }

  NetworkHost* from = nullptr;
  NetworkHost* to = nullptr;
  // Short cuts to the two ends; good while the generations are the sockets'.
  TcpSocket* sender = nullptr;
  TcpSocket* receiver = nullptr;
  uint32_t sender_generation = 0;
  uint32_t receiver_generation = 0;
  SocketAddress source;
  SocketAddress destination;
  uint64_t sequence = 0;  // 64 bits: does not wrap.
  uint64_t acknowledgement = 0;
  uint32_t window = 0;
  uint32_t size = 0;
  BufferBlock* payload = nullptr;
  uint32_t link_ordinal = 0;
  // What becomes of the packet is decided by who sends to whom, and how many of them there were before.
  Entity flow;
  uint64_t flow_ordinal = 0;
  uint8_t flags = 0;
  Protocol protocol = kTcp;
  uint8_t interface_index = 0;  // kUdp: where it arrives.
  Packet* next = nullptr;       // In the free list or among the segments that came too early.

 private:
  void Run() override;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_NETWORK_PACKET_H_
