// SPDX-License-Identifier: Apache-2.0
//
// The calls on sockets that do not wait, as every real reactor makes them. They return 0 or a value, or -errno, and
// retry EINTR; the meaning of each is Reactor's (core/io/reactor.h).

#ifndef TANDEM_POSIX_SOCKETS_H_
#define TANDEM_POSIX_SOCKETS_H_

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"

namespace tandem::posix {

int64_t OpenSocket(AddressFamily family, SocketType type);
int OpenSocketPair(SocketType type, SocketId (&sockets)[2]);
int Bind(SocketId socket, const SocketAddress& address);
int Listen(SocketId socket, int backlog);
// As connect(2) of a non-blocking socket: -EINPROGRESS when it goes on without the call. -EAFNOSUPPORT for no address.
int ConnectNow(SocketId socket, const SocketAddress& address);
int ConnectDatagrams(SocketId socket, const SocketAddress& address);
int Shutdown(SocketId socket, ShutdownHow how);
// Options of IP go to the option of the socket's family. An IPv6 socket gets the traffic class and the time to live for
// both families, as it may talk to IPv4 peers too. -EOPNOTSUPP: the socket's family has no such option.
int SetOption(SocketId socket, SocketOption option, int value);
// -EOPNOTSUPP as above. -ENODATA: kMulticastInterface of an IPv4 socket, which Linux does not tell.
int GetOption(SocketId socket, SocketOption option, int* value);
// -EADDRINUSE: joined already, on this interface; -EADDRNOTAVAIL: not joined; -EINVAL: not a multicast address.
int SetMembership(SocketId socket, const MulticastGroup& group, bool join);
int LocalAddress(SocketId socket, SocketAddress* address);
int PeerAddress(SocketId socket, SocketAddress* address);
// -ENOTCONN: nobody is at the other end. -EOPNOTSUPP: not a Unix socket.
int GetPeerCredentials(SocketId socket, PeerCredentials* credentials);

// The next connection that waits; it is non-blocking and close-on-exec.
int64_t AcceptNow(SocketId socket);
// Receives up to `size` bytes that are there already: their count, 0 at the end of the stream, or -errno (-EAGAIN when
// there is nothing yet).
int64_t ReceiveNow(SocketId socket, char* memory, size_t size);
// Sends what does not have to wait of `slices` (at most Operation::kMaxSlices): the count of bytes, or -errno.
int64_t SendNow(SocketId socket, absl::Span<const IoSlice> slices);
// Whether `result` of one of these calls says that the kernel has no memory: then it is to be made again later.
inline bool IsOutOfMemory(int64_t result) { return result == -ENOMEM || result == -ENOBUFS; }
// Whether there is something to receive or to accept, an end or an error included, without waiting.
bool IsReadable(SocketId socket);
// Closes the descriptor. Not retried: on Linux it is gone, whatever close() returns.
int CloseNow(SocketId socket);

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_SOCKETS_H_
