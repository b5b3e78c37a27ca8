// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/barrier.h"

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/sync/sync_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

class BarrierTest : public SyncTest {
 protected:
  static Task<absl::Status> Arrive(Barrier* barrier) { co_return co_await barrier->Arrive(); }
};

TEST_F(BarrierTest, TheLastLetsAllGoOnAgainAndAgain) {
  Barrier barrier(3);
  for (int round = 0; round < 3; ++round) {
    auto first = Start(Arrive(&barrier));
    auto second = Start(Arrive(&barrier));
    EXPECT_FALSE(first->done() || second->done());
    EXPECT_EQ(barrier.waiting(), 2u);
    EXPECT_OK(Run(barrier.Arrive()));
    EXPECT_OK(Wait(first));
    EXPECT_OK(Wait(second));
    EXPECT_EQ(barrier.waiting(), 0u);
  }
}

TEST_F(BarrierTest, ACallThatIsStoppedHasNotCome) {
  Barrier barrier(2);
  auto stopped = Start(Arrive(&barrier));
  stopped->Cancel();
  EXPECT_EQ(Wait(stopped), CancelledStatus());
  EXPECT_EQ(barrier.waiting(), 0u);
  EXPECT_EQ(RunBriefly(barrier.Arrive()), DeadlineExceededStatus());
  auto first = Start(Arrive(&barrier));
  EXPECT_FALSE(first->done());
  EXPECT_OK(Run(barrier.Arrive()));
  EXPECT_OK(Wait(first));
}

TEST_F(BarrierTest, OfOneNeverWaits) {
  Barrier barrier(1);
  EXPECT_OK(Run(barrier.Arrive()));
  EXPECT_OK(Run(barrier.Arrive()));
}

TEST(BarrierDeathTest, ForNobodyIsABug) { EXPECT_DEATH(Barrier(0), "a barrier for nobody"); }

}  // namespace
}  // namespace tandem
