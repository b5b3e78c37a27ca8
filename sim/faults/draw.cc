// SPDX-License-Identifier: Apache-2.0
//
// How a plan is drawn: which kinds, how many entries of each, whom they hit, when, and how strongly.

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "tandem/core/base/random.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/faults/workload.h"

namespace tandem::sim {
namespace {

constexpr uint64_t kMoreMoments = 4;

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// One number between `low` and `high` such that each power of two between them is as likely as the next.
uint64_t DrawScale(RandomStream& stream, uint64_t low, uint64_t high) {
  CHECK_LE(low, high);
  uint64_t doublings = 0;
  while ((high >> doublings) > low && doublings < 63) ++doublings;
  const uint64_t shift = stream.Below(doublings + 1);
  const uint64_t top = std::max(high >> shift, low);
  return static_cast<uint64_t>(stream.Between(static_cast<int64_t>(std::max(low, top / 2)), static_cast<int64_t>(top)));
}

using Pair = std::pair<std::string, std::string>;

uint64_t HashOf(const std::string& name) { return HashName(name); }
uint64_t HashOf(const Pair& pair) { return HashCombine(HashName(pair.first), HashName(pair.second)); }

// The candidate with the highest hash: one more candidate is chosen, or changes nothing.
template <typename Candidate>
const Candidate& ChooseOne(uint64_t key, const std::vector<Candidate>& candidates) {
  const auto rank = [key](const Candidate& candidate) { return HashCombine(key, HashOf(candidate)); };
  return *std::max_element(candidates.begin(), candidates.end(),
                           [&](const Candidate& a, const Candidate& b) { return rank(a) < rank(b); });
}

// [begin_ns, begin_ns + length_ns).
struct Window {
  int64_t begin_ns;
  int64_t length_ns;
};

}  // namespace

class FaultDraws {
 public:
  FaultDraws(const Faults& faults, const Choices& choices, const std::vector<std::string>& hosts,
             const Workload* workload)
      : faults_(faults), choices_(choices), hosts_(hosts), workload_(workload), window_(DrawWindow()) {}

  FaultPlan Draw() {
    RandomStream swarm = StreamOf("swarm", 0);
    // Every eighth seed has no fault at all, and each of the others picks how likely a kind is.
    const uint64_t eighths = swarm.Below(8);
    for (size_t i = 0; i < kFaultKindCount; ++i) {
      const auto kind = static_cast<FaultKind>(i);
      if (!faults_.Has(kind) || hosts_.size() < LeastHosts(kind) || !FindCandidates(kind)) continue;
      RandomStream of_kind = StreamOf(FaultKindName(kind), 0);
      const bool picked = of_kind.Below(8) < eighths;
      if (!picked && !faults_.always_) continue;
      uint64_t count = 1 + of_kind.Below(faults_.entries_per_kind_max_);
      // What happens at one moment needs several to find something to happen to.
      if (!Lasts(kind)) count += kMoreMoments;
      for (uint64_t ordinal = 0; ordinal < count; ++ordinal) DrawEntry(kind, ordinal);
    }
    return std::move(plan_);
  }

 private:
  RandomStream StreamOf(absl::string_view name, uint64_t n) const {
    return RandomStream(choices_.Draw(Choice::kFaults, Entity::Of(name), n));
  }

  bool knows_end() const { return workload_ != nullptr && workload_->end_ns > absl::ToInt64Nanoseconds(faults_.from_); }

  // The time in which something happens.
  Window WholeWindow() const {
    CHECK_LE(absl::ZeroDuration(), faults_.from_);
    CHECK_LT(faults_.from_, faults_.to_) << "faults need a time to happen in";
    CHECK_GE(faults_.entries_per_kind_max_, 1u);
    const int64_t begin_ns = absl::ToInt64Nanoseconds(faults_.from_);
    constexpr absl::Duration kLongest = absl::Hours(24 * 365 * 100);  // Of an infinite one; no run takes so long.
    int64_t length_ns = absl::ToInt64Nanoseconds(std::min(faults_.to_ - faults_.from_, kLongest));
    if (knows_end()) length_ns = std::min(length_ns, workload_->end_ns - begin_ns);
    return {begin_ns, std::max<int64_t>(length_ns, 1)};
  }

