// SPDX-License-Identifier: Apache-2.0
//
// What is added somewhere changes nothing elsewhere: a host, a message, a task, a draw.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/tests/test_traffic.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

// What is on all links.
constexpr char kFaults[] =
    "loss client server from 0s to 60s strength 100000\nlatency client server from 0.01s to 60s strength 300000\n"
    "short-reads * from 0s to 60s strength 300000\njitter client from 0s to 60s strength 200000\n"
    "reset client from 0.05s strength 500000\n";

Task<absl::Status> OtherMain() {
  Spawn(SendDatagrams, "other", kDatagramPort, 30);
  co_await TalkTo("other", kEchoPort, 5);
  co_return absl::OkStatus();
}

void RunWorld(uint64_t seed, bool with_others, RecordKeeper* keeper) {
  World world(WorldOptions().set_seed(seed).set_trace_sink(keeper));
  world.AddHost("server", [] { return ServerMain(nullptr); });
  Host& client = world.AddHost("client", [] { return ClientMain(); });
  if (with_others) {
    world.AddHost("other", [] { return ServerMain(nullptr); });
    world.AddHost("another", [] { return OtherMain(); });
  }
  world.Inject(*FaultPlan::Parse(kFaults));
  EXPECT_TRUE(world.RunUntilDone(client, absl::Minutes(2)).ok());
}

TEST(InsertionTest, TwoMoreHostsLeaveTheTraceOfTheOthersAsItWas) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    RecordKeeper without(2);
    RecordKeeper with(2);
    RunWorld(seed, false, &without);
    RunWorld(seed, true, &with);
    // At the end of the client the others may be in the middle of something.
    const size_t least = std::min(without.records().size(), with.records().size());
    EXPECT_GT(least, 100u);
    EXPECT_EQ(with.EqualTo(without), least) << "seed " << seed;
  }
}

// Sends twenty datagrams and expects all to arrive, which is wrong.
Task<absl::Status> HopefulMain(bool with_more) {
  if (with_more) Spawn(SendDatagrams, "server", uint16_t{kDatagramPort + 1}, 30);
  co_await SendDatagrams("server", kDatagramPort, 20);
  co_return co_await Sleep(absl::Milliseconds(200));
}

Task<absl::Status> HopefulServer(int* received) {
  Spawn(ReceiveDatagrams, uint16_t{kDatagramPort + 1}, nullptr);
  co_await ReceiveDatagrams(kDatagramPort, received);
  co_return absl::OkStatus();
}

bool Fails(uint64_t seed, bool with_more) {
  int received = 0;
  World world(WorldOptions().set_seed(seed));
  world.AddHost("server", [&] { return HopefulServer(&received); });
  Host& client = world.AddHost("client", [&] { return HopefulMain(with_more); });
  world.Inject(*FaultPlan::Parse("loss client server from 0s to 60s strength 30000"));
  EXPECT_TRUE(world.RunUntilDone(client, absl::Minutes(1)).ok());
  return received != 20;
}

TEST(InsertionTest, FailuresStayWhenTheSameHostsDoSomethingMore) {
  int failures = 0;
  int stayed = 0;
  for (uint64_t seed = 1; failures < 100; ++seed) {
    ASSERT_LT(seed, 2000u);
    if (!Fails(seed, false)) continue;
    ++failures;
    stayed += Fails(seed, true) ? 1 : 0;
  }
  EXPECT_GE(stayed, 95);
}

}  // namespace
}  // namespace tandem::sim
