// SPDX-License-Identifier: Apache-2.0
//
// The rules about addresses that all transports of a simulated host share.
//
// Packets and sockets' tables carry IPv4 addresses as IPv4, also those of IPv6 sockets; only a program that uses an
// IPv6 socket sees them as ::ffff:a.b.c.d.

#ifndef TANDEM_SIM_NETWORK_IP_H_
#define TANDEM_SIM_NETWORK_IP_H_

#include <cstdint>

#include "tandem/core/io/address.h"

namespace tandem::sim {

// ::ffff:a.b.c.d as a.b.c.d; everything else unchanged.
SocketAddress Unmap(const SocketAddress& address);

// How a socket of `family` shows `address` to its program.
SocketAddress ToFamily(const SocketAddress& address, AddressFamily family);

// 0.0.0.0 or ::.
SocketAddress AnyAddress(AddressFamily family, uint16_t port);

// 127.0.0.1 or ::1.
SocketAddress LoopbackAddress(AddressFamily family, uint16_t port);

// Where a socket bound to `local` sends what is for `any`, 0.0.0.0 or ::, which stand for this host: as Linux, to the
// bound address, but from an IPv4 address to :: it goes to 127.0.0.1, and from an IPv6 address to ::1.
SocketAddress ThisHost(const SocketAddress& any, const SocketAddress& local);

// The errno for an address of `family` on a socket of the other: an IPv4 address is too short for an IPv6 socket.
int WrongFamily(AddressFamily socket_family, AddressFamily family);

// True when a socket bound to `local` takes what is sent to `address`. Ports are not looked at.
bool Covers(const SocketAddress& local, bool ipv6_only, const SocketAddress& address);

// True when a socket that is bound to `other` is in the way of one that is to be bound to `local`, with the same port.
// For Linux, 0.0.0.0 meets every IPv6 socket that is not IPv6 only, bound to :: or not.
bool Overlap(const SocketAddress& local, bool ipv6_only, const SocketAddress& other, bool other_ipv6_only);

// 224.0.0.0/4 and ff00::/8.
bool IsMulticast(const SocketAddress& address);

// `group` without a port: groups are told apart by their bytes alone.
SocketAddress GroupOf(const SocketAddress& group);

// 255.255.255.255, which is the network's, and 127.255.255.255, which stays on the host.
bool IsBroadcast(const SocketAddress& address);

uint64_t HashAddress(const SocketAddress& address);

}  // namespace tandem::sim

#endif  // TANDEM_SIM_NETWORK_IP_H_