  // Some seeds have all their faults at its beginning.
  Window DrawWindow() const {
    constexpr int64_t kScales[] = {1, 1, 1, 1, 1, 1, 10, 100};
    constexpr int64_t kScalesOfUnknown[] = {1, 1, 1, 1, 1, 10, 100, 1000};
    Window window = WholeWindow();
    const uint64_t draw = StreamOf("window", 0).Below(std::size(kScales));
    window.length_ns = std::max<int64_t>(window.length_ns / (knows_end() ? kScales : kScalesOfUnknown)[draw], 1);
    return window;
  }

  bool MayBeStopped(const std::string& host) const {
    return (faults_.stopped_.empty() || Contains(faults_.stopped_, host)) && !Contains(faults_.spared_, host);
  }

  // Whom `kind` could hit. False when there is nobody.
  bool FindCandidates(FaultKind kind) {
    candidate_hosts_.clear();
    candidate_pairs_.clear();
    if (HitsLinks(kind)) {
      for (const std::string& from : hosts_) {
        for (const std::string& to : hosts_) {
          if (from != to && CanHitLink(kind, from, to)) candidate_pairs_.emplace_back(from, to);
        }
      }
      return !candidate_pairs_.empty();
    }
    for (const std::string& host : hosts_) {
      if (StopsProcess(kind) && !MayBeStopped(host)) continue;
      if (CanHitHost(kind, host)) candidate_hosts_.push_back(host);
    }
    return !candidate_hosts_.empty();
  }

  bool CanHitHost(FaultKind kind, const std::string& host) const {
    if (workload_ == nullptr) return true;
    const auto found = workload_->hosts.find(host);
    return found != workload_->hosts.end() && CanHit(kind, found->second);
  }

  bool CanHitLink(FaultKind kind, const std::string& from, const std::string& to) const {
    if (workload_ == nullptr) return true;
    const auto found = workload_->links.find({from, to});
    return found != workload_->links.end() && CanHit(kind, found->second);
  }

  void DrawEntry(FaultKind kind, uint64_t ordinal) {
    RandomStream stream = StreamOf(FaultKindName(kind), 1 + ordinal);
    FaultEntry entry;
    entry.kind = kind;
    const uint64_t count = DrawTarget(stream.Next(), entry);
    DrawTime(stream.Child(HashName("time")), count, entry);
    const auto [least, most] = StrengthDrawn(kind);
    RandomStream strength = stream.Child(HashName("strength"));
    if (StrengthMax(kind) != 0) entry.strength = DrawScale(strength, least, most);
    const uint64_t sure = Lasts(kind) ? 1 : kMoreMoments;
    if (faults_.always_ && ordinal < sure) MakeSure(stream.Child(HashName("sure")), entry);
    // Of a group that would be too many the first one may not be.
    if (!FitsBudgets(entry)) entry.target.resize(std::min(entry.target.find(','), entry.target.size()));
    if (FitsBudgets(entry)) plan_.Add(std::move(entry));
  }

  // Of a kind that every seed is to have, the first entry holds for long and is strong, so that it hits something; of
  // one that happens at once there are some in all of the time. Stops hit anyway.
  void MakeSure(RandomStream stream, FaultEntry& entry) const {
    if (StopsProcess(entry.kind) || HitsBoots(entry.kind)) return;
    const auto [least, most] = StrengthDrawn(entry.kind);
    if (StrengthUnit(entry.kind) == "millionths") entry.strength = most;
    if (StrengthUnit(entry.kind) == "bytes") entry.strength = least;
    const Window whole = WholeWindow();
    const bool lasts = Lasts(entry.kind);
    entry.trigger = FaultEntry::Trigger::kTime;
    entry.count = 0;
    entry.site.clear();
    entry.lasts = absl::ZeroDuration();
    const int64_t latest_ns = lasts ? whole.length_ns / 4 : whole.length_ns - 1;
    entry.from = absl::Nanoseconds(whole.begin_ns + stream.Between(0, latest_ns));
    entry.to = lasts ? absl::Nanoseconds(whole.begin_ns + whole.length_ns) : entry.from;
  }

