// SPDX-License-Identifier: Apache-2.0
//
// LingeringClose(): how a server ends a connection whose peer may still be sending.
//
// A close with input unread is a reset (RFC 1122 section 4.2.2.13), and a reset throws away what the peer has not read
// yet: the last replies, the error that says why. So the server ends its sending half first, then drops what still
// comes until the peer has seen the end and ends too, within limits, and only then closes (RFC 9112 section 9.6; nginx
// calls it a lingering close).
//
//   IoResult sent = co_await stream.WriteAll("-ERR too large\r\n");
//   absl::Status closed = co_await LingeringClose(stream);

#ifndef TANDEM_CORE_NET_LINGERING_CLOSE_H_
#define TANDEM_CORE_NET_LINGERING_CLOSE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/net/stream.h"

namespace tandem {

class LingerOptions {
 public:
  LingerOptions() {}

  // How long the whole close may take, the sending of what was written before included. Default 30 s.
  absl::Duration time_limit() const { return time_limit_; }
  LingerOptions& set_time_limit(absl::Duration limit) {
    time_limit_ = limit;
    return *this;
  }
  // How long nothing may come before the peer counts as one that has nothing more to send. Default 5 s.
  absl::Duration idle_limit() const { return idle_limit_; }
  LingerOptions& set_idle_limit(absl::Duration limit) {
    idle_limit_ = limit;
    return *this;
  }
  // How many bytes are dropped at most, give or take one read. Default 64 MiB: more than is in flight on a fast
  // network.
  uint64_t byte_limit() const { return byte_limit_; }
  LingerOptions& set_byte_limit(uint64_t bytes) {
    byte_limit_ = bytes;
    return *this;
  }

 private:
  absl::Duration time_limit_ = absl::Seconds(30);
  absl::Duration idle_limit_ = absl::Seconds(5);
  uint64_t byte_limit_ = uint64_t{64} << 20;
};

namespace internal {

template <AsyncStream S>
Task<absl::Status> ShutDownAndDropInput(S* stream, LingerOptions options) {
  absl::Status ended = co_await stream->ShutdownWrite();
  if (!ended.ok()) co_return ended;
  [[maybe_unused]] std::string block;
  uint64_t dropped = 0;
  while (dropped <= options.byte_limit()) {
    size_t count = 0;
    if constexpr (BufferReader<S>) {
      const absl::StatusOr<Buffer> received = co_await WithTimeout(options.idle_limit(), stream->Receive());
      if (!received.ok()) co_return received.status();
      count = received->size();
    } else {
      block.resize(size_t{16} << 10);
      const absl::StatusOr<size_t> read =
          co_await WithTimeout(options.idle_limit(), stream->Read(absl::MakeSpan(block)));
      if (!read.ok()) co_return read.status();
      count = *read;
    }
    if (count == 0) co_return absl::OkStatus();
    dropped += count;
  }
  co_return absl::ResourceExhaustedError(
      absl::StrCat("lingering close: the peer sent more than ", options.byte_limit(), " bytes"));
}

template <AsyncStream S>
Task<absl::Status> CloseLingering(S* stream, LingerOptions options) {
  absl::Status status = co_await WithDeadlineAt(Now() + options.time_limit(), ShutDownAndDropInput(stream, options));
  absl::Status closed = co_await stream->Close();
  closed.IgnoreError();  // Always OK.
  co_return status;
}

}  // namespace internal

// Sends all that was written, ends the sending half, reads and drops what the peer still sends until it ends, too, and
// closes `stream`, which must stay valid until the call has returned. Whatever the result, `stream` is closed then. A
// cancelled call closes at once, which resets the peer when input is unread; a server that was told to stop puts the
// call under a Shield(). REQUIRES that no call that reads is pending (CHECKed).
//
// Errors:
//   kDeadlineExceeded    The peer did not end within the time limit, or sent nothing for the idle limit. What was
//                        written is still sent by the kernel; but a peer that goes on sending is reset.
//   kResourceExhausted   The peer sent more than the byte limit, and is reset.
//   kCancelled           The enclosing scope was cancelled.
//   kUnavailable         The connection is dead: ECONNRESET, EPIPE, ETIMEDOUT.
//   kFailedPrecondition  EBADF: Close() was called. Without an errno: an earlier WriteAll was cut short, so that there
//   is
//                        no whole message to wait for; AcceptPartial() before allows it.
template <AsyncStream S>
Task<absl::Status> LingeringClose(S& stream, const LingerOptions& options = LingerOptions()) {
  return internal::CloseLingering(&stream, options);
}

}  // namespace tandem

#endif  // TANDEM_CORE_NET_LINGERING_CLOSE_H_
