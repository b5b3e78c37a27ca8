// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/world/process.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

// How long a process may take to end after main has returned and everything was cancelled, as in Runtime.
constexpr absl::Duration kGrace = absl::Seconds(10);

// How often the threads of a process that a signal has stopped look whether they may go on.
constexpr int64_t kLookWhetherContinuedNs = 10'000'000;

// What a signal does that nobody asked for, where it does not end the process (signal(7)).
constexpr std::array<int, 4> kIgnoredSignals = {SIGCHLD, SIGCONT, SIGURG, SIGWINCH};
constexpr std::array<int, 4> kStopSignals = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};

bool IsAmong(const std::array<int, 4>& signals, int signal) {
  return std::find(signals.begin(), signals.end(), signal) != signals.end();
}

std::unique_ptr<SimReactor> MakeReactor(HostStack& stack, HostWaker* waker, uint32_t run) {
  SimReactorOptions options;
  // Real reactors differ in whether they read ahead: seeds try both.
  options.read_ahead = stack.network().choices().Draw(Choice::kReadAhead, stack.entity(), 0) >> 63 == 0;
  options.run = run;
  return std::make_unique<SimReactor>(stack, waker, options);
}

}  // namespace

// Inside the process: its shard and its clocks are the current ones. Ends also when main throws.
class Process::InTurn {
 public:
  explicit InTurn(Process& process) : world_(process.world_), entered_(*process.shard_) {
    CHECK(world_.running_ == nullptr);
    world_.SetRunning(&process);
  }
  ~InTurn() { world_.SetRunning(nullptr); }

 private:
  World& world_;
  const Shard::Entered entered_;
};

Process::Process(World& world, Host& host, uint32_t run)
    : TurnTaker(world.loop_),
      world_(world),
      host_(host),
      stack_(host.stack()),
      run_(run),
      entity_(stack_.entity().Part("run", run)),
      // Paths and counts of resumes begin anew with each run: without its number each run would have the same order.
      schedule_(MakeSchedule(
          world.schedule(),
          [this](uint64_t task, uint64_t n) {
            return world_.choices().Draw(Choice::kSchedule, entity_.Part("task", task), n);
          },
          world.drawn_.steps)) {
  auto reactor = MakeReactor(stack_, static_cast<HostWaker*>(this), run);
  reactor_ = reactor.get();
  shard_ = std::make_unique<Shard>(std::move(reactor));
  shard_->set_name(host.name());
  shard_->set_schedule_policy(schedule_.get());
  const Trace& trace = world_.trace();
  if (world_.watches_steps()) shard_->set_task_observer(this);
  if (trace.detailed()) shard_->timers().set_observer(this);
}

void Process::Start(const HostMain& main) {
  {
    const InTurn in_turn(*this);
    shard_->StartMain(RunMain(this, main()));
  }
  SetReady();
}

Process::~Process() {
  SetIdle();
  world_.queue().Cancel(wake_up_);
  world_.queue().Cancel(turn_end_);
}

const Process* Process::Current() { return World::Current() == nullptr ? nullptr : World::Current()->running_; }

const std::string& Process::name() const { return host_.name(); }

Task<void> Process::RunMain(Process* process, Task<absl::Status> main) {
  absl::Status status = co_await std::move(main);
  process->told_to_stop_ = process->told_to_stop_ || process->HasBeenCancelled();
  process->main_status_ = std::move(status);
}

void Process::BeginShutdown() {
  shutting_down_ = true;
  shard_->RethrowMain();
  shard_->BeginShutdown();
}

void Process::Stop(Death death) {
  shard_->Die();
  reactor_->Stop();
  if (death == Death::kCrash) {
    stack_.CrashMachine();
  } else {
    stack_.KillProcess();
  }
}

void Process::Die(Death death) {
  SetIdle();
  world_.queue().Cancel(wake_up_);
  world_.queue().Cancel(turn_end_);
  {
    const InTurn in_turn(*this);
    shard_->Die();
    reactor_->Abandon();
    if (death == Death::kCrash) {
      stack_.CrashMachine();
    } else {
      stack_.KillProcess();
    }
    shard_->Abandon();
    reactor_->Abandon();  // What destructors have submitted.
  }
  reactor_ = nullptr;
  shard_.reset();
}

