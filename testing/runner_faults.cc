// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_faults.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/faults/faults.h"

namespace tandem::testing {
namespace {

// A kind hits in a good part of the seeds in which it is drawn, which are half of those in which it is asked for.
constexpr uint64_t kManySeeds = 100;

}  // namespace

void FaultTable::Add(const FaultCounts& seed) {
  ++seeds_;
  for (size_t kind = 0; kind < sim::kFaultKindCount; ++kind) {
    rows_[kind].asked += seed.asked >> kind & 1;
    rows_[kind].entries += seed.entries[kind];
    rows_[kind].seeds_hit += seed.hits[kind] > 0 ? 1 : 0;
  }
}

std::string FaultTable::ToString() const {
  std::vector<std::pair<absl::string_view, const Row*>> shown;
  size_t width = 18;  // Most names fit.
  for (size_t kind = 0; kind < sim::kFaultKindCount; ++kind) {
    const Row& row = rows_[kind];
    if (row.asked == 0 && row.entries == 0) continue;
    shown.emplace_back(sim::FaultKindName(static_cast<sim::FaultKind>(kind)), &row);
    width = std::max(width, shown.back().first.size());
  }
  std::string text;
  for (const auto& [name, row] : shown) {
    absl::StrAppendFormat(&text, "[sim]   %-*s %7u entries, hit in %u of %u seeds\n", static_cast<int>(width), name,
                          row->entries, row->seeds_hit, seeds_);
  }
  return text.empty() ? "" : absl::StrCat("[sim] faults:\n", text);
}

std::string FaultTable::KindsWithoutHit() const {
  std::string text;
  for (size_t kind = 0; kind < sim::kFaultKindCount; ++kind) {
    if (rows_[kind].asked < kManySeeds || rows_[kind].seeds_hit > 0) continue;
    absl::StrAppend(&text, text.empty() ? "" : ", ", sim::FaultKindName(static_cast<sim::FaultKind>(kind)));
  }
  return text;
}

}  // namespace tandem::testing
