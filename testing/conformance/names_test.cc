// SPDX-License-Identifier: Apache-2.0
//
// Names on every reactor: Resolve(), and Connect() by name over several addresses.

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/connect.h"
#include "tandem/core/net/resolver.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

constexpr absl::StatusCode kNotFound = absl::StatusCode::kNotFound;

class NamesTest : public SocketConformanceTest {
 protected:
  // A listener that lets connects hang: its backlog is full. `fillers` keep it so.
  TcpListener ListenDeaf(const SocketAddress& address, std::vector<TcpStream>* fillers) {
    auto listener = TcpListener::Listen(address, ListenOptions().set_backlog(1));
    CHECK(listener.ok()) << listener.status();
    for (int i = 0; i < 10; ++i) {
      auto stream = Run(TcpStream::Connect(listener->LocalAddress()).By(Now() + absl::Milliseconds(100)));
      if (!stream.ok()) return *std::move(listener);
      fillers->push_back(*std::move(stream));
    }
    CHECK(false) << "the backlog does not fill";
  }
};

// --- ParseHostAndPort ---

TEST(HostAndPortTest, ParsesNamesAndAddresses) {
  struct Case {
    const char* text;
    const char* host;
    uint16_t port;
  };
  for (const Case& c :
       {Case{"db:5432", "db", 5432}, Case{"a.example.com:0", "a.example.com", 0},
        Case{"1.2.3.4:65535", "1.2.3.4", 65535}, Case{"[::1]:80", "::1", 80}, Case{"x_y-z.:1", "x_y-z.", 1}}) {
    const auto parsed = ParseHostAndPort(c.text);
    ASSERT_OK(parsed.status()) << c.text;
    EXPECT_EQ(parsed->host, c.host);
    EXPECT_EQ(parsed->port, c.port);
  }
}

// Names whose last label is a number, and that are no address in dotted form. inet_aton(3) takes most of them for an
// address, some by octal numbers; a filter that looks at the text for 127.0.0.1 would be passed by.
constexpr const char* kNumericNames[] = {
    "0127.0.0.1",
    "127.0.0.01",
    "0x7f.0.0.1",
    "0x7f.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "017700000001",
    "1.2.3.4.",
    "1.2.3.4.5",
    "1.2.3.256",
    "256.256.256.256",
    "0",
    "00",
    "0x",
    "1.0x",
    "a.b.0X1f",
    "db.7",
    "db.7.",
    "1.2.3.08",
    "1..2",
    ".1",
    "99999999999999999999",
};
// Names that only look a little like numbers.
constexpr const char* kNamesWithDigits[] = {
    "7.invalid", "127.0.0.1.invalid", "0x7f.invalid", "1e6", "0xg", "a1", "1a.", "1-2", "x0", "0_1",
};

TEST(HostAndPortTest, ANumberAtTheEndIsAnAddressOrAnError) {
  for (const char* name : kNumericNames) {
    const std::string text = absl::StrCat(name, ":80");
    const auto parsed = ParseHostAndPort(text);
    EXPECT_EQ(parsed.status().code(), kInvalidArgument) << text;
    EXPECT_TRUE(absl::StrContains(parsed.status().message(), "ends in a number")) << parsed.status();
    EXPECT_FALSE(SocketAddress::Parse(text).ok()) << text;
  }
  for (const char* name : kNamesWithDigits) EXPECT_OK(ParseHostAndPort(absl::StrCat(name, ":80")).status());
}

TEST(HostAndPortTest, APortIsTheSameToBothParsers) {
  struct Case {
    const char* port;
    bool valid;
  };
  for (const Case& c :
       {Case{"0", true}, Case{"80", true}, Case{"65535", true}, Case{"0080", false}, Case{"00", false},
        Case{"65536", false}, Case{"4294967376", false}, Case{"18446744073709551696", false}, Case{"+80", false},
        Case{"-0", false}, Case{" 80", false}, Case{"80 ", false}, Case{"0x50", false}, Case{"", false}}) {
    const std::string text = absl::StrCat("1.2.3.4:", c.port);
    EXPECT_EQ(ParseHostAndPort(text).ok(), c.valid) << text;
    EXPECT_EQ(SocketAddress::Parse(text).ok(), c.valid) << text;
  }
}

TEST(HostAndPortTest, RefusesWhatIsNeither) {
  for (const char* text : {"", "db", ":80", "db:", "db:http", "db:65536", "db:-1", "db: 80", "d b:80", "::1:80",
                           "[::1]", "[db]:80", "[]:80", "db/x:80", "a@b:80"}) {
    const auto parsed = ParseHostAndPort(text);
    EXPECT_EQ(parsed.status().code(), kInvalidArgument) << text;
    EXPECT_TRUE(absl::StrContains(parsed.status().message(), "expected name:port")) << parsed.status();
  }
}

