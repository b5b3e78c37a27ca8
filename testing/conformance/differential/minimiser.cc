// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/conformance/differential/minimiser.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace tandem::testing {

Program Minimise(Program program, absl::FunctionRef<bool(const Program&)> shows, int tries) {
  for (size_t size = std::max<size_t>(program.steps.size() / 2, 1);;) {
    bool smaller = false;
    // From the end: what comes last depends on what came before.
    for (size_t end = program.steps.size(); end > 0 && tries > 0;) {
      const size_t begin = end - std::min(size, end);
      Program less = program;
      less.steps.erase(less.steps.begin() + static_cast<ptrdiff_t>(begin),
                       less.steps.begin() + static_cast<ptrdiff_t>(end));
      --tries;
      if (!less.steps.empty() && shows(less)) {
        program = std::move(less);
        smaller = true;
      }
      end = begin;
    }
    if (tries <= 0 || (size == 1 && !smaller)) return program;
    if (size > 1) size /= 2;
  }
}

}  // namespace tandem::testing
