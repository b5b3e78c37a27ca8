// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/schedule/explore.h"

#include <cstddef>
#include <vector>

#include "absl/log/check.h"

namespace tandem::sim {
namespace {

struct Choice {
  size_t taken;  // Counted by how long the tasks have been ready: 0 is the first in.
  size_t count;  // Of ready tasks.
};

// Repeats `choices`, and adds a 0 for each one beyond them.
class Replay final : public SchedulePolicy {
 public:
  explicit Replay(std::vector<Choice>& choices) : choices_(choices) {}

  void Add(TaskContext& task) override { ready_.push_back(&task); }
  TaskContext& Take() override {
    const size_t place = ready_.size() == 1 ? 0 : Choose();
    TaskContext& task = *ready_[place];
    ready_.erase(ready_.begin() + static_cast<ptrdiff_t>(place));
    return task;
  }
  void Clear() override { ready_.clear(); }
  size_t made() const { return made_; }

 private:
  size_t Choose() {
    if (made_ == choices_.size()) choices_.push_back({0, ready_.size()});
    const Choice& choice = choices_[made_++];
    CHECK_EQ(choice.count, ready_.size()) << "after the same choices the program has other tasks ready than before";
    return choice.taken;
  }

  std::vector<Choice>& choices_;
  size_t made_ = 0;
  std::vector<TaskContext*> ready_;
};

}  // namespace

Exploration Explore(uint64_t max, absl::FunctionRef<bool(SchedulePolicy& policy)> run) {
  Exploration result;
  std::vector<Choice> choices;
  while (result.schedules < max) {
    Replay replay(choices);
    const bool go_on = run(replay);
    ++result.schedules;
    CHECK_EQ(replay.made(), choices.size()) << "after the same choices the program ended earlier than before";
    while (!choices.empty() && choices.back().taken + 1 == choices.back().count) choices.pop_back();
    if (choices.empty()) {
      result.complete = true;
      break;
    }
    if (!go_on) break;
    ++choices.back().taken;
  }
  return result;
}

}  // namespace tandem::sim
