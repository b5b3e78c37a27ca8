// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_shrink.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/random/decision_counts.h"

namespace tandem::testing {
namespace {

using sim::Calm;
using sim::Choice;
using sim::DecisionCount;
using sim::FaultEntry;
using sim::kFates;
using sim::Scenario;

// What can be taken away from a scenario, alone.
struct Part {
  enum class Kind : uint8_t { kFault, kFailure, kSchedule, kStart, kClock, kKnob, kStep, kFate };

  Kind kind;
  std::string name;    // Of a host, a knob or a workload.
  uint64_t index = 0;  // Of an entry, a failure, a step or a fate.
  uint64_t to = 0;     // Of steps, the first behind them.
};

// What is tried as a whole, in this order: what people have to read most of comes first.
constexpr auto kKinds = std::to_array({Part::Kind::kFate, Part::Kind::kStart, Part::Kind::kClock, Part::Kind::kSchedule,
                                       Part::Kind::kFailure, Part::Kind::kFault, Part::Kind::kStep, Part::Kind::kKnob});

bool IsCalmed(const Scenario& scenario, Choice what) {
  return std::any_of(scenario.calms.begin(), scenario.calms.end(),
                     [what](const Calm& calm) { return calm.what == what && calm.IsOfAll(); });
}

bool IsLeftOut(const Scenario& scenario, const std::string& workload, uint64_t from, uint64_t to) {
  return std::any_of(scenario.skips.begin(), scenario.skips.end(), [&](const sim::Skip& skip) {
    return skip.what == workload && skip.from <= from && to <= skip.to;
  });
}

// So many calls, visits, packets and operations are tried one by one.
constexpr uint64_t kFirstOnes = 16;

// Of a workload. The steps of a longer one are left out several at a time.
constexpr uint64_t kStepPartsMax = 1000;

std::vector<Part> PartsOf(const Scenario& scenario, const WorkloadSteps& steps) {
  std::vector<Part> parts;
  parts.reserve(scenario.faults.entries().size() + kFates.size());
  for (size_t i = 0; i < scenario.faults.entries().size(); ++i) parts.push_back({Part::Kind::kFault, "", i});
  for (size_t i = 0; i < scenario.failures.size(); ++i) parts.push_back({Part::Kind::kFailure, "", i});
  if (scenario.schedule != "fifo") parts.push_back({Part::Kind::kSchedule, "", 0});
  for (const auto& [host, time] : scenario.starts) parts.push_back({Part::Kind::kStart, host, 0});
  for (const auto& [host, time] : scenario.clocks) parts.push_back({Part::Kind::kClock, host, 0});
  for (const auto& [name, value] : scenario.knobs) parts.push_back({Part::Kind::kKnob, name, 0});
  for (const auto& [name, count] : steps) {
    const uint64_t several = count / kStepPartsMax + 1;
    for (uint64_t n = 0; n < count; n += several) {
      const uint64_t to = std::min(n + several, count);
      if (!IsLeftOut(scenario, name, n, to)) parts.push_back({Part::Kind::kStep, name, n, to});
    }
  }
  for (size_t i = 0; i < kFates.size(); ++i) {
    if (!IsCalmed(scenario, kFates[i])) parts.push_back({Part::Kind::kFate, "", i});
  }
  return parts;
}

// Leaves out more steps: behind the last one that is left out, or apart.
void AddSkip(const Part& steps, std::vector<sim::Skip>& skips) {
  if (!skips.empty() && skips.back().what == steps.name && skips.back().to == steps.index) {
    skips.back().to = steps.to;
  } else {
    skips.push_back({steps.name, steps.index, steps.to});
  }
}

// Begins so much earlier, and lasts as long.
void MoveAhead(FaultEntry& entry, absl::Duration by) {
  entry.from -= by;
  entry.to -= by;
}

// For a fault, longer than most of what programs do, and than nearly all of it.
constexpr absl::Duration kLong = absl::Seconds(1);
constexpr absl::Duration kVeryLong = absl::Seconds(10);

// Whether the fault may last longer and still be about what it hits: a program that is stopped does nothing.
bool Stretches(const FaultEntry& entry) { return sim::Lasts(entry.kind) && !sim::StopsProcess(entry.kind); }

FaultEntry AtTime(FaultEntry entry, absl::Duration from, absl::Duration lasts) {
  entry.trigger = FaultEntry::Trigger::kTime;
  entry.count = 0;
  entry.site.clear();
  entry.from = from;
  entry.to = from + lasts;
  entry.lasts = absl::ZeroDuration();
  return entry;
}

// The same at an earlier call, visit or packet, or at a time instead.
void AddEarlierCounts(const FaultEntry& entry, std::vector<FaultEntry>& variants) {
  constexpr uint64_t kLastOnes = 8;  // About as many as an operation takes.
  constexpr auto kTimes = std::to_array({absl::Milliseconds(1), absl::Milliseconds(10), absl::Milliseconds(100)});
  for (uint64_t n = 1; n < entry.count; ++n) {
    if (n > kFirstOnes && n + kLastOnes < entry.count) continue;
    variants.push_back(entry);
    variants.back().count = n;
  }
  for (const absl::Duration time : kTimes) {
    variants.push_back(AtTime(entry, time, entry.lasts));
  }
}

// The same earlier, by a little and by much.
void AddEarlierTimes(const FaultEntry& entry, std::vector<FaultEntry>& variants) {
  constexpr int kParts = 32;
  for (const int by : {1, 2, 4, 8, 16, 24, 28, 30}) {
    variants.push_back(entry);
    MoveAhead(variants.back(), entry.from / kParts * by);
  }
}

// What a fault may be as well: it happens sooner, or with another chance.
std::vector<FaultEntry> VariantsOf(const FaultEntry& entry) {
  constexpr uint64_t kQuarters = 4;
  std::vector<FaultEntry> variants;
  for (uint64_t i = 1; i < kQuarters && sim::StrengthUnit(entry.kind) == "millionths"; ++i) {
    variants.push_back(entry);
    variants.back().strength = sim::StrengthMax(entry.kind) / kQuarters * i;
  }
  if (entry.trigger != FaultEntry::Trigger::kTime) {
    AddEarlierCounts(entry, variants);
  } else if (entry.from > absl::ZeroDuration()) {
    AddEarlierTimes(entry, variants);
  }
  return variants;
}

// What a fault may be that has to do without the others: at another time, and for long.
std::vector<FaultEntry> WideVariantsOf(const FaultEntry& entry) {
  constexpr int kDecades = 4;
  const bool stretches = Stretches(entry);
  const bool timed = entry.trigger == FaultEntry::Trigger::kTime;
  absl::Duration lasts = timed ? entry.to - entry.from : entry.lasts;
  if (stretches) lasts = std::max(lasts, kLong);
  std::vector<FaultEntry> variants;
  if (stretches) variants.push_back(AtTime(entry, absl::ZeroDuration(), kVeryLong));
  absl::Duration decade = absl::Milliseconds(1);
  for (int i = 0; i < kDecades; ++i, decade *= 10) {
    for (const int times : {1, 2, 5}) {
      if (!timed || decade * times < entry.from) variants.push_back(AtTime(entry, decade * times, lasts));
    }
  }
  if (stretches && !timed) {
    variants.push_back(entry);
    variants.back().lasts = lasts;
  }
  return variants;
}

absl::Duration Rounded(absl::Duration time, absl::Duration unit) { return absl::Trunc(time, unit); }

// The shortest of 1 us, 10 us, 100 us and so on that is not shorter than `time`; zero for zero.
absl::Duration DecadeFrom(absl::Duration time) {
  if (time == absl::ZeroDuration()) return time;
  absl::Duration decade = absl::Microseconds(1);
  while (decade < time && decade < kVeryLong) decade *= 10;
  return std::max(decade, time);
}

// What is left of many halvings is no number that anybody would have chosen.
absl::Duration RoundLength(absl::Duration length, absl::Duration unit) {
  return length < unit ? std::min(DecadeFrom(length), unit) : Rounded(length + unit / 2, unit);
}

class Shrinker {
 public:
  Shrinker(Scenario scenario, const WorkloadSteps& steps, uint64_t runs_max,
           absl::FunctionRef<Trial(const Scenario&)> run,
           absl::FunctionRef<std::vector<DecisionCount>(const Scenario&)> decisions)
      : all_(std::move(scenario)),
        parts_(PartsOf(all_, steps)),
        kept_(parts_.size(), true),
        runs_max_(runs_max),
        run_(run),
        decisions_(decisions) {
    tried_.insert(Without(all_, kept_).ToString());
  }

