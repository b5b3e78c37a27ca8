// SPDX-License-Identifier: Apache-2.0
//
// Buffered reading and writing over any stream: records, and many small writes in one.
//
//   BufferedReader reader(stream);                  // As a member: BufferedReader<TcpStream> reader_;
//   absl::StatusOr<absl::string_view> line = co_await reader.ReadUntil("\n", 1000);
//
// The stream must outlive the reader or writer and stay in place. All calls are lossless: what a stopped call had
// already received, or not yet sent, stays in the buffer for the next call.

#ifndef TANDEM_CORE_NET_BUFFERED_H_
#define TANDEM_CORE_NET_BUFFERED_H_

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/async/combinators.h"
#include "core/async/task.h"
#include "core/base/result.h"
#include "core/io/buffer.h"
#include "core/net/stream.h"

namespace tandem {

namespace internal {

// Bytes that were received and not consumed.
class InputBuffer {
 public:
  absl::string_view view() const { return absl::string_view(memory_).substr(begin_, end_ - begin_); }
  // REQUIRES count <= view().size() (CHECKed). The bytes stay in place until the next Room() or Append().
  absl::string_view Take(size_t count);
  // Memory for at least `count` bytes behind view(); Commit() says how many were put there.
  absl::Span<char> Room(size_t count);
  void Commit(size_t count) { end_ += count; }
  void Append(absl::string_view data);

 private:
  std::string memory_;  // Of which [begin_, end_) is the view.
  size_t begin_ = 0;
  size_t end_ = 0;
};

absl::Status NoDelimiterError(size_t limit);
absl::Status EndedWithoutDelimiterError(size_t bytes);
absl::Status EndedEarlyError(size_t bytes, size_t wanted);

}  // namespace internal

// Itself an AsyncReader.
template <AsyncReader Source>
class BufferedReader {
 public:
  explicit BufferedReader(Source& stream) : stream_(stream) {}
  BufferedReader(const BufferedReader&) = delete;
  BufferedReader& operator=(const BufferedReader&) = delete;

  // What has been received and not consumed. Valid until the next call.
  absl::string_view buffered() const { return input_.view(); }
  // Removes the first `count` bytes of buffered(); they stay where they are until the next call. REQUIRES
  // count <= buffered().size().
  void Consume(size_t count) { input_.Take(count); }

  // Receives more bytes into buffered() and returns how many; 0 at the end of the stream. Errors: those of the stream's
  // Read().
  Task<absl::StatusOr<size_t>> Fill();

  // Reads between 1 and `target.size()` bytes; 0 at the end of the stream. Errors: those of the stream's Read().
  Task<absl::StatusOr<size_t>> Read(absl::Span<char> target);

  // Reads up to and including the first `delimiter` and returns it all, valid until the next call. At most `limit`
  // bytes. At the end of the stream without a delimiter nothing is consumed.
  //
  // Errors: those of the stream's Read(), and
  //   kOutOfRange         The stream ended first; buffered() has the unfinished rest.
  //   kResourceExhausted  No delimiter within `limit` bytes; buffered() has them.
  //   kInvalidArgument    `delimiter` is empty.
  Task<absl::StatusOr<absl::string_view>> ReadUntil(std::string delimiter, size_t limit);

  // Reads exactly `count` bytes, valid until the next call. Errors: those of the stream's Read(), and
  //   kOutOfRange         The stream ended first; buffered() has the unfinished rest.
  Task<absl::StatusOr<absl::string_view>> ReadExactly(size_t count);

 private:
  // What a stream that cannot hand over its own buffers is asked for at once.
  static constexpr size_t kReadBytes = 16 * 1024;

  Source& stream_;
  internal::InputBuffer input_;
};

template <AsyncWriter Sink>
class BufferedWriter {
 public:
  static constexpr size_t kDefaultCapacity = 16 * 1024;

  // Write() flushes when more than `capacity` bytes wait.
  explicit BufferedWriter(Sink& stream, size_t capacity = kDefaultCapacity) : stream_(stream), capacity_(capacity) {}
  BufferedWriter(const BufferedWriter&) = delete;
  BufferedWriter& operator=(const BufferedWriter&) = delete;
  // Does not flush: bytes that wait are dropped.
  ~BufferedWriter() = default;

  // Adds `data` to the buffer without sending.
  void Append(absl::string_view data) { data_.append(data.data(), data.size()); }
  // Bytes that wait to be sent.
  size_t pending() const { return data_.size(); }
  // True when more than the capacity waits: time to Flush().
  bool full() const { return data_.size() > capacity_; }

