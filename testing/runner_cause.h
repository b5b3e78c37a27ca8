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

// How likely the failure of `run`, which ended as `failure` and is recorded in `report`, was: `branches` runs behind
// each of some moments. The one from which on it was inevitable is looked for by halves among all that are recorded,
// and is there with the one before it; the others are those of the rows of the report's table, of which the farthest
// are missing where time is up.
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
