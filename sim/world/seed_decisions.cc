// SPDX-License-Identifier: Apache-2.0
//
// What a seed decides about a world beside its faults: lines of a scenario as well (sim/faults/scenario.h).

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/base/random.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/schedule/schedule.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/process.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

// A time up to `spread`. Seeds differ in the scale: in some nothing is moved by much.
absl::Duration DrawTime(const Choices& choices, Choice what, Entity host, absl::Duration spread) {
  constexpr uint64_t kScales = 8;
  const uint64_t scale = ReduceToRange(choices.Draw(what, Entity(), 0), kScales);
  const auto most_ns = static_cast<uint64_t>(absl::ToInt64Nanoseconds(spread)) >> scale;
  return absl::Nanoseconds(static_cast<int64_t>(ReduceToRange(choices.Draw(what, host, 0), most_ns + 1)));
}

// That of a line for `host`; without one there is none.
absl::Duration FromLine(const std::map<std::string, absl::Duration>& lines, const std::string& host) {
  const auto line = lines.find(host);
  return line == lines.end() ? absl::ZeroDuration() : line->second;
}

// A number of [0, bound], each power of two as likely as the next.
uint64_t DrawLogUniform(const Choices& choices, Entity knob, uint64_t bound) {
  const auto scales = static_cast<uint64_t>(std::bit_width(bound)) + 1;
  const uint64_t scale = ReduceToRange(choices.Draw(Choice::kKnob, knob, 0, 0), scales);
  if (scale == 0) return 0;
  const uint64_t least = uint64_t{1} << (scale - 1);
  const uint64_t most = std::min(bound, least + (least - 1));
  return least + ReduceToRange(choices.Draw(Choice::kKnob, knob, 0, 1), most - least + 1);
}

// Whether a line of a scenario can have `text` in it: `not_in` and control characters would end it, or be lost.
bool FitsInLine(absl::string_view text, absl::string_view not_in) {
  return text.find_first_of(not_in) == text.npos && std::none_of(text.begin(), text.end(), absl::ascii_iscntrl);
}

bool IsSkipped(const std::vector<Skip>& skips, absl::string_view what, uint64_t n) {
  return std::any_of(skips.begin(), skips.end(),
                     [&](const Skip& skip) { return skip.what == what && skip.from <= n && n < skip.to; });
}

}  // namespace

absl::Duration World::StartOf(const Host& host) {
  if (options_.scenario() == nullptr) return absl::ZeroDuration();
  const absl::Duration start = FromLine(options_.scenario()->starts, host.name());
  if (start > absl::ZeroDuration()) drawn_.starts[host.name()] = start;
  return start;
}

void World::SpreadStarts() {
  for (const std::unique_ptr<Host>& host : hosts_) {
    if (host->starts_ > 0 || !host->stops_.scheduled() || drawn_.starts.contains(host->name())) continue;
    const absl::Duration start = DrawTime(choices_, Choice::kStart, Entity::Of(host->name()), options_.start_spread());
    if (start == absl::ZeroDuration()) continue;
    drawn_.starts[host->name()] = start;
    queue_.Reschedule(host->stops_, host->stops_.time_ns() + absl::ToInt64Nanoseconds(start));
  }
}

absl::Duration World::DrawClock(const Host& host) {
  const absl::Duration ahead =
      options_.scenario() != nullptr
          ? FromLine(options_.scenario()->clocks, host.name())
          : DrawTime(choices_, Choice::kClock, Entity::Of(host.name()), options_.clock_spread());
  if (ahead > absl::ZeroDuration()) drawn_.clocks[host.name()] = ahead;
  return ahead;
}

void World::Branch() {
  branch_event_ = std::numeric_limits<uint64_t>::max();
  has_branched_ = true;
  choices_.Branch(drawn_.branch->salt);
  injector_->ForgetWaiting();
}

