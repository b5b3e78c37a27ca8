// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/runtime/runtime.h"

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/crash/crash_report.h"
#include "tandem/core/io/create_reactor.h"
#include "tandem/core/io/reactor.h"

namespace tandem {
namespace {

// After so long a shutdown says what it waits for.
constexpr absl::Duration kPatience = absl::Seconds(1);
constexpr size_t kTasksInReport = 10;

void Print(const std::string& message) {
  std::fputs(message.c_str(), stderr);
  std::fflush(stderr);
}

[[noreturn]] void Exit(int code, const std::string& message) {
  std::fflush(stdout);
  Print(message);
  std::_Exit(code);
}

// Tasks that wait in the same way are one paragraph.
constexpr size_t kTasksOnDemand = 100;

// Says what all tasks wait for, when it is asked by a signal.
class TaskReport final : public Shard::SignalReceiver {
 public:
  explicit TaskReport(Shard& shard) : shard_(shard) {}

 private:
  void OnSignal(int /*signal*/) override {
    Print(absl::StrCat("SIGQUIT: ", shard_.task_count(), " task(s), ", shard_.reactor().in_flight(),
                       " operation(s) in flight\n", shard_.DescribeTasks(kTasksOnDemand)));
  }

  Shard& shard_;
};

std::unique_ptr<Reactor> CreateReactorOrExit(const ReactorOptions& options) {
  auto reactor = CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(options);
  if (!reactor.ok()) Exit(1, absl::StrCat("cannot start: ", reactor.status().message(), "\n"));
  return *std::move(reactor);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::Create(const RuntimeOptions& options) {
  auto reactor = CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(options.reactor());
  if (!reactor.ok()) return reactor.status();
  return std::unique_ptr<Runtime>(new Runtime(options, *std::move(reactor)));
}

Runtime::Runtime(const RuntimeOptions& options) : Runtime(options, CreateReactorOrExit(options.reactor())) {}

Runtime::Runtime(const RuntimeOptions& options, std::unique_ptr<Reactor> reactor)
    : grace_(options.grace()),
      task_report_(options.task_report()),
      shard_(std::make_unique<Shard>(std::move(reactor))) {
  if (options.crash_report()) InstallCrashReport();
}

Runtime::~Runtime() = default;

ReactorStatistics Runtime::statistics() const { return shard_->reactor().statistics(); }

void Runtime::Run(Task<void> main) {
  Shard::Entered entered(*shard_);
  TaskReport report(*shard_);
  if (task_report_) shard_->ReceiveSignal(report, SIGQUIT);
  shard_->StartMain(std::move(main));
  while (!shard_->main_ended()) TurnOrExit();
  shard_->BeginShutdown();
  // One turn at least: it ends the HostLocals, which may close streams.
  do {
    TurnOrExit();
  } while (!shard_->drained());
  shard_->CloseMailbox();
  while (!shard_->drained()) TurnOrExit();
  shard_->RethrowMain();
}

void Runtime::TurnOrExit() {
  const Instant cancelled_at = shard_->cancelled_at();
  const Instant give_up = cancelled_at + grace_;
  const Instant report = reported_ ? Instant::InfiniteFuture() : cancelled_at + std::min(kPatience, grace_);
  const bool alive = shard_->Turn(std::min(give_up, report));
  if (shard_->main_ended() && shard_->drained()) return;
  if (!alive && cancelled_at == Instant::InfiniteFuture()) {
    Exit(3, absl::StrCat("stuck: every task waits, and nothing can happen any more (in the simulated world nobody "
                         "connects from outside: use several hosts in a SIM_TEST, or --config=uring)\n",
                         shard_->DescribeTasks()));
  }
  const uint64_t in_flight = shard_->reactor().in_flight();
  if (!alive || shard_->now() >= give_up) {
    Exit(2, absl::StrCat("shutdown: ", shard_->task_count(), " task(s) did not end within ",
                         absl::FormatDuration(grace_), " of being cancelled, ", in_flight, " operation(s) in flight",
                         shard_->task_count() == 0 ? ": a stream or listener is open outside of any task" : "", "\n",
                         shard_->DescribeTasks()));
  }
  if (shard_->now() < report) return;
  reported_ = true;
  Print(absl::StrCat("shutdown: waits for ", shard_->task_count(), " task(s) and ", in_flight,
                     " operation(s) in flight, up to ", absl::FormatDuration(give_up - shard_->now()), " more\n",
                     shard_->DescribeTasks(kTasksInReport)));
}

}  // namespace tandem
