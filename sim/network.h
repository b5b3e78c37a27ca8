// SPDX-License-Identifier: Apache-2.0
//
// The simulated network: hosts' TCP/IP stacks, the links between them, and the faults put on both.
//
// A packet is an event at its time of arrival. Nothing moves on its own: the EventQueue runs, and packets and timers
// with it. A HostStack is the kernel side of one host: addresses, ports, sockets (tcp.h). It knows no program; a
// SimReactor (sim_reactor.h) watches it and is replaced when the host starts again.
//
// Payload memory of all hosts comes from one pool, so bytes go from the network to their receiver without a copy.
// Destroy what holds Buffers first, then the Network, then the queue and the trace.

#ifndef TANDEM_SIM_NETWORK_H_
#define TANDEM_SIM_NETWORK_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/base/intrusive_list.h"
#include "core/base/random.h"
#include "core/io/address.h"
#include "core/io/buffer.h"
#include "core/io/reactor.h"
#include "sim/event_queue.h"
#include "sim/link.h"
#include "sim/names.h"
#include "sim/trace.h"

namespace tandem::sim {

class HostStack;
class Network;
class TcpSocket;
class UdpSocket;
class UdpStack;
struct PortListTag;

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

  HostStack* from = nullptr;
  HostStack* to = nullptr;
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
  uint8_t flags = 0;
  Protocol protocol = kTcp;
  uint8_t interface_index = 0;  // kUdp: where it arrives.
  Packet* next = nullptr;       // In the free list or among the segments that came too early.

 private:
  void Run() override;
};

// Who is told what happens to the sockets of a host. Called from events and from calls into the stack; must not call
// back into the stack.
class StackObserver {
 public:
  // A connect has ended; `error` is 0 or a positive errno.
  virtual void OnConnected(SocketId socket, int error) = 0;
  // There may be room in the send buffer, or sending has become impossible.
  virtual void OnSendable(SocketId socket) = 0;
  // Bytes, an error or the end of the stream arrived.
  virtual void OnReceivable(SocketId socket) = 0;
  // A connection can be accepted, or the listener was shut down.
  virtual void OnAcceptable(SocketId socket) = 0;
  // A descriptor was closed.
  virtual void OnDescriptorFree() = 0;
  // The Close() that returned -EINPROGRESS for `ticket` is over.
  virtual void OnLingerEnd(uint64_t ticket) = 0;

 protected:
  ~StackObserver() = default;
};

inline constexpr int64_t kSlowLookupMaxNs = 30'000'000'000;

// Faults inside one host.
struct StackFaults {
  Probability connect_refused;    // Of connects: the peer answers as if nobody listened.
  Probability connect_timed_out;  // Of connects: every SYN is lost.
  Probability short_read;         // Of deliveries to a Source: only a random part now, the rest in a later Poll().
  Probability short_write;        // Of sends: reported short after a random part.
  Probability slow_write;         // Of sends: the send buffer takes a few bytes at a time.
  int64_t completion_jitter_max_ns = 0;  // Completions and items show up this much later, at random.
  // What the contract of core/io/reactor.h allows and a quiet machine seldom does; see chaos.h.
  Probability late_cancel;     // Of cancels and disarms: what is cancelled goes on for a while, and may win.
  Probability stall;           // Of looks at a Source: nothing is delivered for a while, as when no buffer is free.
  Probability overshoot;       // Of deliveries to a Source: the budget does not bound this one.
  Probability late_end;        // Of ends of an arming: some time after the last item.
  Probability lookup_failed;   // Of names looked up: EAGAIN, as when the name servers do not answer.
  Probability lookup_missing;  // Of names looked up: ENOENT, as if there were no such name.
  Probability lookup_slow;     // Of names looked up: the answer takes kSlowLookupMaxNs more, at most.
};

class HostStack {
 public:
  HostStack(Network& network, uint32_t index, std::string name, std::vector<SocketAddress> addresses);
  HostStack(const HostStack&) = delete;
  HostStack& operator=(const HostStack&) = delete;
  ~HostStack();

  Network& network() { return network_; }
  uint32_t index() const { return index_; }
  const std::string& name() const { return name_; }
  // Without the loopback addresses, which every host has. Ports are 0.
  const std::vector<SocketAddress>& addresses() const { return addresses_; }
  // The seed of what is drawn for this host: from the network's seed and the host's name.
  uint64_t seed() const { return seed_; }
  // True for an address of this host, loopback included. The port does not matter.
  bool Owns(const SocketAddress& address) const;

