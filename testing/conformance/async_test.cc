// SPDX-License-Identifier: Apache-2.0
//
// What core/async promises about time, several calls at once and spawned tasks, in every world, with sockets.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

class AsyncTest : public SocketConformanceTest {
 protected:
  // Works for `duration`; in the simulator, where work takes no time, not at all.
  void Work(absl::Duration duration) {
    if (IsSimulated()) return;
    const Instant start = Clock();
    while (Clock() - start < duration) {
    }
  }
  Instant Clock() { return loop_.shard().reactor().ReadClock(); }
};

// --- The clock ---

TEST_F(AsyncTest, TheClockNeverGoesBack) {
  const auto compare_readings = []() -> Task<absl::Status> {
    Instant last = Now();
    for (int turn = 0; turn < 100; ++turn) {
      for (int reading = 0; reading < 100; ++reading) {
        const Instant now = Now();
        if (now < last) co_return absl::DataLossError("a later reading shows an earlier time");
        last = now;
      }
      co_await Pause(absl::Microseconds(1));
    }
    co_return absl::OkStatus();
  };

  EXPECT_OK(Run(compare_readings()));
}

// --- Time counts from the call ---

constexpr absl::Duration kWork = absl::Milliseconds(30);
constexpr absl::Duration kShort = absl::Milliseconds(20);

TEST_F(AsyncTest, ASleepAfterLongWorkTakesItsTime) {
  const auto slept = [](auto work, auto clock) -> Task<absl::StatusOr<absl::Duration>> {
    work();
    const Instant before = clock();
    absl::Status status = co_await Sleep(kShort);
    if (!status.ok()) co_return status;
    co_return clock() - before;
  };
  const auto duration = Run(slept([this] { Work(kWork); }, [this] { return Clock(); }));
  ASSERT_OK(duration.status());
  EXPECT_GE(*duration, kShort);
}

TEST_F(AsyncTest, AReadAfterLongWorkHasItsWholeTimeout) {
  auto [client, server] = ConnectedPair();
  const auto read = [](TcpStream* stream, auto work, auto clock) -> Task<absl::StatusOr<absl::Duration>> {
    char bytes[10];
    work();
    const Instant before = clock();
    absl::StatusOr<size_t> count = co_await WithTimeout(kShort, stream->Read(absl::MakeSpan(bytes)));
    if (!absl::IsDeadlineExceeded(count.status())) co_return absl::InternalError("nobody has sent anything");
    co_return clock() - before;
  };
  const auto duration = Run(read(&client, [this] { Work(kWork); }, [this] { return Clock(); }));
  ASSERT_OK(duration.status());
  EXPECT_GE(*duration, kShort);
}

TEST_F(AsyncTest, ALoopThatNeverWaitsEndsAtItsDeadline) {
  const auto spin = []() -> Task<absl::Status> {
    for (;;) {
      absl::Status status = co_await Yield();
      if (!status.ok()) co_return status;
    }
  };
  EXPECT_EQ(Run(WithTimeout(absl::Milliseconds(5), spin())), DeadlineExceededStatus());
}

TEST_F(AsyncTest, WorkCanAskWhetherItsDeadlineHasPassed) {
  const auto work = []() -> Task<absl::Status> {
    const Instant deadline = CurrentDeadline();
    EXPECT_LE(deadline - Now(), absl::Milliseconds(5));
    // In the simulator the clock moves between turns alone.
    while (!CancelRequested()) static_cast<void>(co_await Yield());
    EXPECT_GE(Now(), deadline);
    co_return absl::OkStatus();
  };
  EXPECT_OK(Run(WithTimeout(absl::Milliseconds(5), work())));
}

// --- Several at once ---

using Answer = absl::StatusOr<std::string>;

// Three connections to replicas.
class QuorumTest : public AsyncTest {
 protected:
  static constexpr size_t kReplicas = 3;

  void SetUp() override {
    for (size_t i = 0; i < kReplicas; ++i) {
      auto [near, far] = ConnectedPair();
      near_.push_back(std::move(near));
      far_.push_back(std::move(far));
    }
  }
  void TearDown() override {
    near_.clear();
    far_.clear();
    AsyncTest::TearDown();
  }
  std::vector<Task<Answer>> Reads() {
    std::vector<Task<Answer>> reads;
    for (TcpStream& stream : near_) reads.push_back(ReadSome(&stream, 100));
    return reads;
  }
  // Runs a task whose result cannot say that it was stopped.
  template <typename T>
  T RunToEnd(Task<T> task) {
    T result;
    const auto store = [](T* result, Task<T> task) -> Task<absl::Status> {
      *result = co_await std::move(task);
      co_return absl::OkStatus();
    };
    EXPECT_OK(Run(store(&result, std::move(task))));
    return result;
  }

