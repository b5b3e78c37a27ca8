// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/executor.h"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/await_stack.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/gate_for_test.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/random.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"

namespace tandem {
namespace {

using Log = std::vector<std::string>;

Task<void> Note(Log* log, std::string entry) {
  log->push_back(std::move(entry));
  co_return;
}

Task<void> NoteAndYield(Log* log, std::string entry, int times) {
  for (int i = 0; i < times; ++i) {
    log->push_back(absl::StrCat(entry, i));
    static_cast<void>(co_await Yield());
  }
}

Task<void> NameItself(std::string* name) {
  static_cast<void>(co_await Yield());
  *name = std::string(TaskName(*Executor::Current().running_task()));
}

TEST(ExecutorTest, SpawnedTaskBeginsInTheNextTurn) {
  FakeShard shard;
  Log log;
  shard.Run([](Log* log) -> Task<void> {
    Spawn(Note, log, std::string("spawned"));
    log->push_back("spawner");
    static_cast<void>(co_await Yield());
    log->push_back("after");
  }(&log));
  EXPECT_EQ(log, (Log{"spawner", "spawned", "after"}));
}

TEST(ExecutorTest, WakeUpsAreFirstInFirstOut) {
  FakeShard shard;
  Log log;
  shard.Run([](Log* log) -> Task<void> {
    for (const char* name : {"a", "b", "c"}) Spawn(NoteAndYield, log, std::string(name), 2);
    static_cast<void>(co_await Sleep(absl::Seconds(1)));
  }(&log));
  EXPECT_EQ(log, (Log{"a0", "b0", "c0", "a1", "b1", "c1"}));
}

TEST(ExecutorTest, SpawnKeepsFunctionAndArgumentsInTheFrame) {
  FakeShard shard;
  Log log;
  shard.Run([](Log* log) -> Task<void> {
    {
      std::string argument(100, 'x');
      Spawn(
          [](Log* log, std::string argument) -> Task<void> {
            static_cast<void>(co_await Yield());
            log->push_back(argument);
          },
          log, argument);
      argument.assign(100, 'y');
    }
    static_cast<void>(co_await Sleep(absl::Seconds(1)));
  }(&log));
  EXPECT_EQ(log, (Log{std::string(100, 'x')}));
}

TEST(ExecutorTest, SpawnedTaskOutlivesItsSpawner) {
  FakeShard shard;
  Log log;
  shard.Run([](Log* log) -> Task<void> {
    auto spawner = [](Log* log) -> Task<void> {
      Spawn(NoteAndYield, log, std::string("spawned"), 2);
      co_return;
    };
    Spawn(spawner, log);
    static_cast<void>(co_await Sleep(absl::Seconds(1)));
  }(&log));
  EXPECT_EQ(log, (Log{"spawned0", "spawned1"}));
}

TEST(ExecutorTest, TasksThatAreLeftAreCancelledAndJoined) {
  FakeShard shard;
  absl::Status status;
  shard.Run([](absl::Status* status) -> Task<void> {
    Spawn([](absl::Status* status) -> Task<void> { *status = co_await Sleep(absl::InfiniteDuration()); }, status);
    static_cast<void>(co_await Yield());
  }(&status));
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(shard.shard().task_count(), 0u);
}

TEST(ExecutorTest, ReadyAwaitsGiveWayAfterALimit) {
  FakeShard shard;
  const int others = shard.Run([]() -> Task<int> {
    int others = 0;
    Gate gate;
    Spawn(
        [](int* others) -> Task<void> {
          for (;;) {
            ++*others;
            const absl::Status status = co_await Yield();
            if (!status.ok()) break;
          }
        },
        &others);
    static_cast<void>(co_await Yield());
    const int before = others;
    for (int i = 0; i < 10 * Executor::kReadyAwaitsInARow; ++i) {
      gate.Open(i);
      absl::StatusOr<int> value = co_await gate.Pass();
      if (*value != i) co_return -1;
    }
    const int ran = others - before;
    // The other task uses a variable of this frame: it must end first.
    Executor::Current().root_scope().Cancel();
    static_cast<void>(co_await Shield(absl::Seconds(1), []() -> Task<absl::Status> { co_return co_await Yield(); }()));
    co_return ran;
  }());
  EXPECT_GE(others, 9);
  EXPECT_LE(others, 11);
}

TEST(ExecutorTest, YieldLetsEveryReadyTaskRun) {
  FakeShard shard;
  Log log;
  shard.Run([](Log* log) -> Task<void> {
    for (int i = 0; i < 5; ++i) Spawn(Note, log, absl::StrCat(i));
    static_cast<void>(co_await Yield());
    log->push_back("yielded");
    static_cast<void>(co_await Yield());
    log->push_back("again");
  }(&log));
  EXPECT_EQ(log.back(), "again");
  EXPECT_EQ(log.size(), 7u);
}

class Server {
 public:
  explicit Server(Log* log) : log_(log) {}
  void Start() { Spawn(&Server::Run, this, std::string("run")); }

