// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/combinators.h"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/gate_for_test.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"

namespace tandem {
namespace {

using Log = std::vector<std::string>;

Task<absl::StatusOr<int>> ValueAfter(absl::Duration delay, int value) {
  const absl::Status status = co_await Sleep(delay);
  if (!status.ok()) co_return status;
  co_return value;
}

// Sleeps until it is cancelled and notes that it has ended.
Task<absl::Status> Linger(Log* log, std::string name) {
  const absl::Status status = co_await Sleep(absl::Hours(1));
  log->push_back(absl::StrCat(name, ": ", status.ToString()));
  co_return absl::OkStatus();
}

// Ends a good while after it was cancelled.
Task<absl::Status> EndSlowly(Log* log) {
  static_cast<void>(co_await Sleep(absl::Hours(1)));
  auto clean_up = []() -> Task<absl::Status> { co_return co_await Sleep(absl::Seconds(3)); };
  static_cast<void>(co_await Shield(absl::Seconds(10), clean_up()));
  log->push_back("slow end");
  co_return absl::OkStatus();
}

Task<absl::Status> FailAfter(absl::Duration delay, std::string message) {
  static_cast<void>(co_await Sleep(delay));
  co_return absl::InternalError(message);
}

Task<absl::Status> YieldThen(absl::Status status) {
  static_cast<void>(co_await Yield());
  co_return status;
}

Task<absl::Status> YieldThenThrow(std::string message) {
  static_cast<void>(co_await Yield());
  throw std::runtime_error(message);
}

Task<absl::Status> SleepAsTask(absl::Duration duration) { co_return co_await Sleep(duration); }

// --- WithTaskGroup ---

TEST(WithTaskGroupTest, JoinsItsChildren) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    std::vector<int> done;
    const absl::Status status = co_await WithTaskGroup([&](TaskGroup& group) {
      for (int i = 0; i < 3; ++i) {
        group.Spawn(
            [](std::vector<int>* done, int i) -> Task<void> {
              static_cast<void>(co_await Sleep(absl::Seconds(3 - i)));
              done->push_back(i);
            },
            &done, i);
      }
      return YieldThen(absl::OkStatus());
    });
    EXPECT_TRUE(status.ok());
    EXPECT_EQ(done, (std::vector<int>{2, 1, 0}));
  }());
}

TEST(WithTaskGroupTest, ChildrenMaySpawnIntoTheGroup) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    int count = 0;
    const absl::Status status = co_await WithTaskGroup([&](TaskGroup& group) {
      group.Spawn(
          [](TaskGroup* group, int* count) -> Task<void> {
            ++*count;
            group->Spawn(
                [](int* count) -> Task<void> {
                  static_cast<void>(co_await Sleep(absl::Seconds(1)));
                  ++*count;
                },
                count);
            co_return;
          },
          &group, &count);
      return YieldThen(absl::OkStatus());
    });
    EXPECT_TRUE(status.ok());
    EXPECT_EQ(count, 2);
  }());
}

TEST(WithTaskGroupTest, FirstErrorOfAChildCancelsTheRestAndWins) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Log log;
    const absl::Status status = co_await WithTaskGroup([&](TaskGroup& group) {
      group.Spawn(FailAfter, absl::Seconds(2), std::string("second"));
      group.Spawn(FailAfter, absl::Seconds(1), std::string("first"));
      group.Spawn(Linger, &log, std::string("child"));
      return Linger(&log, "body");
    });
    EXPECT_EQ(status, absl::InternalError("first"));
    EXPECT_EQ(log.size(), 2u);
  }());
}

TEST(WithTaskGroupTest, ErrorOfTheBodyCancelsAndJoinsTheChildren) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Log log;
    const absl::Status status = co_await WithTaskGroup([&](TaskGroup& group) {
      group.Spawn(EndSlowly, &log);
      return YieldThen(absl::NotFoundError("early"));
    });
    EXPECT_EQ(status, absl::NotFoundError("early"));
    EXPECT_EQ(log, Log{"slow end"});
  }());
}

