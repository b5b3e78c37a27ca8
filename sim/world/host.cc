// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/world/host.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/base/random.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

// How long a process may take to end after main has returned and everything was cancelled, as in Runtime.
constexpr absl::Duration kGrace = absl::Seconds(10);

// Signals that are ignored unless a program asks for them, and SIGCONT, which a process that runs does not feel
// (signal(7)): SIGCHLD, SIGCONT, SIGURG, SIGWINCH.
constexpr std::array<int, 4> kIgnoredSignals = {17, 18, 23, 28};

SocketAddress Ipv4Of(uint32_t index, uint16_t port) {
  const uint32_t number = index + 1;
  return SocketAddress::Ipv4(
      {10, static_cast<uint8_t>(number >> 16), static_cast<uint8_t>(number >> 8), static_cast<uint8_t>(number)}, port);
}

SocketAddress Ipv6Of(uint32_t index, uint16_t port) {
  const uint32_t number = index + 1;
  std::array<uint8_t, 16> bytes = {0xfd};
  bytes[13] = static_cast<uint8_t>(number >> 16);
  bytes[14] = static_cast<uint8_t>(number >> 8);
  bytes[15] = static_cast<uint8_t>(number);
  return SocketAddress::Ipv6(bytes, port);
}

}  // namespace

Host::Host(World& world, std::string name, uint32_t index, HostMain main)
    : world_(world),
      name_(std::move(name)),
      index_(index),
      main_(std::move(main)),
      stack_(&HostStack::Add(world.network(), name_, {Ipv4Of(index, 0), Ipv6Of(index, 0)})) {
  world_.queue().Schedule(restart_, world_.queue().now_ns());
}

Host::~Host() {
  EventQueue& queue = world_.queue();
  queue.Cancel(wake_up_);
  queue.Cancel(restart_);
  queue.Cancel(resume_);
  CHECK(shard_ == nullptr);
}

SocketAddress Host::address(uint16_t port) const { return Ipv4Of(index_, port); }
SocketAddress Host::address_ipv6(uint16_t port) const { return Ipv6Of(index_, port); }

// --- The life of a process ---

// Inside the process: its shard and its clocks are the current ones. Ends also when main throws.
class Host::InTurn {
 public:
  explicit InTurn(Host& host) : host_(host), entered_(*host.shard_) {
    CHECK(host_.world_.running_ == nullptr);
    host_.world_.running_ = &host_;
    host_.in_turn_ = true;
  }
  ~InTurn() {
    host_.in_turn_ = false;
    host_.world_.running_ = nullptr;
  }

 private:
  Host& host_;
  const Shard::Entered entered_;
};

Task<void> Host::RunMain(Host* host, Task<absl::Status> main) {
  absl::Status status = co_await std::move(main);
  host->main_status_ = std::move(status);
}

void Host::Start() {
  if (alive()) return;
  world_.trace().Record(TraceKind::kHostStart, world_.queue().now_ns(), index_, starts_);
  if (!stack_->up()) stack_->StartMachine();
  SimReactorOptions options;
  // Real reactors differ in whether they read ahead: seeds try both.
  options.read_ahead = world_.choices().Draw(Choice::kReadAhead, stack_->entity(), 0) >> 63 == 0;
  options.run = starts_;
  auto reactor = std::make_unique<SimReactor>(*stack_, static_cast<HostWaker*>(this), options);
  reactor_ = reactor.get();
  reactor_->set_wall_offset_ns(clock_offset_ns_);
  shard_ = std::make_unique<Shard>(std::move(reactor));
  shard_->set_name(name_);
  // Of its own: a process that is started again runs its tasks in another order.
  const Entity process = stack_->entity().Part("run", starts_);
  schedule_ = MakeSchedule(world_.schedule(), [this, process](uint64_t task, uint64_t n) {
    return world_.choices().Draw(Choice::kSchedule, process.Part("task", task), n);
  });
  shard_->set_schedule_policy(schedule_.get());
  if (world_.trace().has_sink()) shard_->set_task_observer(this);
  ++starts_;
  shutting_down_ = false;
  give_up_ = Instant::InfiniteFuture();
  main_status_.reset();
  status_.reset();
  {
    const InTurn in_turn(*this);
    shard_->StartMain(RunMain(this, main_()));
  }
  OnRunnable();
}