  Shrunk Execute();

 private:
  using Kept = std::vector<bool>;

  // `all` without the parts that are not kept.
  Scenario Without(const Scenario& all, const Kept& kept) const;
  // Whether the candidate fails in the same way.
  bool Fails(const Scenario& candidate);
  bool KeepOnly(const Kept& kept);
  bool Remove(const std::vector<size_t>& parts);
  std::vector<size_t> KeptOf(Part::Kind kind) const;
  size_t KeptCount() const { return static_cast<size_t>(std::count(kept_.begin(), kept_.end(), true)); }
  void RemoveInChunks(const std::vector<size_t>& parts);
  void RemoveOneByOne();
  // `all_` with each of these instead of the fault of `part`.
  std::vector<Scenario> With(size_t part, const std::vector<FaultEntry>& instead) const;
  std::vector<Scenario> Variants(size_t part) const;
  std::vector<Scenario> WideVariants(size_t part) const;
  std::vector<Scenario> OneAmidTheOthers(size_t part) const;
  // Only what is in `kept`, if one of the variants fails in the same way then; which one.
  std::optional<size_t> KeepOneOf(std::vector<Scenario> variants, const Kept& kept);
  bool RemoveAndVary(size_t part);
  bool RemoveMostAndVary();
  void RemoveWhatPassesTheTime();
  // Changes the entry of `part` by `change`; false, and it is as it was, when the failure is another then.
  template <typename Change>
  bool Simplify(size_t part, Change change);
  void SimplifyEntry(size_t part);
  void SimplifyStrength(size_t part);
  void SimplifyTimes(size_t part);
  void SimplifyTargets(size_t part);
  void SimplifyFailure(size_t part);
  void SimplifyHostTime(size_t part);
  void SimplifySchedule();
  // Whether it fails in the same way when these decisions are calm too; they are from then on.
  bool CalmDown(const Calm& calm);
  void NarrowChoice(Choice what);
  void NarrowBounds(Scenario base, const Calm& of, uint64_t low, uint64_t high);
  // Of these, about whom a decision matters. Those of other ones are calm then.
  std::vector<DecisionCount> NarrowWhom(Choice what, std::vector<DecisionCount> whom);
  void NarrowNumbers(const DecisionCount& decisions);
  void NarrowChance();
  void SimplifyAll();

