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
#include "core/base/ref.h"
#include "core/io/address.h"
#include "core/io/socket_options.h"
#include "core/io/stream_socket.h"
#include "core/net/handle.h"
#include "core/net/socket_stream.h"
#include "core/net/tcp_listener.h"
#include "core/net/tcp_options.h"
#include "core/net/tcp_stream.h"

namespace tandem {

class TcpSocket final : public Handle<TcpSocket, StreamSocket>,
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

  // SO_REUSEADDR (socket(7)): Bind() succeeds although old connections of the port are in TIME_WAIT or others are bound
  // to it, if they have it set as well and do not listen.
  absl::Status set_reuse_address(bool on) {
    return internal::SetFlag(*socket(), SocketOption::kReuseAddress, on, "set reuse-address");
  }
  absl::StatusOr<bool> reuse_address() const {
    return internal::GetFlag(*socket(), SocketOption::kReuseAddress, "get reuse-address");
  }
  // SO_REUSEPORT (socket(7)): sockets that all have it set share a port, and the kernel spreads the connections.
  absl::Status set_reuse_port(bool on) {
    return internal::SetFlag(*socket(), SocketOption::kReusePort, on, "set reuse-port");
  }
  absl::StatusOr<bool> reuse_port() const {
    return internal::GetFlag(*socket(), SocketOption::kReusePort, "get reuse-port");
  }
  // IPV6_V6ONLY (ipv6(7)): false lets a socket that is bound to [::] serve IPv4 as well, whose peers then have
  // addresses such as [::ffff:192.0.2.1]. Before Bind() (kInvalidArgument, EINVAL, after it); on kIpv6 sockets only.
  absl::Status set_ipv6_only(bool on) {
    return internal::SetFlag(*socket(), SocketOption::kIpv6Only, on, "set ipv6-only");
  }
  absl::StatusOr<bool> ipv6_only() const {
    return internal::GetFlag(*socket(), SocketOption::kIpv6Only, "get ipv6-only");
  }

  // Makes the socket a listener; `std::move(socket).Listen()`. `backlog` is how many connections the kernel completes
  // before they are accepted; it caps the value at net.core.somaxconn (listen(2)). A socket that was not bound gets a
  // free port on all addresses. When it fails, the socket is closed.
  //
  // Errors:
  //   kFailedPrecondition  EADDRINUSE: another socket listens on the port already.
  absl::StatusOr<TcpListener> Listen(int backlog = kDefaultBacklog) &&;

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
