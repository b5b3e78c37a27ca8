// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/world/host.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <limits>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/time/virtual_time.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

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

Host::Host(World& world, std::string name, uint32_t index, HostMain main, Role role)
    : world_(world),
      name_(std::move(name)),
      index_(index),
      role_(role),
      stack_(&HostStack::Add(world.network(), name_, {Ipv4Of(index, 0), Ipv6Of(index, 0)})) {
  mains_.push_back(std::move(main));
  world_.queue().Schedule(stops_, world_.queue().now_ns() + absl::ToInt64Nanoseconds(world_.StartOf(*this)));
  if (const absl::Duration ahead = world_.DrawClock(*this); ahead > absl::ZeroDuration()) SetClockOffset(ahead);
}

Host::~Host() {
  world_.queue().Cancel(stops_);
  CHECK(process_ == nullptr);
}

const Host* Host::Current() {
  const Process* const process = Process::Current();
  return process == nullptr ? nullptr : &process->host();
}

SocketAddress Host::address(uint16_t port) const { return Ipv4Of(index_, port); }
SocketAddress Host::address_ipv6(uint16_t port) const { return Ipv6Of(index_, port); }

// --- The state that follows from the stops ---

void Host::Update() {
  const int64_t now_ns = world_.queue().now_ns();
  const bool down = crashed_ || now_ns < crashed_until_ns_;
  const bool runs = wanted_ && !down && now_ns >= killed_until_ns_;
  const bool paused = now_ns < paused_until_ns_;
  if (down && (stack_->up() || alive())) Stop(Process::Death::kCrash);
  if (!down && !stack_->up()) {
    stack_->StartMachine();
    booted_ = false;
  }
  if (!runs && alive()) Stop(Process::Death::kKill);
  if (runs && !alive() && !paused) Start();
  if (alive()) process_->SetPaused(paused);

  int64_t next_ns = std::numeric_limits<int64_t>::max();
  for (const int64_t edge_ns : {crashed_until_ns_, killed_until_ns_, paused_until_ns_}) {
    if (edge_ns > now_ns) next_ns = std::min(next_ns, edge_ns);
  }
  world_.queue().Cancel(stops_);
  if (next_ns != std::numeric_limits<int64_t>::max()) world_.queue().Schedule(stops_, next_ns);
}

void Host::Start() {
  world_.trace().Record(TraceKind::kHostStart, world_.queue().now_ns(), index_, starts_);
  if (std::exchange(client_done_, false)) --world_.clients_done_;
  if (world_.failed_client_ == this) world_.failed_client_ = nullptr;
  status_.reset();
  restart_at_end_ = false;
  terminated_until_ns_ = 0;
  if (!std::exchange(booted_, true)) world_.injector_->OnBoot(*this);
  process_.reset(new Process(world_, *this, starts_++));
  process_->Start(mains_.back());
}

void Host::Stop(Process::Death death) {
  const bool crash = death == Process::Death::kCrash;
  world_.trace().Record(TraceKind::kHostCrash, world_.queue().now_ns(), index_, crash ? 0 : 1);
  // It ends in another way than by the SIGTERM, but starts no earlier.
  killed_until_ns_ = std::max(killed_until_ns_, std::exchange(terminated_until_ns_, 0));
  if (!alive()) return stack_->CrashMachine();
  process_->Die(death);
  process_.reset();
  if (world_.options_.isolation() != nullptr) world_.options_.isolation()->OnCrash(name_);
}

void Host::Abandon() {
  if (!alive()) return;
  process_->Die(Process::Death::kCrash);
  process_.reset();
}

void Host::OnProcessEnd() {
  absl::Status status = process_->main_status();
  const bool failed = !status.ok() && !process_->told_to_stop();
  world_.trace().Record(TraceKind::kHostExit, world_.queue().now_ns(), index_,
                        static_cast<uint64_t>(status.raw_code()));
  process_.reset();
  stack_->KillProcess();
  if (terminated_until_ns_ != 0) return StartAfterTermination();
  status_ = std::move(status);
  wanted_ = false;
  if (std::exchange(restart_at_end_, false)) return Restart();
  if (RestartByPolicy(failed)) return;
  if (role_ == Role::kServer && failed) FailAsServer(*status_);
  if (role_ != Role::kClient) return;
  if (status_->ok()) {
    client_done_ = true;
    ++world_.clients_done_;
  } else if (world_.failed_client_ == nullptr) {
    world_.failed_client_ = this;
  }
}

// An event: this is called from a turn of the process.
void Host::StartAfterTermination() {
  killed_until_ns_ = std::max(killed_until_ns_, terminated_until_ns_);
  world_.queue().Reschedule(stops_, world_.queue().now_ns());
}

bool Host::RestartByPolicy(bool failed) {
  const bool restarts =
      restart_policy_ == RestartPolicy::kAlways || (restart_policy_ == RestartPolicy::kOnFailure && failed);
  if (restarts) Restart(restart_delay_);
  return restarts;
}

void Host::FailAsServer(const absl::Status& status) {
  world_.Fail(absl::Status(
      status.code(), absl::StrCat("server ", name_, " has ended at ", VirtualTimeText(world_.queue().now_ns()).view(),
                                  " s: ", status.message())));
}

// --- Stops ---

void Host::BetweenTurns(absl::AnyInvocable<void()> change) {
  if (world_.running_ == nullptr) return change();
  world_.At(world_.Now(), std::move(change));
}

