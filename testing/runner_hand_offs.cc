// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_hand_offs.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace tandem::testing {

void NewHandOffs::Add(uint64_t ordinal, uint64_t seed, std::vector<uint16_t> shown) {
  early_.insert_or_assign(ordinal, Seed{seed, std::move(shown)});
  for (auto first = early_.begin(); first != early_.end() && first->first == next_; first = early_.erase(first)) {
    ++next_;
    for (const uint16_t hand_off : first->second.shown) {
      if (seen_[hand_off]) continue;
      seen_[hand_off] = true;
      ++count_;
      last_new_ = first->second.seed;
    }
  }
}

std::string NewHandOffs::ToString() const {
  if (count_ == 0) return "";
  return absl::StrCat("[sim] hand-offs between tasks: ", count_, ", the last new one at seed ", last_new_, "\n");
}

}  // namespace tandem::testing