  std::vector<TcpStream> near_;
  std::vector<TcpStream> far_;
};

TEST_F(QuorumTest, TwoOfThreeEndItAndTheThirdLosesNothing) {
  Send(far_[0], "zero");
  Send(far_[2], "two");

  const WhenSomeResult<Answer> result = RunToEnd(WhenSome(2, Reads()));

  EXPECT_EQ(result.accepted, 2u);
  EXPECT_THAT(*result.results[0], IsOkAndHolds("zero"));
  EXPECT_FALSE(result.results[1].has_value());
  EXPECT_THAT(*result.results[2], IsOkAndHolds("two"));
  Send(far_[1], "one");
  EXPECT_THAT(Read(near_[1]), IsOkAndHolds("one"));
}

TEST_F(QuorumTest, OneAnswerAndTwoResetsCannotBeTwo) {
  Send(far_[0], "zero");
  far_[1].Abort();
  far_[2].Abort();

  const WhenSomeResult<Answer> result = RunToEnd(WhenSome(2, Reads()));

  EXPECT_LE(result.accepted, 1u);
  for (const size_t i : {1, 2}) EXPECT_FALSE(result.results[i].has_value() && result.results[i]->ok());
}

TEST_F(QuorumTest, AnyOfAVectorIsTheOneThatAnswers) {
  Send(far_[1], "one");
  const std::vector<std::optional<Answer>> results = RunToEnd(WhenAny(Reads()));
  EXPECT_FALSE(results[0].has_value());
  EXPECT_THAT(*results[1], IsOkAndHolds("one"));
  EXPECT_FALSE(results[2].has_value());
  Send(far_[0], "zero");
  EXPECT_THAT(Read(near_[0]), IsOkAndHolds("zero"));
}

TEST_F(QuorumTest, AllOfAVectorWaitsForEach) {
  for (TcpStream& stream : far_) Send(stream, "answer");
  const std::vector<Answer> results = RunToEnd(WhenAll(Reads()));
  for (const Answer& result : results) EXPECT_THAT(result, IsOkAndHolds("answer"));
}

// --- Spawned tasks ---

TEST_F(AsyncTest, ASpawnedTaskCanBeJoinedAndCancelledAndLosesNothing) {
  auto [client, server] = ConnectedPair();
  const auto test = [](TcpStream* client, TcpStream* server) -> Task<absl::Status> {
    JoinHandle<absl::StatusOr<std::string>> first = SpawnJoinable(&ReadSome, client, size_t{100});
    IoResult sent = co_await server->WriteAll("first");
    if (!sent.ok()) co_return sent.status;
    const absl::StatusOr<std::string> read = co_await first.Join();
    EXPECT_THAT(read, IsOkAndHolds("first"));

    JoinHandle<absl::StatusOr<std::string>> second = SpawnJoinable(&ReadSome, client, size_t{100});
    absl::StatusOr<std::string> late = co_await WithTimeout(absl::Milliseconds(2), second.Join());
    EXPECT_EQ(late.status(), DeadlineExceededStatus());
    EXPECT_FALSE(second.done());
    second.Cancel();
    late = co_await second.Join();
    EXPECT_EQ(late.status(), CancelledStatus());

    sent = co_await server->WriteAll("second");
    if (!sent.ok()) co_return sent.status;
    const absl::StatusOr<std::string> kept = co_await ReadSome(client, 100);
    EXPECT_THAT(kept, IsOkAndHolds("second"));
    co_return absl::OkStatus();
  };
  EXPECT_OK(Run(test(&client, &server)));
}

// --- Exceptions ---

struct Failed {
  std::shared_ptr<TcpStream> stream;
};

Task<void> FailWith(std::shared_ptr<TcpStream> stream) {
  static_cast<void>(co_await Yield());
  throw Failed{std::move(stream)};
}

TEST_F(AsyncTest, AStreamInAnExceptionIsClosedWhenItWasCaught) {
  auto [client, server] = ConnectedPair();
  auto owned = std::make_shared<TcpStream>(std::move(server));
  const auto test = [](std::shared_ptr<TcpStream> owned, TcpStream* client) -> Task<absl::StatusOr<size_t>> {
    try {
      co_await FailWith(std::move(owned));
    } catch (const Failed&) {
    }
    char bytes[10];
    absl::StatusOr<size_t> count = co_await WithTimeout(absl::Seconds(5), client->Read(absl::MakeSpan(bytes)));
    co_return count;
  };
  EXPECT_THAT(Run(test(std::move(owned), &client)), IsOkAndHolds(0u));
}

}  // namespace
}  // namespace tandem::testing