 private:
  Task<void> Run(std::string entry) {
    log_->push_back(std::move(entry));
    co_return;
  }
  Log* const log_;
};

TEST(ExecutorTest, SpawnTakesMemberFunctions) {
  FakeShard shard;
  Log log;
  Server server(&log);
  shard.Run([](Server* server) -> Task<void> {
    server->Start();
    static_cast<void>(co_await Sleep(absl::Seconds(1)));
  }(&server));
  EXPECT_EQ(log, Log{"run"});
}

// What Spawn() refuses, because it would dangle.
static_assert(internal::kBorrows<absl::string_view>);
static_assert(internal::kBorrows<std::string_view>);
static_assert(internal::kBorrows<absl::Span<char>>);
static_assert(internal::kBorrows<absl::Span<const int>>);
static_assert(internal::kBorrows<std::span<char>>);
static_assert(internal::kBorrows<std::reference_wrapper<Log>>);
static_assert(internal::kBorrows<absl::FunctionRef<void()>>);
static_assert(!internal::kBorrows<std::string>);
static_assert(!internal::kBorrows<std::vector<int>>);
static_assert(!internal::kBorrows<Log*>);

// --- Task paths and schedule policies ---

std::vector<uint64_t> PathsOf(bool noisy) {
  FakeShard shard;
  std::vector<uint64_t> paths;
  shard.Run([](std::vector<uint64_t>* paths, bool noisy) -> Task<void> {
    auto child = [](std::vector<uint64_t>* paths, bool noisy) -> Task<void> {
      if (noisy) static_cast<void>(co_await Yield());
      auto grandchild = [](std::vector<uint64_t>* paths) -> Task<void> {
        paths->push_back(Executor::Current().running_task()->path);
        co_return;
      };
      Spawn(grandchild, paths);
      static_cast<void>(co_await Yield());
    };
    Spawn(child, paths, noisy);
    if (noisy) static_cast<void>(co_await Sleep(absl::Seconds(1)));
    Spawn(child, paths, false);
    static_cast<void>(co_await Sleep(absl::Seconds(1)));
  }(&paths, noisy));
  return paths;
}

TEST(ExecutorTest, PathsDependOnTheSpawnsAlone) {
  const std::vector<uint64_t> paths = PathsOf(false);
  ASSERT_EQ(paths.size(), 2u);
  EXPECT_NE(paths[0], paths[1]);
  EXPECT_EQ(PathsOf(true), paths);
}

TEST(ExecutorTest, SpawnsOfOneTaskHaveDifferentPaths) {
  FakeShard shard;
  std::set<uint64_t> paths;
  shard.Run([](std::set<uint64_t>* paths) -> Task<void> {
    auto child = [](std::set<uint64_t>* paths) -> Task<void> {
      paths->insert(Executor::Current().running_task()->path);
      co_return;
    };
    for (int i = 0; i < 1000; ++i) Spawn(child, paths);
    static_cast<void>(co_await Yield());
    static_cast<void>(co_await Yield());
  }(&paths));
  EXPECT_EQ(paths.size(), 1000u);
}

// The task of the lowest hash goes on, of all that are ready.
class HashPolicy final : public SchedulePolicy {
 public:
  explicit HashPolicy(uint64_t seed) : seed_(seed) {}
  void Add(TaskContext& task) override { ready_.push_back(&task); }
  TaskContext& Take() override {
    const auto least =
        std::min_element(ready_.begin(), ready_.end(),
                         [this](const TaskContext* a, const TaskContext* b) { return HashOf(*a) < HashOf(*b); });
    TaskContext& task = **least;
    ready_.erase(least);
    return task;
  }
  void Clear() override { ready_.clear(); }
  size_t held() const { return ready_.size(); }

 private:
  uint64_t HashOf(const TaskContext& task) const { return HashCombine(seed_, HashCombine(task.path, task.resumes)); }

