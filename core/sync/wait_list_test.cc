// SPDX-License-Identifier: Apache-2.0
//
// A primitive of a program's own.

#include "tandem/core/sync/wait_list.h"

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/sync/sync_for_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

class Gate {
 public:
  class PassOperation;

  [[nodiscard]] PassOperation Pass();
  void LetOnePass();

 private:
  WaitList<PassOperation> waiters_{"gate"};
};

class [[nodiscard]] Gate::PassOperation final : public WaitingOperation<PassOperation> {
 public:
  explicit PassOperation(Gate& gate) : gate_(gate) {}
  std::string Describe() const override { return "a gate"; }
  absl::Status TakeResult() { return granted() ? absl::OkStatus() : StopStatus(); }

 private:
  bool Start() override {
    gate_.waiters_.PushBack(*this);
    return false;
  }
  Gate& gate_;
};

Gate::PassOperation Gate::Pass() { return PassOperation(*this); }

void Gate::LetOnePass() {
  waiters_.CheckShard();
  if (!waiters_.empty()) waiters_.PopFront().Grant();
}

class WaitListTest : public SyncTest {
 protected:
  static Task<absl::Status> PassThrough(Gate* gate) { co_return co_await gate->Pass(); }
};

TEST_F(WaitListTest, CallsAreServedInTheirOrderAndAStoppedOneLeavesTheLine) {
  Gate gate;
  auto first = Start(PassThrough(&gate));
  auto stopped = Start(PassThrough(&gate));
  auto last = Start(PassThrough(&gate));
  stopped->Cancel();
  EXPECT_EQ(Wait(stopped), CancelledStatus());
  gate.LetOnePass();
  EXPECT_OK(Wait(first));
  EXPECT_FALSE(last->done());
  gate.LetOnePass();
  last->Cancel();  // Too late.
  EXPECT_OK(Wait(last));
  EXPECT_EQ(RunBriefly(gate.Pass()), DeadlineExceededStatus());
}

TEST(WaitListDeathTest, TheMessageNamesTheObjectAndWhereItBelongs) {
  EXPECT_DEATH(
      {
        testing::WorldLoop loop;
        auto gate = std::make_unique<Gate>();
        auto pass = [](Gate* gate) -> Task<absl::Status> { co_return co_await gate->Pass(); };
        auto waiting = loop.Start(pass(gate.get()));
        EXPECT_OK(loop.Run(Yield()));
        EXPECT_OK(loop.Run(Yield()));
        gate.reset();
      },
      "a gate was destroyed while a call waits for it: what spawned tasks use belongs into a HostLocal");
}

}  // namespace
}  // namespace tandem
