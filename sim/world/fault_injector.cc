// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/world/fault_injector.h"

#include <algorithm>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
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
constexpr uint64_t kNever = ~uint64_t{0};

Probability Parts(uint64_t strength) { return Probability::Ratio(strength, kMillion); }

}  // namespace

class FaultInjector::Fault {
 public:
  Fault(FaultInjector& injector, FaultEntry entry) : injector_(injector), entry_(std::move(entry)) {}
  ~Fault() { Cancel(); }

  void Schedule() {
    if (entry_.trigger != FaultEntry::Trigger::kTime) return;
    queue().Schedule(begin_, absl::ToInt64Nanoseconds(entry_.from));
    queue().Schedule(end_, absl::ToInt64Nanoseconds(entry_.to));
  }
  // For one that has been triggered.
  void ScheduleEnd(int64_t at_ns) { queue().Schedule(end_, at_ns); }
  void Cancel() {
    queue().Cancel(begin_);
    queue().Cancel(end_);
  }

  const FaultEntry& entry() const { return entry_; }
  FaultKind kind() const { return entry_.kind; }

  bool holds() const { return holds_; }
  void set_holds(bool holds) { holds_ = holds; }
  // Whether its trigger has not been met.
  bool waits() const { return waits_; }
  void set_done() { waits_ = false; }
  // When it ends; of one that holds.
  int64_t end_ns() const { return end_.scheduled() ? end_.time_ns() : queue().now_ns(); }

  uint64_t hits() const { return hits_; }
  void CountHit() { ++hits_; }
  FaultEffect effect(uint64_t strength) { return {strength, &hits_}; }

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

  EventQueue& queue() const { return injector_.world_.queue(); }

  FaultInjector& injector_;
  const FaultEntry entry_;
  bool holds_ = false;
  bool waits_ = true;
  uint64_t hits_ = 0;
  BeginEvent begin_{*this};
  EndEvent end_{*this};
};

FaultInjector::FaultInjector(World& world) : world_(world) { world_.network().set_fault_source(this); }
FaultInjector::~FaultInjector() { world_.network().set_fault_source(nullptr); }

void FaultInjector::Inject(const FaultPlan& plan) {
  for (const FaultEntry& entry : plan.entries()) {
    for (absl::string_view names : {absl::string_view(entry.target), absl::string_view(entry.other)}) {
      for (absl::string_view name : absl::StrSplit(names, ',')) {
        CHECK(name.empty() || name == "*" || world_.FindHost(name) != nullptr)
            << "a fault names a host that does not exist, " << name << ": " << entry.ToString();
      }
    }
    plan_.Add(entry);
    faults_.push_back(std::make_unique<Fault>(*this, entry));
    faults_.back()->Schedule();
  }
  world_.network().FaultsChanged();
  for (const std::unique_ptr<Host>& host : world_.hosts()) SetCallAlarm(host->stack());
}

uint64_t FaultInjector::hits(size_t index) const { return faults_[index]->hits(); }

void FaultInjector::EndAll() {
  for (const std::unique_ptr<Fault>& fault : faults_) {
    fault->Cancel();
    fault->set_done();
    if (fault->holds()) End(*fault);
  }
}

void FaultInjector::Begin(Fault& fault) {
  fault.set_holds(true);
  fault.set_done();
  Record(fault, true);
  if (fault.kind() == FaultKind::kReset) return ResetConnections(fault);
  if (StopsProcess(fault.kind())) return StopHosts(fault);
  if (HitsLinks(fault.kind())) return world_.network().FaultsChanged();
  UpdateStacks();
}

void FaultInjector::End(Fault& fault) {
  fault.set_holds(false);
  Record(fault, false);
  // Hosts that are stopped go on by themselves.
  if (HitsLinks(fault.kind())) {
    world_.network().FaultsChanged();
  } else {
    UpdateStacks();
  }
}

void FaultInjector::Fire(Fault& fault) {
  const FaultEntry& entry = fault.entry();
  const int64_t now_ns = world_.queue().now_ns();
  const absl::Duration now = absl::Nanoseconds(now_ns);
  fault.set_done();
  if (now >= entry.to) return;
  fault.ScheduleEnd(absl::ToInt64Nanoseconds(Lasts(entry.kind) ? std::min(now + entry.lasts, entry.to) : now));
  Begin(fault);
}

void FaultInjector::Record(const Fault& fault, bool begins) {
  const FaultEntry& entry = fault.entry();
  world_.trace().Record(TraceKind::kFault, world_.queue().now_ns(), 0,
                        static_cast<uint64_t>(entry.kind) << 1 | (begins ? 1 : 0),
                        HashCombine(HashName(entry.target), HashName(entry.other)), entry.strength);
  if (!begins && !Lasts(entry.kind)) return;  // It happened at once.
  // Also when nobody reads it: a traced run must not allocate more than another.
  world_.trace().Note(world_.queue().now_ns(), (begins ? "fault begins: " : "fault ends: ") + entry.ToString());
}

