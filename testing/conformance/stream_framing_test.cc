// SPDX-License-Identifier: Apache-2.0
//
// Lines and frames over every stream.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/net/buffered.h"
#include "tandem/core/net/framing.h"
#include "tandem/core/net/pipe.h"
#include "tandem/core/net/stream.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/conformance/stream_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

// What Next() gave, as something to compare: "<end>" at the end of the stream.
template <typename Reader>
Task<absl::StatusOr<std::string>> NextOf(Reader* reader) {
  absl::StatusOr<std::optional<absl::string_view>> message = co_await reader->Next();
  if (!message.ok()) co_return message.status();
  co_return message->has_value() ? std::string(**message) : std::string("<end>");
}

template <typename Kind>
class LineReaderTest : public StreamTest<Kind> {};
TYPED_TEST_SUITE(LineReaderTest, AllStreams, StreamNames);

template <typename Kind>
class FrameTest : public StreamTest<Kind> {};
TYPED_TEST_SUITE(FrameTest, AllStreams, StreamNames);

// --- Lines ---

TYPED_TEST(LineReaderTest, TakesBothLineEndsOff) {
  auto [left, right] = this->MakePair();
  BufferedReader reader(right);
  LineReader lines(reader);
  this->SendTo(left, "unix\ndos\r\n\r\n\nmac\ris no end\n");
  this->EndOf(left);
  EXPECT_THAT(this->Run(NextOf(&lines)), IsOkAndHolds("unix"));
  EXPECT_THAT(this->Run(NextOf(&lines)), IsOkAndHolds("dos"));
  EXPECT_THAT(this->Run(NextOf(&lines)), IsOkAndHolds(""));
  EXPECT_THAT(this->Run(NextOf(&lines)), IsOkAndHolds(""));
  EXPECT_THAT(this->Run(NextOf(&lines)), IsOkAndHolds("mac\ris no end"));
  EXPECT_THAT(this->Run(NextOf(&lines)), IsOkAndHolds("<end>"));
  EXPECT_THAT(this->Run(NextOf(&lines)), IsOkAndHolds("<end>"));
}

TYPED_TEST(LineReaderTest, TheLastLineNeedsNoEnd) {
  auto [left, right] = this->MakePair();
  BufferedReader reader(right);
  LineReader lines(reader);
  this->SendTo(left, "first\nlast");
  this->EndOf(left);
  EXPECT_THAT(this->Run(NextOf(&lines)), IsOkAndHolds("first"));
  EXPECT_THAT(this->Run(NextOf(&lines)), IsOkAndHolds("last"));
  EXPECT_THAT(this->Run(NextOf(&lines)), IsOkAndHolds("<end>"));
}

