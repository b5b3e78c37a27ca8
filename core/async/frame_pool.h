// SPDX-License-Identifier: Apache-2.0
//
// Where coroutine frames live: per-thread free lists in classes of 64 bytes, so that a call that suspends costs no
// malloc in steady state. Under AddressSanitizer frames are plain heap memory, so that a use after free is reported.

#ifndef TANDEM_CORE_ASYNC_FRAME_POOL_H_
#define TANDEM_CORE_ASYNC_FRAME_POOL_H_

#include <cstddef>

namespace tandem::internal {

// Memory for a frame of `size` bytes, aligned as by operator new. Never null.
void* AllocateFrame(size_t size);
// Takes back what AllocateFrame(size) returned on this thread.
void FreeFrame(void* frame, size_t size);

}  // namespace tandem::internal

#endif  // TANDEM_CORE_ASYNC_FRAME_POOL_H_
