// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/unix_datagram.h"

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/net/adopt.h"

namespace tandem {

absl::StatusOr<UnixDatagram> UnixDatagram::Open() {
  absl::StatusOr<Ref<DatagramSocket>> socket = OpenSocket(AddressFamily::kUnix);
  if (!socket.ok()) return socket.status();
  return UnixDatagram(*std::move(socket));
}

absl::StatusOr<UnixDatagram> UnixDatagram::Bind(const SocketAddress& address) {
  if (!address.is_unix()) return ErrnoStatus(EINVAL, absl::StrCat("bind ", address.ToString()));
  absl::StatusOr<UnixDatagram> socket = Open();
  if (!socket.ok()) return socket.status();
  absl::Status status = socket->BindSocket(address);
  if (!status.ok()) return status;
  return socket;
}

absl::StatusOr<std::pair<UnixDatagram, UnixDatagram>> UnixDatagram::Pair() {
  SocketId ids[2] = {kNoSocket, kNoSocket};
  const int result = Reactor::Current().OpenSocketPair(SocketType::kDatagram, ids);
  if (result < 0) return ErrnoStatus(-result, "open a pair of Unix datagram sockets");
  UnixDatagram first(DatagramSocket::Adopt(ids[0], AddressFamily::kUnix));
  UnixDatagram second(DatagramSocket::Adopt(ids[1], AddressFamily::kUnix));
  return std::make_pair(std::move(first), std::move(second));
}

absl::StatusOr<UnixDatagram> UnixDatagram::Adopt(OwnedDescriptor&& descriptor) {
  absl::StatusOr<Ref<DatagramSocket>> socket = internal::AdoptDatagrams(descriptor, internal::SocketKind::kUnix);
  if (!socket.ok()) return socket.status();
  return UnixDatagram(*std::move(socket));
}

}  // namespace tandem
