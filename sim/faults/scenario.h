// SPDX-License-Identifier: Apache-2.0
//
// Everything that a seed decides and that can be taken away, as lines of text.
//
//   seed 4711
//   test Kv.RepliesMatchRequests
//   schedule pct steps 120 of 900 tasks 8
//   start node1 after 0.000012s
//   clock node2 ahead 0.5s
//   knob "batch size" 17
//   crash node1 at call 37 for 2s
//   partition node1,node2 node3 from 1.2s to 3s
//   fail node3 at operation 5
//   calm latency,loss node1/tcp/node2#0
//   skip writer/op from 17 to 24
//   branch at event 812 salt 7
//
// A line is one independent thing: without it, or with another number in it, the others do what they did. A failing
// seed prints its scenario, and --scenario=FILE runs one.

#ifndef TANDEM_SIM_FAULTS_SCENARIO_H_
#define TANDEM_SIM_FAULTS_SCENARIO_H_

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/schedule/step_totals.h"

namespace tandem::sim {

// An operation of a host that fails with an error that the kernel has for it: "fail server at operation 17", or, with
// all that come after it, "fail server from operation 17".
struct OperationFailure {
  std::string host;
  uint64_t number = 1;  // Of the operations of the host that can fail, from 1.
  bool and_after = false;

  std::string ToString() const;
  friend bool operator==(const OperationFailure&, const OperationFailure&) = default;
};

// Steps of a random workload that are left out: "skip writer/op 17", "skip writer/op from 17 to 24".
struct Skip {
  static constexpr uint64_t kEnd = std::numeric_limits<uint64_t>::max();

  std::string what;  // Without blanks.
  uint64_t from = 0;
  uint64_t to = kEnd;  // The first behind them.

  std::string ToString() const;
  friend bool operator==(const Skip&, const Skip&) = default;
};

// From an event of the world on (World::events()) everything is decided anew, and faults that have not begun by then do
// not come: "branch at event 812 salt 7".
struct Branch {
  uint64_t event = 0;
  uint64_t salt = 0;  // Another one is another future.

  std::string ToString() const;
  friend bool operator==(const Branch&, const Branch&) = default;
};

struct Scenario {
  std::optional<uint64_t> seed;                  // None: the caller's.
  std::string test;                              // "Suite.Name"; empty: any.
  std::string schedule;                          // The name of a ScheduleKind; empty: what the seed decides.
  std::optional<StepTotals> steps;               // By which the schedule is aimed.
  std::map<std::string, absl::Duration> starts;  // By host: how long after it was added it starts.
  std::map<std::string, absl::Duration> clocks;  // By host: how far its wall clock is ahead.
  std::map<std::string, int64_t> knobs;          // By name.
  FaultPlan faults;
  std::vector<OperationFailure> failures;
  std::vector<Calm> calms;
  std::vector<Skip> skips;
  std::optional<Branch> branch;

  // Parses back.
  std::string ToString() const;
  // One line for each thing; what follows a # is skipped, and so are empty lines. What has one value, such as the
  // schedule or the start of a host, is there once at most.
  //
  // Errors: kInvalidArgument: the message quotes the first wrong line and says what is wrong.
  static absl::StatusOr<Scenario> Parse(absl::string_view text);
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_FAULTS_SCENARIO_H_
