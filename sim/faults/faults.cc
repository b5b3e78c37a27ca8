// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/faults/faults.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tandem/core/base/cut_text.h"
#include "tandem/sim/faults/seconds.h"

namespace tandem::sim {
namespace {

enum class Ends { kHost, kLink, kPair, kShape, kOrders };
enum class End { kLasts, kAtOnce, kBoots };
enum class Unit { kNone, kMillionths, kNanoseconds, kBytes, kBytesPerSecond };
enum class Needs {
  kPackets,
  kDatagrams,
  kLargePackets,
  kCalls,
  kConnects,
  kAccepts,
  kConnections,
  kLookups,
  kChangedNames,
  kTimers,
  kWork,
  kProcess,
};
enum class Family { kNetwork, kHosts, kClocks };

struct KindTraits {
  absl::string_view name;
  Ends targets;
  End end;
  Unit unit;
  uint64_t least;
  uint64_t most;
  uint64_t limit;
  Needs needs;
  Family family;
  absl::string_view meaning;
};

constexpr KindTraits kKinds[kFaultKindCount] = {
#define TANDEM_FAULT(id, name, targets, end, unit, least, most, limit, needs, family, meaning) \
  {name, Ends::targets, End::end, Unit::unit, least, most, limit, Needs::needs, Family::family, meaning},
#include "tandem/sim/faults/kinds.inc"
#undef TANDEM_FAULT
};

const KindTraits& TraitsOf(FaultKind kind) { return kKinds[static_cast<size_t>(kind)]; }
bool HasStrength(const KindTraits& traits) { return traits.unit != Unit::kNone; }

absl::Status LineError(absl::string_view line, absl::string_view what) {
  constexpr size_t kShownMax = 200;  // A file that is no plan may have lines of any length.
  return absl::InvalidArgumentError(absl::StrCat(
      "fault plan: \"", internal::CutText(line, kShownMax), "\": ", what,
      " (an entry reads: KIND HOST [HOST] from SECONDSs [to SECONDSs] [strength NUMBER], or: KIND HOST [HOST] at "
      "call|packet NUMBER|visit NUMBER of \"SITE\" [for SECONDSs] [before SECONDSs] [strength NUMBER]; a HOST may be * "
      "or several with commas)"));
}

std::vector<absl::string_view> NamesOf(absl::string_view list) { return absl::StrSplit(list, ','); }

// The place of `name` in `list`, "a,b,c".
std::optional<size_t> PlaceOf(absl::string_view list, absl::string_view name) {
  const std::vector<absl::string_view> names = NamesOf(list);
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return static_cast<size_t>(found - names.begin());
}

std::vector<absl::string_view> Sorted(std::vector<absl::string_view> names) {
  std::sort(names.begin(), names.end());
  return names;
}

// Takes words from the front of a line.
class Words {
 public:
  explicit Words(absl::string_view line) : words_(absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty())) {}

  bool empty() const { return next_ == words_.size(); }
  absl::string_view Take() { return empty() ? absl::string_view() : words_[next_++]; }
  bool TakeIf(absl::string_view word) {
    if (empty() || words_[next_] != word) return false;
    ++next_;
    return true;
  }

