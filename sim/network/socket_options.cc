// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/network/socket_options.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>

namespace tandem::sim {
namespace {

// Linux' numbers.
constexpr int kDatagramBuffer = 212992;
constexpr int kMinReceiveBuffer = 2304;
constexpr int kMinSendBuffer = 4608;
constexpr int kMaxBuffer = 425984;
constexpr int kKeepAliveIdleSeconds = 7200;
constexpr int kKeepAliveIntervalSeconds = 75;
constexpr int kKeepAliveCount = 9;
constexpr int kMaxKeepAliveSeconds = 32767;
constexpr int kMaxKeepAliveCount = 127;
constexpr int kTimeToLive = 64;
// A stream's two ECN bits are the kernel's own.
constexpr int kStreamTrafficClassMask = 0xfc;

// What Linux makes of a buffer size that is set.
int Doubled(int value, int minimum) {
  return static_cast<int>(std::clamp<int64_t>(int64_t{value} * 2, minimum, kMaxBuffer));
}

}  // namespace

SocketOptions::SocketOptions(SocketType type, AddressFamily family) : type_(type), family_(family) {
  const bool stream = type == SocketType::kStream;
  Force(SocketOption::kReceiveBufferSize, stream ? kDefaultReceiveBuffer : kDatagramBuffer);
  Force(SocketOption::kSendBufferSize, stream ? kDefaultSendBuffer : kDatagramBuffer);
  Force(SocketOption::kLinger, -1);
  Force(SocketOption::kKeepAliveIdle, kKeepAliveIdleSeconds);
  Force(SocketOption::kKeepAliveInterval, kKeepAliveIntervalSeconds);
  Force(SocketOption::kKeepAliveCount, kKeepAliveCount);
  Force(SocketOption::kTimeToLive, kTimeToLive);
  Force(SocketOption::kMulticastTimeToLive, 1);
  Force(SocketOption::kMulticastLoop, 1);
}

bool SocketOptions::Exists(SocketOption option) const {
  switch (option) {
    case SocketOption::kNoDelay:
    case SocketOption::kKeepAliveIdle:
    case SocketOption::kKeepAliveInterval:
    case SocketOption::kKeepAliveCount:
    case SocketOption::kUserTimeout:
    case SocketOption::kQuickAck:
      return type_ == SocketType::kStream;
    case SocketOption::kBroadcast:
    case SocketOption::kMulticastTimeToLive:
    case SocketOption::kMulticastLoop:
    case SocketOption::kMulticastInterface:
    case SocketOption::kPacketInfo:
      return type_ == SocketType::kDatagram;
    case SocketOption::kIpv6Only:
      return family_ == AddressFamily::kIpv6;
    default:
      return true;
  }
}

bool SocketOptions::InRange(SocketOption option, int value) const {
  const bool ipv6 = family_ == AddressFamily::kIpv6;
  switch (option) {
    case SocketOption::kKeepAliveIdle:
    case SocketOption::kKeepAliveInterval:
      return value >= 1 && value <= kMaxKeepAliveSeconds;
    case SocketOption::kKeepAliveCount:
      return value >= 1 && value <= kMaxKeepAliveCount;
    case SocketOption::kUserTimeout:
      return value >= 0;
    case SocketOption::kTrafficClass:
      return value >= 0 && (!ipv6 || value <= 255);  // IPv4 takes the low byte of anything.
    case SocketOption::kTimeToLive:
      return value >= (ipv6 ? 0 : 1) && value <= 255;
    case SocketOption::kMulticastTimeToLive:
      return value >= 0 && value <= 255;
    default:
      return true;
  }
}

int SocketOptions::Stored(SocketOption option, int value) const {
  switch (option) {
    case SocketOption::kReceiveBufferSize:
      return Doubled(value, kMinReceiveBuffer);
    case SocketOption::kSendBufferSize:
      return Doubled(value, kMinSendBuffer);
    case SocketOption::kLinger:
      return std::max(value, -1);
    case SocketOption::kTrafficClass:
      return value & (type_ == SocketType::kStream ? kStreamTrafficClassMask : 0xff);
    case SocketOption::kKeepAliveIdle:
    case SocketOption::kKeepAliveInterval:
    case SocketOption::kKeepAliveCount:
    case SocketOption::kUserTimeout:
    case SocketOption::kTimeToLive:
    case SocketOption::kMulticastTimeToLive:
    case SocketOption::kMulticastInterface:
      return value;
    default:
      return value != 0 ? 1 : 0;
  }
}

int SocketOptions::Set(SocketOption option, int value) {
  if (option == SocketOption::kError || !Exists(option)) return -ENOPROTOOPT;
  if (!InRange(option, value)) return -EINVAL;
  Force(option, Stored(option, value));
  return 0;
}

int SocketOptions::Get(SocketOption option, int* value) const {
  if (!Exists(option)) {
    // As Linux, where other layers say no than for setting it.
    const bool of_ip = option == SocketOption::kIpv6Only || type_ == SocketType::kDatagram;
    return of_ip && family_ != AddressFamily::kIpv6 ? -EOPNOTSUPP : -ENOPROTOOPT;
  }
  *value = (*this)[option];
  return 0;
}

}  // namespace tandem::sim
