// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/world/fault_injector.h"

#include <algorithm>

#include "absl/log/check.h"
#include "absl/log/log.h"
#include "absl/time/time.h"
#include "tandem/core/base/random.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

constexpr uint64_t kMillion = 1'000'000;

bool Matches(absl::string_view pattern, const NetworkHost& stack) { return pattern == "*" || pattern == stack.name(); }

Probability Parts(uint64_t strength) { return Probability::Ratio(strength, kMillion); }

}  // namespace

class FaultInjector::Fault {
 public:
  Fault(FaultInjector& injector, FaultEntry entry) : injector_(injector), entry_(std::move(entry)) {}
  ~Fault() { Cancel(); }

  void Schedule() {
    EventQueue& queue = injector_.world_.queue();
    queue.Schedule(begin_, absl::ToInt64Nanoseconds(entry_.from));
    queue.Schedule(end_, absl::ToInt64Nanoseconds(entry_.to));
  }

  const FaultEntry& entry() const { return entry_; }
  FaultKind kind() const { return entry_.kind; }
  // It neither begins nor ends by itself any more.
  void Cancel() {
    EventQueue& queue = injector_.world_.queue();
    queue.Cancel(begin_);
    queue.Cancel(end_);
  }

  bool holds() const { return holds_; }
  void set_holds(bool holds) { holds_ = holds; }

  bool Hits(const NetworkHost& stack) const { return Matches(entry_.target, stack); }
  // Whether the entry concerns packets from `from` to `to`.
  bool Hits(const NetworkHost& from, const NetworkHost& to) const {
    if (Matches(entry_.target, from) && Matches(entry_.other, to)) return true;
    const bool one_way = kind() == FaultKind::kPartitionOneWay || kind() == FaultKind::kClog;
    return !one_way && Matches(entry_.target, to) && Matches(entry_.other, from);
  }

 private:
  class BeginEvent final : public Event {
   public:
    explicit BeginEvent(Fault& fault) : fault_(fault) {}

   private:
    void Run() override { fault_.injector_.Begin(fault_); }
    Fault& fault_;
  };
  class EndEvent final : public Event {
   public:
    explicit EndEvent(Fault& fault) : fault_(fault) {}

   private:
    void Run() override { fault_.injector_.End(fault_); }
    Fault& fault_;
  };

  FaultInjector& injector_;
  const FaultEntry entry_;
  bool holds_ = false;
  BeginEvent begin_{*this};
  EndEvent end_{*this};
};

FaultInjector::FaultInjector(World& world) : world_(world) {}
FaultInjector::~FaultInjector() = default;

void FaultInjector::Inject(const FaultPlan& plan) {
  for (const FaultEntry& entry : plan.entries()) {
    for (absl::string_view name : {absl::string_view(entry.target), absl::string_view(entry.other)}) {
      CHECK(name.empty() || name == "*" || world_.FindHost(name) != nullptr)
          << "a fault names a host that does not exist: " << entry.ToString();
    }
    plan_.Add(entry);
    faults_.push_back(std::make_unique<Fault>(*this, entry));
    faults_.back()->Schedule();
  }
}

void FaultInjector::EndAll() {
  for (const std::unique_ptr<Fault>& fault : faults_) {
    fault->Cancel();
    if (fault->holds()) End(*fault);
  }
  Network& network = world_.network();
  for (size_t from = 0; from < network.host_count(); ++from) {
    for (size_t to = 0; to < network.host_count(); ++to) {
      if (from != to) network.Clog(network.host(from), network.host(to), network.now_ns());
    }
  }
}

