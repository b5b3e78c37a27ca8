// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/tcp_socket.h"

#include <cerrno>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"

namespace tandem {

absl::StatusOr<TcpSocket> TcpSocket::Open(AddressFamily family) {
  if (family != AddressFamily::kIpv4 && family != AddressFamily::kIpv6) {
    return absl::InvalidArgumentError("open socket: TCP goes over IPv4 and IPv6 only");
  }
  Reactor& reactor = Reactor::Current();
  const int64_t id = reactor.OpenSocket(family, SocketType::kStream);
  if (id < 0) return ErrnoStatus(static_cast<int>(-id), "open socket");
  const SocketAddress nobody = family == AddressFamily::kIpv4 ? SocketAddress::AnyIpv4(0) : SocketAddress::AnyIpv6(0);
  TcpSocket socket(StreamSocket::Adopt(static_cast<SocketId>(id), nobody));
  absl::Status status = socket.set_no_delay(true);
  if (!status.ok()) return status;
  return socket;
}

absl::Status TcpSocket::Bind(const SocketAddress& address) {
  const std::string operation = absl::StrCat("bind ", address.ToString());
  if (address.family() == AddressFamily::kNone) return ErrnoStatus(EDESTADDRREQ, operation);
  if (address.is_unix()) return ErrnoStatus(EINVAL, operation);
  return ErrnoStatus(-socket()->reactor()->Bind(socket()->id(), address), operation);
}

absl::StatusOr<TcpListener> TcpSocket::Listen(const ListenOptions& options) && {
  const Ref<StreamSocket> socket = ReleaseState();
  const OwnReactor& reactor = socket->reactor();
  int result = reactor->Listen(socket->id(), options.backlog());
  SocketAddress local;
  if (result == 0) result = reactor->LocalAddress(socket->id(), &local);
  if (result < 0) {
    reactor->LocalAddress(socket->id(), &local);
    socket->Close(StreamSocket::CloseMode::kReset);
    return ErrnoStatus(-result, absl::StrCat("listen ", local.ToString()));
  }
  const bool lingers = socket->lingers();
  TcpListener listener(ListenerSocket::Adopt(socket->ReleaseId(), local));
  listener.socket()->set_lingers(lingers);
  return listener;
}

}  // namespace tandem
