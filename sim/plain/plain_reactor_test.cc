// SPDX-License-Identifier: Apache-2.0
//
// Runtime in the simulated world, as a program with a plain main() has it.

#include <sys/personality.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/resolver.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/runtime/run_blocking.h"
#include "tandem/core/runtime/runtime.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/process/interpose/interpose.h"

namespace tandem::sim {
namespace {

Task<void> AnswerOnce(TcpListener listener) {
  absl::StatusOr<TcpStream> stream = co_await listener.Accept();
  if (!stream.ok()) co_return;
  std::string request(4, '\0');
  IoResult read = co_await stream->ReadExactly(absl::MakeSpan(request.data(), request.size()));
  if (!read.ok()) co_return;
  IoResult written = co_await stream->WriteAll("pong");
  (void)written;
}

Task<absl::StatusOr<std::string>> AskOverLoopback() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::LoopbackIpv4(0));
  if (!listener.ok()) co_return listener.status();
  const SocketAddress address = listener->LocalAddress();
  Spawn(&AnswerOnce, *std::move(listener));
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  if (!stream.ok()) co_return stream.status();
  IoResult written = co_await stream->WriteAll("ping");
  if (!written.ok()) co_return written.status;
  std::string reply(4, '\0');
  IoResult read = co_await stream->ReadExactly(absl::MakeSpan(reply.data(), reply.size()));
  if (!read.ok()) co_return read.status;
  co_return reply;
}

Task<absl::Status> SleepForAnHour() { co_return co_await Sleep(absl::Hours(1)); }
Task<uint64_t> Draw() { co_return Random("test").Next(); }
Task<void> WaitForNothing() { (void)co_await SleepUntil(Instant::InfiniteFuture()); }

uint64_t DrawWithSeed(const char* seed) {
  setenv("TANDEM_SEED", seed, 1);
  Runtime runtime;
  const uint64_t value = runtime.BlockOn(Draw());
  unsetenv("TANDEM_SEED");
  return value;
}

TEST(PlainReactorTest, ProgramsTalkOverLoopback) {
  Runtime runtime;
  absl::StatusOr<std::string> reply = runtime.BlockOn(AskOverLoopback());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(*reply, "pong");
}

TEST(PlainReactorTest, SleepingTakesNoRealTimeAndMovesEveryClock) {
  const int64_t before_ns = RealNow();
  Runtime runtime;
  const auto steady = std::chrono::steady_clock::now();
  const auto wall = std::chrono::system_clock::now();

  EXPECT_TRUE(runtime.BlockOn(SleepForAnHour()).ok());

  EXPECT_GE(std::chrono::steady_clock::now() - steady, std::chrono::hours(1));
  EXPECT_GE(std::chrono::system_clock::now() - wall, std::chrono::hours(1));
  EXPECT_LT(RealNow() - before_ns, int64_t{60'000'000'000});
}

TEST(PlainReactorTest, TheSeedComesFromTheEnvironment) {
  const uint64_t one = DrawWithSeed("1");
  EXPECT_EQ(DrawWithSeed("1"), one);
  EXPECT_NE(DrawWithSeed("2"), one);
}

TEST(PlainReactorTest, ABadSeedIsRefused) {
  setenv("TANDEM_SEED", "lucky", 1);
  EXPECT_EQ(Runtime::Create().status().code(), absl::StatusCode::kInvalidArgument);
  unsetenv("TANDEM_SEED");
}

TEST(PlainReactorDeathTest, NothingToWaitForEndsTheProgramWithTheTasksThatWait) {
  EXPECT_EXIT(
      {
        Runtime runtime;
        runtime.BlockOn(WaitForNothing());
      },
      testing::ExitedWithCode(3), "plain_reactor_test.cc:");
}

bool SleepOutsideOfTheShard() {
  absl::SleepFor(absl::Hours(1));
  return !Executor::HasCurrent();
}

Task<void> SleepInBlockingWork(bool* outside) {
  const Instant start = Now();
  absl::StatusOr<bool> result = co_await RunBlocking(&SleepOutsideOfTheShard);
  EXPECT_TRUE(result.ok()) << result.status();
  EXPECT_GE(Now() - start, absl::Hours(1));
  *outside = result.value_or(false);
}

TEST(PlainReactorTest, BlockingWorkMaySleepAndIsOutsideOfTheShard) {
  bool outside = false;
  Runtime runtime;
  runtime.BlockOn(SleepInBlockingWork(&outside));
  EXPECT_TRUE(outside);
}

Task<void> ResolveNames() {
  absl::StatusOr<std::vector<SocketAddress>> local = co_await Resolve("localhost", 80);
  EXPECT_TRUE(local.ok()) << local.status();
  if (local.ok()) {
    EXPECT_EQ(local->size(), 2u);
  }
  absl::StatusOr<std::vector<SocketAddress>> own = co_await Resolve("main", 80);
  EXPECT_TRUE(own.ok()) << own.status();
  absl::StatusOr<std::vector<SocketAddress>> missing = co_await Resolve("does-not-exist.invalid", 80);
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
}

TEST(PlainReactorTest, KnowsItsOwnNames) {
  Runtime runtime;
  runtime.BlockOn(ResolveNames());
}

TEST(PlainReactorTest, TheProgramHasFixedAddressesWhereTheMachineAllowsIt) {
  const bool fixed = (personality(0xffffffff) & ADDR_NO_RANDOMIZE) != 0;
  EXPECT_TRUE(fixed || personality(ADDR_NO_RANDOMIZE) == -1);
}

}  // namespace
}  // namespace tandem::sim
