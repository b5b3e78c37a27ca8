// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/io/buffer.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

TEST(BufferTest, GivesItsBlockBackWhenDestroyed) {
  HeapBufferPool pool;
  {
    Buffer buffer = pool.Copy("hello");
    EXPECT_EQ(buffer.view(), "hello");
    EXPECT_EQ(pool.outstanding(), 1u);
  }
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST(BufferTest, MoveTransfersTheBlock) {
  HeapBufferPool pool;
  Buffer first = pool.Copy("one");
  Buffer second = std::move(first);
  EXPECT_TRUE(first.empty());
  EXPECT_EQ(second.view(), "one");

  second = pool.Copy("two");
  EXPECT_EQ(pool.outstanding(), 1u);
  second.Reset();
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST(BufferTest, EmptyBufferHasNoBlock) {
  HeapBufferPool pool;
  Buffer buffer = pool.Copy("");
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.view(), "");
  EXPECT_EQ(pool.outstanding(), 0u);
  buffer.RemovePrefix(0);
}

TEST(BufferTest, RemovePrefixDropsFromTheFront) {
  HeapBufferPool pool;
  Buffer buffer = pool.Copy("abcdef");
  buffer.RemovePrefix(2);
  EXPECT_EQ(buffer.view(), "cdef");
  EXPECT_DEATH(buffer.RemovePrefix(5), "count <= size");
}

TEST(HeapBufferPoolTest, ReusesBlocksOfAClass) {
  HeapBufferPool pool;
  BufferBlock* const first = pool.Allocate(100);
  first->end = 7;
  pool.Release(first);

  BufferBlock* const second = pool.Allocate(256);
  EXPECT_EQ(second, first);
  EXPECT_EQ(second->begin, second->end);
  BufferBlock* const third = pool.Allocate(100);
  EXPECT_NE(third, second);
  pool.Release(second);
  pool.Release(third);
}

TEST(HeapBufferPoolTest, GivesAtLeastTheCapacity) {
  HeapBufferPool pool;
  for (const size_t capacity : {1u, 64u, 65u, 4096u, 65536u, 65537u, 1u << 20}) {
    BufferBlock* block = pool.Allocate(capacity);
    EXPECT_GE(block->capacity, capacity);
    block->end = block->capacity;
    std::fill_n(block->memory, block->capacity, 'x');
    pool.Release(block);
  }
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST(HeapBufferPoolDeathTest, BufferThatOutlivesThePoolIsABug) {
  EXPECT_DEATH(
      {
        Buffer buffer;
        HeapBufferPool pool;
        buffer = pool.Copy("late");
      },
      "outlived");
}

class BufferQueueTest : public ::testing::Test {
 protected:
  std::string Peek(size_t count) {
    std::string target(count, '\0');
    target.resize(queue_.Peek(absl::MakeSpan(target)));
    return target;
  }
  std::string Drain(size_t count) {
    std::string target(count, '\0');
    target.resize(queue_.Drain(absl::MakeSpan(target)));
    return target;
  }

  HeapBufferPool pool_;
  BufferQueue queue_;
};

TEST(HeapBufferPoolTest, WhatASpikeHasLeftGoesBackBitByBit) {
  constexpr size_t kSpike = 1000;
  HeapBufferPool pool;
  std::vector<Buffer> spike;
  for (size_t i = 0; i < kSpike; ++i) spike.push_back(pool.Copy("x"));
  spike.clear();
  EXPECT_EQ(pool.free_blocks(), kSpike);
  size_t before = kSpike;
  for (int period = 0; period < 2; ++period) {
    for (size_t i = 0; i < HeapBufferPool::kTrimPeriod; ++i) pool.Copy("x");
  }
  EXPECT_LE(pool.free_blocks(), before / 2 + 1);
  EXPECT_GE(pool.free_blocks(), before / 4);
  for (size_t i = 0; i < 20 * HeapBufferPool::kTrimPeriod; ++i) pool.Copy("x");
  EXPECT_EQ(pool.free_blocks(), 1u);
}

TEST(HeapBufferPoolTest, WhatIsNeededAgainAndAgainIsKept) {
  constexpr size_t kNeeded = 100;
  HeapBufferPool pool;
  std::vector<Buffer> buffers;
  for (size_t i = 0; i < 10 * HeapBufferPool::kTrimPeriod / kNeeded; ++i) {
    for (size_t j = 0; j < kNeeded; ++j) buffers.push_back(pool.Copy("x"));
    EXPECT_EQ(pool.free_blocks(), 0u);
    buffers.clear();
    EXPECT_EQ(pool.free_blocks(), kNeeded);
  }
}

TEST_F(BufferQueueTest, DrainsAcrossBuffersInOrder) {
  for (const char* text : {"abc", "defg", "h"}) queue_.Push(pool_.Copy(text));
  EXPECT_EQ(queue_.bytes(), 8u);

  EXPECT_EQ(Drain(2), "ab");
  EXPECT_EQ(Drain(3), "cde");
  EXPECT_EQ(pool_.outstanding(), 2u);
  EXPECT_EQ(queue_.bytes(), 3u);
  EXPECT_EQ(Drain(100), "fgh");

  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(queue_.bytes(), 0u);
  EXPECT_EQ(pool_.outstanding(), 0u);
}

TEST_F(BufferQueueTest, PushCompactFillsTheLastBuffer) {
  std::string all;
  for (int i = 0; i < 1000; ++i) {
    const std::string piece(static_cast<size_t>(1 + i % 7), static_cast<char>('a' + i % 26));
    all += piece;
    queue_.PushCompact(pool_.Copy(piece));
    EXPECT_EQ(queue_.bytes(), all.size());
  }
  EXPECT_LE(pool_.outstanding(), 1 + all.size() / 32);  // Blocks of 64 bytes.
  EXPECT_EQ(Peek(all.size()), all);
  EXPECT_EQ(Drain(100) + Drain(all.size()), all);
}

TEST_F(BufferQueueTest, PushCompactLeavesWhatDoesNotFitInItsBuffer) {
  queue_.PushCompact(pool_.Copy(std::string(60, 'a')));
  queue_.PushCompact(pool_.Copy("bcdef"));
  EXPECT_EQ(pool_.outstanding(), 2u);
  EXPECT_EQ(queue_.Pop().view(), std::string(60, 'a'));
  EXPECT_EQ(queue_.Pop().view(), "bcdef");
}

TEST_F(BufferQueueTest, DrainIntoNothingTakesNothing) {
  queue_.Push(pool_.Copy("abc"));
  EXPECT_EQ(Drain(0), "");
  EXPECT_EQ(queue_.bytes(), 3u);
}

TEST_F(BufferQueueTest, PeekConsumesNothing) {
  queue_.Push(pool_.Copy("abc"));
  queue_.Push(pool_.Copy("def"));
  EXPECT_EQ(Peek(4), "abcd");
  EXPECT_EQ(Peek(100), "abcdef");
  EXPECT_EQ(queue_.bytes(), 6u);
}

TEST_F(BufferQueueTest, PushFrontPutsBytesBeforeAllOthers) {
  queue_.PushFront(pool_.Copy("c"));  // Into an empty queue.
  queue_.Push(pool_.Copy("d"));
  queue_.PushFront(pool_.Copy("ab"));
  queue_.PushCompact(pool_.Copy("e"));
  EXPECT_EQ(queue_.bytes(), 5u);
  char target[10];
  EXPECT_EQ(queue_.Drain(absl::MakeSpan(target)), 5u);
  EXPECT_EQ(absl::string_view(target, 5), "abcde");
  EXPECT_TRUE(queue_.empty());
}

TEST_F(BufferQueueTest, PopGivesTheOldestWithWhatIsLeftOfIt) {
  queue_.Push(pool_.Copy("abc"));
  queue_.Push(pool_.Copy("def"));
  Drain(1);

  EXPECT_EQ(queue_.Pop().view(), "bc");
  EXPECT_EQ(queue_.bytes(), 3u);
  EXPECT_EQ(queue_.Pop().view(), "def");
  EXPECT_TRUE(queue_.empty());
}

TEST_F(BufferQueueTest, ClearGivesEverythingBack) {
  queue_.Push(pool_.Copy("abc"));
  queue_.Push(pool_.Copy("def"));
  queue_.Clear();
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(pool_.outstanding(), 0u);
}

TEST_F(BufferQueueTest, CanBeRefilledAfterItWasEmpty) {
  queue_.Push(pool_.Copy("a"));
  Drain(1);
  queue_.Push(pool_.Copy("b"));
  EXPECT_EQ(Drain(1), "b");
}

}  // namespace
}  // namespace tandem
