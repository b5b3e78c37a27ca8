// SPDX-License-Identifier: Apache-2.0
//
// The kernel side of a simulated host: its addresses, its descriptors, and the sockets behind them.
//
// System calls find the socket of a descriptor and do what belongs to descriptors; the rest is in the two halves of the
// stack (tcp_stack.h, udp_stack.h) and in the sockets. A HostStack knows no program: each socket tells the SimReactor
// (sim_reactor.h) that opened or accepted it. A process may have several, and others when the host starts again.

#ifndef TANDEM_SIM_MACHINE_HOST_STACK_H_
#define TANDEM_SIM_MACHINE_HOST_STACK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_clock.h"
#include "tandem/sim/network/network_host.h"
#include "tandem/sim/network/stack_observer.h"
#include "tandem/sim/random/choices.h"

namespace tandem::sim {

class Network;
class Packet;
class TcpSocket;
class TcpStack;
class UdpSocket;
class UdpStack;

class HostStack final : public NetworkHost {
 public:
  // Adds a host to `network`, which owns it. CHECKs that its addresses are not loopbacks and nobody else's.
  static HostStack& Add(Network& network, absl::string_view name, std::vector<SocketAddress> addresses);
  HostStack(Network& network, std::string name, std::vector<SocketAddress> addresses);
  ~HostStack() override;

  // Goes on while the machine is down.
  HostClock& clock() { return clock_; }
  const HostClock& clock() const { return clock_; }

  void set_descriptor_limit(size_t limit) { descriptor_limit_ = limit; }

  // --- Life and death ---

  // The machine loses power: all sockets vanish without a word, and packets that arrive are lost.
  void CrashMachine();
  // The machine runs again, with nothing open: what arrives for old connections is answered by RST.
  void StartMachine();
  // The process ends and the kernel closes its sockets: FIN, or RST where bytes were unread or not accepted.
  void KillProcess();
  // No other descriptor can be opened.
  bool out_of_descriptors() const { return open_descriptors_ >= descriptor_limit_; }
  // Open descriptors of the process.
  size_t open_descriptors() const { return open_descriptors_; }

  // --- Who is told ---

  // The process has `observer`, which may open and accept sockets from now on and outlives them, or is removed before.
  void AddObserver(StackObserver& observer) { observers_.push_back(&observer); }
  // Its sockets stay, and tell nobody. Does nothing when the process is over.
  void RemoveObserver(StackObserver& observer);

  // A fault: both ends of the established connections for which `hits` says so see a reset. Returns how many there
  // were.
  uint64_t ResetConnections(absl::FunctionRef<bool(Entity connection)> hits);
  // The same, but the peers hear nothing: their ends are half-open.
  uint64_t ForgetConnections(absl::FunctionRef<bool(Entity connection)> hits);
  // A fault that kept the windows of its connections shut is over: their peers hear of the room at once, as when a
  // program reads again.
  void OfferWindows();
  // A fault: the connection `id`, which was just accepted, is closed and its peer sees a reset.
  void AbortConnection(SocketId id);
  size_t established_connections() const;

  void OnPacket(Packet& packet) override;
  bool ListensTo(uint32_t interface_index, const SocketAddress& group) const override;

  // --- System calls. 0 or a value, or -errno. ---

  // A TCP socket, or one for datagrams. Calls that datagram sockets do not have say -EOPNOTSUPP or, where they are
  // only reached by mistake, -EBADF. `observer` has been added; null: nobody is told.
  int64_t Open(AddressFamily family, StackObserver* observer);
  int64_t OpenDatagrams(AddressFamily family, StackObserver* observer);
  int Bind(SocketId id, const SocketAddress& address);
  int Listen(SocketId id, int backlog);
  // -EINPROGRESS: the socket's observer is told, of a connect to this host before the call returns.
  int Connect(SocketId id, const SocketAddress& address);
  // The next connection of a listener, or -EAGAIN, -EINVAL, -EMFILE.
  int64_t Accept(SocketId id, StackObserver* observer);
  int Shutdown(SocketId id, ShutdownHow how);
  // With a `ticket` (not 0), waits for the socket's linger time where that is positive: -EINPROGRESS, and its observer
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

 private:
  // What is open; at most one of them.
  struct Descriptor {
    TcpSocket* stream = nullptr;
    UdpSocket* datagrams = nullptr;

    bool in_use() const { return stream != nullptr || datagrams != nullptr; }
  };

  Descriptor FindDescriptor(SocketId id) const {
    return id >= 0 && static_cast<size_t>(id) < descriptors_.size() ? descriptors_[static_cast<size_t>(id)]
                                                                    : Descriptor();
  }
  SocketId AddDescriptor(const Descriptor& descriptor);
  void RemoveDescriptor(SocketId id);
  void DropAllSockets();
  void RemoveAllObservers();

  std::vector<StackObserver*> observers_;  // In the order in which they were added.
  HostClock clock_;
  size_t descriptor_limit_ = 1 << 20;
  std::vector<Descriptor> descriptors_;
  std::vector<SocketId> free_descriptors_;
  size_t open_descriptors_ = 0;
  std::unique_ptr<TcpStack> tcp_;
  std::unique_ptr<UdpStack> udp_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_MACHINE_HOST_STACK_H_