  const uint64_t seed_;
  std::vector<TaskContext*> ready_;
};

// The task that was spawned last goes on.
class NewestFirst final : public SchedulePolicy {
 public:
  void Add(TaskContext& task) override { ready_.push_back(&task); }
  TaskContext& Take() override {
    TaskContext& task = *ready_.back();
    ready_.pop_back();
    return task;
  }
  void Clear() override { ready_.clear(); }

 private:
  std::vector<TaskContext*> ready_;
};

Log ScheduleWith(uint64_t seed) {
  FakeShard shard;
  HashPolicy policy(seed);
  if (seed != 0) shard.shard().set_schedule_policy(&policy);
  Log log;
  shard.Run([](Log* log) -> Task<void> {
    auto body = [](Log* log, std::string name) -> Task<void> {
      for (int i = 0; i < 3; ++i) {
        // Two frames: a call does not become a scheduling point.
        co_await Note(log, absl::StrCat(name, i, "("));
        co_await Note(log, absl::StrCat(name, i, ")"));
        static_cast<void>(co_await Yield());
      }
    };
    for (const char* name : {"a", "b", "c", "d"}) Spawn(body, log, std::string(name));
    static_cast<void>(co_await Sleep(absl::Seconds(1)));
  }(&log));
  return log;
}

TEST(ExecutorTest, PolicyPermutesTheReadyQueueAndNothingElse) {
  std::set<Log> orders;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Log log = ScheduleWith(seed);
    ASSERT_EQ(log.size(), 24u);
    std::map<char, int> next;
    for (size_t i = 0; i < log.size(); i += 2) {
      const char name = log[i][0];
      const std::string step = absl::StrCat(std::string(1, name), next[name]++);
      EXPECT_EQ(log[i], step + "(");
      EXPECT_EQ(log[i + 1], step + ")") << "something ran between two calls";
    }
    orders.insert(log);
    EXPECT_EQ(ScheduleWith(seed), log) << seed;
  }
  EXPECT_GT(orders.size(), 15u);
}

TEST(ExecutorTest, APolicyHoldsATaskBackForManyTurns) {
  FakeShard shard;
  NewestFirst policy;
  shard.shard().set_schedule_policy(&policy);
  Log log;
  shard.Run([](Log* log) -> Task<void> {
    Spawn(NoteAndYield, log, std::string("held"), 1);
    Spawn(NoteAndYield, log, std::string("b"), 3);
    static_cast<void>(co_await Sleep(absl::Seconds(1)));
  }(&log));
  EXPECT_EQ(log, (Log{"b0", "b1", "b2", "held0"}));
}

TEST(ExecutorTest, ATurnHasAsManyStepsAsTasksWereReady) {
  FakeShard shard;
  NewestFirst policy;
  shard.shard().set_schedule_policy(&policy);
  Log log;
  shard.Start([](Log* log) -> Task<void> {
    for (const char* name : {"a", "b", "c"}) Spawn(NoteAndYield, log, std::string(name), 4);
    static_cast<void>(co_await Sleep(absl::Seconds(1)));
  }(&log));
  EXPECT_TRUE(shard.shard().Turn(Instant::InfinitePast()));
  EXPECT_TRUE(log.empty());
  // The reactor is polled in between, and the clock does not go on while a task is held.
  const Instant before = Now();
  EXPECT_TRUE(shard.shard().Turn(Instant::InfiniteFuture()));
  EXPECT_EQ(log, (Log{"c0", "c1", "c2"}));
  EXPECT_TRUE(shard.shard().has_work());
  EXPECT_TRUE(shard.shard().Turn(Instant::InfiniteFuture()));
  EXPECT_EQ(log, (Log{"c0", "c1", "c2", "c3", "b0"}));  // And the end of c.
  EXPECT_EQ(Now(), before);
  EXPECT_TRUE(shard.RunUntilEnd());
  EXPECT_EQ(log.size(), 12u);
  shard.Drain();
}

TEST(ExecutorTest, ATaskIsHeldForABoundedNumberOfSteps) {
  FakeShard shard;
  NewestFirst policy;
  shard.shard().set_schedule_policy(&policy);
  uint64_t spins = 0;
  shard.Run([](uint64_t* spins) -> Task<void> {
    bool stop = false;
    static_cast<void>(co_await WithTaskGroup([&](TaskGroup& group) {
      group.Spawn(
          [](bool* stop) -> Task<void> {
            *stop = true;
            co_return;
          },
          &stop);
      group.Spawn(
          [](bool* stop, uint64_t* spins) -> Task<void> {
            while (!*stop) {
              ++*spins;
              static_cast<void>(co_await Yield());
            }
          },
          &stop, spins);
      return []() -> Task<absl::Status> { co_return absl::OkStatus(); }();
    }));
  }(&spins));
  EXPECT_GE(spins, Executor::kHoldsMax - 2);
  EXPECT_LE(spins, Executor::kHoldsMax + 2);
}

TEST(ExecutorTest, AtAStopMainGoesOnLastWhateverThePolicySays) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    FakeShard shard;
    HashPolicy policy(seed);
    shard.shard().set_schedule_policy(&policy);
    Log log;
    shard.Start([](Log* log) -> Task<void> {
      auto clean_up = [](Log* log) -> Task<void> {
        static_cast<void>(co_await Sleep(absl::InfiniteDuration()));
        static_cast<void>(co_await Shield(absl::Seconds(1), []() -> Task<absl::Status> {
          absl::Status status;
          for (int i = 0; i < 5; ++i) status = co_await Yield();
          co_return status;
        }()));
        log->push_back("other");
      };
      for (int i = 0; i < 3; ++i) Spawn(clean_up, log);
      static_cast<void>(co_await Sleep(absl::InfiniteDuration()));
      log->push_back("main");
    }(&log));
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(shard.shard().Turn(Instant::InfinitePast()));
    shard.shard().RequestStop();
    EXPECT_TRUE(shard.RunUntilEnd());
    EXPECT_EQ(log, (Log{"other", "other", "other", "main"})) << seed;
    shard.Drain();
  }
}

