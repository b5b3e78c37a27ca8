// SPDX-License-Identifier: Apache-2.0
//
// The words for sockets at the seam (reactor.h): names, kinds and options.

#ifndef TANDEM_CORE_IO_SOCKET_OPTIONS_H_
#define TANDEM_CORE_IO_SOCKET_OPTIONS_H_

#include <cstdint>

#include "tandem/core/io/address.h"

namespace tandem {

// Names an open socket within its reactor: the descriptor in real reactors. Never negative when valid.
using SocketId = int32_t;
inline constexpr SocketId kNoSocket = -1;

enum class SocketType : uint8_t {
  kStream,    // TCP, or a Unix stream socket.
  kDatagram,  // UDP, or a Unix datagram socket.
};

// What a descriptor that the program has from elsewhere is.
struct SocketDescription {
  AddressFamily family = AddressFamily::kNone;
  SocketType type = SocketType::kStream;
  bool listening = false;
  bool connected = false;  // It has a peer.
};

enum class SocketOption : uint8_t {
  kNoDelay,              // 0 or 1. TCP_NODELAY.
  kReceiveBufferSize,    // Bytes. SO_RCVBUF: Linux doubles the value and enforces a minimum; a get returns the result.
  kSendBufferSize,       // Bytes. SO_SNDBUF, likewise.
  kReuseAddress,         // 0 or 1. SO_REUSEADDR.
  kReusePort,            // 0 or 1. SO_REUSEPORT.
  kIpv6Only,             // 0 or 1. IPV6_V6ONLY.
  kLinger,               // Seconds, SO_LINGER: -1 off; 0: the close discards unsent bytes and sends RST; else the close
                         // waits up to so long for unsent bytes to be acknowledged.
  kError,                // Get only: the pending error, which this clears. SO_ERROR.
  kKeepAlive,            // 0 or 1. SO_KEEPALIVE.
  kKeepAliveIdle,        // Seconds of silence before the first probe. TCP_KEEPIDLE.
  kKeepAliveInterval,    // Seconds between probes. TCP_KEEPINTVL.
  kKeepAliveCount,       // Unanswered probes before the connection is given up. TCP_KEEPCNT.
  kUserTimeout,          // Milliseconds that sent bytes may stay unacknowledged; 0: the system's. TCP_USER_TIMEOUT.
  kQuickAck,             // 0 or 1; not permanent. TCP_QUICKACK.
  kTrafficClass,         // The DSCP and ECN byte, 0..255. IP_TOS, IPV6_TCLASS.
  kTimeToLive,           // 1..255. IP_TTL, IPV6_UNICAST_HOPS.
  kBroadcast,            // 0 or 1. SO_BROADCAST.
  kMulticastTimeToLive,  // 0..255. IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS.
  kMulticastLoop,        // 0 or 1: this host's members get a copy. IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP.
  kMulticastInterface,   // An interface's index, 0: the route decides. IP_MULTICAST_IF (ip_mreqn), IPV6_MULTICAST_IF.
  kPacketInfo,           // 0 or 1: Datagram::destination and interface_index are set. IP_PKTINFO, IPV6_RECVPKTINFO.
};

// Who is at the other end of a Unix stream socket, when it was connected. SO_PEERCRED, unix(7).
struct PeerCredentials {
  int64_t process_id = 0;
  uint32_t user_id = 0;
  uint32_t group_id = 0;
};

enum class ShutdownHow : uint8_t { kRead, kWrite, kBoth };

}  // namespace tandem

#endif  // TANDEM_CORE_IO_SOCKET_OPTIONS_H_
