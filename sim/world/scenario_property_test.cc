// SPDX-License-Identifier: Apache-2.0
//
// A line of a scenario is one thing: without it, the others do what they did.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/base/random.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/test_traffic.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

constexpr uint64_t kScenarios = 10'000;

// Runs `plan`, and returns how often each line has hit.
std::vector<uint64_t> RunWorld(uint64_t seed, const FaultPlan& plan, RecordKeeper* keeper) {
  World world(WorldOptions().set_seed(seed).set_trace_sink(keeper));
  world.AddHost("server", [] { return ServerMain(nullptr); });
  world.AddHost("client", [] { return ClientMain(); });
  world.Inject(plan);
  EXPECT_TRUE(world.RunFor(absl::Milliseconds(200)).ok());
  std::vector<uint64_t> hits;
  for (size_t i = 0; i < plan.entries().size(); ++i) hits.push_back(world.fault_hits(i));
  return hits;
}

// A line that has hit nothing may go without a difference. One that has makes none before it begins.
void CheckWithout(uint64_t seed, const FaultPlan& plan, size_t line, uint64_t hits, const RecordKeeper& whole) {
  FaultPlan less = plan;
  less.Remove(line);
  RecordKeeper without(2);
  RunWorld(seed, less, &without);
  const size_t equal = without.EqualTo(whole);
  const FaultEntry& entry = plan.entries()[line];
  if (hits == 0) {
    EXPECT_EQ(without.records().size(), whole.records().size()) << seed << ": " << entry.ToString();
    EXPECT_EQ(equal, whole.records().size()) << seed << ": " << entry.ToString() << "\nof\n" << plan.ToString();
    return;
  }
  if (entry.trigger != FaultEntry::Trigger::kTime || equal == whole.records().size()) return;
  EXPECT_GE(absl::Nanoseconds(whole.records()[equal].time_ns), entry.from)
      << seed << ": " << entry.ToString() << "\nof\n"
      << plan.ToString();
}

TEST(ScenarioPropertyTest, AnyLineMayGo) {
  const Faults faults = Faults::All().Always().AtMost(1).During(absl::ZeroDuration(), absl::Milliseconds(150));
  Workload workload;
  workload.end_ns = 150'000'000;
  for (const char* host : {"server", "client"}) workload.hosts[host] = {60, 4, 0, 0};
  workload.links[{"client", "server"}] = workload.links[{"server", "client"}] = {50, 20, 1460};
  uint64_t without_hits = 0;
  for (uint64_t seed = 1; seed <= kScenarios; ++seed) {
    const FaultPlan all = faults.Generate(Choices(seed), {"server", "client"}, &workload);
    // Some of them, so that there are calm times and busy ones.
    FaultPlan plan;
    RandomStream random = RandomStream(seed).Child(HashName("lines"));
    for (const FaultEntry& entry : all.entries()) {
      if (random.Below(4) == 0) plan.Add(entry);
    }
    if (plan.entries().empty()) continue;
    RecordKeeper whole(2);
    const std::vector<uint64_t> hits = RunWorld(seed, plan, &whole);
    const size_t line = random.Below(plan.entries().size());
    without_hits += hits[line] == 0 ? 1 : 0;
    CheckWithout(seed, plan, line, hits[line], whole);
    if (HasFailure()) return;
  }
  EXPECT_GT(without_hits, kScenarios / 20);
}

}  // namespace
}  // namespace tandem::sim
