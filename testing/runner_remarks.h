// SPDX-License-Identifier: Apache-2.0
//
// What of a shrunk scenario is needed as it is, and which of its numbers may be any.
//
// Whoever reads "partition a b from 0.3s to 1.7s" looks for what happens at 0.3 s. Often nothing does.

#ifndef TANDEM_TESTING_RUNNER_REMARKS_H_
#define TANDEM_TESTING_RUNNER_REMARKS_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/testing/runner_shrink.h"

namespace tandem::testing {

// The lines of `scenario`, none of which can be missed, with a remark behind each of which it is known what of it may
// be otherwise: "# needed", "# needed, at any time", "# any seed". A number may be any where the scenario fails in the
// same way with each of several others in its place. `run` is called at most `runs_max` times; of what is not known
// then the remark says so: "# needed; more not tried".
std::string WithRemarks(const sim::Scenario& scenario, uint64_t runs_max,
                        absl::FunctionRef<Trial(const sim::Scenario&)> run);

// The same of a scenario of which not even that is known, since nobody had the time to try it without each of its
// lines:
// "# perhaps needed; more not tried".
std::string WithNothingKnown(const sim::Scenario& scenario);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_REMARKS_H_
