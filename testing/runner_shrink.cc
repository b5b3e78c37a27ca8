// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_shrink.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/random/choices.h"

namespace tandem::testing {
namespace {

using sim::Calm;
using sim::Choice;
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
  return std::any_of(scenario.calms.begin(), scenario.calms.end(), [what](const Calm& calm) {
    return calm.what == what && calm.whom == "*" && calm.from == 0 && calm.to == Calm::kEnd;
  });
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
    FaultEntry& variant = variants.emplace_back(entry);
    variant.trigger = FaultEntry::Trigger::kTime;
    variant.count = 0;
    variant.site.clear();
    variant.from = time;
    variant.to = time + entry.lasts;
    variant.lasts = absl::ZeroDuration();
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

absl::Duration Rounded(absl::Duration time, absl::Duration unit) { return absl::Trunc(time, unit); }

class Shrinker {
 public:
  Shrinker(Scenario scenario, const WorkloadSteps& steps, uint64_t runs_max,
           absl::FunctionRef<Trial(const Scenario&)> run)
      : all_(std::move(scenario)),
        parts_(PartsOf(all_, steps)),
        kept_(parts_.size(), true),
        runs_max_(runs_max),
        run_(run) {
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
  std::vector<Scenario> Variants(size_t part) const;
  bool RemoveAndVary(size_t part);
  void RemoveWhatPassesTheTime();
  // Changes the entry of `part` by `change`; false, and it is as it was, when the failure is another then.
  template <typename Change>
  bool Simplify(size_t part, Change change);
  void SimplifyEntry(size_t part);
  void SimplifyTimes(size_t part);
  void SimplifyTargets(size_t part);
  void SimplifyFailure(size_t part);
  void SimplifyHostTime(size_t part);
  // Whether it fails in the same way when these decisions are calm too; they are from then on.
  bool CalmDown(const Calm& calm);
  void NarrowChoice(Choice what);
  void NarrowChance();
  void SimplifyAll();

  Scenario all_;  // Its numbers become smaller.
  const std::vector<Part> parts_;
  Kept kept_;
  std::set<std::string> tried_;
  const uint64_t runs_max_;
  uint64_t runs_ = 0;
  bool ended_early_ = false;
  absl::FunctionRef<Trial(const Scenario&)> run_;
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

// `all_` where `part` waits for something else, or is drawn anew.
std::vector<Scenario> Shrinker::Variants(size_t part) const {
  std::vector<Scenario> variants;
  const auto add = [&](auto change) {
    variants.push_back(all_);
    change(variants.back());
  };
  const size_t index = parts_[part].index;
  if (parts_[part].kind == Part::Kind::kFault) {
    for (const FaultEntry& variant : VariantsOf(all_.faults.entries()[index])) {
      std::vector<FaultEntry> entries = all_.faults.entries();
      entries[index] = variant;
      add([&](Scenario& changed) { changed.faults = sim::FaultPlan(std::move(entries)); });
    }
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

// Without `part`, in case that it takes no more than a variant of another one.
bool Shrinker::RemoveAndVary(size_t part) {
  Kept kept = kept_;
  kept[part] = false;
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (!kept[i] || ended_early_) continue;
    for (Scenario& variant : Variants(i)) {
      if (!Fails(Without(variant, kept))) continue;
      all_ = std::move(variant);
      kept_ = std::move(kept);
      return true;
    }
  }
  return false;
}

// What lets time pass, or calls be made, until others have their turn.
void Shrinker::RemoveWhatPassesTheTime() {
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
    Simplify(part, [](FaultEntry& e) { e.count = 1; });
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
        e.to = e.from + (length < unit ? length : Rounded(length + unit / 2, unit));
      } else {
        e.lasts = e.lasts < unit ? e.lasts : Rounded(e.lasts + unit / 2, unit);
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
  SimplifyTimes(part);
  const uint64_t most = sim::StrengthMax(kind);
  if (most == 0) return;
  // All or nothing is simpler than a chance.
  if (sim::StrengthUnit(kind) != "millionths" || all_.faults.entries()[parts_[part].index].strength == most) return;
  // So that it hits what comes first.
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
  const auto halve = [this](const Scenario& base, uint64_t low, uint64_t high, auto calm) {
    while (high - low > 1) {
      const uint64_t middle = low + (high - low) / 2;
      const Scenario found = std::exchange(all_, base);
      const bool fails = CalmDown(calm(middle));
      if (!fails) all_ = found;
      (fails == (calm(middle).to == Calm::kEnd) ? high : low) = middle;
    }
    return high;
  };
  to = halve(before, to / 4, to, [what](uint64_t from) { return Calm{what, "*", from, Calm::kEnd}; });
  const Scenario suffix = all_;
  halve(suffix, 0, to, [what](uint64_t end) { return Calm{what, "*", 0, end}; });
}

void Shrinker::NarrowChance() {
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (!kept_[i]) continue;
    if (parts_[i].kind == Part::Kind::kFate) NarrowChoice(kFates[parts_[i].index]);
    if (parts_[i].kind == Part::Kind::kSchedule) NarrowChoice(Choice::kSchedule);
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
  if (ended_early_) return {Without(all_, kept_), runs_, finished};
  NarrowChance();
  RemoveOneByOne();
  return {Without(all_, kept_), runs_, finished && !ended_early_};
}

}  // namespace

Shrunk Shrink(const Scenario& scenario, const WorkloadSteps& steps, uint64_t runs_max,
              absl::FunctionRef<Trial(const Scenario&)> run) {
  return Shrinker(scenario, steps, runs_max, run).Execute();
}

}  // namespace tandem::testing