void FaultInjector::Begin(Fault& fault) {
  fault.set_holds(true);
  Record(fault, true);
  switch (fault.kind()) {
    case FaultKind::kLatency:
    case FaultKind::kLoss:
    case FaultKind::kPartition:
    case FaultKind::kPartitionOneWay:
    case FaultKind::kDuplicate:
    case FaultKind::kReorder:
      return UpdateLinks();
    case FaultKind::kShortReads:
    case FaultKind::kShortWrites:
    case FaultKind::kJitter:
    case FaultKind::kConnectRefused:
    case FaultKind::kConnectTimedOut:
    case FaultKind::kLookupFailed:
    case FaultKind::kLookupSlow:
      return UpdateStacks();
    case FaultKind::kClog:
      return ClogLinks(fault);
    case FaultKind::kReset:
      return ResetConnections(fault);
    case FaultKind::kCrash:
    case FaultKind::kKill:
    case FaultKind::kPause:
      return StopHost(fault);
  }
  LOG(FATAL) << "no such fault: " << static_cast<int>(fault.kind());
}

void FaultInjector::End(Fault& fault) {
  fault.set_holds(false);
  Record(fault, false);
  // Clogs, resets and stopped hosts end by themselves.
  if (HitsLinks(fault.kind())) {
    UpdateLinks();
  } else {
    UpdateStacks();
  }
}

void FaultInjector::Record(const Fault& fault, bool begins) {
  const FaultEntry& entry = fault.entry();
  world_.trace().Record(TraceKind::kFault, world_.queue().now_ns(), 0,
                        static_cast<uint64_t>(entry.kind) << 1 | (begins ? 1 : 0),
                        HashCombine(HashName(entry.target), HashName(entry.other)), entry.strength);
  if (!begins && entry.to == entry.from) return;  // It happened at once.
  // Also when nobody reads it: a traced run must not allocate more than another.
  world_.trace().Note(world_.queue().now_ns(), (begins ? "fault begins: " : "fault ends: ") + entry.ToString());
}

void FaultInjector::UpdateLinks() {
  Network& network = world_.network();
  for (size_t from = 0; from < network.host_count(); ++from) {
    for (size_t to = 0; to < network.host_count(); ++to) {
      if (from != to) UpdateLink(network.host(from), network.host(to));
    }
  }
}

void FaultInjector::UpdateLink(NetworkHost& from, NetworkHost& to) {
  Network& network = world_.network();
  const auto key = std::make_pair(from.index(), to.index());
  bool partitioned = false;
  int64_t added_latency_ns = 0;
  uint64_t loss = 0;
  uint64_t duplicate = 0;
  uint64_t reorder = 0;
  for (const std::unique_ptr<Fault>& fault : faults_) {
    if (!fault->holds() || !HitsLinks(fault->kind()) || !fault->Hits(from, to)) continue;
    if (fault->kind() == FaultKind::kPartition || fault->kind() == FaultKind::kPartitionOneWay) partitioned = true;
    if (fault->kind() == FaultKind::kLatency) added_latency_ns += static_cast<int64_t>(fault->entry().strength);
    if (fault->kind() == FaultKind::kLoss) loss = std::max(loss, fault->entry().strength);
    if (fault->kind() == FaultKind::kDuplicate) duplicate = std::max(duplicate, fault->entry().strength);
    if (fault->kind() == FaultKind::kReorder) reorder = std::max(reorder, fault->entry().strength);
  }
  const bool impaired = added_latency_ns > 0 || loss > 0 || duplicate > 0 || reorder > 0;

  if (partitioned && link_blocked_.emplace(key, network.blocked(from, to)).second) network.Block(from, to);
  if (const auto before = link_blocked_.find(key); !partitioned && before != link_blocked_.end()) {
    if (!before->second) network.Unblock(from, to);
    link_blocked_.erase(before);
  }

  if (!impaired && link_conditions_.count(key) == 0) return;
  LinkConditions conditions = link_conditions_.emplace(key, network.conditions(from, to)).first->second;
  if (!impaired) {
    link_conditions_.erase(key);
  } else {
    const LatencyDistribution added = LatencyDistribution::LongTail(added_latency_ns);
    conditions.latency.min_ns += added.min_ns;
    conditions.latency.median_ns += added.median_ns;
    conditions.latency.p99_ns += added.p99_ns;
    conditions.latency.max_ns += added.max_ns;
    if (loss > 0) conditions.loss = Parts(loss);
    if (duplicate > 0) conditions.datagram_duplicate = Parts(duplicate);
    if (reorder > 0) conditions.datagram_reorder = Parts(reorder);
  }
  network.SetConditions(from, to, conditions);
}

