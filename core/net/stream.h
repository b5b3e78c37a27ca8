// SPDX-License-Identifier: Apache-2.0
//
// What a byte stream is: the concepts AsyncReader, AsyncWriter and AsyncStream, and Stream, which holds any of them.
//
// Write code for any stream as a template over a concept; it costs nothing. Where the type has to be one (a container
// of connections, a library that is compiled once), use Stream.
//
// Every stream keeps the same promises; tcp and pipe alike pass testing/conformance/stream_*_test.cc:
//
//   Read(span)       Waits for between 1 and span.size() bytes and returns how many; 0 at the end of the stream.
//                    Lossless: a call that is stopped has consumed nothing. One reading call at a time (CHECKed).
//                    kInvalidArgument when the span is empty.
//   WriteSome(data)  Writes at least one byte and returns how many. Stopped means that nothing was written.
//   WriteAll(data)   Writes all; IoResult says how many bytes went when it was cut short. When some did, the writing
//                    half is poisoned: later writes fail with kFailedPrecondition, until...
//   WriteRest(data)  ...has sent the rest of the WriteAll (what was `data` there, without the bytes that went); or...
//   AcceptPartial()  ...says that the peer can make sense of what was sent.
//   Flush()          Sends what the stream holds back. Most hold nothing back.
//   ShutdownWrite()  Ends the writing half, after the writes before it: the peer reads the end of the stream.
//   Close()          Ends pending calls with kFailedPrecondition (EBADF), and the stream. The peer still reads what was
//                    written and then the end; or a reset, when input was left unread. Cannot be cancelled. Idempotent.
//   Abort()          Closes with a reset at once: the peer's calls fail with kUnavailable (ECONNRESET or EPIPE).
//
// All waiting calls fail with kCancelled or kDeadlineExceeded when they are stopped, with kUnavailable when the
// connection is dead, and with kFailedPrecondition (EBADF) after Close(). Destroying a stream closes it.

#ifndef TANDEM_CORE_NET_STREAM_H_
#define TANDEM_CORE_NET_STREAM_H_

#include <concepts>
#include <cstddef>
#include <memory>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/async/cancel.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/net/handle.h"

namespace tandem {

// `co_await` of an Awaitable, a task or a leaf operation, gives a Result.
template <typename Awaitable, typename Result>
concept AwaitsTo =
    std::same_as<Awaitable, Task<Result>> || (std::derived_from<Awaitable, Leaf> && requires(Awaitable& operation) {
      { operation.TakeResult() } -> std::same_as<Result>;
    });

template <typename T>
concept AsyncReader = requires(T& stream, absl::Span<char> target) {
  { stream.Read(target) } -> AwaitsTo<absl::StatusOr<size_t>>;
};

template <typename T>
concept AsyncWriter = requires(T& stream, absl::string_view data) {
  { stream.WriteSome(data) } -> AwaitsTo<absl::StatusOr<size_t>>;
  { stream.WriteAll(data) } -> AwaitsTo<IoResult>;
  { stream.WriteRest(data) } -> AwaitsTo<IoResult>;
  stream.AcceptPartial();
  { stream.Flush() } -> AwaitsTo<absl::Status>;
  { stream.ShutdownWrite() } -> AwaitsTo<absl::Status>;
};

template <typename T>
concept AsyncStream = AsyncReader<T> && AsyncWriter<T> && std::movable<T> && requires(T& stream) {
  { stream.Close() } -> AwaitsTo<absl::Status>;
  stream.Abort();
};

// A reader that hands over what it received without a copy; an empty buffer is the end of the stream.
template <typename T>
concept BufferReader = AsyncReader<T> && requires(T& stream) {
  { stream.Receive() } -> AwaitsTo<absl::StatusOr<Buffer>>;
};

// Owns a stream of any type, itself an AsyncStream. A handle: move it. Each waiting call costs a virtual call and a
// coroutine frame (from the shard's pool) more than the stream's own, and gives a Task: a deadline on it is
// `co_await WithTimeout(duration, stream.Read(span))`.
class Stream {
 public:
  // No stream: only assignment, destruction and valid() make sense, and any other call is a bug (CHECKed); so after a
  // move from here.
  Stream() = default;
  template <typename S>
    requires(!std::same_as<S, Stream>) && AsyncStream<S>
  explicit Stream(S stream) : holder_(std::make_unique<Holder<S>>(std::move(stream))) {}
  Stream(Stream&&) = default;
  Stream& operator=(Stream&&) = default;
  // Does what the destructor of the stream does.
  ~Stream() = default;