TEST(WithTaskGroupTest, ExceptionOfTheBodyJoinsTheChildren) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Log log;
    std::string caught;
    try {
      static_cast<void>(co_await WithTaskGroup([&](TaskGroup& group) {
        group.Spawn(EndSlowly, &log);
        return YieldThenThrow("thrown");
      }));
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    EXPECT_EQ(caught, "thrown");
    EXPECT_EQ(log, Log{"slow end"});
  }());
}

TEST(WithTaskGroupTest, ExceptionOfAChildCancelsTheRestAndIsRethrown) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Log log;
    std::string caught;
    try {
      static_cast<void>(co_await WithTaskGroup([&](TaskGroup& group) {
        group.Spawn([]() -> Task<void> {
          static_cast<void>(co_await Yield());
          throw std::runtime_error("child");
        });
        return Linger(&log, "body");
      }));
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    EXPECT_EQ(caught, "child");
    EXPECT_EQ(log.size(), 1u);
  }());
}

TEST(WithTaskGroupTest, CancellationFromOutsideJoinsTheChildren) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Log log;
    auto grouped = [](Log* log) -> Task<absl::Status> {
      co_return co_await WithTaskGroup([&](TaskGroup& group) {
        group.Spawn(EndSlowly, log);
        return SleepAsTask(absl::Hours(1));
      });
    };
    const absl::Status status = co_await WithTimeout(absl::Seconds(1), grouped(&log));
    EXPECT_EQ(status, DeadlineExceededStatus());
    EXPECT_EQ(log, Log{"slow end"});
  }());
}

TEST(WithTaskGroupTest, CancelledGroupWhoseTasksEndWellIsOk) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Log log;
    const absl::Status status = co_await WithTaskGroup([&](TaskGroup& group) {
      group.Spawn(Linger, &log, std::string("child"));
      return [](TaskGroup* group) -> Task<absl::Status> {
        static_cast<void>(co_await Yield());
        group->Cancel();
        co_return absl::OkStatus();
      }(&group);
    });
    EXPECT_TRUE(status.ok());
    EXPECT_EQ(log, Log{"child: CANCELLED: "});
  }());
}

TEST(WithTaskGroupTest, ChildOfACancelledGroupStillRunsToItsFirstCall) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Log log;
    const absl::Status status = co_await WithTaskGroup([&](TaskGroup& group) {
      group.Cancel();
      group.Spawn(Linger, &log, std::string("late"));
      return YieldThen(absl::OkStatus());
    });
    EXPECT_TRUE(status.ok());
    EXPECT_EQ(log, Log{"late: CANCELLED: "});
  }());
}

TEST(WithTaskGroupTest, GroupsNest) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Log log;
    auto nested = [](Log* log) -> Task<absl::Status> {
      const absl::Status inner = co_await WithTaskGroup([](TaskGroup& group) {
        group.Spawn(FailAfter, absl::Seconds(1), std::string("inner"));
        return SleepAsTask(absl::Hours(1));
      });
      EXPECT_EQ(inner, absl::InternalError("inner"));
      EXPECT_TRUE(log->empty());
      co_return inner;
    };
    const absl::Status status = co_await WithTaskGroup([&](TaskGroup& outer) {
      outer.Spawn(Linger, &log, std::string("outer"));
      return nested(&log);
    });
    EXPECT_EQ(status, absl::InternalError("inner"));
    EXPECT_EQ(log.size(), 1u);
  }());
}

TEST(WithTaskGroupTest, AChildKeepsItsCaptures) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    std::weak_ptr<int> alive;
    const absl::Status status = co_await WithTaskGroup([&](TaskGroup& group) {
      auto state = std::make_shared<int>(7);
      alive = state;
      // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): the captures live in the child's frame.
      group.Spawn([state]() -> Task<void> {
        static_cast<void>(co_await Sleep(absl::Seconds(1)));
        EXPECT_EQ(*state, 7);
      });
      return YieldThen(absl::OkStatus());
    });
    EXPECT_TRUE(status.ok());
    EXPECT_TRUE(alive.expired());
  }());
}

// --- WhenAll ---

