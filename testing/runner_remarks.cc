// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_remarks.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/schedule/schedule.h"
#include "tandem/testing/runner_shrink.h"

namespace tandem::testing {
namespace {

using sim::FaultEntry;
using sim::Scenario;

// Longer than what a scheduler or a network does by itself, and no round number.
constexpr absl::Duration kAWhile = absl::Milliseconds(37);

// A number that is not `number`, the `i`-th of three.
template <typename Integer>
Integer Other(Integer number, int i) {
  return i == 0 ? number / 2 : i == 1 ? number + 1 : number * 2 + 1;
}
absl::Duration Other(absl::Duration time, int i) { return i == 0 ? time / 2 : i == 1 ? time + kAWhile : time * 2; }
constexpr int kOthers = 3;
// Of a seed they are cheap, and what one does may be chance.
constexpr int kOtherSeeds = 8;

// Whether other numbers do as well.
enum class Found {
  kAll,
  kNot,       // Not all of them, or there is no other.
  kNotTried,  // None that was tried does not, and not all were.
};

class Remarks {
 public:
  // `needed` is what is known of each line before anything else is tried.
  Remarks(const Scenario& scenario, absl::string_view needed, uint64_t runs_max,
          absl::FunctionRef<Trial(const Scenario&)> run)
      : scenario_(scenario), needed_(needed), runs_(runs_max), run_(run) {}

  std::string Execute();

 private:
  // Whether it fails in the same way after each of the changes 0 to `count` - 1, those that change nothing left out.
  Found EachDoes(int count, absl::FunctionRef<void(Scenario&, int)> change);
  // Adds `if_each_does` to the remark, or that nobody knows.
  void Look(absl::string_view if_each_does, Found found);
  void Look(absl::string_view if_each_does, absl::FunctionRef<void(Scenario&, int)> change) {
    Look(if_each_does, EachDoes(kOthers, change));
  }
  void Look(absl::string_view if_each_does, size_t fault, absl::FunctionRef<void(FaultEntry&, int)> change);
  // The remark is about the line that begins so.
  void Add(absl::string_view line);

  void LookAtSeed();
  void LookAtSchedule();
  void LookAtFault(size_t index);