// --- Standing still ---

void Process::SetPaused(bool paused) {
  const bool was_paused = this->paused();
  paused_ = paused;
  GoOn(was_paused);
}

void Process::SetStoppedBySignal(bool stopped) {
  const bool was_paused = this->paused();
  stopped_by_signal_ = stopped;
  GoOn(was_paused);
}

void Process::GoOn(bool was_paused) {
  if (paused()) return SetIdle();
  if (!was_paused) return;
  // What could not run could not drain either.
  if (give_up_ != Instant::InfiniteFuture()) give_up_ = std::max(give_up_, Now() + kGrace);
  LookForWork();
}

void Process::LookForWork() {
  if (paused() || in_slow_turn()) return;
  if (HasWork()) return SetReady();
  ArmWakeUp();
}

void Process::OnTurnEnd() { LookForWork(); }

void Process::OnClockChange() {
  world_.queue().Cancel(wake_up_);
  LookForWork();
}

int64_t Process::paused_until_ns() const {
  if (stopped_by_signal_) return world_.queue().now_ns() + kLookWhetherContinuedNs;
  return paused_ ? host_.paused_until_ns() : -1;
}

void Process::StopBySignal(bool stopped) {
  host_.BetweenTurns([&host = host_, stopped] {
    if (host.alive()) host.process_->SetStoppedBySignal(stopped);
  });
}

void Process::DeliverSignal(int signal) {
  if (signal == SIGCONT) StopBySignal(false);
  if (signal == SIGCONT && ends_when_continued_) return host_.Kill();
  if (signal == SIGTERM || signal == SIGINT) told_to_stop_ = true;  // Which it sees in its next turn.
  const bool is_for_the_program = signal != SIGKILL && signal != SIGSTOP && reactor_->DeliverSignal(signal);
  if (is_for_the_program || IsAmong(kIgnoredSignals, signal)) return;
  if (IsAmong(kStopSignals, signal)) return StopBySignal(true);
  if (stopped_by_signal_ && signal != SIGKILL) {
    ends_when_continued_ = true;
    return;
  }
  host_.Kill();
}

// --- Turns ---

void Process::OnRunnable() {
  if (!paused() && !in_slow_turn()) SetReady();
}

void Process::OnReady(const TaskContext& task) {
  if (world_.trace().detailed()) world_.RecordDetail(TraceKind::kTaskReady, task.path);
}

void Process::OnResume() {
  const TaskContext& task = *shard_->running_task();
  if (world_.trace().detailed()) world_.RecordDetail(TraceKind::kTaskResume, task.path, task.resumes);
  if (world_.trace().has_sink()) world_.trace().Resume(world_.queue().now_ns(), host_.index());
  world_.OnStep(*this);
}

void Process::OnArm(Instant deadline) {
  world_.RecordDetail(TraceKind::kTimer, static_cast<uint64_t>(deadline.nanoseconds()), 0);
}

void Process::OnFire(Instant deadline) {
  world_.RecordDetail(TraceKind::kTimer, static_cast<uint64_t>(deadline.nanoseconds()), 1);
}

int64_t Process::RunWork(BlockingWork& work) {
  CHECK(world_.running_ == nullptr && world_.slept_ns_ == 0);
  world_.SetRunning(this);
  world_.working_ = true;
  work.Run();
  world_.working_ = false;
  world_.SetRunning(nullptr);
  return std::exchange(world_.slept_ns_, 0);
}

bool Process::HasWork() const {
  return shard_->has_work() || reactor_->has_pending() || shard_->next_deadline() <= Now();
}

bool Process::TakeTurns(int limit) {
  const InTurn in_turn(*this);
  for (int left = limit - 1; left >= 0; --left) {
    if (!TakeTurn() || !HasWork() || in_slow_turn()) return false;
    if (left > 0 && world_.looks_after_turns()) [[unlikely]] {
      TakeRestLater(left);
      return true;
    }
  }
  return true;
}

