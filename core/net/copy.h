// SPDX-License-Identifier: Apache-2.0
//
// From one stream to another: Copy() for one direction, CopyBidirectional() for a proxy.
//
//   BidirectionalCopyResult result = co_await CopyBidirectional(client, backend);
//
// What a reader hands over without a copy (TcpStream does) is written without a copy; from others it goes through one
// block of memory. At most one block is on its way in each direction, so a slow receiver slows the sender down.
//
// A proxy that has read a head through a BufferedReader goes on with what the reader has buffered when it copies from
// the reader. Duplex puts a reader and a writer together:
//
//   BufferedReader reader(client);
//   ...
//   Duplex front(reader, client);
//   BidirectionalCopyResult result = co_await CopyBidirectional(front, backend);

#ifndef TANDEM_CORE_NET_COPY_H_
#define TANDEM_CORE_NET_COPY_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/net/stream.h"

namespace tandem {

// What CopyBidirectional() copies between.
template <typename T>
concept TwoWay = AsyncReader<T> && AsyncWriter<T>;

// A reader and a writer put together: the two directions of one connection, of which one or both go through a buffer.
// Refers to both, which must outlive it.
template <AsyncReader Reader, AsyncWriter Writer>
class Duplex {
 public:
  Duplex(Reader& reader, Writer& writer) : reader_(reader), writer_(writer) {}

  // See core/net/stream.h.
  auto Read(absl::Span<char> target) { return reader_.Read(target); }
  auto Receive()
    requires BufferReader<Reader>
  {
    return reader_.Receive();
  }
  auto WriteSome(absl::string_view data) { return writer_.WriteSome(data); }
  auto WriteAll(absl::string_view data) { return writer_.WriteAll(data); }
  auto WriteRest(absl::string_view data) { return writer_.WriteRest(data); }
  void AcceptPartial() { writer_.AcceptPartial(); }
  auto Flush() { return writer_.Flush(); }
  auto ShutdownWrite() { return writer_.ShutdownWrite(); }

 private:
  Reader& reader_;
  Writer& writer_;
};

class CopyOptions {
 public:
  CopyOptions() {}

  // The size of the block between streams that do not hand over buffers. REQUIRES bytes > 0. Default 16 KiB.
  size_t block_bytes() const { return block_bytes_; }
  CopyOptions& set_block_bytes(size_t bytes) {
    block_bytes_ = bytes;
    return *this;
  }
  // How long no byte may be read or written, in either direction, before the copy gives up with kDeadlineExceeded. A
  // byte is written when the writer has taken it (a BufferedWriter: with the whole block). Default: for ever.
  absl::Duration idle_timeout() const { return idle_timeout_; }
  CopyOptions& set_idle_timeout(absl::Duration timeout) {
    idle_timeout_ = timeout;
    return *this;
  }

 private:
  size_t block_bytes_ = 16 * 1024;
  absl::Duration idle_timeout_ = absl::InfiniteDuration();
};

// How CopyBidirectional() ended, and how many bytes it has written in each direction.
struct [[nodiscard]] BidirectionalCopyResult {
  absl::Status status;
  uint64_t a_to_b = 0;
  uint64_t b_to_a = 0;

  bool ok() const { return status.ok(); }
};
inline const absl::Status& StatusOf(const BidirectionalCopyResult& result) { return result.status; }
inline void ReplaceStatus(BidirectionalCopyResult& result, absl::Status status) { result.status = std::move(status); }
inline bool HasDoneNothing(const BidirectionalCopyResult& result) { return result.a_to_b == 0 && result.b_to_a == 0; }

namespace internal {

// What the parts of a copy tell each other.
struct CopyProgress {
  uint64_t written = 0;
  Instant* last_activity = nullptr;

