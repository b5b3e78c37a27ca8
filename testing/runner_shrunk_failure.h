// SPDX-License-Identifier: Apache-2.0
//
// The failure of a seed, with as little of its scenario as it takes.

#ifndef TANDEM_TESTING_RUNNER_SHRUNK_FAILURE_H_
#define TANDEM_TESTING_RUNNER_SHRUNK_FAILURE_H_

#include <cstdint>
#include <map>
#include <string>

#include "tandem/testing/runner_last_scenario.h"
#include "tandem/testing/runner_pool.h"

namespace tandem::testing {

struct ShrunkFailure {
  std::string scenario;  // What is left; empty where it was not shrunk.
  std::string text;      // That for people, or why it was not.
  bool replays = true;   // Not: with the lines of its scenario alone it does not fail in the same way.
  std::map<std::string, std::string> others;  // What failed in another way meanwhile, and the first scenario of each.
};

// Shrinks the scenario of `failure`, which came of `run` and has one, for about so long. Two failures are the same when
// they are at the same place and of the same kind: the expectation, its expressions and the error in it, the signal and
// the innermost functions of the project; never the values. Seeds run in the pool of `last`, which runs no other.
ShrunkFailure ShrinkFailure(LastScenario& last, const SeedRun& run, const SeedOutcome& failure, int64_t limit_ns);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_SHRUNK_FAILURE_H_
