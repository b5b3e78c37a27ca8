// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/schedule.h"

#include "absl/log/log.h"
#include "tandem/core/base/random.h"

namespace tandem::sim {
namespace {

class RandomSchedule final : public SchedulePolicy {
 public:
  explicit RandomSchedule(uint64_t seed) : key_(HashCombine(seed, HashName("random schedule"))) {}

  uint64_t Rank(const TaskContext& task) override { return HashCombine(HashCombine(key_, task.path), task.resumes); }

 private:
  const uint64_t key_;
};

// A task keeps its priority for a number of resumes that is a power of two, drawn for the task, and then gets another:
// the change points need no memory.
class PctSchedule final : public SchedulePolicy {
 public:
  explicit PctSchedule(uint64_t seed) : key_(HashCombine(seed, HashName("pct schedule"))) {}

  uint64_t Rank(const TaskContext& task) override {
    constexpr uint64_t kShortestLog2 = 2;
    constexpr uint64_t kLongestLog2 = 10;
    const uint64_t task_key = HashCombine(key_, task.path);
    const uint64_t log2 = kShortestLog2 + ReduceToRange(task_key, kLongestLog2 - kShortestLog2 + 1);
    return HashCombine(task_key, task.resumes >> log2);
  }

 private:
  const uint64_t key_;
};

}  // namespace

absl::string_view ScheduleName(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::kFifo:
      return "fifo";
    case ScheduleKind::kRandom:
      return "random";
    case ScheduleKind::kPct:
      return "pct";
  }
  LOG(FATAL) << "no such schedule: " << static_cast<int>(kind);
}

ScheduleKind ChooseSchedule(uint64_t seed) {
  switch (ReduceToRange(HashCombine(seed, HashName("schedule kind")), 8)) {
    case 0:
    case 1:
      return ScheduleKind::kFifo;
    case 2:
    case 3:
    case 4:
      return ScheduleKind::kRandom;
    default:
      return ScheduleKind::kPct;
  }
}

std::unique_ptr<SchedulePolicy> MakeSchedule(ScheduleKind kind, uint64_t seed) {
  switch (kind) {
    case ScheduleKind::kFifo:
      return nullptr;
    case ScheduleKind::kRandom:
      return std::make_unique<RandomSchedule>(seed);
    case ScheduleKind::kPct:
      return std::make_unique<PctSchedule>(seed);
  }
  LOG(FATAL) << "no such schedule: " << static_cast<int>(kind);
}

}  // namespace tandem::sim
