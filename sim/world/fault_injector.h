// SPDX-License-Identifier: Apache-2.0
//
// Carries out fault plans in a world: begins and ends each entry at its time.
//
// Entries overlap. What a link or a host suffers is computed anew at each beginning and end, from what it had before
// the first fault and from all entries that hold at this moment; so the end of one never ends another.

#ifndef TANDEM_SIM_WORLD_FAULT_INJECTOR_H_
#define TANDEM_SIM_WORLD_FAULT_INJECTOR_H_

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {

class Host;
class World;

class FaultInjector {
 public:
  explicit FaultInjector(World& world);
  FaultInjector(const FaultInjector&) = delete;
  FaultInjector& operator=(const FaultInjector&) = delete;
  ~FaultInjector();

  // Adds the entries of `plan`; those whose time is past begin at once. CHECKs that they name hosts that exist.
  void Inject(const FaultPlan& plan);
  // Ends what holds, and begins nothing more of what was injected. What a clog has held back still comes at its end,
  // and what is sent later on the same connections not before. Hosts that are stopped stay so: see Host::EndStops().
  void EndAll();
  // Everything that was injected.
  const FaultPlan& plan() const { return plan_; }

 private:
  // One entry in the world.
  class Fault;

  void Begin(Fault& fault);
  void End(Fault& fault);
  void Record(const Fault& fault, bool begins);

  // Computes what links and hosts suffer, after entries of such a kind have begun or ended.
  void UpdateLinks();
  void UpdateStacks();
  void UpdateLink(NetworkHost& from, NetworkHost& to);

  void ClogLinks(const Fault& fault);
  void ResetConnections(const Fault& fault);
  void StopHost(const Fault& fault);

  World& world_;
  FaultPlan plan_;
  std::vector<std::unique_ptr<Fault>> faults_;
  // What was there before the first fault of a link (by the indices of its ends), or of a host.
  std::map<std::pair<uint32_t, uint32_t>, LinkConditions> link_conditions_;
  std::map<std::pair<uint32_t, uint32_t>, bool> link_blocked_;
  std::map<uint32_t, StackFaults> stack_faults_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_WORLD_FAULT_INJECTOR_H_
