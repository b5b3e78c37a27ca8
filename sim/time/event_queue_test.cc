// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/time/event_queue.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tandem/core/base/random.h"

namespace tandem::sim {
namespace {

class Recorder final : public Event {
 public:
  Recorder(std::vector<int>& log, int name) : log_(log), name_(name) {}
  ~Recorder() override = default;

 private:
  void Run() override { log_.push_back(name_); }
  std::vector<int>& log_;
  const int name_;
};

TEST(EventQueueTest, RunsByTimeThenByOrderOfScheduling) {
  EventQueue queue;
  std::vector<int> log;
  Recorder a(log, 1), b(log, 2), c(log, 3), d(log, 4);

  queue.Schedule(a, 20);
  queue.Schedule(b, 10);
  queue.Schedule(c, 20);
  queue.Schedule(d, 10);
  while (!queue.empty()) queue.RunNext();

  EXPECT_EQ(log, (std::vector<int>{2, 4, 1, 3}));
  EXPECT_EQ(queue.now_ns(), 20);
  EXPECT_EQ(queue.executed(), 4u);
  EXPECT_EQ(queue.executed_at_this_instant(), 2u);
}

TEST(EventQueueTest, WhatIsPastRunsNowAndAfterWhatWasThere) {
  EventQueue queue;
  std::vector<int> log;
  Recorder a(log, 1), b(log, 2);
  queue.AdvanceTo(100);

  queue.Schedule(a, 100);
  queue.Schedule(b, 0);
  while (!queue.empty()) queue.RunNext();

  EXPECT_EQ(log, (std::vector<int>{1, 2}));
  EXPECT_EQ(queue.now_ns(), 100);
}

TEST(EventQueueTest, ACancelledEventDoesNotRun) {
  EventQueue queue;
  std::vector<int> log;
  Recorder a(log, 1), b(log, 2);
  queue.Schedule(a, 10);
  queue.Schedule(b, 10);

  queue.Cancel(a);
  queue.Cancel(a);
  while (!queue.empty()) queue.RunNext();

  EXPECT_EQ(log, (std::vector<int>{2}));
  EXPECT_FALSE(a.scheduled());
}

TEST(EventQueueTest, ReschedulingMovesAnEventBothWays) {
  EventQueue queue;
  std::vector<int> log;
  Recorder a(log, 1), b(log, 2), c(log, 3);
  queue.Schedule(a, 10);
  queue.Schedule(b, 20);
  queue.Schedule(c, 30);

  queue.Reschedule(a, 40);
  queue.Reschedule(c, 5);
  EXPECT_EQ(c.time_ns(), 5);
  while (!queue.empty()) queue.RunNext();

  EXPECT_EQ(log, (std::vector<int>{3, 2, 1}));
}

TEST(EventQueueTest, AgreesWithASortedListUnderRandomUse) {
  constexpr std::pair<int64_t, uint64_t> kNotScheduled = {-1, 0};
  EventQueue queue;
  std::vector<int> log;
  std::vector<std::unique_ptr<Recorder>> events;
  std::vector<std::pair<int64_t, uint64_t>> expected(200, kNotScheduled);  // Time and sequence.
  for (int i = 0; i < 200; ++i) events.push_back(std::make_unique<Recorder>(log, i));
  RandomStream random(7);
  uint64_t sequence = 0;
  for (int step = 0; step < 20000; ++step) {
    const size_t i = random.Below(events.size());
    switch (random.Below(4)) {
      case 0:
        queue.Cancel(*events[i]);
        expected[i] = kNotScheduled;
        break;
      case 1:
        if (!queue.empty()) {
          size_t best = events.size();
          for (size_t k = 0; k < events.size(); ++k) {
            if (expected[k] != kNotScheduled && (best == events.size() || expected[k] < expected[best])) best = k;
          }
          expected[best] = kNotScheduled;
          queue.RunNext();
          ASSERT_EQ(log.back(), static_cast<int>(best));
        }
        break;
      default:
        queue.Reschedule(*events[i], queue.now_ns() + static_cast<int64_t>(random.Below(50)));
        expected[i] = {events[i]->time_ns(), ++sequence};
        break;
    }
  }
  for (const auto& event : events) queue.Cancel(*event);
}

TEST(EventQueueDeathTest, AnEventIsScheduledOnce) {
  EventQueue queue;
  std::vector<int> log;
  Recorder a(log, 1);
  queue.Schedule(a, 10);

  EXPECT_DEATH(queue.Schedule(a, 20), "scheduled twice");

  queue.Cancel(a);
}

}  // namespace
}  // namespace tandem::sim
