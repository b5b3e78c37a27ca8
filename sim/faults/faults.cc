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
#include "tandem/core/base/random.h"

namespace tandem::sim {
namespace {

constexpr uint64_t kMillion = 1'000'000;
constexpr uint64_t kSecondNs = 1'000'000'000;

enum class Hits { kHost, kLink };

struct KindTraits {
  FaultKind kind;
  absl::string_view name;
  Hits hits;
  bool lasts;             // Has an end; else it happens at `from`.
  uint64_t strength_min;  // What a generated entry has at least; 0 and 0 for kinds without a strength.
  uint64_t strength_max;
};

// A generated latency goes up to half a second, with a tail of 20 times that, and loss up to one half: worse is a
// partition.
constexpr KindTraits kKinds[kFaultKindCount] = {
    {FaultKind::kLatency, "latency", Hits::kLink, true, 10'000, kSecondNs / 2},
    {FaultKind::kLoss, "loss", Hits::kLink, true, 10'000, kMillion / 2},
    {FaultKind::kPartition, "partition", Hits::kLink, true, 0, 0},
    {FaultKind::kPartitionOneWay, "partition-one-way", Hits::kLink, true, 0, 0},
    {FaultKind::kClog, "clog", Hits::kLink, true, 0, 0},
    {FaultKind::kShortReads, "short-reads", Hits::kHost, true, 10'000, kMillion},
    {FaultKind::kShortWrites, "short-writes", Hits::kHost, true, 10'000, kMillion},
    {FaultKind::kJitter, "jitter", Hits::kHost, true, 1'000, kSecondNs / 10},
    {FaultKind::kReset, "reset", Hits::kHost, false, 100'000, kMillion},
    {FaultKind::kConnectRefused, "connect-refused", Hits::kHost, true, 50'000, kMillion},
    {FaultKind::kConnectTimedOut, "connect-timed-out", Hits::kHost, true, 50'000, kMillion},
    {FaultKind::kCrash, "crash", Hits::kHost, true, 0, 0},
    {FaultKind::kKill, "kill", Hits::kHost, true, 0, 0},
    {FaultKind::kPause, "pause", Hits::kHost, true, 0, 0},
    {FaultKind::kDuplicate, "duplicate", Hits::kLink, true, 1'000, kMillion / 2},
    {FaultKind::kReorder, "reorder", Hits::kLink, true, 1'000, kMillion / 2},
    {FaultKind::kLookupFailed, "lookup-failed", Hits::kHost, true, 50'000, kMillion},
    {FaultKind::kLookupSlow, "lookup-slow", Hits::kHost, true, 50'000, kMillion},
};

const KindTraits& TraitsOf(FaultKind kind) {
  const KindTraits& traits = kKinds[static_cast<size_t>(kind)];
  CHECK(traits.kind == kind);
  return traits;
}

bool HasStrength(const KindTraits& traits) { return traits.strength_max != 0; }

bool StopsProcess(FaultKind kind) {
  return kind == FaultKind::kCrash || kind == FaultKind::kKill || kind == FaultKind::kPause;
}

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
      " (an entry reads: KIND HOST [HOST] from SECONDSs [to SECONDSs] [strength NUMBER], a HOST may be *)"));
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

absl::StatusOr<FaultEntry> ParseEntry(absl::string_view line) {
  Words words(line);
  const absl::string_view name = words.Take();
  const auto* traits =
      std::find_if(std::begin(kKinds), std::end(kKinds), [&](const KindTraits& k) { return k.name == name; });
  if (traits == std::end(kKinds)) return LineError(line, "no such kind of fault");
  FaultEntry entry;
  entry.kind = traits->kind;
  entry.target = std::string(words.Take());
  if (entry.target.empty() || entry.target == "from") return LineError(line, "no host");
  if (traits->hits == Hits::kLink) {
    entry.other = std::string(words.Take());
    if (entry.other.empty() || entry.other == "from") return LineError(line, "this kind needs two hosts");
  }
  if (!words.TakeIf("from") || !ParseSeconds(words.Take(), &entry.from)) return LineError(line, "no start time");
  entry.to = entry.from;
  if (traits->lasts) {
    if (!words.TakeIf("to") || !ParseSeconds(words.Take(), &entry.to)) return LineError(line, "no end time");
    if (entry.to < entry.from) return LineError(line, "ends before it begins");
  }
  if (HasStrength(*traits)) {
    if (!words.TakeIf("strength") || !absl::SimpleAtoi(words.Take(), &entry.strength)) {
      return LineError(line, "no strength");
    }
    if (entry.strength > StrengthMax(entry.kind)) {
      return LineError(line, absl::StrCat("the strength is at most ", StrengthMax(entry.kind)));
    }
  }
  if (!words.empty()) return LineError(line, absl::StrCat("unexpected \"", words.Take(), "\""));
  return entry;
}

// Draws one number between `low` and `high` such that each power of two between them is as likely as the next.
uint64_t DrawScale(RandomStream& stream, uint64_t low, uint64_t high) {
  CHECK_LE(low, high);
  uint64_t doublings = 0;
  while ((high >> doublings) > low && doublings < 63) ++doublings;
  const uint64_t shift = stream.Below(doublings + 1);
  const uint64_t top = std::max(high >> shift, low);
  return static_cast<uint64_t>(stream.Between(static_cast<int64_t>(std::max(low, top / 2)), static_cast<int64_t>(top)));
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Draws the two ends of a link, all links to or from one host, or one host.
void DrawTargets(RandomStream& stream, Hits hits, const std::vector<std::string>& targets, FaultEntry& entry) {
  const size_t target = stream.Below(targets.size());
  entry.target = targets[target];
  if (hits == Hits::kHost) return;
  const size_t distance = 1 + stream.Below(targets.size() - 1);
  entry.other = targets[(target + distance) % targets.size()];
  // A host that is cut off from all others at once is another thing than a link that is down.
  const uint64_t quarter = stream.Below(4);
  if (quarter == 0) entry.other = "*";
  if (quarter == 1) entry.target = "*";
}

// Draws when the entry begins and ends, within [begin, begin + length).
void DrawTimes(RandomStream& stream, const KindTraits& traits, int64_t begin_ns, int64_t length_ns, FaultEntry& entry) {
  const int64_t from_ns = stream.Between(0, length_ns - 1);
  entry.from = absl::Nanoseconds(begin_ns + from_ns);
  entry.to = entry.from;
  if (!traits.lasts) return;
  const uint64_t longest_ns = static_cast<uint64_t>(length_ns - from_ns);
  const uint64_t shortest_ns = std::min<uint64_t>(longest_ns, static_cast<uint64_t>(length_ns) / 100 + 1);
  entry.to = entry.from + absl::Nanoseconds(static_cast<int64_t>(DrawScale(stream, shortest_ns, longest_ns)));
}

}  // namespace

absl::string_view FaultKindName(FaultKind kind) { return TraitsOf(kind).name; }
bool HitsLinks(FaultKind kind) { return TraitsOf(kind).hits == Hits::kLink; }
uint64_t StrengthMax(FaultKind kind) {
  if (kind == FaultKind::kLatency || kind == FaultKind::kJitter) return 60 * kSecondNs;
  return HasStrength(TraitsOf(kind)) ? kMillion : 0;
}

std::string FaultEntry::ToString() const {
  const KindTraits& traits = TraitsOf(kind);
  std::string text = absl::StrCat(traits.name, " ", target);
  if (traits.hits == Hits::kLink) absl::StrAppend(&text, " ", other);
  absl::StrAppend(&text, " from ", SecondsText(from));
  if (traits.lasts) absl::StrAppend(&text, " to ", SecondsText(to));
  if (HasStrength(traits)) absl::StrAppend(&text, " strength ", strength);
  return text;
}

absl::StatusOr<FaultPlan> FaultPlan::Parse(absl::string_view text) {
  FaultPlan plan;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#') continue;
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

Faults Faults::Network() {
  Faults faults;
  for (const KindTraits& traits : kKinds) {
    if (!StopsProcess(traits.kind)) faults.With(traits.kind);
  }
  return faults;
}

Faults Faults::Hosts() { return None().With(FaultKind::kCrash).With(FaultKind::kKill).With(FaultKind::kPause); }

Faults Faults::All() {
  Faults faults = Network();
  faults.kinds_ |= Hosts().kinds_;
  return faults;
}

std::vector<std::string> Faults::TargetsOf(FaultKind kind, const std::vector<std::string>& hosts) const {
  if (!StopsProcess(kind)) return hosts;
  std::vector<std::string> targets;
  for (const std::string& host : hosts) {
    if ((stopped_.empty() || Contains(stopped_, host)) && !Contains(spared_, host)) targets.push_back(host);
  }
  return targets;
}

FaultPlan Faults::Generate(uint64_t seed, const std::vector<std::string>& hosts) const {
  CHECK_LE(absl::ZeroDuration(), from_);
  CHECK_LT(from_, to_) << "faults need a time to happen in";
  CHECK_GE(entries_per_kind_max_, 1u);
  const int64_t begin_ns = absl::ToInt64Nanoseconds(from_);
  const int64_t whole_ns = absl::ToInt64Nanoseconds(to_ - from_);
  RandomStream root = RandomStream(seed).Child(HashName("fault plan"));

  // Programs differ in how long they run: some seeds put all their faults into the first milliseconds. Most use the
  // whole time, since faults that are over before there is traffic hit nothing.
  constexpr int64_t kScales[] = {1, 1, 1, 1, 1, 10, 100, 1000};
  RandomStream swarm = root.Child(HashName("swarm"));
  const int64_t scale = kScales[swarm.Below(std::size(kScales))];
  const int64_t length_ns = std::max<int64_t>(whole_ns / scale, 1);
  // Every eighth seed has no fault at all, and each of the others picks how likely a kind is.
  const uint64_t eighths = swarm.Below(8);

  FaultPlan plan;
  for (const KindTraits& traits : kKinds) {
    if (!Has(traits.kind)) continue;
    RandomStream of_kind = root.Child(HashName(traits.name));
    const bool picked = of_kind.Below(8) < eighths;
    if (!picked && !always_) continue;
    const std::vector<std::string> targets = TargetsOf(traits.kind, hosts);
    if (targets.size() < (traits.hits == Hits::kLink ? 2 : 1)) continue;
    const uint64_t count = 1 + of_kind.Below(entries_per_kind_max_);
    for (uint64_t ordinal = 0; ordinal < count; ++ordinal) {
      RandomStream stream = of_kind.Child(ordinal);
      FaultEntry entry;
      entry.kind = traits.kind;
      DrawTargets(stream, traits.hits, targets, entry);
      DrawTimes(stream, traits, begin_ns, length_ns, entry);
      if (HasStrength(traits)) entry.strength = DrawScale(stream, traits.strength_min, traits.strength_max);
      plan.Add(std::move(entry));
    }
  }
  return plan;
}

}  // namespace tandem::sim