TEST(WhenAllTest, ReturnsAllResultsInOrder) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    gate.Open(3);
    auto nothing = []() -> Task<void> { static_cast<void>(co_await Yield()); };
    auto owned = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(4); };
    const Instant before = Now();
    auto results =
        co_await WhenAll(ValueAfter(absl::Seconds(2), 1), nothing(), gate.Pass(), owned(), Sleep(absl::Seconds(1)));
    EXPECT_EQ(Now(), before + absl::Seconds(2));
    EXPECT_EQ(std::get<0>(results).value(), 1);
    EXPECT_EQ(std::get<1>(results), std::monostate());
    EXPECT_EQ(std::get<2>(results).value(), 3);
    EXPECT_EQ(*std::get<3>(results), 4);
    EXPECT_TRUE(std::get<4>(results).ok());
  }());
}

TEST(WhenAllTest, ErrorsDoNotCancelTheOthers) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto results = co_await WhenAll(FailAfter(absl::Seconds(1), "early"), ValueAfter(absl::Seconds(2), 7));
    EXPECT_EQ(std::get<0>(results), absl::InternalError("early"));
    EXPECT_EQ(std::get<1>(results).value(), 7);
  }());
}

TEST(WhenAllTest, ExceptionCancelsAndJoinsTheOthers) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Log log;
    auto thrower = []() -> Task<void> {
      static_cast<void>(co_await Yield());
      throw std::runtime_error("thrown");
    };
    std::string caught;
    try {
      auto results = co_await WhenAll(thrower(), EndSlowly(&log));
      static_cast<void>(results);
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    EXPECT_EQ(caught, "thrown");
    EXPECT_EQ(log, Log{"slow end"});
  }());
}

TEST(WhenAllTest, TakesAVectorOfTasks) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    std::vector<Task<absl::StatusOr<int>>> tasks;
    for (int i = 0; i < 50; ++i) tasks.push_back(ValueAfter(absl::Milliseconds(50 - i), i));
    const std::vector<absl::StatusOr<int>> results = co_await WhenAll(std::move(tasks));
    EXPECT_EQ(results.size(), 50u);
    for (int i = 0; i < 50; ++i) EXPECT_EQ(results[i].value(), i);
    const std::vector<absl::StatusOr<int>> none = co_await WhenAll(std::vector<Task<absl::StatusOr<int>>>());
    EXPECT_TRUE(none.empty());
  }());
}

TEST(WhenAllTest, CancellationReachesEveryTask) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Log log;
    auto both = [](Log* log) -> Task<absl::Status> {
      auto results = co_await WhenAll(Linger(log, "a"), Linger(log, "b"));
      co_return std::get<0>(results);
    };
    const absl::Status status = co_await WithTimeout(absl::Seconds(1), both(&log));
    EXPECT_TRUE(status.ok());
    EXPECT_EQ(log, (Log{"a: CANCELLED: ", "b: CANCELLED: "}));
  }());
}

// --- WhenAny ---

TEST(WhenAnyTest, FirstResultCancelsTheOthers) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const Instant before = Now();
    auto results = co_await WhenAny(ValueAfter(absl::Seconds(2), 2), ValueAfter(absl::Seconds(1), 1));
    EXPECT_EQ(Now(), before + absl::Seconds(1));
    EXPECT_FALSE(std::get<0>(results).has_value());
    EXPECT_EQ(std::get<1>(results)->value(), 1);
  }());
}

TEST(WhenAnyTest, ReturnsEveryResultThatCompleted) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate first;
    Gate second;
    Gate third;
    Spawn(
        [](Gate* first, Gate* second) -> Task<void> {
          static_cast<void>(co_await Yield());
          first->Open(1);
          second->Open(2);
        },
        &first, &second);
    auto results = co_await WhenAny(first.Pass(), second.Pass(), third.Pass());
    EXPECT_EQ(std::get<0>(results)->value(), 1);
    EXPECT_EQ(std::get<1>(results)->value(), 2);
    EXPECT_FALSE(std::get<2>(results).has_value());
  }());
}

TEST(WhenAnyTest, LoserKeepsWhatItDidNotTake) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    auto results = co_await WhenAny(gate.Pass(), Sleep(absl::Seconds(1)));
    EXPECT_FALSE(std::get<0>(results).has_value());
    gate.Open(7);
    const absl::StatusOr<int> value = co_await gate.Pass();
    EXPECT_EQ(value.value(), 7);
  }());
}

