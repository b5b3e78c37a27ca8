// SPDX-License-Identifier: Apache-2.0
//
// Between SocketAddress and the kernel's sockaddr.

#ifndef TANDEM_POSIX_SOCKET_ADDRESS_H_
#define TANDEM_POSIX_SOCKET_ADDRESS_H_

#include <sys/socket.h>

#include "tandem/core/io/address.h"

namespace tandem::posix {

// AF_INET, AF_INET6, AF_UNIX, or AF_UNSPEC for kNone.
int ToDomain(AddressFamily family);

// Writes `address` to `*storage` and returns its length, or 0 when `address` is none.
socklen_t ToSockaddr(const SocketAddress& address, sockaddr_storage* storage);

// Reads an address of `length` bytes back. Returns none for another family, for an address that is too short for its
// family, and for a Unix socket without a name.
SocketAddress FromSockaddr(const sockaddr_storage& storage, socklen_t length);

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_SOCKET_ADDRESS_H_
