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

class Remarks {
 public:
  Remarks(const Scenario& scenario, uint64_t runs_max, absl::FunctionRef<Trial(const Scenario&)> run)
      : scenario_(scenario), runs_(runs_max), run_(run) {}

  std::string Execute();

 private:
  // Whether it fails in the same way after each of the changes 0 to `count` - 1, those that change nothing left out.
  bool EachDoes(int count, absl::FunctionRef<void(Scenario&, int)> change);
  bool EachDoes(size_t fault, absl::FunctionRef<void(FaultEntry&, int)> change);

  std::string OfSchedule();
  std::string OfFault(size_t index);
  void Add(absl::string_view line, absl::string_view remark) { remarks_.emplace_back(line, remark); }

  const Scenario& scenario_;
  uint64_t runs_;  // That are left.
  absl::FunctionRef<Trial(const Scenario&)> run_;
  std::vector<std::pair<std::string, std::string>> remarks_;  // By the beginning of the line.
};

bool Remarks::EachDoes(int count, absl::FunctionRef<void(Scenario&, int)> change) {
  const std::string text = scenario_.ToString();
  bool any = false;
  for (int i = 0; i < count; ++i) {
    Scenario other = scenario_;
    change(other, i);
    if (other.ToString() == text) continue;
    const Trial trial = runs_ == 0 ? Trial::kNoMore : run_(other);
    if (trial == Trial::kNoMore) runs_ = 0;
    if (trial != Trial::kSame) return false;
    --runs_;
    any = true;
  }
  return any;
}

bool Remarks::EachDoes(size_t fault, absl::FunctionRef<void(FaultEntry&, int)> change) {
  return EachDoes(kOthers, [&](Scenario& scenario, int i) {
    std::vector<FaultEntry> entries = scenario.faults.entries();
    change(entries[fault], i);
    scenario.faults = sim::FaultPlan(std::move(entries));
  });
}

std::string Remarks::OfSchedule() {
  const bool any = EachDoes(sim::kScheduleKindCount, [](Scenario& scenario, int kind) {
    if (static_cast<sim::ScheduleKind>(kind) == sim::ScheduleKind::kFifo) return;
    scenario.schedule = std::string(sim::ScheduleName(static_cast<sim::ScheduleKind>(kind)));
  });
  return any ? ", or any other but fifo" : "";
}

std::string Remarks::OfFault(size_t index) {
  const FaultEntry& fault = scenario_.faults.entries()[index];
  std::string text;
  if (fault.trigger == FaultEntry::Trigger::kTime) {
    const auto move = [](FaultEntry& entry, int i) {
      const absl::Duration length = entry.to - entry.from;
      entry.from = Other(entry.from, i);
      entry.to = entry.from + length;
    };
    if (EachDoes(index, move)) text += ", at any time";
    const auto stretch = [](FaultEntry& entry, int i) { entry.to = entry.from + Other(entry.to - entry.from, i); };
    if (sim::Lasts(fault.kind) && EachDoes(index, stretch)) text += ", for any time";
  } else {
    const auto count = [](FaultEntry& entry, int i) { entry.count = std::max<uint64_t>(Other(entry.count, i), 1); };
    if (EachDoes(index, count)) text += ", any time that happens";
    const auto stretch = [](FaultEntry& entry, int i) { entry.lasts = Other(entry.lasts, i); };
    if (fault.lasts > absl::ZeroDuration() && EachDoes(index, stretch)) text += ", for any time";
  }
  const uint64_t most = sim::StrengthMax(fault.kind);
  const auto weigh = [most](FaultEntry& entry, int i) {
    entry.strength = std::clamp<uint64_t>(Other(entry.strength, i), 1, most);
  };
  if (most != 0 && EachDoes(index, weigh)) text += ", of any strength";
  return text;
}

std::string Remarks::Execute() {
  const auto any_seed = [](Scenario& scenario, int i) { *scenario.seed += static_cast<uint64_t>(i) + 1; };
  if (scenario_.seed.has_value()) {
    Add(absl::StrCat("seed ", *scenario_.seed), EachDoes(kOthers, any_seed) ? "any seed does" : "needed");
  }
  if (!scenario_.schedule.empty() && scenario_.schedule != "fifo") Add("schedule ", "needed" + OfSchedule());
  for (const auto& [host, time] : scenario_.starts) {
    const auto change = [&](Scenario& scenario, int i) { scenario.starts[host] = Other(time, i); };
    Add(absl::StrCat("start ", host, " "), EachDoes(kOthers, change) ? "needed, after any time" : "needed");
  }
  for (const auto& [host, time] : scenario_.clocks) {
    const auto change = [&](Scenario& scenario, int i) { scenario.clocks[host] = Other(time, i); };
    Add(absl::StrCat("clock ", host, " "), EachDoes(kOthers, change) ? "needed, by any time" : "needed");
  }
  for (const auto& [name, value] : scenario_.knobs) {
    const auto change = [&](Scenario& scenario, int i) { scenario.knobs[name] = Other(value, i); };
    Add(absl::StrCat("knob \"", name, "\" "), EachDoes(kOthers, change) ? "needed, with any number" : "needed");
  }
  for (size_t i = 0; i < scenario_.faults.entries().size(); ++i) {
    Add(scenario_.faults.entries()[i].ToString(), "needed" + OfFault(i));
  }
  for (size_t i = 0; i < scenario_.failures.size(); ++i) {
    const auto change = [i](Scenario& scenario, int other) {
      uint64_t& number = scenario.failures[i].number;
      number = std::max<uint64_t>(Other(number, other), 1);
    };
    Add(scenario_.failures[i].ToString(), EachDoes(kOthers, change) ? "needed, at any operation" : "needed");
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
  return Remarks(scenario, runs_max, run).Execute();
}

}  // namespace tandem::testing