  Scenario all_;  // Its numbers become smaller.
  const std::vector<Part> parts_;
  Kept kept_;
  std::pair<size_t, size_t> went_last_;  // The part that was varied when another one could be missed, and how.
  std::set<std::string> tried_;
  const uint64_t runs_max_;
  uint64_t runs_ = 0;
  uint64_t late_ = 0;
  bool ended_early_ = false;
  absl::FunctionRef<Trial(const Scenario&)> run_;
  absl::FunctionRef<std::vector<DecisionCount>(const Scenario&)> decisions_;
};

Scenario Shrinker::Without(const Scenario& all, const Kept& kept) const {
  Scenario scenario = all;
  scenario.faults = sim::FaultPlan();
  scenario.failures.clear();
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    switch (part.kind) {
      case Part::Kind::kFault:
        if (kept[i]) scenario.faults.Add(all.faults.entries()[part.index]);
        break;
      case Part::Kind::kFailure:
        if (kept[i]) scenario.failures.push_back(all.failures[part.index]);
        break;
      case Part::Kind::kSchedule:
        if (kept[i]) break;
        scenario.schedule = "fifo";
        scenario.steps.reset();
        std::erase_if(scenario.calms, [](const Calm& calm) { return calm.what == Choice::kSchedule; });
        break;
      case Part::Kind::kStart:
        if (!kept[i]) scenario.starts.erase(part.name);
        break;
      case Part::Kind::kClock:
        if (!kept[i]) scenario.clocks.erase(part.name);
        break;
      case Part::Kind::kKnob:
        if (!kept[i]) scenario.knobs.erase(part.name);
        break;
      case Part::Kind::kStep:
        if (!kept[i]) AddSkip(part, scenario.skips);
        break;
      case Part::Kind::kFate:
        if (kept[i]) break;
        std::erase_if(scenario.calms, [&part](const Calm& calm) { return calm.what == kFates[part.index]; });
        scenario.calms.push_back({kFates[part.index]});
        break;
    }
  }
  return scenario;
}

bool Shrinker::Fails(const Scenario& candidate) {
  if (ended_early_ || !tried_.insert(candidate.ToString()).second) return false;
  const Trial trial = runs_ == runs_max_ ? Trial::kNoMore : run_(candidate);
  ended_early_ = trial == Trial::kNoMore;
  if (!ended_early_) ++runs_;
  if (trial == Trial::kLate) ++late_;
  return trial == Trial::kSame;
}

bool Shrinker::KeepOnly(const Kept& kept) {
  if (!Fails(Without(all_, kept))) return false;
  kept_ = kept;
  return true;
}

bool Shrinker::Remove(const std::vector<size_t>& parts) {
  Kept kept = kept_;
  for (const size_t part : parts) kept[part] = false;
  return KeepOnly(kept);
}

std::vector<size_t> Shrinker::KeptOf(Part::Kind kind) const {
  std::vector<size_t> parts;
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (kept_[i] && parts_[i].kind == kind) parts.push_back(i);
  }
  return parts;
}

