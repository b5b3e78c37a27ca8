// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/frame_pool.h"

#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/testing/malloc_count.h"

namespace tandem::internal {
namespace {

constexpr size_t kSize = 512;
constexpr size_t kKeptFrames = kKeptFrameBytes / kSize;

std::vector<void*> Allocate(size_t count) {
  std::vector<void*> frames;
  for (size_t i = 0; i < count; ++i) frames.push_back(AllocateFrame(kSize));
  return frames;
}

void Free(std::vector<void*> frames) {
  for (void* frame : frames) FreeFrame(frame, kSize);
}

// Each test has a thread of its own, and so a pool of its own.
void OnAThread(void (*test)()) { std::thread(test).join(); }

TEST(FramePoolTest, WhatComesAndGoesCostsNoMalloc) {
  if (!testing::MallocCount::kCounts) GTEST_SKIP() << "sanitizers allocate on their own";
  OnAThread([] {
    Free(Allocate(kKeptFrames));
    std::vector<void*> frames(kKeptFrames);
    const uint64_t before = testing::MallocCount::ThisThread();
    for (int round = 0; round < 10; ++round) {
      for (void*& frame : frames) frame = AllocateFrame(kSize);
      for (void* frame : frames) FreeFrame(frame, kSize);
    }
    EXPECT_EQ(testing::MallocCount::ThisThread(), before);
  });
}

TEST(FramePoolTest, APeakDoesNotStay) {
  OnAThread([] {
    Free(Allocate(100'000));
    EXPECT_LE(PooledFrameBytes(), kKeptFrameBytes);
  });
}

TEST(FramePoolTest, KeepsAtMostAsMuchAsIsInUse) {
  OnAThread([] {
    const std::vector<void*> in_use = Allocate(10'000);
    Free(Allocate(100'000));
    EXPECT_LE(PooledFrameBytes(), 10'000 * kSize + kKeptFrameBytes);
    Free(in_use);
    EXPECT_LE(PooledFrameBytes(), kKeptFrameBytes);
  });
}

TEST(FramePoolTest, FramesOfAnotherThreadDoNotPileUp) {
  OnAThread([] {
    for (int round = 0; round < 20; ++round) {
      std::vector<void*> frames;
      std::thread([&frames] { frames = Allocate(5'000); }).join();
      Free(frames);
      EXPECT_LE(PooledFrameBytes(), kKeptFrameBytes) << "after round " << round;
    }
  });
}

Task<int> Job() { co_return 1; }

// Tasks are made on one thread and end on another: the natural bridge to a shard.
TEST(FramePoolTest, TasksOfAnotherThreadDoNotPileUp) {
  OnAThread([] {
    for (int round = 0; round < 20; ++round) {
      std::vector<Task<int>> tasks;
      std::thread([&tasks] {
        for (int i = 0; i < 5'000; ++i) tasks.push_back(Job());
      }).join();
      tasks.clear();
      EXPECT_LE(PooledFrameBytes(), kKeptFrameBytes) << "after round " << round;
    }
  });
}

}  // namespace
}  // namespace tandem::internal
