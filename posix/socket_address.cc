// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/socket_address.h"

#include <netinet/in.h>
#include <sys/un.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "absl/strings/string_view.h"

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
    case AddressFamily::kUnix:
      return AF_UNIX;
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
  if (address.is_unix()) {
    sockaddr_un name{};
    static_assert(sizeof(name.sun_path) > SocketAddress::kMaxUnixName);
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path, address.unix_name().data(), address.unix_name().size());
    std::memcpy(storage, &name, sizeof(name));
    // A path ends with a NUL; the length of an abstract name is part of it.
    const size_t terminator = address.unix_name().front() == '\0' ? 0 : 1;
    return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.unix_name().size() + terminator);
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
  // A path that fills sun_path is one longer, with its NUL: more than kMaxUnixName.
  if (length > offsetof(sockaddr_un, sun_path) && length <= sizeof(sockaddr_un) && storage.ss_family == AF_UNIX) {
    sockaddr_un name{};
    std::memcpy(&name, &storage, length);
    const absl::string_view bytes(name.sun_path, length - offsetof(sockaddr_un, sun_path));
    const auto address = bytes.front() == '\0' ? SocketAddress::UnixAbstract(bytes.substr(1))
                                               : SocketAddress::Unix(bytes.substr(0, bytes.find('\0')));
    if (address.ok()) return *address;
  }
  return SocketAddress();
}

}  // namespace tandem::posix