// Half of them, then quarters, and so on to single ones: what fails without a chunk fails without its halves, most
// times, so that a chunk that is needed costs one run a size.
void Shrinker::RemoveInChunks(const std::vector<size_t>& parts) {
  std::vector<size_t> left = parts;
  for (size_t size = (left.size() + 1) / 2; size >= 1; size /= 2) {
    for (size_t from = 0; from < left.size();) {
      const size_t to = std::min(from + size, left.size());
      const auto begin = left.begin() + static_cast<std::ptrdiff_t>(from);
      const auto end = left.begin() + static_cast<std::ptrdiff_t>(to);
      if (Remove(std::vector<size_t>(begin, end))) {
        left.erase(begin, end);
      } else {
        from = to;
      }
    }
  }
}

// Until none can be missed: what was needed beside another part may not be any more.
void Shrinker::RemoveOneByOne() {
  for (bool removed = true; removed;) {
    removed = false;
    for (size_t i = parts_.size(); i-- > 0 && !ended_early_;) removed = (kept_[i] && Remove({i})) || removed;
  }
}

std::vector<Scenario> Shrinker::With(size_t part, const std::vector<FaultEntry>& instead) const {
  std::vector<Scenario> variants;
  for (const FaultEntry& variant : instead) {
    std::vector<FaultEntry> entries = all_.faults.entries();
    entries[parts_[part].index] = variant;
    variants.push_back(all_);
    variants.back().faults = sim::FaultPlan(std::move(entries));
  }
  return variants;
}

// `all_` where `part` waits for something else, or is drawn anew.
std::vector<Scenario> Shrinker::Variants(size_t part) const {
  std::vector<Scenario> variants;
  const auto add = [&](auto change) {
    variants.push_back(all_);
    change(variants.back());
  };
  const size_t index = parts_[part].index;
  if (parts_[part].kind == Part::Kind::kFault) {
    variants = With(part, VariantsOf(all_.faults.entries()[index]));
  } else if (parts_[part].kind == Part::Kind::kFailure) {
    for (uint64_t n = 1; n <= kFirstOnes && n < all_.failures[index].number; ++n) {
      add([&](Scenario& changed) { changed.failures[index].number = n; });
    }
  } else if (parts_[part].kind == Part::Kind::kSchedule) {
    for (const char* kind : {"random", "pct", "pos", "urw", "delay"}) {
      add([&](Scenario& changed) {
        changed.schedule = kind;
        changed.steps.reset();
      });
    }
  }
  return variants;
}

std::vector<Scenario> Shrinker::WideVariants(size_t part) const {
  std::vector<Scenario> variants = Variants(part);
  if (parts_[part].kind != Part::Kind::kFault) return variants;
  for (Scenario& wide : With(part, WideVariantsOf(all_.faults.entries()[parts_[part].index]))) {
    variants.push_back(std::move(wide));
  }
  return variants;
}

std::optional<size_t> Shrinker::KeepOneOf(std::vector<Scenario> variants, const Kept& kept) {
  for (size_t i = 0; i < variants.size(); ++i) {
    if (!Fails(Without(variants[i], kept))) continue;
    all_ = std::move(variants[i]);
    kept_ = kept;
    return i;
  }
  return std::nullopt;
}

