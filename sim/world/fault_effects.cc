// SPDX-License-Identifier: Apache-2.0
//
// What links and hosts suffer of the faults that hold. Of several of one kind the strongest acts, and counts the hit.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/time/time.h"
#include "tandem/core/base/random.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/world/fault_injector.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/injected_fault.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

constexpr uint64_t kMillion = 1'000'000;

Probability Parts(uint64_t strength) { return Probability::Ratio(strength, kMillion); }

// A narrow link, a short queue and a small packet are strong faults.
bool LeastIsStrongest(FaultKind kind) {
  return kind == FaultKind::kBandwidth || kind == FaultKind::kQueueLimit || kind == FaultKind::kMtu;
}

void TakeStrongest(FaultEffect& effect, const FaultEffect& other, bool least) {
  if (!other) return;
  const bool stronger = least ? other.strength < effect.strength : other.strength > effect.strength;
  if (!effect || stronger) effect = other;
}

// Where the faults of a link have a kind; null: it is none of links.
FaultEffect* EffectOf(LinkFaults& faults, FaultKind kind) {
  switch (kind) {
    case FaultKind::kPartition:
    case FaultKind::kPartitionOneWay:
    case FaultKind::kPartitionRing:
    case FaultKind::kPartitionBridge:
    case FaultKind::kPartitionChain:
    case FaultKind::kSwizzlePartition:
      return &faults.partition;
    case FaultKind::kClog:
    case FaultKind::kSwizzleClog:
      return &faults.clog;
    case FaultKind::kLoss:
      return &faults.loss;
    case FaultKind::kLossBurst:
      return &faults.loss_burst;
    case FaultKind::kCorruption:
      return &faults.corruption;
    case FaultKind::kLatency:
      return &faults.latency;
    case FaultKind::kLatencyConstant:
      return &faults.latency_constant;
    case FaultKind::kLatencyUniform:
      return &faults.latency_uniform;
    case FaultKind::kLatencyExponential:
      return &faults.latency_exponential;
    case FaultKind::kLatencyBimodal:
      return &faults.latency_bimodal;
    case FaultKind::kBandwidth:
      return &faults.bandwidth;
    case FaultKind::kQueueLimit:
      return &faults.queue_limit;
    case FaultKind::kMtu:
      return &faults.mtu;
    case FaultKind::kSegmentDuplicate:
      return &faults.duplicate;
    case FaultKind::kSegmentReorder:
      return &faults.reorder;
    case FaultKind::kDuplicate:
      return &faults.datagram_duplicate;
    case FaultKind::kReorder:
      return &faults.datagram_reorder;
    default:
      return nullptr;
  }
}

}  // namespace

// --- Links ---

// Until when a swizzle holds the link up now; 0: it does not.
int64_t FaultInjector::SwizzledUntil(const Fault& fault, const NetworkHost& from, const NetworkHost& to) const {
  const int64_t now_ns = world_.queue().now_ns();
  int64_t until_ns = 0;
  for (const NetworkHost* host : {&from, &to}) {
    const std::optional<Span> span = fault.entry().SwizzleOf(host->name(), fault.span());
    if (span.has_value() && span->begin_ns <= now_ns && now_ns < span->end_ns) {
      until_ns = std::max(until_ns, span->end_ns);
    }
  }
  return until_ns;
}

FaultEffect FaultInjector::EffectOn(Fault& fault, const NetworkHost& from, const NetworkHost& to) const {
  if (!fault.holds() || !fault.entry().Hits(from.name(), to.name())) return FaultEffect();
  if (IsSwizzle(fault.kind())) return fault.effect(static_cast<uint64_t>(SwizzledUntil(fault, from, to)));
  if (fault.kind() == FaultKind::kClog) return fault.effect(static_cast<uint64_t>(fault.end_ns()));
  return fault.effect(StrengthMax(fault.kind()) == 0 ? 1 : fault.entry().strength);
}

LinkFaults FaultInjector::FaultsOf(const NetworkHost& from, const NetworkHost& to) {
  LinkFaults faults;
  for (const std::unique_ptr<Fault>& fault : faults_) {
    const FaultEffect effect = EffectOn(*fault, from, to);
    FaultEffect* const of_kind = EffectOf(faults, fault->kind());
    if (!effect || of_kind == nullptr) continue;
    faults.any = true;
    TakeStrongest(*of_kind, effect, LeastIsStrongest(fault->kind()));
  }
  return faults;
}

