// SPDX-License-Identifier: Apache-2.0
//
// Counts heap allocations of a test program: link //testing:malloc_count, and operator new and malloc are counted.
//
//   const uint64_t before = MallocCount::ThisThread();
//
// Under sanitizers nothing is counted, since the allocator is theirs: counts stay 0 (kCounts).

#ifndef TANDEM_TESTING_MALLOC_COUNT_H_
#define TANDEM_TESTING_MALLOC_COUNT_H_

#include <cstdint>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define TANDEM_SANITIZER_ALLOCATES 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TANDEM_SANITIZER_ALLOCATES 1
#endif

namespace tandem::testing {

class MallocCount {
 public:
#ifdef TANDEM_SANITIZER_ALLOCATES
  static constexpr bool kCounts = false;
#else
  static constexpr bool kCounts = true;
#endif

  // Allocations by the calling thread since it started: malloc, calloc, realloc, aligned forms, operator new.
  static uint64_t ThisThread();
  // Prints a stack for each allocation of the calling thread from now on: to find the one that a test has counted.
  static void TraceForTest(bool on);
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_MALLOC_COUNT_H_
