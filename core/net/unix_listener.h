// SPDX-License-Identifier: Apache-2.0
//
// UnixListener: accepts connections to a Unix stream socket. How accepting and closing work is in socket_listener.h.
//
// On Linux only, not in the simulator.

#ifndef TANDEM_CORE_NET_UNIX_LISTENER_H_
#define TANDEM_CORE_NET_UNIX_LISTENER_H_

#include <utility>

#include "absl/status/statusor.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/listener_socket.h"
#include "tandem/core/net/listen_options.h"  // IWYU pragma: export
#include "tandem/core/net/socket_listener.h"
#include "tandem/core/net/unix_stream.h"

namespace tandem {

class UnixListener final : public SocketListener<UnixStream> {
 public:
  UnixListener() = default;
  explicit UnixListener(Ref<ListenerSocket> socket) : SocketListener(std::move(socket)) {}

  // Binds to `address` and listens. Of `options` only the backlog means something: so many connections (not below 0)
  // plus one may wait, and further callers wait in their Connect().
  //
  // A path is created as a file, which stays when the listener is closed, as on Linux: connecting then fails with
  // ECONNREFUSED, and binding with EADDRINUSE, until somebody removes the file. An abstract name is free at once.
  //
  // Errors:
  //   kFailedPrecondition  EADDRINUSE: the name is taken, or the file exists.
  //   kNotFound            ENOENT: the folder does not exist.
  //   kPermissionDenied    EACCES: no file may be created there.
  //   kResourceExhausted   EMFILE, ENFILE: no descriptor is free.
  //   kInvalidArgument     `address` is not of a Unix socket.
  //   kUnimplemented       In the simulator.
  static absl::StatusOr<UnixListener> Listen(const SocketAddress& address,
                                             const ListenOptions& options = ListenOptions());

  // Takes over a listening socket that the program has from elsewhere, from systemd for example: see
  // TakeActivatedSockets(). Sets O_NONBLOCK, which all who have the socket open share. On an error the
  // descriptor stays the caller's, as it was.
  //
  // Errors:
  //   kInvalidArgument     `descriptor` is none, or of something else: the message says of what.
  //   kFailedPrecondition  EBADF: the descriptor is not open.
  //   kUnimplemented       In the simulator, where no process has a socket from elsewhere.
  static absl::StatusOr<UnixListener> Adopt(OwnedDescriptor&& descriptor);
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_UNIX_LISTENER_H_
