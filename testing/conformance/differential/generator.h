// SPDX-License-Identifier: Apache-2.0
//
// Random socket programs that are worth running: most steps make sense where they stand, some do not.
//
// The generator knows what each socket would be if all went well. It stays inside of what Linux answers in one way
// only; what it leaves out, and why, is said in generator.cc and in docs/fidelity.md.

#ifndef TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_GENERATOR_H_
#define TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_GENERATOR_H_

#include <cstdint>

#include "tandem/testing/conformance/differential/program.h"

namespace tandem::testing {

// The program number `number` of `seed`: 2 to 4 hosts, up to 60 steps.
Program GenerateProgram(uint64_t seed, uint64_t number);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_GENERATOR_H_
