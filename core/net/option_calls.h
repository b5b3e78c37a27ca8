// SPDX-License-Identifier: Apache-2.0
//
// What the options of all socket handles have in common: how one is set and read, and those that streams and datagram
// sockets share. A `Socket` is a StreamSocket or a DatagramSocket; a `Derived` is a handle with a
// `const Ref<Socket>& socket() const`.

#ifndef TANDEM_CORE_NET_OPTION_CALLS_H_
#define TANDEM_CORE_NET_OPTION_CALLS_H_

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tandem/core/io/own_reactor.h"
#include "tandem/core/io/socket_options.h"

namespace tandem {

namespace internal {

// kInvalidArgument unless `value` is in `min`..`max`; `name` is for messages, here and below.
absl::Status CheckRange(int64_t value, int64_t min, int64_t max, absl::string_view name);

// What the reactor does and says: 0, or a negative errno.
int SetReactorOption(const OwnReactor& reactor, SocketId id, SocketOption option, int value);
int GetReactorOption(const OwnReactor& reactor, SocketId id, SocketOption option, int* value);

// kFailedPrecondition (EBADF) once Close() was called, like all below.
template <typename Socket>
absl::Status SetOption(Socket& socket, SocketOption option, int value, absl::string_view name) {
  if (!socket.open()) return socket.StatusFor(EBADF, name);
  return socket.StatusFor(-SetReactorOption(socket.reactor(), socket.id(), option, value), name);
}

template <typename Socket>
absl::StatusOr<int> GetOption(const Socket& socket, SocketOption option, absl::string_view name) {
  if (!socket.open()) return socket.StatusFor(EBADF, name);
  int value = 0;
  const int result = GetReactorOption(socket.reactor(), socket.id(), option, &value);
  if (result < 0) return socket.StatusFor(-result, name);
  return value;
}

template <typename Socket>
absl::Status SetFlag(Socket& socket, SocketOption option, bool on, absl::string_view name) {
  return internal::SetOption(socket, option, on ? 1 : 0, name);
}

template <typename Socket>
absl::StatusOr<bool> GetFlag(const Socket& socket, SocketOption option, absl::string_view name) {
  const absl::StatusOr<int> value = internal::GetOption(socket, option, name);
  if (!value.ok()) return value.status();
  return *value != 0;
}

// kInvalidArgument unless `value` is in `min`..`max`.
template <typename Socket>
absl::Status SetNumber(Socket& socket, SocketOption option, int64_t value, int min, int max, absl::string_view name) {
  if (absl::Status status = CheckRange(value, min, max, name); !status.ok()) return status;
  return internal::SetOption(socket, option, static_cast<int>(value), name);
}

// Cuts what does not fit.
template <typename Socket>
absl::Status SetSize(Socket& socket, SocketOption option, size_t bytes, absl::string_view name) {
  constexpr auto kMax = static_cast<size_t>(std::numeric_limits<int>::max());
  return internal::SetOption(socket, option, static_cast<int>(std::min(bytes, kMax)), name);
}

template <typename Socket>
absl::StatusOr<size_t> GetSize(const Socket& socket, SocketOption option, absl::string_view name) {
  const absl::StatusOr<int> value = internal::GetOption(socket, option, name);
  if (!value.ok()) return value.status();
  return static_cast<size_t>(*value);
}

}  // namespace internal

// The sizes of the kernel's buffers.
template <typename Derived>
class BufferSizeOptions {
 public:
  // SO_RCVBUF and SO_SNDBUF in bytes (socket(7)): Linux doubles what is set, and enforces a minimum and a maximum; the
  // other functions return what it made of it.
  //
  // Errors: kFailedPrecondition (EBADF) after Close().
  absl::Status set_receive_buffer_size(size_t bytes) {
    return internal::SetSize(target(), SocketOption::kReceiveBufferSize, bytes, "set receive buffer size");
  }
  absl::StatusOr<size_t> receive_buffer_size() const {
    return internal::GetSize(target(), SocketOption::kReceiveBufferSize, "get receive buffer size");
  }
  absl::Status set_send_buffer_size(size_t bytes) {
    return internal::SetSize(target(), SocketOption::kSendBufferSize, bytes, "set send buffer size");
  }
  absl::StatusOr<size_t> send_buffer_size() const {
    return internal::GetSize(target(), SocketOption::kSendBufferSize, "get send buffer size");
  }

