// SPDX-License-Identifier: Apache-2.0

#include "core/async/frame_pool.h"

#include <new>

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

#else

namespace {

constexpr size_t kClassBytes = 64;
constexpr size_t kLargestPooled = 4096;  // Frames beyond it are rare and long-lived: they go to the heap.

struct FreeFrameLink {
  FreeFrameLink* next;
};

// Memory that was pooled stays with the thread until the thread ends.
struct FramePool {
  FreeFrameLink* free[kLargestPooled / kClassBytes + 1] = {};

  ~FramePool() {
    for (FreeFrameLink* list : free) {
      while (list != nullptr) {
        FreeFrameLink* link = list;
        list = link->next;
        ::operator delete(link);
      }
    }
  }
};

thread_local FramePool pool;

size_t ClassOf(size_t size) { return (size + kClassBytes - 1) / kClassBytes; }

}  // namespace

void* AllocateFrame(size_t size) {
  if (size > kLargestPooled) return ::operator new(size);
  const size_t index = ClassOf(size);
  if (FreeFrameLink* link = pool.free[index]; link != nullptr) {
    pool.free[index] = link->next;
    return link;
  }
  return ::operator new(index * kClassBytes);
}

void FreeFrame(void* frame, size_t size) {
  if (size > kLargestPooled) {
    ::operator delete(frame);
    return;
  }
  auto* link = static_cast<FreeFrameLink*>(frame);
  link->next = pool.free[ClassOf(size)];
  pool.free[ClassOf(size)] = link;
}

#endif

}  // namespace tandem::internal
