// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/network/ip.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>

#include "tandem/core/base/random.h"

namespace tandem::sim {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

SocketAddress Unmap(const SocketAddress& address) {
  if (!address.is_ipv6() || !std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), address.bytes().begin())) {
    return address;
  }
  const auto& bytes = address.bytes();
  return SocketAddress::Ipv4({bytes[12], bytes[13], bytes[14], bytes[15]}, address.port());
}

SocketAddress ToFamily(const SocketAddress& address, AddressFamily family) {
  if (family != AddressFamily::kIpv6 || !address.is_ipv4()) return address;
  if (address.is_any()) return SocketAddress::AnyIpv6(address.port());
  std::array<uint8_t, 16> bytes = {};
  std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin());
  std::copy_n(address.bytes().begin(), 4, bytes.begin() + 12);
  return SocketAddress::Ipv6(bytes, address.port());
}

SocketAddress AnyAddress(AddressFamily family, uint16_t port) {
  return family == AddressFamily::kIpv6 ? SocketAddress::AnyIpv6(port) : SocketAddress::AnyIpv4(port);
}

SocketAddress LoopbackAddress(AddressFamily family, uint16_t port) {
  return family == AddressFamily::kIpv6 ? SocketAddress::LoopbackIpv6(port) : SocketAddress::LoopbackIpv4(port);
}

SocketAddress ThisHost(const SocketAddress& any, const SocketAddress& local) {
  if (any.is_ipv4() && local.is_ipv4() && !local.is_any()) return local.WithPort(any.port());
  const bool to_ipv4 = any.is_ipv4() || (local.is_ipv4() && !local.is_any());
  return LoopbackAddress(to_ipv4 ? AddressFamily::kIpv4 : AddressFamily::kIpv6, any.port());
}

int WrongFamily(AddressFamily socket_family, AddressFamily family) {
  return socket_family == AddressFamily::kIpv6 && family == AddressFamily::kIpv4 ? EINVAL : EAFNOSUPPORT;
}

bool Covers(const SocketAddress& local, bool ipv6_only, const SocketAddress& address) {
  if (!local.is_any()) return local.WithPort(0) == address.WithPort(0);
  return local.family() == address.family() || (local.is_ipv6() && !ipv6_only);
}

bool Overlap(const SocketAddress& local, bool ipv6_only, const SocketAddress& other, bool other_ipv6_only) {
  if (local.is_ipv4() && local.is_any() && other.is_ipv6() && !other_ipv6_only) return true;
  return Covers(local, ipv6_only, other) || Covers(other, other_ipv6_only, local);
}

bool IsMulticast(const SocketAddress& address) {
  const uint8_t first = address.bytes()[0];
  return address.is_ipv4() ? first >= 224 && first < 240 : address.is_ipv6() && first == 0xff;
}

SocketAddress GroupOf(const SocketAddress& group) {
  return group.is_ipv4() ? group.WithPort(0) : SocketAddress::Ipv6(group.bytes(), 0);
}

bool IsBroadcast(const SocketAddress& address) {
  const SocketAddress host = address.WithPort(0);
  return host == SocketAddress::Ipv4({255, 255, 255, 255}, 0) || host == SocketAddress::Ipv4({127, 255, 255, 255}, 0);
}

uint64_t HashAddress(const SocketAddress& address) {
  uint64_t hash = address.port();
  uint64_t word = 0;
  for (size_t i = 0; i < address.bytes().size(); ++i) {
    word = word << 8 | address.bytes()[i];
    if (i % 8 == 7) hash = HashCombine(hash, word);
  }
  return hash;
}

}  // namespace tandem::sim
