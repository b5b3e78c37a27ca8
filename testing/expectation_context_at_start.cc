// SPDX-License-Identifier: Apache-2.0
//
// Linked into every tandem_test.

#include "tandem/testing/expectation_context.h"
#include "tandem/testing/runner_assertions.h"

namespace tandem::testing {
namespace {

[[maybe_unused]] const bool called = [] {
  PrintContextOfExpectations();
  WatchAssertions(-1);
  return true;
}();

}  // namespace
}  // namespace tandem::testing
