// SPDX-License-Identifier: Apache-2.0
//
// Messages in a byte stream: lines, and frames with their length in front.
//
//   BufferedReader reader(stream);
//   LineReader lines(reader);
//   for (;;) {
//     absl::StatusOr<std::optional<absl::string_view>> line = co_await lines.Next();
//     if (!line.ok()) co_return line.status();
//     if (!line->has_value()) break;  // The end of the stream.
//     ...
//   }
//
// They stand on a BufferedReader or BufferedWriter, which must outlive them, and keep nothing themselves: calls of
// several framings may be mixed, as in protocols that send a header of lines and then binary data. All calls are
// lossless: a call that is stopped leaves what came of a message in the reader's buffer, and what was not sent in the
// writer's, so no message is torn. Any number of coroutines may write frames through one writer.

#ifndef TANDEM_CORE_NET_FRAMING_H_
#define TANDEM_CORE_NET_FRAMING_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/net/buffered.h"
#include "tandem/core/net/stream.h"

namespace tandem {

template <AsyncReader Source>
class LineReader {
 public:
  static constexpr size_t kDefaultLimit = 64 * 1024;

  // Lines have at most `limit` bytes, not counting their end.
  explicit LineReader(BufferedReader<Source>& reader, size_t limit = kDefaultLimit) : reader_(reader), limit_(limit) {}

  // Reads a line and returns it without its end, LF or CRLF; valid until the next call of the reader. What stands
  // between the last line end and the end of the stream is a line, too. Nothing at the end of the stream.
  //
  // Errors: those of the stream's Read(), and
  //   kResourceExhausted  The line is longer than the limit. It is not consumed.
  Task<absl::StatusOr<std::optional<absl::string_view>>> Next();

 private:
  BufferedReader<Source>& reader_;
  const size_t limit_;
};

enum class ByteOrder : uint8_t { kBigEndian, kLittleEndian };

// How the length of a frame is written in front of it.
class FrameFormat {
 public:
  static constexpr size_t kDefaultLimit = 16 * 1024 * 1024;

  FrameFormat() {}

  // The size of the prefix: 1, 2, 4 or 8 (CHECKed). Default 4. The length does not count the prefix.
  size_t prefix_bytes() const { return prefix_bytes_; }
  FrameFormat& set_prefix_bytes(size_t bytes);
  ByteOrder byte_order() const { return byte_order_; }
  FrameFormat& set_byte_order(ByteOrder order) {
    byte_order_ = order;
    return *this;
  }
  // The longest frame in bytes. Longer ones are refused, whoever sends them.
  size_t limit() const { return limit_; }
  FrameFormat& set_limit(size_t bytes) {
    limit_ = bytes;
    return *this;
  }

  // The prefix of a frame of `length` bytes. REQUIRES that Check(length) is OK.
  std::string Encode(uint64_t length) const;
  // The length in `prefix`, which has prefix_bytes().
  uint64_t Decode(absl::string_view prefix) const;
  // kResourceExhausted when `length` is above the limit or does not fit the prefix.
  absl::Status Check(uint64_t length) const;

 private:
  size_t prefix_bytes_ = 4;
  ByteOrder byte_order_ = ByteOrder::kBigEndian;
  size_t limit_ = kDefaultLimit;
};

template <AsyncReader Source>
class FrameReader {
 public:
  explicit FrameReader(BufferedReader<Source>& reader, const FrameFormat& format = FrameFormat())
      : reader_(reader), format_(format) {}

  // Reads a frame and returns it without its prefix; valid until the next call of the reader. Nothing when the stream
  // ends between two frames.
  //
  // Errors: those of the stream's Read(), and
  //   kResourceExhausted  The frame is longer than the limit. Nothing is consumed, and no memory was set aside.
  //   kOutOfRange         The stream ended within a frame; the reader's buffer has what came of it.
  Task<absl::StatusOr<std::optional<absl::string_view>>> Next();

 private:
  BufferedReader<Source>& reader_;
  const FrameFormat format_;
};

template <AsyncWriter Sink>
class FrameWriter {
 public:
  explicit FrameWriter(BufferedWriter<Sink>& writer, const FrameFormat& format = FrameFormat())
      : writer_(writer), format_(format) {}

