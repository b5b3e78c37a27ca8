// SPDX-License-Identifier: Apache-2.0
//
// A simulated host: a machine with addresses, a clock and a kernel (its HostStack), and on it one process that runs a
// program's main coroutine on a shard of its own.
//
// Machine and process fail in different ways. A crash takes both: peers hear nothing, and a RST once the machine is up
// again. A kill takes the process: its kernel closes the sockets, and peers hear at once. A pause stops the process
// while its kernel goes on acknowledging.
//
// The process runs in turns: when something has happened to it, the world enters the shard and lets it run until it
// waits again. No virtual time passes in a turn. All of this belongs to the world's thread.

#ifndef TANDEM_SIM_WORLD_HOST_H_
#define TANDEM_SIM_WORLD_HOST_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/schedule/schedule.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {

class World;

// Makes the main coroutine of a host. Called at the start and again after each restart. It lives as long as the host,
// so that, unlike elsewhere, a lambda with captures may itself be the coroutine.
using HostMain = std::function<Task<absl::Status>()>;

class Host final : private HostWaker, private TaskObserver {
 public:
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  ~Host();

  // As AddHost() was told.
  const std::string& name() const { return name_; }
  // Position in the order of AddHost(), from 0.
  uint32_t index() const { return index_; }
  // 10.0.0.N and fd00::N, where N counts hosts from 1.
  SocketAddress address(uint16_t port) const;
  SocketAddress address_ipv6(uint16_t port) const;

  // A process exists: it has started, and neither ended nor crashed nor been killed.
  bool alive() const { return shard_ != nullptr; }
  bool paused() const { return paused_; }
  // How often a process was started after the first.
  uint32_t restarts() const { return starts_ == 0 ? 0 : starts_ - 1; }
  // What main returned, once the process has ended and drained. A crash or a kill gives no status.
  const std::optional<absl::Status>& status() const { return status_; }

  // --- Faults. From a task of any host these take effect as an event of their own, at the same instant. ---

  // The machine loses power: operations are abandoned, then tasks destroyed, then HostLocals. What destructors send
  // goes nowhere. Does nothing to a machine that is down.
  void Crash();
  // The process is killed with SIGKILL: the kernel closes its sockets. Does nothing when no process exists.
  void Kill();
  // Starts a process after `delay`, with the machine if that is down. Does nothing when a process exists then.
  void Restart(absl::Duration delay = absl::ZeroDuration());
  // The process does not run for `duration`. Pauses that overlap end with the last one.
  void Pause(absl::Duration duration);
  // A signal, by its number in signal(7). SIGINT and SIGTERM cancel main, and a SIGINT after either kills; others go to
  // who waits for them. One that nobody watches has its default action, mostly the end of the process, as Kill().
  void DeliverSignal(int signal);

  // --- The wall clock: offset from the world's time. The monotonic clock has none. ---

  void SetClockOffset(absl::Duration offset);
  void StepClock(absl::Duration step) { SetClockOffset(absl::Nanoseconds(clock_offset_ns_) + step); }
  int64_t clock_offset_ns() const { return clock_offset_ns_; }

  HostStack& stack() { return *stack_; }
  // REQUIRES alive().
  Shard& shard() { return *shard_; }

  // What each task of the process waits for, one paragraph per task; or why there is none.
  std::string DescribeTasks() const;

 private:
  friend class World;

  enum class EndOfProcess { kCrash, kKill };
  class InTurn;
  // The next timer of the process may be due.
  class WakeUpEvent final : public Event {
   public:
    explicit WakeUpEvent(Host& host) : host_(host) {}

   private:
    void Run() override { host_.OnWakeUp(); }
    Host& host_;
  };
  class RestartEvent final : public Event {
   public:
    explicit RestartEvent(Host& host) : host_(host) {}

   private:
    void Run() override { host_.Start(); }
    Host& host_;
  };
  class ResumeEvent final : public Event {
   public:
    explicit ResumeEvent(Host& host) : host_(host) {}

   private:
    void Run() override { host_.OnPauseEnd(); }
    Host& host_;
  };

  Host(World& world, std::string name, uint32_t index, HostMain main);

  void Start();
  void OnRunnable() override;
  void OnResume() override;
  int64_t RunWork(BlockingWork& work) override;
  int64_t paused_until_ns() const override { return paused_ ? resume_.time_ns() : -1; }
  void OnWakeUp();
  void OnPauseEnd();
  // Enters the shard and turns it until it waits. Called by the world when this host is at the head of its list.
  void RunTurns();
  // True when the next turn of the shard has something to do at this instant.
  bool HasWork() const;
  void ArmWakeUp();
  // Main has returned, or throws now: everything else is cancelled.
  void BeginShutdown();
  // The process has ended by itself.
  void Exit();
  void CrashNow();
  void KillNow();
  // Destroys the process without letting it do anything more.
  void DestroyProcess(EndOfProcess end);
  // Calls `fault` now, or as an event of its own when a task runs.
  void BetweenTurns(void (Host::*fault)());
  static Task<void> RunMain(Host* host, Task<absl::Status> main);

  World& world_;
  const std::string name_;
  const uint32_t index_;
  const HostMain main_;
  HostStack* const stack_;                    // Owned by the network.
  std::unique_ptr<SchedulePolicy> schedule_;  // Of shard_.
  std::unique_ptr<Shard> shard_;
  SimReactor* reactor_ = nullptr;  // Of shard_.

  WakeUpEvent wake_up_{*this};
  RestartEvent restart_{*this};
  ResumeEvent resume_{*this};

  bool runnable_ = false;  // In the world's list of hosts that are to run.
  bool in_turn_ = false;
  bool paused_ = false;
  bool shutting_down_ = false;
  Instant give_up_ = Instant::InfiniteFuture();  // When a process that was cancelled has to have drained.
  uint32_t starts_ = 0;
  uint64_t turns_ = 0;
  int64_t last_turn_ns_ = -1;
  int64_t clock_offset_ns_ = 0;
  std::optional<absl::Status> main_status_;  // Set when main has returned; status() waits for the drain.
  std::optional<absl::Status> status_;
  uint64_t os_random_n_ = 0;  // Draws of getrandom() and the like.
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_WORLD_HOST_H_
