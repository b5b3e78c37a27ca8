// SPDX-License-Identifier: Apache-2.0
//
// RunBlocking() on every reactor.

#include "tandem/core/runtime/run_blocking.h"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/base/result.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

class RunBlockingTest : public SocketConformanceTest {};

int Double(int value) { return 2 * value; }
absl::Status Fail() { return absl::DataLossError("bad sector"); }
absl::StatusOr<std::string> Text(std::string text) { return text + "!"; }
IoResult Half(size_t size) { return IoResult{absl::OutOfRangeError("end"), size / 2}; }
void Count(std::atomic<int>* calls) { calls->fetch_add(1); }
int Throw() { throw std::runtime_error("from the function"); }

TEST_F(RunBlockingTest, AValueComesAsStatusOr) {
  const absl::StatusOr<int> result = Run(RunBlocking(&Double, 21));
  ASSERT_OK(result.status());
  EXPECT_EQ(*result, 42);
}

TEST_F(RunBlockingTest, VoidComesAsStatus) {
  std::atomic<int> calls{0};
  const absl::Status status = Run(RunBlocking(&Count, &calls));
  EXPECT_OK(status);
  EXPECT_EQ(calls.load(), 1);
}

TEST_F(RunBlockingTest, StatusesPassThrough) {
  EXPECT_EQ(Run(RunBlocking(&Fail)), absl::DataLossError("bad sector"));
  EXPECT_EQ(*Run(RunBlocking(&Text, std::string("text"))), "text!");
  const IoResult half = Run(RunBlocking(&Half, size_t{10}));
  EXPECT_EQ(half.bytes, 5u);
  EXPECT_EQ(half.status.code(), kOutOfRange);
}

TEST_F(RunBlockingTest, TakesLambdasAndMoveOnlyArguments) {
  auto take = [](std::unique_ptr<int> value) { return *value; };
  EXPECT_EQ(*Run(RunBlocking(take, std::make_unique<int>(7))), 7);
}

Task<absl::Status> CatchWhatTheFunctionThrows() {
  try {
    absl::StatusOr<int> result = co_await RunBlocking(&Throw);
    co_return result.status();
  } catch (const std::runtime_error& error) {
    co_return absl::UnknownError(error.what());
  }
}

TEST_F(RunBlockingTest, AnExceptionIsThrownByTheAwait) {
  EXPECT_EQ(Run(CatchWhatTheFunctionThrows()), absl::UnknownError("from the function"));
}

TEST_F(RunBlockingTest, ADeadlineInThePastCallsNothing) {
  std::atomic<int> calls{0};
  const absl::Status status = Run(RunBlocking(&Count, &calls).By(Now() - absl::Seconds(1)));
  EXPECT_EQ(status.code(), kDeadlineExceeded);
  Settle();
  EXPECT_EQ(calls.load(), 0);
}

Task<absl::Status> CountOnce(std::atomic<int>* calls) { co_return co_await RunBlocking(&Count, calls); }

TEST_F(RunBlockingTest, TheLoopGoesOnMeanwhile) {
  auto [client, server] = ConnectedPair();
  std::atomic<int> calls{0};
  auto work = Start(CountOnce(&calls));
  Send(client, "hello");
  EXPECT_EQ(*Read(server), "hello");
  EXPECT_OK(Wait(work));
}

// Far more than there are threads: those that are cancelled in the queue are never called, and each other one is
// called exactly once.
TEST_F(RunBlockingTest, EachCallEndsOnceWhateverIsCancelled) {
  constexpr int kCalls = 1000;
  std::vector<std::atomic<int>> calls(kCalls);
  std::vector<std::unique_ptr<Background<absl::Status>>> work;
  work.reserve(kCalls);
  for (std::atomic<int>& count : calls) work.push_back(Start(CountOnce(&count)));
  for (size_t i = 0; i < work.size(); i += 3) work[i]->Cancel();
  for (size_t i = 0; i < work.size(); ++i) {
    const absl::Status status = Wait(work[i]);
    if (status.ok()) {
      EXPECT_EQ(calls[i].load(), 1);
    } else {
      EXPECT_EQ(i % 3, 0u);
      EXPECT_EQ(status.code(), kCancelled);
      EXPECT_EQ(calls[i].load(), 0);
    }
  }
}

}  // namespace
}  // namespace tandem::testing
