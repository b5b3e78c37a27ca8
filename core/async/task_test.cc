// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/task.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/gate_for_test.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"
#include "tandem/testing/malloc_count.h"

namespace tandem {
namespace {

using ::tandem::testing::MallocCount;

Task<int> Return(int value) { co_return value; }

Task<void> Append(std::vector<std::string>* log, std::string entry) {
  log->push_back(entry);
  co_return;
}

TEST(TaskTest, StartsWhenItIsAwaited) {
  FakeShard shard;
  std::vector<std::string> log;

  shard.Run([](std::vector<std::string>* log) -> Task<void> {
    Task<void> child = Append(log, "child");
    log->push_back("parent");
    co_await std::move(child);
    log->push_back("end");
  }(&log));

  EXPECT_EQ(log, (std::vector<std::string>{"parent", "child", "end"}));
}

TEST(TaskTest, MayBeDroppedBeforeItStarted) {
  std::vector<std::string> log;
  auto token = std::make_shared<int>(1);
  {
    auto task = [](std::vector<std::string>* log, std::shared_ptr<int>) -> Task<void> { co_await Append(log, "ran"); }(
                                                                            &log, token);
    EXPECT_EQ(token.use_count(), 2);
  }

  EXPECT_TRUE(log.empty());
  EXPECT_EQ(token.use_count(), 1);
}

TEST(TaskTest, AssignmentDropsTheOldTask) {
  auto token = std::make_shared<int>(1);
  auto make = [](std::shared_ptr<int>) -> Task<void> { co_return; };
  Task<void> task = make(token);
  task = make(nullptr);
  EXPECT_EQ(token.use_count(), 1);
}

TEST(TaskTest, ReturnsValues) {
  FakeShard shard;
  const int sum = shard.Run([]() -> Task<int> {
    int sum = 0;
    for (int i = 1; i <= 10; ++i) sum += co_await Return(i);
    co_return sum;
  }());
  EXPECT_EQ(sum, 55);
}

TEST(TaskTest, ReturnsMoveOnlyResults) {
  FakeShard shard;
  const std::unique_ptr<int> result = shard.Run([]() -> Task<std::unique_ptr<int>> {
    auto make = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); };
    std::unique_ptr<int> made = co_await make();
    co_return made;
  }());
  EXPECT_EQ(*result, 7);
}

TEST(TaskTest, ConvertsWhatIsReturned) {
  FakeShard shard;
  const absl::Status status = shard.Run([]() -> Task<absl::Status> {
    auto make = []() -> Task<absl::StatusOr<std::string>> { co_return "text"; };
    absl::StatusOr<std::string> made = co_await make();
    if (!made.ok() || *made != "text") co_return absl::InternalError("lost");
    auto fail = []() -> Task<absl::StatusOr<std::string>> { co_return absl::NotFoundError("none"); };
    absl::StatusOr<std::string> failed = co_await fail();
    co_return failed.status();
  }());
  EXPECT_EQ(status, absl::NotFoundError("none"));
}

TEST(TaskTest, ExceptionReachesTheAwaiter) {
  FakeShard shard;
  const std::string caught = shard.Run([]() -> Task<std::string> {
    auto fail = []() -> Task<int> {
      static_cast<void>(co_await Yield());
      throw std::runtime_error("broken");
    };
    auto pass_on = [](auto fail) -> Task<int> { co_return co_await fail(); };
    try {
      co_await pass_on(fail);
    } catch (const std::runtime_error& error) {
      co_return error.what();
    }
    co_return "nothing";
  }());
  EXPECT_EQ(caught, "broken");
}

TEST(TaskTest, ExceptionOfMainComesOutOfTheLoop) {
  FakeShard shard;
  EXPECT_THROW(shard.Run([]() -> Task<void> {
    static_cast<void>(co_await Yield());
    throw std::runtime_error("broken");
  }()),
               std::runtime_error);
}

TEST(TaskTest, ArgumentsAndLocalsDieInOrder) {
  struct Note {
    Note(std::vector<std::string>* log, std::string name) : log(log), name(name) {}
    Note(Note&& other) noexcept : log(std::exchange(other.log, nullptr)), name(other.name) {}
    ~Note() {
      if (log != nullptr) log->push_back(name);
    }
    std::vector<std::string>* log;
    std::string name;
  };
  FakeShard shard;
  std::vector<std::string> log;

  shard.Run([](std::vector<std::string>* log) -> Task<void> {
    auto child = [](Note argument) -> Task<void> {
      Note local(argument.log, "local");
      static_cast<void>(co_await Yield());
    };
    co_await child(Note(log, "argument"));
    log->push_back("after");
  }(&log));

  EXPECT_EQ(log, (std::vector<std::string>{"local", "argument", "after"}));
}

Task<int> Nest(int depth) {
  if (depth == 0) co_return 0;
  co_return co_await Nest(depth - 1) + 1;
}

// The stack stays flat: with symmetric transfer this overflows under g++ 12 without optimisation.
TEST(TaskTest, MillionNestedAwaits) {
  FakeShard shard;
  EXPECT_EQ(shard.Run(Nest(1'000'000)), 1'000'000);
}

Task<int> NestAndSuspend(int depth) {
  if (depth == 0) {
    static_cast<void>(co_await Yield());
    throw std::runtime_error("bottom");
  }
  co_return co_await NestAndSuspend(depth - 1) + 1;
}

