// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/memory_trimmer.h"

#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace tandem::kv {

void TrimMemory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace tandem::kv
