// SPDX-License-Identifier: Apache-2.0
//
// Whether two runs fail in the same way.

#ifndef TANDEM_TESTING_RUNNER_IDENTITY_H_
#define TANDEM_TESTING_RUNNER_IDENTITY_H_

#include <string>

#include "tandem/testing/runner_pool.h"

namespace tandem::testing {

// Where a seed failed and by what: the same whenever the same goes wrong, whatever its message says.
std::string WhatFailed(const SeedOutcome& outcome);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_IDENTITY_H_