TEST(ExecutorTest, ACrashForgetsTasksThatAreHeld) {
  FakeShard shard;
  HashPolicy policy(1);
  shard.shard().set_schedule_policy(&policy);
  Log log;
  shard.Start([](Log* log) -> Task<void> {
    for (const char* name : {"a", "b", "c"}) Spawn(NoteAndYield, log, std::string(name), 4);
    static_cast<void>(co_await Sleep(absl::Seconds(1)));
  }(&log));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(shard.shard().Turn(Instant::InfinitePast()));
  EXPECT_GT(policy.held(), 0u);

  shard.shard().Die();

  EXPECT_EQ(policy.held(), 0u);
  EXPECT_FALSE(shard.shard().has_work());
  shard.shard().Abandon();
  EXPECT_EQ(shard.shard().task_count(), 0u);
}

// --- Reports ---

TEST(ExecutorTest, DescribeTasksNamesPlacesAndWhatIsAwaited) {
  FakeShard shard;
  Gate gate;
  shard.Start([](Gate* gate) -> Task<void> {
    auto inner = [](Gate* gate) -> Task<void> { static_cast<void>(co_await gate->Pass()); };
    Spawn([](Gate*) -> Task<void> { static_cast<void>(co_await Sleep(absl::Hours(1))); }, gate);
    co_await inner(gate);
  }(&gate));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(shard.shard().Turn(Instant::InfinitePast()));

  const std::string text = shard.shard().DescribeTasks();

  EXPECT_TRUE(absl::StrContains(text, "task 1 of 2")) << text;
  EXPECT_TRUE(absl::StrContains(text, "task 2 of 2")) << text;
  EXPECT_TRUE(absl::StrContains(text, "waits for: the gate")) << text;
  EXPECT_TRUE(absl::StrContains(text, "waits for: a timer in 1h")) << text;
  EXPECT_TRUE(absl::StrContains(text, "core/async/executor_test.cc:")) << text;
  gate.Open(1);
  EXPECT_TRUE(shard.RunUntilEnd());
  shard.Drain();
}

Task<void> SleepBelow(int depth) {
  if (depth > 0) {
    co_await SleepBelow(depth - 1);
  } else {
    static_cast<void>(co_await Sleep(absl::Hours(1)));
  }
}

