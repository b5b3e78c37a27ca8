// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/sync/event.h"

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/sync/sync_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

class EventTest : public SyncTest {
 protected:
  static Task<absl::Status> WaitFor(Event* event) { co_return co_await event->Wait(); }
};

TEST_F(EventTest, SetLetsAllGoOn) {
  Event event;
  auto first = Start(WaitFor(&event));
  auto second = Start(WaitFor(&event));
  EXPECT_FALSE(first->done());
  event.Set();
  EXPECT_OK(Wait(first));
  EXPECT_OK(Wait(second));
}

TEST_F(EventTest, ASetEventDoesNotMakeWait) {
  Event event;
  event.Set();
  event.Set();
  EXPECT_TRUE(event.is_set());
  EXPECT_OK(Run(event.Wait()));
  EXPECT_OK(Run(event.Wait()));
}

TEST_F(EventTest, ResetMakesLaterCallsWait) {
  Event event;
  event.Set();
  event.Reset();
  EXPECT_FALSE(event.is_set());
  EXPECT_EQ(RunBriefly(event.Wait()), DeadlineExceededStatus());
}

TEST_F(EventTest, ResetDoesNotTakeBackWhatSetHasLetGoOn) {
  Event event;
  auto waiting = Start(WaitFor(&event));
  event.Set();
  event.Reset();
  EXPECT_OK(Wait(waiting));
}

TEST_F(EventTest, ACancelledWaitEnds) {
  Event event;
  auto waiting = Start(WaitFor(&event));
  waiting->Cancel();
  EXPECT_EQ(Wait(waiting), CancelledStatus());
}

}  // namespace
}  // namespace tandem