  void Note(uint64_t bytes) {
    written += bytes;
    *last_activity = Now();
  }
};

// Copies until the end of `from`.
template <AsyncReader From, AsyncWriter To>
Task<absl::Status> CopyUntilEnd(From* from, To* to, size_t block_bytes, CopyProgress* progress) {
  [[maybe_unused]] std::string block;
  [[maybe_unused]] Buffer buffer;
  for (;;) {
    absl::string_view data;
    if constexpr (BufferReader<From>) {
      absl::StatusOr<Buffer> received = co_await from->Receive();
      if (!received.ok()) co_return received.status();
      buffer = *std::move(received);
      data = buffer.view();
    } else {
      block.resize(block_bytes);
      absl::StatusOr<size_t> count = co_await from->Read(absl::MakeSpan(block));
      if (!count.ok()) co_return count.status();
      data = absl::string_view(block).substr(0, *count);
    }
    if (data.empty()) co_return absl::OkStatus();
    progress->Note(0);
    // In pieces, so that each that goes is noted.
    while (!data.empty()) {
      absl::StatusOr<size_t> count = co_await to->WriteSome(data);
      if (!count.ok()) co_return count.status();
      progress->Note(*count);
      data.remove_prefix(*count);
    }
    buffer.Reset();
    absl::Status flushed = co_await to->Flush();
    if (!flushed.ok()) co_return flushed;
  }
}

// Fails when nothing has happened for `timeout`.
inline Task<absl::Status> WatchActivity(const Instant* last_activity, absl::Duration timeout) {
  for (;;) {
    const Instant idle_at = *last_activity + timeout;
    if (idle_at <= Now()) co_return DeadlineExceededStatus();
    absl::Status slept = co_await SleepUntil(idle_at);
    if (!slept.ok()) co_return slept;
  }
}

template <AsyncReader From, AsyncWriter To>
Task<IoResult> CopyOneWay(From* from, To* to, CopyOptions options) {
  Instant last_activity = Now();
  CopyProgress progress;
  progress.last_activity = &last_activity;
  absl::Status status;
  if (options.idle_timeout() == absl::InfiniteDuration()) {
    status = co_await CopyUntilEnd(from, to, options.block_bytes(), &progress);
  } else {
    auto [copied, idle] = co_await WhenAny(CopyUntilEnd(from, to, options.block_bytes(), &progress),
                                           WatchActivity(&last_activity, options.idle_timeout()));
    status = copied.has_value() ? *copied : idle.value_or(CancelledStatus());
  }
  co_return IoResult{std::move(status), static_cast<size_t>(progress.written)};
}

// One direction, and the end of it: the other side is told. When it cannot be told because it is gone, the other
// direction finds that out if it matters. (Without an errno it is not gone, but poisoned: it will never be told.)
template <AsyncReader From, AsyncWriter To>
Task<absl::Status> CopyAndShutDown(From* from, To* to, size_t block_bytes, CopyProgress* progress) {
  absl::Status status = co_await CopyUntilEnd(from, to, block_bytes, progress);
  if (!status.ok()) co_return status;
  status = co_await to->ShutdownWrite();
  const bool gone = absl::IsUnavailable(status) || (absl::IsFailedPrecondition(status) && ErrnoOf(status) != 0);
  if (gone) co_return absl::OkStatus();
  co_return status;
}

// Both directions; the first error ends both.
template <TwoWay A, TwoWay B>
Task<absl::Status> SpawnBothWays(TaskGroup* group, A* a, B* b, size_t block_bytes, CopyProgress* a_to_b,
                                 CopyProgress* b_to_a) {
  group->Spawn(&CopyAndShutDown<A, B>, a, b, block_bytes, a_to_b);
  group->Spawn(&CopyAndShutDown<B, A>, b, a, block_bytes, b_to_a);
  co_return absl::OkStatus();
}
template <TwoWay A, TwoWay B>
Task<absl::Status> CopyBothWays(A* a, B* b, size_t block_bytes, CopyProgress* a_to_b, CopyProgress* b_to_a) {
  const auto body = [=](TaskGroup& group) { return SpawnBothWays(&group, a, b, block_bytes, a_to_b, b_to_a); };
  return WithTaskGroup(body);
}

template <TwoWay A, TwoWay B>
Task<BidirectionalCopyResult> CopyBetween(A* a, B* b, CopyOptions options) {
  Instant last_activity = Now();
  CopyProgress a_to_b;
  CopyProgress b_to_a;
  a_to_b.last_activity = b_to_a.last_activity = &last_activity;
  BidirectionalCopyResult result;
  if (options.idle_timeout() == absl::InfiniteDuration()) {
    result.status = co_await CopyBothWays(a, b, options.block_bytes(), &a_to_b, &b_to_a);
  } else {
    auto [copied, idle] = co_await WhenAny(CopyBothWays(a, b, options.block_bytes(), &a_to_b, &b_to_a),
                                           WatchActivity(&last_activity, options.idle_timeout()));
    result.status = copied.has_value() ? *copied : idle.value_or(CancelledStatus());
  }
  result.a_to_b = a_to_b.written;
  result.b_to_a = b_to_a.written;
  co_return result;
}

}  // namespace internal

// Copies from `from` to `to` until the end of `from`. Ends neither of them. Both must stay valid until the call has
// returned.
//
// `bytes` is how many were written. Not lossless: a call that is cut short may have read up to a block more than that,
// which is lost, and so cannot be made again. `to` can still be written to, wherever in the input it was cut.
//
// Errors: those of Read(), Write() and Flush(), and
//   kDeadlineExceeded  Also when the idle timeout of `options` passed.
template <AsyncReader From, AsyncWriter To>
Task<IoResult> Copy(From& from, To& to, const CopyOptions& options = CopyOptions()) {
  return internal::CopyOneWay(&from, &to, options);
}

// Copies from `a` to `b` and from `b` to `a` until both have ended: the end of one's input becomes ShutdownWrite() on
// the other, and the other direction goes on. The first error ends both directions; it is for the caller to close or
// abort the streams then. Both must stay valid until the call has returned. Not lossless, as Copy().
//
// Errors: those of Read(), Write() and Flush(), and
//   kDeadlineExceeded    Also when the idle timeout of `options` passed.
//   kFailedPrecondition  Without an errno, also when the end could not be passed on because an earlier WriteAll() on
//   the
//                        other stream was cut short.
template <TwoWay A, TwoWay B>
Task<BidirectionalCopyResult> CopyBidirectional(A& a, B& b, const CopyOptions& options = CopyOptions()) {
  return internal::CopyBetween(&a, &b, options);
}

}  // namespace tandem

#endif  // TANDEM_CORE_NET_COPY_H_