FaultInjector::Fault* FaultInjector::Strongest(FaultKind kind, absl::FunctionRef<bool(const FaultEntry& entry)> hits) {
  // A narrow link and a small packet are strong faults.
  const bool least = kind == FaultKind::kBandwidth || kind == FaultKind::kMtu;
  const auto strength_of = [&](const Fault& fault) {
    if (kind == FaultKind::kClog) return static_cast<uint64_t>(fault.end_ns());
    return least ? ~fault.entry().strength : fault.entry().strength;
  };
  Fault* strongest = nullptr;
  for (const std::unique_ptr<Fault>& fault : faults_) {
    if (!fault->holds() || fault->kind() != kind || !hits(fault->entry())) continue;
    if (strongest == nullptr || strength_of(*fault) > strength_of(*strongest)) strongest = fault.get();
  }
  return strongest;
}

FaultEffect FaultInjector::EffectOn(FaultKind kind, absl::FunctionRef<bool(const FaultEntry& entry)> hits) {
  Fault* fault = Strongest(kind, hits);
  if (fault == nullptr) return FaultEffect();
  if (kind == FaultKind::kClog) return fault->effect(static_cast<uint64_t>(fault->end_ns()));
  return fault->effect(StrengthMax(kind) == 0 ? 1 : fault->entry().strength);
}

// --- Links ---

LinkFaults FaultInjector::FaultsOf(const NetworkHost& from, const NetworkHost& to) {
  const auto on_link = [&](const FaultEntry& entry) { return entry.Hits(from.name(), to.name()); };
  LinkFaults faults;
  faults.partition = EffectOn(FaultKind::kPartition, on_link);
  if (!faults.partition) faults.partition = EffectOn(FaultKind::kPartitionOneWay, on_link);
  faults.mtu = EffectOn(FaultKind::kMtu, on_link);
  faults.loss = EffectOn(FaultKind::kLoss, on_link);
  faults.loss_burst = EffectOn(FaultKind::kLossBurst, on_link);
  faults.latency = EffectOn(FaultKind::kLatency, on_link);
  faults.bandwidth = EffectOn(FaultKind::kBandwidth, on_link);
  faults.clog = EffectOn(FaultKind::kClog, on_link);
  faults.duplicate = EffectOn(FaultKind::kSegmentDuplicate, on_link);
  faults.reorder = EffectOn(FaultKind::kSegmentReorder, on_link);
  faults.datagram_duplicate = EffectOn(FaultKind::kDuplicate, on_link);
  faults.datagram_reorder = EffectOn(FaultKind::kReorder, on_link);
  faults.any = std::any_of(faults_.begin(), faults_.end(), [&](const std::unique_ptr<Fault>& fault) {
    return fault->holds() && on_link(fault->entry());
  });
  return faults;
}

uint64_t FaultInjector::NextPacketAlarm(const NetworkHost& from, const NetworkHost& to, uint64_t sent) {
  uint64_t next = kNever;
  for (const std::unique_ptr<Fault>& fault : faults_) {
    const FaultEntry& entry = fault->entry();
    if (!fault->waits() || entry.trigger != FaultEntry::Trigger::kPacket || entry.count <= sent) continue;
    if (entry.Hits(from.name(), to.name())) next = std::min(next, entry.count);
  }
  return next;
}

void FaultInjector::OnPacketAlarm(const NetworkHost& from, const NetworkHost& to) {
  const uint64_t count = world_.network().PacketsSent(from, to) + 1;
  for (const std::unique_ptr<Fault>& fault : faults_) {
    const FaultEntry& entry = fault->entry();
    if (!fault->waits() || entry.trigger != FaultEntry::Trigger::kPacket || entry.count != count) continue;
    if (entry.Hits(from.name(), to.name())) Fire(*fault);
  }
  world_.network().FaultsChanged();
}

// --- Hosts ---

void FaultInjector::SetCallAlarm(NetworkHost& host) {
  uint64_t next = kNever;
  for (const std::unique_ptr<Fault>& fault : faults_) {
    const FaultEntry& entry = fault->entry();
    if (!fault->waits() || entry.trigger != FaultEntry::Trigger::kCall || entry.count <= host.counts().calls) continue;
    if (entry.Hits(host.name())) next = std::min(next, entry.count);
  }
  host.set_call_alarm(next);
}

void FaultInjector::OnCallAlarm(NetworkHost& host) {
  const uint64_t count = host.counts().calls;
  for (const std::unique_ptr<Fault>& fault : faults_) {
    const FaultEntry& entry = fault->entry();
    if (!fault->waits() || entry.trigger != FaultEntry::Trigger::kCall || entry.count != count) continue;
    if (entry.Hits(host.name())) Fire(*fault);
  }
  SetCallAlarm(host);
}

