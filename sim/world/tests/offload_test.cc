// SPDX-License-Identifier: Apache-2.0
//
// What a simulated program has done elsewhere: blocking work and lookups of names, at the seam and in a world.

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/random.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/net/resolver.h"
#include "tandem/core/runtime/run_blocking.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/network/names.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/testing/test_programs.h"
#include "tandem/sim/time/event_queue.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kSecond = 1'000'000'000;

// One host at the seam.
struct Machine {
  explicit Machine(uint64_t seed = 1)
      : room(seed), host(room.events, room.network, "db", SocketAddress::Ipv4({10, 0, 0, 1}, 0)) {}
  ~Machine() { host.Crash(); }

  void StartLookup(TestOperation& operation, NameLookup& lookup) {
    operation.kind = OperationKind::kResolve;
    operation.lookup = &lookup;
    host.reactor().Submit(operation);
  }
  int64_t LookUp(const std::string& name, std::vector<SocketAddress>* addresses = nullptr) {
    TestOperation operation;
    NameLookup lookup;
    lookup.host = name;
    lookup.port = 80;
    StartLookup(operation, lookup);
    EXPECT_EQ(operation.completions, 0);  // Only Poll() reports.
    EXPECT_TRUE(room.RunUntil([&] { return operation.completions == 1; }));
    if (addresses != nullptr) *addresses = lookup.addresses;
    return operation.result;
  }

  MachineRoom room;
  TestHost host;
};

class CountedWork final : public BlockingWork {
 public:
  void Run() override {
    ++runs;
    in_shard |= Executor::HasCurrent();
  }
  int runs = 0;
  bool in_shard = false;
};

// --- Names, at the seam ---

TEST(LookupTest, HostsAndLocalhostHaveTheirAddresses) {
  Machine machine;
  std::vector<SocketAddress> addresses;
  EXPECT_EQ(machine.LookUp("db", &addresses), 0);
  EXPECT_EQ(addresses, std::vector<SocketAddress>{machine.host.Address(80)});
  EXPECT_EQ(machine.LookUp("localhost", &addresses), 0);
  EXPECT_EQ(addresses.size(), 2u);
  EXPECT_EQ(machine.LookUp("does-not-exist.invalid"), -ENOENT);
}

TEST(LookupTest, TheAnswerIsThatOfTheTimeWhenItIsGiven) {
  Machine machine;
  NameTable& names = machine.room.network.names();
  names.SetLatency("db", absl::Seconds(3), absl::Seconds(3));
  TestOperation operation;
  NameLookup lookup;
  lookup.host = "db";
  const int64_t start_ns = machine.room.events.now_ns();
  machine.StartLookup(operation, lookup);
  machine.room.RunFor(kSecond);
  names.Fail("db", EAGAIN);
  EXPECT_TRUE(machine.room.RunUntil([&] { return operation.completions == 1; }));
  EXPECT_EQ(operation.result, -EAGAIN);
  EXPECT_EQ(machine.room.events.now_ns(), start_ns + 3 * kSecond);
}

TEST(LookupTest, CancellingEndsItAtOnce) {
  Machine machine;
  machine.room.network.names().SetLatency(absl::Hours(1), absl::Hours(1));
  TestOperation operation;
  NameLookup lookup;
  lookup.host = "db";
  machine.StartLookup(operation, lookup);
  machine.room.RunFor(kSecond);
  machine.host.reactor().Cancel(operation);
  machine.room.RunFor(0);
  EXPECT_EQ(operation.result, -ECANCELED);
  EXPECT_TRUE(lookup.addresses.empty());
}

TEST(LookupTest, AnAnswerThatNeverComesIsWaitedForUntilTheCancel) {
  Machine machine;
  machine.host.stack().faults().lookup_slow = Probability::Ratio(1, 1);
  machine.room.network.names().SetLatency("db", absl::InfiniteDuration(), absl::InfiniteDuration());
  TestOperation operation;
  NameLookup lookup;
  lookup.host = "db";
  machine.StartLookup(operation, lookup);
  machine.room.RunFor(1'000'000 * kSecond);
  EXPECT_EQ(operation.completions, 0);
  machine.host.reactor().Cancel(operation);
  machine.room.RunFor(0);
  EXPECT_EQ(operation.result, -ECANCELED);
}

TEST(LookupTest, ACrashDropsIt) {
  Machine machine;
  TestOperation operation;
  NameLookup lookup;
  lookup.host = "db";
  machine.StartLookup(operation, lookup);
  machine.host.Crash();
  machine.room.RunFor(kSecond);
  EXPECT_TRUE(operation.abandoned);
  EXPECT_EQ(operation.completions, 0);
  EXPECT_TRUE(lookup.addresses.empty());
}

