// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/network/names.h"

#include <cerrno>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/io/address.h"

namespace tandem::sim {
namespace {

SocketAddress Address(uint8_t last, uint16_t port = 0) { return SocketAddress::Ipv4({10, 0, 0, last}, port); }

TEST(NameTableTest, LocalhostIsThere) {
  NameTable names;
  std::vector<SocketAddress> addresses;
  ASSERT_EQ(names.LookUp("localhost", 80, &addresses), 0);

  const std::vector<SocketAddress> expected = {SocketAddress::LoopbackIpv6(80), SocketAddress::LoopbackIpv4(80)};
  EXPECT_EQ(addresses, expected);
}

TEST(NameTableTest, AnswersAreInOrderWithThePortAsked) {
  NameTable names;
  names.Set("db", {Address(2, 7), Address(1)});
  std::vector<SocketAddress> addresses;
  ASSERT_EQ(names.LookUp("db", 80, &addresses), 0);

  const std::vector<SocketAddress> expected = {Address(2, 80), Address(1, 80)};
  EXPECT_EQ(addresses, expected);
}

TEST(NameTableTest, CaseAndTheLastDotDoNotMatter) {
  NameTable names;
  names.Set("Db.Example", {Address(1)});
  std::vector<SocketAddress> addresses;
  EXPECT_EQ(names.LookUp("dB.eXAMPLE.", 80, &addresses), 0);
  EXPECT_EQ(names.LookUp("db.example..", 80, &addresses), -ENOENT);
}

TEST(NameTableTest, ANameThatIsMissingOrHasNoAddressIsEnoent) {
  NameTable names;
  names.Set("empty", {});
  std::vector<SocketAddress> addresses = {Address(9)};
  EXPECT_EQ(names.LookUp("empty", 80, &addresses), -ENOENT);
  EXPECT_EQ(names.LookUp("does-not-exist.invalid", 80, &addresses), -ENOENT);
  EXPECT_EQ(addresses, std::vector<SocketAddress>{Address(9)});
}

TEST(NameTableTest, WhatATestSaysComesFirstUntilItIsReset) {
  NameTable names;
  names.SetDefault("db", {Address(1)});
  std::vector<SocketAddress> addresses;
  names.Fail("db", EAGAIN);
  EXPECT_EQ(names.LookUp("db", 80, &addresses), -EAGAIN);
  names.SetMissing("db");
  EXPECT_EQ(names.LookUp("db", 80, &addresses), -ENOENT);
  names.Set("db", {Address(2)});
  ASSERT_EQ(names.LookUp("db", 80, &addresses), 0);
  EXPECT_EQ(addresses, std::vector<SocketAddress>{Address(2, 80)});

  names.Reset("DB");
  ASSERT_EQ(names.LookUp("db", 80, &addresses), 0);
  EXPECT_EQ(addresses, std::vector<SocketAddress>{Address(1, 80)});
}

TEST(NameTableTest, LatencyIsDrawnBetweenItsBounds) {
  NameTable names;
  names.SetLatency(absl::Nanoseconds(10), absl::Nanoseconds(20));
  names.SetLatency("slow", absl::Seconds(3), absl::Seconds(3));
  EXPECT_EQ(names.LatencyNs("any", 0), 10);
  EXPECT_EQ(names.LatencyNs("any", ~uint64_t{0}), 20);
  EXPECT_EQ(names.LatencyNs("SLOW", 12345), 3'000'000'000);
}

}  // namespace
}  // namespace tandem::sim
