// SPDX-License-Identifier: Apache-2.0
//
// What a world does when nothing goes wrong: how long it runs, who makes how many calls, and who sends to whom.
//
// Faults are aimed by it: at times when something happens, at hosts that make the calls and at links that carry the
// packets. A rehearsal counts it (sim/world/rehearsal.h).

#ifndef TANDEM_SIM_FAULTS_WORKLOAD_H_
#define TANDEM_SIM_FAULTS_WORKLOAD_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/schedule/step_totals.h"

namespace tandem::sim {

struct Workload {
  struct Host {
    uint64_t calls = 0;                      // Into its reactor.
    uint64_t connects = 0;                   // Of TCP.
    uint64_t lookups = 0;                    // Of names.
    uint64_t works = 0;                      // Blocking work.
    uint64_t accepts = 0;                    // Of TCP.
    uint64_t changed_lookups = 0;            // Of names that had been something else before.
    uint64_t timers = 0;                     // For which a process waited.
    std::map<std::string, uint64_t> visits;  // By the name of the site (core/base/site.h).

    friend bool operator==(const Host&, const Host&) = default;
  };
  struct Link {
    uint64_t packets = 0;
    uint64_t datagrams = 0;  // Of them.
    uint64_t largest = 0;    // Bytes of payload.

    friend bool operator==(const Link&, const Link&) = default;
  };

  int64_t end_ns = 0;  // When the test had ended.
  StepTotals steps;    // Over all processes; zeros: nobody counted.
  std::map<std::string, Host> hosts;
  std::map<std::pair<std::string, std::string>, Link> links;  // From, to. Not the loopbacks.

  // A line for each: "end NS", "host NAME calls N connects N lookups N works N accepts N changed N timers N", "visits
  // HOST SITE N", "link FROM TO packets N datagrams N largest N", "steps N of N tasks N".
  std::string ToString() const;
  // Errors: kInvalidArgument: not such a text, or one that is cut off.
  static absl::StatusOr<Workload> Parse(absl::string_view text);

  friend bool operator==(const Workload&, const Workload&) = default;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_FAULTS_WORKLOAD_H_