// False when the process can take no other.
bool Process::TakeTurn() {
  CountTurn();
  last_turn_ns_ = world_.queue().now_ns();
  world_.trace().Record(TraceKind::kHostTurn, world_.queue().now_ns(), host_.index(), turns_++, shard_->task_count(),
                        shard_->timers().size());
  if (!world_.CountTurn(*this)) return false;
  shard_->TurnAtOnce();
  // What it began may have ended at once, as sending does: that is told, and what waits for it goes on, in the same
  // turn.
  if (reactor_->has_pending()) shard_->TurnAtOnce();
  if (reactor_->abandoned()) return false;  // Stopped in the middle of it.
  if (shard_->main_ended() && !shutting_down_) BeginShutdown();
  if (give_up_ == Instant::InfiniteFuture()) give_up_ = shard_->cancelled_at() + kGrace;
  if (const int64_t turn_ns = stack_.faults().turn_ns; turn_ns > 0) [[unlikely]] {
    StackFaults::CountHit(stack_.faults().hits.turn);
    world_.queue().Schedule(turn_end_, last_turn_ns_ + turn_ns);
  }
  // Its awaits take no time: without this it would fill the grace time of the world with turns for minutes.
  if (shard_->most_refused_awaits() >= Executor::kManyRefusedAwaits) [[unlikely]] {
    world_.Fail(absl::AbortedError(absl::StrCat("host ", name(),
                                                ": a task ignores its cancellation (leave a loop when an await "
                                                "fails):\n",
                                                host_.DescribeTasks())));
    return false;
  }
  return true;
}

void Process::OnIdle() {
  if (world_.failed() || reactor_->abandoned()) return;
  if (shutting_down_ && shard_->drained()) return host_.OnProcessEnd();
  if (!in_slow_turn()) ArmWakeUp();
  if (world_.awaits(host_) && IsStuck()) [[unlikely]] {
    world_.OnStuck(host_);
  }
}

bool Process::IsStuck() const {
  return reactor_->hears_nothing() && shard_->next_deadline() == Instant::InfiniteFuture() &&
         give_up_ == Instant::InfiniteFuture() && !shard_->has_work() && !paused() && !in_slow_turn();
}

void Process::ArmWakeUp() {
  const Instant due = std::min(shard_->next_deadline(), give_up_);
  if (due == Instant::InfiniteFuture()) return;
  stack_.CountTimer();
  int64_t time_ns = stack_.clock().TimeOf(due.nanoseconds());
  // A wake-up that is too early looks again: most timers are disarmed or moved before they are due.
  if (wake_up_.scheduled() && wake_up_.time_ns() <= time_ns) return;
  if (const int64_t tick_ns = stack_.faults().timer_tick_ns; tick_ns > 0 && time_ns % tick_ns != 0) [[unlikely]] {
    StackFaults::CountHit(stack_.faults().hits.timer_tick);
    time_ns += tick_ns - time_ns % tick_ns;
  }
  world_.queue().Reschedule(wake_up_, time_ns);
}

void Process::OnWakeUp() {
  if (paused() || in_slow_turn()) return;
  if (Now() >= give_up_) {
    // Work that a fault holds up does not end by being cancelled, and completions that it delays come when they come.
    const StackFaults& faults = stack_.faults();
    const bool delayed = absl::Nanoseconds(faults.completion_jitter_max_ns) > kGrace / 2;
    if (delayed || faults.work_stuck_until_ns >= world_.queue().now_ns()) give_up_ = Now() + kGrace;
  }
  if (Now() >= give_up_) {
    return world_.Fail(absl::InternalError(absl::StrCat(
        "host ", name(), " has not drained ", absl::FormatDuration(kGrace), " after everything was cancelled, with ",
        reactor_->in_flight(), " operation(s) in flight:\n", host_.DescribeTasks())));
  }
  LookForWork();
}

uint64_t Process::DrawOsRandom() { return world_.choices().Draw(Choice::kOsRandom, entity_, os_random_n_++); }

std::string Process::DescribeTasks() const {
  const Shard::Entered entered(*shard_);
  return absl::StrCat(shard_->task_count(), " task(s)", paused() ? ", paused" : "",
                      shutting_down_ ? ", main has returned" : "", "\n", shard_->DescribeTasks());
}

}  // namespace tandem::sim
