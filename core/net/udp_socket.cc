// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/udp_socket.h"

#include <cerrno>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/net/adopt.h"

namespace tandem {

absl::StatusOr<UdpSocket> UdpSocket::Open(AddressFamily family) {
  if (family == AddressFamily::kUnix) return ErrnoStatus(EINVAL, "open a UDP socket of family unix");
  absl::StatusOr<Ref<DatagramSocket>> socket = OpenSocket(family);
  if (!socket.ok()) return socket.status();
  return UdpSocket(*std::move(socket));
}

absl::StatusOr<UdpSocket> UdpSocket::Bind(const SocketAddress& address, const UdpOptions& options) {
  absl::StatusOr<UdpSocket> socket = Open(address.family());
  if (!socket.ok()) return socket.status();
  absl::Status status;
  if (options.reuse_address()) status.Update(socket->set_reuse_address(true));
  if (options.reuse_port()) status.Update(socket->set_reuse_port(true));
  if (address.is_ipv6()) status.Update(socket->set_ipv6_only(options.ipv6_only()));
  if (status.ok()) status = socket->BindTo(address);
  if (!status.ok()) return status;
  return socket;
}

absl::StatusOr<UdpSocket> UdpSocket::Adopt(OwnedDescriptor&& descriptor) {
  absl::StatusOr<Ref<DatagramSocket>> socket = internal::AdoptDatagrams(descriptor, internal::SocketKind::kInternet);
  if (!socket.ok()) return socket.status();
  return UdpSocket(*std::move(socket));
}

absl::Status UdpSocket::set_broadcast(bool on) {
  return internal::SetFlag(*socket(), SocketOption::kBroadcast, on, "set broadcast");
}
absl::StatusOr<bool> UdpSocket::broadcast() const {
  return internal::GetFlag(*socket(), SocketOption::kBroadcast, "get broadcast");
}

absl::Status UdpSocket::set_packet_info(bool on) {
  return internal::SetFlag(*socket(), SocketOption::kPacketInfo, on, "set packet info");
}
absl::StatusOr<bool> UdpSocket::packet_info() const {
  return internal::GetFlag(*socket(), SocketOption::kPacketInfo, "get packet info");
}

absl::Status UdpSocket::SetMembership(const MulticastGroup& group, bool join) {
  const std::string operation = absl::StrCat(join ? "join " : "leave ", group.address.HostToString());
  if (!socket()->open()) return socket()->StatusFor(EBADF, operation);
  if (!group.address.is_ipv4() && !group.address.is_ipv6()) return ErrnoStatus(EINVAL, operation);
  const int result = socket()->reactor()->SetMembership(socket()->id(), group, join);
  return socket()->StatusFor(-result, operation);
}

absl::Status UdpSocket::JoinGroup(const MulticastGroup& group) { return SetMembership(group, /*join=*/true); }
absl::Status UdpSocket::LeaveGroup(const MulticastGroup& group) { return SetMembership(group, /*join=*/false); }

absl::Status UdpSocket::set_multicast_time_to_live(int hops) {
  return internal::SetNumber(*socket(), SocketOption::kMulticastTimeToLive, hops, 0, 255, "set multicast time to live");
}
absl::StatusOr<int> UdpSocket::multicast_time_to_live() const {
  return internal::GetOption(*socket(), SocketOption::kMulticastTimeToLive, "get multicast time to live");
}

absl::Status UdpSocket::set_multicast_loop(bool on) {
  return internal::SetFlag(*socket(), SocketOption::kMulticastLoop, on, "set multicast loop");
}
absl::StatusOr<bool> UdpSocket::multicast_loop() const {
  return internal::GetFlag(*socket(), SocketOption::kMulticastLoop, "get multicast loop");
}

absl::Status UdpSocket::set_multicast_interface(uint32_t interface_index) {
  return internal::SetNumber(*socket(), SocketOption::kMulticastInterface, interface_index, 0,
                             std::numeric_limits<int>::max(), "set multicast interface");
}
absl::StatusOr<uint32_t> UdpSocket::multicast_interface() const {
  const absl::StatusOr<int> index =
      internal::GetOption(*socket(), SocketOption::kMulticastInterface, "get multicast interface");
  if (!index.ok()) return index.status();
  return static_cast<uint32_t>(*index);
}

}  // namespace tandem