// Without `part`, in case that it takes no more than a variant of another one. First as it went last: what lets time
// pass are many parts, and each takes the same.
bool Shrinker::RemoveAndVary(size_t part) {
  Kept kept = kept_;
  kept[part] = false;
  const auto [last_part, last_variant] = went_last_;
  if (kept[last_part]) {
    std::vector<Scenario> variants = Variants(last_part);
    if (last_variant < variants.size() && KeepOneOf({std::move(variants[last_variant])}, kept)) return true;
  }
  for (size_t i = 0; i < parts_.size() && !ended_early_; ++i) {
    if (!kept[i]) continue;
    const std::optional<size_t> variant = KeepOneOf(Variants(i), kept);
    if (!variant.has_value()) continue;
    went_last_ = {i, *variant};
    return true;
  }
  return false;
}

// `all_` where all faults that last hold from the start on, but for one, which may be at any time.
std::vector<Scenario> Shrinker::OneAmidTheOthers(size_t part) const {
  std::vector<Scenario> variants;
  for (const FaultEntry& variant : WideVariantsOf(all_.faults.entries()[parts_[part].index])) {
    std::vector<FaultEntry> entries = all_.faults.entries();
    for (FaultEntry& entry : entries) {
      if (Stretches(entry)) entry = AtTime(entry, absl::ZeroDuration(), kVeryLong);
    }
    entries[parts_[part].index] = variant;
    variants.push_back(all_);
    variants.back().faults = sim::FaultPlan(std::move(entries));
  }
  return variants;
}

// Where much is left: one fault without the others, and one step without the others, in case that a fault takes no more
// than to be at another time, and for longer. One part less at a time may be no way there.
bool Shrinker::RemoveMostAndVary() {
  constexpr size_t kMuch = 4;  // Steps.
  std::vector<size_t> faults = KeptOf(Part::Kind::kFault);
  const std::vector<size_t> failures = KeptOf(Part::Kind::kFailure);
  faults.insert(faults.end(), failures.begin(), failures.end());
  for (size_t i = 0; faults.size() > 1 && i < faults.size(); ++i) {
    Kept kept = kept_;
    for (const size_t fault : faults) kept[fault] = fault == faults[i];
    if (KeepOneOf(WideVariants(faults[i]), kept).has_value()) return true;
  }
  const std::vector<size_t> steps = KeptOf(Part::Kind::kStep);
  if (steps.size() < kMuch) return false;
  for (const size_t step : {steps.front(), steps.back()}) {
    Kept kept = kept_;
    for (const size_t other : steps) kept[other] = other == step;
    for (const size_t fault : faults) {
      if (KeepOneOf(WideVariants(fault), kept).has_value()) return true;
      const bool amid = faults.size() > 1 && parts_[fault].kind == Part::Kind::kFault;
      if (amid && KeepOneOf(OneAmidTheOthers(fault), kept).has_value()) return true;
    }
  }
  return false;
}

// What lets time pass, or calls be made, until others have their turn.
void Shrinker::RemoveWhatPassesTheTime() {
  if (RemoveMostAndVary()) return;
  for (size_t i = parts_.size(); i-- > 0 && !ended_early_;) {
    if (kept_[i]) RemoveAndVary(i);
  }
}

template <typename Change>
bool Shrinker::Simplify(size_t part, Change change) {
  Scenario changed = all_;
  std::vector<FaultEntry> entries = changed.faults.entries();
  FaultEntry& entry = entries[parts_[part].index];
  change(entry);
  if (entry == all_.faults.entries()[parts_[part].index]) return false;
  changed.faults = sim::FaultPlan(std::move(entries));
  if (!Fails(Without(changed, kept_))) return false;
  all_ = std::move(changed);
  return true;
}