 private:
  std::vector<absl::string_view> words_;
  size_t next_ = 0;
};

// "call 37", "packet 12", "visit 3 of "commit"".
absl::Status ParseOccasion(absl::string_view line, Words& words, FaultEntry& entry) {
  const bool visit = !HitsLinks(entry.kind) && words.TakeIf("visit");
  const absl::string_view what = HitsLinks(entry.kind) ? "packet" : "call";
  entry.trigger = visit                   ? FaultEntry::Trigger::kVisit
                  : HitsLinks(entry.kind) ? FaultEntry::Trigger::kPacket
                                          : FaultEntry::Trigger::kCall;
  if ((!visit && !words.TakeIf(what)) || !absl::SimpleAtoi(words.Take(), &entry.count) || entry.count == 0) {
    return LineError(line, absl::StrCat("this kind begins at a time, or at ", what, " N from 1",
                                        HitsLinks(entry.kind) ? "" : ", or at visit N of \"SITE\""));
  }
  if (!visit) return absl::OkStatus();
  absl::string_view site;
  if (words.TakeIf("of")) site = words.Take();
  if (!absl::ConsumePrefix(&site, "\"") || !absl::ConsumeSuffix(&site, "\"") || !IsSiteName(site)) {
    return LineError(line, "expected of \"SITE\" after the number of the visit");
  }
  entry.site = std::string(site);
  return absl::OkStatus();
}

// "at call 37 for 2s before 60s", "from 1s to 2s".
absl::Status ParseTrigger(absl::string_view line, Words& words, FaultEntry& entry) {
  const bool lasts = Lasts(entry.kind);
  if (!HitsBoots(entry.kind) && words.TakeIf("at")) {
    if (absl::Status status = ParseOccasion(line, words, entry); !status.ok()) return status;
    if (lasts && (!words.TakeIf("for") || !ParseSeconds(words.Take(), &entry.lasts))) {
      return LineError(line, "it does not say for how long");
    }
    entry.to = absl::InfiniteDuration();
    if (words.TakeIf("before") && !ParseSeconds(words.Take(), &entry.to)) return LineError(line, "no latest time");
    return absl::OkStatus();
  }
  if (!words.TakeIf("from") || !ParseSeconds(words.Take(), &entry.from)) return LineError(line, "no start time");
  entry.to = entry.from;
  if (!lasts) return absl::OkStatus();
  if (!words.TakeIf("to") || !ParseSeconds(words.Take(), &entry.to)) return LineError(line, "no end time");
  return entry.to < entry.from ? LineError(line, "ends before it begins") : absl::OkStatus();
}

// "*", "a", "a,b": in a list "*" would be the name of a host.
bool IsHosts(absl::string_view word) {
  if (word == "*") return true;
  const std::vector<absl::string_view> names = NamesOf(word);
  return word != "from" && word != "at" &&
         std::none_of(names.begin(), names.end(), [](absl::string_view name) { return name.empty() || name == "*"; });
}

// Shapes and swizzles name each of their hosts once, and enough of them.
absl::Status CheckLists(absl::string_view line, const FaultEntry& entry) {
  if (!ShapeOf(entry.kind).has_value() && !IsSwizzle(entry.kind)) return absl::OkStatus();
  const std::vector<absl::string_view> names = Sorted(NamesOf(entry.target));
  const bool twice = std::adjacent_find(names.begin(), names.end()) != names.end();
  if (entry.target == "*" || twice || names.size() < LeastHosts(entry.kind)) {
    return LineError(line, absl::StrCat("this kind needs ", LeastHosts(entry.kind), " different hosts or more"));
  }
  if (IsSwizzle(entry.kind) && Sorted(NamesOf(entry.other)) != names) {
    return LineError(line, "this kind needs the same hosts twice, in two orders");
  }
  return absl::OkStatus();
}

absl::StatusOr<FaultEntry> ParseEntry(absl::string_view line) {
  Words words(line);
  const absl::string_view name = words.Take();
  const auto* traits =
      std::find_if(std::begin(kKinds), std::end(kKinds), [&](const KindTraits& k) { return k.name == name; });
  if (traits == std::end(kKinds)) return LineError(line, "no such kind of fault; docs/simulation.md has all of them");
  FaultEntry entry;
  entry.kind = static_cast<FaultKind>(traits - std::begin(kKinds));
  entry.target = std::string(words.Take());
  if (!IsHosts(entry.target)) return LineError(line, "no host");
  if (HitsLinks(entry.kind) && !ShapeOf(entry.kind).has_value()) {
    entry.other = std::string(words.Take());
    if (!IsHosts(entry.other)) return LineError(line, "this kind needs two hosts");
  }
  if (absl::Status status = CheckLists(line, entry); !status.ok()) return status;
  if (absl::Status status = ParseTrigger(line, words, entry); !status.ok()) return status;
  if (HasStrength(*traits)) {
    if (!words.TakeIf("strength") || !absl::SimpleAtoi(words.Take(), &entry.strength)) {
      return LineError(line, absl::StrCat("no strength (", StrengthUnit(entry.kind), ")"));
    }
    if (entry.strength > traits->limit) return LineError(line, absl::StrCat("the strength is at most ", traits->limit));
  }
  if (!words.empty()) return LineError(line, absl::StrCat("unexpected \"", words.Take(), "\""));
  return entry;
}

absl::string_view OccasionName(FaultEntry::Trigger trigger) {
  if (trigger == FaultEntry::Trigger::kVisit) return "visit";
  return trigger == FaultEntry::Trigger::kCall ? "call" : "packet";
}

// Whether `pattern` ("*", "a", "a,b") means `name`.
bool Means(absl::string_view pattern, absl::string_view name) {
  if (pattern == "*" || pattern == name) return true;
  while (!pattern.empty()) {
    const size_t comma = std::min(pattern.find(','), pattern.size());
    if (pattern.substr(0, comma) == name) return true;
    pattern.remove_prefix(std::min(comma + 1, pattern.size()));
  }
  return false;
}

}  // namespace