void FaultInjector::UpdateStacks() {
  for (const std::unique_ptr<Host>& host : world_.hosts()) UpdateStack(*host);
}

void FaultInjector::UpdateStack(Host& host) {
  HostStack& stack = host.stack();
  const auto on_host = [&](const FaultEntry& entry) { return entry.Hits(stack.name()); };
  const auto before = stack_faults_.find(stack.index());
  StackFaults faults = before != stack_faults_.end() ? before->second : stack.faults();
  bool hit = false;
  const auto chance = [&](FaultKind kind, Probability& probability, uint64_t*& hits) {
    const FaultEffect effect = EffectOn(kind, on_host);
    if (!effect) return;
    probability = Parts(effect.strength);
    hits = effect.hits;
    hit = true;
  };
  const auto delay = [&](FaultKind kind, int64_t& delay_ns, uint64_t*& hits) {
    const FaultEffect effect = EffectOn(kind, on_host);
    if (!effect) return;
    delay_ns = static_cast<int64_t>(effect.strength);
    hits = effect.hits;
    hit = true;
  };
  chance(FaultKind::kShortReads, faults.short_read, faults.hits.short_read);
  chance(FaultKind::kShortWrites, faults.short_write, faults.hits.short_write);
  if (const FaultEffect effect = EffectOn(FaultKind::kShortWrites, on_host))
    faults.slow_write = Parts(effect.strength / 2);
  chance(FaultKind::kConnectRefused, faults.connect_refused, faults.hits.connect_refused);
  chance(FaultKind::kConnectTimedOut, faults.connect_timed_out, faults.hits.connect_timed_out);
  chance(FaultKind::kLookupFailed, faults.lookup_failed, faults.hits.lookup_failed);
  chance(FaultKind::kLookupMissing, faults.lookup_missing, faults.hits.lookup_missing);
  chance(FaultKind::kLookupSlow, faults.lookup_slow, faults.hits.lookup_slow);
  delay(FaultKind::kJitter, faults.completion_jitter_max_ns, faults.hits.completion_jitter);
  delay(FaultKind::kWorkSlow, faults.work_slow_max_ns, faults.hits.work_slow);
  if (hit) stack_faults_.emplace(stack.index(), stack.faults());
  if (hit || before != stack_faults_.end()) stack.faults() = faults;
  if (!hit && before != stack_faults_.end()) stack_faults_.erase(before);

  Fault* const clock = Strongest(FaultKind::kClockOffset, on_host);
  const auto offset = clock_offsets_.find(stack.index());
  if (clock != nullptr && offset == clock_offsets_.end()) {
    clock_offsets_.emplace(stack.index(), host.clock_offset_ns());
    host.StepClock(absl::Nanoseconds(static_cast<int64_t>(clock->entry().strength)));
    if (host.alive()) clock->CountHit();
  } else if (clock == nullptr && offset != clock_offsets_.end()) {
    host.SetClockOffset(absl::Nanoseconds(offset->second));
    clock_offsets_.erase(offset);
  }
}

// A connection is hit or not by what it is and what the entry is, whatever other connections there are.
void FaultInjector::ResetConnections(Fault& fault) {
  const FaultEntry& entry = fault.entry();
  const uint64_t number =
      HashCombine(HashName(entry.target), static_cast<uint64_t>(absl::ToInt64Nanoseconds(entry.from)) ^ entry.count) >>
      3;
  const auto hits = [&](Entity connection) {
    return Parts(entry.strength).Hits(world_.choices().Draw(Choice::kReset, connection, number));
  };
  for (const std::unique_ptr<Host>& host : world_.hosts()) {
    if (!entry.Hits(host->name())) continue;
    for (uint64_t count = host->stack().ResetConnections(hits); count > 0; --count) fault.CountHit();
  }
}

void FaultInjector::StopHosts(Fault& fault) {
  const int64_t end_ns = fault.end_ns();
  const absl::Duration duration = absl::Nanoseconds(end_ns - world_.queue().now_ns());
  for (const std::unique_ptr<Host>& host : world_.hosts()) {
    if (!fault.entry().Hits(host->name())) continue;
    // What has ended by itself can neither be killed nor stand still, and what is stopped for longer feels nothing.
    const bool is_crash = fault.kind() == FaultKind::kCrash;
    if (host->stopped_until_ns(/*by_crash_only=*/is_crash) >= end_ns || (!is_crash && host->has_ended())) continue;
    fault.CountHit();
    if (fault.kind() == FaultKind::kPause) {
      host->Pause(duration);
    } else {
      host->StopAtOnceFor(is_crash ? Process::Death::kCrash : Process::Death::kKill, duration);
    }
  }
}

}  // namespace tandem::sim
