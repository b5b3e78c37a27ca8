// SPDX-License-Identifier: Apache-2.0
//
// Buffered reading and writing over a TcpStream: lines, records, and many small writes in one.
//
// The stream must outlive the reader or writer and stay in place. All calls are lossless: what a stopped call had
// already received, or not yet sent, stays in the buffer for the next call.

#ifndef TANDEM_CORE_NET_BUFFERED_H_
#define TANDEM_CORE_NET_BUFFERED_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/async/task.h"
#include "core/net/tcp_stream.h"

namespace tandem {

class BufferedReader {
 public:
  explicit BufferedReader(TcpStream& stream) : stream_(stream) {}
  BufferedReader(const BufferedReader&) = delete;
  BufferedReader& operator=(const BufferedReader&) = delete;

  // What has been received and not consumed. Valid until the next call.
  absl::string_view buffered() const { return absl::string_view(data_).substr(begin_); }
  // Removes the first `count` bytes of buffered(). REQUIRES count <= buffered().size().
  void Consume(size_t count);

  // Receives more bytes into buffered() and returns how many; 0 at the end of the stream. Errors: those of
  // TcpStream::Read().
  Task<absl::StatusOr<size_t>> Fill();

  // Reads between 1 and `target.size()` bytes; 0 at the end of the stream. Errors: those of TcpStream::Read().
  Task<absl::StatusOr<size_t>> Read(absl::Span<char> target);

  // Reads up to and including the first `delimiter` and returns it all, valid until the next call. At most `limit`
  // bytes. At the end of the stream without a delimiter nothing is consumed.
  //
  // Errors: those of TcpStream::Read(), and
  //   kOutOfRange         The stream ended first; buffered() has the unfinished rest.
  //   kResourceExhausted  No delimiter within `limit` bytes; buffered() has them.
  //   kInvalidArgument    `delimiter` is empty.
  Task<absl::StatusOr<absl::string_view>> ReadUntil(std::string delimiter, size_t limit);

  // Reads exactly `count` bytes, valid until the next call. Errors: those of TcpStream::Read(), and
  //   kOutOfRange         The stream ended first; buffered() has the unfinished rest.
  Task<absl::StatusOr<absl::string_view>> ReadExactly(size_t count);

 private:
  // Returns the first `count` bytes and consumes them; they stay in place until the next call.
  absl::string_view Take(size_t count);
  void Compact();

  TcpStream& stream_;
  std::string data_;
  size_t begin_ = 0;
};

class BufferedWriter {
 public:
  static constexpr size_t kDefaultCapacity = 16 * 1024;

  // Write() flushes when more than `capacity` bytes wait.
  explicit BufferedWriter(TcpStream& stream, size_t capacity = kDefaultCapacity)
      : stream_(stream), capacity_(capacity) {}
  BufferedWriter(const BufferedWriter&) = delete;
  BufferedWriter& operator=(const BufferedWriter&) = delete;
  // Does not flush: bytes that wait are dropped.
  ~BufferedWriter() = default;

  // Adds `data` to the buffer without sending.
  void Append(absl::string_view data) { data_.append(data.data(), data.size()); }
  // Bytes that wait to be sent.
  size_t pending() const { return data_.size(); }

  // Appends, and flushes when more than the capacity waits. Errors: those of Flush(); the bytes were appended then.
  Task<absl::Status> Write(std::string data);
  // Sends everything that waits. A call that is stopped keeps exactly what was not sent, and the next one goes on from
  // there. Errors: those of TcpStream::WriteAll(). One Flush() at a time.
  Task<absl::Status> Flush();

 private:
  TcpStream& stream_;
  const size_t capacity_;
  std::string data_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_BUFFERED_H_