  const Scenario& scenario_;
  const absl::string_view needed_;
  uint64_t runs_;  // That are left.
  absl::FunctionRef<Trial(const Scenario&)> run_;
  std::string remark_{needed_};  // Of the line that is looked at.
  bool all_tried_ = true;
  std::vector<std::pair<std::string, std::string>> remarks_;  // By the beginning of the line.
};

Found Remarks::EachDoes(int count, absl::FunctionRef<void(Scenario&, int)> change) {
  const std::string text = scenario_.ToString();
  Found found = Found::kNot;
  for (int i = 0; i < count; ++i) {
    Scenario other = scenario_;
    change(other, i);
    if (other.ToString() == text) continue;
    const Trial trial = runs_ == 0 ? Trial::kNoMore : run_(other);
    if (trial == Trial::kNoMore) runs_ = 0;
    if (trial == Trial::kNoMore || trial == Trial::kLate) return Found::kNotTried;
    --runs_;
    if (trial == Trial::kOther) return Found::kNot;
    found = Found::kAll;
  }
  return found;
}

void Remarks::Look(absl::string_view if_each_does, Found found) {
  if (found == Found::kAll) absl::StrAppend(&remark_, if_each_does);
  if (found == Found::kNotTried) all_tried_ = false;
}

void Remarks::Look(absl::string_view if_each_does, size_t fault, absl::FunctionRef<void(FaultEntry&, int)> change) {
  Look(if_each_does, [&](Scenario& scenario, int i) {
    std::vector<FaultEntry> entries = scenario.faults.entries();
    change(entries[fault], i);
    scenario.faults = sim::FaultPlan(std::move(entries));
  });
}

void Remarks::Add(absl::string_view line) {
  if (!std::exchange(all_tried_, true)) remark_ += "; more not tried";
  remarks_.emplace_back(line, std::exchange(remark_, needed_));
}

// A seed cannot be left out: whether it is needed is known only by trying others.
void Remarks::LookAtSeed() {
  if (!scenario_.seed.has_value()) return;
  const Found found =
      EachDoes(kOtherSeeds, [](Scenario& scenario, int i) { *scenario.seed += static_cast<uint64_t>(i) + 1; });
  remark_ = found == Found::kAll ? "any seed does" : found == Found::kNot ? "needed" : "others not tried";
  Add(absl::StrCat("seed ", *scenario_.seed));
}

void Remarks::LookAtSchedule() {
  if (scenario_.schedule.empty() || scenario_.schedule == "fifo") return;
  Look(", or any other but fifo", EachDoes(sim::kScheduleKindCount, [](Scenario& scenario, int kind) {
         if (static_cast<sim::ScheduleKind>(kind) == sim::ScheduleKind::kFifo) return;
         scenario.schedule = std::string(sim::ScheduleName(static_cast<sim::ScheduleKind>(kind)));
       }));
  Add("schedule ");
}

void Remarks::LookAtFault(size_t index) {
  const FaultEntry& fault = scenario_.faults.entries()[index];
  if (fault.trigger == FaultEntry::Trigger::kTime) {
    Look(", at any time", index, [](FaultEntry& entry, int i) {
      const absl::Duration length = entry.to - entry.from;
      entry.from = Other(entry.from, i);
      entry.to = entry.from + length;
    });
    const auto stretch = [](FaultEntry& entry, int i) { entry.to = entry.from + Other(entry.to - entry.from, i); };
    if (sim::Lasts(fault.kind)) Look(", for any time", index, stretch);
  } else {
    Look(", any time that happens", index,
         [](FaultEntry& entry, int i) { entry.count = std::max<uint64_t>(Other(entry.count, i), 1); });
    const auto stretch = [](FaultEntry& entry, int i) { entry.lasts = Other(entry.lasts, i); };
    if (fault.lasts > absl::ZeroDuration()) Look(", for any time", index, stretch);
  }
  const uint64_t most = sim::StrengthMax(fault.kind);
  const auto weigh = [most](FaultEntry& entry, int i) {
    entry.strength = std::clamp<uint64_t>(Other(entry.strength, i), 1, most);
  };
  if (most != 0) Look(", of any strength", index, weigh);
  Add(fault.ToString());
}

std::string Remarks::Execute() {
  LookAtSeed();
  LookAtSchedule();
  for (const auto& [host, time] : scenario_.starts) {
    Look(", after any time", [&](Scenario& scenario, int i) { scenario.starts[host] = Other(time, i); });
    Add(absl::StrCat("start ", host, " "));
  }
  for (const auto& [host, time] : scenario_.clocks) {
    Look(", by any time", [&](Scenario& scenario, int i) { scenario.clocks[host] = Other(time, i); });
    Add(absl::StrCat("clock ", host, " "));
  }
  for (const auto& [name, value] : scenario_.knobs) {
    Look(", with any number", [&](Scenario& scenario, int i) { scenario.knobs[name] = Other(value, i); });
    Add(absl::StrCat("knob \"", name, "\" "));
  }
  for (size_t i = 0; i < scenario_.faults.entries().size(); ++i) LookAtFault(i);
  for (size_t i = 0; i < scenario_.failures.size(); ++i) {
    Look(", at any operation", [i](Scenario& scenario, int other) {
      uint64_t& number = scenario.failures[i].number;
      number = std::max<uint64_t>(Other(number, other), 1);
    });
    Add(scenario_.failures[i].ToString());
  }

  std::string text;
  auto remark = remarks_.begin();  // In the order of the lines.
  for (const absl::string_view line : absl::StrSplit(scenario_.ToString(), '\n', absl::SkipEmpty())) {
    const bool has_remark = remark != remarks_.end() && absl::StartsWith(line, remark->first);
    absl::StrAppend(&text, line, has_remark ? "  # " : "", has_remark ? (remark++)->second : "", "\n");
  }
  return text;
}

}  // namespace

std::string WithRemarks(const Scenario& scenario, uint64_t runs_max, absl::FunctionRef<Trial(const Scenario&)> run) {
  return Remarks(scenario, "needed", runs_max, run).Execute();
}

std::string WithNothingKnown(const Scenario& scenario) {
  return Remarks(scenario, "perhaps needed", 0, [](const Scenario&) { return Trial::kNoMore; }).Execute();
}

}  // namespace tandem::testing