bool IsSiteName(absl::string_view name) { return !name.empty() && name.find_first_of(" \t\n\"#") == name.npos; }

absl::string_view FaultKindName(FaultKind kind) { return TraitsOf(kind).name; }
absl::string_view FaultKindMeaning(FaultKind kind) { return TraitsOf(kind).meaning; }
bool HitsLinks(FaultKind kind) { return TraitsOf(kind).targets != Ends::kHost; }
bool IsOneWay(FaultKind kind) { return TraitsOf(kind).targets == Ends::kLink; }
bool StopsProcess(FaultKind kind) { return TraitsOf(kind).family == Family::kHosts; }
uint64_t StrengthMax(FaultKind kind) { return TraitsOf(kind).limit; }
std::pair<uint64_t, uint64_t> StrengthDrawn(FaultKind kind) { return {TraitsOf(kind).least, TraitsOf(kind).most}; }
bool Lasts(FaultKind kind) { return TraitsOf(kind).end != End::kAtOnce; }
bool IsSeldomMet(FaultKind kind) {
  switch (TraitsOf(kind).needs) {
    case Needs::kLargePackets:
    case Needs::kConnects:
    case Needs::kAccepts:
    case Needs::kLookups:
    case Needs::kChangedNames:
    case Needs::kWork:
      return true;
    default:
      return false;
  }
}
bool HitsBoots(FaultKind kind) { return TraitsOf(kind).end == End::kBoots; }
bool IsSwizzle(FaultKind kind) { return TraitsOf(kind).targets == Ends::kOrders; }

std::optional<Shape> ShapeOf(FaultKind kind) {
  if (kind == FaultKind::kPartitionRing) return Shape::kRing;
  if (kind == FaultKind::kPartitionBridge) return Shape::kBridge;
  if (kind == FaultKind::kPartitionChain) return Shape::kChain;
  return std::nullopt;
}

size_t LeastHosts(FaultKind kind) {
  if (const std::optional<Shape> shape = ShapeOf(kind)) return LeastHosts(*shape);
  return HitsLinks(kind) ? 2 : 1;
}

absl::string_view StrengthUnit(FaultKind kind) {
  switch (TraitsOf(kind).unit) {
    case Unit::kNone:
      return "";
    case Unit::kMillionths:
      return "millionths";
    case Unit::kNanoseconds:
      return "ns";
    case Unit::kBytes:
      return "bytes";
    case Unit::kBytesPerSecond:
      return "bytes/s";
  }
  return "";
}

namespace {

absl::string_view TextOf(Ends targets) {
  switch (targets) {
    case Ends::kHost:
      return "a host";
    case Ends::kLink:
      return "from, to";
    case Ends::kPair:
      return "two hosts";
    case Ends::kShape:
      return "several hosts";
    case Ends::kOrders:
      return "several hosts, twice";
  }
  return "";
}

}  // namespace

std::string FaultKindsAsMarkdown() {
  std::string text = "| kind | whom | what it does | strength, as drawn |\n|---|---|---|---|\n";
  for (size_t i = 0; i < kFaultKindCount; ++i) {
    const KindTraits& traits = kKinds[i];
    absl::StrAppend(&text, "| ", traits.name, " | ", TextOf(traits.targets), " | ", traits.meaning, " | ");
    if (HasStrength(traits)) {
      absl::StrAppend(&text, traits.least, " to ", traits.most, " ", StrengthUnit(static_cast<FaultKind>(i)), " ");
    }
    absl::StrAppend(&text, "|\n");
  }
  return text;
}

std::string FaultEntry::ToString() const {
  std::string text = absl::StrCat(FaultKindName(kind), " ", target);
  if (!other.empty()) absl::StrAppend(&text, " ", other);
  if (trigger == Trigger::kTime) {
    absl::StrAppend(&text, " from ", SecondsText(from));
    if (Lasts(kind)) absl::StrAppend(&text, " to ", SecondsText(to));
  } else {
    absl::StrAppend(&text, " at ", OccasionName(trigger), " ", count);
    if (trigger == Trigger::kVisit) absl::StrAppend(&text, " of \"", site, "\"");
    if (Lasts(kind)) absl::StrAppend(&text, " for ", SecondsText(lasts));
    if (to != absl::InfiniteDuration()) absl::StrAppend(&text, " before ", SecondsText(to));
  }
  if (StrengthMax(kind) != 0) absl::StrAppend(&text, " strength ", strength);
  return text;
}

