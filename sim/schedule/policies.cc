// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/schedule/policies.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <optional>
#include <utility>

#include "absl/log/check.h"

namespace tandem::sim {
namespace {

// The numbers of kWholeSchedule.
enum class Whole : uint64_t { kSteps, kSteps2, kPoints, kShare, kShare2, kLongestDelay };
// The numbers of a task's stretch, up to kDrawsOfAStretch.
enum class OfStretch : uint64_t { kPriority, kShare, kDelay, kPoints };

constexpr uint64_t kPointsMax = 3;
// Of the numbers in a scenario, which may be any.
constexpr uint64_t kLog2Most = 62;
static_assert(static_cast<uint64_t>(OfStretch::kPoints) + kPointsMax <= kDrawsOfAStretch);

uint64_t DrawBelow(const ScheduleDraws& draws, Whole what, uint64_t bound) {
  return ReduceToRange(draws(kWholeSchedule, static_cast<uint64_t>(what)), bound);
}

// First in, first out.
class Queue final : public RankedSchedule {
  uint64_t Rank(TaskContext&) override { return 0; }
  void OnTake(TaskContext&, uint64_t) override {}
};

uint64_t AddressOf(uint64_t stretch, OfStretch what, uint64_t i = 0) {
  return stretch * kDrawsOfAStretch + static_cast<uint64_t>(what) + i;
}

}  // namespace

uint64_t NegativeLog2(uint64_t u) {
  constexpr uint64_t kOne = uint64_t{1} << 32;
  if (u == ~uint64_t{0}) return 0;
  const uint64_t value = u + 1;
  const auto zeros = static_cast<uint64_t>(std::countl_zero(value));
  // value = 2^(63 - zeros) * (1 + fraction); log2(1 + f) is about f + 0.344 f (1 - f).
  const uint64_t fraction = zeros == 63 ? 0 : (value << (zeros + 1)) >> 32;
  const uint64_t bow = ((fraction * (kOne - fraction)) >> 32) * 88 / 256;
  return (zeros + 1) * kOne - fraction - bow;
}

uint64_t LogUniform(uint64_t u, uint64_t log2_bound) {
  CHECK_GT(log2_bound, 0u);
  const uint64_t power = uint64_t{1} << ReduceToRange(u, log2_bound);
  return power + ReduceToRange(MixBits(u), power);
}

CountingSchedule::CountingSchedule(StepCounts& counts, std::unique_ptr<SchedulePolicy> policy)
    : counts_(counts), policy_(policy != nullptr ? std::move(policy) : std::make_unique<Queue>()) {}

TaskPoints::TaskPoints(const ScheduleDraws& draws, const std::optional<StepTotals>& known)
    : points_(1 + DrawBelow(draws, Whole::kPoints, kPointsMax)) {
  constexpr uint64_t kLog2StepsMin = 2;
  constexpr uint64_t kLog2StepsMax = 10;
  constexpr uint64_t kLog2ShareMax = 6;
  if (known.has_value()) {
    log2_steps_ = std::clamp<uint64_t>(std::bit_width(known->longest), 1, kLog2Most);
    log2_share_ = DrawBelow(draws, Whole::kShare, static_cast<uint64_t>(std::bit_width(known->tasks)));
    return;
  }
  // The smaller of two draws each: there are more small programs than large ones, and in a large one other tasks and
  // the next stretch give more chances.
  log2_steps_ = kLog2StepsMin + std::min(DrawBelow(draws, Whole::kSteps, kLog2StepsMax - kLog2StepsMin + 1),
                                         DrawBelow(draws, Whole::kSteps2, kLog2StepsMax - kLog2StepsMin + 1));
  log2_share_ =
      std::min(DrawBelow(draws, Whole::kShare, kLog2ShareMax + 1), DrawBelow(draws, Whole::kShare2, kLog2ShareMax + 1));
}

bool TaskPoints::AtPoint(const ScheduleDraws& draws, const TaskContext& task) const {
  const uint64_t stretch = StretchOf(task);
  const uint64_t step = task.resumes - (stretch << log2_steps_);
  const uint64_t share = draws(task.path, AddressOf(stretch, OfStretch::kShare));
  if (ReduceToRange(share, uint64_t{1} << log2_share_) != 0) return false;
  for (uint64_t i = 0; i < points_; ++i) {
    const uint64_t point = LogUniform(draws(task.path, AddressOf(stretch, OfStretch::kPoints, i)), log2_steps_);
    if (point - 1 == step) return true;
  }
  return false;
}

uint64_t RandomWalk::Rank(TaskContext& task) {
  const uint64_t steps = known_ == nullptr ? 0 : known_->StepsOf(task.path);
  const uint64_t left = steps > task.resumes ? steps - task.resumes : 1;
  return now_ + NegativeLog2(draws_(task.path, task.resumes)) / left;
}

uint64_t Pct::Rank(TaskContext& task) {
  if (points_.BeginsStretch(task)) {
    task.rank = draws_(task.path, AddressOf(points_.StretchOf(task), OfStretch::kPriority)) >> 1;
  }
  if (task.path != last_path_) in_a_row_ = 0;
  const bool spins = in_a_row_ >= kSpinSteps && ready_count() > 0;
  if (spins || points_.AtPoint(draws_, task)) {
    task.rank = kSunk + sunk_++;
    in_a_row_ = 0;
  }
  return task.rank;
}

void Pct::OnTake(TaskContext& task, uint64_t) {
  in_a_row_ = task.path == last_path_ ? in_a_row_ + 1 : 0;
  last_path_ = task.path;
}

DelayBounded::DelayBounded(ScheduleDraws draws, const std::optional<StepTotals>& known)
    : draws_(std::move(draws)), points_(draws_, known) {
  constexpr uint64_t kLog2LongestMin = 2;
  constexpr uint64_t kLog2LongestMax = 12;
  // Some last longer than all steps there are: to the end.
  const uint64_t largest =
      known.has_value() ? std::min(static_cast<uint64_t>(std::bit_width(known->total)) + kLog2LongestMin, kLog2Most)
                        : kLog2LongestMax;
  log2_longest_ = kLog2LongestMin + DrawBelow(draws_, Whole::kLongestDelay, largest - kLog2LongestMin + 1);
}

uint64_t DelayBounded::Rank(TaskContext& task) {
  const uint64_t rank = added_++;
  if (!points_.AtPoint(draws_, task)) return rank;
  const uint64_t stretch = points_.StretchOf(task);
  return rank + LogUniform(draws_(task.path, AddressOf(stretch, OfStretch::kDelay)), log2_longest_);
}

}  // namespace tandem::sim
