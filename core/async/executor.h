// SPDX-License-Identifier: Apache-2.0
//
// The executor: one ready queue, one run loop, the timers and the tree of what runs on one shard.
//
// Coroutines never resume each other. A call (`co_await Child()`) and a return put the other side into the `next` slot,
// and the run loop resumes it from there: a trampoline. The stack stays flat whatever the depth, under every compiler
// and optimisation level; symmetric transfer overflows it with g++ 12 at -O0 and under sanitizers. Wake-ups (a
// completion, a timer, an unlocked mutex) enter the ready queue, and that queue alone is what a SchedulePolicy orders:
// it says at each step which of the ready tasks goes on, and may hold one back while others go on many times.
//
// Thread-hostile: an executor belongs to the thread that runs it.

#ifndef TANDEM_CORE_ASYNC_EXECUTOR_H_
#define TANDEM_CORE_ASYNC_EXECUTOR_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/time/time.h"
#include "tandem/core/async/exception_trace.h"
#include "tandem/core/async/frame_pool.h"
#include "tandem/core/async/timer_queue.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/intrusive_list.h"

namespace tandem {

class CancelScope;
class Executor;
class Leaf;
class PromiseBase;

namespace internal {
struct DebuggerData;
}

// What one task (a spawned coroutine with everything that it awaits) is known by. Stays put in the task's first frame.
struct TaskContext {
  const Executor* executor = nullptr;
  const PromiseBase* first_frame = nullptr;
  // The task's path: hashed from the parent's path and the ordinal of the spawn within the parent. Independent of
  // addresses and of what other tasks do.
  uint64_t path = 0;
  uint64_t resumes = 0;         // How often the task was taken from the ready queue.
  PromiseBase* held = nullptr;  // While a SchedulePolicy holds the task: the coroutine of it that goes on.
  uint64_t rank = 0;            // The policy's own, to remember something about the task by.
  uint32_t next_ordinal = 0;    // Spawns of this task so far.
  // Awaits that ended at once because everything was cancelled. A loop that does not look at what they return has many.
  uint32_t refused_awaits = 0;
};

// The part of a coroutine's promise that does not depend on its result.
class PromiseBase {
 public:
  PromiseBase() = default;
  PromiseBase(const PromiseBase&) = delete;
  PromiseBase& operator=(const PromiseBase&) = delete;

  static void* operator new(size_t size) { return internal::AllocateFrame(size); }
  static void operator delete(void* frame, size_t size) { internal::FreeFrame(frame, size); }

  // The coroutine itself; set when it is started.
  std::coroutine_handle<> self;
  // Who awaits this coroutine; null for the first frame of a task.
  PromiseBase* parent = nullptr;
  // Which coroutine this one awaits, else null.
  PromiseBase* child = nullptr;
  // Cancellation of everything that this coroutine awaits.
  CancelScope* scope = nullptr;
  TaskContext* task = nullptr;
  // The leaf call that this coroutine is suspended in, else null.
  Leaf* leaf = nullptr;
  // Where the coroutine awaits, or last awaited.
  std::source_location await_location;

 private:
  friend class Executor;
  PromiseBase* next_ready_ = nullptr;
  bool is_ready_ = false;
};

// Holds the ready tasks of an executor and says which goes on. Production has none: first in, first out.
//
// A task may be held back however often others go on meanwhile, up to Executor::kHoldsMax. One that is ready goes on
// before the executor waits for anything, so holding back takes no time.
class SchedulePolicy {
 public:
  virtual ~SchedulePolicy() = default;
  // `task` has become ready; its next step is number `task.resumes`. It stays where it is until it is taken.
  virtual void Add(TaskContext& task) = 0;
  // The task that goes on, which is held no longer. Called when there is one.
  virtual TaskContext& Take() = 0;
  // Forgets the tasks that it holds: they will be destroyed.
  virtual void Clear() = 0;
};

// Told which task goes on. Production has none.
class TaskObserver {
 public:
  // `task` has something to do, and will go on when its turn comes.
  virtual void OnReady(const TaskContext& task) = 0;
  // The running task has been taken from the ready queue.
  virtual void OnResume() = 0;

