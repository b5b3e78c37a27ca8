// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/socket_address.h"

#include <netinet/in.h>

#include <cstring>
#include <string>

#include "gtest/gtest.h"
#include "tandem/core/io/address.h"

namespace tandem::posix {
namespace {

TEST(SocketAddressTest, RoundTripsIpv4) {
  const SocketAddress address = SocketAddress::Ipv4({10, 1, 2, 3}, 8080);
  sockaddr_storage storage{};

  const socklen_t length = ToSockaddr(address, &storage);

  sockaddr_in ipv4{};
  ASSERT_EQ(length, sizeof(ipv4));
  std::memcpy(&ipv4, &storage, sizeof(ipv4));
  EXPECT_EQ(ipv4.sin_port, htons(8080));
  EXPECT_EQ(ipv4.sin_addr.s_addr, htonl(0x0a010203));
  EXPECT_EQ(FromSockaddr(storage, length), address);
}

TEST(SocketAddressTest, RoundTripsIpv6WithScope) {
  const SocketAddress address =
      SocketAddress::Ipv6({0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 443, /*scope_id=*/7);
  sockaddr_storage storage{};

  const socklen_t length = ToSockaddr(address, &storage);

  EXPECT_EQ(length, sizeof(sockaddr_in6));
  EXPECT_EQ(FromSockaddr(storage, length), address);
}

TEST(SocketAddressTest, NoneHasNoSockaddr) {
  sockaddr_storage storage{};
  EXPECT_EQ(ToSockaddr(SocketAddress(), &storage), 0u);
}

TEST(SocketAddressTest, ShortOrForeignSockaddrIsNone) {
  sockaddr_storage storage{};
  ToSockaddr(SocketAddress::LoopbackIpv4(1), &storage);
  EXPECT_EQ(FromSockaddr(storage, sizeof(sockaddr_in) - 1), SocketAddress());

  storage.ss_family = AF_UNIX;
  EXPECT_EQ(FromSockaddr(storage, sizeof(storage)), SocketAddress());
}

TEST(SocketAddressTest, UnixNamesGoThereAndBack) {
  for (const SocketAddress& address : {*SocketAddress::Unix("/run/a"), *SocketAddress::UnixAbstract("a"),
                                       *SocketAddress::Unix(std::string(SocketAddress::kMaxUnixName, 'x')),
                                       *SocketAddress::UnixAbstract(std::string(SocketAddress::kMaxUnixName, 'x'))}) {
    sockaddr_storage storage{};
    const socklen_t length = ToSockaddr(address, &storage);
    EXPECT_EQ(FromSockaddr(storage, length), address) << address.ToString();
  }
}

TEST(SocketAddressTest, AUnixSocketWithoutANameHasNoAddress) {
  sockaddr_storage storage{};
  storage.ss_family = AF_UNIX;
  EXPECT_EQ(FromSockaddr(storage, sizeof(sa_family_t)), SocketAddress());
}

}  // namespace
}  // namespace tandem::posix