  bool valid() const { return holder_ != nullptr; }

  Task<absl::StatusOr<size_t>> Read(absl::Span<char> target ABSL_ATTRIBUTE_LIFETIME_BOUND) {
    return holder().Read(target);
  }
  Task<absl::StatusOr<size_t>> WriteSome(absl::string_view data ABSL_ATTRIBUTE_LIFETIME_BOUND) {
    return holder().WriteSome(data);
  }
  Task<IoResult> WriteAll(absl::string_view data ABSL_ATTRIBUTE_LIFETIME_BOUND) { return holder().WriteAll(data); }
  Task<IoResult> WriteRest(absl::string_view data ABSL_ATTRIBUTE_LIFETIME_BOUND) { return holder().WriteRest(data); }
  void AcceptPartial() { holder().AcceptPartial(); }
  Task<absl::Status> Flush() { return holder().Flush(); }
  Task<absl::Status> ShutdownWrite() { return holder().ShutdownWrite(); }
  Task<absl::Status> Close() { return holder().Close(); }
  void Abort() { holder().Abort(); }

 private:
  class AnyHolder {
   public:
    virtual ~AnyHolder() = default;
    virtual Task<absl::StatusOr<size_t>> Read(absl::Span<char> target) = 0;
    virtual Task<absl::StatusOr<size_t>> WriteSome(absl::string_view data) = 0;
    virtual Task<IoResult> WriteAll(absl::string_view data) = 0;
    virtual Task<IoResult> WriteRest(absl::string_view data) = 0;
    virtual void AcceptPartial() = 0;
    virtual Task<absl::Status> Flush() = 0;
    virtual Task<absl::Status> ShutdownWrite() = 0;
    virtual Task<absl::Status> Close() = 0;
    virtual void Abort() = 0;
  };

  // The coroutines refer to the holder, which stays where it is when the Stream moves.
  template <typename S>
  class Holder final : public AnyHolder {
   public:
    explicit Holder(S stream) : stream_(std::move(stream)) {}

    Task<absl::StatusOr<size_t>> Read(absl::Span<char> target) override { co_return co_await stream_.Read(target); }
    Task<absl::StatusOr<size_t>> WriteSome(absl::string_view data) override {
      co_return co_await stream_.WriteSome(data);
    }
    Task<IoResult> WriteAll(absl::string_view data) override { co_return co_await stream_.WriteAll(data); }
    Task<IoResult> WriteRest(absl::string_view data) override { co_return co_await stream_.WriteRest(data); }
    void AcceptPartial() override { stream_.AcceptPartial(); }
    Task<absl::Status> Flush() override { co_return co_await stream_.Flush(); }
    Task<absl::Status> ShutdownWrite() override { co_return co_await stream_.ShutdownWrite(); }
    Task<absl::Status> Close() override { co_return co_await stream_.Close(); }
    void Abort() override { stream_.Abort(); }

   private:
    S stream_;
  };

  AnyHolder& holder() const {
    if (ABSL_PREDICT_FALSE(!valid())) internal::DieOfEmptyHandle("Stream");
    return *holder_;
  }

  std::unique_ptr<AnyHolder> holder_;
};

static_assert(AsyncStream<Stream>);

}  // namespace tandem

#endif  // TANDEM_CORE_NET_STREAM_H_
