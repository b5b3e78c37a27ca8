// SPDX-License-Identifier: Apache-2.0
//
// The scenario of a seed that dies, and takes it along.
//
// A seed hands over its scenario when it has failed and come to its end. One that is killed, that exits or closes all
// descriptors does not, and no handler of it is sure to be called. So it runs again and counts the records of its trace
// in a file that outlives it, then once more until as many, where it hands over what its scenario is by then, and ends.
// What would have come next is its death.

#ifndef TANDEM_TESTING_RUNNER_LAST_SCENARIO_H_
#define TANDEM_TESTING_RUNNER_LAST_SCENARIO_H_

#include <memory>

#include "absl/status/statusor.h"
#include "tandem/testing/runner_pool.h"

namespace tandem::testing {

class LastScenario {
 public:
  // `options` are those of the pool in which the seeds ran.
  static absl::StatusOr<std::unique_ptr<LastScenario>> Start(SeedPool::Options options);
  ~LastScenario();
  LastScenario(const LastScenario&) = delete;
  LastScenario& operator=(const LastScenario&) = delete;

  // For other runs as well, one at a time.
  SeedPool& pool() { return *pool_; }

  // `failure`, which came of `run`, with its scenario, steps and decisions.
  //
  // Errors, whose message says why there is no scenario:
  //   kNotFound    It has made no world.
  //   kAborted     Run again, it did not come as far.
  //   kCancelled   There is a StopSignal().
  absl::StatusOr<SeedOutcome> Complete(SeedRun run, SeedOutcome failure);

 private:
  explicit LastScenario(int fd) : fd_(fd) {}

  const int fd_;  // A file in memory, in which a seed counts.
  std::unique_ptr<SeedPool> pool_;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_LAST_SCENARIO_H_