int64_t World::Knob(absl::string_view name, int64_t low, int64_t high) {
  CHECK_LE(low, high) << "the knob \"" << name << "\"";
  CHECK(FitsInLine(name, "\"") && name.find(" #") == name.npos) << "not a name for a knob: " << name;
  const auto known = drawn_.knobs.find(std::string(name));
  if (known != drawn_.knobs.end()) return std::clamp(known->second, low, high);
  int64_t value = low;
  if (options_.scenario() == nullptr) {
    const uint64_t bound = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
    value = static_cast<int64_t>(static_cast<uint64_t>(low) + DrawLogUniform(choices_, Entity::Of(name), bound));
  } else if (const auto line = options_.scenario()->knobs.find(std::string(name));
             line != options_.scenario()->knobs.end()) {
    value = std::clamp(line->second, low, high);
  }
  drawn_.knobs.emplace(std::string(name), value);
  return value;
}

int64_t World::ProgramKnob(absl::string_view name, int64_t value, int64_t low, int64_t high) {
  constexpr uint64_t kQuarter = uint64_t{1} << 62;
  CHECK(low <= high && Entity::IsName(name)) << "not a TANDEM_KNOB: \"" << name << "\", " << low << ", " << high;
  const auto known = drawn_.knobs.find(std::string(name));
  if (known != drawn_.knobs.end()) return std::clamp(known->second, low, high);
  if (!buggifies_) return value;
  if (options_.scenario() != nullptr) {
    const auto line = options_.scenario()->knobs.find(std::string(name));
    if (line == options_.scenario()->knobs.end()) return value;
    return drawn_.knobs[std::string(name)] = std::clamp(line->second, low, high);
  }
  const Entity knob = Entity::Of(name);
  if (choices_.Draw(Choice::kBuggify, knob, 0) >= kQuarter) return value;
  const uint64_t bound = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  return drawn_.knobs[std::string(name)] =
             static_cast<int64_t>(static_cast<uint64_t>(low) + DrawLogUniform(choices_, knob, bound));
}

std::vector<Op> World::Ops(absl::string_view what, uint64_t count) {
  CHECK(!what.empty() && FitsInLine(what, " /#")) << "not a name for a workload: \"" << what << '"';
  uint64_t& steps = workload_steps_[std::string(what)];
  steps = std::max(steps, count);
  std::vector<Op> ops;
  for (uint64_t n = 0; n < count; ++n) {
    if (!IsSkipped(drawn_.skips, what, n)) ops.emplace_back(choices_, Entity::Of(what).Part("op", n), n);
  }
  return ops;
}

bool World::Skip(absl::string_view what, uint64_t n) {
  CHECK(!what.empty() && FitsInLine(what, " #")) << "not a name for a workload: \"" << what << '"';
  uint64_t& steps = workload_steps_[std::string(what)];
  steps = std::max(steps, n + 1);
  return IsSkipped(drawn_.skips, what, n);
}

void World::FailOperation(absl::string_view host, uint64_t number, bool and_after) {
  CHECK_GE(number, 1u);
  drawn_.failures.push_back({std::string(host), number, and_after});
  if (Host* const added = FindHost(host); added != nullptr) added->stack().AddFailingOperations({number, and_after});
}

uint64_t World::operations(absl::string_view host) {
  Host* const found = FindHost(host);
  CHECK(found != nullptr) << "no host is called " << host;
  return found->stack().counts().operations;
}

// A line of the scenario has to mean the same in a run that knows it from the start.
void World::AimSchedule(const Workload& workload) {
  if (!UsesStepTotals(schedule_) || workload.steps.tasks == 0) return;
  const bool started =
      std::any_of(hosts_.begin(), hosts_.end(), [](const std::unique_ptr<Host>& host) { return host->starts_ > 0; });
  if (!started) drawn_.steps = workload.steps;
}

void World::OnStep(Process& process) {
  const Executor& executor = Executor::Current();
  const TaskContext& task = *executor.running_task();
  if (counts_steps_) steps_.Note(HashCombine(process.entity_.hash(), task.path), task.resumes);
  if (!options_.keeps_hand_offs()) return;
  const uint64_t place = hand_offs_.HashOf(executor.running_coroutine().await_location);
  if (process.last_task_ != task.path) hand_offs_.Note(process.last_place_, place);
  process.last_task_ = task.path;
  process.last_place_ = place;
}

}  // namespace tandem::sim