TEST(ExecutorTest, DescribeTasksFoldsAwaitsThatRepeat) {
  FakeShard shard;
  shard.Start(SleepBelow(10'000));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(shard.shard().Turn(Instant::InfinitePast()));

  const std::string text = shard.shard().DescribeTasks();
  EXPECT_TRUE(absl::StrContains(text, "... and 9999 times more\n")) << text;
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 8) << text;
  EXPECT_TRUE(shard.RunUntilEnd());
  shard.Drain();
}

Task<void> SleepBelowOdd(int depth);
Task<void> SleepBelowEven(int depth) {
  int left = depth;
  if (left > 0) co_await SleepBelowOdd(left - 1);
  if (left == 0) static_cast<void>(co_await Sleep(absl::Hours(1)));
}
Task<void> SleepBelowOdd(int depth) {
  int left = depth;
  if (left > 0) co_await SleepBelowEven(left - 1);
  if (left == 0) static_cast<void>(co_await Sleep(absl::Hours(1)));
}

TEST(ExecutorTest, DescribeTasksShowsSoManyAwaits) {
  FakeShard shard;
  shard.Start(SleepBelowEven(1000));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(shard.shard().Turn(Instant::InfinitePast()));

  const std::string text = shard.shard().DescribeTasks();
  EXPECT_TRUE(absl::StrContains(text, "\n    ... and 937 more\n")) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2 + 64 + 1) << text;
  EXPECT_TRUE(shard.RunUntilEnd());
  shard.Drain();
}

TEST(ExecutorTest, DescribeTasksFoldsTasksAtTheSamePlace) {
  FakeShard shard;
  shard.Start([]() -> Task<void> {
    for (int i = 0; i < 50; ++i) {
      Spawn([](int i) -> Task<void> { static_cast<void>(co_await Sleep(absl::Hours(i + 1))); }, i);
    }
    static_cast<void>(co_await Sleep(absl::Hours(100)));
  }());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(shard.shard().Turn(Instant::InfinitePast()));

  const std::string text = shard.shard().DescribeTasks();
  EXPECT_TRUE(absl::StrContains(text, "task 1 of 51\n    waits for: a timer in 100h")) << text;
  EXPECT_TRUE(absl::StrContains(text, "task 2 of 51, and 49 more like it\n    waits for: a timer in 1h")) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 6) << text;
  EXPECT_TRUE(absl::StrContains(shard.shard().DescribeTasks(1), "  and 50 more\n")) << shard.shard().DescribeTasks(1);
  EXPECT_TRUE(shard.RunUntilEnd());
  shard.Drain();
}

TEST(ExecutorTest, TaskNameIsThatOfTheOutermostCoroutine) {
  FakeShard shard;
  std::string name;
  shard.Start([](std::string* name) -> Task<void> {
    Spawn(NameItself, name);
    static_cast<void>(co_await Sleep(absl::Hours(1)));
  }(&name));
  EXPECT_TRUE(shard.RunUntilEnd());
  shard.Drain();
  EXPECT_EQ(name, "NameItself");
}

TEST(ExecutorTest, DescribeTasksGivesTheLineOfTheAwait) {
  FakeShard shard;
  Gate gate;
  static int line = 0;
  shard.Start([](Gate* gate) -> Task<void> {
    line = __LINE__ + 1;
    static_cast<void>(co_await gate->Pass());
  }(&gate));
  EXPECT_TRUE(shard.shard().Turn(Instant::InfinitePast()));

  EXPECT_TRUE(absl::StrContains(shard.shard().DescribeTasks(), absl::StrCat("executor_test.cc:", line, " in ")))
      << shard.shard().DescribeTasks();
  gate.Open(1);
  EXPECT_TRUE(shard.RunUntilEnd());
  shard.Drain();
}

// --- Exceptions ---

struct Owner {
  std::shared_ptr<int> owned;
};

Task<void> ThrowOwner(std::shared_ptr<int> owned) {
  static_cast<void>(co_await Yield());
  throw Owner{std::move(owned)};
}

TEST(ExceptionTest, WhatItOwnsIsFreedWhenItWasCaught) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto owned = std::make_shared<int>(7);
    const std::weak_ptr<int> alive = owned;
    try {
      co_await ThrowOwner(std::move(owned));
    } catch (const Owner&) {
      EXPECT_FALSE(alive.expired());
    }
    EXPECT_TRUE(alive.expired());
  }());
}

TEST(ExceptionTest, WhatItOwnsIsFreedAfterItClimbedOutOfAGroup) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto owned = std::make_shared<int>(7);
    const std::weak_ptr<int> alive = owned;
    try {
      static_cast<void>(co_await WithTaskGroup([&](TaskGroup& group) {
        group.Spawn(ThrowOwner, std::move(owned));
        return []() -> Task<absl::Status> { co_return co_await Sleep(absl::Hours(1)); }();
      }));
    } catch (const Owner&) {
      EXPECT_FALSE(alive.expired());
    }
    EXPECT_TRUE(alive.expired());
  }());
}