void Host::BeginShutdown() {
  shutting_down_ = true;
  shard_->RethrowMain();
  shard_->BeginShutdown();
}

void Host::Exit() {
  world_.trace().Record(TraceKind::kHostExit, world_.queue().now_ns(), index_,
                        main_status_.has_value() ? static_cast<uint64_t>(main_status_->raw_code()) : 0);
  reactor_ = nullptr;
  shard_.reset();
  stack_->KillProcess();
  world_.queue().Cancel(wake_up_);
  status_ = std::move(main_status_);
}

void Host::DestroyProcess(EndOfProcess end) {
  {
    const InTurn in_turn(*this);
    shard_->Die();
    reactor_->Abandon();
    if (end == EndOfProcess::kCrash) {
      stack_->CrashMachine();
    } else {
      stack_->KillProcess();
    }
    shard_->Abandon();
    reactor_->Abandon();  // What destructors have submitted.
  }
  reactor_ = nullptr;
  shard_.reset();
  paused_ = false;
  EventQueue& queue = world_.queue();
  queue.Cancel(wake_up_);
  queue.Cancel(resume_);
}

void Host::CrashNow() {
  if (!stack_->up()) return;
  world_.trace().Record(TraceKind::kHostCrash, world_.queue().now_ns(), index_, 0);
  if (alive()) return DestroyProcess(EndOfProcess::kCrash);
  stack_->CrashMachine();
}

void Host::KillNow() {
  if (!alive()) return;
  world_.trace().Record(TraceKind::kHostCrash, world_.queue().now_ns(), index_, 1);
  DestroyProcess(EndOfProcess::kKill);
}

// --- Faults ---

void Host::BetweenTurns(void (Host::*fault)()) {
  if (world_.running_ == nullptr) return (this->*fault)();
  world_.At(world_.Now(), [this, fault] { (this->*fault)(); });
}

void Host::Crash() { BetweenTurns(&Host::CrashNow); }
void Host::Kill() { BetweenTurns(&Host::KillNow); }

void Host::Restart(absl::Duration delay) {
  // An event, so after a crash of the same instant.
  world_.queue().Reschedule(restart_, (world_.Now() + delay).nanoseconds());
}

void Host::Pause(absl::Duration duration) {
  if (world_.running_ != nullptr) return world_.At(world_.Now(), [this, duration] { Pause(duration); });
  if (!alive()) return;
  const int64_t until_ns = (world_.Now() + duration).nanoseconds();
  if (paused_ && resume_.time_ns() >= until_ns) return;
  paused_ = true;
  world_.trace().Record(TraceKind::kHostPause, world_.queue().now_ns(), index_, static_cast<uint64_t>(until_ns));
  world_.queue().Reschedule(resume_, until_ns);
}

void Host::OnPauseEnd() {
  paused_ = false;
  // What could not run could not drain either.
  if (give_up_ != Instant::InfiniteFuture()) give_up_ = std::max(give_up_, world_.Now() + kGrace);
  if (HasWork()) return OnRunnable();
  ArmWakeUp();
}

void Host::DeliverSignal(int signal) {
  if (!alive()) return;
  const bool ignored = std::find(kIgnoredSignals.begin(), kIgnoredSignals.end(), signal) != kIgnoredSignals.end();
  if (!reactor_->DeliverSignal(signal) && !ignored) Kill();
}