// A later beginning and an earlier end in round numbers, the roundest first.
void Shrinker::SimplifyTimes(size_t part) {
  constexpr int kHalvings = 6;
  const auto entry = [this, part]() -> const FaultEntry& { return all_.faults.entries()[parts_[part].index]; };
  if (entry().trigger != FaultEntry::Trigger::kTime) {
    Simplify(part, [](FaultEntry& e) { e.to = absl::InfiniteDuration(); });
    if (!Simplify(part, [](FaultEntry& e) { e.count = 1; }) && Stretches(entry())) {
      // What it has to meet may come later.
      Simplify(part, [](FaultEntry& e) {
        e.count = 1;
        e.lasts = std::max(e.lasts, kLong);
      });
    }
    for (int i = 0; i < kHalvings && Simplify(part, [](FaultEntry& e) { e.count -= e.count / 2; }); ++i) {
    }
    // What a program does comes round again: what happened late may happen early, but seldom at half of it.
    for (uint64_t n = 2; n <= kFirstOnes && n < entry().count; ++n) {
      if (Simplify(part, [n](FaultEntry& e) { e.count = n; })) break;
    }
    for (int i = 0; i < kHalvings && Simplify(part, [](FaultEntry& e) { e.lasts /= 2; }); ++i) {
    }
  } else if (sim::Lasts(entry().kind) && entry().to != absl::InfiniteDuration()) {
    // From the start on: what had to happen before it can be left out then.
    Simplify(part, [](FaultEntry& e) { e.from = absl::ZeroDuration(); });
    for (int i = 0; i < kHalvings && Simplify(part, [](FaultEntry& e) { e.to -= (e.to - e.from) / 2; }); ++i) {
    }
  }
  // Earlier, for as long: what had to pass the time before it can be left out then.
  const bool timed = entry().trigger == FaultEntry::Trigger::kTime;
  for (int i = 0; timed && i < kHalvings && Simplify(part, [](FaultEntry& e) { MoveAhead(e, e.from / 2); }); ++i) {
  }
  for (const absl::Duration unit : {absl::Seconds(1), absl::Milliseconds(100), absl::Milliseconds(10),
                                    absl::Milliseconds(1), absl::Microseconds(100), absl::Microseconds(10)}) {
    const auto round = [unit](FaultEntry& e) {
      if (e.trigger == FaultEntry::Trigger::kTime) {
        const absl::Duration length = e.to - e.from;
        e.from = Rounded(e.from, unit);
        e.to = e.from + RoundLength(length, unit);
      } else {
        e.lasts = RoundLength(e.lasts, unit);
      }
    };
    if (Simplify(part, round)) return;
  }
}

// Fewer hosts.
void Shrinker::SimplifyTargets(size_t part) {
  for (std::string FaultEntry::* const list : {&FaultEntry::target, &FaultEntry::other}) {
    std::vector<std::string> hosts = absl::StrSplit(all_.faults.entries()[parts_[part].index].*list, ',');
    for (size_t i = 0; hosts.size() > 1 && i < hosts.size();) {
      std::vector<std::string> fewer = hosts;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      const bool removed = Simplify(part, [&](FaultEntry& e) { e.*list = absl::StrJoin(fewer, ","); });
      removed ? hosts.swap(fewer) : void(++i);
    }
  }
}

void Shrinker::SimplifyEntry(size_t part) {
  const sim::FaultKind kind = all_.faults.entries()[parts_[part].index].kind;
  // The order of hosts is the shape of these.
  if (!sim::ShapeOf(kind).has_value() && !sim::IsSwizzle(kind)) SimplifyTargets(part);
  SimplifyStrength(part);  // Before the times, which then may be early.
  SimplifyTimes(part);
}

// All or nothing is simpler than a chance, and hits what comes first.
void Shrinker::SimplifyStrength(size_t part) {
  const FaultEntry entry = all_.faults.entries()[parts_[part].index];
  const uint64_t most = sim::StrengthMax(entry.kind);
  if (sim::StrengthUnit(entry.kind) != "millionths" || entry.strength == most) return;
  if (!Simplify(part, [most](FaultEntry& e) { e.strength = most; })) {
    Simplify(part, [most](FaultEntry& e) { e.strength = std::max(e.strength, most / 2); });
  }
}

// An earlier operation.
void Shrinker::SimplifyFailure(size_t part) {
  const uint64_t number = all_.failures[parts_[part].index].number;
  for (uint64_t n = 1; n <= kFirstOnes && n < number; ++n) {
    Scenario changed = all_;
    changed.failures[parts_[part].index].number = n;
    if (!Fails(Without(changed, kept_))) continue;
    all_ = std::move(changed);
    return;
  }
}

void Shrinker::SimplifyHostTime(size_t part) {
  for (const absl::Duration unit :
       {absl::Seconds(1), absl::Milliseconds(1), absl::Microseconds(100), absl::Microseconds(10)}) {
    Scenario changed = all_;
    auto& times = parts_[part].kind == Part::Kind::kStart ? changed.starts : changed.clocks;
    absl::Duration& time = times[parts_[part].name];
    time = Rounded(time + unit / 2, unit);
    if (time == absl::ZeroDuration() || !Fails(Without(changed, kept_))) continue;
    all_ = std::move(changed);
    return;
  }
}

