// SPDX-License-Identifier: Apache-2.0
//
// The calls of World that let time pass, and what ends them.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/sim/time/virtual_time.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/process.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

// As many turns of one process, that always has something to do, are a livelock: 0.2 s of time.
constexpr uint64_t kTurnsInARowMax = 2'000'000;

}  // namespace

void World::Run(int64_t until_ns, absl::FunctionRef<bool()> done) {
  CHECK(running_ == nullptr) << "a task called Run...() of the world that runs it";
  if (options_.scenario() != nullptr) InjectScenario();
  if (rehearsal_.has_value() && rehearsal_->is_copy() && Now() > rehearsal_end_) rehearsal_->End(CountWork());
  if (run_is_to_end_) throw RunEnded();
  while (!failed() && stuck_ == nullptr && !done() && loop_.Step(until_ns)) {
    LookForLivelock();
    if (events() >= branch_event_) [[unlikely]] {
      Branch();
    }
    if (!checks_.empty()) RunChecks();
    if (run_is_to_end_) [[unlikely]] {
      throw RunEnded();
    }
  }
}

absl::Status World::RunUntilTrue(absl::FunctionRef<bool()> done, absl::Duration limit, absl::string_view what) {
  const int64_t until_ns = (Now() + limit).nanoseconds();
  stuck_ = nullptr;
  for (const std::unique_ptr<Host>& host : hosts_) {  // One that was so before.
    if (host->alive() && awaits(*host) && host->process_->turns_ > 0 && host->process_->IsStuck()) OnStuck(*host);
  }
  Run(until_ns, done);
  const Host* const stuck = std::exchange(stuck_, nullptr);
  if (failed()) return failure_;
  if (done()) return absl::OkStatus();
  if (stuck != nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("stuck: ", what, ", and nothing can change host ", stuck->name(),
                                                      " any more after ", VirtualTimeText(queue_.now_ns()).view(),
                                                      " s:\n", DescribeTasks()));
  }
  if (loop_.quiescent()) {
    return absl::FailedPreconditionError(absl::StrCat("stuck: ", what, ", and nothing can happen any more after ",
                                                      VirtualTimeText(queue_.now_ns()).view(), " s:\n",
                                                      DescribeTasks()));
  }
  queue_.AdvanceTo(until_ns);
  return absl::DeadlineExceededError(
      absl::StrCat(what, " within ", absl::FormatDuration(limit), ":\n", DescribeTasks()));
}

void World::OnStuck(const Host& host) {
  // The test may do something later, in a callback or a check, and a host that stops may start again.
  if (!callbacks_.empty() || !checks_.empty() || injector_->WillStop(host)) return;
  if (stuck_ == nullptr) stuck_ = &host;
}

absl::Status World::RunUntilDone(Host& host, absl::Duration limit) {
  awaited_ = &host;
  const absl::Cleanup ended = [this] { awaited_ = nullptr; };
  const absl::Status ran = RunUntilTrue([&] { return host.status_.has_value(); }, limit,
                                        absl::StrCat("host ", host.name(), " has not ended"));
  return ran.ok() ? *host.status_ : ran;
}

absl::Status World::RunUntil(absl::FunctionRef<bool()> done, absl::Duration limit) {
  return RunUntilTestSays(done, limit, "what the test waits for has not happened");
}

absl::Status World::RunUntil(absl::string_view what, absl::FunctionRef<bool()> done, absl::Duration limit) {
  return RunUntilTestSays(done, limit, absl::StrCat("\"", what, "\" has not happened"));
}

absl::Status World::RunUntilTestSays(absl::FunctionRef<bool()> done, absl::Duration limit, absl::string_view what) {
  asks_after_turns_ = true;
  const absl::Cleanup asked = [this] { asks_after_turns_ = false; };  // An exception of a host comes through here.
  return RunUntilTrue(done, limit, what);
}

absl::Status World::RunClients(absl::Duration limit) {
  CHECK_GT(clients_, 0u) << "no client was added";
  awaits_clients_ = true;
  const absl::Cleanup ended = [this] { awaits_clients_ = false; };
  const auto done = [this] { return failed_client_ != nullptr || clients_done_ == clients_; };
  absl::Status ran = RunUntilTrue(done, limit, "not all clients have ended");
  if (!ran.ok() || failed_client_ == nullptr) return ran;
  const absl::Status& status = *failed_client_->status();
  return absl::Status(status.code(), absl::StrCat("client ", failed_client_->name(), ": ", status.message()));
}

absl::Status World::HealAndExpect(absl::Duration within, absl::string_view what, absl::FunctionRef<bool()> done) {
  injector_->EndAll();
  Heal();
  for (const std::unique_ptr<Host>& host : hosts_) host->EndStops();
  return RunUntil(what, done, within);
}

void World::RunChecks() {
  for (absl::AnyInvocable<absl::Status()>& check : checks_) {
    const absl::Status status = check();
    if (status.ok()) continue;
    Fail(absl::Status(status.code(), absl::StrCat("a check after each step, at ",
                                                  VirtualTimeText(queue_.now_ns()).view(), " s: ", status.message())));
  }
}

absl::Status World::RunFor(absl::Duration duration) {
  const int64_t until_ns = (Now() + duration).nanoseconds();
  Run(until_ns, [] { return false; });
  if (!failed()) queue_.AdvanceTo(until_ns);
  return failure_;
}

absl::Status World::RunUntilQuiescent(absl::Duration limit) {
  const int64_t until_ns = (Now() + limit).nanoseconds();
  Run(until_ns, [] { return false; });
  if (failed() || loop_.quiescent()) return failure_;
  queue_.AdvanceTo(until_ns);
  return absl::DeadlineExceededError(
      absl::StrCat("there was still something to do after ", absl::FormatDuration(limit), ":\n", DescribeTasks()));
}

bool World::CountTurn(const Process& process) {
  ++turns_;
  if (process.turns_in_a_row() > kTurnsInARowMax) [[unlikely]] {
    FailAsLivelock(absl::StrCat(kTurnsInARowMax, " turns of host ", process.name(),
                                ", which always has something to do (what a loop waits for needs a Sleep(), not a "
                                "Yield(); and calls that are cancelled end at once: look at their Status)"));
  } else {
    LookForLivelock();
  }
  return !failed();
}

void World::FailWithTooManyEvents() {
  if (queue_.executed_at_this_instant() > kEventsAtOneInstantMax) {
    FailAsLivelock(absl::StrCat(kEventsAtOneInstantMax,
                                " events at one instant (calls that are cancelled end at once: look at their Status)"));
  } else {
    FailAsLivelock(absl::StrCat(events(), " events (max_events)"));
  }
}

void World::FailAsLivelock(absl::string_view what) {
  std::string text = absl::StrCat("livelock: ", what, " until ", VirtualTimeText(queue_.now_ns()).view(),
                                  " s of virtual time; at this instant there ran:\n");
  for (const std::unique_ptr<Host>& host : hosts_) {
    if (host->alive() && host->process_->last_turn_ns_ == queue_.now_ns()) text += host->DescribeTasks();
  }
  Fail(absl::AbortedError(text));
}

void World::Fail(absl::Status status) {
  if (failed()) return;
  failure_ = std::move(status);
  trace_.Note(queue_.now_ns(), failure_.message());
}

}  // namespace tandem::sim