// --- Resolve ---

TEST_F(NamesTest, LocalhostIsALoopbackAddress) {
  const auto addresses = Run(Resolve("localhost", 80));
  ASSERT_OK(addresses.status());
  ASSERT_FALSE(addresses->empty());
  for (const SocketAddress& address : *addresses) {
    EXPECT_TRUE(address.is_loopback()) << address.ToString();
    EXPECT_EQ(address.port(), 80);
  }
  EXPECT_NE(std::find(addresses->begin(), addresses->end(), SocketAddress::LoopbackIpv4(80)), addresses->end());
}

TEST_F(NamesTest, AnAddressInTextIsItself) {
  EXPECT_EQ(*Run(Resolve("10.1.2.3", 7)), std::vector<SocketAddress>{SocketAddress::Ipv4({10, 1, 2, 3}, 7)});
  EXPECT_EQ(*Run(Resolve("::1", 7)), std::vector<SocketAddress>{SocketAddress::LoopbackIpv6(7)});
  EXPECT_EQ(*Run(Resolve("[::1]", 7)), std::vector<SocketAddress>{SocketAddress::LoopbackIpv6(7)});
}

TEST_F(NamesTest, ANameThatIsNoneIsRefusedWithoutALookup) {
  for (const std::string& name : {std::string(), std::string("a b"), std::string("a\0b", 3), std::string(254, 'a')}) {
    EXPECT_EQ(Run(Resolve(name, 80)).status().code(), kInvalidArgument);
  }
}

// The same on every reactor, since nobody is asked.
TEST_F(NamesTest, ANumberAtTheEndIsAnAddressOrAnError) {
  for (const char* name : kNumericNames) {
    const auto addresses = Run(Resolve(name, 80));
    EXPECT_EQ(addresses.status().code(), kInvalidArgument) << name << ": " << addresses.status();
    EXPECT_TRUE(absl::StrContains(addresses.status().message(), "ends in a number")) << addresses.status();
    EXPECT_TRUE(absl::StrContains(addresses.status().message(), name)) << addresses.status();
    EXPECT_EQ(Run(::tandem::Connect(absl::StrCat(name, ":80"))).status().code(), kInvalidArgument) << name;
  }
  EXPECT_EQ(*Run(Resolve("127.0.0.1", 80)), std::vector<SocketAddress>{SocketAddress::LoopbackIpv4(80)});
}

TEST_F(NamesTest, ANameWithDigitsIsAskedFor) {
  for (const absl::string_view name : kNamesWithDigits) {
    // "invalid" never exists; for others a machine may ask name servers that take their time to answer.
    if (!IsSimulated() && !absl::EndsWith(name, ".invalid")) continue;
    const auto addresses = Run(Resolve(name, 80));
    EXPECT_NE(addresses.status().code(), kInvalidArgument) << name << ": " << addresses.status();
  }
}

TEST_F(NamesTest, AnIpv6AddressHasOneForm) {
  std::array<uint8_t, 16> link_local = {0xfe, 0x80};
  link_local[15] = 1;
  EXPECT_EQ(*Run(Resolve("fe80::1%3", 7)), std::vector<SocketAddress>{SocketAddress::Ipv6(link_local, 7, 3)});
  EXPECT_EQ(*Run(Resolve("[fe80::1%3]", 7)), std::vector<SocketAddress>{SocketAddress::Ipv6(link_local, 7, 3)});
  for (const char* name : {"fe80::1%lo", "fe80::1%03", "::1::", "1:2", "::127.1", "::0127.0.0.1", "[127.0.0.1]"}) {
    EXPECT_EQ(Run(Resolve(name, 7)).status().code(), kInvalidArgument) << name;
  }
}

TEST_F(NamesTest, AMissingNameFailsWithItsName) {
  // "invalid" never exists (RFC 6761 section 6.4); a machine without a name server may say so instead.
  const auto addresses = Run(Resolve("does-not-exist.invalid", 80));
  EXPECT_TRUE(addresses.status().code() == kNotFound || addresses.status().code() == kUnavailable)
      << addresses.status();
  EXPECT_TRUE(absl::StrContains(addresses.status().message(), "does-not-exist.invalid")) << addresses.status();
}

TEST_F(NamesTest, ALookupObeysItsDeadline) {
  EXPECT_EQ(Run(Resolve("localhost", 80).By(Now() - absl::Seconds(1))).status().code(), kDeadlineExceeded);
  EXPECT_OK(Run(Resolve("localhost", 80).By(Now() + absl::Seconds(20))).status());
}

Task<absl::StatusOr<std::vector<SocketAddress>>> LookUp(std::string name) {
  absl::StatusOr<std::vector<SocketAddress>> addresses = co_await Resolve(name, 80);
  co_return addresses;
}

