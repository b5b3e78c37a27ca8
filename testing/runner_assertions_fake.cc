// SPDX-License-Identifier: Apache-2.0
//
// A program with assertions of each kind, for runner_assertions_test.cc.

#include <cstdint>
#include <cstdlib>

#include "gtest/gtest.h"
#include "tandem/core/base/assertions.h"
#include "tandem/testing/runner.h"

namespace tandem::testing {
namespace {

SeedResult Run(const SeedOptions& options) {
  const uint64_t last = options.seed % 100;
  TANDEM_ALWAYS(options.seed != 2000, "seeds are small", options.seed, last);
  TANDEM_SOMETIMES(last == 3, "it is the third");
  TANDEM_SOMETIMES(last < 50, "it is in the first half");
  if (last == 7) TANDEM_REACHABLE("the seventh comes here");
  if (last == 98) {
    TANDEM_REACHABLE("it comes here before it dies");
    if (options.seed == 1098) abort();
  }
  if (options.seed >= 4000) TANDEM_ASSERTION_(kChecker, options.seed == 4010, "sees operations");
  for (uint64_t i = 0; options.seed >= 3000 && options.seed < 4000 && i < 1'000'000; ++i)
    TANDEM_UNREACHABLE("this is far away", i);
  return {};
}

SimTestCase g_case{"Fake", "Asserts", &Run, __FILE__, __LINE__};
[[maybe_unused]] const bool g_registered = RegisterSimTest(&g_case);

}  // namespace
}  // namespace tandem::testing
