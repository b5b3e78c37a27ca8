// SPDX-License-Identifier: Apache-2.0
//
// The run of one test: its regressions, its seeds, those of them that run twice, and what is printed about them.

#ifndef TANDEM_TESTING_RUNNER_TEST_RUN_H_
#define TANDEM_TESTING_RUNNER_TEST_RUN_H_

#include <cstdint>

#include "tandem/testing/runner.h"
#include "tandem/testing/runner_run.h"

namespace tandem::testing {

// Runs the test, which is the one of this index, and fails the gtest that runs where one of its seeds does.
void RunTest(Run& run, const SimTestCase& test, uint32_t index);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_TEST_RUN_H_
