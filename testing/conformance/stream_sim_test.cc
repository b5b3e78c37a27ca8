// SPDX-License-Identifier: Apache-2.0
//
// Frames through a pipe that takes a few bytes at a time, with calls stopped at any moment and the order of tasks drawn
// from the seed: the same frames come out.

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/random.h"
#include "tandem/core/base/result.h"
#include "tandem/core/net/buffered.h"
#include "tandem/core/net/framing.h"
#include "tandem/core/net/pipe.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

constexpr uint64_t kFrames = 100;

absl::Duration DrawTime(uint64_t entity) { return absl::Microseconds(Random("time", entity).Between(0, 4)); }

// The content of a frame, by its number: lengths of all sorts.
std::string FrameNumber(uint64_t number) {
  const uint64_t hash = MixBits(number);
  return Pattern(hash % 4 == 0 ? 0 : hash % 90).append(absl::StrCat(number));
}

Task<absl::Status> WriteFrames(PipeStream* stream) {
  BufferedWriter output(*stream, 1 + Random("capacity").Below(100));
  FrameWriter writer(output, FrameFormat().set_prefix_bytes(2));
  for (uint64_t number = 0; number < kFrames;) {
    const absl::Duration timeout = DrawTime(0);
    const std::string frame = FrameNumber(number);
    const absl::Status written = co_await WithTimeout(timeout, writer.Write(frame));
    if (!written.ok() && !absl::IsDeadlineExceeded(written)) co_return written;
    if (written.ok()) ++number;  // Else nothing of the frame was taken.
    const absl::Duration pause = DrawTime(0);
    const absl::Status slept = co_await Sleep(pause);
    if (!slept.ok()) co_return slept;
  }
  const absl::Status flushed = co_await output.Flush();
  if (!flushed.ok()) co_return flushed;
  co_return co_await stream->ShutdownWrite();
}

Task<absl::Status> ReadFrames(PipeStream* stream) {
  BufferedReader input(*stream);
  FrameReader reader(input, FrameFormat().set_prefix_bytes(2));
  for (uint64_t number = 0;;) {
    const absl::Duration timeout = DrawTime(1);
    absl::StatusOr<std::optional<absl::string_view>> frame = co_await WithTimeout(timeout, reader.Next());
    if (absl::IsDeadlineExceeded(frame.status())) continue;
    if (!frame.ok()) co_return frame.status();
    if (!frame->has_value()) {
      co_return number == kFrames ? absl::OkStatus() : absl::DataLossError(absl::StrCat("ended at ", number));
    }
    if (**frame != FrameNumber(number)) co_return absl::DataLossError(absl::StrCat("not frame ", number));
    ++number;
  }
}

Task<absl::Status> PassFrames() {
  auto [left, right] = MakePipe(1 + Random("pipe").Below(64));
  auto [written, read] = co_await WhenAll(WriteFrames(&left), ReadFrames(&right));
  co_return written.ok() ? read : written;
}

// --- One writer, many coroutines ---

constexpr int kWriters = 4;
constexpr int kSharedFrames = 30;

std::string SharedFrame(int writer, int number) {
  return absl::StrCat(writer, ",", number, ",",
                      FrameNumber(uint64_t{1000} * static_cast<uint64_t>(writer) + static_cast<uint64_t>(number)));
}

struct SharedOutput {
  SharedOutput(PipeStream* stream, size_t capacity) : stream(stream), writer(*stream, capacity) {}

  PipeStream* const stream;
  BufferedWriter<PipeStream> writer;
  FrameWriter<PipeStream> frames{writer, FrameFormat().set_prefix_bytes(2)};
  int ended = 0;
};

Task<absl::Status> WriteShared(SharedOutput* output, int writer) {
  for (int number = 0; number < kSharedFrames;) {
    const absl::Duration timeout = DrawTime(0);
    const std::string frame = SharedFrame(writer, number);
    const absl::Status written = co_await WithTimeout(timeout, output->frames.Write(frame));
    if (!written.ok() && !absl::IsDeadlineExceeded(written)) co_return written;
    if (written.ok()) ++number;
    const absl::Duration patience = DrawTime(0);
    const absl::Status flushed = co_await WithTimeout(patience, output->writer.Flush());
    if (!flushed.ok() && !absl::IsDeadlineExceeded(flushed)) co_return flushed;
  }
  if (++output->ended < kWriters) co_return absl::OkStatus();
  co_return co_await output->writer.ShutdownWrite();
}

Task<absl::Status> ReadShared(PipeStream* stream) {
  BufferedReader input(*stream);
  FrameReader reader(input, FrameFormat().set_prefix_bytes(2));
  int next[kWriters] = {};
  for (;;) {
    const absl::Duration pause = DrawTime(1);
    const absl::Status slept = co_await Sleep(pause);
    if (!slept.ok()) co_return slept;
    absl::StatusOr<std::optional<absl::string_view>> frame = co_await reader.Next();
    if (!frame.ok()) co_return frame.status();
    if (!frame->has_value()) break;
    const int writer = (**frame)[0] - '0';
    if (writer < 0 || writer >= kWriters) co_return absl::DataLossError("not a frame");
    if (**frame != SharedFrame(writer, next[writer])) {
      co_return absl::DataLossError(absl::StrCat("not frame ", next[writer], " of writer ", writer));
    }
    ++next[writer];
  }
  for (const int number : next) {
    if (number != kSharedFrames) co_return absl::DataLossError(absl::StrCat("ended at ", number));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ShareAWriter() {
  auto [left, right] = MakePipe(1 + Random("pipe").Below(64));
  SharedOutput output(&left, Random("capacity").Below(300));
  PipeStream* const source = &right;
  SharedOutput* const shared = &output;
  const auto body = [source, shared](TaskGroup& group) {
    for (int writer = 0; writer < kWriters; ++writer) group.Spawn(&WriteShared, shared, writer);
    return ReadShared(source);
  };
  co_return co_await WithTaskGroup(body);
}

}  // namespace

SIM_TEST(BufferedWriter, FramesOfManyAreWholeAndInOrderWhateverIsCancelledWhen) {
  sim::Host& host = world.AddHost("host", [] { return ShareAWriter(); });
  EXPECT_OK(world.RunUntilDone(host, absl::Hours(1)));
}

SIM_TEST(Framing, FramesAreWholeWhateverIsCancelledWhen) {
  sim::Host& host = world.AddHost("host", [] { return PassFrames(); });
  EXPECT_OK(world.RunUntilDone(host, absl::Hours(1)));
}

}  // namespace tandem::testing
