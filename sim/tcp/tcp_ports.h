// SPDX-License-Identifier: Apache-2.0
//
// The names of a host's TCP sockets: which of them has which port, which listen, and which pairs of addresses are
// connections.
//
// It holds Linux' rules about who may share a port, and finds the socket that a segment is for. What a socket is
// otherwise does not matter here.

#ifndef TANDEM_SIM_TCP_TCP_PORTS_H_
#define TANDEM_SIM_TCP_TCP_PORTS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "tandem/core/base/intrusive_list.h"
#include "tandem/core/io/address.h"
#include "tandem/sim/network/ephemeral_ports.h"
#include "tandem/sim/network/socket_options.h"
#include "tandem/sim/random/choices.h"

namespace tandem::sim {

class TcpSocket;
struct PortListTag;

// What the tables know of a socket. IPv4 addresses of IPv6 sockets are kept as IPv4. A socket that is in a table
// changes the addresses by the functions of TcpPorts only.
struct TcpName final : public ListLink<PortListTag> {
  TcpName(TcpSocket& socket, const SocketOptions& options) : owner(socket), options(options) {}

  bool ipv6_only() const { return options.has(SocketOption::kIpv6Only); }

  TcpSocket& owner;
  const SocketOptions& options;
  SocketAddress local;
  SocketAddress bound_to;  // What `local` was before a connect.
  SocketAddress remote;
  bool bound = false;             // In the table of ports...
  bool bound_explicitly = false;  // ...because the program asked for it.
  bool chose_port = false;        // By number.
  bool listening = false;
  bool connected = false;  // In the table of connections.
};

class TcpPorts {
 public:
  // `host` is whose ports they are.
  TcpPorts(const Choices& choices, Entity host);
  TcpPorts(const TcpPorts&) = delete;
  TcpPorts& operator=(const TcpPorts&) = delete;
  ~TcpPorts();

  // Whether other sockets keep `name` from being bound to `local` (inet_csk_bind_conflict).
  bool Conflicts(const TcpName& name, const SocketAddress& local) const;
  // A port of the ephemeral range to which `name` could be bound at `local`, or 0.
  uint16_t FindFree(const TcpName& name, const SocketAddress& local);
  // Enters `name` under the port of its local address.
  void Add(TcpName& name, bool bound_explicitly);
  // Does nothing when it is not there.
  void Remove(TcpName& name);

  // REQUIRES bound.
  void AddListener(TcpName& name);
  void RemoveListener(TcpName& name);
  // Who listens to `destination`: the most exact address wins; among equals with SO_REUSEPORT, a hash of `flow`
  // chooses, and not one of addresses, which another host could move. Null: nobody.
  TcpSocket* FindListener(const SocketAddress& destination, Entity flow) const;

  // Enters the pair of addresses. False when it is taken by a connection that does not make way.
  bool AddConnection(TcpName& name);
  // The same for `name` that has no port, at `source`: finds a port for it, which is no one's that somebody asked for
  // by name, but may serve connections to other peers. False when there is none.
  bool AddConnectionAtFreePort(TcpName& name, const SocketAddress& source);
  // Does nothing when it is not there.
  void RemoveConnection(TcpName& name);
  TcpSocket* FindConnection(const SocketAddress& local, const SocketAddress& remote) const;

 private:
  struct Bucket;
  using Pair = std::pair<SocketAddress, SocketAddress>;  // Local, remote.

  const Choices& choices_;
  const Entity host_;
  EphemeralPorts ephemeral_;
  std::map<uint16_t, std::unique_ptr<Bucket>> buckets_;
  std::map<Pair, TcpSocket*> connections_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_PORTS_H_
