// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/back_off.h"

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/base/instant.h"

namespace tandem::posix {
namespace {

constexpr Instant At(int64_t ns) { return Instant::FromNanoseconds(ns); }

std::vector<uint32_t> DueAt(BackOff& back_off, Instant now) {
  std::vector<uint32_t> due;
  back_off.RetryDue(now, [&due](uint32_t name) { due.push_back(name); });
  return due;
}

TEST(PausesTest, DoubleUpToTheLongest) {
  const Pauses pauses{.first_ns = 5, .longest_ns = 100};

  EXPECT_EQ(pauses.After(0), absl::Nanoseconds(5));
  EXPECT_EQ(pauses.After(1), absl::Nanoseconds(10));
  EXPECT_EQ(pauses.After(4), absl::Nanoseconds(80));
  EXPECT_EQ(pauses.After(5), absl::Nanoseconds(100));
  EXPECT_EQ(pauses.After(~uint32_t{0}), absl::Nanoseconds(100));
  EXPECT_EQ(kShortagePauses.After(1000), absl::Nanoseconds(kShortagePauses.longest_ns));
}

TEST(BackOffTest, RetriesInOrderOfTheirTimesAndNoneTooSoon) {
  BackOff back_off;
  EXPECT_TRUE(back_off.empty());
  EXPECT_EQ(back_off.earliest(), Instant::InfiniteFuture());
  back_off.Add(1, At(30));
  back_off.Add(2, At(10));
  back_off.Add(3, At(20));
  EXPECT_EQ(back_off.earliest(), At(10));

  EXPECT_EQ(DueAt(back_off, At(9)), std::vector<uint32_t>());
  EXPECT_EQ(DueAt(back_off, At(20)), (std::vector<uint32_t>{2, 3}));
  EXPECT_EQ(back_off.earliest(), At(30));
  back_off.Remove(1);
  EXPECT_TRUE(back_off.empty());
}

TEST(BackOffTest, HastensThoseThatAreMeant) {
  BackOff back_off;
  for (uint32_t name = 0; name < 4; ++name) back_off.Add(name, At(100 + name));

  back_off.Hasten([](uint32_t name) { return name % 2 != 0; });

  EXPECT_EQ(DueAt(back_off, At(0)), (std::vector<uint32_t>{1, 3}));
  EXPECT_EQ(DueAt(back_off, At(200)), (std::vector<uint32_t>{0, 2}));
}

TEST(BackOffTest, ARetryMayAddItselfAndRemoveOthers) {
  BackOff back_off;
  back_off.Add(1, At(1));
  back_off.Add(2, At(2));
  std::vector<uint32_t> tried;

  back_off.RetryDue(At(5), [&](uint32_t name) {
    tried.push_back(name);
    back_off.Add(name, At(3));  // Due already, but for the next time.
    if (name == 1) back_off.Remove(2);
  });

  EXPECT_EQ(tried, (std::vector<uint32_t>{1}));
  EXPECT_EQ(back_off.earliest(), At(3));
}

TEST(BackOffDeathTest, OneNameBacksOffOnce) {
  BackOff back_off;
  back_off.Add(1, At(1));

  EXPECT_DEATH(back_off.Add(1, At(2)), "backs off twice");
}

}  // namespace
}  // namespace tandem::posix
