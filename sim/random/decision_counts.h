// SPDX-License-Identifier: Apache-2.0
//
// What chance has decided in a run: about whom, by name, and how often. For whoever wants to know which of it matters.

#ifndef TANDEM_SIM_RANDOM_DECISION_COUNTS_H_
#define TANDEM_SIM_RANDOM_DECISION_COUNTS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tandem/sim/random/choices.h"

namespace tandem::sim {

struct DecisionCount {
  Choice what = Choice::kLatency;
  std::string whom;    // A path.
  uint64_t count = 0;  // One more than the highest number of such a decision about it.
};

// From its construction on.
class DecisionCounts {
 public:
  // A decision was made. Those that are calm do not count.
  void Note(Choice what, Entity whom, uint64_t n, uint64_t value);
  // In the order of names; those without a name are missing.
  std::vector<DecisionCount> Get() const;

 private:
  EntityPaths paths_;
  std::map<std::pair<Choice, uint64_t>, std::pair<Entity, uint64_t>> counts_;  // By kind and hash.
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_RANDOM_DECISION_COUNTS_H_