 protected:
  ~TaskObserver() = default;
};

// The tag of the list of all tasks of an executor.
struct TaskListTag;

// The first frame of a task: spawned, or a child of a group or combinator. Owned by the executor until it ends.
class RootPromise : public PromiseBase, public ListLink<TaskListTag> {
 public:
  TaskContext context;
};

class Executor {
 public:
  // After this many awaits in a row that were ready at once, a task goes to the back of the queue.
  static constexpr int kReadyAwaitsInARow = 128;
  // After this much time, which Checkpoint() looks at, it does so as well. Long against the microseconds of a turn, so
  // that it costs little, and short against what a client notices.
  static constexpr absl::Duration TimeSlice() { return absl::Microseconds(500); }

  Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  virtual ~Executor();

  // The executor of the running coroutine. CHECKs that there is one.
  static Executor& Current() {
    CHECK(current_ != nullptr) << "not on a Tandem shard: coroutines run under Runtime::BlockOn";
    return *current_;
  }
  static bool HasCurrent() { return current_ != nullptr; }

  // The latest reading of the clock: that of the start of this turn, or a later one by ReadNow().
  Instant now() const { return now_; }
  // Reads the clock. In the simulator it stands still within a turn.
  Instant ReadNow() { return now_ = ReadClock(); }
  TimerQueue& timers() { return timers_; }
  // The scope above every task.
  CancelScope& root_scope() { return *root_scope_; }

  // Puts a suspended coroutine into the ready queue. REQUIRES that it is not there.
  void Ready(PromiseBase& promise) {
    if (dead_) return;
    CHECK(!promise.is_ready_) << "a coroutine was woken twice";
    promise.is_ready_ = true;
    promise.next_ready_ = nullptr;
    if (ready_tail_ == nullptr) {
      ready_head_ = &promise;
    } else {
      ready_tail_->next_ready_ = &promise;
    }
    ready_tail_ = &promise;
    if (task_observer_ != nullptr) [[unlikely]] {
      task_observer_->OnReady(*promise.task);
    }
  }
  // The coroutine that runs as soon as the running one has suspended or ended. REQUIRES that none is set.
  void SetNext(std::coroutine_handle<> coroutine) {
    DCHECK(!next_);
    next_ = coroutine;
  }
  bool has_ready() const { return ready_head_ != nullptr || held_count_ > 0; }

  // True when a call that has its result at once may go on without suspending.
  bool TakeReadyAwait() { return ++ready_awaits_ < kReadyAwaitsInARow; }
  // Makes the next such call suspend.
  void UseUpReadyAwaits() { ready_awaits_ = kReadyAwaitsInARow; }
  // True when the first time that this was asked since the task was resumed is a time slice ago.
  bool TimeSliceIsOver();

  // An await of `task` was refused, since its scope is cancelled.
  void NoteRefusedAwait(TaskContext& task);
  // The most refused_awaits of any task.
  uint32_t most_refused_awaits() const { return most_refused_awaits_; }

  // Gives a task its place: below the running task, or below the executor. The frame is started from the ready queue.
  void StartTask(RootPromise& root, std::coroutine_handle<> self, CancelScope& scope);
  // The frame of `root` is about to be destroyed.
  void ForgetTask(RootPromise& root);
  size_t task_count() const { return task_count_; }

  // Runs every coroutine that is in the ready queue now; those that become ready meanwhile wait for the next call. With
  // a policy, as many steps as there are ready tasks now, whichever tasks take them; has_ready() while any is left.
  void RunReady();

  // From now on `task` runs only while it is the one task there is; null: every task runs. See Shard::RequestStop().
  void SetRunsAlone(const TaskContext* task) { runs_alone_ = task; }

  // The task that runs; null between tasks.
  TaskContext* running_task() const { return running_; }
  // The innermost coroutine of that task. CHECKs that there is one.
  const PromiseBase& running_coroutine() const;

