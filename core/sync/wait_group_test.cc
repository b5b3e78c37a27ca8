// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/wait_group.h"

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/sync/sync_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

class WaitGroupTest : public SyncTest {
 protected:
  static Task<absl::Status> WaitFor(WaitGroup* group) { co_return co_await group->Wait(); }
};

TEST_F(WaitGroupTest, NothingToDoDoesNotMakeWait) {
  WaitGroup group;
  EXPECT_OK(Run(group.Wait()));
}

TEST_F(WaitGroupTest, TheLastDoneLetsAllGoOn) {
  WaitGroup group;
  group.Add(2);
  auto first = Start(WaitFor(&group));
  auto second = Start(WaitFor(&group));
  group.Done();
  Settle();
  EXPECT_FALSE(first->done());
  EXPECT_EQ(group.pending(), 1u);

  group.Done();
  EXPECT_OK(Wait(first));
  EXPECT_OK(Wait(second));
}

TEST_F(WaitGroupTest, MayBeUsedAgain) {
  WaitGroup group;
  group.Add();
  auto waiting = Start(WaitFor(&group));
  group.Done();
  group.Add();
  EXPECT_OK(Wait(waiting));  // It was done once.
  EXPECT_EQ(RunBriefly(group.Wait()), DeadlineExceededStatus());
  group.Done();
  EXPECT_OK(Run(group.Wait()));
}

TEST_F(WaitGroupTest, ACancelledWaitEnds) {
  WaitGroup group;
  group.Add();
  auto waiting = Start(WaitFor(&group));
  waiting->Cancel();
  EXPECT_EQ(Wait(waiting), CancelledStatus());
  group.Done();
}

TEST(WaitGroupDeathTest, DoneMoreOftenThanAddedIsABug) {
  WaitGroup group;
  EXPECT_DEATH(group.Done(), "done more often than was added");
}

// Not at the Done() that comes later, to memory that is somebody else's.
TEST(WaitGroupDeathTest, DestroyingOneWithSomethingPendingIsABugThatIsNamed) {
  EXPECT_DEATH(
      {
        WaitGroup group;
        group.Add(2);
      },
      "a wait group was destroyed with 2 pending: what spawned tasks use belongs into a HostLocal, into main");
}

}  // namespace
}  // namespace tandem
