// SPDX-License-Identifier: Apache-2.0
//
// The simulated UDP under faults of links and hosts, and cancellation.

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/base/random.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/testing/test_programs.h"
#include "tandem/sim/testing/udp_test_world.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {
namespace {

// --- Hosts ---

TEST(UdpHostTest, ACrashedMachineIsSilentAndAKilledProcessRefuses) {
  UdpWorld world;
  UdpWorld::Bound(world.b, world.b.Address(kPort));
  UdpWorld::Bound(world.c, world.c.Address(kPort));
  const SocketId to_b = UdpWorld::Open(world.a);
  const SocketId to_c = UdpWorld::Open(world.a);
  EXPECT_EQ(world.a.reactor().ConnectDatagrams(to_b, world.b.Address(kPort)), 0);
  EXPECT_EQ(world.a.reactor().ConnectDatagrams(to_c, world.c.Address(kPort)), 0);
  world.b.Crash();
  world.c.Kill();
  EXPECT_EQ(world.c.stack().open_descriptors(), 0u);
  EXPECT_EQ(world.Send(world.a, to_b, "x"), 1);
  EXPECT_EQ(world.Send(world.a, to_c, "x"), 1);
  world.Settle();
  EXPECT_EQ(UdpWorld::Received(world.a, to_b), "");
  EXPECT_EQ(UdpWorld::Received(world.a, to_c), "-111");

  world.b.Start();
  EXPECT_EQ(world.Send(world.a, to_b, "x"), 1);
  world.Settle();
  EXPECT_EQ(UdpWorld::Received(world.a, to_b), "-111");
}

TEST(UdpHostTest, ClosingFreesThePortAndTheMembership) {
  UdpWorld world;
  const SocketId id = UdpWorld::Bound(world.b, SocketAddress::AnyIpv4(kPort));
  EXPECT_EQ(world.b.reactor().SetMembership(id, MulticastGroup{kGroup, 0}, true), 0);
  TestOperation close;
  close.kind = OperationKind::kClose;
  close.socket = id;
  world.b.reactor().Submit(close);
  world.Settle();
  EXPECT_EQ(close.result, 0);
  const SocketId again = UdpWorld::Bound(world.b, SocketAddress::AnyIpv4(kPort));
  EXPECT_EQ(world.Send(world.a, UdpWorld::Open(world.a), "x", kGroup), 1);
  world.Settle();
  EXPECT_EQ(UdpWorld::Received(world.b, again), "");
}

TEST(UdpHostTest, DescriptorsAreLimited) {
  UdpWorld world;
  world.a.stack().set_descriptor_limit(1);
  UdpWorld::Open(world.a);
  EXPECT_EQ(world.a.reactor().OpenSocket(AddressFamily::kIpv4, SocketType::kDatagram), -EMFILE);
  EXPECT_EQ(world.a.reactor().OpenSocket(AddressFamily::kIpv4, SocketType::kStream), -EMFILE);
}

// --- Faults of links ---

// Sends 1000 numbered datagrams from a to b, one each millisecond, and returns what arrived.
std::vector<int> Arrivals(const LinkConditions& conditions, size_t size = 8) {
  UdpWorld world;
  world.room.network.SetConditions(world.a.stack(), world.b.stack(), conditions);
  const SocketId server = UdpWorld::Bound(world.b, world.b.Address(kPort));
  const SocketId client = UdpWorld::Open(world.a);
  TestSource source(Source::Kind::kReceiveDatagrams);
  source.socket = server;
  source.budget = 10000;
  world.b.reactor().Arm(source);
  for (int i = 0; i < 1000; ++i) {
    std::string data = absl::StrCat(i, " ");
    data.resize(size, '.');
    EXPECT_EQ(UdpWorld::TrySend(world.a, client, data, world.b.Address(kPort)), 1);
    world.room.RunFor(kMillisecond);
  }
  world.room.RunFor(10 * kSecond);
  std::vector<int> numbers;
  numbers.reserve(source.datagrams.size());
  for (const TestSource::Arrived& arrived : source.datagrams) {
    EXPECT_EQ(arrived.data.size(), size);
    numbers.push_back(std::stoi(arrived.data));
  }
  world.b.Crash();  // Before the source dies.
  return numbers;
}

TEST(UdpLinkTest, WithoutFaultsOrderHoldsWhateverTheLatency) {
  LinkConditions conditions;
  conditions.latency = LatencyDistribution::Uniform(0, 100 * kMillisecond);
  const std::vector<int> numbers = Arrivals(conditions);
  EXPECT_EQ(numbers.size(), 1000u);
  EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
}

TEST(UdpLinkTest, LossTakesSome) {
  LinkConditions conditions;
  conditions.loss = Probability::Ratio(1, 10);
  const size_t count = Arrivals(conditions).size();
  EXPECT_GT(count, 800u);
  EXPECT_LT(count, 980u);
}

TEST(UdpLinkTest, ADatagramIsLostWithAnyOfItsFragments) {
  LinkConditions conditions;
  conditions.loss = Probability::Ratio(1, 10);
  const size_t count = Arrivals(conditions, 14'800).size();  // Ten fragments: 0.9^10 = 0.35.
  EXPECT_GT(count, 250u);
  EXPECT_LT(count, 450u);
}

TEST(UdpLinkTest, DuplicatesArriveTwice) {
  LinkConditions conditions;
  conditions.datagram_duplicate = Probability::Ratio(1, 2);
  const std::vector<int> numbers = Arrivals(conditions);
  EXPECT_GT(numbers.size(), 1300u);
  EXPECT_EQ(std::set<int>(numbers.begin(), numbers.end()).size(), 1000u);
}

TEST(UdpLinkTest, ReorderingOvertakesAlsoAtAFixedLatency) {
  LinkConditions conditions;
  conditions.latency = LatencyDistribution::Fixed(5 * kMillisecond);
  conditions.datagram_reorder = Probability::Ratio(1, 4);
  const std::vector<int> numbers = Arrivals(conditions);
  EXPECT_EQ(numbers.size(), 1000u);
  EXPECT_FALSE(std::is_sorted(numbers.begin(), numbers.end()));
}

TEST(UdpLinkTest, PartitionsLose) {
  UdpWorld world;
  const SocketId server = UdpWorld::Bound(world.b, world.b.Address(kPort));
  const SocketId client = UdpWorld::Open(world.a);
  world.room.network.Block(world.a.stack(), world.b.stack());
  EXPECT_EQ(world.Send(world.a, client, "lost", world.b.Address(kPort)), 1);
  world.Settle();
  world.room.network.Unblock(world.a.stack(), world.b.stack());
  EXPECT_EQ(world.Send(world.a, client, "passes", world.b.Address(kPort)), 1);
  world.Settle();
  EXPECT_EQ(UdpWorld::Received(world.b, server), "passes");
}

// --- Faults of the host, and cancellation ---

TEST(UdpCancelTest, ReportsWhatWasSent) {
  UdpWorld world;
  world.a.stack().faults().slow_write = Probability::Always();
  const SocketId server = UdpWorld::Bound(world.b, world.b.Address(kPort));
  const SocketId client = UdpWorld::Open(world.a);
  const std::vector<OutgoingDatagram> datagrams(30, OutgoingDatagram("x", world.b.Address(kPort)));
  for (const int64_t wait_ns : {int64_t{0}, int64_t{250'000}}) {
    TestOperation operation;
    operation.kind = OperationKind::kSendDatagrams;
    operation.socket = client;
    operation.datagrams = datagrams;
    world.a.reactor().Submit(operation);
    world.room.RunFor(wait_ns);
    world.a.reactor().Cancel(operation);
    world.room.RunUntil([&] { return operation.completions == 1; });
    world.Settle();
    const size_t arrived = (UdpWorld::Received(world.b, server).size() + 1) / 2;
    if (wait_ns == 0) {
      EXPECT_EQ(operation.result, -ECANCELED);
      EXPECT_EQ(arrived, 0u);
    } else {
      EXPECT_GT(operation.result, 0);
      EXPECT_LT(operation.result, 30);
      EXPECT_EQ(arrived, static_cast<size_t>(operation.result));
    }
  }
}

TEST(UdpCancelTest, ACompletionThatIsOnTheWayWins) {
  UdpWorld world;
  const SocketId client = UdpWorld::Open(world.a);
  const OutgoingDatagram datagram("x", world.b.Address(kPort));
  TestOperation operation;
  operation.kind = OperationKind::kSendDatagrams;
  operation.socket = client;
  operation.datagrams = absl::MakeConstSpan(&datagram, 1);
  world.a.reactor().Submit(operation);
  EXPECT_EQ(operation.completions, 0);  // Only Poll() reports.
  world.a.reactor().Cancel(operation);
  world.Settle();
  EXPECT_EQ(operation.result, 1);
}

TEST(UdpCancelTest, AfterAbandonNothingIsReportedAndNothingGetsOut) {
  UdpWorld world;
  const SocketId id = UdpWorld::Bound(world.b, world.b.Address(kPort));
  TestSource source(Source::Kind::kReceiveDatagrams);
  source.socket = id;
  source.budget = 10;
  world.b.reactor().Arm(source);
  world.b.Crash();
  EXPECT_TRUE(source.abandoned);
  const OutgoingDatagram datagram("x", world.a.Address(kPort));
  TestOperation send;
  send.kind = OperationKind::kSendDatagrams;
  send.socket = id;
  send.datagrams = absl::MakeConstSpan(&datagram, 1);
  const uint64_t sent = world.room.network.statistics().packets_sent;
  world.b.reactor().Submit(send);
  world.room.RunFor(kSecond);
  EXPECT_EQ(send.completions, 0);
  EXPECT_EQ(world.room.network.statistics().packets_sent, sent);
  world.b.reactor().Abandon();
  EXPECT_TRUE(send.abandoned);
}

}  // namespace
}  // namespace tandem::sim