TEST(WhenAnyTest, LoserThatCompletesWhileItIsCancelledIsReturned) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Gate gate;
    gate.set_lingers();
    Spawn(
        [](Gate* gate) -> Task<void> {
          while (!gate->has_stopped()) static_cast<void>(co_await Sleep(absl::Milliseconds(100)));
          gate->EndStopped(7);
        },
        &gate);
    auto results = co_await WhenAny(gate.Pass(), Sleep(absl::Seconds(1)));
    EXPECT_EQ(std::get<0>(results)->value(), 7);
    EXPECT_TRUE(std::get<1>(results)->ok());
  }());
}

TEST(WhenAnyTest, CutShortTransferWithBytesIsAResult) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto transfer = [](size_t bytes) -> Task<IoResult> {
      absl::Status status = co_await Sleep(absl::Hours(1));
      co_return IoResult{status, bytes};
    };
    auto results = co_await WhenAny(transfer(5), transfer(0), Sleep(absl::Seconds(1)));
    EXPECT_EQ(std::get<0>(results)->bytes, 5u);
    EXPECT_FALSE(std::get<1>(results).has_value());
  }());
}

TEST(WhenAnyTest, JoinsTheLosers) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Log log;
    auto results = co_await WhenAny(EndSlowly(&log), Sleep(absl::Seconds(1)));
    EXPECT_TRUE(std::get<0>(results).has_value());
    EXPECT_EQ(log, Log{"slow end"});
  }());
}

TEST(WhenAnyTest, ErrorIsAResultToo) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto results = co_await WhenAny(FailAfter(absl::Seconds(1), "early"), ValueAfter(absl::Seconds(2), 7));
    EXPECT_EQ(*std::get<0>(results), absl::InternalError("early"));
    EXPECT_FALSE(std::get<1>(results).has_value());
  }());
}

TEST(WhenAnyTest, AllAreEmptyWhenTheCallerWasCancelledFirst) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto any = [](bool* empty) -> Task<absl::Status> {
      auto results = co_await WhenAny(Sleep(absl::Hours(1)), ValueAfter(absl::Hours(2), 1));
      *empty = !std::get<0>(results).has_value() && !std::get<1>(results).has_value();
      co_return CancelledStatus();
    };
    bool empty = false;
    const absl::Status status = co_await WithTimeout(absl::Seconds(1), any(&empty));
    EXPECT_EQ(status, DeadlineExceededStatus());
    EXPECT_TRUE(empty);
  }());
}

TEST(WhenAnyTest, ExceptionIsRethrownAfterTheJoin) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Log log;
    auto thrower = []() -> Task<void> {
      static_cast<void>(co_await Yield());
      throw std::runtime_error("thrown");
    };
    bool caught = false;
    try {
      auto results = co_await WhenAny(thrower(), EndSlowly(&log));
      static_cast<void>(results);
    } catch (const std::runtime_error&) {
      caught = true;
    }
    EXPECT_TRUE(caught);
    EXPECT_EQ(log, Log{"slow end"});
  }());
}

TEST(WhenAnyTest, TaskWithoutResultIsPresentWhenItEnded) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto nothing = []() -> Task<void> { static_cast<void>(co_await Yield()); };
    auto results = co_await WhenAny(nothing(), Sleep(absl::Hours(1)));
    EXPECT_TRUE(std::get<0>(results).has_value());
    EXPECT_FALSE(std::get<1>(results).has_value());
  }());
}

// --- Vectors of tasks ---

Task<void> NoteAfter(absl::Duration delay, std::vector<int>* done, int value) {
  static_cast<void>(co_await Sleep(delay));
  done->push_back(value);
}

TEST(WhenAllTest, TakesAVectorOfTasksWithoutResults) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    std::vector<int> done;
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(NoteAfter(absl::Seconds(3 - i), &done, i));
    co_await WhenAll(std::move(tasks));
    EXPECT_EQ(done, (std::vector<int>{2, 1, 0}));
    co_await WhenAll(std::vector<Task<void>>());
  }());
}

