// SPDX-License-Identifier: Apache-2.0
//
// TcpSocket: a TCP socket that is not connected and does not listen yet: for options that must be set before, and for
// connecting from a chosen address.
//
//   absl::StatusOr<TcpSocket> socket = TcpSocket::Open(AddressFamily::kIpv4);
//   ...socket->set_receive_buffer_size(1 << 20), socket->Bind(local)...
//   absl::StatusOr<TcpStream> stream = co_await (*std::move(socket)).Connect(peer);
//
// A handle. Belongs to one shard; must not outlive the runtime.

#ifndef TANDEM_CORE_NET_TCP_SOCKET_H_
#define TANDEM_CORE_NET_TCP_SOCKET_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/stream_socket.h"
#include "tandem/core/net/handle.h"
#include "tandem/core/net/listen_options.h"
#include "tandem/core/net/option_calls.h"
#include "tandem/core/net/socket_stream.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_options.h"
#include "tandem/core/net/tcp_stream.h"

namespace tandem {

class TcpSocket final : public Handle<TcpSocket, StreamSocket>,
                        public BindOptions<TcpSocket>,
                        public TcpOptions<TcpSocket>,
                        public BufferSizeOptions<TcpSocket> {
 public:
  // valid() is false also after Listen() and Connect(), which take the socket away.
  TcpSocket() = default;
  TcpSocket(TcpSocket&&) = default;
  TcpSocket& operator=(TcpSocket&&) = default;
  // Closes in the background.
  ~TcpSocket() = default;

  // A new socket. It has TCP_NODELAY set, as all of Tandem's; everything else is as the kernel makes it: no
  // reuse-address, for example.
  //
  // Errors:
  //   kInvalidArgument    `family` is neither kIpv4 nor kIpv6.
  //   kResourceExhausted  EMFILE, ENFILE: no descriptor is free.
  //   kUnimplemented      EAFNOSUPPORT: the machine has no IPv6.
  static absl::StatusOr<TcpSocket> Open(AddressFamily family);

  // Gives the socket a local address. Port 0 picks a free one.
  //
  // Errors:
  //   kFailedPrecondition  EADDRINUSE: the port is taken. EADDRNOTAVAIL: not an address of this machine.
  //   kPermissionDenied    EACCES: a port below 1024 without CAP_NET_BIND_SERVICE.
  //   kInvalidArgument     EINVAL: the socket is bound already, or a kIpv6 socket and an IPv4 address. `address` is
  //                        none or of a Unix socket.
  //   kUnimplemented       EAFNOSUPPORT: a kIpv4 socket and an IPv6 address.
  absl::Status Bind(const SocketAddress& address);

  // The bound address; 0.0.0.0:0 or [::]:0 before Bind().
  absl::StatusOr<SocketAddress> LocalAddress() const { return socket()->LocalAddress(); }

  // Makes the socket a listener; `std::move(socket).Listen()`. Of `options` only the backlog counts: the others are
  // set before Bind(), by the calls above. A socket that was not bound gets a free port on all addresses. When it
  // fails, the socket is closed.
  //
  // Errors:
  //   kFailedPrecondition  EADDRINUSE: another socket listens on the port already.
  absl::StatusOr<TcpListener> Listen(const ListenOptions& options = ListenOptions()) &&;

  // Connects the socket; `co_await std::move(socket).Connect(address)`. As TcpStream::Connect(); when it fails or is
  // stopped, the socket is closed. Further errors:
  //   kFailedPrecondition  EADDRNOTAVAIL: a connection from the bound address to `address` exists already.
  //   kUnimplemented       EAFNOSUPPORT: an address of the other family.
  ConnectOperation<TcpStream> Connect(const SocketAddress& address) && {
    return ConnectOperation<TcpStream>(ReleaseState(), address, internal::AddressKind::kInternet);
  }

  // For the library: the state below.
  const Ref<StreamSocket>& socket() const { return state(); }

 private:
  friend class Handle<TcpSocket, StreamSocket>;
  static constexpr absl::string_view kHandleName = "TcpSocket";
  static void LetGo(StreamSocket& socket) { socket.Close(StreamSocket::CloseMode::kReset); }

  explicit TcpSocket(Ref<StreamSocket> socket) : Handle(std::move(socket)) {}
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_TCP_SOCKET_H_