void Host::Crash() {
  BetweenTurns([this] {
    crashed_ = true;
    killed_ = killed_ || wanted_;
    wanted_ = restart_at_end_ = false;
    Update();
  });
}

void Host::Kill() {
  BetweenTurns([this] {
    const bool existed = alive();
    killed_ = killed_ || wanted_;
    wanted_ = false;
    Update();
    if (std::exchange(restart_at_end_, false)) return Restart();
    if (existed) RestartByPolicy(/*failed=*/true);
  });
}

void Host::Restart(absl::Duration delay) {
  // An event, so after a crash of the same instant.
  world_.At(world_.Now() + delay, [this] { OnRestart(); });
}

void Host::OnRestart() {
  crashed_ = false;
  if (alive() && process_->ending()) {
    restart_at_end_ = true;
  } else {
    wanted_ = true;
    killed_ = false;
  }
  Update();
}

void Host::Extend(int64_t* until_ns, absl::Duration duration) {
  // At least for an instant, so that it is seen.
  const int64_t end_ns = std::max((world_.Now() + duration).nanoseconds(), world_.queue().now_ns() + 1);
  *until_ns = std::max(*until_ns, end_ns);
  Update();
}

void Host::CrashFor(absl::Duration duration) {
  BetweenTurns([this, duration] { Extend(&crashed_until_ns_, duration); });
}

void Host::KillFor(absl::Duration duration) {
  BetweenTurns([this, duration] { Extend(&killed_until_ns_, duration); });
}

void Host::StopAtOnceFor(Process::Death death, absl::Duration duration) {
  if (alive() && Process::Current() == process_.get() && !world_.working_) process_->Stop(death);
  if (death == Process::Death::kCrash) {
    CrashFor(duration);
  } else {
    KillFor(duration);
  }
}

bool Host::TerminateFor(absl::Duration duration) {
  if (!alive() || process_->ending() || process_->stopped()) return false;
  terminated_until_ns_ = std::max((world_.Now() + duration).nanoseconds(), world_.queue().now_ns() + 1);
  process_->DeliverSignal(SIGTERM);
  return true;
}

void Host::Pause(absl::Duration duration) {
  BetweenTurns([this, duration] {
    const int64_t before_ns = paused_until_ns_;
    Extend(&paused_until_ns_, duration);
    if (paused_until_ns_ == before_ns) return;
    world_.trace().Record(TraceKind::kHostPause, world_.queue().now_ns(), index_,
                          static_cast<uint64_t>(paused_until_ns_));
  });
}

void Host::EndStops() {
  BetweenTurns([this] {
    crashed_until_ns_ = killed_until_ns_ = paused_until_ns_ = 0;
    if (terminated_until_ns_ != 0) terminated_until_ns_ = world_.queue().now_ns();
    crashed_ = false;
    wanted_ = wanted_ || killed_;
    killed_ = false;
    if (alive()) process_->SetStoppedBySignal(false);
    Update();
  });
}

bool Host::DrawBuggify(absl::string_view name) {
  constexpr uint64_t kQuarter = uint64_t{1} << 62;
  auto count = buggify_visits_.find(name);
  if (count == buggify_visits_.end()) {
    CHECK(Entity::IsName(name)) << "not a name for a TANDEM_BUGGIFY: \"" << name << "\"";
    count = buggify_visits_.emplace(std::string(name), 0).first;
  }
  const uint64_t visit = count->second++;
  const Choices& choices = world_.choices();
  const bool fires = choices.Draw(Choice::kBuggify, Entity::Of(name), 0) < kQuarter &&
                     choices.Draw(Choice::kBuggify, stack_->entity().Part(name), visit) < kQuarter;
  if (fires) stack_->RecordBytes(name, TraceKind::kBuggify, HashName(name), visit + 1);
  return fires;
}

void Host::OnVisit(absl::string_view site) {
  auto count = visits_.find(site);
  if (count == visits_.end()) {
    CHECK(IsSiteName(site)) << "not a name for a site: \"" << site << "\"";
    count = visits_.emplace(std::string(site), 0).first;
  }
  ++count->second;
  stack_->RecordBytes(site, TraceKind::kVisit, HashName(site), count->second);
  world_.injector_->OnVisit(*this, site, count->second);
}

void Host::DeliverSignal(int signal) {
  if (alive()) process_->DeliverSignal(signal);
}

void Host::SetClockOffset(absl::Duration offset) {
  constexpr int64_t kMostNs = int64_t{1} << 61;  // 73 years: a clock can show it, with what faults add to it.
  stack_->clock().set_wall_offset_ns(std::clamp(absl::ToInt64Nanoseconds(offset), -kMostNs, kMostNs));
  world_.trace().Record(TraceKind::kClockStep, world_.queue().now_ns(), index_,
                        static_cast<uint64_t>(clock_offset_ns()));
}

std::string Host::DescribeTasks() const {
  const std::string text = absl::StrCat("host ", name_, " (", stack_->addresses()[0].HostToString(), "): ");
  if (alive()) return text + process_->DescribeTasks();
  if (!stack_->up()) return text + "the machine is down\n";
  if (status_.has_value()) return absl::StrCat(text, "main has returned ", status_->ToString(), "\n");
  return text + (starts_ == 0 ? "not started\n" : "the process was killed\n");
}

}  // namespace tandem::sim
