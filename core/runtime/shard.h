// SPDX-License-Identifier: Apache-2.0
//
// A shard: one executor with one reactor, on one thread. What a host of the simulator and a thread of the real runtime
// have in common.
//
// A turn of its loop is the same in every world: the mailbox, the tasks that were ready at its start, Poll(), then the
// timers. So a completion beats a timeout of the same turn. The real runtime turns one shard until its main task ends;
// the simulator turns the shards of all hosts, each when something has happened to it.
//
// The end of a shard: a stop is announced (stop.h) and cancels every task at once; main's coroutine goes on when all
// other tasks have ended, so that they may use what it owns. Or main returns by itself, and then the others are
// cancelled. Either way the loop is turned until nothing is left.
//
// Post() and RequestStop() may be called from any thread; everything else belongs to the shard's thread.

#ifndef TANDEM_CORE_RUNTIME_SHARD_H_
#define TANDEM_CORE_RUNTIME_SHARD_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/intrusive_list.h"
#include "tandem/core/base/random.h"
#include "tandem/core/runtime/stop_control.h"

namespace tandem {

class Reactor;

class Shard final : public Executor {
 public:
  explicit Shard(std::unique_ptr<Reactor> reactor);
  // REQUIRES drained(), or Abandon() before.
  ~Shard() override;

  // The shard that runs on this thread. CHECKs that there is one.
  static Shard& Current() { return static_cast<Shard&>(Executor::Current()); }

  // Makes a shard the current one of this thread while it lives.
  class Entered {
   public:
    explicit Entered(Shard& shard);
    ~Entered();
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;

   private:
    Executor* const executor_;
    Reactor* const reactor_;
  };

  // No shard is the current one of this thread while it lives: for code that must not use one, such as blocking work
  // in the simulator.
  class Left {
   public:
    Left();
    ~Left();
    Left(const Left&) = delete;
    Left& operator=(const Left&) = delete;

   private:
    Executor* const executor_;
    Reactor* const reactor_;
  };

  Reactor& reactor() { return *reactor_; }

  // --- The loop. REQUIRES an Entered for this shard, outside of any coroutine. ---

  // Starts `main` as a task. REQUIRES that none was started before.
  void StartMain(Task<void> main);
  bool main_ended() const { return main_started_ && main_task_ == nullptr; }
  // Throws what `main` threw, if it did. REQUIRES main_ended().
  void RethrowMain() { main_.RethrowFirst(); }

  // One turn. Poll() waits until `wait_until`, the next timer or a completion, whatever comes first, and not at all
  // when a task is ready. Returns false when the reactor says that nothing can ever happen (in the simulator only).
  [[nodiscard]] bool Turn(Instant wait_until);
  // The same without waiting, in the other order: what the reactor and the timers have comes first and the tasks that
  // it makes ready run after it, so that one turn brings a message and its answer. For a loop that looks whether there
  // is something to do before it turns.
  void TurnAtOnce();
  // True when the next turn has something to do without waiting.
  bool has_work() const { return has_ready() || has_letters(); }
  // When the next timer is due.
  Instant next_deadline() { return timers().next_deadline(); }

  // Main has returned: cancels everything. The loop is to be turned until drained().
  void BeginShutdown();
  // Cancels every task, those that are spawned later, too. If main has not ended, its own coroutine runs from now on
  // only while there is no other task. Idempotent.
  void CancelEverything();
  // When CancelEverything() was called first; InfiniteFuture(): not yet.
  Instant cancelled_at() const { return cancelled_at_; }
  // No task is left, and nothing is in flight.
  bool drained() const;

  // From now on Post() refuses. Runs what was posted before.
  void CloseMailbox() { RunLetters(&closed_); }

  // A simulated crash: Die() comes first, then the reactor abandons what is in flight, then this destroys every task
  // and after them the HostLocals.
  void Abandon();

  // --- For code that runs on the shard ---

  // A stream of addressed random numbers: its numbers depend on the shard's seed, `name`, `entity` and on how often
  // this stream was drawn. The reference stays valid as long as the shard, and so does the stream: do not make one for
  // each of an unbounded number of entities.
  RandomStream& Random(absl::string_view name, uint64_t entity = 0);

  struct SignalListTag;
  // Who listens for signals; see signal_listener.h.
  class SignalReceiver : public ListLink<SignalListTag> {
   public:
    SignalReceiver() = default;
    // Stops listening.
    virtual ~SignalReceiver();

   protected:
    virtual void OnSignal(int signal) = 0;

   private:
    friend class Shard;
    uint64_t signals_ = 0;  // Bit `signal - 1`.
  };
  // From now on `signal` goes to `receiver`, and to no action of this process. 0 or -EINVAL.
  int ReceiveSignal(SignalReceiver& receiver, int signal);

  // See stop.h.
  internal::StopControl& stop_control() { return stop_control_; }

  // --- From any thread ---

  // Runs `function` on the shard, at the start of its next turn. It must not throw. Returns false, and destroys the
  // function unrun, when the shard has had its last turn. The shard's destructor waits for calls that are under way, so
  // `function` may be what leads to it.
  bool Post(absl::AnyInvocable<void()> function);
  // Stops the shard, as SIGTERM does. Idempotent.
  void RequestStop();

  // The slot of one HostLocal; see host_local.h.
  struct Local {
    virtual ~Local() = default;
  };
  std::unique_ptr<Local>& LocalSlot(size_t index) {
    if (index >= locals_.size()) locals_.resize(index + 1);
    return locals_[index];
  }

 private:
  struct Letter {
    absl::AnyInvocable<void()> function;
    Letter* next;
  };

  Instant ReadClock() override;
  bool has_letters() const {
    const Letter* newest = mailbox_.load(std::memory_order_relaxed);
    return newest != nullptr && newest != &closed_;
  }
  void OnSignal(int signal);
  int UpdateSignalWatch(int signal);
  // Leaves `leave`, nothing or &closed_, in the mailbox.
  void RunLetters(Letter* leave) noexcept;
  void DestroyLocals();

  std::unique_ptr<Reactor> reactor_;
  Letter closed_{nullptr, nullptr};        // What mailbox_ points to when it is closed.
  std::atomic<Letter*> mailbox_{nullptr};  // Newest first.
  std::atomic<int> posting_{0};            // Calls of Post() under way.
  internal::StopControl stop_control_{*this};
  Instant cancelled_at_ = Instant::InfiniteFuture();
  internal::TaskSet main_;
  const TaskContext* main_task_ = nullptr;  // Null before and after.
  bool main_started_ = false;
  std::map<std::pair<std::string, uint64_t>, RandomStream> streams_;
  std::vector<std::unique_ptr<Local>> locals_;
  IntrusiveList<SignalReceiver, SignalListTag> signal_receivers_;
  bool stop_signalled_ = false;  // SIGINT or SIGTERM asked main to stop: from now on SIGINT kills.
  bool shutting_down_ = false;
};

// The monotonic time is Now() (core/async/sleep.h).

// The wall-clock time of this host. May step; never use it for deadlines.
absl::Time WallNow();

// Addressed random numbers of this shard: `Random("retry").Between(10, 20)`. See Shard::Random().
inline RandomStream& Random(absl::string_view name, uint64_t entity = 0) {
  return Shard::Current().Random(name, entity);
}

}  // namespace tandem

#endif  // TANDEM_CORE_RUNTIME_SHARD_H_