TEST(LookupTest, FaultsHitSomeOfThem) {
  Machine machine;
  StackFaults& faults = machine.host.stack().faults();
  faults.lookup_failed = Probability::Ratio(1, 3);
  faults.lookup_missing = Probability::Ratio(1, 3);
  faults.lookup_slow = Probability::Ratio(1, 3);
  std::set<int64_t> results;
  int64_t slowest_ns = 0;
  for (int i = 0; i < 50; ++i) {
    const int64_t start_ns = machine.room.events.now_ns();
    results.insert(machine.LookUp("db"));
    slowest_ns = std::max(slowest_ns, machine.room.events.now_ns() - start_ns);
  }
  EXPECT_EQ(results, (std::set<int64_t>{0, -ENOENT, -EAGAIN}));
  EXPECT_GT(slowest_ns, kSecond);
}

TEST(LookupTest, LatenciesOfOneNameDoNotDependOnOtherNames) {
  Machine alone;
  Machine busy;
  EXPECT_EQ(busy.LookUp("localhost"), 0);
  for (int i = 0; i < 5; ++i) {
    const int64_t alone_ns = alone.room.events.now_ns();
    const int64_t busy_ns = busy.room.events.now_ns();
    EXPECT_EQ(alone.LookUp("db"), 0);
    EXPECT_EQ(busy.LookUp("db"), 0);
    EXPECT_EQ(alone.room.events.now_ns() - alone_ns, busy.room.events.now_ns() - busy_ns);
  }
}

// --- Work, at the seam ---

TEST(WorkTest, RunsOnceOutsideOfAnyShardAfterADrawnDelay) {
  std::set<int64_t> delays;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Machine machine(seed);
    CountedWork work;
    TestOperation operation;
    operation.kind = OperationKind::kRunBlocking;
    operation.work = &work;
    const int64_t start_ns = machine.room.events.now_ns();
    machine.host.reactor().Submit(operation);
    EXPECT_EQ(work.runs, 0);
    EXPECT_TRUE(machine.room.RunUntil([&] { return operation.completions == 1; }));
    const int64_t delay_ns = machine.room.events.now_ns() - start_ns;
    EXPECT_EQ(operation.result, 0);
    EXPECT_EQ(work.runs, 1);
    EXPECT_FALSE(work.in_shard);
    EXPECT_GE(delay_ns, 10'000);
    EXPECT_LE(delay_ns, kMillisecond);
    delays.insert(delay_ns);
  }
  EXPECT_GT(delays.size(), 40u);
}

TEST(WorkTest, ACancelComesInTimeOrNotAtAll) {
  int cancelled = 0;
  int ran = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Machine machine(seed);
    CountedWork work;
    TestOperation operation;
    operation.kind = OperationKind::kRunBlocking;
    operation.work = &work;
    machine.host.reactor().Submit(operation);
    RandomStream random(seed);
    machine.room.RunFor(random.Between(0, kMillisecond));
    if (operation.in_flight()) machine.host.reactor().Cancel(operation);
    const bool at_once = work.runs == 0;
    machine.room.RunFor(0);
    if (at_once && operation.completions == 1) {
      EXPECT_EQ(operation.result, -ECANCELED);
    }
    machine.room.RunFor(kSecond);
    EXPECT_EQ(operation.completions, 1);
    EXPECT_EQ(operation.result, work.runs == 1 ? 0 : -ECANCELED);
    ++(work.runs == 1 ? ran : cancelled);
  }
  EXPECT_GT(cancelled, 20);
  EXPECT_GT(ran, 20);
}

TEST(WorkTest, ACrashBeforeItRunsDropsIt) {
  Machine machine;
  CountedWork work;
  TestOperation operation;
  operation.kind = OperationKind::kRunBlocking;
  operation.work = &work;
  machine.host.reactor().Submit(operation);
  machine.host.Crash();
  machine.room.RunFor(kSecond);
  EXPECT_TRUE(operation.abandoned);
  EXPECT_EQ(work.runs, 0);
}

TEST(WorkTest, ManyRunAtOnce) {
  Machine machine;
  std::vector<CountedWork> works(100);
  std::vector<TestOperation> operations(100);
  for (size_t i = 0; i < works.size(); ++i) {
    operations[i].kind = OperationKind::kRunBlocking;
    operations[i].work = &works[i];
    machine.host.reactor().Submit(operations[i]);
  }
  machine.room.RunFor(kSecond);
  for (const TestOperation& operation : operations) EXPECT_EQ(operation.result, 0);
}

// --- In a world ---

int64_t MonotonicNow() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * kSecond + now.tv_nsec;
}

// Sleeps as a library would that knows nothing of a simulation; returns how long that took by its clock.
int64_t SleepOneSecond() {
  const int64_t before_ns = MonotonicNow();
  absl::SleepFor(absl::Seconds(1));
  return MonotonicNow() - before_ns;
}

