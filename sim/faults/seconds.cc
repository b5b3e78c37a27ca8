// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/faults/seconds.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace tandem::sim {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

}  // namespace

std::string SecondsText(absl::Duration duration) {
  const int64_t ns = absl::ToInt64Nanoseconds(duration);
  const uint64_t seconds = static_cast<uint64_t>(ns) / kSecondNs;
  std::string fraction = absl::StrCat(absl::Dec(static_cast<uint64_t>(ns) % kSecondNs, absl::kZeroPad9));
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  return absl::StrCat(seconds, fraction.empty() ? "" : ".", fraction, "s");
}

bool ParseSeconds(absl::string_view text, absl::Duration* duration) {
  constexpr uint64_t kSecondsMax = 9'000'000'000;  // As many as 63 bits of nanoseconds hold.
  if (!absl::ConsumeSuffix(&text, "s")) return false;
  std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('.', 1));
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (!std::all_of(parts.first.begin(), parts.first.end(), is_digit)) return false;
  if (!std::all_of(parts.second.begin(), parts.second.end(), is_digit) || parts.second.size() > 9) return false;
  uint64_t seconds = 0;
  if (!absl::SimpleAtoi(parts.first, &seconds) || seconds > kSecondsMax) return false;
  uint64_t ns = 0;
  if (!parts.second.empty()) {
    std::string padded(parts.second);
    padded.resize(9, '0');
    if (!absl::SimpleAtoi(padded, &ns)) return false;
  }
  *duration = absl::Nanoseconds(static_cast<int64_t>(seconds * kSecondNs + ns));
  return true;
}

}  // namespace tandem::sim
