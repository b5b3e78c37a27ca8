// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/frame_pool.h"

#include <new>
#include <utility>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TANDEM_FRAMES_ON_HEAP 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TANDEM_FRAMES_ON_HEAP 1
#endif

namespace tandem::internal {

#ifdef TANDEM_FRAMES_ON_HEAP

void* AllocateFrame(size_t size) { return ::operator new(size); }
void FreeFrame(void* frame, size_t) { ::operator delete(frame); }
size_t PooledFrameBytes() { return 0; }

#else

namespace {

constexpr size_t kClassBytes = 64;
constexpr size_t kLargestPooled = 4096;  // Frames beyond it are rare and long-lived: they go to the heap.

struct FreeFrameLink {
  FreeFrameLink* next;
};

// The free frames of one size.
struct FrameList {
  FreeFrameLink* free = nullptr;
  size_t free_count = 0;
  size_t in_use = 0;  // Made on this thread and not freed on it; 0 when more were freed than made.

  void FreeOne() {
    --free_count;
    ::operator delete(std::exchange(free, free->next));
  }
};

struct FramePool {
  FrameList lists[kLargestPooled / kClassBytes + 1];

  ~FramePool() {
    for (FrameList& list : lists) {
      while (list.free != nullptr) list.FreeOne();
    }
  }
};

thread_local FramePool pool;

size_t ClassOf(size_t size) { return (size + kClassBytes - 1) / kClassBytes; }

}  // namespace

void* AllocateFrame(size_t size) {
  if (size > kLargestPooled) return ::operator new(size);
  const size_t index = ClassOf(size);
  FrameList& list = pool.lists[index];
  ++list.in_use;
  if (list.free == nullptr) return ::operator new(index * kClassBytes);
  --list.free_count;
  return std::exchange(list.free, list.free->next);
}

void FreeFrame(void* frame, size_t size) {
  if (size > kLargestPooled) {
    ::operator delete(frame);
    return;
  }
  const size_t index = ClassOf(size);
  FrameList& list = pool.lists[index];
  if (list.in_use > 0) --list.in_use;
  auto* link = static_cast<FreeFrameLink*>(frame);
  link->next = list.free;
  list.free = link;
  ++list.free_count;
  // Each free adds one and lowers the limit by one: two go.
  for (int i = 0; i < 2 && list.free_count > list.in_use; ++i) {
    if ((list.free_count - list.in_use) * index * kClassBytes <= kKeptFrameBytes) break;
    list.FreeOne();
  }
}

size_t PooledFrameBytes() {
  size_t bytes = 0;
  for (size_t index = 1; index <= kLargestPooled / kClassBytes; ++index) {
    bytes += pool.lists[index].free_count * index * kClassBytes;
  }
  return bytes;
}

#endif

}  // namespace tandem::internal