  // Appends, and flushes when more than the capacity waits. Errors: those of Flush(); the bytes were appended then.
  Task<absl::Status> Write(std::string data);
  // Sends everything that waits. A call that is stopped keeps exactly what was not sent, and the next one goes on from
  // there. Errors: those of the stream's WriteAll(). One Flush() at a time.
  Task<absl::Status> Flush();

 private:
  Sink& stream_;
  const size_t capacity_;
  std::string data_;
};

// ---------------------------------------------------------------------------------------------------------------------

template <AsyncReader Source>
Task<absl::StatusOr<size_t>> BufferedReader<Source>::Fill() {
  if constexpr (BufferReader<Source>) {
    absl::StatusOr<Buffer> received = co_await stream_.Receive();
    if (!received.ok()) co_return received.status();
    input_.Append(received->view());
    co_return received->size();
  } else {
    absl::StatusOr<size_t> count = co_await stream_.Read(input_.Room(kReadBytes));
    if (count.ok()) input_.Commit(*count);
    co_return count;
  }
}

template <AsyncReader Source>
Task<absl::StatusOr<size_t>> BufferedReader<Source>::Read(absl::Span<char> target) {
  if (absl::Status status = co_await Checkpoint(); !status.ok()) co_return status;
  if (buffered().empty() || target.empty()) {
    absl::StatusOr<size_t> read = co_await stream_.Read(target);
    co_return read;
  }
  const absl::string_view taken = input_.Take(std::min(target.size(), buffered().size()));
  std::memcpy(target.data(), taken.data(), taken.size());
  co_return taken.size();
}

template <AsyncReader Source>
Task<absl::StatusOr<absl::string_view>> BufferedReader<Source>::ReadUntil(std::string delimiter, size_t limit) {
  if (delimiter.empty()) co_return absl::InvalidArgumentError("read until: the delimiter is empty");
  if (absl::Status status = co_await Checkpoint(); !status.ok()) co_return status;
  size_t searched = 0;  // No delimiter begins before this.
  for (;;) {
    const size_t found = buffered().find(delimiter, searched);
    if (found != absl::string_view::npos && found + delimiter.size() <= limit) {
      co_return input_.Take(found + delimiter.size());
    }
    if (found != absl::string_view::npos || buffered().size() >= limit) co_return internal::NoDelimiterError(limit);
    searched = buffered().size() - std::min(buffered().size(), delimiter.size() - 1);
    absl::StatusOr<size_t> filled = co_await Fill();
    if (!filled.ok()) co_return filled.status();
    if (*filled == 0) co_return internal::EndedWithoutDelimiterError(buffered().size());
  }
}

template <AsyncReader Source>
Task<absl::StatusOr<absl::string_view>> BufferedReader<Source>::ReadExactly(size_t count) {
  if (absl::Status status = co_await Checkpoint(); !status.ok()) co_return status;
  while (buffered().size() < count) {
    absl::StatusOr<size_t> filled = co_await Fill();
    if (!filled.ok()) co_return filled.status();
    if (*filled == 0) co_return internal::EndedEarlyError(buffered().size(), count);
  }
  co_return input_.Take(count);
}

template <AsyncWriter Sink>
Task<absl::Status> BufferedWriter<Sink>::Write(std::string data) {
  Append(data);
  if (!full()) co_return absl::OkStatus();
  absl::Status status = co_await Flush();
  co_return status;
}

template <AsyncWriter Sink>
Task<absl::Status> BufferedWriter<Sink>::Flush() {
  if (!data_.empty()) {
    // What is appended meanwhile must not move the bytes that are being sent.
    std::string sending = std::exchange(data_, std::string());
    IoResult result = co_await stream_.WriteAll(sending);
    if (result.bytes < sending.size()) {
      data_.insert(0, sending, result.bytes, std::string::npos);
      // The rest is known and goes out first next time, so the message is not torn.
      if (result.bytes > 0) stream_.AcceptPartial();
    } else if (data_.empty()) {
      sending.clear();
      data_ = std::move(sending);  // Keeps the memory.
    }
    if (!result.ok()) co_return result.status;
  }
  absl::Status status = co_await stream_.Flush();
  co_return status;
}

}  // namespace tandem

#endif  // TANDEM_CORE_NET_BUFFERED_H_
