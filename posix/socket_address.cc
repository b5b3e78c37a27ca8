// SPDX-License-Identifier: Apache-2.0

#include "posix/socket_address.h"

#include <netinet/in.h>

#include <array>
#include <cstring>

namespace tandem::posix {

// The structures are filled in and copied as bytes: the storage is not an object of their type.

int ToDomain(AddressFamily family) {
  switch (family) {
    case AddressFamily::kNone:
      return AF_UNSPEC;
    case AddressFamily::kIpv4:
      return AF_INET;
    case AddressFamily::kIpv6:
      return AF_INET6;
  }
  return AF_UNSPEC;
}

socklen_t ToSockaddr(const SocketAddress& address, sockaddr_storage* storage) {
  if (address.is_ipv4()) {
    sockaddr_in ipv4{};
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(address.port());
    std::memcpy(&ipv4.sin_addr, address.bytes().data(), sizeof(ipv4.sin_addr));
    std::memcpy(storage, &ipv4, sizeof(ipv4));
    return sizeof(ipv4);
  }
  if (address.is_ipv6()) {
    sockaddr_in6 ipv6{};
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(address.port());
    ipv6.sin6_scope_id = address.scope_id();
    std::memcpy(&ipv6.sin6_addr, address.bytes().data(), sizeof(ipv6.sin6_addr));
    std::memcpy(storage, &ipv6, sizeof(ipv6));
    return sizeof(ipv6);
  }
  return 0;
}

SocketAddress FromSockaddr(const sockaddr_storage& storage, socklen_t length) {
  if (length >= sizeof(sockaddr_in) && storage.ss_family == AF_INET) {
    sockaddr_in ipv4{};
    std::memcpy(&ipv4, &storage, sizeof(ipv4));
    std::array<uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &ipv4.sin_addr, bytes.size());
    return SocketAddress::Ipv4(bytes, ntohs(ipv4.sin_port));
  }
  if (length >= sizeof(sockaddr_in6) && storage.ss_family == AF_INET6) {
    sockaddr_in6 ipv6{};
    std::memcpy(&ipv6, &storage, sizeof(ipv6));
    std::array<uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &ipv6.sin6_addr, bytes.size());
    return SocketAddress::Ipv6(bytes, ntohs(ipv6.sin6_port), ipv6.sin6_scope_id);
  }
  return SocketAddress();
}

}  // namespace tandem::posix