TEST(WhenAllTest, ExceptionOfAVectorIsRethrownAfterTheJoin) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Log log;
    auto as_void = [](Task<absl::Status> task) -> Task<void> { static_cast<void>(co_await std::move(task)); };
    std::vector<Task<void>> tasks;
    tasks.push_back(as_void(EndSlowly(&log)));
    tasks.push_back(as_void(YieldThenThrow("thrown")));
    std::string caught;
    try {
      co_await WhenAll(std::move(tasks));
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    EXPECT_EQ(caught, "thrown");
    EXPECT_EQ(log, Log{"slow end"});
  }());
}

TEST(WhenAnyTest, TakesAVectorOfTasks) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const Instant before = Now();
    std::vector<Task<absl::StatusOr<int>>> tasks;
    for (int i = 0; i < 5; ++i) tasks.push_back(ValueAfter(absl::Seconds(i == 3 ? 1 : 2), i));
    const std::vector<std::optional<absl::StatusOr<int>>> results = co_await WhenAny(std::move(tasks));
    EXPECT_EQ(Now(), before + absl::Seconds(1));
    EXPECT_EQ(results.size(), 5u);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(results[i].has_value(), i == 3);
    EXPECT_EQ(results[3]->value(), 3);
    const auto none = co_await WhenAny(std::vector<Task<absl::StatusOr<int>>>());
    EXPECT_TRUE(none.empty());
  }());
}

TEST(WhenAnyTest, AVectorReturnsEveryResultThatCompleted) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    std::vector<Task<absl::StatusOr<int>>> tasks;
    for (int i = 0; i < 4; ++i) tasks.push_back(ValueAfter(absl::Seconds(i < 2 ? 1 : 2), i));
    const auto results = co_await WhenAny(std::move(tasks));
    EXPECT_TRUE(results[0].has_value());
    EXPECT_TRUE(results[1].has_value());
    EXPECT_FALSE(results[2].has_value());
    EXPECT_FALSE(results[3].has_value());
  }());
}

TEST(WhenAnyTest, TakesAVectorOfTasksWithoutResults) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    std::vector<int> done;
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(NoteAfter(absl::Hours(3 - i), &done, i));
    const Instant before = Now();
    const std::vector<std::optional<std::monostate>> results = co_await WhenAny(std::move(tasks));
    EXPECT_EQ(Now(), before + absl::Hours(1));
    for (const std::optional<std::monostate>& result : results) EXPECT_TRUE(result.has_value());
    EXPECT_EQ(done.size(), 3u);  // Cancelled, they go on to their end.
  }());
}

TEST(WhenAllDeathTest, CallThatEndsBeforeItIsAwaitedIsABug) {
  EXPECT_DEATH(
      {
        FakeShard shard;
        shard.Run([]() -> Task<void> {
          std::optional<SleepOperation> sleep;
          sleep.emplace(Now() + absl::Seconds(1));
          auto all = WhenAll(*std::move(sleep));
          sleep.reset();
          co_await std::move(all);
        }());
      },
      "a call was destroyed before the task that was to await it");
}

TEST(WhenAllTest, CallsMayBeDropped) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    static_cast<void>(WhenAll(Sleep(absl::Seconds(1)), Sleep(absl::Seconds(2))));
    co_return;
  }());
}

// --- WhenSome ---

Task<absl::StatusOr<int>> FailWith(absl::Duration delay, std::string message) {
  const absl::Status status = co_await Sleep(delay);
  if (!status.ok()) co_return status;
  co_return absl::InternalError(message);
}

// Five replicas that answer after 1, 2, 3, 4, 5 seconds; bit i of `failing` makes number i fail.
std::vector<Task<absl::StatusOr<int>>> Replicas(int failing = 0) {
  std::vector<Task<absl::StatusOr<int>>> tasks;
  for (int i = 0; i < 5; ++i) {
    const absl::Duration delay = absl::Seconds(i + 1);
    if ((failing >> i & 1) != 0) {
      tasks.push_back(FailWith(delay, "down"));
    } else {
      tasks.push_back(ValueAfter(delay, i));
    }
  }
  return tasks;
}

TEST(WhenSomeTest, EndsWithTheQuorumAndCancelsTheRest) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const Instant before = Now();
    const WhenSomeResult<absl::StatusOr<int>> result = co_await WhenSome(3, Replicas());
    EXPECT_EQ(Now(), before + absl::Seconds(3));
    EXPECT_EQ(result.accepted, 3u);
    EXPECT_EQ(result.results.size(), 5u);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(result.results[i].has_value(), i < 3);
    EXPECT_EQ(result.results[2]->value(), 2);
  }());
}

