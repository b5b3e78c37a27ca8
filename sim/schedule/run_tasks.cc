// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/schedule/run_tasks.h"

#include "tandem/core/base/instant.h"

namespace tandem::sim {
namespace {

class BareExecutor final : public Executor {
 public:
  BareExecutor() : before_(ExchangeCurrent(this)) {}
  ~BareExecutor() override { ExchangeCurrent(before_); }

 private:
  Instant ReadClock() override { return Instant(); }

  Executor* const before_;
};

}  // namespace

TasksEnd RunTasks(SchedulePolicy* policy, absl::FunctionRef<void()> start, uint64_t max_turns) {
  BareExecutor executor;
  executor.set_schedule_policy(policy);
  start();
  for (uint64_t turns = 0; executor.has_ready() && turns < max_turns; ++turns) executor.RunReady();
  if (executor.task_count() == 0) return TasksEnd::kDone;
  const TasksEnd end = executor.has_ready() ? TasksEnd::kEndless : TasksEnd::kStuck;
  executor.Die();
  executor.DestroyTasks();
  return end;
}

}  // namespace tandem::sim
