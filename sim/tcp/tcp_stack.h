// SPDX-License-Identifier: Apache-2.0
//
// The TCP half of a host's stack: makes, names and buries the host's stream sockets, and finds the one that a segment
// is for.
//
// Sockets are TcpSockets (tcp_socket.h), which run their connections by themselves. An orphan, whose program has closed
// it or is dead, lives here until its connection is over.

#ifndef TANDEM_SIM_TCP_TCP_STACK_H_
#define TANDEM_SIM_TCP_TCP_STACK_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "tandem/core/io/address.h"
#include "tandem/sim/network/packet.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/tcp/tcp_connection.h"
#include "tandem/sim/tcp/tcp_ports.h"

namespace tandem::sim {

class NetworkHost;
class StackObserver;
class TcpSocket;

class TcpStack {
 public:
  explicit TcpStack(NetworkHost& stack);
  TcpStack(const TcpStack&) = delete;
  TcpStack& operator=(const TcpStack&) = delete;
  ~TcpStack();

  NetworkHost& host() { return stack_; }
  TcpPorts& ports() { return ports_; }

  TcpSocket& Open(AddressFamily family);
  // The socket is gone, its connection and its names with it.
  void Free(TcpSocket& socket);
  void DropAllSockets();
  // It is told nothing any more, of closes that linger neither.
  void Forget(const StackObserver& observer);

  // --- System calls. 0 or -errno. ---

  int Bind(TcpSocket& socket, const SocketAddress& address);
  int Listen(TcpSocket& socket, int backlog);
  // -EINPROGRESS: its observer is told.
  int Connect(TcpSocket& socket, const SocketAddress& address);

  // --- Packets ---

  void OnPacket(Packet& packet);
  void AnswerByReset(const Packet& packet);
  // Takes the `syn` that a listener got: a new connection, whose handshake begins.
  void StartPassive(TcpSocket& listener, const Packet& syn);

  // --- Faults ---

  size_t established_connections() const;
  // Both ends of the established connections for which `hits` says so see a reset. Returns how many there were.
  uint64_t ResetConnections(absl::FunctionRef<bool(Entity connection)> hits);
  // The same for this end alone; the other one hears nothing.
  uint64_t ForgetConnections(absl::FunctionRef<bool(Entity connection)> hits);
  // Connections that have kept their windows shut say what room there is.
  void OfferWindows();

 private:
  TcpSocket& NewSocket();
  int TryBind(TcpSocket& socket, const SocketAddress& address);
  int TryListen(TcpSocket& socket);
  // Checks `address` and turns it into what packets carry.
  int ConnectTarget(const TcpSocket& socket, const SocketAddress& address, SocketAddress* peer) const;
  // Gives `socket`, which is to connect to `peer`, its local address, and puts it into the tables.
  int ChooseLocal(TcpSocket& socket, const SocketAddress& peer);
  ConnectFault DrawConnectFault(const TcpSocket& socket);

  NetworkHost& stack_;
  TcpPorts ports_;
  std::vector<std::unique_ptr<TcpSocket>> sockets_;
  std::vector<TcpSocket*> free_sockets_;
  uint64_t opened_ = 0;
  std::map<uint32_t, uint64_t> connects_to_;  // Connects so far, by the index of the destination.
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_STACK_H_