void FaultInjector::UpdateStacks() {
  Network& network = world_.network();
  for (size_t i = 0; i < network.host_count(); ++i) {
    HostStack& stack = world_.hosts()[i]->stack();
    const auto before = stack_faults_.find(stack.index());
    StackFaults faults = before != stack_faults_.end() ? before->second : stack.faults();
    bool hit = false;
    for (const std::unique_ptr<Fault>& fault : faults_) {
      if (!fault->holds() || HitsLinks(fault->kind()) || !fault->Hits(stack)) continue;
      const uint64_t strength = fault->entry().strength;
      hit = true;
      // Of two entries of one kind the later in the plan counts.
      if (fault->kind() == FaultKind::kShortReads) faults.short_read = Parts(strength);
      if (fault->kind() == FaultKind::kShortWrites) faults.short_write = Parts(strength);
      if (fault->kind() == FaultKind::kShortWrites) faults.slow_write = Parts(strength / 2);
      if (fault->kind() == FaultKind::kJitter) faults.completion_jitter_max_ns = static_cast<int64_t>(strength);
      if (fault->kind() == FaultKind::kConnectRefused) faults.connect_refused = Parts(strength);
      if (fault->kind() == FaultKind::kConnectTimedOut) faults.connect_timed_out = Parts(strength);
      if (fault->kind() == FaultKind::kLookupFailed) faults.lookup_failed = Parts(strength);
      if (fault->kind() == FaultKind::kLookupSlow) faults.lookup_slow = Parts(strength);
    }
    if (!hit && before == stack_faults_.end()) continue;
    if (hit) stack_faults_.emplace(stack.index(), stack.faults());
    if (!hit) stack_faults_.erase(before);
    stack.faults() = faults;
  }
}

void FaultInjector::ClogLinks(const Fault& fault) {
  Network& network = world_.network();
  for (size_t from = 0; from < network.host_count(); ++from) {
    for (size_t to = 0; to < network.host_count(); ++to) {
      if (from == to || !fault.Hits(network.host(from), network.host(to))) continue;
      // Another clog of this link may last longer.
      absl::Duration until = fault.entry().to;
      for (const std::unique_ptr<Fault>& other : faults_) {
        const bool clogs = other->holds() && other->kind() == FaultKind::kClog;
        if (clogs && other->Hits(network.host(from), network.host(to))) until = std::max(until, other->entry().to);
      }
      network.Clog(network.host(from), network.host(to), absl::ToInt64Nanoseconds(until));
    }
  }
}

// A connection is hit or not by what it is and what the entry is, whatever other connections there are.
void FaultInjector::ResetConnections(const Fault& fault) {
  const FaultEntry& entry = fault.entry();
  const uint64_t number =
      HashCombine(HashName(entry.target), static_cast<uint64_t>(absl::ToInt64Nanoseconds(entry.from)));
  const auto hits = [&](Entity connection) {
    return Parts(entry.strength).Hits(world_.choices().Draw(Choice::kReset, connection, number >> 3));
  };
  for (const std::unique_ptr<Host>& host : world_.hosts()) {
    if (fault.Hits(host->stack())) host->stack().ResetConnections(hits);
  }
}

void FaultInjector::StopHost(const Fault& fault) {
  const absl::Duration duration = fault.entry().to - fault.entry().from;
  for (const std::unique_ptr<Host>& host : world_.hosts()) {
    if (!fault.Hits(host->stack())) continue;
    if (fault.kind() == FaultKind::kPause) host->Pause(duration);
    if (fault.kind() == FaultKind::kCrash) host->CrashFor(duration);
    if (fault.kind() == FaultKind::kKill) host->KillFor(duration);
  }
}

}  // namespace tandem::sim
