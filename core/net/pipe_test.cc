// SPDX-License-Identifier: Apache-2.0
//
// What of pipes and copies needs a clock that jumps, and a simulated crash. The calls themselves are tested with those
// of every other stream, in testing/conformance/stream_*_test.cc.

#include "tandem/core/net/pipe.h"

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/net/copy.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"
#include "tandem/core/runtime/shard.h"

namespace tandem {
namespace {

Task<absl::StatusOr<size_t>> ReadOne(PipeStream* stream) {
  char target;
  co_return co_await stream->Read(absl::MakeSpan(&target, 1));
}

Task<absl::StatusOr<size_t>> ReadTwo(PipeStream* stream) {
  absl::StatusOr<size_t> first = co_await ReadOne(stream);
  if (!first.ok()) co_return first;
  absl::StatusOr<size_t> second = co_await ReadOne(stream);
  if (!second.ok()) co_return second;
  co_return *first + *second;
}

TEST(PipeTest, ACapacityOfOneByteWillDo) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto [left, right] = MakePipe(1);
    auto [written, read] = co_await WhenAll(left.WriteAll("ab"), ReadTwo(&right));
    EXPECT_TRUE(written.ok());
    EXPECT_EQ(written.bytes, 2u);
    EXPECT_TRUE(read.ok());
    EXPECT_EQ(*read, 2u);
  }());
}

TEST(PipeDeathTest, TwoReadsAtOnceAreABug) {
  EXPECT_DEATH(
      {
        FakeShard shard;
        shard.Run([]() -> Task<void> {
          auto [left, right] = MakePipe(1);
          (void)co_await WhenAll(ReadOne(&left), ReadOne(&left));
        }());
      },
      "two reads at once on one end of a pipe");
}

TEST(PipeDeathTest, ACapacityOfNoneIsABug) { EXPECT_DEATH((void)MakePipe(0), "a pipe of no capacity"); }

// --- Idle timeouts ---

// Something every second, in turns to and fro, for a minute.
Task<absl::Status> Chat(PipeStream* client, PipeStream* backend) {
  for (int i = 0; i < 60; ++i) {
    absl::Status slept = co_await Sleep(absl::Seconds(1));
    if (!slept.ok()) co_return slept;
    PipeStream* const from = i % 2 == 0 ? client : backend;
    PipeStream* const to = i % 2 == 0 ? backend : client;
    IoResult written = co_await from->WriteAll("x");
    if (!written.ok()) co_return written.status;
    absl::StatusOr<size_t> read = co_await ReadOne(to);
    if (!read.ok()) co_return read.status();
  }
  co_return absl::OkStatus();
}

TEST(CopyTimeTest, ActivityInOneDirectionKeepsBoth) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto [client, front] = MakePipe(10);
    auto [back, backend] = MakePipe(10);
    const Instant start = Now();
    const CopyOptions options = CopyOptions().set_idle_timeout(absl::Milliseconds(1500));
    auto [copied, chatted] = co_await WhenAll(CopyBidirectional(front, back, options), Chat(&client, &backend));
    EXPECT_TRUE(chatted.ok()) << chatted;
    EXPECT_EQ(copied.status, DeadlineExceededStatus());
    EXPECT_EQ(copied.a_to_b, 30u);
    EXPECT_EQ(copied.b_to_a, 30u);
    EXPECT_EQ(Now() - start, absl::Seconds(60) + absl::Milliseconds(1500));
  }());
}

TEST(CopyTimeTest, TheCallersDeadlineIsNotTheIdleTimeout) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto [client, front] = MakePipe(10);
    auto [back, backend] = MakePipe(10);
    const Instant start = Now();
    const CopyOptions options = CopyOptions().set_idle_timeout(absl::Hours(1));
    BidirectionalCopyResult copied = co_await WithTimeout(absl::Seconds(3), CopyBidirectional(front, back, options));
    EXPECT_EQ(copied.status, DeadlineExceededStatus());
    EXPECT_EQ(Now() - start, absl::Seconds(3));
  }());
}

