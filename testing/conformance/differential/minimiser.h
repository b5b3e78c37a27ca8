// SPDX-License-Identifier: Apache-2.0
//
// Makes a program that shows something smaller, while it still shows it.

#ifndef TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_MINIMISER_H_
#define TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_MINIMISER_H_

#include "absl/functional/function_ref.h"
#include "tandem/testing/conformance/differential/program.h"

namespace tandem::testing {

// Leaves out steps, many at first and then one by one, as long as `shows` says true of what is left; it is asked at
// most `tries` times. REQUIRES that shows(program).
Program Minimise(Program program, absl::FunctionRef<bool(const Program&)> shows, int tries);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_MINIMISER_H_
