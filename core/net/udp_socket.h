// SPDX-License-Identifier: Apache-2.0
//
// UdpSocket: sends and receives UDP datagrams.
//
//   absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(SocketAddress::AnyIpv4(9000));
//   char buffer[2048];
//   for (;;) {
//     absl::StatusOr<ReceivedDatagram> received = co_await socket->ReceiveFrom(absl::MakeSpan(buffer));
//     if (!received.ok()) co_return received.status();
//     absl::Status sent = co_await socket->SendTo(absl::string_view(buffer, received->size), received->source);
//   }
//
// A handle: move it into whatever object owns the socket; most of its calls are DatagramHandle's. Belongs to one shard;
// must not outlive the runtime.

#ifndef TANDEM_CORE_NET_UDP_SOCKET_H_
#define TANDEM_CORE_NET_UDP_SOCKET_H_

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/datagram_socket.h"
#include "tandem/core/net/datagram_handle.h"
#include "tandem/core/net/option_calls.h"

namespace tandem {

// What UdpSocket::Bind() sets before it binds: what has no effect later. Everything else is set on the socket, any
// time.
class UdpOptions {
 public:
  UdpOptions() {}

  // SO_REUSEADDR (socket(7)): several sockets may bind to one port when all of them ask for it. A multicast goes to
  // all of them, other datagrams to the one that was bound last. Default off.
  bool reuse_address() const { return reuse_address_; }
  UdpOptions& set_reuse_address(bool on) {
    reuse_address_ = on;
    return *this;
  }
  // SO_REUSEPORT (socket(7)): several sockets of one user share the port, and the kernel spreads the senders over them.
  bool reuse_port() const { return reuse_port_; }
  UdpOptions& set_reuse_port(bool on) {
    reuse_port_ = on;
    return *this;
  }
  // IPV6_V6ONLY (ipv6(7)): a socket on :: does not receive IPv4. Default off, whatever the system's default: it does,
  // from addresses like ::ffff:10.0.0.1. Ignored for IPv4.
  bool ipv6_only() const { return ipv6_only_; }
  UdpOptions& set_ipv6_only(bool on) {
    ipv6_only_ = on;
    return *this;
  }

 private:
  bool reuse_address_ = false;
  bool reuse_port_ = false;
  bool ipv6_only_ = false;
};

class UdpSocket final : public DatagramHandle, public BindOptions<UdpSocket>, public PacketOptions<UdpSocket> {
 public:
  UdpSocket() = default;
  UdpSocket(UdpSocket&&) = default;
  UdpSocket& operator=(UdpSocket&&) = default;
  // Closes in the background, as Close() does, without waiting.
  ~UdpSocket() = default;

  // Opens a socket and binds it to `address`. Port 0 picks a free one; LocalAddress() tells which.
  //
  // Errors:
  //   kFailedPrecondition  EADDRINUSE: the port is taken. EADDRNOTAVAIL: not an address of this machine.
  //   kPermissionDenied    EACCES: a port below 1024 without CAP_NET_BIND_SERVICE.
  //   kResourceExhausted   EMFILE, ENFILE: no descriptor is free.
  //   kUnimplemented       EAFNOSUPPORT: the machine has no IPv6.
  //   kInvalidArgument     `address` is none or of a Unix socket.
  static absl::StatusOr<UdpSocket> Bind(const SocketAddress& address, const UdpOptions& options = UdpOptions());

  // Opens a socket without binding it: for options that must come first, then BindTo() or Connect(); the first
  // datagram that it sends binds it to a free port. `family` is kIpv4 or kIpv6.
  //
  // Errors: kResourceExhausted, kUnimplemented and kInvalidArgument as for Bind().
  static absl::StatusOr<UdpSocket> Open(AddressFamily family);

  // Takes over a socket that the program has from elsewhere, bound and connected or not. Sets O_NONBLOCK, which all who
  // have the socket open share, and no other option. On an error the descriptor stays the caller's, as it was.
  //
  // Errors:
  //   kInvalidArgument     `descriptor` is none, or of something else: the message says of what.
  //   kFailedPrecondition  EBADF: the descriptor is not open.
  //   kUnimplemented       In the simulator, where no process has a socket from elsewhere.
  static absl::StatusOr<UdpSocket> Adopt(OwnedDescriptor&& descriptor);
  // Binds an open socket. Errors: those of Bind(), and kInvalidArgument with EINVAL when it is bound already.
  absl::Status BindTo(const SocketAddress& address) { return BindSocket(address); }

  // --- Options. Setters and getters fail with kFailedPrecondition (EBADF) after Close(); setters with
  // --- kInvalidArgument, having changed nothing, for a number out of the range that is given. ---

  // SO_BROADCAST: allows sending to broadcast addresses.
  absl::Status set_broadcast(bool on);
  absl::StatusOr<bool> broadcast() const;

  // IP_PKTINFO, IPV6_RECVPKTINFO: received datagrams tell which address they were sent to, and the interface. Set it
  // before the first receive: datagrams that have arrived already may come without. Default off.
  absl::Status set_packet_info(bool on);
  absl::StatusOr<bool> packet_info() const;

  // --- Multicast ---

  // Receives what is sent to the group, on the group's interface. The socket must be bound to the port in question, and
  // to the group's address or to any; in the latter case Linux also gives it what comes for groups that other sockets
  // of the host have joined.
  //
  // Errors:
  //   kFailedPrecondition  EADDRINUSE: it is a member already. EBADF.
  //   kInvalidArgument     EINVAL: not a multicast address.
  //   kNotFound            ENODEV: no such interface, or the route knows none.
  //   kUnimplemented       ENOPROTOOPT: a group of IPv6 on a kIpv4 socket.
  absl::Status JoinGroup(const MulticastGroup& group);
  // Errors: kFailedPrecondition, EADDRNOTAVAIL: it is not a member.
  absl::Status LeaveGroup(const MulticastGroup& group);

  // How many routers a multicast may pass, 0..255; 0 stays on this host. Default 1: this network.
  absl::Status set_multicast_time_to_live(int hops);
  absl::StatusOr<int> multicast_time_to_live() const;
  // Whether members on this host get what this socket sends (IPv4 and IPv6 alike on Linux: the sender decides).
  // Default on.
  absl::Status set_multicast_loop(bool on);
  absl::StatusOr<bool> multicast_loop() const;
  // The interface, by index (up to 2^31 - 1), on which multicasts are sent; 0: the route decides.
  //
  // Errors:
  //   kFailedPrecondition, kNotFound  EADDRNOTAVAIL (IPv4), ENODEV (IPv6): no such interface.
  absl::Status set_multicast_interface(uint32_t interface_index);
  absl::StatusOr<uint32_t> multicast_interface() const;

 private:
  friend class BindOptions<UdpSocket>;
  friend class PacketOptions<UdpSocket>;

  explicit UdpSocket(Ref<DatagramSocket> socket) : DatagramHandle(std::move(socket)) {}
  absl::Status SetMembership(const MulticastGroup& group, bool join);
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_UDP_SOCKET_H_
