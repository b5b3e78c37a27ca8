// SPDX-License-Identifier: Apache-2.0
//
// Where coroutine frames live: per-thread free lists in classes of 64 bytes, so that a call that suspends costs no
// malloc in steady state.
//
// A list keeps at most as many frames as the thread has in use of that class, and kKeptFrameBytes more; the rest goes
// back to the heap. So a peak does not stay, and a frame may be freed on another thread than it was made on: what one
// thread makes and another frees piles up nowhere.
//
// Under AddressSanitizer frames are plain heap memory, so that a use after free is reported.

#ifndef TANDEM_CORE_ASYNC_FRAME_POOL_H_
#define TANDEM_CORE_ASYNC_FRAME_POOL_H_

#include <cstddef>

namespace tandem::internal {

// Of each class. Enough for what comes and goes within a turn: 64 frames of the largest class, 4096 of the smallest.
inline constexpr size_t kKeptFrameBytes = 256 * 1024;

// Memory for a frame of `size` bytes, aligned as by operator new. Never null.
void* AllocateFrame(size_t size);
// Takes back what AllocateFrame(size) returned.
void FreeFrame(void* frame, size_t size);
// The memory in the free lists of this thread.
size_t PooledFrameBytes();

}  // namespace tandem::internal

#endif  // TANDEM_CORE_ASYNC_FRAME_POOL_H_