TYPED_TEST(LineReaderTest, TheLimitDoesNotCountTheEnd) {
  auto [left, right] = this->MakePair();
  BufferedReader reader(right);
  LineReader lines(reader, 4);
  this->SendTo(left, "1234\n1234\r\n12345\n");
  EXPECT_THAT(this->Run(NextOf(&lines)), IsOkAndHolds("1234"));
  EXPECT_THAT(this->Run(NextOf(&lines)), IsOkAndHolds("1234"));
  EXPECT_EQ(this->Run(NextOf(&lines)).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(this->Run(NextOf(&lines)).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(reader.buffered(), "12345\n");
}

TYPED_TEST(LineReaderTest, ALineWithoutEndIsRefusedAtTheLimit) {
  auto [left, right] = this->MakePair();
  BufferedReader reader(right);
  LineReader lines(reader, 1000);
  this->SendTo(left, std::string(1002, 'x'));
  EXPECT_EQ(this->Run(NextOf(&lines)).status().code(), absl::StatusCode::kResourceExhausted);
}

TYPED_TEST(LineReaderTest, AStoppedCallKeepsWhatCame) {
  auto [left, right] = this->MakePair();
  BufferedReader reader(right);
  LineReader lines(reader);
  this->SendTo(left, "half a li");
  EXPECT_EQ(this->Run(WithTimeout(absl::Milliseconds(2), NextOf(&lines))).status(), DeadlineExceededStatus());
  this->SendTo(left, "ne\n");
  EXPECT_THAT(this->Run(NextOf(&lines)), IsOkAndHolds("half a line"));
}

// --- Frames ---

TYPED_TEST(FrameTest, EveryPrefixCarriesFrames) {
  for (const ByteOrder order : {ByteOrder::kBigEndian, ByteOrder::kLittleEndian}) {
    for (const size_t prefix : {1, 2, 4, 8}) {
      auto [left, right] = this->MakePair();
      const FrameFormat format = FrameFormat().set_prefix_bytes(prefix).set_byte_order(order);
      BufferedWriter output(left);
      FrameWriter writer(output, format);
      BufferedReader input(right);
      FrameReader reader(input, format);
      const std::string longest = Pattern(prefix == 1 ? 255 : 3000);
      EXPECT_OK(writer.Append(""));
      EXPECT_OK(writer.Append("frame"));
      EXPECT_OK(this->Run(writer.Write(longest)));
      EXPECT_OK(this->Run(output.Flush()));
      this->EndOf(left);
      EXPECT_THAT(this->Run(NextOf(&reader)), IsOkAndHolds(""));
      EXPECT_THAT(this->Run(NextOf(&reader)), IsOkAndHolds("frame"));
      EXPECT_THAT(this->Run(NextOf(&reader)), IsOkAndHolds(longest));
      EXPECT_THAT(this->Run(NextOf(&reader)), IsOkAndHolds("<end>"));
    }
  }
}

TYPED_TEST(FrameTest, ALongFrameIsRefusedBeforeItComes) {
  auto [left, right] = this->MakePair();
  BufferedReader input(right);
  FrameReader reader(input, FrameFormat().set_prefix_bytes(8).set_limit(1000));
  this->SendTo(left, FrameFormat().set_prefix_bytes(8).Encode(uint64_t{1} << 62));
  EXPECT_EQ(this->Run(NextOf(&reader)).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(input.buffered().size(), 8u);
}

TYPED_TEST(FrameTest, AFrameThatEndsEarlyIsAnError) {
  for (const size_t cut : {1, 3, 4, 8}) {
    auto [left, right] = this->MakePair();
    BufferedReader input(right);
    FrameReader reader(input);
    this->SendTo(left, absl::StrCat(FrameFormat().Encode(5), "frame").substr(0, cut));
    this->EndOf(left);
    EXPECT_EQ(this->Run(NextOf(&reader)).status().code(), kOutOfRange);
    EXPECT_EQ(input.buffered().size(), cut);
  }
}

TYPED_TEST(FrameTest, AStoppedReadKeepsWhatCame) {
  auto [left, right] = this->MakePair();
  BufferedReader input(right);
  FrameReader reader(input);
  const std::string wire = absl::StrCat(FrameFormat().Encode(5), "frame");
  for (const char c : wire) {
    EXPECT_EQ(this->Run(WithTimeout(absl::Microseconds(100), NextOf(&reader))).status(), DeadlineExceededStatus());
    this->SendTo(left, absl::string_view(&c, 1));
  }
  EXPECT_THAT(this->Run(NextOf(&reader)), IsOkAndHolds("frame"));
}

TYPED_TEST(FrameTest, ACutShortWriteDoesNotTearTheFrame) {
  auto [left, right] = this->MakePair();
  BufferedWriter output(left, 1);
  const FrameFormat format = FrameFormat().set_limit(2 * this->kTooMuch);
  FrameWriter writer(output, format);
  const std::string large = Pattern(this->kTooMuch);
  EXPECT_OK(this->Run(writer.Write(large)));
  // No room: whole or not at all.
  EXPECT_EQ(this->CutShort(writer.Write("not added")), CancelledStatus());

  BufferedReader input(right);
  FrameReader reader(input, format);
  auto first = this->Start(NextOf(&reader));
  EXPECT_OK(this->Run(writer.Write("next")));
  EXPECT_OK(this->Run(output.Flush()));
  auto received = this->Wait(first);
  ASSERT_OK(received.status());
  EXPECT_TRUE(*received == large);
  EXPECT_THAT(this->Run(NextOf(&reader)), IsOkAndHolds("next"));
}

TYPED_TEST(FrameTest, WritesTooLongAFrameNeverInPart) {
  auto [left, right] = this->MakePair();
  BufferedWriter output(left);
  FrameWriter writer(output, FrameFormat().set_limit(3));
  EXPECT_EQ(this->Run(writer.Write("long")).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(writer.Append("long").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(output.pending(), 0u);
}

TYPED_TEST(FrameTest, LinesAndFramesMayBeMixed) {
  auto [left, right] = this->MakePair();
  BufferedReader input(right);
  LineReader lines(input);
  FrameReader frames(input, FrameFormat().set_prefix_bytes(1));
  this->SendTo(left,
               "header\r\n\x03"
               "abcend\n");
  EXPECT_THAT(this->Run(NextOf(&lines)), IsOkAndHolds("header"));
  EXPECT_THAT(this->Run(NextOf(&frames)), IsOkAndHolds("abc"));
  EXPECT_THAT(this->Run(NextOf(&lines)), IsOkAndHolds("end"));
}

TEST(FrameFormatTest, PrefixIsWrittenInItsOrder) {
  EXPECT_EQ(FrameFormat().Encode(0x01020304), "\x01\x02\x03\x04");
  EXPECT_EQ(FrameFormat().set_byte_order(ByteOrder::kLittleEndian).Encode(0x01020304), "\x04\x03\x02\x01");
  EXPECT_EQ(FrameFormat().Decode("\xff\x02\x03\x04"), 0xff020304u);
}

TEST(FrameFormatTest, WhatDoesNotFitThePrefixIsRefused) {
  EXPECT_OK(FrameFormat().set_prefix_bytes(1).Check(255));
  EXPECT_EQ(FrameFormat().set_prefix_bytes(1).Check(256).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_OK(FrameFormat().set_prefix_bytes(2).Check(65535));
  EXPECT_EQ(FrameFormat().set_prefix_bytes(2).Check(65536).code(), absl::StatusCode::kResourceExhausted);
}

TEST(FrameFormatDeathTest, AnOddPrefixIsABug) {
  EXPECT_DEATH(FrameFormat().set_prefix_bytes(3), "a length prefix of 3");
}

class FrameSplitTest : public SocketConformanceTest {};

TEST_F(FrameSplitTest, FramesDoNotDependOnHowTheBytesCome) {
  std::string wire;
  for (const absl::string_view frame : {"", "a", "frame", "\n\r\n"}) {
    absl::StrAppend(&wire, FrameFormat().set_prefix_bytes(2).Encode(frame.size()), frame);
  }
  for (size_t piece = 1; piece <= wire.size(); ++piece) {
    for (const size_t capacity : {1, 2, 3, 7, 100}) {
      auto [left, right] = MakePipe(capacity);
      auto writing = Start([](PipeStream* stream, std::string wire, size_t piece) -> Task<absl::Status> {
        for (absl::string_view rest = wire; !rest.empty(); rest.remove_prefix(std::min(piece, rest.size()))) {
          IoResult written = co_await stream->WriteAll(rest.substr(0, piece));
          if (!written.ok()) co_return written.status;
        }
        co_return co_await stream->ShutdownWrite();
      }(&left, wire, piece));
      BufferedReader input(right);
      FrameReader reader(input, FrameFormat().set_prefix_bytes(2));
      for (const char* frame : {"", "a", "frame", "\n\r\n", "<end>"}) {
        EXPECT_THAT(Run(NextOf(&reader)), IsOkAndHolds(frame)) << piece << " " << capacity;
      }
      EXPECT_OK(Wait(writing));
    }
  }
}

}  // namespace
}  // namespace tandem::testing
