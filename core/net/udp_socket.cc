// SPDX-License-Identifier: Apache-2.0

#include "core/net/udp_socket.h"

#include <cerrno>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/io/errors.h"
#include "core/io/reactor.h"
#include "core/net/adopt.h"

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
  if (options.broadcast()) status.Update(socket->set_broadcast(true));
  if (options.receive_buffer_size() > 0) status.Update(socket->set_receive_buffer_size(options.receive_buffer_size()));
  if (options.send_buffer_size() > 0) status.Update(socket->set_send_buffer_size(options.send_buffer_size()));
  if (status.ok()) status = socket->BindTo(address);
  if (!status.ok()) return status;
  return socket;
}

absl::StatusOr<UdpSocket> UdpSocket::Adopt(OwnedDescriptor&& descriptor) {
  absl::StatusOr<Ref<DatagramSocket>> socket = internal::AdoptDatagrams(descriptor, internal::SocketKind::kInternet);
  if (!socket.ok()) return socket.status();
  return UdpSocket(*std::move(socket));
}

absl::Status UdpSocket::SetNumber(SocketOption option, int64_t value, int min, int max, absl::string_view name) {
  if (value < min || value > max) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", value, " is not in ", min, "..", max));
  }
  return SetOption(option, static_cast<int>(value), name);
}

absl::Status UdpSocket::set_reuse_address(bool on) {
  return SetFlag(SocketOption::kReuseAddress, on, "set reuse-address");
}
absl::StatusOr<bool> UdpSocket::reuse_address() const {
  return GetFlag(SocketOption::kReuseAddress, "get reuse-address");
}

absl::Status UdpSocket::set_reuse_port(bool on) { return SetFlag(SocketOption::kReusePort, on, "set reuse-port"); }
absl::StatusOr<bool> UdpSocket::reuse_port() const { return GetFlag(SocketOption::kReusePort, "get reuse-port"); }

absl::Status UdpSocket::set_ipv6_only(bool on) { return SetFlag(SocketOption::kIpv6Only, on, "set IPv6-only"); }
absl::StatusOr<bool> UdpSocket::ipv6_only() const { return GetFlag(SocketOption::kIpv6Only, "get IPv6-only"); }

absl::Status UdpSocket::set_broadcast(bool on) { return SetFlag(SocketOption::kBroadcast, on, "set broadcast"); }
absl::StatusOr<bool> UdpSocket::broadcast() const { return GetFlag(SocketOption::kBroadcast, "get broadcast"); }

absl::Status UdpSocket::set_time_to_live(int hops) {
  return SetNumber(SocketOption::kTimeToLive, hops, 1, 255, "set time to live");
}
absl::StatusOr<int> UdpSocket::time_to_live() const { return GetOption(SocketOption::kTimeToLive, "get time to live"); }

absl::Status UdpSocket::set_traffic_class(int traffic_class) {
  return SetNumber(SocketOption::kTrafficClass, traffic_class, 0, 255, "set traffic class");
}
absl::StatusOr<int> UdpSocket::traffic_class() const {
  return GetOption(SocketOption::kTrafficClass, "get traffic class");
}

absl::Status UdpSocket::set_packet_info(bool on) { return SetFlag(SocketOption::kPacketInfo, on, "set packet info"); }
absl::StatusOr<bool> UdpSocket::packet_info() const { return GetFlag(SocketOption::kPacketInfo, "get packet info"); }

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
  return SetNumber(SocketOption::kMulticastTimeToLive, hops, 0, 255, "set multicast time to live");
}
absl::StatusOr<int> UdpSocket::multicast_time_to_live() const {
  return GetOption(SocketOption::kMulticastTimeToLive, "get multicast time to live");
}

absl::Status UdpSocket::set_multicast_loop(bool on) {
  return SetFlag(SocketOption::kMulticastLoop, on, "set multicast loop");
}
absl::StatusOr<bool> UdpSocket::multicast_loop() const {
  return GetFlag(SocketOption::kMulticastLoop, "get multicast loop");
}

absl::Status UdpSocket::set_multicast_interface(uint32_t interface_index) {
  return SetNumber(SocketOption::kMulticastInterface, interface_index, 0, std::numeric_limits<int>::max(),
                   "set multicast interface");
}
absl::StatusOr<uint32_t> UdpSocket::multicast_interface() const {
  const absl::StatusOr<int> index = GetOption(SocketOption::kMulticastInterface, "get multicast interface");
  if (!index.ok()) return index.status();
  return static_cast<uint32_t>(*index);
}

}  // namespace tandem
