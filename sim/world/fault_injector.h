// SPDX-License-Identifier: Apache-2.0
//
// Carries out fault plans in a world: begins and ends each entry at its time, or when what triggers it happens.
//
// Entries overlap. What a link or a host suffers is computed from all entries that hold: of several of one kind the
// strongest acts, and counts the hit. So the end of one never ends another, and an entry that has hit nothing may be
// taken away without a difference.

#ifndef TANDEM_SIM_WORLD_FAULT_INJECTOR_H_
#define TANDEM_SIM_WORLD_FAULT_INJECTOR_H_

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "tandem/sim/faults/faults.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/network/network_host.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {

class Host;
class World;

class FaultInjector final : private FaultSource {
 public:
  explicit FaultInjector(World& world);
  FaultInjector(const FaultInjector&) = delete;
  FaultInjector& operator=(const FaultInjector&) = delete;
  ~FaultInjector();

  // Adds the entries of `plan`, of those that have begun what is left of them. What is over, or waits for what has
  // happened, is left out. CHECKs that they name hosts that exist.
  void Inject(const FaultPlan& plan);
  // A host that `entry` names and that does not exist; empty: there is none.
  std::string UnknownHost(const FaultEntry& entry) const;
  // `host` is new: what holds, or waits for a call, may hit it as well.
  void OnHostAdded(Host& host);
  // Ends what holds, and begins nothing more of what was injected. What is held up on links comes now, and work that is
  // stuck ends. Hosts that are stopped stay so: see Host::EndStops().
  void EndAll();
  // What has not begun of what was injected never does, operations that would fail included.
  void ForgetWaiting();
  // The machine of `host` starts.
  void OnBoot(Host& host);
  // Everything that was injected.
  const FaultPlan& plan() const { return plan_; }
  // But for these, of which nothing could come any more.
  const FaultPlan& over() const { return over_; }
  // `host` visits `site`, for the `count`-th time.
  void OnVisit(Host& host, absl::string_view site, uint64_t count);
  // Whether an entry is still to come that stops `host`, which may start again then.
  bool WillStop(const Host& host) const;
  // How often the entry `index` of plan() has hit: packets that it lost or delayed, calls that it changed, processes
  // that it stopped.
  uint64_t hits(size_t index) const;

 private:
  // One entry in the world.
  class Fault;

  bool IsOver(const FaultEntry& entry) const;
  void Begin(Fault& fault);
  void End(Fault& fault);
  // The trigger of `fault` has been met.
  void Fire(Fault& fault);
  void Record(const Fault& fault, bool begins);

  LinkFaults FaultsOf(const NetworkHost& from, const NetworkHost& to) override;
  uint64_t NextPacketAlarm(const NetworkHost& from, const NetworkHost& to, uint64_t sent) override;
  void OnPacketAlarm(const NetworkHost& from, const NetworkHost& to) override;
  void OnCallAlarm(NetworkHost& host) override;

  void SetCallAlarm(NetworkHost& host);

  // What `fault` does to a link now.
  FaultEffect EffectOn(Fault& fault, const NetworkHost& from, const NetworkHost& to) const;
  int64_t SwizzledUntil(const Fault& fault, const NetworkHost& from, const NetworkHost& to) const;
  void ScheduleSwizzle(Fault& fault);
  // The next host of a swizzle is hit or heals.
  void Step(Fault& fault);

  // The strongest entry of this kind that holds and hits `host`; null: there is none.
  Fault* Strongest(FaultKind kind, const Host& host) const;
  // Computes what hosts suffer, after an entry of this kind has begun or ended.
  void UpdateHosts(FaultKind kind);
  void UpdateStack(Host& host);
  static bool IsOfClocks(FaultKind kind);
  void UpdateClock(Host& host);
  void BeginOfClocks(Fault& fault);
  void ResetConnections(Fault& fault);
  void StopHosts(Fault& fault);

  World& world_;
  FaultPlan plan_;
  FaultPlan over_;
  std::vector<std::unique_ptr<Fault>> faults_;
  // What hosts had before the first fault that they suffer.
  std::map<uint32_t, StackFaults> stack_faults_;
  // By host: what its wall clock has jumped by, and how often its machine has started.
  std::map<uint32_t, int64_t> clock_steps_ns_;
  std::map<uint32_t, uint64_t> boots_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_WORLD_FAULT_INJECTOR_H_