  // Why nothing goes on: first a circle of tasks that wait for each other's locks, if there is one; then a paragraph
  // for each task that is suspended: its chain of awaits with file:line, outermost last, and what the innermost one
  // waits for. Tasks that are at the same place share one. At most `limit` paragraphs.
  std::string DescribeTasks(size_t limit = std::numeric_limits<size_t>::max()) const;

  // The simulated host crashed: from now on nothing that is started will ever run.
  void Die();
  bool dead() const { return dead_; }
  // Destroys every task without running it. Destructors of their locals run. REQUIRES dead().
  void DestroyTasks();
  // Whether that is going on: nothing but destructors throws then, and nobody is left to catch it.
  bool destroys_tasks() const { return destroys_tasks_; }

  // Where the exception that is on its way now has passed.
  ExceptionTrace& exception_trace() { return exception_trace_; }
  // The current exception escaped the running task, or a destructor in DestroyTasks(): ends the process with a report.
  [[noreturn]] void EscapedException();

  // Null: none. Outlives the tasks. REQUIRES that no task is held.
  void set_schedule_policy(SchedulePolicy* policy) {
    CHECK(held_count_ == 0);
    policy_ = policy;
  }
  // Null: none.
  void set_task_observer(TaskObserver* observer) { task_observer_ = observer; }

  // The most steps that other tasks may take while a policy holds one back, give or take a turn: then each task that is
  // held takes one. Far more than what a race needs, and few enough for a loop of Yield() that waits for the one held.
  static constexpr uint64_t kHoldsMax = 4096;

  // So many refused awaits are no clean-up, but a loop that ignores its cancellation.
  static constexpr uint32_t kManyRefusedAwaits = 1'000'000;

  // For messages: of the simulated host, or "main".
  const std::string& name() const { return *name_; }
  std::shared_ptr<const std::string> shared_name() const { return name_; }
  void set_name(std::string name) { name_ = std::make_shared<const std::string>(std::move(name)); }

 protected:
  virtual Instant ReadClock() = 0;
  static Executor* ExchangeCurrent(Executor* executor) { return std::exchange(current_, executor); }

 private:
  friend struct internal::DebuggerData;

  // What a task waits for, in words.
  std::string WhatKeeps(const RootPromise& root, const Leaf* leaf) const;
  std::string DescribeCircle(const std::vector<const RootPromise*>& tasks) const;
  void Resume(PromiseBase& promise);
  void ResumeAlone();
  void RunByPolicy();
  // Gives the policy what has become ready.
  void HandToPolicy();
  PromiseBase& TakeFromPolicy();

  static inline thread_local Executor* current_ = nullptr;

  std::shared_ptr<const std::string> name_ = std::make_shared<const std::string>("main");
  Instant now_;
  PromiseBase* ready_head_ = nullptr;
  PromiseBase* ready_tail_ = nullptr;
  std::coroutine_handle<> next_;
  int ready_awaits_ = 0;
  Instant slice_start_ = Instant::InfiniteFuture();  // Infinite: nobody asked yet.
  bool dead_ = false;
  bool destroys_tasks_ = false;
  TaskContext* running_ = nullptr;
  const TaskContext* runs_alone_ = nullptr;
  PromiseBase* waits_to_be_alone_ = nullptr;  // Of that task: it was ready when there were others.
  TaskContext own_context_;                   // The parent of tasks that no task spawned.
  SchedulePolicy* policy_ = nullptr;
  TaskObserver* task_observer_ = nullptr;
  size_t held_count_ = 0;               // Tasks that the policy holds.
  uint64_t steps_with_held_ = 0;        // Since the policy held none, or all of those that it held took one.
  std::vector<PromiseBase*> all_held_;  // Scratch space of RunByPolicy().
  TimerQueue timers_;
  CancelScope* root_scope_;  // Owned; a pointer because CancelScope needs this class.
  IntrusiveList<RootPromise, TaskListTag> tasks_;
  size_t task_count_ = 0;
  uint32_t most_refused_awaits_ = 0;
  ExceptionTrace exception_trace_;
  // Of all executors of the process, for debuggers.
  Executor* next_in_process_ = nullptr;
  Executor* previous_in_process_ = nullptr;
};

}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_EXECUTOR_H_
