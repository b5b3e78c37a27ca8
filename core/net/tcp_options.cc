// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/tcp_options.h"

#include <cstdint>
#include <limits>

#include "absl/strings/str_cat.h"

namespace tandem::internal {
namespace {

constexpr int kMaxLingerSeconds = 65535;
constexpr int kMaxKeepAliveSeconds = 32767;  // MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL of Linux.
constexpr int kMaxKeepAliveCount = 127;      // MAX_TCP_KEEPCNT.
constexpr int kEcnBits = 2;

// `duration` in whole `unit`s, rounded up.
absl::StatusOr<int> InUnits(absl::Duration duration, absl::Duration unit, int min, int max, absl::string_view name) {
  if (duration < min * unit || duration > max * unit) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", absl::FormatDuration(duration), " is not in ",
                                                   absl::FormatDuration(min * unit), "..",
                                                   absl::FormatDuration(max * unit)));
  }
  return static_cast<int>(absl::Ceil(duration, unit) / unit);
}

}  // namespace

absl::Status SetLinger(StreamSocket& socket, std::optional<absl::Duration> linger) {
  int seconds = -1;
  if (linger.has_value()) {
    const absl::StatusOr<int> value = InUnits(*linger, absl::Seconds(1), 0, kMaxLingerSeconds, "set linger");
    if (!value.ok()) return value.status();
    seconds = *value;
  }
  absl::Status status = SetOption(socket, SocketOption::kLinger, seconds, "set linger");
  if (status.ok()) socket.set_lingers(seconds > 0);
  return status;
}

absl::StatusOr<std::optional<absl::Duration>> GetLinger(const StreamSocket& socket) {
  const absl::StatusOr<int> seconds = GetOption(socket, SocketOption::kLinger, "get linger");
  if (!seconds.ok()) return seconds.status();
  if (*seconds < 0) return std::optional<absl::Duration>();
  return std::optional<absl::Duration>(absl::Seconds(*seconds));
}

absl::Status SetKeepAlive(StreamSocket& socket, const std::optional<KeepAlive>& keep_alive) {
  constexpr absl::string_view kName = "set keep-alive";
  if (!keep_alive.has_value()) return SetFlag(socket, SocketOption::kKeepAlive, false, kName);
  const auto idle = InUnits(keep_alive->idle(), absl::Seconds(1), 1, kMaxKeepAliveSeconds, "set keep-alive idle");
  if (!idle.ok()) return idle.status();
  const auto interval =
      InUnits(keep_alive->interval(), absl::Seconds(1), 1, kMaxKeepAliveSeconds, "set keep-alive interval");
  if (!interval.ok()) return interval.status();
  absl::Status status = CheckRange(keep_alive->count(), 1, kMaxKeepAliveCount, "set keep-alive count");
  if (status.ok()) status = SetOption(socket, SocketOption::kKeepAliveIdle, *idle, kName);
  if (status.ok()) status = SetOption(socket, SocketOption::kKeepAliveInterval, *interval, kName);
  if (status.ok()) status = SetOption(socket, SocketOption::kKeepAliveCount, keep_alive->count(), kName);
  if (status.ok()) status = SetFlag(socket, SocketOption::kKeepAlive, true, kName);
  return status;
}

absl::StatusOr<std::optional<KeepAlive>> GetKeepAlive(const StreamSocket& socket) {
  constexpr absl::string_view kName = "get keep-alive";
  const absl::StatusOr<bool> on = GetFlag(socket, SocketOption::kKeepAlive, kName);
  if (!on.ok()) return on.status();
  if (!*on) return std::optional<KeepAlive>();
  const absl::StatusOr<int> idle = GetOption(socket, SocketOption::kKeepAliveIdle, kName);
  if (!idle.ok()) return idle.status();
  const absl::StatusOr<int> interval = GetOption(socket, SocketOption::kKeepAliveInterval, kName);
  if (!interval.ok()) return interval.status();
  const absl::StatusOr<int> count = GetOption(socket, SocketOption::kKeepAliveCount, kName);
  if (!count.ok()) return count.status();
  return std::optional<KeepAlive>(
      KeepAlive().set_idle(absl::Seconds(*idle)).set_interval(absl::Seconds(*interval)).set_count(*count));
}

absl::Status SetUserTimeout(StreamSocket& socket, absl::Duration timeout) {
  const absl::StatusOr<int> value =
      InUnits(timeout, absl::Milliseconds(1), 0, std::numeric_limits<int>::max(), "set user timeout");
  if (!value.ok()) return value.status();
  return SetOption(socket, SocketOption::kUserTimeout, *value, "set user timeout");
}

absl::StatusOr<absl::Duration> GetUserTimeout(const StreamSocket& socket) {
  const absl::StatusOr<int> value = GetOption(socket, SocketOption::kUserTimeout, "get user timeout");
  if (!value.ok()) return value.status();
  return absl::Milliseconds(*value);
}

absl::Status SetDscp(StreamSocket& socket, int dscp) {
  if (absl::Status status = CheckRange(dscp, 0, 63, "set dscp"); !status.ok()) return status;
  return SetOption(socket, SocketOption::kTrafficClass, dscp << kEcnBits, "set dscp");
}

absl::StatusOr<int> GetDscp(const StreamSocket& socket) {
  const absl::StatusOr<int> value = GetOption(socket, SocketOption::kTrafficClass, "get dscp");
  if (!value.ok()) return value.status();
  return *value >> kEcnBits;
}

}  // namespace tandem::internal