  // Returns how many calls the host makes, or how many packets the link carries; 0: unknown.
  uint64_t DrawTarget(uint64_t key, FaultEntry& entry) const {
    // A host that is cut off from all others at once is another thing than a link that is down, and so are two sides;
    // and hosts that go down and come back together are another thing than each for itself.
    const uint64_t shape = ReduceToRange(HashCombine(key, HashName("shape")), 8);
    if (!HitsLinks(entry.kind)) {
      const std::string& host = ChooseOne(key, candidate_hosts_);
      entry.target = host;
      if (shape < 2 && StopsProcess(entry.kind)) DrawGroup(key, /*all=*/shape == 0, entry);
      return workload_ == nullptr ? 0 : workload_->hosts.at(host).calls;
    }
    const Pair& pair = ChooseOne(key, candidate_pairs_);
    const uint64_t count = workload_ == nullptr ? 0 : workload_->links.at(pair).packets;
    if (const std::optional<Shape> of_kind = ShapeOf(entry.kind)) {
      entry.target = absl::StrJoin(InShape(*of_kind, key, pair), ",");
      return count;
    }
    if (IsSwizzle(entry.kind)) {
      DrawOrders(key, pair, entry);
      return count;
    }
    entry.target = pair.first;
    entry.other = pair.second;
    if (shape == 0) entry.other = "*";
    if (shape == 1) entry.target = "*";
    if (shape == 2 && hosts_.size() > 2) DrawSides(key, pair, entry);
    return count;
  }

  // Some more of those that could be hit, or all.
  void DrawGroup(uint64_t key, bool all, FaultEntry& entry) const {
    const std::string first = entry.target;
    for (const std::string& host : candidate_hosts_) {
      if (host != first && (all || (HashCombine(key, HashName(host)) & 1) == 0)) {
        absl::StrAppend(&entry.target, ",", host);
      }
    }
  }

  std::vector<std::string> InOrder(uint64_t key, std::vector<std::string> hosts) const {
    std::sort(hosts.begin(), hosts.end(), [key](const std::string& a, const std::string& b) {
      return HashCombine(key, HashName(a)) < HashCombine(key, HashName(b));
    });
    return hosts;
  }

  // All hosts, the pair at places between which the shape cuts.
  std::vector<std::string> InShape(Shape shape, uint64_t key, const Pair& pair) const {
    const auto [first, second] = CutPlaces(shape, hosts_.size());
    std::vector<std::string> order = InOrder(key, hosts_);
    std::iter_swap(std::find(order.begin(), order.end(), pair.first), order.begin() + static_cast<ptrdiff_t>(first));
    std::iter_swap(std::find(order.begin(), order.end(), pair.second), order.begin() + static_cast<ptrdiff_t>(second));
    return order;
  }

  // Some hosts, one of the pair among them. They heal in order, the other way round, or in any order.
  void DrawOrders(uint64_t key, const Pair& pair, FaultEntry& entry) const {
    std::vector<std::string> some;
    for (const std::string& host : hosts_) {
      if (host == pair.first || (HashCombine(key, HashName(host)) & 1) == 0) some.push_back(host);
    }
    if (some.size() == 1) some.push_back(pair.second);
    const std::vector<std::string> hit = InOrder(HashCombine(key, HashName("hit")), some);
    std::vector<std::string> heals = hit;
    const uint64_t order = ReduceToRange(HashCombine(key, HashName("order")), 3);
    if (order == 1) std::reverse(heals.begin(), heals.end());
    if (order == 2) heals = InOrder(HashCombine(key, HashName("heals")), some);
    entry.target = absl::StrJoin(hit, ",");
    entry.other = absl::StrJoin(heals, ",");
  }

  // Every host is on one of two sides, the pair on different ones.
  void DrawSides(uint64_t key, const Pair& pair, FaultEntry& entry) const {
    for (const std::string& host : hosts_) {
      if (host == pair.first || host == pair.second) continue;
      std::string& side = (HashCombine(key, HashName(host)) & 1) == 0 ? entry.target : entry.other;
      absl::StrAppend(&side, ",", host);
    }
  }

