// SPDX-License-Identifier: Apache-2.0
//
// TcpListener: accepts TCP connections. How accepting and closing work is in socket_listener.h.

#ifndef TANDEM_CORE_NET_TCP_LISTENER_H_
#define TANDEM_CORE_NET_TCP_LISTENER_H_

#include <utility>

#include "absl/status/statusor.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/listener_socket.h"
#include "tandem/core/net/listen_options.h"  // IWYU pragma: export
#include "tandem/core/net/socket_listener.h"
#include "tandem/core/net/tcp_stream.h"

namespace tandem {

class TcpListener final : public SocketListener<TcpStream> {
 public:
  TcpListener() = default;
  explicit TcpListener(Ref<ListenerSocket> socket) : SocketListener(std::move(socket)) {}

  // Binds to `address` and listens. Port 0 picks a free one; LocalAddress() tells which. Accepted streams have
  // TCP_NODELAY set (inherited from the listener, tcp(7)).
  //
  // Errors:
  //   kFailedPrecondition  EADDRINUSE: the port is taken. EADDRNOTAVAIL: not an address of this machine.
  //   kPermissionDenied    EACCES: a port below 1024 without CAP_NET_BIND_SERVICE.
  //   kResourceExhausted   EMFILE, ENFILE: no descriptor is free.
  //   kUnimplemented       EAFNOSUPPORT: the machine has no IPv6.
  //   kInvalidArgument     `address` is none or of a Unix socket.
  static absl::StatusOr<TcpListener> Listen(const SocketAddress& address,
                                            const ListenOptions& options = ListenOptions());

  // Takes over a listening socket that the program has from elsewhere, from systemd for example: see
  // TakeActivatedSockets(). Sets O_NONBLOCK, which all who have the socket open share, and TCP_NODELAY, which
  // connections that come from then on inherit. On an error the descriptor stays the caller's, as it was.
  //
  // Errors:
  //   kInvalidArgument     `descriptor` is none, or of something else: the message says of what.
  //   kFailedPrecondition  EBADF: the descriptor is not open.
  //   kUnimplemented       In the simulator, where no process has a socket from elsewhere.
  static absl::StatusOr<TcpListener> Adopt(OwnedDescriptor&& descriptor);
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_TCP_LISTENER_H_
