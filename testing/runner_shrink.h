// SPDX-License-Identifier: Apache-2.0
//
// Makes the scenario of a failure small: what is left of it is needed.
//
// A scenario has parts: a line each, the random fates of packets and calls, a kind at a time, and the steps of random
// workloads. Parts are taken away, many at a time first, then fewer, as long as the failure stays the same; then
// numbers are made smaller and rounder, which may make other parts superfluous. Every part stands alone
// (sim/faults/scenario.h), so a candidate is always a scenario.
//
// Some parts do no more than let time pass, or calls be made, until a fault has its turn. In the end each is left out
// while another part is varied: a fault comes a little earlier or has another chance, the schedule is of another kind.
// Where much is left, most of it is left out at once.
//
// Of what is left to chance then, a kind at a time, all is made calm that can be: what is decided behind the failure
// and long before it, about other flows and tasks, and in between. A packet that has to be lost is left, a hand-off.

#ifndef TANDEM_TESTING_RUNNER_SHRINK_H_
#define TANDEM_TESTING_RUNNER_SHRINK_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/random/decision_counts.h"

namespace tandem::testing {

// What became of a candidate.
enum class Trial {
  kSame,    // It fails in the same way.
  kOther,   // It passes, or fails in another way.
  kLate,    // It was stopped before its end: nobody knows.
  kNoMore,  // It was not run: there is no time left.
};

struct Shrunk {
  sim::Scenario scenario;
  uint64_t runs = 0;
  uint64_t late = 0;      // Of these: Trial::kLate.
  bool finished = false;  // Without any single part that is left it does not fail so any more.
};

// How the steps of workloads are known: "writer/op" has so many.
using WorkloadSteps = std::map<std::string, uint64_t>;
// Reads SeedResult::steps.
WorkloadSteps ParseSteps(absl::string_view text);

// Returns the smallest scenario that was found, `scenario` itself if there is none. `run` is called for candidates,
// none of them twice, at most `runs_max` times, and has the same result for the same candidate.
// `decisions` says what chance decides in a scenario, or nothing; it is a run as well.
Shrunk Shrink(const sim::Scenario& scenario, const WorkloadSteps& steps, uint64_t runs_max,
              absl::FunctionRef<Trial(const sim::Scenario&)> run,
              absl::FunctionRef<std::vector<sim::DecisionCount>(const sim::Scenario&)> decisions);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_SHRINK_H_
