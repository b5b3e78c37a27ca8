// SPDX-License-Identifier: Apache-2.0
//
// A shard: one executor with one reactor, on one thread. What a host of the simulator and a thread of the real runtime
// have in common.
//
// A turn of its loop is the same in every world: the mailbox, the tasks that were ready at its start, Poll(), then the
// timers. So a completion beats a timeout of the same turn. The real runtime turns one shard until its main task ends;
// the simulator turns the shards of all hosts, each when something has happened to it.
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
#include "core/async/executor.h"
#include "core/async/spawn.h"
#include "core/async/task.h"
#include "core/base/instant.h"
#include "core/base/intrusive_list.h"
#include "core/base/random.h"

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

  // Starts `main` as a task. It is told to stop by RequestStop() and by SIGINT and SIGTERM. REQUIRES that none was
  // started before.
  void StartMain(Task<void> main);
  bool main_ended() const { return main_ended_; }
  // Throws what `main` threw, if it did. REQUIRES main_ended().
  void RethrowMain() { main_.RethrowFirst(); }

  // One turn. Poll() waits until `wait_until`, the next timer or a completion, whatever comes first, and not at all
  // when a task is ready. Returns false when the reactor says that nothing can ever happen (in the simulator only).
  [[nodiscard]] bool Turn(Instant wait_until);
  // True when the next turn has something to do without waiting.
  bool has_work() const { return has_ready() || mailbox_.load(std::memory_order_relaxed) != nullptr; }
  // When the next timer is due.
  Instant next_deadline() { return timers().next_deadline(); }

  // Cancels everything. The loop is to be turned until drained().
  void BeginShutdown();
  // No task is left, and nothing is in flight.
  bool drained() const;

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

  // --- From any thread ---

  // Runs `function` on the shard, at the start of its next turn. It must not throw.
  void Post(absl::AnyInvocable<void()> function);
  // Cancels the main task, as SIGTERM does.
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
  void OnSignal(int signal);
  int UpdateSignalWatch(int signal);
  void DrainMailbox() noexcept;
  void DestroyLocals();

  std::unique_ptr<Reactor> reactor_;
  std::atomic<Letter*> mailbox_{nullptr};  // Newest first.
  internal::TaskSet main_;
  bool main_started_ = false;
  bool main_ended_ = false;
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
