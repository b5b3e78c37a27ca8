// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/schedule/schedule.h"

#include <array>
#include <utility>

#include "absl/log/log.h"
#include "tandem/core/base/random.h"
#include "tandem/sim/schedule/policies.h"

namespace tandem::sim {
namespace {

struct KindInfo {
  ScheduleKind kind;
  absl::string_view name;
  uint64_t share;  // Of the seeds, in parts of kShares.
};
constexpr std::array<KindInfo, kScheduleKindCount> kKinds = {{
    {ScheduleKind::kFifo, "fifo", 4},
    {ScheduleKind::kRandom, "random", 1},
    {ScheduleKind::kPct, "pct", 3},
    {ScheduleKind::kPos, "pos", 4},
    {ScheduleKind::kUrw, "urw", 3},
    {ScheduleKind::kDelay, "delay", 1},
}};
constexpr uint64_t kShares = 16;

constexpr bool SharesAddUp() {
  uint64_t sum = 0;
  for (const KindInfo& info : kKinds) sum += info.share;
  return sum == kShares;
}
static_assert(SharesAddUp());

}  // namespace

absl::string_view ScheduleName(ScheduleKind kind) {
  for (const KindInfo& info : kKinds) {
    if (info.kind == kind) return info.name;
  }
  LOG(FATAL) << "no such schedule: " << static_cast<int>(kind);
}

std::optional<ScheduleKind> ParseSchedule(absl::string_view name) {
  for (const KindInfo& info : kKinds) {
    if (info.name == name) return info.kind;
  }
  return std::nullopt;
}

ScheduleKind ChooseSchedule(uint64_t seed) {
  uint64_t place = ReduceToRange(HashCombine(seed, HashName("schedule kind")), kShares);
  for (const KindInfo& info : kKinds) {
    if (place < info.share) return info.kind;
    place -= info.share;
  }
  LOG(FATAL) << "the shares do not add up";
}

std::unique_ptr<SchedulePolicy> MakeSchedule(ScheduleKind kind, uint64_t seed, const StepCounts* known) {
  return MakeSchedule(kind, HashDraws(seed, ScheduleName(kind)), known);
}

std::unique_ptr<SchedulePolicy> MakeSchedule(ScheduleKind kind, ScheduleDraws draws, const StepCounts* known) {
  switch (kind) {
    case ScheduleKind::kFifo:
      return nullptr;
    case ScheduleKind::kRandom:
      return std::make_unique<RandomWalk>(std::move(draws), nullptr);
    case ScheduleKind::kPct:
      return std::make_unique<Pct>(std::move(draws), known);
    case ScheduleKind::kPos:
      return std::make_unique<PartialOrderSampling>(std::move(draws));
    case ScheduleKind::kUrw:
      return std::make_unique<RandomWalk>(std::move(draws), known);
    case ScheduleKind::kDelay:
      return std::make_unique<DelayBounded>(std::move(draws), known);
  }
  LOG(FATAL) << "no such schedule: " << static_cast<int>(kind);
}

}  // namespace tandem::sim