  StackFaults& faults() { return faults_; }
  void set_descriptor_limit(size_t limit) { descriptor_limit_ = limit; }

  // --- Life and death ---

  // True while the machine runs. A new stack is up.
  bool up() const { return up_; }
  // The machine loses power: all sockets vanish without a word, and packets that arrive are lost.
  void CrashMachine();
  // The machine runs again, with nothing open: what arrives for old connections is answered by RST.
  void StartMachine();
  // The process ends and the kernel closes its sockets: FIN, or RST where bytes were unread or not accepted.
  void KillProcess();
  // Open descriptors of the process.
  size_t open_descriptors() const { return open_descriptors_; }

  // A fault: both ends of one established connection, chosen by `draw`, see a reset. False when there is none.
  bool ResetConnection(uint64_t draw);
  size_t established_connections() const;

  // --- System calls. 0 or a value, or -errno. ---

  // A TCP socket, or one for datagrams. Calls that datagram sockets do not have say -EOPNOTSUPP or, where they are
  // only reached by mistake, -EBADF.
  int64_t Open(AddressFamily family);
  int64_t OpenDatagrams(AddressFamily family);
  int Bind(SocketId id, const SocketAddress& address);
  int Listen(SocketId id, int backlog);
  // -EINPROGRESS: the observer is told. REQUIRES an observer.
  int Connect(SocketId id, const SocketAddress& address);
  // The next connection of a listener, or -EAGAIN, -EINVAL, -EMFILE.
  int64_t Accept(SocketId id);
  int Shutdown(SocketId id, ShutdownHow how);
  // With a `ticket` (not 0), waits for the socket's linger time where that is positive: -EINPROGRESS, and the observer
  // is told when all bytes are acknowledged, the connection has ended or the time is over. The descriptor is free at
  // once.
  int Close(SocketId id, uint64_t ticket = 0);
  int SetOption(SocketId id, SocketOption option, int value);
  int GetOption(SocketId id, SocketOption option, int* value);
  int LocalAddress(SocketId id, SocketAddress* address);
  int PeerAddress(SocketId id, SocketAddress* address);
  // Null when `id` is not open, or another kind of socket.
  TcpSocket* Find(SocketId id) const { return FindDescriptor(id).stream; }
  UdpSocket* FindDatagrams(SocketId id) const { return FindDescriptor(id).datagrams; }

  void set_observer(StackObserver* observer) { observer_ = observer; }
  StackObserver* observer() const { return observer_; }

 private:
  friend class Network;
  friend class Packet;
  friend class TcpSocket;
  friend class UdpSocket;
  friend class UdpStack;

  struct PortBucket;
  // What is open; at most one of them.
  struct Descriptor {
    TcpSocket* stream = nullptr;
    UdpSocket* datagrams = nullptr;

    bool in_use() const { return stream != nullptr || datagrams != nullptr; }
  };
  using ConnectionKey = std::pair<SocketAddress, SocketAddress>;  // Local, remote.

  static constexpr uint16_t kFirstEphemeralPort = 32768;
  static constexpr uint16_t kLastEphemeralPort = 60999;

  Link& LinkTo(HostStack& to);
  TcpSocket* NewSocket();
  void FreeSocket(TcpSocket& socket);
  Descriptor FindDescriptor(SocketId id) const {
    return id >= 0 && static_cast<size_t>(id) < descriptors_.size() ? descriptors_[static_cast<size_t>(id)]
                                                                    : Descriptor();
  }
  SocketId AddDescriptor(const Descriptor& descriptor);
  SocketId AddDescriptor(TcpSocket& socket);
  void RemoveDescriptor(SocketId id);

  bool BindConflicts(const TcpSocket& socket, const SocketAddress& local) const;
  uint16_t FindFreePort(const TcpSocket& socket, const SocketAddress& local);
  void AddToPort(TcpSocket& socket, bool bound_explicitly);
  void RemoveFromPort(TcpSocket& socket);
  void RemoveListener(TcpSocket& socket);
  int ChooseLocal(TcpSocket& socket, const SocketAddress& peer);
  bool TakeConnection(TcpSocket& socket);
  void RemoveConnection(TcpSocket& socket);
  TcpSocket* FindConnection(const SocketAddress& local, const SocketAddress& remote) const;
  TcpSocket* FindListener(const Packet& packet) const;
  int ConnectTarget(const TcpSocket& socket, const SocketAddress& address, SocketAddress* peer) const;
  int SourceAddressFor(const SocketAddress& peer, SocketAddress* source) const;
  // Where packets to `address` go: this host, another one, or null.
  HostStack* Route(const SocketAddress& address);
  void DrawConnectFaults(TcpSocket& socket);

