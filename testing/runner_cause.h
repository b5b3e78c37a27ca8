// SPDX-License-Identifier: Apache-2.0
//
// When a failure became inevitable: the run is run again many times, and from a moment on everything is decided anew.
// Where nearly all of these branches fail in the same way, what had to happen had happened.

#ifndef TANDEM_TESTING_RUNNER_CAUSE_H_
#define TANDEM_TESTING_RUNNER_CAUSE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tandem/testing/report/recording.h"
#include "tandem/testing/runner_pool.h"

namespace tandem::testing {

// How likely the failure of `run`, which ended as `failure` and is recorded in `report`, was at each event that led to
// it: `branches` runs at each; the first ones are missing where time is up. Where the failure became inevitable between
// two of them, or before the first one, the moment is looked for by halves, and is there as well, with the one before
// it.
std::vector<RecordedLikelihood> MeasureLikelihood(SeedPool& pool, const SeedRun& run, const SeedOutcome& failure,
                                                  const Report& report, uint64_t branches, int64_t limit_ns);

// The index of the moment from which on the failure was all but inevitable: nine branches of ten fail there, and at
// each later one. A branch that fails in another way says nothing of this one and does not count, unless four of five
// do. The size of `likelihood` where there is none.
size_t InevitableFrom(const std::vector<RecordedLikelihood>& likelihood);

// Lines for the terminal, the moment marked.
std::string LikelihoodText(const Report& report);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_CAUSE_H_
