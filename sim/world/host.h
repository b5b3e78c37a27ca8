// SPDX-License-Identifier: Apache-2.0
//
// A simulated host: a machine with addresses, a clock and a kernel (its HostStack), and on it one process at a time
// that runs the host's program (process.h).
//
// Machine and process fail in different ways. A crash takes both: peers hear nothing, and a RST once the machine is up
// again. A kill takes the process: its kernel closes the sockets, and peers hear at once. A pause stops the process
// while its kernel goes on acknowledging.
//
// Stops overlap. Whether the machine is down, the process is down or stands still follows from all the stops that hold
// at this moment: the end of one never ends another. A start that is due while one of them holds comes when none does.
//
// All of this belongs to the world's thread.

#ifndef TANDEM_SIM_WORLD_HOST_H_
#define TANDEM_SIM_WORLD_HOST_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/time/event_queue.h"
#include "tandem/sim/world/process.h"

namespace tandem::sim {

class World;

// What happens when a process has ended by itself, or was killed by Kill() or a signal. One that was told to stop has
// not failed, whatever main returns.
enum class RestartPolicy : uint8_t {
  kNever,
  kOnFailure,  // Main has returned an error, or the process was killed.
  kAlways,
};

// What the end of a host's program means for the run. See World::RunClients().
enum class Role : uint8_t { kNone, kServer, kClient };

class Host final {
 public:
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  ~Host();

  // The host that runs now; null between turns and where there is no world. As Process::Current().
  static const Host* Current();

  // As AddHost() was told.
  const std::string& name() const { return name_; }
  // Position in the order of AddHost(), from 0.
  uint32_t index() const { return index_; }
  // 10.0.0.N and fd00::N, where N counts hosts from 1.
  SocketAddress address(uint16_t port) const;
  SocketAddress address_ipv6(uint16_t port) const;

  // A process exists: it has started, and neither ended nor crashed nor been killed.
  bool alive() const { return process_ != nullptr; }
  // The process stands still, by Pause() or by a signal.
  bool paused() const { return alive() && process_->paused(); }
  // How often a process was started after the first.
  uint32_t restarts() const { return starts_ == 0 ? 0 : starts_ - 1; }
  // What main returned, once the process has ended and drained. A crash or a kill gives no status.
  const std::optional<absl::Status>& status() const { return status_; }
  Role role() const { return role_; }

  // --- What it runs ---

  // What the next start runs: a new version of the program, say. The process that exists goes on with the old one.
  void set_main(HostMain main) { mains_.push_back(std::move(main)); }
  // By default kNever. `delay` is the time from the end of a process to the start of the next.
  void set_restart_policy(RestartPolicy policy, absl::Duration delay = absl::ZeroDuration()) {
    restart_policy_ = policy;
    restart_delay_ = delay;
  }

  // --- Stops. From a task of any host these take effect as an event of their own, at the same instant. ---

  // The machine loses power until Restart(): operations are abandoned, then tasks destroyed, then HostLocals. What
  // destructors send goes nowhere. A host that has not started yet does not.
  void Crash();
  // The process is killed with SIGKILL, and none is started until Restart() or by the restart policy: the kernel closes
  // its sockets.
  void Kill();
  // Starts a process after `delay`, with the machine if that is down. Does nothing when a process exists then, except
  // that one which was told to stop, or whose main has returned, is followed by the next when it has ended. Calls do
  // not replace each other.
  void Restart(absl::Duration delay = absl::ZeroDuration());
  // As Crash() and Kill(), for so long: then what was running starts again, and what had ended by itself does not.
  void CrashFor(absl::Duration duration);
  void KillFor(absl::Duration duration);
  // Until when CrashFor() holds it, CrashFor() or KillFor(), or either of them or Pause(); a time that is past: nothing
  // does.
  int64_t crashed_until_ns() const { return crashed_until_ns_; }
  int64_t down_until_ns() const { return std::max(crashed_until_ns_, killed_until_ns_); }
  int64_t stopped_until_ns() const { return std::max(down_until_ns(), paused_until_ns_); }
  // How often its processes have visited each site (core/base/site.h).
  const std::map<std::string, uint64_t, std::less<>>& visits() const { return visits_; }
  // Its process has ended by itself, and no other is to start.
  bool has_ended() const { return status_.has_value(); }
  // The same at this very moment, also in the middle of a turn of the process: what it has called before is out, and
  // nothing that it does after that has an effect.
  void StopAtOnceFor(Process::Death death, absl::Duration duration);
  // The process gets a SIGTERM. Whatever it returns and whenever it has ended, it starts again, but not before
  // `duration` has passed. Does nothing to a process that ends already, or that was stopped in this
  // turn, and returns false.
  bool TerminateFor(absl::Duration duration);
  // The process does not run for `duration`, nor does another start. Pauses that overlap end with the last one.
  void Pause(absl::Duration duration);
  // The power comes back, kills and pauses are over, a process that a signal has stopped goes on, and one that was
  // killed or crashed starts again. What had ended by itself stays ended.
  void EndStops();
  // A signal, by its number in signal(7). SIGINT and SIGTERM cancel main, and a SIGINT after either kills; others go to
  // who waits for them. One that nobody watches has its default action: nothing, the end of the process as Kill(), or,
  // for SIGSTOP (always), SIGTSTP, SIGTTIN and SIGTTOU, the process stands still until a SIGCONT or its end.
  void DeliverSignal(int signal);