TEST(TaskTest, ExceptionClimbsHundredThousandFrames) {
  FakeShard shard;
  EXPECT_THROW(shard.Run(NestAndSuspend(100'000)), std::runtime_error);
}

TEST(TaskTest, LoopOfMillionReadyAwaits) {
  FakeShard shard;
  const int sum = shard.Run([]() -> Task<int> {
    int sum = 0;
    for (int i = 0; i < 1'000'000; ++i) sum += co_await Return(1);
    co_return sum;
  }());
  EXPECT_EQ(sum, 1'000'000);
}

// A call and a return are no scheduling points: nothing runs between them.
TEST(TaskTest, CallsAndReturnsDoNotGiveWay) {
  FakeShard shard;
  std::vector<std::string> log;

  shard.Run([](std::vector<std::string>* log) -> Task<void> {
    Spawn(Append, log, std::string("other"));
    for (int i = 0; i < 3; ++i) co_await Append(log, "child");
    log->push_back("parent");
    static_cast<void>(co_await Yield());
  }(&log));

  EXPECT_EQ(log, (std::vector<std::string>{"child", "child", "child", "parent", "other"}));
}

TEST(TaskTest, SteadyStateAwaitsAllocateNothing) {
  if (!MallocCount::kCounts) GTEST_SKIP() << "the sanitizer owns the allocator";
  FakeShard shard;
  const uint64_t allocations = shard.Run([]() -> Task<uint64_t> {
    auto step = []() -> Task<int> {
      static_cast<void>(co_await Yield());
      static_cast<void>(co_await Sleep(absl::Nanoseconds(1)));
      co_return co_await Return(1);
    };
    for (int i = 0; i < 10; ++i) co_await step();
    const uint64_t before = MallocCount::ThisThread();
    for (int i = 0; i < 1000; ++i) co_await step();
    co_return MallocCount::ThisThread() - before;
  }());
  EXPECT_EQ(allocations, 0u);
}

TEST(TaskDeathTest, SecondAwaitIsABug) {
  EXPECT_DEATH(
      {
        FakeShard shard;
        shard.Run([]() -> Task<void> {
          Task<int> task = Return(1);
          co_await std::move(task);
          co_await std::move(task);
        }());
      },
      "awaited twice");
}

TEST(TaskDeathTest, CoroutineOutsideOfAShardIsABug) {
  EXPECT_DEATH(Spawn([]() -> Task<void> { co_return; }), "not on a Tandem shard");
}

struct ThrowsInTheEnd {
  ThrowsInTheEnd() = default;
  ThrowsInTheEnd(const ThrowsInTheEnd&) = delete;
  ~ThrowsInTheEnd() noexcept(false) { throw std::runtime_error("nobody is there"); }
};

// Of a task that is destroyed, as by the crash of a host: it is no result of that task any more.
TEST(TaskDeathTest, ExceptionOutOfADestructorEndsTheProcess) {
  EXPECT_DEATH(
      {
        FakeShard shard;
        shard.Start([]() -> Task<void> {
          const auto hold = []() -> Task<void> {
            const ThrowsInTheEnd held;
            static_cast<void>(co_await Sleep(absl::Hours(1)));
          };
          co_await hold();
        }());
        for (int i = 0; i < 4; ++i) static_cast<void>(shard.shard().Turn(Instant::InfinitePast()));
        shard.shard().Die();
        shard.shard().Abandon();
      },
      "escaped a destructor, of what a task held whose host has ended: nobody is there");
}

TEST(TaskDeathTest, EscapedExceptionEndsTheProcessWithItsChain) {
  EXPECT_DEATH(
      {
        FakeShard shard;
        shard.Run([]() -> Task<void> {
          Spawn([]() -> Task<void> {
            auto fail = []() -> Task<void> {
              static_cast<void>(co_await Yield());
              throw std::runtime_error("nobody catches this");
            };
            co_await fail();
          });
          static_cast<void>(co_await Sleep(absl::Seconds(1)));
        }());
      },
      "escaped a spawned task: nobody catches this(.|\n)*task_test.cc(.|\n)*task_test.cc");
}

#if defined(__clang__)
#pragma clang diagnostic ignored "-Wreturn-type"  // What it warns of is what the test is about.
#endif
Task<int> EndsWithoutAResult(bool early) {
  if (early) co_return 1;
}

TEST(TaskDeathTest, EndWithoutAResultIsABug) {
  EXPECT_DEATH(
      {
        FakeShard shard;
        shard.Run([]() -> Task<void> { static_cast<void>(co_await EndsWithoutAResult(false)); }());
      },
      "a coroutine ended without a co_return");
}

#if defined(ADDRESS_SANITIZER)
// Gives out the handle of the coroutine that awaits it.
class TakeHandle final : public Leaf {
 public:
  explicit TakeHandle(std::coroutine_handle<>* handle) : handle_(handle) {}
  std::string Describe() const override { return "nothing"; }
  void TakeResult() {}

 private:
  bool Start() override {
    *handle_ = promise()->self;
    return true;
  }
  void OnStop() override {}
  std::coroutine_handle<>* handle_;
};

// Frames are plain heap memory under ASan, so that a late resumption is reported and not silent.
TEST(TaskDeathTest, ResumingADestroyedFrameIsReported) {
  EXPECT_DEATH(
      {
        FakeShard shard;
        std::coroutine_handle<> late;
        shard.Run([](std::coroutine_handle<>* late) -> Task<void> {
          auto child = [](std::coroutine_handle<>* late) -> Task<void> { co_await TakeHandle(late); };
          co_await child(late);
        }(&late));
        late.resume();
      },
      "heap-use-after-free");
}
#endif

}  // namespace
}  // namespace tandem
