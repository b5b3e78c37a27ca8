// SPDX-License-Identifier: Apache-2.0
//
// The program's own malloc stands before libc's and passes everything on to it. operator new needs no replacement: it
// calls malloc.

#include "tandem/testing/malloc_count.h"

#include <execinfo.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace tandem::testing {
namespace {

// Trivial thread locals: reading them allocates nothing.
thread_local uint64_t allocations = 0;
thread_local bool trace = false;

}  // namespace

uint64_t MallocCount::ThisThread() { return allocations; }
void MallocCount::TraceForTest(bool on) { trace = on; }

#ifndef TANDEM_SANITIZER_ALLOCATES
namespace {

void Count() {
  ++allocations;
  if (!trace) return;
  trace = false;
  void* frames[32];
  const int depth = backtrace(frames, 32);
  backtrace_symbols_fd(frames, depth, STDERR_FILENO);
  trace = true;
}

}  // namespace
#endif

}  // namespace tandem::testing

#ifndef TANDEM_SANITIZER_ALLOCATES

extern "C" {

// glibc's allocator under its own names.
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
  tandem::testing::Count();
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  tandem::testing::Count();
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
  tandem::testing::Count();
  return __libc_realloc(memory, size);
}
void* memalign(size_t alignment, size_t size) {
  tandem::testing::Count();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  tandem::testing::Count();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, size_t alignment, size_t size) {
  tandem::testing::Count();
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}

}  // extern "C"

#endif