  // --- The wall clock: offset from the world's time, beside what faults do. ---

  void SetClockOffset(absl::Duration offset);
  void StepClock(absl::Duration step) { SetClockOffset(absl::Nanoseconds(clock_offset_ns()) + step); }
  int64_t clock_offset_ns() const { return stack_->clock().wall_offset_ns(); }

  HostStack& stack() { return *stack_; }
  // The clocks of the machine run otherwise from now on.
  void OnClockChange() {
    if (alive()) process_->OnClockChange();
  }
  // REQUIRES alive().
  Shard& shard() { return process_->shard(); }
  // Blocking work of its process that a fault has made stick ends.
  void EndStuckWork() {
    if (alive()) process_->EndStuckWork();
  }
  // The process that exists, or null.
  const Process* process() const { return process_.get(); }

  // What each task of the process waits for, one paragraph per task; or why there is none.
  std::string DescribeTasks() const;

 private:
  friend class World;
  friend class Process;

  // The next edge of the stops.
  class StopsEvent final : public Event {
   public:
    explicit StopsEvent(Host& host) : host_(host) {}

   private:
    void Run() override { host_.Update(); }
    Host& host_;
  };

  Host(World& world, std::string name, uint32_t index, HostMain main, Role role);

  // Brings machine and process into the state that follows from the stops that hold now.
  void Update();
  void Start();
  void StartAfterTermination();
  void OnRestart();
  // Destroys the process, or takes the power of a machine without one.
  void Stop(Process::Death death);
  // The world ends.
  void Abandon();
  // The process has ended by itself and drained: destroys it.
  void OnProcessEnd();
  // Its process asks whether the place `name` fires.
  bool DrawBuggify(absl::string_view name);
  // Its process visits `site`.
  void OnVisit(absl::string_view site);
  // Starts the next process if the policy says so. Returns whether it does.
  bool RestartByPolicy(bool failed);
  void FailAsServer(const absl::Status& status);
  int64_t paused_until_ns() const { return paused_until_ns_; }
  // Extends `until_ns` to so long from now.
  void Extend(int64_t* until_ns, absl::Duration duration);
  // Calls `change` now, or as an event of its own when a task runs.
  void BetweenTurns(absl::AnyInvocable<void()> change);

  World& world_;
  const std::string name_;
  const uint32_t index_;
  const Role role_;
  std::deque<HostMain> mains_;  // The last is current; processes may run closures of the others.
  HostStack* const stack_;      // Owned by the network.
  RestartPolicy restart_policy_ = RestartPolicy::kNever;
  absl::Duration restart_delay_;

  // What holds. Until a time that is past: no more.
  bool wanted_ = true;    // A process is to run: it was started, and neither ended by itself nor was stopped for good.
  bool crashed_ = false;  // Until Restart().
  bool killed_ = false;   // It is not wanted because of Crash() or Kill(), rather than because it ended by itself.
  int64_t crashed_until_ns_ = 0;
  int64_t killed_until_ns_ = 0;
  int64_t paused_until_ns_ = 0;
  int64_t terminated_until_ns_ = 0;  // Of the process that exists, which ends by a SIGTERM. 0: it does not.
  bool booted_ = false;              // A process has started since the machine did.
  bool restart_at_end_ = false;      // Restart() was called of a process that ends.
  StopsEvent stops_{*this};

  std::unique_ptr<Process> process_;
  uint32_t starts_ = 0;
  std::optional<absl::Status> status_;
  std::map<std::string, uint64_t, std::less<>> visits_;
  std::map<std::string, uint64_t, std::less<>> buggify_visits_;
  bool client_done_ = false;  // Counted among the clients of the world that have ended with OK.
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_WORLD_HOST_H_