// The next time, from now on, at which another host is hit or heals.
void FaultInjector::ScheduleSwizzle(Fault& fault) {
  const int64_t now_ns = world_.queue().now_ns();
  std::optional<int64_t> next_ns;
  for (const std::unique_ptr<Host>& host : world_.hosts()) {
    const std::optional<Span> span = fault.entry().SwizzleOf(host->name(), fault.span());
    if (!span.has_value()) continue;
    for (const int64_t edge_ns : {span->begin_ns, span->end_ns}) {
      if (edge_ns > now_ns && edge_ns < next_ns.value_or(fault.end_ns())) next_ns = edge_ns;
    }
  }
  if (next_ns.has_value()) fault.ScheduleStep(*next_ns);
}

void FaultInjector::Step(Fault& fault) {
  world_.network().FaultsChanged();
  ScheduleSwizzle(fault);
}

// --- Hosts ---

FaultInjector::Fault* FaultInjector::Strongest(FaultKind kind, const Host& host) const {
  Fault* strongest = nullptr;
  for (const std::unique_ptr<Fault>& fault : faults_) {
    if (!fault->holds() || fault->kind() != kind || !fault->entry().Hits(host.name())) continue;
    if (strongest == nullptr || fault->entry().strength > strongest->entry().strength) strongest = fault.get();
  }
  return strongest;
}

void FaultInjector::UpdateHosts(FaultKind kind) {
  for (const std::unique_ptr<Host>& host : world_.hosts()) {
    if (IsOfClocks(kind)) {
      UpdateClock(*host);
    } else {
      UpdateStack(*host);
    }
  }
}

void FaultInjector::UpdateStack(Host& host) {
  HostStack& stack = host.stack();
  const auto before = stack_faults_.find(stack.index());
  StackFaults faults = before != stack_faults_.end() ? before->second : stack.faults();
  bool hit = false;
  const auto apply = [&](FaultKind kind, uint64_t*& hits, auto set) {
    Fault* const fault = Strongest(kind, host);
    if (fault == nullptr) return;
    set(*fault);
    hits = fault->effect(1).hits;
    hit = true;
  };
  const auto chance = [&](FaultKind kind, Probability& probability, uint64_t*& hits) {
    apply(kind, hits, [&](const Fault& fault) { probability = Parts(fault.entry().strength); });
  };
  const auto time = [&](FaultKind kind, int64_t& time_ns, uint64_t*& hits) {
    apply(kind, hits, [&](const Fault& fault) { time_ns = static_cast<int64_t>(fault.entry().strength); });
  };
  chance(FaultKind::kShortReads, faults.short_read, faults.hits.short_read);
  apply(FaultKind::kShortWrites, faults.hits.short_write, [&](const Fault& fault) {
    faults.short_write = Parts(fault.entry().strength);
    faults.slow_write = Parts(fault.entry().strength / 2);
  });
  apply(FaultKind::kStalledWindow, faults.hits.stalled_window, [&](const Fault&) { faults.stalled_window = true; });
  chance(FaultKind::kConnectRefused, faults.connect_refused, faults.hits.connect_refused);
  chance(FaultKind::kConnectTimedOut, faults.connect_timed_out, faults.hits.connect_timed_out);
  chance(FaultKind::kAcceptEmfile, faults.accept_emfile, faults.hits.accept_emfile);
  chance(FaultKind::kAcceptEnfile, faults.accept_enfile, faults.hits.accept_enfile);
  chance(FaultKind::kAcceptEnobufs, faults.accept_enobufs, faults.hits.accept_enobufs);
  chance(FaultKind::kAcceptAborted, faults.accept_aborted, faults.hits.accept_aborted);
  chance(FaultKind::kLookupFailed, faults.lookup_failed, faults.hits.lookup_failed);
  chance(FaultKind::kLookupMissing, faults.lookup_missing, faults.hits.lookup_missing);
  chance(FaultKind::kLookupSlow, faults.lookup_slow, faults.hits.lookup_slow);
  chance(FaultKind::kLookupChanging, faults.lookup_changing, faults.hits.lookup_changing);
  chance(FaultKind::kLookupStale, faults.lookup_stale, faults.hits.lookup_stale);
  time(FaultKind::kJitter, faults.completion_jitter_max_ns, faults.hits.completion_jitter);
  time(FaultKind::kSlowProcessor, faults.turn_ns, faults.hits.turn);
  time(FaultKind::kLateTimers, faults.timer_tick_ns, faults.hits.timer_tick);
  time(FaultKind::kWorkSlow, faults.work_slow_max_ns, faults.hits.work_slow);
  apply(FaultKind::kWorkStuck, faults.hits.work_stuck, [&](const Fault& fault) {
    faults.work_stuck = Parts(fault.entry().strength);
    faults.work_stuck_until_ns = fault.end_ns();
  });
  if (hit) stack_faults_.emplace(stack.index(), stack.faults());
  const bool was_stalled = stack.faults().stalled_window;
  const int64_t tick_ns = stack.faults().timer_tick_ns;
  if (hit || before != stack_faults_.end()) stack.faults() = faults;
  if (was_stalled && !stack.faults().stalled_window) stack.OfferWindows();
  if (tick_ns != stack.faults().timer_tick_ns) host.OnClockChange();  // A wake-up need not be late any more.
  if (!hit && before != stack_faults_.end()) stack_faults_.erase(before);
}

