// SPDX-License-Identifier: Apache-2.0
//
// Faults are data: a FaultPlan is a list of entries, each a kind, whom it hits, when, and how strongly.
//
// A plan is drawn from the seed (World::Inject) or written by hand; it prints one line an entry and parses back. Every
// entry stands alone: what it does to single packets and calls is decided by their own addresses
// (sim/random/choices.h), so an entry that is taken out changes nothing about the others.
//
//   world.Inject(sim::Faults::Network());                                            // what the seed picks
//   world.Inject(sim::Faults::All().Spare("client").During(absl::ZeroDuration(), absl::Seconds(20)));
//   world.Inject(*sim::FaultPlan::Parse("partition server client from 1s to 2.5s"));  // exactly this
//   world.Inject(*sim::FaultPlan::Parse("crash server at call 37 for 2s"));           // in the middle of a turn
//   world.Inject(*sim::FaultPlan::Parse("crash server at visit 3 of \"commit\" for 2s"));

#ifndef TANDEM_SIM_FAULTS_FAULTS_H_
#define TANDEM_SIM_FAULTS_FAULTS_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/sim/faults/shapes.h"
#include "tandem/sim/faults/workload.h"
#include "tandem/sim/random/choices.h"

namespace tandem::sim {

enum class FaultKind : uint8_t {
#define TANDEM_FAULT(id, name, targets, end, unit, least, most, limit, needs, family, meaning) id,
#include "tandem/sim/faults/kinds.inc"
#undef TANDEM_FAULT
};
inline constexpr size_t kFaultKindCount = 0
#define TANDEM_FAULT(id, name, targets, end, unit, least, most, limit, needs, family, meaning) +1
#include "tandem/sim/faults/kinds.inc"
#undef TANDEM_FAULT
    ;
static_assert(kFaultKindCount <= 64, "a selection has a bit for each");

// The name in a plan's text: "latency", "partition-one-way", ...
absl::string_view FaultKindName(FaultKind kind);
// What it does, in a few words.
absl::string_view FaultKindMeaning(FaultKind kind);

// A table of all of them, for docs/simulation.md.
std::string FaultKindsAsMarkdown();

// Whether it hits what passes between hosts; else it hits single ones.
bool HitsLinks(FaultKind kind);
// Whether it concerns one direction of a link only.
bool IsOneWay(FaultKind kind);
// The shape that several hosts have in it; none: it has no shape.
std::optional<Shape> ShapeOf(FaultKind kind);
// Whether several hosts are hit one after the other, and heal in an order of their own.
bool IsSwizzle(FaultKind kind);
// How many hosts it takes.
size_t LeastHosts(FaultKind kind);
// Whether it stops a process: a crash, a kill, a SIGTERM or a pause.
bool StopsProcess(FaultKind kind);
// Whether it hits machines when they start, and not those that run.
bool HitsBoots(FaultKind kind);
// What the strength may be at most; 0: there is none.
uint64_t StrengthMax(FaultKind kind);
// Its unit: "", "millionths", "ns", "bytes" or "bytes/s".
absl::string_view StrengthUnit(FaultKind kind);
// What a generated entry has, at least and at most.
std::pair<uint64_t, uint64_t> StrengthDrawn(FaultKind kind);
// Whether it lasts; else it happens at one moment.
bool Lasts(FaultKind kind);
// Whether what it hits happens seldom, so that it has to last to meet it.
bool IsSeldomMet(FaultKind kind);

// Whether a site may be called so: not empty, and without blanks, '"' and '#'.
bool IsSiteName(absl::string_view name);

// One fault.
struct FaultEntry {
  enum class Trigger : uint8_t {
    kTime,    // From `from` to `to`, counted from the start of the world.
    kCall,    // When a target makes its `count`-th call into its reactor, in the middle of a turn.
    kVisit,   // When a target makes its `count`-th visit of `site` (core/base/site.h), in the middle of a turn.
    kPacket,  // When the `count`-th packet is sent from `target` to `other`.
  };

  FaultKind kind = FaultKind::kLatency;
  // The name of a host, several with commas between them, or "*" for any. For shapes and swizzles their order matters.
  std::string target;
  // The other end of a link, likewise; for swizzles the hosts of `target` in the order in which they heal. Empty for
  // kinds that hit single hosts, and for shapes.
  std::string other;
  absl::Duration from;
  absl::Duration to;  // Not kTime: it has ended by then, and does not begin later. InfiniteDuration(): any time.
  uint64_t strength = 0;
  Trigger trigger = Trigger::kTime;
  uint64_t count = 0;                           // Not kTime: from 1.
  std::string site = std::string();             // kVisit.
  absl::Duration lasts = absl::ZeroDuration();  // Not kTime: for so long.

  // "loss server client from 1.5s to 3s strength 200000", "crash server at call 37 for 2s before 60s", "kill server at
  // visit 3 of "commit.before_reply" for 2s", "partition-chain a,b,c from 1s to 2s", "swizzle-clog a,b,c b,c,a from 1s
  // to 9s"; without "to" and "for" where it happens at one moment (reset), and without "strength" where there is none.
  std::string ToString() const;
  // Whether the entry is about the host `name`, and about packets between these two.
  bool Hits(absl::string_view name) const;
  bool Hits(absl::string_view from, absl::string_view to) const;
  // Whether `target` means `name`.
  bool Targets(absl::string_view name) const;
  // When the host `name` of a swizzle that holds for `whole` is hit; nothing: not at all.
  std::optional<Span> SwizzleOf(absl::string_view name, Span whole) const;

