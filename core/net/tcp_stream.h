// SPDX-License-Identifier: Apache-2.0
//
// TcpStream: one end of a connected TCP byte stream. How reading, writing and closing work is in socket_stream.h.

#ifndef TANDEM_CORE_NET_TCP_STREAM_H_
#define TANDEM_CORE_NET_TCP_STREAM_H_

#include <utility>

#include "absl/status/statusor.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/stream_socket.h"
#include "tandem/core/net/socket_stream.h"
#include "tandem/core/net/tcp_options.h"
#include "tandem/core/net/tcp_split.h"

namespace tandem {

class TcpStream final : public SocketStream, public TcpOptions<TcpStream> {
 public:
  TcpStream() = default;
  explicit TcpStream(Ref<StreamSocket> socket) : SocketStream(std::move(socket)) {}

  // Connects to `address`. The stream has TCP_NODELAY set, since what is written is a message as often as not; see
  // set_no_delay(). When the call fails or is stopped, the socket is closed. For options that must be set before, or a
  // local address, see TcpSocket.
  //
  // Errors:
  //   kDeadlineExceeded    The deadline of the scope or of .By() passed first.
  //   kCancelled           The enclosing scope was cancelled.
  //   kUnavailable         ECONNREFUSED: nobody listens there. ETIMEDOUT: no answer to the SYN and its retries (about
  //                        two minutes on Linux: tcp(7), tcp_syn_retries). EHOSTUNREACH, ENETUNREACH: no route.
  //   kFailedPrecondition  EADDRNOTAVAIL: no ephemeral port is free.
  //   kResourceExhausted   EMFILE, ENFILE: no descriptor is free.
  //   kInvalidArgument     `address` is none or of a Unix socket.
  static ConnectOperation<TcpStream> Connect(const SocketAddress& address) {
    return ConnectOperation<TcpStream>(address, internal::AddressKind::kInternet);
  }

  // Takes over a connected socket that the program has from elsewhere: it was passed over a Unix socket, inherited, or
  // made by another library. Sets O_NONBLOCK, which all who have the socket open share, and TCP_NODELAY; what has
  // arrived is there to be read. On an error the descriptor stays the caller's, as it was.
  //
  // Errors:
  //   kInvalidArgument     `descriptor` is none, or of something else: the message says of what.
  //   kFailedPrecondition  EBADF: the descriptor is not open.
  //                        ENOTCONN: there is no connection (any more).
  //   kUnimplemented       In the simulator, where no process has a socket from elsewhere.
  static absl::StatusOr<TcpStream> Adopt(OwnedDescriptor&& descriptor);

  // Makes two handles of one, for two owners; `std::move(stream).Split()`. REQUIRES that no call is pending.
  std::pair<TcpReader, TcpWriter> Split() &&;
  // Undoes Split(). REQUIRES that both are halves of one stream (CHECKed) and that no call is pending.
  static TcpStream Join(TcpReader reader, TcpWriter writer);
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_TCP_STREAM_H_
