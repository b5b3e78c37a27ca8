// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_faults.h"

#include <cstddef>
#include <cstdint>

#include "gtest/gtest.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/testing/runner.h"

namespace tandem::testing {
namespace {

using sim::FaultKind;

FaultCounts Asked(FaultKind kind, uint32_t entries, uint64_t hits) {
  FaultCounts counts;
  const auto index = static_cast<size_t>(kind);
  counts.asked = uint64_t{1} << index;
  counts.entries[index] = entries;
  counts.hits[index] = hits;
  return counts;
}

TEST(RunnerFaultsTest, AKindThatIsAskedForInManySeedsAndNeverHitsIsNamed) {
  FaultTable table;
  for (int seed = 0; seed < 99; ++seed) table.Add(Asked(FaultKind::kLoss, 2, 0));
  EXPECT_EQ(table.KindsWithoutHit(), "") << "so few seeds may miss it";
  table.Add(Asked(FaultKind::kLoss, 2, 0));
  EXPECT_EQ(table.KindsWithoutHit(), "loss");
  for (int seed = 0; seed < 100; ++seed) table.Add(Asked(FaultKind::kLatency, 0, 0));
  EXPECT_EQ(table.KindsWithoutHit(), "latency, loss") << "nor was it injected";
  table.Add(Asked(FaultKind::kLoss, 1, 3));
  EXPECT_EQ(table.KindsWithoutHit(), "latency");
}

TEST(RunnerFaultsTest, TheTableCountsEntriesAndTheSeedsThatTheyHit) {
  FaultTable table;
  EXPECT_EQ(table.ToString(), "");
  table.Add(Asked(FaultKind::kLoss, 2, 7));
  table.Add(Asked(FaultKind::kLoss, 1, 0));
  EXPECT_EQ(table.ToString(), "[sim] faults:\n[sim]   loss                     3 entries, hit in 1 of 2 seeds\n");
  table.Add(Asked(FaultKind::kLatencyExponential, 1, 1));
  EXPECT_EQ(table.ToString(),
            "[sim] faults:\n[sim]   latency-exponential       1 entries, hit in 1 of 3 seeds\n"
            "[sim]   loss                      3 entries, hit in 1 of 3 seeds\n")
      << "the longest name sets the width";
}

}  // namespace
}  // namespace tandem::testing
