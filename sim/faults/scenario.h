// SPDX-License-Identifier: Apache-2.0
//
// Everything that a seed decides and that can be taken away, as lines of text.
//
//   seed 4711
//   schedule pct
//   crash node1 at call 37 for 2s
//   partition node1,node2 node3 from 1.2s to 3s
//   calm latency node1/tcp/node2#0
//
// A line is one independent thing: without it, or with another number in it, the others do what they did. A failing
// seed prints its scenario, and --scenario=FILE runs one.

#ifndef TANDEM_SIM_FAULTS_SCENARIO_H_
#define TANDEM_SIM_FAULTS_SCENARIO_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/random/choices.h"

namespace tandem::sim {

struct Scenario {
  std::optional<uint64_t> seed;  // None: the caller's.
  std::string schedule;          // The name of a ScheduleKind; empty: what the seed decides.
  FaultPlan faults;
  std::vector<Calm> calms;

  // Parses back.
  std::string ToString() const;
  // One line for each thing; what follows a # is skipped, and so are empty lines.
  //
  // Errors: kInvalidArgument: the message quotes the first wrong line and says what is wrong.
  static absl::StatusOr<Scenario> Parse(absl::string_view text);
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_FAULTS_SCENARIO_H_
