// SPDX-License-Identifier: Apache-2.0
//
// For every kind of fault a program that must come to grief by it, and one that must get along with it. A kind that is
// added to sim/faults/kinds.inc has no row here, and this does not compile.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/faults/matrix/programs.h"
#include "tandem/sim/faults/workload.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

constexpr uint64_t kSeeds = 20;
constexpr absl::Duration kLimit = absl::Minutes(10);

struct Row {
  FaultKind kind;
  Setup must_fail;
  Setup must_pass;
};

void PrintTo(const Row& row, std::ostream* out) { *out << FaultKindName(row.kind); }

constexpr auto kRows = std::to_array<Row>({
    {FaultKind::kLatency, &AskHastily, &AskPatiently},
    {FaultKind::kLatencyConstant, &AskHastily, &AskPatiently},
    {FaultKind::kLatencyUniform, &AskHastily, &AskPatiently},
    {FaultKind::kLatencyExponential, &AskHastily, &AskPatiently},
    {FaultKind::kLatencyBimodal, &AskHastily, &AskPatiently},
    {FaultKind::kLoss, &AskHastily, &AskPatiently},
    {FaultKind::kLossBurst, &AskHastily, &AskPatiently},
    {FaultKind::kCorruption, &AskHastily, &AskPatiently},
    {FaultKind::kPartition, &AskHastily, &AskPatiently},
    {FaultKind::kPartitionOneWay, &AskHastily, &AskPatiently},
    {FaultKind::kPartitionRing, &AskHastily, &AskPatiently},
    {FaultKind::kPartitionBridge, &AskHastily, &AskPatiently},
    {FaultKind::kPartitionChain, &AskHastily, &AskPatiently},
    {FaultKind::kSwizzlePartition, &AskHastily, &AskPatiently},
    {FaultKind::kClog, &AskHastily, &AskPatiently},
    {FaultKind::kSwizzleClog, &AskHastily, &AskPatiently},
    {FaultKind::kBandwidth, &AskHastily, &AskPatiently},
    {FaultKind::kQueueLimit, &AskHastily, &AskPatiently},
    {FaultKind::kMtu, &AskHastily, &AskPatiently},
    {FaultKind::kSegmentDuplicate, &ExpectDatagramsInOrder, &SortDatagrams},
    {FaultKind::kSegmentReorder, &ExpectDatagramsInOrder, &SortDatagrams},
    {FaultKind::kDuplicate, &ExpectDatagramsInOrder, &SortDatagrams},
    {FaultKind::kReorder, &ExpectDatagramsInOrder, &SortDatagrams},
    {FaultKind::kShortReads, &ReceiveAtOnce, &AskPatiently},
    {FaultKind::kShortWrites, &SendAtOnce, &AskPatiently},
    {FaultKind::kStalledWindow, &AskMuchHastily, &AskMuchPatiently},
    {FaultKind::kJitter, &AskHastily, &AskPatiently},
    {FaultKind::kSlowProcessor, &AskHastily, &AskPatiently},
    {FaultKind::kLateTimers, &AskHastily, &AskPatiently},
    {FaultKind::kReset, &AskHastily, &AskPatiently},
    {FaultKind::kHalfOpen, &AskHastily, &AskPatiently},
    {FaultKind::kConnectRefused, &AskHastily, &AskPatiently},
    {FaultKind::kConnectTimedOut, &AskHastily, &AskPatiently},
    {FaultKind::kAcceptEmfile, &AskHastily, &AskPatiently},
    {FaultKind::kAcceptEnfile, &AskHastily, &AskPatiently},
    {FaultKind::kAcceptEnobufs, &AskHastily, &AskPatiently},
    {FaultKind::kAcceptAborted, &AskHastily, &AskPatiently},
    {FaultKind::kLookupFailed, &TrustNames, &LookNamesUpAgain},
    {FaultKind::kLookupMissing, &TrustNames, &LookNamesUpAgain},
    {FaultKind::kLookupSlow, &TrustNames, &LookNamesUpAgain},
    {FaultKind::kLookupChanging, &TrustNames, &LookNamesUpAgain},
    {FaultKind::kLookupStale, &TrustMovedName, &LookMovedNameUpAgain},
    {FaultKind::kWorkSlow, &ExpectWorkSoon, &WaitForWork},
    {FaultKind::kWorkStuck, &ExpectWorkSoon, &WaitForWork},
    {FaultKind::kCrash, &AskHastily, &AskPatiently},
    {FaultKind::kKill, &AskHastily, &AskPatiently},
    {FaultKind::kTerminate, &AskHastily, &AskPatiently},
    {FaultKind::kPause, &AskHastily, &AskPatiently},
    {FaultKind::kClockOffset, &CompareClocks, &MeasureDurations},
    {FaultKind::kClockStep, &CompareClocks, &MeasureDurations},
    {FaultKind::kClockStepBack, &CompareClocks, &MeasureDurations},
    {FaultKind::kClockFrozen, &CompareClocks, &MeasureDurations},
    {FaultKind::kClockFast, &CompareClocks, &MeasureDurations},
    {FaultKind::kClockSlow, &CompareClocks, &MeasureDurations},
    {FaultKind::kBootOffset, &CompareClocks, &MeasureDurations},
});

constexpr bool HasARowForEachKind() {
  if (kRows.size() != kFaultKindCount) return false;
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i].kind != static_cast<FaultKind>(i) || kRows[i].must_fail == kRows[i].must_pass) return false;
  }
  return true;
}
static_assert(HasARowForEachKind(), "each kind needs two programs, in the order of sim/faults/kinds.inc");

// What `setup` does without faults; it has to go well.
Workload Rehearse(Setup setup, uint64_t seed) {
  World world(WorldOptions().set_seed(seed));
  setup(world);
  const absl::Status status = world.RunClients(kLimit);
  EXPECT_TRUE(status.ok()) << "without faults, seed " << seed << ": " << status;
  return world.CountWork();
}

// Runs `setup` under faults of this kind alone, aimed at what it does. They always hit.
absl::Status RunUnder(FaultKind kind, Setup setup, uint64_t seed) {
  const Workload workload = Rehearse(setup, seed);
  EXPECT_TRUE(Faults::Only(kind).Applicable(workload).Has(kind));
  World world(WorldOptions().set_seed(seed));
  setup(world);
  std::vector<std::string> names;
  for (const auto& host : world.hosts()) names.push_back(host->name());
  world.Inject(Faults::Only(kind).Generate(world.choices(), names, &workload));
  const absl::Status status = world.RunClients(kLimit);
  uint64_t hits = 0;
  for (size_t i = 0; i < world.fault_plan().entries().size(); ++i) hits += world.fault_hits(i);
  EXPECT_GT(hits, 0u) << "seed " << seed << ", nothing was hit by\n" << world.fault_plan().ToString();
  return status;
}

class FaultMatrixTest : public ::testing::TestWithParam<Row> {};

TEST_P(FaultMatrixTest, BreaksWhoDoesNotExpectIt) {
  int failed = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) failed += !RunUnder(GetParam().kind, GetParam().must_fail, seed).ok();
  EXPECT_GT(failed, 0) << "in none of " << kSeeds << " seeds";
}

TEST_P(FaultMatrixTest, IsToleratedByWhoDoes) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const absl::Status status = RunUnder(GetParam().kind, GetParam().must_pass, seed);
    EXPECT_TRUE(status.ok()) << "seed " << seed << ": " << status;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, FaultMatrixTest, ::testing::ValuesIn(kRows), [](const auto& info) {
  std::string name(FaultKindName(info.param.kind));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace tandem::sim