TEST_F(NamesTest, ACancelledLookupEndsAndOthersGoOn) {
  for (int i = 0; i < 50; ++i) {
    auto cancelled = Start(LookUp("localhost"));
    auto other = Start(LookUp("localhost"));
    cancelled->Cancel();
    const auto result = Wait(cancelled);
    EXPECT_TRUE(result.ok() || result.status().code() == kCancelled) << result.status();
    EXPECT_OK(Wait(other).status());
  }
}

TEST_F(NamesTest, ManyLookupsAtOnce) {
  std::vector<std::unique_ptr<Background<absl::StatusOr<std::vector<SocketAddress>>>>> lookups(100);
  for (auto& lookup : lookups) lookup = Start(LookUp("localhost"));
  for (auto& lookup : lookups) EXPECT_OK(Wait(lookup).status());
}

// --- Connect by name ---

TEST_F(NamesTest, ConnectsToAName) {
  TcpListener listener = Listen();
  auto stream = Run(::tandem::Connect(absl::StrCat("localhost:", listener.LocalAddress().port())));
  ASSERT_OK(stream.status());
  TcpStream accepted = Accept(listener);
  Send(*stream, "hello");
  EXPECT_EQ(*Read(accepted), "hello");
}

TEST_F(NamesTest, ConnectRefusesATargetThatIsNone) {
  EXPECT_EQ(Run(::tandem::Connect("localhost")).status().code(), kInvalidArgument);
}

TEST_F(NamesTest, ConnectToNoAddressIsRefused) { EXPECT_EQ(Run(ConnectToAny({})).status().code(), kInvalidArgument); }

TEST_F(NamesTest, TheNextAddressIsTriedAtOnceAfterARefusal) {
  TcpListener listener = Listen();
  const uint16_t port = listener.LocalAddress().port();
  // The long delay would make the test hang.
  auto stream = Run(ConnectToAny({SocketAddress::Ipv4({127, 0, 0, 9}, port), listener.LocalAddress()},
                                 ConnectOptions().set_attempt_delay(absl::Hours(1))));
  ASSERT_OK(stream.status());
  EXPECT_EQ(stream->PeerAddress(), listener.LocalAddress());
}

TEST_F(NamesTest, ASilentAddressIsOvertaken) {
  std::vector<TcpStream> fillers;
  TcpListener deaf = ListenDeaf(SocketAddress::Ipv4({127, 0, 0, 8}, 0), &fillers);
  TcpListener listener = Listen();
  auto stream = Run(ConnectToAny({deaf.LocalAddress(), listener.LocalAddress()},
                                 ConnectOptions().set_attempt_delay(absl::Milliseconds(20))));
  ASSERT_OK(stream.status());
  EXPECT_EQ(stream->PeerAddress(), listener.LocalAddress());
}

TEST_F(NamesTest, WhenAllFailTheMessageTellsOfEach) {
  TcpListener listener = Listen();
  const SocketAddress closed = listener.LocalAddress();
  EXPECT_OK(Run(listener.Close()));
  const SocketAddress other = SocketAddress::Ipv4({127, 0, 0, 9}, closed.port());
  const auto stream = Run(ConnectToAny({closed, other}));
  EXPECT_EQ(stream.status().code(), kUnavailable);
  EXPECT_TRUE(absl::StrContains(stream.status().message(), closed.ToString())) << stream.status();
  EXPECT_TRUE(absl::StrContains(stream.status().message(), other.ToString())) << stream.status();
}

TEST_F(NamesTest, ATimeoutCoversAllAttempts) {
  std::vector<TcpStream> fillers;
  TcpListener deaf = ListenDeaf(SocketAddress::Ipv4({127, 0, 0, 8}, 0), &fillers);
  const auto stream = Run(
      WithTimeout(absl::Milliseconds(60), ConnectToAny({deaf.LocalAddress(), deaf.LocalAddress()},
                                                       ConnectOptions().set_attempt_delay(absl::Milliseconds(10)))));
  EXPECT_EQ(stream.status().code(), kDeadlineExceeded) << stream.status();
}

Task<absl::StatusOr<TcpStream>> ConnectToOneOf(std::vector<SocketAddress> addresses) {
  absl::StatusOr<TcpStream> stream = co_await ConnectToAny(std::move(addresses));
  co_return stream;
}

TEST_F(NamesTest, CancellingEndsAllAttempts) {
  std::vector<TcpStream> fillers;
  TcpListener deaf = ListenDeaf(SocketAddress::Ipv4({127, 0, 0, 8}, 0), &fillers);
  std::vector<SocketAddress> addresses(3, deaf.LocalAddress());
  auto connecting = Start(ConnectToOneOf(addresses));
  Settle();
  connecting->Cancel();
  EXPECT_EQ(Wait(connecting).status().code(), kCancelled);
}

}  // namespace
}  // namespace tandem::testing
