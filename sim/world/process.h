// SPDX-License-Identifier: Apache-2.0
//
// One run of a program on a simulated host: made by a start, destroyed by its end, never started again. What the next
// run must not find as this one left it belongs here; what the machine keeps is in host.h.
//
// A process runs in turns: when something has happened to it, the loop of the world enters its shard and lets it run
// until it waits again. No virtual time passes in a turn.

#ifndef TANDEM_SIM_WORLD_PROCESS_H_
#define TANDEM_SIM_WORLD_PROCESS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/schedule/schedule.h"
#include "tandem/sim/time/event_queue.h"
#include "tandem/sim/time/loop.h"

namespace tandem::sim {

class Host;
class World;

// Makes the main coroutine of a host. Called at each start. It lives as long as the host, so that, unlike elsewhere, a
// lambda with captures may itself be the coroutine.
using HostMain = std::function<Task<absl::Status>()>;

class Process final : public TurnTaker, private HostWaker, private TaskObserver, private TimerObserver {
 public:
  enum class Death { kCrash, kKill };

  ~Process() override;

  // The process whose turn it is, or whose blocking work runs: tells a program where it runs. Null between turns and
  // where there is no world.
  static const Process* Current();

  // The name of its host.
  const std::string& name() const;
  const Host& host() const { return host_; }
  // Which run of its host's program it is, from 0.
  uint32_t run() const { return run_; }
  // Main has returned, or the process was told to stop: it drains.
  bool ending() const { return shutting_down_ || told_to_stop(); }
  // SIGTERM, SIGINT or the program itself asked main to stop before it returned.
  bool told_to_stop() const { return told_to_stop_ || (!shutting_down_ && HasBeenCancelled()); }
  // Nothing that it calls has an effect any more: it was stopped in the middle of this turn.
  bool stopped() const { return reactor_->abandoned(); }
  Shard& shard() { return *shard_; }
  // Blocking work that a fault has made stick takes no longer.
  void EndStuckWork() { reactor_->EndStuckWork(); }

 private:
  friend class Host;
  friend class World;

  class InTurn;
  // The next timer of the process may be due.
  class WakeUpEvent final : public Event {
   public:
    explicit WakeUpEvent(Process& process) : process_(process) {}

   private:
    void Run() override { process_.OnWakeUp(); }
    Process& process_;
  };

  // The time that a slow processor takes for a turn is over.
  class TurnEndEvent final : public Event {
   public:
    explicit TurnEndEvent(Process& process) : process_(process) {}

   private:
    void Run() override { process_.OnTurnEnd(); }
    Process& process_;
  };

  Process(World& world, Host& host, uint32_t run);

  // Calls `main`, which outlives the process, and starts what it makes.
  void Start(const HostMain& main);

  // In the middle of a turn: the rest of it has no effect. To be followed by Die() when the turn is over.
  void Stop(Death death);
  // Destroys everything without letting it do anything more.
  void Die(Death death);
  // It stands still, or goes on. Two reasons may hold at once.
  void SetPaused(bool paused);
  void SetStoppedBySignal(bool stopped);
  // The same, when no task runs.
  void StopBySignal(bool stopped);
  bool paused() const { return paused_ || stopped_by_signal_; }
  void DeliverSignal(int signal);
  // The clocks of the machine run otherwise from now on.
  void OnClockChange();
  uint64_t DrawOsRandom();
  // What main returned. REQUIRES that it has.
  const absl::Status& main_status() const { return *main_status_; }
  std::string DescribeTasks() const;

  // TurnTaker.
  bool TakeTurns(int limit) override;
  void OnIdle() override;
  // HostWaker.
  void OnRunnable() override;
  int64_t RunWork(BlockingWork& work) override;
  int64_t paused_until_ns() const override;
  // TaskObserver.
  void OnReady(const TaskContext& task) override;
  void OnResume() override;
  // TimerObserver.
  void OnArm(Instant deadline) override;
  void OnFire(Instant deadline) override;

  bool TakeTurn();
  void OnWakeUp();
  void ArmWakeUp();
  // True when its tasks wait for each other alone: it will never do anything by itself, and hears nothing from outside.
  bool IsStuck() const;
  // Something may be there to do.
  void LookForWork();
  void OnTurnEnd();
  bool in_slow_turn() const { return turn_end_.scheduled(); }
  // What the monotonic clock of the machine shows.
  Instant Now() const { return reactor_->ReadClock(); }
  // What happened while it stood still is seen now.
  void GoOn(bool was_paused);
  // True when the next turn of the shard has something to do at this instant.
  bool HasWork() const;
  bool HasBeenCancelled() const { return shard_->cancelled_at() != Instant::InfiniteFuture(); }
  // Main has returned, or throws now: everything else is cancelled.
  void BeginShutdown();
  static Task<void> RunMain(Process* process, Task<absl::Status> main);

  World& world_;
  Host& host_;
  HostStack& stack_;
  const uint32_t run_;
  const Entity entity_;                             // "server/run#0".
  const std::unique_ptr<SchedulePolicy> schedule_;  // Outlives the shard.
  std::unique_ptr<Shard> shard_;                    // Null once it is dead.
  SimReactor* reactor_ = nullptr;                   // Of shard_.
  WakeUpEvent wake_up_{*this};
  TurnEndEvent turn_end_{*this};

  bool paused_ = false;
  bool stopped_by_signal_ = false;
  bool ends_when_continued_ = false;  // A signal that ends it came while it was stopped.
  bool told_to_stop_ = false;
  bool shutting_down_ = false;
  Instant give_up_ = Instant::InfiniteFuture();  // When a process that was cancelled has to have drained.
  std::optional<absl::Status> main_status_;
  uint64_t turns_ = 0;
  int64_t last_turn_ns_ = -1;
  uint64_t os_random_n_ = 0;  // Draws of getrandom() and the like.
  uint64_t last_task_ = 0;    // The path of the one that went on last...
  uint64_t last_place_ = 0;   // ...and from where.
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_WORLD_PROCESS_H_
