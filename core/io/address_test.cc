// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/io/address.h"

#include <array>
#include <cstdint>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/hash/hash_testing.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

struct Canonical {
  std::string text;
  std::string canonical;
};

class SocketAddressTextTest : public ::testing::TestWithParam<Canonical> {};

TEST_P(SocketAddressTextTest, PrintsInCanonicalForm) {
  const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(GetParam().text);
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->ToString(), GetParam().canonical);

  // What was printed parses to the same address.
  EXPECT_EQ(SocketAddress::Parse(GetParam().canonical).value(), *address);
}

INSTANTIATE_TEST_SUITE_P(Vectors, SocketAddressTextTest,
                         ::testing::Values(  //
                             Canonical{"1.2.3.4:80", "1.2.3.4:80"}, Canonical{"0.0.0.0:0", "0.0.0.0:0"},
                             Canonical{"255.255.255.255:65535", "255.255.255.255:65535"}, Canonical{"[::]:1", "[::]:1"},
                             Canonical{"[::1]:80", "[::1]:80"}, Canonical{"[1::]:80", "[1::]:80"},
                             // RFC 5952 section 4.1: no leading zeros.
                             Canonical{"[2001:0db8::0001]:80", "[2001:db8::1]:80"},
                             // Section 4.2.1: as short as possible.
                             Canonical{"[2001:db8:0:0:0:0:2:1]:80", "[2001:db8::2:1]:80"},
                             // Section 4.2.2: one group is not shortened.
                             Canonical{"[2001:db8:0:1:1:1:1:1]:80", "[2001:db8:0:1:1:1:1:1]:80"},
                             // Section 4.2.3: the longest run, the first of equals.
                             Canonical{"[2001:0:0:1:0:0:0:1]:80", "[2001:0:0:1::1]:80"},
                             Canonical{"[2001:db8:0:0:1:0:0:1]:80", "[2001:db8::1:0:0:1]:80"},
                             // Section 4.3: lower case.
                             Canonical{"[2001:DB8::ABCD:EF]:80", "[2001:db8::abcd:ef]:80"},
                             // Section 5: mapped IPv4.
                             Canonical{"[::ffff:192.0.2.1]:80", "[::ffff:192.0.2.1]:80"},
                             Canonical{"[::ffff:c000:201]:80", "[::ffff:192.0.2.1]:80"},
                             Canonical{"[64:ff9b::192.0.2.33]:80", "[64:ff9b::c000:221]:80"},
                             Canonical{"[1:2:3:4:5:6:7:8]:80", "[1:2:3:4:5:6:7:8]:80"},
                             Canonical{"[1:2:3:4:5:6:7::]:80", "[1:2:3:4:5:6:7:0]:80"},
                             Canonical{"[::2:3:4:5:6:7:8]:80", "[0:2:3:4:5:6:7:8]:80"},
                             Canonical{"[fe80::1%3]:80", "[fe80::1%3]:80"}));

class MalformedAddressTest : public ::testing::TestWithParam<std::string> {};

TEST_P(MalformedAddressTest, IsRefusedAndQuoted) {
  const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(GetParam());
  ASSERT_FALSE(address.ok()) << address->ToString();
  EXPECT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(address.status().message().find(absl::StrCat("\"", GetParam(), "\"")), absl::string_view::npos)
      << address.status();
  EXPECT_NE(address.status().message().find("expected"), absl::string_view::npos) << address.status();
}

INSTANTIATE_TEST_SUITE_P(Table, MalformedAddressTest,
                         ::testing::Values("", ":", ":80", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1",
                                           "1.2.3.4:+1", "1.2.3.4: 1", "1.2.3.4:080", "1.2.3.4:0x50",
                                           "1.2.3.4:99999999999999999999", "1.2.3:80", "1.2.3.4.5:80", "1.2.3.256:80",
                                           "1.2.3.04:80", "1.2.3.:80", "1..3.4:80", "a.b.c.d:80", " 1.2.3.4:80",
                                           "localhost:80", "::1:80", "[::1]", "[::1]80", "[::1:80", "::1]:80", "[]:80",
                                           "[:]:80", "[:::]:80", "[1::2::3]:80", "[12345::]:80", "[g::]:80",
                                           "[1:2:3:4:5:6:7]:80", "[1:2:3:4:5:6:7:8:9]:80", "[1:2:3:4:5:6:7:8::]:80",
                                           "[::1.2.3]:80", "[1.2.3.4::]:80", "[::1.2.3.4:5]:80", "[fe80::1%]:80",
                                           "[fe80::1%eth0]:80", "[fe80::1%-1]:80", "[1.2.3.4]:80", "[[::1]]:80"));

