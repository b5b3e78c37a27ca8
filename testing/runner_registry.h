// SPDX-License-Identifier: Apache-2.0
//
// The simulation tests of this binary, in the order of registration, which parent and zygote share.

#ifndef TANDEM_TESTING_RUNNER_REGISTRY_H_
#define TANDEM_TESTING_RUNNER_REGISTRY_H_

#include <cstdint>

#include "tandem/testing/runner.h"

namespace tandem::testing {

// Returns the first test; the others follow by `next`.
const SimTestCase* FirstSimTest();

// Returns the test at `index`, which must exist (CHECK).
const SimTestCase& SimTestAt(uint32_t index);

// Calls what SetFailureWitness() was given.
void TellFailureWitness(absl::string_view place, absl::string_view why);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_REGISTRY_H_
