// SPDX-License-Identifier: Apache-2.0
//
// What of buffers does not show on a stream: their memory, misuse, and a simulated crash. The calls are tested over
// every stream in testing/conformance/stream_buffered_test.cc.

#include "tandem/core/net/buffered.h"

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/config.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/net/pipe.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"
#include "tandem/core/runtime/shard.h"

namespace tandem {
namespace {

using internal::InputBuffer;
using internal::OutputBuffer;

constexpr size_t kUsual = InputBuffer::kUsualBytes;

TEST(InputBufferTest, MemoryForOneLargeMessageIsGivenBack) {
  InputBuffer input;
  const std::string large(16 << 20, 'x');
  input.Append(large);
  EXPECT_EQ(input.Take(large.size()), large);
  EXPECT_GE(input.capacity(), large.size());  // The view is still looked at.
  input.Reuse();
  EXPECT_LE(input.capacity(), kUsual);
  EXPECT_EQ(input.view(), "");
}

TEST(InputBufferTest, MemoryIsGivenBackAlsoWhenALittleIsLeft) {
  InputBuffer input;
  const std::string large(16 << 20, 'x');
  input.Append(large);
  input.Append("next");
  input.Take(large.size());
  input.Reuse();
  EXPECT_LE(input.capacity(), kUsual);
  EXPECT_EQ(input.view(), "next");
  input.Append(" one");
  EXPECT_EQ(input.view(), "next one");
}

TEST(InputBufferTest, UsualMemoryIsKept) {
  InputBuffer input;
  input.Append(std::string(kUsual / 2, 'x'));
  const size_t capacity = input.capacity();
  for (int i = 0; i < 10; ++i) {
    input.Take(input.view().size());
    input.Reuse();
    EXPECT_EQ(input.capacity(), capacity);
    input.Append(std::string(kUsual / 2, 'x'));
  }
  EXPECT_EQ(input.capacity(), capacity);
}

TEST(InputBufferTest, AppendingAndTakingMovesEachByteAFewTimesAtMost) {
  InputBuffer input;
  std::string expected;
  std::string taken;
  for (size_t i = 0; i < 3000; ++i) {
    const std::string piece(i % 97, static_cast<char>('a' + i % 26));
    expected += piece;
    input.Reuse();
    input.Append(piece);
    const absl::string_view front = input.Take(input.view().size() * (i % 5) / 5);
    taken.append(front.data(), front.size());
  }
  const absl::string_view rest = input.view();
  taken.append(rest.data(), rest.size());
  EXPECT_EQ(taken, expected);
  EXPECT_LT(input.capacity(), kUsual);
}

TEST(OutputBufferTest, MemoryForOneLargeBatchIsGivenBack) {
  OutputBuffer output(1000);
  output.Append(std::string(1 << 20, 'x'));
  EXPECT_EQ(output.Next().size(), size_t{1} << 20);
  output.Append(std::string(1 << 20, 'y'));  // While the first is being sent.
  output.Sent(1 << 20);
  EXPECT_EQ(output.Next(), std::string(1 << 20, 'y'));
  output.Sent(1 << 20);
  EXPECT_EQ(output.pending(), 0u);
  EXPECT_LE(output.memory_bytes(), 2 * 1000u);
}

TEST(OutputBufferTest, UsualMemoryIsKept) {
  OutputBuffer output(1000);
  for (int i = 0; i < 4; ++i) {
    output.Append(std::string(900, 'x'));
    output.Sent(output.Next().size());
  }
  EXPECT_GE(output.memory_bytes(), 900u);
}

TEST(OutputBufferTest, TheRestOfABatchComesBeforeWhatCameMeanwhile) {
  OutputBuffer output(1000);
  output.Append("first");
  EXPECT_EQ(output.Next(), "first");
  output.Sent(0);
  output.Append("second");
  EXPECT_FALSE(output.torn());
  EXPECT_EQ(output.Next(), "firstsecond");  // Nothing had gone: both in one.
  output.Sent(3);
  output.Append("third");
  EXPECT_TRUE(output.torn());
  EXPECT_EQ(output.Next(), "stsecond");
  output.Sent(8);
  EXPECT_FALSE(output.torn());
  EXPECT_EQ(output.Next(), "third");
  EXPECT_EQ(output.sent(), 11u);
  EXPECT_EQ(output.appended(), 16u);
}

#if !defined(NDEBUG) || defined(ABSL_HAVE_ADDRESS_SANITIZER)
Task<void> LookAtAnOldView() {
  auto [left, right] = MakePipe(100);
  EXPECT_TRUE((co_await left.WriteAll("head\nbody")).ok());
  BufferedReader reader(right);
  absl::StatusOr<absl::string_view> head = co_await reader.ReadUntil("\n", 100);
  EXPECT_EQ(*head, "head\n");
  // Its bytes would still be in place by chance: the body has come with them.
  absl::StatusOr<absl::string_view> body = co_await reader.ReadExactly(4);
  EXPECT_EQ(*body, "body");
  EXPECT_EQ(*head, std::string(5, '\xdd'));
}

TEST(BufferedReaderTest, AViewThatIsKeptTooLongShowsInDebugBuilds) {
  FakeShard shard;
  shard.Run(LookAtAnOldView());
}
#endif

// --- Misuse ---

Task<void> FlushOf(BufferedWriter<PipeStream>* writer) { (void)co_await writer->Flush(); }

void DestroyDuringAFlush() {
  FakeShard shard;
  auto [left, right] = MakePipe(1);
  std::optional<BufferedWriter<PipeStream>> writer(std::in_place, left);
  writer->Append("more than one");
  shard.Start(FlushOf(&*writer));
  (void)shard.shard().Turn(Instant::InfinitePast());
  writer.reset();
}

TEST(BufferedWriterDeathTest, DestroyedDuringACallIsABug) {
  EXPECT_DEATH(DestroyDuringAFlush(), "a buffered writer was destroyed while a call is under way");
}

void DiscardDuringAFlush() {
  FakeShard shard;
  auto [left, right] = MakePipe(1);
  BufferedWriter writer(left);
  writer.Append("more than one");
  shard.Start(FlushOf(&writer));
  (void)shard.shard().Turn(Instant::InfinitePast());
  writer.Discard();
}

TEST(BufferedWriterDeathTest, DiscardDuringACallIsABug) {
  EXPECT_DEATH(DiscardDuringAFlush(), "a buffered writer was told to give up what is being sent");
}

// --- A crash ---

struct Shared {
  PipeStream* stream = nullptr;
  BufferedWriter<PipeStream>* writer = nullptr;
};

Task<void> OwnWriter(Shared* shared) {
  auto [left, right] = MakePipe(2);
  BufferedWriter writer(left, 3);
  shared->stream = &left;
  shared->writer = &writer;
  (void)co_await Sleep(absl::Hours(1));
}

Task<void> UseWriter(Shared* shared) {
  while (shared->writer == nullptr) (void)co_await Yield();
  (void)co_await shared->writer->WriteAll("more than two");
  (void)co_await shared->writer->Flush();
}

void CrashWith(bool owner_first) {
  FakeShard shard;
  Shared shared;
  shard.Start([]() -> Task<void> { co_return; }());
  if (owner_first) Spawn(&OwnWriter, &shared);
  for (int i = 0; i < 4; ++i) Spawn(&UseWriter, &shared);
  if (!owner_first) Spawn(&OwnWriter, &shared);
  for (int i = 0; i < 10; ++i) (void)shard.shard().Turn(Instant::InfinitePast());

  shard.shard().Die();
  shard.shard().Abandon();

  EXPECT_EQ(shard.shard().task_count(), 0u);
}

TEST(BufferedWriterCrashTest, TheWriterMayDieLast) { CrashWith(/*owner_first=*/true); }
TEST(BufferedWriterCrashTest, TheWriterMayDieFirst) { CrashWith(/*owner_first=*/false); }

}  // namespace
}  // namespace tandem