TEST(WhenSomeTest, FailuresAreResultsAndDoNotCount) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const Instant before = Now();
    const WhenSomeResult<absl::StatusOr<int>> result = co_await WhenSome(3, Replicas(0b00101));
    EXPECT_EQ(Now(), before + absl::Seconds(5));
    EXPECT_EQ(result.accepted, 3u);
    EXPECT_EQ(result.results[0]->status(), absl::InternalError("down"));
    EXPECT_EQ(result.results[4]->value(), 4);
  }());
}

TEST(WhenSomeTest, GivesUpWhenTheQuorumCannotBeReached) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const Instant before = Now();
    const WhenSomeResult<absl::StatusOr<int>> result = co_await WhenSome(3, Replicas(0b00111));
    EXPECT_EQ(Now(), before + absl::Seconds(3));
    EXPECT_EQ(result.accepted, 0u);
    EXPECT_TRUE(result.results[2].has_value());
    EXPECT_FALSE(result.results[3].has_value());
  }());
}

TEST(WhenSomeTest, AsksForEachResultOnceInTheOrderOfArrival) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    std::vector<int> asked;
    const auto even = [&asked](const absl::StatusOr<int>& value) {
      asked.push_back(*value);
      return *value % 2 == 0;
    };
    const WhenSomeResult<absl::StatusOr<int>> result = co_await WhenSome(2, Replicas(), even);
    EXPECT_EQ(result.accepted, 2u);
    EXPECT_EQ(asked, (std::vector<int>{0, 1, 2}));
  }());
}

TEST(WhenSomeTest, ResultsThatComeTogetherAreAllReturned) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    std::vector<Task<absl::StatusOr<int>>> tasks;
    for (int i = 0; i < 4; ++i) tasks.push_back(ValueAfter(absl::Seconds(1), i));
    const WhenSomeResult<absl::StatusOr<int>> result = co_await WhenSome(2, std::move(tasks));
    EXPECT_EQ(result.accepted, 4u);
    for (const auto& value : result.results) EXPECT_TRUE(value.has_value());
  }());
}

TEST(WhenSomeTest, NoneAndTooManyAreDecidedAtOnce) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    const Instant before = Now();
    WhenSomeResult<absl::StatusOr<int>> result = co_await WhenSome(0, Replicas());
    EXPECT_EQ(result.accepted, 0u);
    for (const auto& value : result.results) EXPECT_FALSE(value.has_value());
    result = co_await WhenSome(6, Replicas());
    EXPECT_EQ(result.accepted, 0u);
    result = co_await WhenSome(1, std::vector<Task<absl::StatusOr<int>>>());
    EXPECT_EQ(result.accepted, 0u);
    EXPECT_EQ(Now(), before);
  }());
}

TEST(WhenSomeTest, CancellationFromOutsideLeavesResultsEmpty) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto quorum = [](size_t* present) -> Task<absl::Status> {
      const WhenSomeResult<absl::StatusOr<int>> result = co_await WhenSome(3, Replicas());
      for (const auto& value : result.results) *present += value.has_value() ? 1 : 0;
      co_return CancelledStatus();
    };
    size_t present = 0;
    const absl::Status status = co_await WithTimeout(absl::Milliseconds(1500), quorum(&present));
    EXPECT_EQ(status, DeadlineExceededStatus());
    EXPECT_EQ(present, 1u);
  }());
}

TEST(WhenSomeTest, JoinsTheRestAndRethrows) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    Log log;
    std::vector<Task<absl::Status>> tasks;
    tasks.push_back(EndSlowly(&log));
    tasks.push_back(YieldThenThrow("thrown"));
    bool caught = false;
    try {
      static_cast<void>(co_await WhenSome(2, std::move(tasks)));
    } catch (const std::runtime_error&) {
      caught = true;
    }
    EXPECT_TRUE(caught);
    EXPECT_EQ(log, Log{"slow end"});
  }());
}

}  // namespace
}  // namespace tandem
