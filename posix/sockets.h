// SPDX-License-Identifier: Apache-2.0
//
// The calls on sockets that do not wait, as every real reactor makes them. They return 0 or a value, or -errno, and
// retry EINTR; the meaning of each is Reactor's (core/io/reactor.h).

#ifndef TANDEM_POSIX_SOCKETS_H_
#define TANDEM_POSIX_SOCKETS_H_

#include <cstddef>
#include <cstdint>

#include "core/io/address.h"
#include "core/io/reactor.h"

namespace tandem::posix {

int64_t OpenSocket(AddressFamily family, SocketType type);
int Bind(SocketId socket, const SocketAddress& address);
int Listen(SocketId socket, int backlog);
int Shutdown(SocketId socket, ShutdownHow how);
int SetOption(SocketId socket, SocketOption option, int value);
int GetOption(SocketId socket, SocketOption option, int* value);
int LocalAddress(SocketId socket, SocketAddress* address);
int PeerAddress(SocketId socket, SocketAddress* address);

// Receives up to `size` bytes that are there already: their count, 0 at the end of the stream, or -errno (-EAGAIN when
// there is nothing yet).
int64_t ReceiveNow(SocketId socket, char* memory, size_t size);
// Closes the descriptor. Not retried: on Linux it is gone, whatever close() returns.
int CloseNow(SocketId socket);

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_SOCKETS_H_
