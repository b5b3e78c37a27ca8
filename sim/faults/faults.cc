// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/faults/faults.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace tandem::sim {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

enum class Ends { kHost, kLink, kPair };
enum class End { kLasts, kAtOnce };
enum class Unit { kNone, kMillionths, kNanoseconds, kBytes, kBytesPerSecond };
enum class Needs { kPackets, kDatagrams, kLargePackets, kCalls, kConnects, kLookups, kWork, kProcess };
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

// "1.5s", by integer arithmetic: absl::FormatDuration goes through floating point.
std::string SecondsText(absl::Duration duration) {
  const int64_t ns = absl::ToInt64Nanoseconds(duration);
  const uint64_t seconds = static_cast<uint64_t>(ns) / kSecondNs;
  std::string fraction = absl::StrCat(absl::Dec(static_cast<uint64_t>(ns) % kSecondNs, absl::kZeroPad9));
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  return absl::StrCat(seconds, fraction.empty() ? "" : ".", fraction, "s");
}

// The inverse: a decimal number of at most nine places, and "s".
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

absl::Status LineError(absl::string_view line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      "fault plan: \"", line, "\": ", what,
      " (an entry reads: KIND HOST [HOST] from SECONDSs [to SECONDSs] [strength NUMBER], or: KIND HOST [HOST] at "
      "call|packet "
      "NUMBER [for SECONDSs] [before SECONDSs] [strength NUMBER]; a HOST may be * or several with commas)"));
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

// "at call 37 for 2s before 60s", "from 1s to 2s".
absl::Status ParseTrigger(absl::string_view line, Words& words, FaultEntry& entry) {
  const bool lasts = Lasts(entry.kind);
  if (words.TakeIf("at")) {
    const absl::string_view what = HitsLinks(entry.kind) ? "packet" : "call";
    entry.trigger = HitsLinks(entry.kind) ? FaultEntry::Trigger::kPacket : FaultEntry::Trigger::kCall;
    if (!words.TakeIf(what) || !absl::SimpleAtoi(words.Take(), &entry.count) || entry.count == 0) {
      return LineError(line, absl::StrCat("this kind begins at a time, or at ", what, " N from 1"));
    }
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

bool IsHosts(absl::string_view word) {
  return !word.empty() && word != "from" && word != "at" && word.front() != ',' && word.back() != ',';
}

absl::StatusOr<FaultEntry> ParseEntry(absl::string_view line) {
  Words words(line);
  const absl::string_view name = words.Take();
  const auto* traits =
      std::find_if(std::begin(kKinds), std::end(kKinds), [&](const KindTraits& k) { return k.name == name; });
  if (traits == std::end(kKinds)) return LineError(line, "no such kind of fault");
  FaultEntry entry;
  entry.kind = static_cast<FaultKind>(traits - std::begin(kKinds));
  entry.target = std::string(words.Take());
  if (!IsHosts(entry.target)) return LineError(line, "no host");
  if (HitsLinks(entry.kind)) {
    entry.other = std::string(words.Take());
    if (!IsHosts(entry.other)) return LineError(line, "this kind needs two hosts");
  }
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

absl::string_view FaultKindName(FaultKind kind) { return TraitsOf(kind).name; }
absl::string_view FaultKindMeaning(FaultKind kind) { return TraitsOf(kind).meaning; }
bool HitsLinks(FaultKind kind) { return TraitsOf(kind).targets != Ends::kHost; }
bool IsOneWay(FaultKind kind) { return TraitsOf(kind).targets == Ends::kLink; }
bool StopsProcess(FaultKind kind) { return TraitsOf(kind).family == Family::kHosts; }
uint64_t StrengthMax(FaultKind kind) { return TraitsOf(kind).limit; }
std::pair<uint64_t, uint64_t> StrengthDrawn(FaultKind kind) { return {TraitsOf(kind).least, TraitsOf(kind).most}; }
bool Lasts(FaultKind kind) { return TraitsOf(kind).end == End::kLasts; }

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

std::string FaultKindsAsMarkdown() {
  std::string text = "| kind | whom | what it does | strength, as drawn |\n|---|---|---|---|\n";
  for (size_t i = 0; i < kFaultKindCount; ++i) {
    const KindTraits& traits = kKinds[i];
    const absl::string_view whom = traits.targets == Ends::kHost   ? "a host"
                                   : traits.targets == Ends::kLink ? "from, to"
                                                                   : "two hosts";
    absl::StrAppend(&text, "| ", traits.name, " | ", whom, " | ", traits.meaning, " | ");
    if (HasStrength(traits)) {
      absl::StrAppend(&text, traits.least, " to ", traits.most, " ", StrengthUnit(static_cast<FaultKind>(i)), " ");
    }
    absl::StrAppend(&text, "|\n");
  }
  return text;
}

std::string FaultEntry::ToString() const {
  std::string text = absl::StrCat(FaultKindName(kind), " ", target);
  if (HitsLinks(kind)) absl::StrAppend(&text, " ", other);
  if (trigger == Trigger::kTime) {
    absl::StrAppend(&text, " from ", SecondsText(from));
    if (Lasts(kind)) absl::StrAppend(&text, " to ", SecondsText(to));
  } else {
    absl::StrAppend(&text, trigger == Trigger::kCall ? " at call " : " at packet ", count);
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
  if (Means(target, from_host) && Means(other, to_host)) return true;
  return !IsOneWay(kind) && Means(target, to_host) && Means(other, from_host);
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

Faults OfFamily(Family family) {
  Faults faults = Faults::None();
  for (size_t kind = 0; kind < kFaultKindCount; ++kind) {
    if (kKinds[kind].family == family) faults.With(static_cast<FaultKind>(kind));
  }
  return faults;
}

}  // namespace

Faults Faults::Network() { return OfFamily(Family::kNetwork); }
Faults Faults::Hosts() { return OfFamily(Family::kHosts); }
Faults Faults::Clocks() { return OfFamily(Family::kClocks); }

Faults Faults::All() {
  Faults faults = Network();
  faults.kinds_ |= Hosts().kinds_;
  return faults;
}

bool CanHit(FaultKind kind, const Workload::Host& host) {
  switch (TraitsOf(kind).needs) {
    case Needs::kConnects:
      return host.connects > 0;
    case Needs::kLookups:
      return host.lookups > 0;
    case Needs::kWork:
      return host.works > 0;
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
