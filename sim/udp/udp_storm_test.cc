// SPDX-License-Identifier: Apache-2.0
//
// The simulated UDP under everything at once: random traffic, and everything that may go wrong.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tandem/core/base/random.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/faults/chaos.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/testing/test_programs.h"
#include "tandem/sim/testing/udp_test_world.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::sim {
namespace {

struct StormResult {
  TraceDigest digest;
  uint64_t sent = 0;
  uint64_t received = 0;
  uint64_t lost = 0;  // By links, or by full buffers.
  bool duplicates = false;
};

// One host's socket: sends numbered datagrams to random peers and keeps on receiving.
class Gossip {
 public:
  Gossip(UdpWorld& world, TestHost& host, RandomStream random) : world_(world), host_(host), random_(random) {
    source_.socket = send_.socket = UdpWorld::Bound(host, host.Address(kPort));
    send_.kind = OperationKind::kSendDatagrams;
    if (random_.Below(2) == 0) UdpWorld::Set(host, source_.socket, SocketOption::kReceiveBufferSize, 5'000);
  }

  void Step() {
    if (host_.reactor().abandoned()) return;
    if (!source_.armed()) {
      source_.budget = 1 + random_.Below(20);
      host_.reactor().Arm(source_);
    } else if (random_.Below(8) == 0) {
      host_.reactor().Disarm(source_);
    }
    if (send_.in_flight()) {
      if (random_.Below(4) == 0) host_.reactor().Cancel(send_);
      return;
    }
    if (send_.result > 0) sent_ += static_cast<uint64_t>(send_.result);
    send_.result = 0;
    texts_.clear();
    datagrams_.clear();
    const uint64_t count = 1 + random_.Below(6);
    texts_.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      texts_.push_back(absl::StrCat(host_.stack().name(), " ", next_++, " "));
      texts_.back().resize(texts_.back().size() + random_.Below(4000), '.');
      datagrams_.emplace_back(texts_.back(), world_.hosts()[random_.Below(3)]->Address(kPort));
    }
    send_.datagrams = datagrams_;
    host_.reactor().Submit(send_);
  }
  // Takes what the socket still has. REQUIRES that no step comes after.
  void Finish() {
    if (send_.result > 0) sent_ += static_cast<uint64_t>(send_.result);
    if (host_.reactor().abandoned()) return;
    host_.reactor().Disarm(source_);
    EXPECT_TRUE(world_.room.RunUntil([&] { return !source_.armed(); }));
    std::vector<Datagram> datagrams;
    while (host_.reactor().TryReceiveDatagrams(source_.socket, &datagrams) == 1) ++left_;
  }

  uint64_t sent() const { return sent_; }
  uint64_t left() const { return left_; }
  const std::vector<TestSource::Arrived>& arrived() const { return source_.datagrams; }

 private:
  UdpWorld& world_;
  TestHost& host_;
  RandomStream random_;
  uint64_t next_ = 0;
  uint64_t sent_ = 0;
  uint64_t left_ = 0;
  std::vector<std::string> texts_;
  std::vector<OutgoingDatagram> datagrams_;
  TestOperation send_;
  TestSource source_{Source::Kind::kReceiveDatagrams};
};

StormResult RunStorm(uint64_t seed, bool deadly) {
  RandomStream random = RandomStream(seed).Child(HashName("datagram storm"));
  SimReactorOptions options;
  options.read_ahead = random.Below(2) == 0;
  UdpWorld world(seed, options);
  LinkConditions conditions;
  conditions.latency = LatencyDistribution::Uniform(100'000, 5 * kMillisecond);
  conditions.loss = Probability::Ratio(random.Below(20), 100);
  conditions.datagram_reorder = Probability::Ratio(random.Below(50), 100);
  const bool duplicates = random.Below(2) == 0;
  if (duplicates) conditions.datagram_duplicate = Probability::Ratio(random.Below(50), 100);
  world.room.network.SetDefaultConditions(conditions);
  std::vector<std::unique_ptr<Gossip>> gossips;
  for (TestHost* host : world.hosts()) {
    if (random.Below(2) == 0) host->stack().faults() = DrawChaos(random.Child(host->stack().index()));
    gossips.push_back(std::make_unique<Gossip>(world, *host, random.Child(10 + host->stack().index())));
  }
  for (int step = 0; step < 60; ++step) {
    for (const std::unique_ptr<Gossip>& gossip : gossips) gossip->Step();
    world.room.RunFor(static_cast<int64_t>(random.Below(2 * kMillisecond)));
    if (!deadly || random.Below(10) != 0) continue;
    TestHost& victim = *world.hosts()[random.Below(3)];
    if (victim.reactor().abandoned()) continue;
    if (random.Below(2) == 0) {
      victim.Crash();
    } else {
      victim.Kill();
    }
  }
  world.room.RunFor(20 * kSecond);
  StormResult result;
  std::set<std::pair<std::string, std::string>> seen;  // Receiver, what.
  for (size_t i = 0; i < gossips.size(); ++i) {
    gossips[i]->Finish();
    result.sent += gossips[i]->sent();
    result.received += gossips[i]->arrived().size() + gossips[i]->left();
    for (const TestSource::Arrived& arrived : gossips[i]->arrived()) {
      const std::string name = world.hosts()[i]->stack().name();
      const bool fresh = seen.emplace(name, arrived.data).second;
      EXPECT_TRUE(fresh || duplicates) << "seed " << seed << ": " << arrived.data << " came twice";
    }
  }
  result.lost = world.room.network.statistics().packets_lost + world.room.network.statistics().datagrams_dropped;
  result.duplicates = duplicates;
  result.digest = world.room.trace.digest();
  for (TestHost* host : world.hosts()) host->Crash();
  return result;
}

TEST(UdpStormTest, NothingIsLostButByTheNetworkAndFullBuffers) {
  uint64_t whole = 0;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    const StormResult result = RunStorm(seed, /*deadly=*/false);
    EXPECT_GE(result.received + result.lost, result.sent) << "seed " << seed;
    if (!result.duplicates) {
      EXPECT_EQ(result.received + result.lost, result.sent) << "seed " << seed;
    }
    if (result.received > 100) ++whole;
    if (HasFailure()) return;
  }
  EXPECT_GT(whole, 120u);
}

TEST(UdpStormTest, HostsMayDie) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    RunStorm(seed, /*deadly=*/true);
    if (HasFailure()) return;
  }
}

TEST(UdpStormTest, TheSeedDecidesEverything) {
  for (const bool deadly : {false, true}) {
    std::vector<TraceDigest> digests;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      const TraceDigest digest = RunStorm(seed, deadly).digest;
      EXPECT_EQ(digest, RunStorm(seed, deadly).digest) << "seed " << seed;
      for (const TraceDigest& other : digests) EXPECT_FALSE(digest == other);
      digests.push_back(digest);
    }
    // For comparing builds by hand.
    RecordProperty(deadly ? "digest_deadly" : "digest_lossy", digests.back().ToString());
  }
}

}  // namespace
}  // namespace tandem::sim