TEST(SocketAddressTest, ParseHostTakesBracketsOrNone) {
  EXPECT_EQ(SocketAddress::ParseHost("::1", 7).value(), SocketAddress::LoopbackIpv6(7));
  EXPECT_EQ(SocketAddress::ParseHost("[::1]", 7).value(), SocketAddress::LoopbackIpv6(7));
  EXPECT_EQ(SocketAddress::ParseHost("127.0.0.1", 7).value(), SocketAddress::LoopbackIpv4(7));
  EXPECT_FALSE(SocketAddress::ParseHost("127.0.0.1:7", 7).ok());
  EXPECT_FALSE(SocketAddress::ParseHost("", 7).ok());
}

TEST(SocketAddressTest, DefaultIsNoAddress) {
  const SocketAddress none;
  EXPECT_EQ(none.family(), AddressFamily::kNone);
  EXPECT_EQ(none.ToString(), "(none)");
  EXPECT_EQ(none.HostToString(), "(none)");
  EXPECT_FALSE(none.is_any());
  EXPECT_FALSE(none.is_loopback());
}

TEST(SocketAddressTest, KnowsLoopbackAndAny) {
  EXPECT_TRUE(SocketAddress::LoopbackIpv4(1).is_loopback());
  EXPECT_TRUE(SocketAddress::Ipv4({127, 5, 5, 5}, 1).is_loopback());
  EXPECT_TRUE(SocketAddress::LoopbackIpv6(1).is_loopback());
  EXPECT_FALSE(SocketAddress::Ipv4({128, 0, 0, 1}, 1).is_loopback());
  EXPECT_TRUE(SocketAddress::AnyIpv4(1).is_any());
  EXPECT_TRUE(SocketAddress::AnyIpv6(1).is_any());
  EXPECT_FALSE(SocketAddress::LoopbackIpv6(1).is_any());
}

TEST(SocketAddressTest, WithPortChangesOnlyThePort) {
  const SocketAddress address = SocketAddress::Parse("[fe80::1%3]:80").value();
  EXPECT_EQ(address.WithPort(81).ToString(), "[fe80::1%3]:81");
  EXPECT_EQ(address.port(), 80);
}

TEST(SocketAddressTest, OrdersByFamilyThenBytesThenPort) {
  const std::vector<SocketAddress> ordered = {
      SocketAddress(),
      SocketAddress::Ipv4({1, 2, 3, 4}, 90),
      SocketAddress::Ipv4({1, 2, 3, 5}, 1),
      SocketAddress::Ipv4({1, 2, 3, 5}, 2),
      SocketAddress::AnyIpv6(1),
      SocketAddress::LoopbackIpv6(1),
  };
  for (size_t i = 1; i < ordered.size(); ++i) EXPECT_LT(ordered[i - 1], ordered[i]) << i;
  EXPECT_EQ(std::set<SocketAddress>(ordered.begin(), ordered.end()).size(), ordered.size());
}

TEST(SocketAddressTest, HostHasNeitherPortNorBrackets) {
  EXPECT_EQ(SocketAddress::LoopbackIpv6(80).HostToString(), "::1");
  EXPECT_EQ(SocketAddress::LoopbackIpv4(80).HostToString(), "127.0.0.1");
}

// --- Unix sockets ---

