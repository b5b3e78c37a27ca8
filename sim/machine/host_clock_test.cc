// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/machine/host_clock.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace tandem::sim {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(HostClockTest, AtFirstItAgreesWithTheWorld) {
  const HostClock clock;
  EXPECT_EQ(clock.MonotonicNs(5), 5);
  EXPECT_EQ(clock.WallNs(5), 5);
  EXPECT_EQ(clock.TimeOf(7), 7);
}

TEST(HostClockTest, AFastClockGainsAndKeepsIt) {
  HostClock clock;
  clock.SetRate(kSecond, 100'000);
  EXPECT_EQ(clock.MonotonicNs(2 * kSecond), 2 * kSecond + kSecond / 10);
  clock.SetRate(2 * kSecond, 0);
  EXPECT_EQ(clock.MonotonicNs(9 * kSecond), 9 * kSecond + kSecond / 10);
  EXPECT_EQ(clock.WallNs(9 * kSecond), 9 * kSecond + kSecond / 10);
}

TEST(HostClockTest, TheTimeOfAReadingIsTheFirstAtWhichItShows) {
  for (const int64_t rate : {-900'000, -100'000, -7, 0, 1, 333, 100'000, 900'000}) {
    HostClock clock;
    clock.Boot(0, 12'345);
    clock.SetRate(3 * kSecond, rate);
    for (int64_t reading = clock.MonotonicNs(3 * kSecond) + 1; reading < 100 * kSecond; reading = reading * 3 / 2) {
      const int64_t time = clock.TimeOf(reading);
      EXPECT_GE(clock.MonotonicNs(time), reading) << rate;
      EXPECT_LT(clock.MonotonicNs(time - 1), reading) << rate;
    }
  }
}

TEST(HostClockTest, TheMonotonicClockNeverGoesBack) {
  HostClock clock;
  clock.SetRate(10, -900'000);
  for (int64_t now = 10; now < 1000; ++now) EXPECT_GE(clock.MonotonicNs(now + 1), clock.MonotonicNs(now));
}

TEST(HostClockTest, ABootSetsTheMonotonicClockAlone) {
  HostClock clock;
  clock.SetRate(0, 500'000);
  clock.Boot(kSecond, 7);
  EXPECT_EQ(clock.MonotonicNs(kSecond), 7);
  EXPECT_EQ(clock.WallNs(kSecond), kSecond * 3 / 2);
}

TEST(HostClockTest, AFrozenWallClockIsRightAgainAtTheEnd) {
  HostClock clock;
  clock.set_wall_offset_ns(5);
  clock.set_fault_offset_ns(10);
  clock.SetFrozen(100, true);
  EXPECT_EQ(clock.WallNs(200), 115);
  EXPECT_EQ(clock.MonotonicNs(200), 200);
  clock.SetFrozen(300, false);
  EXPECT_EQ(clock.WallNs(300), 315);
}

}  // namespace
}  // namespace tandem::sim
