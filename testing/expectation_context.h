// SPDX-License-Identifier: Apache-2.0
//
// Behind an expectation that fails within a task: where the task is.

#ifndef TANDEM_TESTING_EXPECTATION_CONTEXT_H_
#define TANDEM_TESTING_EXPECTATION_CONTEXT_H_

namespace tandem::testing {

// From now on gtest's own report of a failed expectation is followed by the awaits of the task that ran, on standard
// output. To be called once. A tandem_test has called it; the seeds of a sim_test report theirs (runner_seed.cc).
void PrintContextOfExpectations();

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_EXPECTATION_CONTEXT_H_