void Host::SetClockOffset(absl::Duration offset) {
  clock_offset_ns_ = absl::ToInt64Nanoseconds(offset);
  world_.trace().Record(TraceKind::kClockStep, world_.queue().now_ns(), index_,
                        static_cast<uint64_t>(clock_offset_ns_));
  if (alive()) reactor_->set_wall_offset_ns(clock_offset_ns_);
}

// --- Turns ---

void Host::OnRunnable() {
  if (runnable_ || in_turn_ || paused_) return;
  runnable_ = true;
  world_.runnable_.push_back(this);
}

void Host::OnResume() { world_.trace().Resume(world_.queue().now_ns(), index_); }

int64_t Host::RunWork(BlockingWork& work) {
  CHECK(world_.running_ == nullptr && world_.slept_ns_ == 0);
  world_.running_ = this;
  world_.working_ = true;
  work.Run();
  world_.working_ = false;
  world_.running_ = nullptr;
  return std::exchange(world_.slept_ns_, 0);
}

bool Host::HasWork() const {
  return shard_->has_work() || reactor_->has_pending() || shard_->next_deadline() <= world_.Now();
}

void Host::RunTurns() {
  runnable_ = false;
  if (!alive() || paused_) return;
  bool has_work = true;
  {
    const InTurn in_turn(*this);
    for (int turns = 0; has_work && turns < kSpinTurns; ++turns) {
      if (!world_.CountTurn(*this)) return;
      CHECK(shard_->Turn(Instant::InfinitePast()));
      if (shard_->main_ended() && !shutting_down_) BeginShutdown();
      if (give_up_ == Instant::InfiniteFuture()) give_up_ = shard_->cancelled_at() + kGrace;
      // Its awaits take no time: without this it would fill the grace time of the world with turns for minutes.
      if (shard_->most_refused_awaits() >= Executor::kManyRefusedAwaits) [[unlikely]] {
        return world_.Fail(absl::AbortedError(
            absl::StrCat("host ", name_, ": a task ignores its cancellation (leave a loop when an await fails):\n",
                         DescribeTasks())));
      }
      has_work = HasWork();
    }
  }
  if (has_work) {
    runnable_ = true;
    world_.spinning_.push_back(this);
    return;
  }
  if (shutting_down_ && shard_->drained()) return Exit();
  ArmWakeUp();
}

void Host::ArmWakeUp() {
  const Instant due = std::min(shard_->next_deadline(), give_up_);
  if (due == Instant::InfiniteFuture()) return;
  // A wake-up that is too early looks again: most timers are disarmed or moved before they are due.
  if (wake_up_.scheduled() && wake_up_.time_ns() <= due.nanoseconds()) return;
  world_.queue().Reschedule(wake_up_, due.nanoseconds());
}

void Host::OnWakeUp() {
  if (paused_) return;
  if (world_.Now() >= give_up_) {
    return world_.Fail(absl::InternalError(absl::StrCat(
        "host ", name_, " has not drained ", absl::FormatDuration(kGrace), " after everything was cancelled, with ",
        reactor_->in_flight(), " operation(s) in flight:\n", DescribeTasks())));
  }
  if (HasWork()) return OnRunnable();
  ArmWakeUp();
}

std::string Host::DescribeTasks() const {
  std::string text = absl::StrCat("host ", name_, " (", stack_->addresses()[0].HostToString(), "): ");
  if (!alive()) {
    absl::StrAppend(&text, !stack_->up()         ? "the machine is down"
                           : status_.has_value() ? absl::StrCat("main has returned ", status_->ToString())
                           : starts_ == 0        ? "not started"
                                                 : "the process was killed");
    return text + "\n";
  }
  Shard::Entered entered(*shard_);
  absl::StrAppend(&text, shard_->task_count(), " task(s)", paused_ ? ", paused" : "",
                  shutting_down_ ? ", main has returned" : "", "\n", shard_->DescribeTasks());
  return text;
}

}  // namespace tandem::sim
