// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/debugger_data.h"

#include <atomic>
#include <cstddef>
#include <source_location>
#include <string>

#include "tandem/core/async/executor.h"
#include "tandem/core/base/intrusive_list.h"

namespace tandem::internal {

// Both compilers lay out the classes below as if they had no bases and one kind of access, and say that not all do.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

constexpr DebuggerData DebuggerData::Make() {
  using Link = ListLink<TaskListTag>;
  static_assert(sizeof(Link) == 2 * sizeof(void*));                                // The next one, the previous one.
  static_assert(sizeof(IntrusiveList<RootPromise, TaskListTag>) == sizeof(Link));  // The head.
  static_assert(sizeof(std::source_location) == sizeof(void*));
  // What cannot be computed here, debugger_data_test compares with the objects.
  return {.source_file = std::source_location::current().file_name(),
          .fields = {
              {"Executor.next", offsetof(Executor, next_in_process_)},
              {"Executor.previous", offsetof(Executor, previous_in_process_)},
              {"Executor.name", offsetof(Executor, name_)},
              {"Executor.dead", offsetof(Executor, dead_)},
              {"Executor.running", offsetof(Executor, running_)},
              {"Executor.runs_alone", offsetof(Executor, runs_alone_)},
              {"Executor.tasks", offsetof(Executor, tasks_)},
              {"Executor.task_count", offsetof(Executor, task_count_)},
              {"Executor.kManyRefusedAwaits", Executor::kManyRefusedAwaits},
              {"Executor.size", sizeof(Executor)},
              {"ListLink.next", 0},
              {"ListLink.previous", sizeof(void*)},
              {"RootPromise.link", sizeof(PromiseBase)},
              {"RootPromise.context", offsetof(RootPromise, context)},
              {"RootPromise.size", sizeof(RootPromise)},
              {"TaskContext.executor", offsetof(TaskContext, executor)},
              {"TaskContext.first_frame", offsetof(TaskContext, first_frame)},
              {"TaskContext.path", offsetof(TaskContext, path)},
              {"TaskContext.resumes", offsetof(TaskContext, resumes)},
              {"TaskContext.refused_awaits", offsetof(TaskContext, refused_awaits)},
              {"PromiseBase.self", offsetof(PromiseBase, self)},
              {"PromiseBase.parent", offsetof(PromiseBase, parent)},
              {"PromiseBase.child", offsetof(PromiseBase, child)},
              {"PromiseBase.task", offsetof(PromiseBase, task)},
              {"PromiseBase.leaf", offsetof(PromiseBase, leaf)},
              {"PromiseBase.await_location", offsetof(PromiseBase, await_location)},
              {"PromiseBase.size", sizeof(PromiseBase)},
          }};
}

#pragma GCC diagnostic pop

constinit DebuggerData debugger_data = DebuggerData::Make();

namespace {

// Held for a few instructions, when an executor begins or ends.
class Lock {
 public:
  Lock() {
    while (held_.test_and_set(std::memory_order_acquire)) held_.wait(true, std::memory_order_relaxed);
  }
  ~Lock() {
    held_.clear(std::memory_order_release);
    held_.notify_one();
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  static constinit inline std::atomic_flag held_;
};

}  // namespace

void DebuggerData::Add(Executor& executor) {
  const Lock lock;
  Executor*& before = debugger_data.newest;
  executor.previous_in_process_ = before;
  (before == nullptr ? debugger_data.oldest : before->next_in_process_) = &executor;
  before = &executor;
}

void DebuggerData::Remove(Executor& executor) {
  const Lock lock;
  Executor* const previous = executor.previous_in_process_;
  Executor* const next = executor.next_in_process_;
  (previous == nullptr ? debugger_data.oldest : previous->next_in_process_) = next;
  (next == nullptr ? debugger_data.newest : next->previous_in_process_) = previous;
}

}  // namespace tandem::internal
