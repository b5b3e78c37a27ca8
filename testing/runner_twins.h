// SPDX-License-Identifier: Apache-2.0
//
// Seeds that run twice: the second run is disturbed in all that a program must not depend on, and compared with the
// first.

#ifndef TANDEM_TESTING_RUNNER_TWINS_H_
#define TANDEM_TESTING_RUNNER_TWINS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tandem/testing/runner_flags.h"
#include "tandem/testing/runner_pool.h"

namespace tandem::testing {

// Those of `seeds` that run twice, in their order: with kSome every 20th, from the first on. A seed that was asked for
// alone runs twice with kAll only.
std::vector<uint64_t> SeedsWithTwin(const std::vector<uint64_t>& seeds, const RunnerFlags& flags);

// Whether two runs of a seed have done the same, up to the same end. Runs that were stopped from outside are the same
// if both were.
bool AreTwins(const SeedOutcome& first, const SeedOutcome& second);

// How two runs that are no twins differ, in a line.
std::string DescribeDifference(const SeedOutcome& first, const SeedOutcome& second);

// The file that traces of the first runs go to. -1: none can be made.
int OpenTwinTrace(const char* name);

class Twins {
 public:
  // `options` are those of the first runs, whose traces go to options.trace_fd, from OpenTwinTrace().
  // `move_addresses`: the tests do not depend on addresses, so the second runs have other ones.
  static absl::StatusOr<std::unique_ptr<Twins>> Start(SeedPool::Options options, bool move_addresses);
  ~Twins();
  Twins(const Twins&) = delete;
  Twins& operator=(const Twins&) = delete;

  // Where second runs run.
  SeedPool& pool() { return *pool_; }
  // Runs a seed again, in `first` and in pool(), and describes the first record in which the two runs differ, with both
  // stacks.
  std::string FindDivergence(SeedPool& first, const SeedRun& run);

 private:
  Twins(int first_trace, int second_trace) : first_trace_(first_trace), second_trace_(second_trace) {}

  const int first_trace_;  // Not owned.
  const int second_trace_;
  std::unique_ptr<SeedPool> pool_;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_TWINS_H_