// --- Clocks ---

bool FaultInjector::IsOfClocks(FaultKind kind) {
  switch (kind) {
    case FaultKind::kClockOffset:
    case FaultKind::kClockStep:
    case FaultKind::kClockStepBack:
    case FaultKind::kClockFrozen:
    case FaultKind::kClockFast:
    case FaultKind::kClockSlow:
      return true;
    default:
      return false;
  }
}

void FaultInjector::UpdateClock(Host& host) {
  const int64_t now_ns = world_.queue().now_ns();
  HostClock& clock = host.stack().clock();
  const auto strength = [&](FaultKind kind) {
    const Fault* const fault = Strongest(kind, host);
    return fault == nullptr ? 0 : static_cast<int64_t>(fault->entry().strength);
  };
  clock.set_fault_offset_ns(clock_steps_ns_[host.index()] + strength(FaultKind::kClockOffset));
  clock.SetFrozen(now_ns, Strongest(FaultKind::kClockFrozen, host) != nullptr);
  clock.SetRate(now_ns, strength(FaultKind::kClockFast) - strength(FaultKind::kClockSlow));
  host.OnClockChange();
}

void FaultInjector::BeginOfClocks(Fault& fault) {
  const auto strength = static_cast<int64_t>(fault.entry().strength);
  for (const std::unique_ptr<Host>& host : world_.hosts()) {
    if (!fault.entry().Hits(host->name())) continue;
    if (fault.kind() == FaultKind::kClockStep) clock_steps_ns_[host->index()] += strength;
    if (fault.kind() == FaultKind::kClockStepBack) clock_steps_ns_[host->index()] -= strength;
    if (host->alive()) fault.CountHit();
  }
  UpdateHosts(fault.kind());
}

void FaultInjector::OnBoot(Host& host) {
  Fault* strongest = nullptr;
  const absl::Duration now = absl::Nanoseconds(world_.queue().now_ns());
  for (const std::unique_ptr<Fault>& fault : faults_) {
    const FaultEntry& entry = fault->entry();
    // Hosts that start at once do so before what was injected begins.
    const bool holds = fault->holds() || (fault->waits() && entry.from <= now && now < entry.to);
    if (!holds || !HitsBoots(entry.kind) || !entry.Hits(host.name())) continue;
    if (strongest == nullptr || entry.strength > strongest->entry().strength) strongest = fault.get();
  }
  const uint64_t boot = boots_[host.index()]++;
  if (strongest == nullptr) return;
  const uint64_t draw = world_.choices().Draw(Choice::kBoot, host.stack().entity(), boot);
  host.stack().clock().Boot(world_.queue().now_ns(),
                            static_cast<int64_t>(ReduceToRange(draw, strongest->entry().strength + 1)));
  strongest->CountHit();
}

// --- At once ---

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
    HostStack& stack = host->stack();
    const bool both = entry.kind == FaultKind::kReset;
    for (uint64_t count = both ? stack.ResetConnections(hits) : stack.ForgetConnections(hits); count > 0; --count) {
      fault.CountHit();
    }
  }
}

namespace {

// Until when a stop of this kind changes nothing about `host`, which is down or stands still anyway. Who stands still
// can be killed, and who is killed can lose power.
int64_t HeldUntil(FaultKind kind, const Host& host) {
  if (kind == FaultKind::kCrash) return host.crashed_until_ns();
  return kind == FaultKind::kPause ? host.stopped_until_ns() : host.down_until_ns();
}

}  // namespace

void FaultInjector::StopHosts(Fault& fault) {
  const int64_t end_ns = fault.end_ns();
  const absl::Duration duration = absl::Nanoseconds(end_ns - world_.queue().now_ns());
  for (const std::unique_ptr<Host>& host : world_.hosts()) {
    if (!fault.entry().Hits(host->name())) continue;
    // What has ended by itself can neither be killed nor stand still.
    const bool is_crash = fault.kind() == FaultKind::kCrash;
    if (HeldUntil(fault.kind(), *host) >= end_ns || (!is_crash && host->has_ended())) continue;
    if (fault.kind() == FaultKind::kTerminate) {
      if (host->TerminateFor(duration)) fault.CountHit();
      continue;
    }
    fault.CountHit();
    if (fault.kind() == FaultKind::kPause) {
      host->Pause(duration);
    } else {
      host->StopAtOnceFor(is_crash ? Process::Death::kCrash : Process::Death::kKill, duration);
    }
  }
}

}  // namespace tandem::sim
