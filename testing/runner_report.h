// SPDX-License-Identifier: Apache-2.0
//
// Explains a failure: runs it again, recorded, and shows what led to it.

#ifndef TANDEM_TESTING_RUNNER_REPORT_H_
#define TANDEM_TESTING_RUNNER_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tandem/testing/runner_pool.h"

namespace tandem::testing {

// What is known of a failure before it is run again.
struct FailureToExplain {
  std::string test;        // "Suite.Name".
  SeedRun run;             // With the scenario that it is shown with.
  bool is_shrunk = false;  // That is not the scenario that failed: what it prints is not known yet.
  std::string scenario;    // Of a run without one, what it drew, where that is known: as a rule it is run with that.
  std::string replay;      // The command that runs it again.
  std::string message;     // Why it failed, as it has been said.
  std::string folder;      // Where the files of the report go; empty: nowhere.
  std::vector<std::string> files;  // What is there already.
  uint64_t branches = 0;           // How many to run behind each event that led to it, to see how likely it was.
};

// Returns the text for the terminal, in whole lines. `options` are those of the pool that it failed in.
std::string ExplainFailure(const SeedPool::Options& options, const FailureToExplain& failure);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_REPORT_H_
