// SPDX-License-Identifier: Apache-2.0
//
// Faults are data: a FaultPlan is a list of entries, each a kind, whom it hits, when, and how strongly.
//
// A plan is generated from the seed (World::Inject) or written by hand; it prints one line per entry and parses back.
// Every entry stands alone: it is drawn by (kind, ordinal), and what it does to single packets is drawn by (link,
// packet ordinal), so an entry that is taken out changes nothing about the others.
//
//   world.Inject(sim::Faults::Network());                                            // what the seed picks
//   world.Inject(sim::Faults::All().Spare("client").During(absl::ZeroDuration(), absl::Seconds(20)));
//   world.Inject(*sim::FaultPlan::Parse("partition server client from 1s to 2.5s"));  // exactly this

#ifndef TANDEM_SIM_FAULTS_FAULTS_H_
#define TANDEM_SIM_FAULTS_FAULTS_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tandem::sim {

enum class FaultKind : uint8_t {
  kLatency,          // `target` and `other`: packets take longer. Strength: how much longer, in nanoseconds.
  kLoss,             // `target` and `other`: packets are lost. Strength: parts in a million.
  kPartition,        // `target` and `other`: nothing passes, either way.
  kPartitionOneWay,  // Nothing passes from `target` to `other`.
  kClog,             // From `target` to `other`: packets are held back until the end, then all pass.
  kShortReads,       // `target`: a receive delivers fewer bytes than are there. Strength: parts in a million.
  kShortWrites,      // `target`: a send ends short, or goes out a few bytes at a time. Strength: parts in a million.
  kJitter,           // `target`: completions show up late. Strength: how late at most, in nanoseconds.
  kReset,            // `target`: its connections are reset at `from`. Strength: which part of them, in a million.
  kConnectRefused,   // `target`: connections that it makes are refused. Strength: parts in a million.
  kConnectTimedOut,  // `target`: connections that it makes get no answer. Strength: parts in a million.
  kCrash,            // `target`: the machine loses power at `from` and starts again at `to`.
  kKill,             // `target`: the process is killed at `from` and started again at `to`; the kernel stays.
  kPause,            // `target`: the process does not run; its kernel does.
  kDuplicate,        // `target` and `other`: datagrams arrive twice. Strength: parts in a million.
  kReorder,          // `target` and `other`: datagrams are overtaken by later ones. Strength: parts in a million.
  kLookupFailed,     // `target`: names that it looks up get no answer. Strength: parts in a million.
  kLookupSlow,       // `target`: names that it looks up take up to 30 s. Strength: parts in a million.
};
inline constexpr size_t kFaultKindCount = 18;

// The name in a plan's text: "latency", "partition-one-way", ...
absl::string_view FaultKindName(FaultKind kind);

// What kinds there are to be hit: pairs of hosts, or single ones.
bool HitsLinks(FaultKind kind);
// Whether the kind has a strength, and what it may be at most.
uint64_t StrengthMax(FaultKind kind);

// One fault. Times count from the start of the world.
struct FaultEntry {
  FaultKind kind = FaultKind::kLatency;
  std::string target;  // The name of a host, or "*" for any.
  std::string other;   // The other end of a link, or "*". Empty for kinds that hit single hosts.
  absl::Duration from;
  absl::Duration to;
  uint64_t strength = 0;

  // "loss server client from 1.5s to 3s strength 200000"; without "to" where it does not matter (reset), and without
  // "strength" where there is none.
  std::string ToString() const;

  friend bool operator==(const FaultEntry&, const FaultEntry&) = default;
};

class FaultPlan {
 public:
  FaultPlan() = default;
  explicit FaultPlan(std::vector<FaultEntry> entries) : entries_(std::move(entries)) {}

  // Parses what ToString() prints: one entry a line; empty lines and lines that begin with # are skipped.
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

// What Inject() may draw a plan from. By default each seed picks a subset of the kinds, possibly none, how many entries
// of each, how strong, and on which scale of time (swarm testing).
class Faults {
 public:
  // No kind: the start of a selection of single kinds.
  static Faults None() { return Faults(); }
  // Everything that links, connections, datagrams and lookups of names can suffer.
  static Faults Network();
  // Crash, kill and pause: of any host, or of these alone.
  static Faults Hosts();
  static Faults Hosts(std::vector<std::string> names) {
    Faults faults = Hosts();
    faults.stopped_ = std::move(names);
    return faults;
  }
  static Faults All();
  static Faults Only(FaultKind kind) { return None().With(kind); }

  Faults& With(FaultKind kind) {
    kinds_ |= Bit(kind);
    return *this;
  }
  Faults& Without(FaultKind kind) {
    kinds_ &= ~Bit(kind);
    return *this;
  }
  // Host `name` is neither crashed nor killed nor paused. Everything of Network() still hits it: its links suffer from
  // both ends, and its connections, calls and lookups as well. A host without any fault: a plan by hand.
  Faults& Spare(absl::string_view name) {
    spared_.emplace_back(name);
    return *this;
  }
  // Entries begin and end in here. The default is the first minute; a seed uses all of it, or only a short part at its
  // beginning.
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

  bool Has(FaultKind kind) const { return (kinds_ & Bit(kind)) != 0; }

  // The plan of `seed` for a world with hosts called `hosts`. Every draw is addressed by kind and ordinal: taking a
  // kind out of the selection changes nothing about the entries of the others.
  FaultPlan Generate(uint64_t seed, const std::vector<std::string>& hosts) const;

 private:
  // The hosts that `kind` may hit.
  std::vector<std::string> TargetsOf(FaultKind kind, const std::vector<std::string>& hosts) const;
  static uint32_t Bit(FaultKind kind) { return uint32_t{1} << static_cast<uint32_t>(kind); }

  uint32_t kinds_ = 0;
  std::vector<std::string> stopped_;  // The hosts that may be stopped; empty: all but those that are spared.
  std::vector<std::string> spared_;
  absl::Duration from_ = absl::ZeroDuration();
  absl::Duration to_ = absl::Minutes(1);
  uint64_t entries_per_kind_max_ = 6;
  bool always_ = false;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_FAULTS_FAULTS_H_