bool FaultEntry::Targets(absl::string_view name) const { return Means(target, name); }
bool FaultEntry::Hits(absl::string_view name) const { return !HitsLinks(kind) && Means(target, name); }
bool FaultEntry::Hits(absl::string_view from_host, absl::string_view to_host) const {
  if (!HitsLinks(kind)) return false;
  if (IsSwizzle(kind)) return Means(target, from_host) || Means(target, to_host);
  if (const std::optional<Shape> shape = ShapeOf(kind)) {
    const std::optional<size_t> from_place = PlaceOf(target, from_host);
    const std::optional<size_t> to_place = PlaceOf(target, to_host);
    return from_place.has_value() && to_place.has_value() &&
           IsCut(*shape, *from_place, *to_place, NamesOf(target).size());
  }
  if (Means(target, from_host) && Means(other, to_host)) return true;
  return !IsOneWay(kind) && Means(target, to_host) && Means(other, from_host);
}

std::optional<Span> FaultEntry::SwizzleOf(absl::string_view name, Span whole) const {
  const std::optional<size_t> hit = PlaceOf(target, name);
  const std::optional<size_t> heals = PlaceOf(other, name);
  if (!hit.has_value() || !heals.has_value()) return std::nullopt;
  return SwizzleSpan(whole, *hit, *heals, NamesOf(target).size());
}

absl::StatusOr<FaultPlan> FaultPlan::Parse(absl::string_view text) {
  FaultPlan plan;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    absl::StatusOr<FaultEntry> entry = ParseEntry(line);
    if (!entry.ok()) return entry.status();
    plan.Add(*std::move(entry));
  }
  return plan;
}

std::string FaultPlan::ToString() const {
  std::string text;
  for (const FaultEntry& entry : entries_) absl::StrAppend(&text, entry.ToString(), "\n");
  return text;
}

namespace {

uint64_t KindsOf(Family family) {
  uint64_t kinds = 0;
  for (size_t kind = 0; kind < kFaultKindCount; ++kind) {
    if (kKinds[kind].family == family) kinds |= uint64_t{1} << kind;
  }
  return kinds;
}

}  // namespace

std::vector<std::string> Faults::HostNames() const {
  std::vector<std::string> names = stopped_;
  names.insert(names.end(), spared_.begin(), spared_.end());
  for (const Budget& budget : budgets_) names.insert(names.end(), budget.hosts.begin(), budget.hosts.end());
  return names;
}

Faults Faults::Network() { return Faults(KindsOf(Family::kNetwork)); }
Faults Faults::Hosts() { return Faults(KindsOf(Family::kHosts)).Without(FaultKind::kTerminate); }
Faults Faults::Clocks() { return Faults(KindsOf(Family::kClocks)); }

Faults Faults::All() {
  Faults faults = Network();
  faults.kinds_ |= Hosts().kinds_;
  return faults;
}

bool CanHit(FaultKind kind, const Workload::Host& host) {
  switch (TraitsOf(kind).needs) {
    case Needs::kConnects:
      return host.connects > 0;
    case Needs::kAccepts:
      return host.accepts > 0;
    case Needs::kConnections:
      return host.connects + host.accepts > 0;
    case Needs::kTimers:
      return host.timers > 0;
    case Needs::kLookups:
      return host.lookups > 0;
    case Needs::kChangedNames:
      return host.changed_lookups > 0;
    case Needs::kWork:
      return host.works > 0;
    case Needs::kProcess:
      return host.calls + host.timers > 0;  // One that only sleeps may be stopped as well.
    default:
      return host.calls > 0;
  }
}

bool CanHit(FaultKind kind, const Workload::Link& link) {
  constexpr uint64_t kLarge = 600;  // Some of what is drawn for the largest size is below this.
  if (TraitsOf(kind).needs == Needs::kLargePackets) return link.largest >= kLarge;
  return TraitsOf(kind).needs == Needs::kDatagrams ? link.datagrams > 0 : link.packets > 0;
}

}  // namespace tandem::sim
