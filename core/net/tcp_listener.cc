// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/tcp_listener.h"

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/net/adopt.h"

namespace tandem {

absl::StatusOr<TcpListener> TcpListener::Listen(const SocketAddress& address, const ListenOptions& options) {
  Reactor& reactor = Reactor::Current();
  const std::string operation = absl::StrCat("listen ", address.ToString());
  if (address.family() == AddressFamily::kNone) return ErrnoStatus(EDESTADDRREQ, operation);
  if (address.is_unix()) return ErrnoStatus(EINVAL, operation);
  const int64_t opened = reactor.OpenSocket(address.family(), SocketType::kStream);
  if (opened < 0) return ErrnoStatus(static_cast<int>(-opened), operation);
  const auto id = static_cast<SocketId>(opened);
  // From here on the handle closes the socket on failure.
  TcpListener listener(ListenerSocket::Adopt(id, address));
  int result = reactor.SetOption(id, SocketOption::kNoDelay, 1);
  if (result == 0 && options.reuse_address()) result = reactor.SetOption(id, SocketOption::kReuseAddress, 1);
  if (result == 0 && options.reuse_port()) result = reactor.SetOption(id, SocketOption::kReusePort, 1);
  if (result == 0 && address.is_ipv6()) {
    result = reactor.SetOption(id, SocketOption::kIpv6Only, options.ipv6_only() ? 1 : 0);
  }
  if (result == 0) result = reactor.Bind(id, address);
  if (result == 0) result = reactor.Listen(id, options.backlog());
  SocketAddress local = address;
  if (result == 0) result = reactor.LocalAddress(id, &local);
  if (result < 0) return ErrnoStatus(-result, operation);
  listener.socket()->set_local(local);
  return listener;
}

absl::StatusOr<TcpListener> TcpListener::Adopt(OwnedDescriptor&& descriptor) {
  absl::StatusOr<Ref<ListenerSocket>> socket = internal::AdoptListener(descriptor, internal::SocketKind::kInternet);
  if (!socket.ok()) return socket.status();
  return TcpListener(*std::move(socket));
}

}  // namespace tandem
