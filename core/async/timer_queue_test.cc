// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/timer_queue.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/random.h"

namespace tandem {
namespace {

constexpr Instant At(int64_t ns) { return Instant::FromNanoseconds(ns); }

class TestTimer final : public Timer {
 public:
  explicit TestTimer(std::function<void()> action) : action_(std::move(action)) {}

 private:
  void OnTimer() override { action_(); }
  std::function<void()> action_;
};

TEST(TimerQueueTest, FiresInOrderOfDeadlineThenOfArming) {
  TimerQueue queue;
  std::vector<int> fired;
  TestTimer a([&] { fired.push_back(1); }), b([&] { fired.push_back(2); }), c([&] { fired.push_back(3); });
  queue.Arm(b, At(20));
  queue.Arm(a, At(10));
  queue.Arm(c, At(20));
  EXPECT_EQ(queue.next_deadline(), At(10));

  queue.FireUntil(At(9));
  EXPECT_TRUE(fired.empty());
  queue.FireUntil(At(20));

  EXPECT_EQ(fired, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(queue.size(), 0u);
  EXPECT_FALSE(a.armed());
}

TEST(TimerQueueTest, AnObserverSeesWhatIsArmedAndWhatIsDue) {
  class Observer final : public TimerObserver {
   public:
    void OnArm(Instant deadline) override { seen.push_back(deadline.nanoseconds()); }
    void OnFire(Instant deadline) override { seen.push_back(-deadline.nanoseconds()); }
    std::vector<int64_t> seen;
  };
  Observer observer;
  TimerQueue queue;
  queue.set_observer(&observer);
  TestTimer a([] {}), b([] {}), c([] {});
  queue.Arm(b, At(20));
  queue.Arm(a, At(10));
  queue.Arm(c, At(15));
  queue.Disarm(c);
  queue.FireUntil(At(20));

  EXPECT_EQ(observer.seen, (std::vector<int64_t>{20, 10, 15, -10, -20}));
}

TEST(TimerQueueTest, IsNeverEarly) {
  TimerQueue queue;
  int fired = 0;
  TestTimer timer([&] { ++fired; });
  queue.Arm(timer, At(100));
  queue.FireUntil(At(99));
  EXPECT_EQ(fired, 0);
  queue.FireUntil(At(100));
  EXPECT_EQ(fired, 1);
}

TEST(TimerQueueTest, DisarmedTimerDoesNotFire) {
  TimerQueue queue;
  TestTimer timer([] { FAIL(); });
  queue.Arm(timer, At(5));
  queue.Disarm(timer);
  queue.Disarm(timer);
  queue.FireUntil(At(10));
  EXPECT_EQ(queue.next_deadline(), Instant::InfiniteFuture());
}

TEST(TimerQueueTest, TimerArmedWhileFiringWaitsForTheNextRound) {
  TimerQueue queue;
  int fired = 0;
  TestTimer* self = nullptr;
  TestTimer timer([&] {
    ++fired;
    queue.Arm(*self, At(1));
  });
  self = &timer;
  queue.Arm(timer, At(1));

  queue.FireUntil(At(10));
  EXPECT_EQ(fired, 1);
  queue.FireUntil(At(10));
  EXPECT_EQ(fired, 2);
  queue.Disarm(timer);
}

TEST(TimerQueueTest, TimerMayDisarmAnotherThatIsDue) {
  TimerQueue queue;
  TestTimer second([] { FAIL(); });
  TestTimer first([&] { queue.Disarm(second); });
  queue.Arm(first, At(1));
  queue.Arm(second, At(1));
  queue.FireUntil(At(1));
  EXPECT_EQ(queue.size(), 0u);
}

TEST(TimerQueueTest, AgreesWithASortedSetUnderRandomUse) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    RandomStream random(seed);
    TimerQueue queue;
    std::set<std::pair<int64_t, int>> expected;  // Deadline and number; numbers are armed in order of use.
    std::vector<int> fired;
    std::vector<std::unique_ptr<TestTimer>> timers;
    int64_t now = 0;
    for (int step = 0; step < 400; ++step) {
      const uint64_t choice = random.Below(10);
      if (choice < 6) {
        const int number = static_cast<int>(timers.size());
        timers.push_back(std::make_unique<TestTimer>([&fired, number] { fired.push_back(number); }));
        const int64_t deadline = now + random.Between(1, 50);
        queue.Arm(*timers.back(), At(deadline));
        expected.emplace(deadline, number);
      } else if (choice < 8 && !timers.empty()) {
        const auto number = static_cast<int>(random.Below(timers.size()));
        if (timers[number]->armed()) expected.erase({timers[number]->deadline().nanoseconds(), number});
        queue.Disarm(*timers[number]);
      } else {
        now += random.Between(0, 20);
        fired.clear();
        queue.FireUntil(At(now));
        std::vector<int> due;
        while (!expected.empty() && expected.begin()->first <= now) {
          due.push_back(expected.begin()->second);
          expected.erase(expected.begin());
        }
        ASSERT_EQ(fired, due) << "seed " << seed;
      }
      ASSERT_EQ(queue.size(), expected.size());
      ASSERT_EQ(queue.next_deadline(), expected.empty() ? Instant::InfiniteFuture() : At(expected.begin()->first));
    }
    for (auto& timer : timers) queue.Disarm(*timer);
  }
}

}  // namespace
}  // namespace tandem
