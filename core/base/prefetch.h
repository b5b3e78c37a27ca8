// SPDX-License-Identifier: Apache-2.0
//
// Asks for memory ahead of its use, where many small objects are used in turn and none is in the cache.

#ifndef TANDEM_CORE_BASE_PREFETCH_H_
#define TANDEM_CORE_BASE_PREFETCH_H_

#include <cstddef>

namespace tandem {

// Loads `size` bytes from `start` on into the cache, and does not wait for them. Any address will do, also one of
// memory that is no more.
inline void Prefetch(const void* start, size_t size) {
  constexpr size_t kLine = 64;
  const char* const bytes = static_cast<const char*>(start);
  for (size_t i = 0; i < size; i += kLine) __builtin_prefetch(bytes + i, /*rw=*/1);
}

}  // namespace tandem

#endif  // TANDEM_CORE_BASE_PREFETCH_H_
