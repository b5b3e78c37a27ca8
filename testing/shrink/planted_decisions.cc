// SPDX-License-Identifier: Apache-2.0
//
// Planted bugs that need what a seed decides beside faults: schedules, starts, clocks, knobs and operations.

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/op.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/shrink/planted.h"
#include "tandem/testing/sim_test.h"

namespace tandem {
namespace {

constexpr absl::Duration kEnd = absl::Minutes(10);

// --- A schedule: a task that is held back wakes nobody ---

struct Flag {
  bool set = false;
  bool missed = false;
  Turns turns;
};

constexpr int kSetter = 1;
constexpr int kWaiter = 2;
constexpr int kOthers = 3;  // The first of them.

Task<void> SetLater(Flag* flag) {
  flag->turns.GoesOn(kSetter);
  for (int i = 0; i < 3; ++i) co_await flag->turns.Pass(kSetter);
  flag->set = true;
}

Task<void> PassOften(Turns* turns, int task, int times) {
  turns->GoesOn(task);
  for (int i = 0; i < times; ++i) co_await turns->Pass(task);
}

// Waits for the flag for a while, and not longer.
Task<void> WaitOnce(Flag* flag) {
  flag->set = false;
  flag->turns.Waits(kSetter);
  Spawn(&SetLater, flag);
  for (int i = 0; i < 8; ++i) co_await flag->turns.Pass(kWaiter);
  if (!flag->set) flag->missed = true;
}

Task<absl::Status> RunFlag(Flag* flag) {
  for (int task = kOthers; task < kOthers + 5; ++task) {
    flag->turns.Waits(task);
    Spawn(&PassOften, &flag->turns, task, 20);
  }
  co_await WaitOnce(flag);
  co_return absl::OkStatus();
}

SIM_TEST(Planted, LosesAWakeUpInACrowd) {
  Flag flag;
  AddBystanders(world);
  sim::Host& host = world.AddHost("host", [&] { return RunFlag(&flag); });
  world.Inject(sim::Faults::All().Spare("host"));
  EXPECT_EQ(world.RunUntilDone(host, kEnd), absl::OkStatus());
  EXPECT_FALSE(flag.missed) << "bug: nobody woke it; held back: " << flag.turns.held_back();
}

// --- One hand-off among a thousand: an addition is lost when another one comes between its read and its write ---

struct Sum {
  int64_t value = 0;
  Turns turns;
};

constexpr int kAdder = 1;
constexpr int kOther = 2;
constexpr int kPasses = 100;
constexpr int kAddsAt = 50;

Task<void> AddAtOnce(Sum* sum) {
  sum->turns.GoesOn(kOther);
  for (int i = 0; i < kPasses; ++i) {
    if (i == kAddsAt) ++sum->value;
    co_await sum->turns.Pass(kOther);
  }
}

Task<void> AddSlowly(Sum* sum) {
  sum->turns.GoesOn(kAdder);
  int64_t value = 0;
  for (int i = 0; i < kPasses; ++i) {
    if (i == kAddsAt) value = sum->value;
    co_await sum->turns.Pass(kAdder);
  }
  static_cast<void>(co_await Sleep(absl::Milliseconds(1)));
  sum->value = value + 1;
}

// Whoever adds at once is the first of all, and whoever does it slowly the last.
Task<absl::Status> RunSum(Sum* sum) {
  sum->turns.Waits(kOther);
  Spawn(&AddAtOnce, sum);
  for (int task = kOthers; task < kOthers + 8; ++task) {
    sum->turns.Waits(task);
    Spawn(&PassOften, &sum->turns, task, kPasses);
  }
  sum->turns.Waits(kAdder);
  Spawn(&AddSlowly, sum);
  co_return co_await Sleep(absl::Seconds(1));
}

SIM_TEST(Planted, LosesAnAddition) {
  Sum sum;
  AddBystanders(world);
  sim::Host& host = world.AddHost("host", [&] { return RunSum(&sum); });
  world.Inject(sim::Faults::All().Spare("host"));
  EXPECT_EQ(world.RunUntilDone(host, kEnd), absl::OkStatus());
  EXPECT_EQ(sum.value, 2) << "bug: an addition is lost; held back: " << sum.turns.held_back();
}

// --- A schedule and a fault: the same, where only a failure is waited for ---

Task<absl::StatusOr<std::string>> Agree(std::string) { co_return "yes"; }

Task<void> AskAndWait(Flag* flag) {
  const absl::StatusOr<std::string> answer = co_await Ask("server", "all well?");
  if (answer.ok()) co_return;
  co_await WaitOnce(flag);
  while (!flag->set) static_cast<void>(co_await Sleep(absl::Milliseconds(1)));
}

SIM_TEST(Planted, LosesAWakeUpAfterAFailure) {
  Flag flag;
  AddBystanders(world);
  world.AddHost("server", [] { return AnswerLines(&Agree); });
  const std::vector<sim::Op> ops = world.Ops("client", kOps);
  world.AddClient("client", [&] { return DoOneByOne(ops, [&](const sim::Op&) { return AskAndWait(&flag); }); });
  world.Inject(sim::Faults::All().Spare("client").During(absl::ZeroDuration(), kFaultsEnd));
  static_cast<void>(world.RunClients(kEnd));
  EXPECT_FALSE(flag.missed) << "bug: nobody woke it; held back: " << flag.turns.held_back();
}

// --- A clock that is ahead ---

Task<absl::StatusOr<std::string>> CompareTime(bool* ahead, std::string line) {
  int64_t sent_ns = 0;
  if (!absl::SimpleAtoi(line, &sent_ns)) co_return absl::InvalidArgumentError("no time");
  if (absl::FromUnixNanos(sent_ns) > WallNow() + absl::Seconds(2)) *ahead = true;
  co_return "thank you";
}

Task<void> TellTime() { static_cast<void>(co_await Ask("server", absl::StrCat(absl::ToUnixNanos(WallNow())))); }

SIM_TEST(Planted, IsAskedFromTheFuture, sim::WorldOptions().set_clock_spread(absl::Seconds(20))) {
  bool ahead = false;
  AddBystanders(world);
  world.AddHost("server",
                [&] { return AnswerLines([&](std::string line) { return CompareTime(&ahead, std::move(line)); }); });
  const std::vector<sim::Op> ops = world.Ops("client", kOps);
  world.AddClient("client", [&] { return DoOneByOne(ops, [](const sim::Op&) { return TellTime(); }); });
  world.Inject(sim::Faults::All().During(absl::ZeroDuration(), kFaultsEnd));
  static_cast<void>(world.RunClients(kEnd));
  EXPECT_FALSE(ahead) << "bug: a time that is to come";
}

// --- Starts: three hosts start the other way round ---

Task<absl::Status> NoteStart(std::string name, std::string* started) {
  absl::StrAppend(started, name, " ");
  co_return co_await Sleep(absl::Seconds(20));
}

SIM_TEST(Planted, StartsTheOtherWayRound) {
  std::string started;
  AddBystanders(world);
  for (const char* name : {"first", "second", "third"}) {
    world.AddHost(name, [name, &started] { return NoteStart(name, &started); });
  }
  world.Inject(sim::Faults::Network().During(absl::ZeroDuration(), kFaultsEnd));
  static_cast<void>(world.RunFor(kFaultsEnd));
  EXPECT_NE(started, "third second first ") << "bug: the last is the first";
}

// --- A knob and an operation ---

Task<absl::StatusOr<std::string>> Reserve(int64_t room, bool* full, std::string line) {
  int64_t size = 0;
  if (!absl::SimpleAtoi(line, &size)) co_return absl::InvalidArgumentError("no size");
  if (size > room) *full = true;
  co_return "reserved";
}

Task<void> AskForRoom(uint64_t size) { static_cast<void>(co_await Ask("server", absl::StrCat(size))); }

SIM_TEST(Planted, HasNoRoomForIt) {
  bool full = false;
  const int64_t room = 1100 - world.Knob("header", 1, 1000);
  static_cast<void>(world.Knob("colour", 1, 1000));
  AddBystanders(world);
  world.AddHost("server", [&, room] {
    return AnswerLines([&full, room](std::string line) { return Reserve(room, &full, std::move(line)); });
  });
  const std::vector<sim::Op> ops = world.Ops("client", kOps);
  world.AddClient("client",
                  [&] { return DoOneByOne(ops, [](const sim::Op& op) { return AskForRoom(op.Draw("size", 1000)); }); });
  world.Inject(sim::Faults::All().During(absl::ZeroDuration(), kFaultsEnd));
  static_cast<void>(world.RunClients(kEnd));
  EXPECT_FALSE(full) << "bug: no room";
}

// --- Three operations, in this order ---

struct Stages {
  int done = 0;
  bool bug = false;
};

// "0", "1" and "2", each behind the one before; anything else may come in between.
Task<absl::StatusOr<std::string>> GoOn(Stages* stages, std::string line) {
  if (line == absl::StrCat(stages->done)) ++stages->done;
  if (stages->done == 3) stages->bug = true;
  co_return "done";
}

Task<void> AskToGoOn(uint64_t stage) { static_cast<void>(co_await Ask("server", absl::StrCat(stage))); }

SIM_TEST(Planted, FailsAfterThreeStages) {
  Stages stages;
  AddBystanders(world);
  world.AddHost("server",
                [&] { return AnswerLines([&](std::string line) { return GoOn(&stages, std::move(line)); }); });
  const std::vector<sim::Op> ops = world.Ops("client", kOps);
  world.AddClient("client",
                  [&] { return DoOneByOne(ops, [](const sim::Op& op) { return AskToGoOn(op.Draw("stage", 10)); }); });
  world.Inject(sim::Faults::All().Spare("client").During(absl::ZeroDuration(), kFaultsEnd));
  static_cast<void>(world.RunClients(kEnd));
  EXPECT_FALSE(stages.bug) << "bug: the third stage";
}

}  // namespace
}  // namespace tandem
