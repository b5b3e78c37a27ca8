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
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/injected_fault.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

constexpr uint64_t kNever = ~uint64_t{0};

}  // namespace

FaultInjector::FaultInjector(World& world) : world_(world) { world_.network().set_fault_source(this); }
FaultInjector::~FaultInjector() { world_.network().set_fault_source(nullptr); }

void FaultInjector::Inject(const FaultPlan& plan) {
  for (const FaultEntry& entry : plan.entries()) {
    const std::string unknown = UnknownHost(entry);
    CHECK(unknown.empty()) << "a fault names a host that does not exist, " << unknown << ": " << entry.ToString();
    FaultEntry left = entry;
    const int64_t now_ns = world_.queue().now_ns();
    if (left.trigger == FaultEntry::Trigger::kTime && now_ns > 0) {
      left.from = std::max(left.from, absl::Nanoseconds(now_ns + 1));  // Behind all that happens now.
      if (!Lasts(left.kind)) left.to = left.from;
    }
    if (IsOver(left)) {
      over_.Add(entry);
      continue;
    }
    plan_.Add(left);
    faults_.push_back(std::make_unique<Fault>(*this, world_.queue(), std::move(left)));
    faults_.back()->Schedule();
  }
  world_.network().FaultsChanged();
  for (const std::unique_ptr<Host>& host : world_.hosts()) SetCallAlarm(host->stack());
}

std::string FaultInjector::UnknownHost(const FaultEntry& entry) const {
  for (absl::string_view names : {absl::string_view(entry.target), absl::string_view(entry.other)}) {
    for (absl::string_view name : absl::StrSplit(names, ',')) {
      if (!name.empty() && name != "*" && world_.FindHost(name) == nullptr) return std::string(name);
    }
  }
  return "";
}

// Whether nothing can come of `entry` any more, as what it waits for has happened, to one of its targets at least. As a
// line of a scenario, which is injected at the start, it would wait for that.
bool FaultInjector::IsOver(const FaultEntry& entry) const {
  if (entry.trigger == FaultEntry::Trigger::kTime) return Lasts(entry.kind) && entry.to <= entry.from;
  const auto happened = [&](Host& host) -> uint64_t {
    if (entry.trigger == FaultEntry::Trigger::kCall) return host.stack().counts().calls;
    const auto visits = host.visits().find(entry.site);
    return visits == host.visits().end() ? 0 : visits->second;
  };
  for (const std::unique_ptr<Host>& host : world_.hosts()) {
    if (entry.Hits(host->name()) && happened(*host) >= entry.count) return true;
    for (const std::unique_ptr<Host>& other : world_.hosts()) {
      if (!entry.Hits(host->name(), other->name())) continue;
      if (world_.network().PacketsSent(host->stack(), other->stack()) >= entry.count) return true;
    }
  }
  return false;
}

void FaultInjector::OnHostAdded(Host& host) {
  if (faults_.empty()) return;
  UpdateStack(host);
  UpdateClock(host);
  SetCallAlarm(host.stack());
}

uint64_t FaultInjector::hits(size_t index) const { return faults_[index]->hits(); }

bool FaultInjector::WillStop(const Host& host) const {
  return std::any_of(faults_.begin(), faults_.end(), [&host](const std::unique_ptr<Fault>& fault) {
    const FaultEntry& entry = fault->entry();
    // A host that does nothing meets no other trigger.
    return fault->waits() && StopsProcess(entry.kind) && entry.trigger == FaultEntry::Trigger::kTime &&
           entry.Hits(host.name());
  });
}

void FaultInjector::EndAll() {
  world_.network().EndDelays();
  for (const std::unique_ptr<Fault>& fault : faults_) {
    fault->Cancel();
    fault->set_done();
    if (fault->holds()) End(*fault);
  }
  for (const std::unique_ptr<Host>& host : world_.hosts()) {
    host->stack().ForgetFailingOperations();
    host->EndStuckWork();
  }
}

void FaultInjector::ForgetWaiting() {
  for (const std::unique_ptr<Fault>& fault : faults_) {
    if (!fault->waits()) continue;
    fault->Cancel();
    fault->set_done();
  }
  world_.network().FaultsChanged();
  for (const std::unique_ptr<Host>& host : world_.hosts()) {
    host->stack().ForgetOperationsThatWouldFail();
    SetCallAlarm(host->stack());
  }
}

void FaultInjector::Begin(Fault& fault) {
  fault.SetHolds(true);
  fault.set_done();
  Record(fault, true);
  if (fault.kind() == FaultKind::kReset || fault.kind() == FaultKind::kHalfOpen) return ResetConnections(fault);
  if (StopsProcess(fault.kind())) return StopHosts(fault);
  if (IsOfClocks(fault.kind())) return BeginOfClocks(fault);
  if (IsSwizzle(fault.kind())) ScheduleSwizzle(fault);
  if (HitsLinks(fault.kind())) return world_.network().FaultsChanged();
  UpdateHosts(fault.kind());
}

void FaultInjector::End(Fault& fault) {
  fault.Cancel();
  fault.SetHolds(false);
  Record(fault, false);
  // Hosts that are stopped go on by themselves.
  if (HitsLinks(fault.kind())) {
    world_.network().FaultsChanged();
  } else {
    UpdateHosts(fault.kind());
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

void FaultInjector::OnVisit(Host& host, absl::string_view site, uint64_t count) {
  for (const std::unique_ptr<Fault>& fault : faults_) {
    const FaultEntry& entry = fault->entry();
    if (!fault->waits() || entry.trigger != FaultEntry::Trigger::kVisit || entry.count != count) continue;
    if (entry.site == site && entry.Hits(host.name())) Fire(*fault);
  }
}

}  // namespace tandem::sim