// One that draws for each step by itself: of it single decisions can be left.
void Shrinker::SimplifySchedule() {
  if (all_.schedule != "pct" && all_.schedule != "delay") return;
  for (const char* kind : {"pos", "random"}) {
    Scenario changed = all_;
    changed.schedule = kind;
    changed.steps.reset();
    if (!Fails(Without(changed, kept_))) continue;
    all_ = std::move(changed);
    return;
  }
}

bool Shrinker::CalmDown(const Calm& calm) {
  Scenario changed = all_;
  changed.calms.push_back(calm);
  if (!Fails(Without(changed, kept_))) return false;
  all_ = std::move(changed);
  return true;
}

// Of what is left to chance, the first decisions about each are enough, most times, and often the last of these: what
// happens behind the failure and long before it is ordinary then.
void Shrinker::NarrowChoice(Choice what) {
  constexpr uint64_t kMost = 4096;
  const Scenario before = all_;
  uint64_t to = 1;
  while (to <= kMost && !CalmDown({what, "*", to, Calm::kEnd})) to *= 4;
  if (to > kMost) return;
  NarrowBounds(before, {what}, to / 4, to);
}

// Of the decisions `of`, beside `base`: one from `low` on matters, and none from `high` on.
void Shrinker::NarrowBounds(Scenario base, const Calm& of, uint64_t low, uint64_t high) {
  const auto between = [&of](uint64_t from, uint64_t to) {
    Calm calm = of;
    calm.from = from;
    calm.to = to;
    return calm;
  };
  const auto halve = [&](uint64_t least, uint64_t most, auto calm) {
    while (most - least > 1) {
      const uint64_t middle = least + (most - least) / 2;
      const Scenario found = std::exchange(all_, base);
      const bool fails = CalmDown(calm(middle));
      if (!fails) all_ = found;
      (fails == (calm(middle).to == Calm::kEnd) ? most : least) = middle;
    }
    return most;
  };
  const uint64_t to = halve(low, high, [&](uint64_t from) { return between(from, Calm::kEnd); });
  base = all_;
  halve(0, to, [&](uint64_t end) { return between(0, end); });
}

// Half of them, then quarters, as with parts.
std::vector<DecisionCount> Shrinker::NarrowWhom(Choice what, std::vector<DecisionCount> whom) {
  const Scenario before = all_;
  const auto without = [](const std::vector<DecisionCount>& all, size_t from, size_t to) {
    std::vector<DecisionCount> rest = all;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(from), rest.begin() + static_cast<std::ptrdiff_t>(to));
    return rest;
  };
  const auto matter = [&](const std::vector<DecisionCount>& rest) {
    const auto add_path = [](std::string* out, const DecisionCount& decision) { out->append(decision.whom); };
    const Scenario found = std::exchange(all_, before);
    const bool fails = CalmDown({what, "*", 0, Calm::kEnd, absl::StrJoin(rest, ",", add_path)});
    if (!fails) all_ = found;
    return fails;
  };
  for (size_t size = (whom.size() + 1) / 2; size >= 1; size /= 2) {
    for (size_t from = 0; from < whom.size() && whom.size() > 1;) {
      const size_t to = std::min(from + size, whom.size());
      std::vector<DecisionCount> rest = without(whom, from, to);
      if (!rest.empty() && matter(rest)) {
        whom = std::move(rest);
      } else {
        from = to;
      }
    }
  }
  return whom;
}

// The first and the last decision about one that matter, and then in between, half of them, quarters...
void Shrinker::NarrowNumbers(const DecisionCount& decisions) {
  constexpr uint64_t kMost = 1024;
  constexpr uint64_t kNumbersMax = 1'000'000;
  if (decisions.count > kNumbersMax) return;  // Such decisions are numbered by hashes.
  const auto is_calm = [&](uint64_t n) {
    return std::any_of(all_.calms.begin(), all_.calms.end(), [&](const Calm& calm) {
      return calm.what == decisions.what && calm.from <= n && n < calm.to &&
             (calm.whom == decisions.whom || (calm.whom == "*" && calm.but.empty()));
    });
  };
  const auto free_ones = [&] {
    std::vector<uint64_t> free;
    for (uint64_t n = 0; n < decisions.count && free.size() < kMost; ++n) {
      if (!is_calm(n)) free.push_back(n);
    }
    return free;
  };
  std::vector<uint64_t> free = free_ones();
  if (free.size() > 1) {
    NarrowBounds(all_, {decisions.what, decisions.whom}, free.front(), free.back() + 1);
    free = free_ones();
  }
  for (size_t size = free.size() / 2; size >= 1; size /= 2) {
    for (size_t from = 0; from < free.size() && free.size() > 1;) {
      const size_t to = std::min(from + size, free.size());
      if (CalmDown({decisions.what, decisions.whom, free[from], free[to - 1] + 1})) {
        free.erase(free.begin() + static_cast<std::ptrdiff_t>(from), free.begin() + static_cast<std::ptrdiff_t>(to));
      } else {
        from = to;
      }
    }
  }
}

