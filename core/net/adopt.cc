// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/adopt.h"

#include <cerrno>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/io/socket_options.h"

namespace tandem::internal {
namespace {

std::string NameOf(SocketKind kind, SocketType type) {
  if (kind == SocketKind::kUnix) return type == SocketType::kStream ? "Unix stream socket" : "Unix datagram socket";
  return type == SocketType::kStream ? "TCP socket" : "UDP socket";
}

SocketKind KindOf(const SocketDescription& socket) {
  return socket.family == AddressFamily::kUnix ? SocketKind::kUnix : SocketKind::kInternet;
}

// Takes `descriptor` over when it is of such a socket.
absl::StatusOr<SocketId> Adopt(OwnedDescriptor& descriptor, SocketKind kind, SocketType type, bool listening,
                               SocketDescription* socket) {
  const std::string wanted = absl::StrCat(listening ? "listening " : "", NameOf(kind, type));
  const std::string operation = absl::StrCat("adopt descriptor ", descriptor.get(), " as a ", wanted);
  if (!descriptor.valid()) return absl::InvalidArgumentError(absl::StrCat("adopt a ", wanted, ": there is none"));
  Reactor& reactor = Reactor::Current();
  const int described = reactor.DescribeSocket(descriptor.get(), socket);
  if (described == -ENOTSOCK) return absl::InvalidArgumentError(absl::StrCat(operation, ": it is no socket"));
  if (described == -EPROTONOSUPPORT) {
    return absl::InvalidArgumentError(absl::StrCat(operation, ": it is a socket of another protocol"));
  }
  if (described == -EOPNOTSUPP) {
    return absl::UnimplementedError(absl::StrCat(operation, ": a simulated process has no sockets from elsewhere"));
  }
  if (described < 0) return ErrnoStatus(-described, operation);
  if (KindOf(*socket) != kind || socket->type != type || socket->listening != listening) {
    return absl::InvalidArgumentError(absl::StrCat(operation, ": it is a ", socket->listening ? "listening " : "",
                                                   NameOf(KindOf(*socket), socket->type)));
  }
  if (type == SocketType::kStream && !listening && !socket->connected) return ErrnoStatus(ENOTCONN, operation);
  const int64_t id = reactor.AdoptSocket(descriptor.get());
  if (id < 0) return ErrnoStatus(static_cast<int>(-id), operation);
  descriptor.Release();
  return static_cast<SocketId>(id);
}

// Whether closing the socket waits for unsent bytes.
bool Lingers(SocketId id) {
  int seconds = 0;
  return Reactor::Current().GetOption(id, SocketOption::kLinger, &seconds) == 0 && seconds > 0;
}

void SetNoDelay(SocketId id, SocketKind kind) {
  // Its one failure is that of a connection which is gone, and that the first call will tell.
  if (kind == SocketKind::kInternet) Reactor::Current().SetOption(id, SocketOption::kNoDelay, 1);
}

}  // namespace

absl::StatusOr<Ref<StreamSocket>> AdoptStream(OwnedDescriptor& descriptor, SocketKind kind) {
  SocketDescription description;
  const absl::StatusOr<SocketId> id = Adopt(descriptor, kind, SocketType::kStream, /*listening=*/false, &description);
  if (!id.ok()) return id.status();
  SetNoDelay(*id, kind);
  SocketAddress peer;
  Reactor::Current().PeerAddress(*id, &peer);
  Ref<StreamSocket> socket = StreamSocket::Adopt(*id, peer);
  socket->set_lingers(Lingers(*id));
  return socket;
}

absl::StatusOr<Ref<ListenerSocket>> AdoptListener(OwnedDescriptor& descriptor, SocketKind kind) {
  SocketDescription description;
  const absl::StatusOr<SocketId> id = Adopt(descriptor, kind, SocketType::kStream, /*listening=*/true, &description);
  if (!id.ok()) return id.status();
  SetNoDelay(*id, kind);
  SocketAddress local;
  Reactor::Current().LocalAddress(*id, &local);
  Ref<ListenerSocket> socket = ListenerSocket::Adopt(*id, local);
  socket->set_lingers(Lingers(*id));
  return socket;
}

absl::StatusOr<Ref<DatagramSocket>> AdoptDatagrams(OwnedDescriptor& descriptor, SocketKind kind) {
  SocketDescription description;
  const absl::StatusOr<SocketId> id = Adopt(descriptor, kind, SocketType::kDatagram, /*listening=*/false, &description);
  if (!id.ok()) return id.status();
  Ref<DatagramSocket> socket = DatagramSocket::Adopt(*id, description.family);
  SocketAddress local;
  if (Reactor::Current().LocalAddress(*id, &local) == 0) socket->set_local(local);
  return socket;
}

}  // namespace tandem::internal