Task<void> ThrowStored(std::exception_ptr stored) {
  static_cast<void>(co_await Yield());
  std::rethrow_exception(stored);
}

Task<void> PassOn(std::exception_ptr stored) { co_await ThrowStored(stored); }

// How many awaits the report of an exception names that was thrown and caught `times` times before.
TEST(ExceptionDeathTest, TheReportOfAStoredExceptionNamesItsLastWayOnly) {
  const auto die = [] {
    FakeShard shard;
    shard.Run([]() -> Task<void> {
      const std::exception_ptr stored = std::make_exception_ptr(std::runtime_error("poisoned"));
      for (int i = 0; i < 1000; ++i) {
        try {
          co_await PassOn(stored);
        } catch (const std::runtime_error&) {
        }
      }
      Spawn(PassOn, stored);
      static_cast<void>(co_await Sleep(absl::Seconds(1)));
    }());
  };
  // Two awaits, ThrowStored() and PassOn(), and no third.
  EXPECT_DEATH(die(), "escaped a spawned task: poisoned\n *last await at [^\n]*\n *last await at [^\n]*\n *(\\*|$)");
}

TEST(ExceptionDeathTest, WhoThrowsBeforeItsFirstAwaitHasNone) {
  const auto die = [] {
    FakeShard shard;
    shard.Run([]() -> Task<void> {
      Spawn([]() -> Task<void> {
        throw std::runtime_error("at once");
        co_return;
      });
      static_cast<void>(co_await Sleep(absl::Seconds(1)));
    }());
  };
  EXPECT_DEATH(die(), "escaped a spawned task: at once\n *(\\*|$)");
}

TEST(ExceptionDeathTest, TheReportGoesThroughAGroup) {
  const auto die = [] {
    FakeShard shard;
    shard.Run([]() -> Task<void> {
      Spawn([]() -> Task<void> {
        static_cast<void>(co_await WithTaskGroup([](TaskGroup& group) {
          group.Spawn(PassOn, std::make_exception_ptr(std::runtime_error("below")));
          return []() -> Task<absl::Status> { co_return co_await Sleep(absl::Hours(1)); }();
        }));
      });
      static_cast<void>(co_await Sleep(absl::Seconds(1)));
    }());
  };
  EXPECT_DEATH(die(), "escaped a spawned task: below(.|\n)*ThrowStored(.|\n)*PassOn(.|\n)*WithTaskGroup");
}

Task<void> NestAndThrow(int depth) {
  if (depth == 0) throw std::runtime_error("deep");
  co_await NestAndThrow(depth - 1);
}

TEST(ExceptionDeathTest, TheReportOfADeepChainIsBounded) {
  const auto die = [] {
    FakeShard shard;
    shard.Run([]() -> Task<void> {
      Spawn(NestAndThrow, 999);
      static_cast<void>(co_await Sleep(absl::Seconds(1)));
    }());
  };
  EXPECT_DEATH(die(), "escaped a spawned task: deep(.|\n)*and 935 more");
}

// --- Crashes ---

TEST(ExecutorTest, CrashDestroysTasksAndRunsTheirDestructors) {
  struct Farewell {
    explicit Farewell(Log* log) : log(log) {}
    ~Farewell() { log->push_back("destroyed"); }
    Log* log;
  };
  Log log;
  Gate gate;
  FakeShard shard;
  shard.Start([](Log* log, Gate* gate) -> Task<void> {
    Farewell farewell(log);
    absl::Status status = co_await WithTaskGroup([&](TaskGroup& group) {
      group.Spawn(
          [](Log* log, Gate* gate) -> Task<void> {
            Farewell farewell(log);
            absl::StatusOr<int> value = co_await gate->Pass();
            log->push_back("never");
          },
          log, gate);
      return [](Log* log) -> Task<absl::Status> {
        absl::Status slept = co_await Sleep(absl::Hours(1));
        log->push_back("never");
        co_return slept;
      }(log);
    });
    log->push_back("never");
  }(&log, &gate));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(shard.shard().Turn(Instant::InfinitePast()));

  shard.shard().Die();
  shard.shard().Abandon();

  EXPECT_EQ(log, (Log{"destroyed", "destroyed"}));
  EXPECT_EQ(shard.shard().task_count(), 0u);
}

}  // namespace
}  // namespace tandem