int CountCall(int* calls) { return ++*calls; }

Task<absl::Status> SleepInWork() {
  const Instant start = Now();
  absl::StatusOr<int64_t> slept_ns = co_await RunBlocking(&SleepOneSecond);
  if (!slept_ns.ok()) co_return slept_ns.status();
  EXPECT_EQ(*slept_ns, kSecond);
  EXPECT_GE(Now() - start, absl::Seconds(1));
  EXPECT_LE(Now() - start, absl::Milliseconds(1001));
  co_return absl::OkStatus();
}

Task<absl::Status> CallOnce(int* calls) {
  absl::StatusOr<int> count = co_await RunBlocking(&CountCall, calls);
  co_return count.status();
}

TEST(OffloadWorldTest, BlockingWorkMaySleepAndSeesTheTimeOfTheWorld) {
  World world;
  Host& host = world.AddHost("host", &SleepInWork);
  EXPECT_TRUE(world.RunUntilDone(host, absl::Minutes(1)).ok());
}

void LookAtTheClock(absl::Time* seen) { *seen = absl::Now(); }
Task<absl::Status> LookInWork(absl::Time* seen) { co_return co_await RunBlocking(&LookAtTheClock, seen); }

TEST(OffloadWorldTest, BlockingWorkSeesTheWallClockOfItsHost) {
  World world;
  absl::Time seen;
  Host& host = world.AddHost("host", [&seen] { return LookInWork(&seen); });
  host.SetClockOffset(absl::Hours(5));
  EXPECT_TRUE(world.RunUntilDone(host, absl::Minutes(1)).ok());
  const absl::Time epoch = absl::FromUnixNanos(kWallEpochNs) + absl::Hours(5);
  EXPECT_GT(seen, epoch);
  EXPECT_LT(seen, epoch + absl::Minutes(1));
}

TEST(OffloadWorldTest, ADeadOrPausedProcessDoesNoWork) {
  World world;
  int calls = 0;
  Host& host = world.AddHost("host", [&calls] { return CallOnce(&calls); });
  world.After(absl::Nanoseconds(1), [&host] { host.Pause(absl::Seconds(10)); });
  EXPECT_TRUE(world.RunFor(absl::Seconds(9)).ok());
  EXPECT_EQ(calls, 0);
  EXPECT_TRUE(world.RunUntilDone(host, absl::Seconds(2)).ok());
  EXPECT_EQ(calls, 1);

  host.Restart();
  world.After(absl::Nanoseconds(1), [&host] { host.Kill(); });
  EXPECT_TRUE(world.RunUntilQuiescent(absl::Minutes(1)).ok());
  EXPECT_EQ(calls, 1);
}

Task<absl::Status> ResolveServer(std::vector<std::string>* answers) {
  for (int i = 0; i < 3; ++i) {
    absl::StatusOr<std::vector<SocketAddress>> addresses = co_await Resolve("server", 80);
    answers->push_back(addresses.ok() ? addresses->front().ToString() : std::string(addresses.status().message()));
    const absl::Status slept = co_await Sleep(absl::Seconds(10));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

TEST(OffloadWorldTest, NamesAnswerAsTheTestSays) {
  World world;
  std::vector<std::string> answers;
  answers.reserve(3);
  Host& server = world.AddHost("server", []() -> Task<absl::Status> { co_return absl::OkStatus(); });
  Host& client = world.AddHost("client", [&answers] { return ResolveServer(&answers); });
  world.After(absl::Seconds(5), [&] { world.names().SetMissing("server"); });
  world.After(absl::Seconds(15), [&] { world.names().Set("server", {client.address(0)}); });
  EXPECT_TRUE(world.RunUntilDone(client, absl::Minutes(1)).ok());

  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[0], server.address(80).ToString());
  EXPECT_NE(answers[1].find("server"), std::string::npos) << answers[1];
  EXPECT_EQ(answers[2], client.address(80).ToString());
}

Task<absl::Status> ResolveOften() {
  for (int i = 0; i < 200; ++i) {
    absl::StatusOr<std::vector<SocketAddress>> addresses = co_await Resolve("server", 80);
    if (!addresses.ok()) co_return addresses.status();
  }
  co_return absl::OkStatus();
}

TEST(OffloadWorldTest, FaultPlansReachLookups) {
  World world;
  world.AddHost("server", []() -> Task<absl::Status> { co_return absl::OkStatus(); });
  Host& client = world.AddHost("client", &ResolveOften);
  world.Inject(*FaultPlan::Parse("lookup-failed client from 0s to 60s strength 500000"));
  EXPECT_EQ(world.RunUntilDone(client, absl::Minutes(1)).code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace tandem::sim