 private:
  friend Derived;
  BufferSizeOptions() = default;
  auto& target() const { return *static_cast<const Derived*>(this)->socket(); }
};

// The options that matter before a socket of TCP or UDP is bound.
//
// Errors of all of them: kFailedPrecondition (EBADF) after Close().
template <typename Derived>
class BindOptions {
 public:
  // SO_REUSEADDR (socket(7)). TCP: binding succeeds although old connections of the port are in TIME_WAIT or others are
  // bound to it, if they have it set as well and do not listen. UDP: several sockets may be bound to one port if all of
  // them have it set; a multicast goes to all of them, other datagrams to the one that was bound last.
  absl::Status set_reuse_address(bool on) {
    return internal::SetFlag(target(), SocketOption::kReuseAddress, on, "set reuse-address");
  }
  absl::StatusOr<bool> reuse_address() const {
    return internal::GetFlag(target(), SocketOption::kReuseAddress, "get reuse-address");
  }
  // SO_REUSEPORT (socket(7)): sockets of one user that all have it set share a port, and the kernel spreads connections
  // or senders over them.
  absl::Status set_reuse_port(bool on) {
    return internal::SetFlag(target(), SocketOption::kReusePort, on, "set reuse-port");
  }
  absl::StatusOr<bool> reuse_port() const {
    return internal::GetFlag(target(), SocketOption::kReusePort, "get reuse-port");
  }
  // IPV6_V6ONLY (ipv6(7)): false lets a socket that is bound to [::] serve IPv4 as well, whose peers then have
  // addresses such as [::ffff:192.0.2.1]. Further errors of the setter: kInvalidArgument (EINVAL) once the socket is
  // bound; kUnimplemented (ENOPROTOOPT) on a kIpv4 socket.
  absl::Status set_ipv6_only(bool on) {
    return internal::SetFlag(target(), SocketOption::kIpv6Only, on, "set ipv6-only");
  }
  absl::StatusOr<bool> ipv6_only() const {
    return internal::GetFlag(target(), SocketOption::kIpv6Only, "get ipv6-only");
  }

 private:
  friend Derived;
  BindOptions() = default;
  auto& target() const { return *static_cast<const Derived*>(this)->socket(); }
};

// What stands in the header of packets of TCP and UDP.
//
// Errors of all of them: kFailedPrecondition (EBADF) after Close(); kInvalidArgument for a value outside of the range
// that is given, which changes nothing.
template <typename Derived>
class PacketOptions {
 public:
  // The traffic class byte of what is sent, 0..255, DSCP and ECN: IP_TOS (ip(7)) or IPV6_TCLASS. The two lowest bits
  // (ECN) are TCP's own: there they are ignored.
  absl::Status set_traffic_class(int traffic_class) {
    return internal::SetNumber(target(), SocketOption::kTrafficClass, traffic_class, 0, 255, "set traffic class");
  }
  absl::StatusOr<int> traffic_class() const {
    return internal::GetOption(target(), SocketOption::kTrafficClass, "get traffic class");
  }
  // How many routers what is sent may pass, 1..255: IP_TTL (ip(7)) or IPV6_UNICAST_HOPS.
  absl::Status set_time_to_live(int hops) {
    return internal::SetNumber(target(), SocketOption::kTimeToLive, hops, 1, 255, "set time to live");
  }
  absl::StatusOr<int> time_to_live() const {
    return internal::GetOption(target(), SocketOption::kTimeToLive, "get time to live");
  }

 protected:
  PacketOptions() = default;

 private:
  auto& target() const { return *static_cast<const Derived*>(this)->socket(); }
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_OPTION_CALLS_H_
