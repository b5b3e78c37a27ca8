// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/unix_listener.h"

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/net/adopt.h"

namespace tandem {

absl::StatusOr<UnixListener> UnixListener::Listen(const SocketAddress& address, const ListenOptions& options) {
  Reactor& reactor = Reactor::Current();
  const std::string operation = absl::StrCat("listen ", address.ToString());
  if (!address.is_unix()) return ErrnoStatus(EINVAL, operation);
  const int64_t opened = reactor.OpenSocket(AddressFamily::kUnix, SocketType::kStream);
  if (opened < 0) return ErrnoStatus(static_cast<int>(-opened), operation);
  const auto id = static_cast<SocketId>(opened);
  // From here on the handle closes the socket on failure.
  UnixListener listener(ListenerSocket::Adopt(id, address));
  int result = reactor.Bind(id, address);
  if (result == 0) result = reactor.Listen(id, options.backlog());
  if (result < 0) return ErrnoStatus(-result, operation);
  return listener;
}

absl::StatusOr<UnixListener> UnixListener::Adopt(OwnedDescriptor&& descriptor) {
  absl::StatusOr<Ref<ListenerSocket>> socket = internal::AdoptListener(descriptor, internal::SocketKind::kUnix);
  if (!socket.ok()) return socket.status();
  return UnixListener(*std::move(socket));
}

}  // namespace tandem
