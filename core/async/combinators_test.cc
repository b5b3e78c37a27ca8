// SPDX-License-Identifier: Apache-2.0

#include "core/async/combinators.h"

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
#include "core/async/gate_for_test.h"
#include "core/async/spawn.h"
#include "core/async/task.h"
#include "core/runtime/fake_reactor_for_test.h"
#include "gtest/gtest.h"

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

}  // namespace
}  // namespace tandem
