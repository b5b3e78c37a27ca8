// SPDX-License-Identifier: Apache-2.0
//
// The run that is nearest to one that fails, and passes.

#ifndef TANDEM_TESTING_RUNNER_PASSING_H_
#define TANDEM_TESTING_RUNNER_PASSING_H_

#include <cstdint>
#include <optional>

#include "tandem/sim/faults/scenario.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/runner.h"
#include "tandem/testing/runner_pool.h"
#include "tandem/testing/runner_recorded_run.h"
#include "tandem/testing/runner_shrink.h"

namespace tandem::testing {

struct PassingSearch {
  std::optional<PassingRun> nearest;
  uint64_t tried = 0;  // Runs that differ from the failing one in one thing.
};

// Changes one thing of `scenario`, which is that of `run`: one line is missing, or one kind of chance is calm; where
// none of these passes, one operation of the workloads, which have `steps`, is left out; where none of these does, the
// seed is another, with the same schedule and with others. Of the runs that pass then, the one that goes as `failing`
// for longest; none: none passes, or `limit_ns` of real time were not enough to find one. `window` is the part that is
// recorded.
PassingSearch FindPassing(RunRecorder& recorder, const SeedRun& run, const sim::Scenario& scenario,
                          const WorkloadSteps& steps, const Recording& failing, const RecordedWindow& window,
                          int64_t limit_ns);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_PASSING_H_