  void OnPacket(Packet& packet);
  void AnswerByReset(const Packet& packet);
  void DropAllSockets();

  Network& network_;
  const uint32_t index_;
  const std::string name_;
  const std::vector<SocketAddress> addresses_;
  const uint64_t seed_;
  bool up_ = true;
  StackFaults faults_;
  size_t descriptor_limit_ = 1 << 20;
  StackObserver* observer_ = nullptr;

  std::vector<std::unique_ptr<Link>> links_;  // By the index of the destination; made when first used.
  std::vector<std::unique_ptr<TcpSocket>> sockets_;
  std::vector<TcpSocket*> free_sockets_;
  std::vector<Descriptor> descriptors_;
  std::vector<SocketId> free_descriptors_;
  size_t open_descriptors_ = 0;
  std::map<uint16_t, std::unique_ptr<PortBucket>> ports_;
  std::map<ConnectionKey, TcpSocket*> connections_;
  std::map<uint32_t, uint64_t> connects_to_;  // Connects so far, by the index of the destination.
  uint16_t next_ephemeral_port_;
  std::unique_ptr<UdpStack> udp_;
};

class Network {
 public:
  Network(EventQueue& events, Trace& trace, uint64_t seed);
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;
  // CHECKs that no Buffer is left.
  ~Network();

  EventQueue& events() { return events_; }
  Trace& trace() { return trace_; }
  uint64_t seed() const { return seed_; }
  int64_t now_ns() const { return events_.now_ns(); }
  HeapBufferPool& buffers() { return buffers_; }

  // A host; hosts are numbered in the order of their creation, which enters the digest. An address belongs to at most
  // one host, and loopback addresses come by themselves (CHECKed).
  HostStack& AddHost(absl::string_view name, std::vector<SocketAddress> addresses);
  size_t host_count() const { return hosts_.size(); }
  HostStack& host(size_t index) { return *hosts_[index]; }
  // The names of the world. Hosts are in it.
  NameTable& names() { return names_; }
  // Who has `address` (any port), or null. Not for loopback addresses.
  HostStack* FindHost(const SocketAddress& address) const;

  // --- Links: one direction each. A link from a host to itself is its loopback. ---

  // What links have that were not set by SetConditions(); does not change loopbacks.
  void SetDefaultConditions(const LinkConditions& conditions);
  void SetConditions(HostStack& from, HostStack& to, const LinkConditions& conditions);
  const LinkConditions& conditions(HostStack& from, HostStack& to) { return from.LinkTo(to).conditions(); }
  // Packets that are sent or arrive while it is blocked are lost.
  void Block(HostStack& from, HostStack& to);
  void Unblock(HostStack& from, HostStack& to);
  bool blocked(HostStack& from, HostStack& to) { return from.LinkTo(to).blocked(); }
  // Packets sent before `until_ns` wait until then.
  void Clog(HostStack& from, HostStack& to, int64_t until_ns);

  struct Statistics {
    uint64_t packets_sent = 0;
    uint64_t packets_delivered = 0;
    uint64_t packets_lost = 0;
    uint64_t retransmissions = 0;
    uint64_t datagrams_dropped = 0;  // Delivered, and the socket's receive buffer was full.
  };
  const Statistics& statistics() const { return statistics_; }

 private:
  friend class HostStack;
  friend class Packet;
  friend class TcpSocket;
  friend class UdpSocket;
  friend class UdpStack;

  static constexpr size_t kPacketsPerSlab = 256;

  Packet& NewPacket();
  // Gives back the packet and the payload that it still has.
  void FreePacket(Packet& packet);
  // Puts `packet` on the link from `packet.from`. `last_arrival_ns` keeps the packets of a connection in order; may be
  // null.
  void Send(Packet& packet, int64_t* last_arrival_ns);
  Link::Outcome PutOnLink(const Packet& packet);
  void Deliver(Packet& packet);
  void Drop(Packet& packet, DropReason reason);

  EventQueue& events_;
  Trace& trace_;
  const uint64_t seed_;
  LinkConditions default_conditions_;
  Statistics statistics_;
  HeapBufferPool buffers_;  // Outlives the hosts.
  std::vector<std::unique_ptr<std::array<Packet, kPacketsPerSlab>>> slabs_;
  Packet* free_packets_ = nullptr;
  NameTable names_;
  std::map<SocketAddress, HostStack*> hosts_by_address_;
  std::vector<std::unique_ptr<HostStack>> hosts_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_NETWORK_H_