void Shrinker::NarrowChance() {
  constexpr size_t kFew = 4;
  constexpr size_t kMany = 1000;
  std::vector<Choice> kinds;
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (!kept_[i]) continue;
    if (parts_[i].kind == Part::Kind::kFate) kinds.push_back(kFates[parts_[i].index]);
    if (parts_[i].kind != Part::Kind::kSchedule) continue;
    SimplifySchedule();
    kinds.push_back(Choice::kSchedule);
  }
  for (const Choice kind : kinds) NarrowChoice(kind);
  for (const Choice kind : kinds) {
    if (ended_early_ || runs_ == runs_max_) return;
    ++runs_;
    std::vector<DecisionCount> whom = decisions_(Without(all_, kept_));
    std::erase_if(whom, [kind](const DecisionCount& of) { return of.what != kind || absl::StrContains(of.whom, ','); });
    if (whom.size() > kMany) continue;  // So long a line costs more than it tells.
    whom = NarrowWhom(kind, std::move(whom));
    for (size_t i = 0; whom.size() <= kFew && i < whom.size(); ++i) NarrowNumbers(whom[i]);
  }
  // What else its fault might hit is calm now: it need not be by chance that it hits the rest.
  for (const size_t part : KeptOf(Part::Kind::kFault)) {
    const sim::FaultKind kind = all_.faults.entries()[parts_[part].index].kind;
    if (kinds.empty() || sim::StrengthUnit(kind) != "millionths") continue;
    Simplify(part, [&](FaultEntry& e) { e.strength = std::max(e.strength, sim::StrengthMax(kind) - 1); });
  }
}

void Shrinker::SimplifyAll() {
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (!kept_[i]) continue;
    if (parts_[i].kind == Part::Kind::kFault) SimplifyEntry(i);
    if (parts_[i].kind == Part::Kind::kFailure) SimplifyFailure(i);
    if (parts_[i].kind == Part::Kind::kStart || parts_[i].kind == Part::Kind::kClock) SimplifyHostTime(i);
  }
}

Shrunk Shrinker::Execute() {
  KeepOnly(Kept(parts_.size(), false));  // Some bugs need nothing.
  for (const Part::Kind kind : kKinds) {
    const std::vector<size_t> parts = KeptOf(kind);
    if (!parts.empty() && !Remove(parts)) RemoveInChunks(parts);
  }
  RemoveOneByOne();
  // With simpler numbers some parts can be missed, and without these the numbers can be simpler still.
  bool finished = false;
  size_t before = parts_.size() + 1;
  while (KeptCount() < before && !ended_early_) {
    before = KeptCount();
    SimplifyAll();
    RemoveOneByOne();
    finished = !ended_early_;
    if (KeptCount() == before) RemoveWhatPassesTheTime();
  }
  finished = finished && KeptCount() == before;
  if (ended_early_) return {Without(all_, kept_), runs_, late_, finished && late_ == 0};
  NarrowChance();
  RemoveOneByOne();
  return {Without(all_, kept_), runs_, late_, finished && !ended_early_ && late_ == 0};
}

}  // namespace

WorkloadSteps ParseSteps(absl::string_view text) {
  WorkloadSteps steps;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(line, ' ');
    uint64_t count = 0;
    if (absl::SimpleAtoi(parts.second, &count)) steps[std::string(parts.first)] = count;
  }
  return steps;
}

Shrunk Shrink(const Scenario& scenario, const WorkloadSteps& steps, uint64_t runs_max,
              absl::FunctionRef<Trial(const Scenario&)> run,
              absl::FunctionRef<std::vector<DecisionCount>(const Scenario&)> decisions) {
  return Shrinker(scenario, steps, runs_max, run, decisions).Execute();
}

}  // namespace tandem::testing
