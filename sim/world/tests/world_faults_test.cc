// SPDX-License-Identifier: Apache-2.0

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/schedule/schedule.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/tests/ping.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

TEST(WorldFaultsTest, APartitionStopsTheTrafficAndEnds) {
  World world;
  int failures = 0;
  world.AddHost("server", [] { return Serve(); });
  Host& client = world.AddHost("client", [&]() -> Task<absl::Status> { return Ping("server:7", 20'000, &failures); });
  world.Inject(*FaultPlan::Parse("partition server client from 0.5s to 3s"));

  absl::Status status = world.RunUntilDone(client, absl::Minutes(10));

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_GT(failures, 0);
  EXPECT_FALSE(world.network().blocked(world.hosts()[0]->stack(), world.hosts()[1]->stack()));
}

TEST(WorldFaultsTest, OverlappingFaultsEndOnTheirOwn) {
  World world;
  world.AddHost("a", [] { return SleepForever(); });
  world.AddHost("b", [] { return SleepForever(); });
  HostStack& a = world.hosts()[0]->stack();
  HostStack& b = world.hosts()[1]->stack();
  world.Inject(
      *FaultPlan::Parse("partition a b from 1s to 4s\n"
                        "partition-one-way a * from 2s to 6s\n"
                        "latency * * from 1s to 5s strength 500000\n"
                        "latency b a from 2s to 3s strength 1000000\n"
                        "short-reads b from 1s to 2s strength 1000000\n"));
  const auto faults = [&](HostStack& from, HostStack& to) {
    return world.network().fault_source()->FaultsOf(from, to);
  };

  ASSERT_TRUE(world.RunFor(absl::Milliseconds(1500)).ok());
  EXPECT_TRUE(faults(a, b).partition);
  EXPECT_TRUE(faults(b, a).partition);
  EXPECT_EQ(faults(a, b).latency.strength, 500'000u);
  EXPECT_FALSE(b.faults().short_read.is_never());
  EXPECT_TRUE(a.faults().short_read.is_never());

  ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());  // 2.5 s.
  EXPECT_EQ(faults(a, b).latency.strength, 1'000'000u) << "the strongest acts";
  EXPECT_TRUE(b.faults().short_read.is_never());

  ASSERT_TRUE(world.RunFor(absl::Seconds(2)).ok());  // 4.5 s.
  EXPECT_TRUE(faults(a, b).partition);
  EXPECT_FALSE(faults(b, a).partition);
  EXPECT_EQ(faults(a, b).latency.strength, 500'000u);

  ASSERT_TRUE(world.RunFor(absl::Seconds(2)).ok());  // 6.5 s.
  EXPECT_FALSE(faults(a, b).partition);
  EXPECT_FALSE(faults(a, b).latency);
}

TEST(WorldFaultsTest, ACrashEntryRestartsTheHost) {
  World world;
  Host& host = world.AddHost("host", [] { return SleepForever(); });
  Host& ended = world.AddHost("ended", []() -> Task<absl::Status> { co_return absl::OkStatus(); });
  world.Inject(*FaultPlan::Parse("crash * from 1s to 2s\nkill host from 3s to 4s\npause host from 5s to 6s"));

  ASSERT_TRUE(world.RunFor(absl::Milliseconds(1500)).ok());
  EXPECT_FALSE(host.alive());
  ASSERT_TRUE(world.RunFor(absl::Seconds(10)).ok());

  EXPECT_TRUE(host.alive());
  EXPECT_EQ(host.restarts(), 2u);
  EXPECT_EQ(ended.restarts(), 0u);
  EXPECT_EQ(ended.status(), absl::OkStatus());
}

struct Outcome {
  absl::Status status;
  TraceDigest digest;
  uint64_t events = 0;
};

Outcome RunPingUnderFaults(uint64_t seed) {
  World world(WorldOptions().set_seed(seed));
  int failures = 0;
  world.AddHost("server", [] { return Serve(); });
  Host& client = world.AddHost("client", [&] { return Ping("server:7", 100, &failures); });
  world.Inject(Faults::All().Spare("client"));
  Outcome outcome;
  outcome.status = world.RunUntilDone(client, absl::Minutes(30));
  outcome.digest = world.digest();
  outcome.events = world.events();
  if (!outcome.status.ok())
    outcome.status = absl::UnknownError(absl::StrCat(outcome.status.ToString(), "\n", world.fault_plan().ToString()));
  return outcome;
}

TEST(WorldFaultsTest, MessagesGetThroughEveryMixOfFaults) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Outcome outcome = RunPingUnderFaults(seed);
    EXPECT_TRUE(outcome.status.ok()) << "seed " << seed << ": " << outcome.status;
  }
}

TEST(WorldFaultsTest, TheSameSeedGivesTheSameDigest) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Outcome first = RunPingUnderFaults(seed);
    const Outcome second = RunPingUnderFaults(seed);
    EXPECT_EQ(first.digest, second.digest) << "seed " << seed;
    EXPECT_EQ(first.events, second.events) << "seed " << seed;
  }
  EXPECT_NE(RunPingUnderFaults(1).digest, RunPingUnderFaults(2).digest);
}

// What the packets of one link do, whatever happens on another: the times at which `from` hears its echoes.
Task<absl::Status> PingAndNote(std::vector<int64_t>* times, int* failures) {
  for (int round = 0; round < 50; ++round) {
    absl::Status status = co_await Ping("server:7", 1, failures);
    if (!status.ok()) co_return status;
    times->push_back(Now().nanoseconds());
  }
  co_return absl::OkStatus();
}

std::vector<int64_t> EchoTimes(const std::string& plan) {
  World world(WorldOptions().set_seed(3).set_schedule(ScheduleKind::kFifo));
  std::vector<int64_t> times;
  int failures = 0;
  world.AddHost("server", [] { return Serve(); });
  world.AddHost("other", [] { return Serve(); });
  Host& client = world.AddHost("client", [&] { return PingAndNote(&times, &failures); });
  int other_failures = 0;
  world.AddHost("bystander", [&] { return Ping("other:7", 1000, &other_failures); });
  world.Inject(*FaultPlan::Parse(plan));
  EXPECT_TRUE(world.RunUntilDone(client, absl::Hours(1)).ok());
  return times;
}

TEST(WorldFaultsTest, RemovingAFaultChangesNoDrawOfAnotherLink) {
  const std::string kept = "loss client server from 0s to 60s strength 200000\n";
  const std::string removed =
      "loss other bystander from 0s to 60s strength 300000\nreset other from 0.01s strength 500000\n";

  EXPECT_EQ(EchoTimes(kept + removed), EchoTimes(kept));
  EXPECT_NE(EchoTimes(kept), EchoTimes(""));
}

}  // namespace
}  // namespace tandem::sim