TEST(SocketAddressTest, UnixNamesReadBack) {
  const auto path = SocketAddress::Unix("/run/a");
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_TRUE(path->is_unix());
  EXPECT_EQ(path->unix_name(), "/run/a");
  EXPECT_EQ(path->ToString(), "unix:/run/a");
  EXPECT_EQ(path->port(), 0);
  EXPECT_FALSE(path->is_any());
  EXPECT_FALSE(path->is_loopback());
  const auto abstract = SocketAddress::UnixAbstract(absl::string_view("a\0z", 3));
  ASSERT_TRUE(abstract.ok()) << abstract.status();
  EXPECT_EQ(abstract->unix_name(), absl::string_view("\0a\0z", 4));
  EXPECT_EQ(abstract->ToString(), "unix:@a\\x00z");
}

TEST(SocketAddressTest, UnixNamesHaveLimits) {
  EXPECT_TRUE(SocketAddress::Unix(std::string(SocketAddress::kMaxUnixName, 'x')).ok());
  EXPECT_TRUE(SocketAddress::UnixAbstract(std::string(SocketAddress::kMaxUnixName, 'x')).ok());
  for (const std::string& name : {std::string(), std::string(SocketAddress::kMaxUnixName + 1, 'x')}) {
    EXPECT_EQ(SocketAddress::Unix(name).status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(SocketAddress::UnixAbstract(name).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(SocketAddress::Unix(absl::string_view("a\0b", 3)).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SocketAddressTest, CopiesKeepAUnixNameAlive) {
  SocketAddress copy;
  {
    absl::StatusOr<SocketAddress> address = SocketAddress::Unix("/run/a/name/that/is/too/long/for/the/string/itself");
    ASSERT_TRUE(address.ok());
    copy = *address;
    SocketAddress moved = *std::move(address);
    const SocketAddress& itself = moved;
    moved = itself;
    EXPECT_EQ(moved, copy);
    moved = SocketAddress::LoopbackIpv4(80);
    EXPECT_EQ(moved, SocketAddress::LoopbackIpv4(80));
    EXPECT_EQ(moved.unix_name(), "");
  }
  const SocketAddress second = copy;
  copy = SocketAddress();
  EXPECT_EQ(second.unix_name(), "/run/a/name/that/is/too/long/for/the/string/itself");
}

TEST(SocketAddressTest, UnixNamesCompare) {
  EXPECT_EQ(*SocketAddress::Unix("a"), *SocketAddress::Unix("a"));
  EXPECT_NE(*SocketAddress::Unix("a"), *SocketAddress::UnixAbstract("a"));
  EXPECT_LT(*SocketAddress::Unix("a"), *SocketAddress::Unix("b"));
  EXPECT_LT(SocketAddress::AnyIpv6(9), *SocketAddress::Unix("a"));
}

TEST(SocketAddressTest, HashesAsItCompares) {
  std::array<uint8_t, 16> link_local = {0xfe, 0x80};
  link_local[15] = 1;
  EXPECT_TRUE(absl::VerifyTypeImplementsAbslHashCorrectly({
      SocketAddress(),
      SocketAddress::AnyIpv4(0),
      SocketAddress::AnyIpv6(0),
      SocketAddress::LoopbackIpv4(80),
      SocketAddress::LoopbackIpv4(81),
      *SocketAddress::Parse("127.0.0.1:80"),
      SocketAddress::Ipv6(link_local, 80),
      SocketAddress::Ipv6(link_local, 80, 3),
      *SocketAddress::Parse("[fe80::1%3]:80"),
      *SocketAddress::Unix("/run/a"),
      *SocketAddress::Unix(std::string("/run/a")),
      *SocketAddress::UnixAbstract("/run/a"),
      *SocketAddress::UnixAbstract("a"),
      *SocketAddress::Unix("a"),
  }));
}

TEST(SocketAddressTest, IsPrintedAsItsText) {
  for (const SocketAddress& address :
       {SocketAddress(), SocketAddress::LoopbackIpv4(80), SocketAddress::AnyIpv6(81), *SocketAddress::Unix("/run/a")}) {
    std::ostringstream out;
    out << address;
    EXPECT_EQ(out.str(), address.ToString());
    EXPECT_EQ(absl::StrCat(address), address.ToString());
  }
}

}  // namespace
}  // namespace tandem