  friend bool operator==(const FaultEntry&, const FaultEntry&) = default;
};

class FaultPlan {
 public:
  FaultPlan() = default;
  explicit FaultPlan(std::vector<FaultEntry> entries) : entries_(std::move(entries)) {}

  // Parses what ToString() prints: one entry a line; what follows a # is skipped, and so are empty lines.
  //
  // Errors:
  //   kInvalidArgument  A line is not an entry; the message quotes it and says what is wrong.
  static absl::StatusOr<FaultPlan> Parse(absl::string_view text);

  const std::vector<FaultEntry>& entries() const& { return entries_; }
  std::vector<FaultEntry> entries() && { return std::move(entries_); }
  void Add(FaultEntry entry) { entries_.push_back(std::move(entry)); }
  // REQUIRES index < entries().size().
  void Remove(size_t index) { entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(index)); }

  std::string ToString() const;

 private:
  std::vector<FaultEntry> entries_;
};

// Whether a fault of this kind matters to a host, or a link, that does this.
bool CanHit(FaultKind kind, const Workload::Host& host);
bool CanHit(FaultKind kind, const Workload::Link& link);

// What Inject() may draw a plan from. By default each seed picks a subset of the kinds, possibly none, how many entries
// of each, how strong, and on which scale of time (swarm testing).
class Faults {
 public:
  // No kind: the start of a selection of single kinds.
  static Faults None() { return Faults(); }
  // Everything that links, connections, datagrams, lookups of names and blocking work can suffer, and what any machine
  // may do to a process without stopping it: it is slow, its completions and timers are late.
  static Faults Network();
  // Wall clocks and monotonic ones. Programs that compare the times of two machines find out; so do tests that compare
  // Now() of a host with that of the world.
  static Faults Clocks();
  // Crash, kill and pause: of any host, or of these alone. Not kTerminate, which is to be asked for by With(): its
  // programs have to end when they are told to.
  static Faults Hosts();
  static Faults Hosts(std::vector<std::string> names) {
    Faults faults = Hosts();
    faults.stopped_ = std::move(names);
    return faults;
  }
  // Network() and Hosts().
  static Faults All();
  // This kind, in every seed. Like each that is asked for by its name, it fails a run of many seeds in none of which it
  // hits, also where nothing in the world could be hit by it.
  static Faults Only(FaultKind kind) { return None().With(kind).Always(); }

  Faults& With(FaultKind kind) {
    kinds_ |= Bit(kind);
    named_ |= Bit(kind);
    return *this;
  }
  Faults& Without(FaultKind kind) {
    kinds_ &= ~Bit(kind);
    named_ &= ~Bit(kind);
    return *this;
  }
  // Host `name` is neither crashed nor killed, terminated or paused. Everything of Network() still hits it: its links
  // suffer from both ends, and its connections, calls and lookups as well. A host without any fault: a plan by hand.
  Faults& Spare(absl::string_view name) {
    spared_.emplace_back(name);
    return *this;
  }
  // Entries begin and end in here. The default is the first minute; a rehearsal narrows it to the time in which the
  // world does something.
  Faults& During(absl::Duration from, absl::Duration to) {
    from_ = from;
    to_ = to;
    return *this;
  }
  // At most so many entries of each kind (1..1000, default 6).
  Faults& AtMost(uint64_t entries_per_kind) {
    entries_per_kind_max_ = entries_per_kind;
    return *this;
  }
  // Every seed has every kind, instead of a subset of its own.
  Faults& Always() {
    always_ = true;
    return *this;
  }

  // At no time more than `count` of `hosts` are down by a crash, a kill or a SIGTERM. May be said several times, of
  // other hosts: of zones. Entries that would be too many are not drawn.
  Faults& AtMostDown(size_t count, std::vector<std::string> hosts) {
    budgets_.push_back({count, std::move(hosts)});
    return *this;
  }

  // When the last entry ends.
  absl::Duration end() const { return to_; }
  bool IsEmpty() const { return kinds_ == 0; }
  bool Has(FaultKind kind) const { return (kinds_ & Bit(kind)) != 0; }
  // Those that Hosts(), Spare() and AtMostDown() name.
  std::vector<std::string> HostNames() const;
  // Whether With() or Only() asked for it by its name, and not a family that it is of.
  bool Names(FaultKind kind) const { return (named_ & Bit(kind)) != 0; }
  // The kinds that can matter in a world that does what `workload` says.
  Faults Applicable(const Workload& workload) const;

  // The plan of a seed for a world with hosts called `hosts`; null: nothing is known of what they do. Every draw is
  // addressed by kind and ordinal: taking a kind out of the selection changes nothing about the entries of the others,
  // and neither does a host that is added, beyond entries that hit it.
  FaultPlan Generate(const Choices& choices, const std::vector<std::string>& hosts, const Workload* workload) const;

 private:
  friend class FaultDraws;

  Faults() = default;
  explicit Faults(uint64_t kinds) : kinds_(kinds) {}

  struct Budget {
    size_t count;
    std::vector<std::string> hosts;
  };

  static uint64_t Bit(FaultKind kind) { return uint64_t{1} << static_cast<uint32_t>(kind); }

  uint64_t kinds_ = 0;
  uint64_t named_ = 0;                // Of them.
  std::vector<std::string> stopped_;  // The hosts that may be stopped; empty: all but those that are spared.
  std::vector<std::string> spared_;
  absl::Duration from_ = absl::ZeroDuration();
  absl::Duration to_ = absl::Minutes(1);
  uint64_t entries_per_kind_max_ = 6;
  bool always_ = false;
  std::vector<Budget> budgets_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_FAULTS_FAULTS_H_