  void DrawTime(RandomStream stream, uint64_t count, FaultEntry& entry) const {
    if (HitsBoots(entry.kind)) {  // Nobody is sure to start later.
      entry.to = faults_.to_;
      return;
    }
    const bool by_count = count > 0 && !(StopsProcess(entry.kind) && !faults_.budgets_.empty()) && stream.Below(2) == 0;
    const int64_t from_ns = by_count ? 0 : stream.Between(0, window_.length_ns - 1);
    const auto longest_ns = static_cast<uint64_t>(window_.length_ns - from_ns);
    const uint64_t part = IsSeldomMet(entry.kind) ? 5 : 100;
    const uint64_t shortest_ns = std::min<uint64_t>(longest_ns, static_cast<uint64_t>(window_.length_ns) / part + 1);
    const auto lasts = absl::Nanoseconds(static_cast<int64_t>(DrawScale(stream, shortest_ns, longest_ns)));
    if (!by_count) {
      entry.from = absl::Nanoseconds(window_.begin_ns + from_ns);
      entry.to = Lasts(entry.kind) ? entry.from + lasts : entry.from;
      return;
    }
    entry.trigger = HitsLinks(entry.kind) ? FaultEntry::Trigger::kPacket : FaultEntry::Trigger::kCall;
    if (!HitsLinks(entry.kind)) count = DrawSite(stream.Child(HashName("site")), count, entry);
    entry.count = DrawScale(stream, 1, count);
    if (Lasts(entry.kind)) entry.lasts = lasts;
    entry.to = faults_.to_;
  }

  // Half of the entries about a host that visits sites wait for a visit instead of a call. Returns how many there are.
  uint64_t DrawSite(RandomStream stream, uint64_t calls, FaultEntry& entry) const {
    const std::string host = entry.target.substr(0, entry.target.find(','));  // Of a group, the one that was drawn.
    const std::map<std::string, uint64_t>& visits = workload_->hosts.at(host).visits;
    if (visits.empty() || stream.Below(2) == 0) return calls;
    std::vector<std::string> sites;
    sites.reserve(visits.size());
    for (const auto& [site, count] : visits) sites.push_back(site);
    entry.trigger = FaultEntry::Trigger::kVisit;
    entry.site = ChooseOne(stream.Next(), sites);
    return visits.at(entry.site);
  }

  static bool TakesDown(const FaultEntry& entry) { return StopsProcess(entry.kind) && entry.kind != FaultKind::kPause; }

  // Whether with `entry` at no time too many hosts are down.
  bool FitsBudgets(const FaultEntry& entry) const {
    if (!TakesDown(entry)) return true;
    return std::all_of(faults_.budgets_.begin(), faults_.budgets_.end(), [&](const Faults::Budget& budget) {
      const bool concerned = std::any_of(budget.hosts.begin(), budget.hosts.end(),
                                         [&](const std::string& host) { return entry.Targets(host); });
      return !concerned || MostDown(entry, budget.hosts) <= budget.count;
    });
  }

  // The most hosts of `hosts` that are down at once in the time of `entry`, its own included.
  size_t MostDown(const FaultEntry& entry, const std::vector<std::string>& hosts) const {
    size_t most = 0;
    std::vector<absl::Duration> begins = {entry.from};
    for (const FaultEntry& other : plan_.entries()) {
      if (TakesDown(other) && other.from >= entry.from && other.from <= entry.to) begins.push_back(other.from);
    }
    for (const absl::Duration at : begins) {
      const auto is_down = [&](const std::string& host) {
        return entry.Targets(host) ||
               std::any_of(plan_.entries().begin(), plan_.entries().end(), [&](const auto& other) {
                 return TakesDown(other) && other.from <= at && at <= other.to && other.Targets(host);
               });
      };
      most = std::max(most, static_cast<size_t>(std::count_if(hosts.begin(), hosts.end(), is_down)));
    }
    return most;
  }

  const Faults& faults_;
  const Choices& choices_;
  const std::vector<std::string>& hosts_;
  const Workload* const workload_;
  const Window window_;
  std::vector<std::string> candidate_hosts_;
  std::vector<Pair> candidate_pairs_;
  FaultPlan plan_;
};

FaultPlan Faults::Generate(const Choices& choices, const std::vector<std::string>& hosts,
                           const Workload* workload) const {
  return FaultDraws(*this, choices, hosts, workload).Draw();
}

Faults Faults::Applicable(const Workload& workload) const {
  Faults applicable = *this;
  for (size_t i = 0; i < kFaultKindCount; ++i) {
    const auto kind = static_cast<FaultKind>(i);
    const auto can_hit = [&](const auto& named) { return CanHit(kind, named.second); };
    const bool applies = HitsLinks(kind) ? std::any_of(workload.links.begin(), workload.links.end(), can_hit)
                                         : std::any_of(workload.hosts.begin(), workload.hosts.end(), can_hit);
    if (!applies || workload.hosts.size() < LeastHosts(kind)) applicable.Without(kind);
  }
  return applicable;
}

}  // namespace tandem::sim
