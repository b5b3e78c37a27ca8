// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/random/decision_counts.h"

#include <algorithm>
#include <optional>
#include <tuple>

namespace tandem::sim {

void DecisionCounts::Note(Choice what, Entity whom, uint64_t n, uint64_t value) {
  if (value == Choices::Neutral(what)) return;
  auto& [entity, count] = counts_[{what, whom.hash()}];
  entity = whom;
  count = std::max(count, n + 1);
}

std::vector<DecisionCount> DecisionCounts::Get() const {
  std::vector<DecisionCount> decisions;
  for (const auto& [key, counted] : counts_) {
    std::optional<std::string> path = paths_.Of(counted.first);
    if (path.has_value()) decisions.push_back({key.first, *std::move(path), counted.second});
  }
  std::sort(decisions.begin(), decisions.end(), [](const DecisionCount& a, const DecisionCount& b) {
    return std::tie(a.what, a.whom) < std::tie(b.what, b.whom);
  });
  return decisions;
}

}  // namespace tandem::sim
