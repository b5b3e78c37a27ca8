// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/memory_trimmer.h"

#include <cstddef>

#include "gtest/gtest.h"

namespace tandem::kv {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

int trims = 0;

class MemoryTrimmerTest : public testing::Test {
 protected:
  MemoryTrimmerTest() { trims = 0; }

  MemoryTrimmer trimmer_{[] { ++trims; }};
};

TEST_F(MemoryTrimmerTest, OfSmallEntriesFewMustBeLeft) {
  trimmer_.NoteSize(1024 * kMiB, 4 * kMiB);  // 16 on a page.
  trimmer_.NoteSize(17 * kMiB, kMiB / 16);
  EXPECT_EQ(trims, 0);

  trimmer_.NoteSize(16 * kMiB, kMiB / 16);

  EXPECT_EQ(trims, 1);
}

TEST_F(MemoryTrimmerTest, OfLargeEntriesAQuarterMayBeLeft) {
  trimmer_.NoteSize(1024 * kMiB, 1024);
  trimmer_.NoteSize(257 * kMiB, 257);
  EXPECT_EQ(trims, 0);

  trimmer_.NoteSize(256 * kMiB, 256);

  EXPECT_EQ(trims, 1);
}

TEST_F(MemoryTrimmerTest, DataThatComeAndGoAtOneSizeCostNothing) {
  for (int i = 0; i < 1000; ++i) {
    trimmer_.NoteSize(1000 * kMiB, 1000);
    trimmer_.NoteSize(500 * kMiB, 500);
  }

  EXPECT_EQ(trims, 0);
}

TEST_F(MemoryTrimmerTest, LittleDataCostNothing) {
  trimmer_.NoteSize(16 * kMiB - 1, 1000);
  trimmer_.NoteSize(0, 0);

  EXPECT_EQ(trims, 0);
}

// However many steps it takes.
TEST_F(MemoryTrimmerTest, AStoreThatIsEmptiedCostsAFewTrims) {
  for (size_t bytes = 1000 * kMiB; bytes > 0; bytes -= kMiB / 4) trimmer_.NoteSize(bytes, bytes / 100'000);
  trimmer_.NoteSize(0, 0);

  EXPECT_GE(trims, 2);
  EXPECT_LE(trims, 5);
}

TEST_F(MemoryTrimmerTest, DataThatGrowAgainAreWatchedAgain) {
  for (int i = 0; i < 2; ++i) {
    trimmer_.NoteSize(100 * kMiB, 1'000'000);
    trimmer_.NoteSize(0, 0);
  }

  EXPECT_EQ(trims, 2);
}

}  // namespace
}  // namespace tandem::kv