// Reads a byte every 100 ms, forty of them.
Task<absl::Status> ReadSlowly(PipeStream* stream) {
  for (int i = 0; i < 40; ++i) {
    absl::Status slept = co_await Sleep(absl::Milliseconds(100));
    if (!slept.ok()) co_return slept;
    absl::StatusOr<size_t> read = co_await ReadOne(stream);
    if (!read.ok()) co_return read.status();
  }
  co_return absl::OkStatus();
}

// It takes four times the idle timeout to write the one block.
TEST(CopyTimeTest, AReceiverThatTakesAByteNowAndThenIsNotIdle) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto [client, front] = MakePipe(1000);
    auto [back, backend] = MakePipe(1);
    EXPECT_TRUE((co_await client.WriteAll(std::string(1000, 'x'))).ok());
    const Instant start = Now();
    const CopyOptions options = CopyOptions().set_idle_timeout(absl::Seconds(1));
    auto [copied, read] = co_await WhenAll(Copy(front, back, options), ReadSlowly(&backend));
    EXPECT_TRUE(read.ok()) << read;
    EXPECT_EQ(copied.status, DeadlineExceededStatus());
    EXPECT_EQ(copied.bytes, 41u);  // One waits in the pipe.
    EXPECT_EQ(Now() - start, absl::Seconds(4) + absl::Seconds(1));
  }());
}

TEST(CopyTimeTest, AClientThatTakesAByteNowAndThenKeepsItsProxy) {
  FakeShard shard;
  shard.Run([]() -> Task<void> {
    auto [client, front] = MakePipe(1);
    auto [back, backend] = MakePipe(1000);
    EXPECT_TRUE((co_await backend.WriteAll(std::string(1000, 'x'))).ok());
    const Instant start = Now();
    const CopyOptions options = CopyOptions().set_idle_timeout(absl::Seconds(1));
    auto [copied, read] = co_await WhenAll(CopyBidirectional(front, back, options), ReadSlowly(&client));
    EXPECT_TRUE(read.ok()) << read;
    EXPECT_EQ(copied.status, DeadlineExceededStatus());
    EXPECT_EQ(copied.b_to_a, 41u);
    EXPECT_EQ(Now() - start, absl::Seconds(4) + absl::Seconds(1));
  }());
}

// --- A crash ---

Task<void> OwnPipe(PipeStream** place) {
  auto [left, right] = MakePipe(2);
  *place = &left;
  (void)co_await right.WriteAll("more than two");
  (void)co_await Sleep(absl::Hours(1));
}

Task<void> WriteToPipe(PipeStream** place) {
  while (*place == nullptr) (void)co_await Yield();
  (void)co_await (*place)->WriteAll("more than two");
}

Task<void> ReadFromPipe(PipeStream** place) {
  while (*place == nullptr) (void)co_await Yield();
  for (;;) {
    absl::StatusOr<size_t> count = co_await ReadOne(*place);
    if (!count.ok()) co_return;
  }
}

void CrashWith(bool owner_first) {
  FakeShard shard;
  PipeStream* place = nullptr;
  shard.Start([]() -> Task<void> { co_return; }());
  if (owner_first) Spawn(&OwnPipe, &place);
  Spawn(&WriteToPipe, &place);
  Spawn(&WriteToPipe, &place);
  Spawn(&ReadFromPipe, &place);
  if (!owner_first) Spawn(&OwnPipe, &place);
  for (int i = 0; i < 10; ++i) (void)shard.shard().Turn(Instant::InfinitePast());

  shard.shard().Die();
  shard.shard().Abandon();

  EXPECT_EQ(shard.shard().task_count(), 0u);
}

TEST(PipeCrashTest, TheEndsMayDieLast) { CrashWith(/*owner_first=*/true); }
TEST(PipeCrashTest, TheEndsMayDieFirst) { CrashWith(/*owner_first=*/false); }

}  // namespace
}  // namespace tandem
