// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/schedule.h"

#include <cstdint>
#include <map>
#include <memory>
#include <set>

#include "gtest/gtest.h"
#include "tandem/core/async/executor.h"

namespace tandem::sim {
namespace {

TaskContext Context(uint64_t path, uint64_t resumes) {
  TaskContext context;
  context.path = path;
  context.resumes = resumes;
  return context;
}

TEST(ScheduleTest, SeedsChooseEveryKind) {
  std::map<ScheduleKind, int> count;
  for (uint64_t seed = 0; seed < 1000; ++seed) ++count[ChooseSchedule(seed)];

  EXPECT_GT(count[ScheduleKind::kFifo], 150);
  EXPECT_GT(count[ScheduleKind::kRandom], 250);
  EXPECT_GT(count[ScheduleKind::kPct], 250);
}

TEST(ScheduleTest, FifoHasNoPolicy) { EXPECT_EQ(MakeSchedule(ScheduleKind::kFifo, 1), nullptr); }

TEST(ScheduleTest, RandomRanksDependOnSeedPathAndResumesOnly) {
  std::unique_ptr<SchedulePolicy> one = MakeSchedule(ScheduleKind::kRandom, 1);
  std::unique_ptr<SchedulePolicy> again = MakeSchedule(ScheduleKind::kRandom, 1);
  std::unique_ptr<SchedulePolicy> two = MakeSchedule(ScheduleKind::kRandom, 2);

  EXPECT_EQ(one->Rank(Context(7, 3)), again->Rank(Context(7, 3)));
  EXPECT_NE(one->Rank(Context(7, 3)), two->Rank(Context(7, 3)));
  EXPECT_NE(one->Rank(Context(7, 3)), one->Rank(Context(8, 3)));
  EXPECT_NE(one->Rank(Context(7, 3)), one->Rank(Context(7, 4)));
}

TEST(ScheduleTest, PctKeepsAPriorityForAWhile) {
  std::unique_ptr<SchedulePolicy> pct = MakeSchedule(ScheduleKind::kPct, 1);
  for (uint64_t path = 0; path < 100; ++path) {
    std::set<uint64_t> ranks;
    for (uint64_t resumes = 0; resumes < 4096; ++resumes) ranks.insert(pct->Rank(Context(path, resumes)));

    EXPECT_GE(ranks.size(), 4096u / 1024);
    EXPECT_LE(ranks.size(), 4096u / 4);
  }
}

}  // namespace
}  // namespace tandem::sim
