// SPDX-License-Identifier: Apache-2.0
//
// The kernel side of a simulated host: its addresses, its descriptors, and the sockets behind them.
//
// System calls find the socket of a descriptor and do what belongs to descriptors; the rest is in the two halves of the
// stack (tcp_stack.h, udp_stack.h) and in the sockets. A HostStack knows no program: a SimReactor (sim_reactor.h)
// watches it, and is replaced when the host starts again.

#ifndef TANDEM_SIM_HOST_STACK_H_
#define TANDEM_SIM_HOST_STACK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tandem/core/base/random.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/event_queue.h"
#include "tandem/sim/link.h"
#include "tandem/sim/trace.h"

namespace tandem::sim {

class Network;
class Packet;
class TcpSocket;
class TcpStack;
class UdpSocket;
class UdpStack;

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
  UdpStack& udp() { return *udp_; }
  // Puts what happens on this host into the trace: numbers, at most three.
  template <typename... Values>
  void Record(TraceKind kind, Values... values) {
    trace_.Record(kind, events_.now_ns(), index_, static_cast<uint64_t>(values)...);
  }

  // The same, with bytes for people.
  template <typename... Values>
  void RecordBytes(absl::string_view bytes, TraceKind kind, Values... values) {
    trace_.About(bytes);
    Record(kind, values...);
  }

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

  // --- Addresses and links ---

  // True for an address of this host, loopback included. The port does not matter.
  bool Owns(const SocketAddress& address) const;
  // Where packets to `address` go: this host, another one, or null.
  HostStack* Route(const SocketAddress& address);
  // The address that packets to `peer` come from; -ENETUNREACH when this host has none of that family.
  int SourceAddressFor(const SocketAddress& peer, SocketAddress* source) const;
  // Made when first used.
  Link& LinkTo(HostStack& to) {
    const bool known = to.index_ < links_.size() && links_[to.index_] != nullptr;
    return known ? *links_[to.index_] : NewLink(to);
  }
  // The links so far, by the index of the destination; null for those that were never used.
  const std::vector<std::unique_ptr<Link>>& links() const { return links_; }

  void OnPacket(Packet& packet);

  // --- System calls. 0 or a value, or -errno. ---

  // A TCP socket, or one for datagrams. Calls that datagram sockets do not have say -EOPNOTSUPP or, where they are
  // only reached by mistake, -EBADF.
  int64_t Open(AddressFamily family);
  int64_t OpenDatagrams(AddressFamily family);
  int Bind(SocketId id, const SocketAddress& address);
  int Listen(SocketId id, int backlog);
  // -EINPROGRESS: the observer is told, of a connect to this host before the call returns. REQUIRES an observer.
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
  // What is open; at most one of them.
  struct Descriptor {
    TcpSocket* stream = nullptr;
    UdpSocket* datagrams = nullptr;

    bool in_use() const { return stream != nullptr || datagrams != nullptr; }
  };

  Link& NewLink(HostStack& to);
  Descriptor FindDescriptor(SocketId id) const {
    return id >= 0 && static_cast<size_t>(id) < descriptors_.size() ? descriptors_[static_cast<size_t>(id)]
                                                                    : Descriptor();
  }
  SocketId AddDescriptor(const Descriptor& descriptor);
  void RemoveDescriptor(SocketId id);
  void DropAllSockets();

  Network& network_;
  EventQueue& events_;
  Trace& trace_;
  const uint32_t index_;
  const std::string name_;
  const std::vector<SocketAddress> addresses_;
  const uint64_t seed_;
  bool up_ = true;
  StackFaults faults_;
  size_t descriptor_limit_ = 1 << 20;
  StackObserver* observer_ = nullptr;

  std::vector<std::unique_ptr<Link>> links_;
  std::vector<Descriptor> descriptors_;
  std::vector<SocketId> free_descriptors_;
  size_t open_descriptors_ = 0;
  std::unique_ptr<TcpStack> tcp_;
  std::unique_ptr<UdpStack> udp_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_HOST_STACK_H_