  // Adds a frame to the writer's buffer without sending; the writer's Flush() does that.
  //
  // Errors:
  //   kResourceExhausted  The frame is longer than the limit, or its length does not fit the prefix. Nothing was added.
  absl::Status Append(absl::string_view frame);

  // Adds a frame as WriteAll() of the writer does: when there is room, and whole or not at all. Errors: those of
  // Append() and of the writer's WriteAll(); nothing was added then.
  Task<absl::Status> Write(absl::string_view frame);

 private:
  BufferedWriter<Sink>& writer_;
  const FrameFormat format_;
};

// ---------------------------------------------------------------------------------------------------------------------

namespace internal {

absl::Status LineTooLongError(size_t limit);
absl::Status EndedWithinFrameError(size_t bytes);

}  // namespace internal

template <AsyncReader Source>
Task<absl::StatusOr<std::optional<absl::string_view>>> LineReader<Source>::Next() {
  using Line = std::optional<absl::string_view>;
  reader_.EndViews();
  if (absl::Status status = co_await Checkpoint(); !status.ok()) co_return status;
  size_t searched = 0;  // No LF stands before this.
  bool ended = false;
  for (;;) {
    const absl::string_view input = reader_.buffered();
    const size_t found = input.find('\n', searched);
    if (found != absl::string_view::npos || (ended && !input.empty())) {
      absl::string_view line = input.substr(0, found);
      const size_t consumed = std::min(line.size() + 1, input.size());
      if (found != absl::string_view::npos && line.ends_with('\r')) line.remove_suffix(1);
      if (line.size() > limit_) co_return internal::LineTooLongError(limit_);
      reader_.Consume(consumed);
      co_return Line(line);
    }
    if (ended) co_return Line();
    // A CR may belong to the end of the line.
    if (input.size() > limit_ && input.size() - limit_ > 1) co_return internal::LineTooLongError(limit_);
    searched = input.size();
    absl::StatusOr<size_t> filled = co_await reader_.Fill();
    if (!filled.ok()) co_return filled.status();
    ended = *filled == 0;
  }
}

template <AsyncReader Source>
Task<absl::StatusOr<std::optional<absl::string_view>>> FrameReader<Source>::Next() {
  using Frame = std::optional<absl::string_view>;
  reader_.EndViews();
  if (absl::Status status = co_await Checkpoint(); !status.ok()) co_return status;
  const size_t prefix = format_.prefix_bytes();
  for (;;) {
    const absl::string_view input = reader_.buffered();
    if (input.size() >= prefix) {
      const uint64_t length = format_.Decode(input.substr(0, prefix));
      if (absl::Status status = format_.Check(length); !status.ok()) co_return status;
      if (input.size() - prefix >= length) {
        reader_.Consume(prefix + length);
        co_return Frame(input.substr(prefix, length));
      }
    }
    absl::StatusOr<size_t> filled = co_await reader_.Fill();
    if (!filled.ok()) co_return filled.status();
    if (*filled > 0) continue;
    if (reader_.buffered().empty()) co_return Frame();
    co_return internal::EndedWithinFrameError(reader_.buffered().size());
  }
}

template <AsyncWriter Sink>
absl::Status FrameWriter<Sink>::Append(absl::string_view frame) {
  if (absl::Status status = format_.Check(frame.size()); !status.ok()) return status;
  writer_.Append(format_.Encode(frame.size()));
  writer_.Append(frame);
  return absl::OkStatus();
}

template <AsyncWriter Sink>
Task<absl::Status> FrameWriter<Sink>::Write(absl::string_view frame) {
  if (absl::Status status = format_.Check(frame.size()); !status.ok()) co_return status;
  const std::string framed = absl::StrCat(format_.Encode(frame.size()), frame);
  IoResult written = co_await writer_.WriteAll(framed);
  co_return std::move(written.status);
}

}  // namespace tandem

#endif  // TANDEM_CORE_NET_FRAMING_H_
