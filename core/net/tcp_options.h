// SPDX-License-Identifier: Apache-2.0
//
// TcpOptions: the options of a TCP socket, for TcpSocket (before it is connected) and TcpStream (after).

#ifndef TANDEM_CORE_NET_TCP_OPTIONS_H_
#define TANDEM_CORE_NET_TCP_OPTIONS_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/core/io/socket_options.h"
#include "tandem/core/io/stream_socket.h"
#include "tandem/core/net/option_calls.h"

namespace tandem {

// How a silent connection is probed (tcp(7)): after `idle` without a sign of the peer, every `interval`; after `count`
// probes without an answer the connection is dead (ETIMEDOUT). The defaults are those of Linux.
class KeepAlive {
 public:
  KeepAlive() {}

  // 1..32767 s, rounded up to whole seconds.
  absl::Duration idle() const { return idle_; }
  KeepAlive& set_idle(absl::Duration idle) {
    idle_ = idle;
    return *this;
  }
  // 1..32767 s, rounded up to whole seconds.
  absl::Duration interval() const { return interval_; }
  KeepAlive& set_interval(absl::Duration interval) {
    interval_ = interval;
    return *this;
  }
  // 1..127.
  int count() const { return count_; }
  KeepAlive& set_count(int count) {
    count_ = count;
    return *this;
  }

  friend bool operator==(const KeepAlive&, const KeepAlive&) = default;

 private:
  absl::Duration idle_ = absl::Hours(2);
  absl::Duration interval_ = absl::Seconds(75);
  int count_ = 9;
};

namespace internal {

absl::Status SetLinger(StreamSocket& socket, std::optional<absl::Duration> linger);
absl::StatusOr<std::optional<absl::Duration>> GetLinger(const StreamSocket& socket);
absl::Status SetKeepAlive(StreamSocket& socket, const std::optional<KeepAlive>& keep_alive);
absl::StatusOr<std::optional<KeepAlive>> GetKeepAlive(const StreamSocket& socket);
absl::Status SetUserTimeout(StreamSocket& socket, absl::Duration timeout);
absl::StatusOr<absl::Duration> GetUserTimeout(const StreamSocket& socket);
absl::Status SetDscp(StreamSocket& socket, int dscp);
absl::StatusOr<int> GetDscp(const StreamSocket& socket);

}  // namespace internal

// For `Derived`, which has a `const Ref<StreamSocket>& socket() const`. Connections inherit the options of the listener
// that accepts them.
//
// Errors of all of them:
//   kFailedPrecondition  EBADF: Close() was called.
//   kInvalidArgument     A value outside of the range that is given; nothing was changed.
template <typename Derived>
class TcpOptions : public PacketOptions<Derived> {
 public:
  // TCP_NODELAY (tcp(7)): false lets the kernel hold back small segments while others are unacknowledged. On by default
  // in Tandem.
  absl::Status set_no_delay(bool on) { return internal::SetFlag(stream(), SocketOption::kNoDelay, on, "set no-delay"); }
  absl::StatusOr<bool> no_delay() const { return internal::GetFlag(stream(), SocketOption::kNoDelay, "get no-delay"); }

  // TCP_QUICKACK (tcp(7)): true acknowledges at once, false delays, as the kernel likes; it changes this by itself
  // later.
  absl::Status set_quick_ack(bool on) {
    return internal::SetFlag(stream(), SocketOption::kQuickAck, on, "set quick-ack");
  }
  absl::StatusOr<bool> quick_ack() const {
    return internal::GetFlag(stream(), SocketOption::kQuickAck, "get quick-ack");
  }

  // SO_KEEPALIVE (socket(7)) with its times; nullopt, the default, is off.
  absl::Status set_keep_alive(const std::optional<KeepAlive>& keep_alive) {
    return internal::SetKeepAlive(stream(), keep_alive);
  }
  absl::StatusOr<std::optional<KeepAlive>> keep_alive() const { return internal::GetKeepAlive(stream()); }

  // TCP_USER_TIMEOUT (tcp(7)): how long sent bytes may stay unacknowledged before the connection is dead (ETIMEDOUT).
  // Rounded up to milliseconds, up to 2^31 - 1 of them. Zero, the default, leaves it to the system's retries (tcp(7),
  // tcp_retries2: about a quarter of an hour).
  absl::Status set_user_timeout(absl::Duration timeout) { return internal::SetUserTimeout(stream(), timeout); }
  absl::StatusOr<absl::Duration> user_timeout() const { return internal::GetUserTimeout(stream()); }

  // SO_LINGER (socket(7)), what Close() does: nullopt, the default, returns at once while the kernel goes on sending;
  // zero drops what is unsent and resets the connection; a positive time makes Close() wait until all is acknowledged,
  // or so long, without holding up the shard. Rounded up to whole seconds, up to 65535.
  absl::Status set_linger(std::optional<absl::Duration> linger) { return internal::SetLinger(stream(), linger); }
  absl::StatusOr<std::optional<absl::Duration>> linger() const { return internal::GetLinger(stream()); }

  // The DSCP (RFC 2474), 0..63: the upper six bits of the traffic class.
  absl::Status set_dscp(int dscp) { return internal::SetDscp(stream(), dscp); }
  absl::StatusOr<int> dscp() const { return internal::GetDscp(stream()); }

 private:
  friend Derived;
  TcpOptions() = default;
  StreamSocket& stream() const { return *static_cast<const Derived*>(this)->socket(); }
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_TCP_OPTIONS_H_
