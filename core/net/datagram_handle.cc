// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/datagram_handle.h"

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"

namespace tandem {

absl::StatusOr<Ref<DatagramSocket>> DatagramHandle::OpenSocket(AddressFamily family) {
  if (family == AddressFamily::kNone) return ErrnoStatus(EDESTADDRREQ, "open a datagram socket");
  const int64_t opened = Reactor::Current().OpenSocket(family, SocketType::kDatagram);
  if (opened < 0) return ErrnoStatus(static_cast<int>(-opened), "open a datagram socket");
  return DatagramSocket::Adopt(static_cast<SocketId>(opened), family);
}

// Only for messages, so a failure does not matter.
void DatagramHandle::LearnLocalAddress() {
  SocketAddress local;
  if (socket()->reactor()->LocalAddress(socket()->id(), &local) == 0) socket()->set_local(local);
}

absl::Status DatagramHandle::BindSocket(const SocketAddress& address) {
  const auto operation = [&address] { return absl::StrCat("bind ", address.ToString()); };
  if (!socket()->open()) return socket()->StatusFor(EBADF, operation());
  if (address.family() == AddressFamily::kNone) return ErrnoStatus(EDESTADDRREQ, operation());
  if (!socket()->IsOfKind(address)) return ErrnoStatus(EINVAL, operation());
  const int result = socket()->reactor()->Bind(socket()->id(), address);
  if (result < 0) return ErrnoStatus(-result, operation());
  LearnLocalAddress();
  return absl::OkStatus();
}

absl::Status DatagramHandle::Connect(const SocketAddress& peer) {
  const auto operation = [&peer] { return absl::StrCat("connect ", peer.ToString()); };
  if (!socket()->open()) return socket()->StatusFor(EBADF, operation());
  if (peer.family() == AddressFamily::kNone) return ErrnoStatus(EDESTADDRREQ, operation());
  if (!socket()->IsOfKind(peer)) return ErrnoStatus(EINVAL, operation());
  const int result = socket()->reactor()->ConnectDatagrams(socket()->id(), peer);
  if (result < 0) return ErrnoStatus(-result, operation());
  LearnLocalAddress();
  return absl::OkStatus();
}

absl::Status DatagramHandle::Disconnect() {
  if (!socket()->open()) return socket()->StatusFor(EBADF, "disconnect");
  const int result = socket()->reactor()->ConnectDatagrams(socket()->id(), SocketAddress());
  if (result < 0) return socket()->StatusFor(-result, "disconnect");
  LearnLocalAddress();
  return absl::OkStatus();
}

absl::StatusOr<std::optional<size_t>> DatagramHandle::TrySendTo(absl::string_view data,
                                                                const SocketAddress& destination) {
  const int error = socket()->TrySend(OutgoingDatagram(data, destination));
  if (error == EAGAIN) return std::nullopt;
  if (error != 0) return socket()->StatusFor(error, "send");
  return data.size();
}

absl::StatusOr<std::optional<ReceivedDatagram>> DatagramHandle::TryReceiveFrom(absl::Span<char> target) {
  Datagram datagram;
  const int error = socket()->TryReceive(datagram);
  if (error == EAGAIN) return std::nullopt;
  if (error != 0) return socket()->StatusFor(error, "receive");
  return internal::CopyOut(std::move(datagram), target);
}

absl::StatusOr<SocketAddress> DatagramHandle::LocalAddress() const {
  if (!socket()->open()) return socket()->StatusFor(EBADF, "local address");
  SocketAddress address;
  const int result = socket()->reactor()->LocalAddress(socket()->id(), &address);
  if (result < 0) return socket()->StatusFor(-result, "local address");
  return address;
}

absl::StatusOr<SocketAddress> DatagramHandle::PeerAddress() const {
  if (!socket()->open()) return socket()->StatusFor(EBADF, "peer address");
  SocketAddress address;
  const int result = socket()->reactor()->PeerAddress(socket()->id(), &address);
  if (result < 0) return socket()->StatusFor(-result, "peer address");
  return address;
}

}  // namespace tandem
