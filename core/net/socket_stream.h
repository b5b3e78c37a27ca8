// SPDX-License-Identifier: Apache-2.0
//
// SocketStream: what connected byte streams of sockets have in common, TCP or Unix.
//
// A handle: move it into whatever object owns the connection. The calls return operations that are awaited where they
// are made, `co_await stream.Read(span)`, and that can be given a deadline, `co_await stream.Read(span).By(instant)`.
// A call that is cancelled or times out loses nothing: bytes that arrived wait for the next one.
//
// One coroutine may read while others write; writes of several coroutines are sent one after the other, in the order
// in which they were begun, and never interleave. Belongs to one shard; must not outlive the runtime.

#ifndef TANDEM_CORE_NET_SOCKET_STREAM_H_
#define TANDEM_CORE_NET_SOCKET_STREAM_H_

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/operation.h"
#include "tandem/core/io/stream_socket.h"
#include "tandem/core/net/close_operation.h"
#include "tandem/core/net/flush_operation.h"
#include "tandem/core/net/handle.h"
#include "tandem/core/net/option_calls.h"

namespace tandem {

namespace internal {

// What all reading calls share: waiting for input. `Derived` has NeedsInput(), whether the call waits at all, and
// Progress(), which looks at what is there and says whether the call is done; Wanted() is how many unread bytes it
// waits for.
template <typename Derived>
class StreamInputOperation : public WithDeadline<Derived>, protected StreamSocket::Reader {
 public:
  std::string Describe() const override { return "input from " + socket_->peer().ToString(); }

 protected:
  explicit StreamInputOperation(Ref<StreamSocket> socket) : socket_(std::move(socket)) {}

  // Lets others read: what every TakeResult() begins with, and takes its result at once. Returns true when the call was
  // stopped before it had one.
  bool EndStopped() {
    socket_->EndReading(*this);
    return this->cause() != StopCause::kNone && !ready_;
  }

  size_t Wanted() const { return 1; }

  Ref<StreamSocket> socket_;
  bool ready_ = false;

 private:
  bool Start() override {
    socket_->BeginReading(*this);
    const bool needs_input = static_cast<Derived*>(this)->NeedsInput();
    if ((!needs_input || socket_->readable()) && OnReadable()) return true;
    socket_->WaitForInput(static_cast<Derived*>(this)->Wanted());
    return false;
  }
  void OnStop() override {
    socket_->EndReading(*this);
    this->Finish();
  }
  bool OnReadable() final {
    if (!static_cast<Derived*>(this)->Progress()) return false;
    ready_ = true;
    if (this->suspended()) this->Finish();
    return true;
  }
};

// What all writing calls share: a place in the write queue.
template <typename Derived>
class StreamOutputOperation : public WithDeadline<Derived>, protected StreamSocket::Writer {
 public:
  std::string Describe() const override { return "room to write to " + socket_->peer().ToString(); }

 protected:
  StreamOutputOperation(Ref<StreamSocket> socket, Kind kind, absl::Span<const IoSlice> slices,
                        absl::Span<const int> descriptors = {})
      : StreamSocket::Writer(kind, slices, descriptors), socket_(std::move(socket)) {}
  StreamOutputOperation(Ref<StreamSocket> socket, const FileRange& file)
      : StreamSocket::Writer(file), socket_(std::move(socket)) {}

  // How the call ended. A stop that came too late to keep anything from being sent is no error.
  absl::Status EndStatus(absl::string_view operation) const {
    if (refusal_ != 0) return socket_->StatusFor(refusal_, operation);
    if (!written_) return this->cause() == StopCause::kNone ? absl::OkStatus() : this->StopStatus();
    if (error() == 0) return absl::OkStatus();
    if (error() == ECANCELED) return this->StopStatus();
    return socket_->StatusFor(error(), operation);
  }

  Ref<StreamSocket> socket_;

 private:
  bool Start() override {
    if (resumes_) socket_->AcceptPartial();
    refusal_ = socket_->write_error();
    if (refusal_ != 0) return true;
    if (empty()) return true;
    socket_->StartWriting(*this);
    // A shutdown with nothing before it is done at once.
    return written_;
  }
  void OnStop() override { socket_->StopWriting(*this, ECANCELED); }
  void OnWritten() final {
    written_ = true;
    if (this->suspended()) this->Finish();
  }

  int refusal_ = 0;
  bool written_ = false;
};

}  // namespace internal

// --- Operations. Users see them only where they await what a stream's function returns. ---

// Awaits to absl::StatusOr<size_t>. See ReadingCalls::Read().
class [[nodiscard]] ReadOperation final : public internal::StreamInputOperation<ReadOperation> {
 public:
  ReadOperation(Ref<StreamSocket> socket, absl::Span<char> target)
      : StreamInputOperation(std::move(socket)), target_(target) {}
  absl::StatusOr<size_t> TakeResult();

 private:
  friend class internal::StreamInputOperation<ReadOperation>;
  bool NeedsInput() const { return !target_.empty(); }
  bool Progress() { return true; }
  absl::Span<char> target_;
};

// Awaits to absl::StatusOr<Buffer>. See ReadingCalls::Receive().
class [[nodiscard]] ReceiveOperation final : public internal::StreamInputOperation<ReceiveOperation> {
 public:
  explicit ReceiveOperation(Ref<StreamSocket> socket) : StreamInputOperation(std::move(socket)) {}
  absl::StatusOr<Buffer> TakeResult();

 private:
  friend class internal::StreamInputOperation<ReceiveOperation>;
  bool NeedsInput() const { return true; }
  bool Progress() { return true; }
};

// Awaits to absl::StatusOr<size_t>. See ReadingCalls::Peek().
class [[nodiscard]] PeekOperation final : public internal::StreamInputOperation<PeekOperation> {
 public:
  PeekOperation(Ref<StreamSocket> socket, absl::Span<char> target)
      : StreamInputOperation(std::move(socket)), target_(target) {}
  absl::StatusOr<size_t> TakeResult();

 private:
  friend class internal::StreamInputOperation<PeekOperation>;
  bool NeedsInput() const { return !target_.empty(); }
  bool Progress() { return true; }
  absl::Span<char> target_;
};

// Awaits to absl::StatusOr<size_t>. See ReadingCalls::PeekAtLeast().
class [[nodiscard]] PeekAtLeastOperation final : public internal::StreamInputOperation<PeekAtLeastOperation> {
 public:
  PeekAtLeastOperation(Ref<StreamSocket> socket, absl::Span<char> target, size_t min)
      : StreamInputOperation(std::move(socket)), target_(target), min_(min) {}
  absl::StatusOr<size_t> TakeResult();

 private:
  friend class internal::StreamInputOperation<PeekAtLeastOperation>;
  bool NeedsInput() const { return min_ > 0 && min_ <= target_.size(); }
  bool Progress() const { return !NeedsInput() || socket_->unread_bytes() >= min_ || socket_->input_ended(); }
  size_t Wanted() const { return min_; }
  absl::Span<char> target_;
  const size_t min_;
};

// Awaits to IoResult. See ReadingCalls::ReadExactly() and ReadAtLeast().
class [[nodiscard]] ReadAtLeastOperation final : public internal::StreamInputOperation<ReadAtLeastOperation> {
 public:
  ReadAtLeastOperation(Ref<StreamSocket> socket, absl::Span<char> target, size_t min)
      : StreamInputOperation(std::move(socket)), target_(target), min_(min) {}
  IoResult TakeResult();

 private:
  friend class internal::StreamInputOperation<ReadAtLeastOperation>;
  bool NeedsInput() const { return min_ > 0 && min_ <= target_.size(); }
  bool Progress();
  absl::Span<char> target_;
  const size_t min_;
  size_t bytes_ = 0;
  absl::Status status_;
};

// Awaits to absl::StatusOr<size_t>. See WritingCalls::WriteSome().
class [[nodiscard]] WriteSomeOperation final : public internal::StreamOutputOperation<WriteSomeOperation> {
 public:
  WriteSomeOperation(Ref<StreamSocket> socket, absl::string_view data, absl::Span<const int> descriptors = {})
      : StreamOutputOperation(std::move(socket), Kind::kSome, {}, descriptors), slice_{data.data(), data.size()} {
    if (!data.empty()) slices_ = absl::MakeConstSpan(&slice_, 1);
  }
  absl::StatusOr<size_t> TakeResult();

 private:
  const IoSlice slice_;
};

// Awaits to IoResult. See WritingCalls::WriteAll() and WriteRest().
class [[nodiscard]] WriteAllOperation final : public internal::StreamOutputOperation<WriteAllOperation> {
 public:
  WriteAllOperation(Ref<StreamSocket> socket, absl::string_view data, absl::Span<const int> descriptors = {})
      : StreamOutputOperation(std::move(socket), Kind::kAll, {}, descriptors), slice_{data.data(), data.size()} {
    if (!data.empty()) slices_ = absl::MakeConstSpan(&slice_, 1);
  }
  WriteAllOperation(Ref<StreamSocket> socket, absl::Span<const IoSlice> slices)
      : StreamOutputOperation(std::move(socket), Kind::kAll, {}) {
    // Nothing to write is done at once; empty pieces among others are skipped.
    for (const IoSlice& slice : slices) {
      if (slice.size > 0) slices_ = slices;
    }
  }
  WriteAllOperation(Ref<StreamSocket> socket, Buffer buffer) : WriteAllOperation(std::move(socket), buffer.view()) {
    buffer_ = std::move(buffer);  // The block's memory stays where it is.
  }
  struct Rest {};
  WriteAllOperation(Ref<StreamSocket> socket, absl::string_view data, Rest)
      : WriteAllOperation(std::move(socket), data) {
    resumes_ = true;
  }
  IoResult TakeResult();

 private:
  const IoSlice slice_{};
  Buffer buffer_;
};

// Awaits to IoResult. See WritingCalls::SendFile() and SendFileRest().
class [[nodiscard]] SendFileOperation final : public internal::StreamOutputOperation<SendFileOperation> {
 public:
  SendFileOperation(Ref<StreamSocket> socket, const FileRange& file) : StreamOutputOperation(std::move(socket), file) {}
  struct Rest {};
  SendFileOperation(Ref<StreamSocket> socket, const FileRange& file, Rest)
      : SendFileOperation(std::move(socket), file) {
    resumes_ = true;
  }
  IoResult TakeResult();
};

// Awaits to absl::Status. See WritingCalls::ShutdownWrite().
class [[nodiscard]] ShutdownWriteOperation final : public internal::StreamOutputOperation<ShutdownWriteOperation> {
 public:
  explicit ShutdownWriteOperation(Ref<StreamSocket> socket)
      : StreamOutputOperation(std::move(socket), Kind::kShutdown, {}) {}
  absl::Status TakeResult();
};

namespace internal {

// Which addresses a kind of stream connects to.
enum class AddressKind : bool { kInternet, kUnix };

// Connects a socket, which it opens unless it is given one, and closes it unless it won.
class StreamConnector : private StreamSocket::Connector {
 public:
  StreamConnector(Ref<StreamSocket> socket, const SocketAddress& address, AddressKind kind)
      : address_(address), kind_(kind), socket_(std::move(socket)) {}
  virtual ~StreamConnector();

 protected:
  const SocketAddress& address() const { return address_; }
  // True when it has failed already; else OnConnectEnd() follows.
  bool StartConnecting();
  void StopConnecting() { socket_->StopConnecting(); }
  virtual void OnConnectEnd() = 0;
  // 0, or a positive errno.
  int error() const { return error_; }
  // The connected socket, or null after closing it.
  Ref<StreamSocket> TakeSocket();
  absl::Status ErrorStatus() const;

 private:
  void OnConnected(int error) override;

  const SocketAddress address_;
  const AddressKind kind_;
  Ref<StreamSocket> socket_;
  int error_ = 0;
  bool connected_ = false;
};

}  // namespace internal

// Awaits to absl::StatusOr<Stream>. See TcpStream::Connect().
template <typename Stream>
class [[nodiscard]] ConnectOperation final : public WithDeadline<ConnectOperation<Stream>>,
                                             private internal::StreamConnector {
 public:
  ConnectOperation(const SocketAddress& address, internal::AddressKind kind)
      : StreamConnector(Ref<StreamSocket>(), address, kind) {}
  // Connects `socket`, which is open and not connected.
  ConnectOperation(Ref<StreamSocket> socket, const SocketAddress& address, internal::AddressKind kind)
      : StreamConnector(std::move(socket), address, kind) {}
  std::string Describe() const override { return "a connection to " + address().ToString(); }
  absl::StatusOr<Stream> TakeResult() {
    Ref<StreamSocket> socket = TakeSocket();
    if (socket) return Stream(std::move(socket));
    // A refusal that came before the stop is the result.
    if (this->cause() != StopCause::kNone && (error() == 0 || error() == ECANCELED)) return this->StopStatus();
    return ErrorStatus();
  }

 private:
  bool Start() override { return StartConnecting(); }
  void OnStop() override { StopConnecting(); }
  void OnConnectEnd() override { this->Finish(); }
};

// --- The calls ---

// The calls that read, for `Derived`, which has a `const Ref<StreamSocket>& socket() const`. At most one of them may be
// pending at a time (CHECKed).
template <typename Derived>
class ReadingCalls {
 public:
  // Reads between 1 and `target.size()` bytes and returns how many. Returns 0 once the peer has closed its sending
  // half; that is not an error.
  //
  // `target` must stay valid until the call has returned. Lossless: a call that is stopped has consumed nothing. The
  // call copies from the receive buffer; Receive() does not.
  //
  // Errors:
  //   kDeadlineExceeded    The deadline of the scope or of .By() passed first.
  //   kCancelled           The enclosing scope was cancelled.
  //   kUnavailable         The connection is dead: ECONNRESET, ETIMEDOUT. Reported once, after all bytes that came
  //                        before; later reads return 0.
  //   kFailedPrecondition  EBADF: Close() was called, before or meanwhile. ENOTCONN: there never was a connection.
  //   kInvalidArgument     `target` is empty.
  ReadOperation Read(absl::Span<char> target ABSL_ATTRIBUTE_LIFETIME_BOUND) { return ReadOperation(socket(), target); }

  // As Read(), but hands over the received bytes without a copy. Empty at the end of the stream. When the program holds
  // more than half of the kernel's receive buffers, the bytes are copied after all, so that the rest stays usable.
  ReceiveOperation Receive() { return ReceiveOperation(socket()); }

  // Reads exactly `target.size()` bytes; the same as ReadAtLeast(target, target.size()).
  ReadAtLeastOperation ReadExactly(absl::Span<char> target ABSL_ATTRIBUTE_LIFETIME_BOUND) {
    return ReadAtLeast(target, target.size());
  }

  // Waits until `min` bytes have come and takes what is there, at most `target.size()`; `bytes` says how many. With
  // `min` 0 it never waits and takes what has been received into user memory. Not lossless: `bytes` says how many were
  // consumed when the call is cut short. Errors are those of Read(), and:
  //   kOutOfRange       The peer closed its sending half before.
  //   kInvalidArgument  `min` is more than `target.size()`. An empty `target` is no error here.
  ReadAtLeastOperation ReadAtLeast(absl::Span<char> target ABSL_ATTRIBUTE_LIFETIME_BOUND, size_t min) {
    return ReadAtLeastOperation(socket(), target, min);
  }

  // As Read(), but consumes nothing: a later call gets the same bytes again, and behind them what came meanwhile, up to
  // the high-water mark. 0 at the end of the stream. An error, too, is left for the next Read().
  PeekOperation Peek(absl::Span<char> target ABSL_ATTRIBUTE_LIFETIME_BOUND) { return PeekOperation(socket(), target); }

  // As Peek(), but waits until `min` bytes are there, be they more than the high-water mark: for code that decides by
  // the first bytes who reads the stream. With `min` 0 it never waits. Lossless, however it ends: what came stays to be
  // read. Errors are those of Read(), left for the next Read(), and:
  //   kOutOfRange       The peer closed its sending half before; Peek() tells what it had sent.
  //   kInvalidArgument  `min` is more than `target.size()`. An empty `target` is no error here.
  PeekAtLeastOperation PeekAtLeast(absl::Span<char> target ABSL_ATTRIBUTE_LIFETIME_BOUND, size_t min) {
    return PeekAtLeastOperation(socket(), target, min);
  }

  // Pushes bytes back: the next reading calls get them, before what is unread already and before the end of the stream
  // or an error. They need not have come from this stream. The first form takes over a buffer, what is left of one that
  // Receive() returned for example; the other one copies. They count as unread bytes, for the high-water mark and at
  // Close(). REQUIRES that no reading call is pending (CHECKed).
  //
  // Errors:
  //   kFailedPrecondition  EBADF: Close() was called.
  absl::Status Unread(Buffer buffer) { return socket()->Unread(std::move(buffer)); }
  absl::Status Unread(absl::string_view bytes) { return socket()->Unread(bytes); }

  // As Read(), but never waits: nullopt where Read() would. 0 is the end of the stream. A program that repeats it must
  // let time pass in between (co_await Sleep(), for example; a Yield() takes next to none in the simulator): after a
  // Read() or another waiting call, bytes are received into user memory while the loop turns, and this call takes only
  // what is there.
  //
  // Errors: those of Read(), without kDeadlineExceeded and kCancelled.
  absl::StatusOr<std::optional<size_t>> TryRead(absl::Span<char> target) {
    if (target.empty()) return absl::InvalidArgumentError("read: the target is empty");
    return socket()->TryTakeBytes(target);
  }

  // Ends the receiving half: a pending read and later ones get what has arrived already, then 0. The peer is not told.
  // What it sends afterwards is lost, or still returned when it comes before a read has returned 0; and it makes
  // Close() a reset, as all unread bytes do. A second call does nothing.
  //
  // Errors:
  //   kFailedPrecondition  EBADF: Close() was called. ENOTCONN: the connection is gone; reads do not wait then, either.
  absl::Status ShutdownRead() { return socket()->ShutdownRead(); }

  // How many received bytes may wait in user memory; beyond it the stream stops receiving and the peer is slowed down.
  // Default 128 KiB. A reactor may overshoot by what the kernel had already handed over. REQUIRES bytes > 0.
  void set_high_water_mark(size_t bytes) { socket()->set_high_water_mark(bytes); }
  // Received bytes that wait in user memory to be read.
  size_t unread_bytes() const { return static_cast<const Derived*>(this)->socket()->unread_bytes(); }

 private:
  friend Derived;
  ReadingCalls() = default;
  const Ref<StreamSocket>& socket() { return static_cast<const Derived*>(this)->socket(); }
};

// The calls that write, likewise. Any number of them may be pending.
template <typename Derived>
class WritingCalls {
 public:
  // Writes at least one byte of `data` and returns how many: those that need not wait when the first has gone. The
  // memory may be reused as soon as the call returns, however it ends. Returns 0 only for empty `data`. The bytes have
  // then been taken by the kernel, not by the peer.
  //
  // Errors:
  //   kDeadlineExceeded, kCancelled  The call was stopped and nothing was sent; see also set_stall_timeout().
  //   kUnavailable         EPIPE, ECONNRESET: the peer is gone, or ShutdownWrite() was called. ETIMEDOUT.
  //   kFailedPrecondition  EBADF: Close() was called. Without an errno: an earlier WriteAll was cut short, see
  //                        WriteRest() and AcceptPartial().
  WriteSomeOperation WriteSome(absl::string_view data ABSL_ATTRIBUTE_LIFETIME_BOUND) {
    return WriteSomeOperation(socket(), data);
  }

  // Writes all of `data`. `bytes` is how many were sent; they are all of `data` exactly when the status is OK. A call
  // that is cut short after some bytes (cancelled, timed out) poisons the sending half: later writes, and those already
  // queued, fail with kFailedPrecondition until WriteRest() or AcceptPartial(), because a half-sent message must not be
  // followed by another by accident. Errors are those of WriteSome().
  WriteAllOperation WriteAll(absl::string_view data ABSL_ATTRIBUTE_LIFETIME_BOUND) {
    return WriteAllOperation(socket(), data);
  }

  // As WriteAll(), for the rest of one that was cut short: of its data, what follows the first `bytes`. Is not refused
  // by the poison, and lifts it; writes that are made meanwhile go out behind the rest. When it is cut short as well,
  // also before anything was sent, they fail, and the sending half is poisoned as before: a message is sent to its end
  // by calling this until it is OK.
  WriteAllOperation WriteRest(absl::string_view data ABSL_ATTRIBUTE_LIFETIME_BOUND) {
    return WriteAllOperation(socket(), data, WriteAllOperation::Rest());
  }

  // As WriteAll(), for several pieces. `slices` and what they point to must stay valid until the call has returned.
  WriteAllOperation WriteAll(absl::Span<const IoSlice> slices ABSL_ATTRIBUTE_LIFETIME_BOUND) {
    return WriteAllOperation(socket(), slices);
  }

  // As WriteAll(), for a buffer that the call takes over: what a Receive() returned goes out without a copy.
  WriteAllOperation WriteAll(Buffer buffer) { return WriteAllOperation(socket(), std::move(buffer)); }

  // Writes what the kernel takes at once of `data` and returns how many bytes that was; nullopt when it takes nothing
  // now, or when other writes are queued, which must not be overtaken. 0 only for empty `data`.
  //
  // Errors: those of WriteSome(), without kDeadlineExceeded and kCancelled.
  absl::StatusOr<std::optional<size_t>> TryWrite(absl::string_view data) { return socket()->TryWrite(data); }

  // Sends `count` bytes of an open file from `offset` on, without copying them through the program (sendfile(2)).
  // `descriptor` stays the caller's and must stay open until the call has returned; its file position is not used. A
  // `count` of 0 is done at once, whatever the descriptor. As WriteAll() in everything else: its place in the queue,
  // the poison, the errors; and
  //   kOutOfRange       The file ends before; `bytes` were sent.
  //   kFailedPrecondition, kInvalidArgument, kUnknown  The file: EBADF, EINVAL (it cannot be sent from, or `offset` is
  //                     more than 2^63 - 1), EIO. The stream goes on when nothing was sent.
  SendFileOperation SendFile(int descriptor, uint64_t offset, uint64_t count) {
    return SendFileOperation(socket(), FileRange{descriptor, offset, count});
  }

  // As SendFile(), for the rest of one that was cut short: `offset` and `count` moved on by its `bytes`. What
  // WriteRest() is to WriteAll(): not refused by the poison, which it lifts, and back when it does not reach its end.
  // That includes a file that ended (kOutOfRange): WriteRest() with what is sent instead, or AcceptPartial(), goes on.
  SendFileOperation SendFileRest(int descriptor, uint64_t offset, uint64_t count) {
    return SendFileOperation(socket(), FileRange{descriptor, offset, count}, SendFileOperation::Rest());
  }

  // How long writes may wait for a peer that takes nothing: when calls write (SendFile() and ShutdownWrite() as well)
  // and the kernel has taken no byte of this stream for `timeout`, all of them fail with kDeadlineExceeded. Measured,
  // alike on every reactor, from the last byte that the kernel took, of whichever call; or from the first call when
  // none was pending; or from here when that is later. So a peer that is slow keeps its connection, and one that has
  // stopped reading does not. A call that some bytes went of poisons the sending half as a cut-short WriteAll() does.
  // REQUIRES timeout > 0; absl::InfiniteDuration(), the default, is no limit.
  void set_stall_timeout(absl::Duration timeout) { socket()->set_stall_timeout(timeout); }
  absl::Duration stall_timeout() const { return static_cast<const Derived*>(this)->socket()->stall_timeout(); }

  // Declares that the peer can make sense of what a cut-short WriteAll() or SendFile() has sent; writing is allowed
  // again, for everybody: another write may come before the next one of the caller. For the rest of the message see
  // WriteRest() and SendFileRest().
  void AcceptPartial() { socket()->AcceptPartial(); }

  // Nothing is held back here, so this is done at once: for code that is written for any stream.
  //
  // Errors: kDeadlineExceeded, kCancelled; kFailedPrecondition (EBADF) after Close().
  FlushOperation Flush() {
    return FlushOperation(socket()->open() ? absl::OkStatus() : socket()->ClosedStatus("flush"));
  }

  // Ends the sending half after everything that was queued before; the peer reads the end of the stream. Reading goes
  // on. A second call does nothing.
  //
  // Errors: those of WriteSome(); kFailedPrecondition also for ENOTCONN, when the connection is gone.
  ShutdownWriteOperation ShutdownWrite() { return ShutdownWriteOperation(socket()); }

 private:
  friend Derived;
  WritingCalls() = default;
  const Ref<StreamSocket>& socket() { return static_cast<const Derived*>(this)->socket(); }
};

// A connected stream socket; TcpStream and UnixStream add what is theirs.
class SocketStream : public Handle<SocketStream, StreamSocket>,
                     public ReadingCalls<SocketStream>,
                     public WritingCalls<SocketStream>,
                     public BufferSizeOptions<SocketStream> {
 public:
  // Closes the stream: pending calls end with kFailedPrecondition (EBADF), then the socket is closed. What the kernel
  // has taken is still sent to the peer; when received bytes were not read, the peer sees a reset, as on Linux. Cannot
  // be cancelled. Idempotent. Always OK.
  CloseOperation<StreamSocket> Close() { return CloseOperation<StreamSocket>(socket()); }

  // Closes with a reset: unsent bytes are dropped, and the peer sees ECONNRESET, never the end of the stream. Does not
  // wait; co_await Close() after it does.
  void Abort() { socket()->Close(StreamSocket::CloseMode::kReset); }

  // The address of this end. Errors: kFailedPrecondition after Close().
  absl::StatusOr<SocketAddress> LocalAddress() const { return socket()->LocalAddress(); }
  // The address of the other end, as the kernel tells it: who connected to 0.0.0.0 is connected to 127.0.0.1. Kept, so
  // also known after the connection is gone.
  const SocketAddress& PeerAddress() const { return socket()->peer(); }

  // For the library: the state below.
  const Ref<StreamSocket>& socket() const { return state(); }

 protected:
  SocketStream() = default;
  explicit SocketStream(Ref<StreamSocket> socket) : Handle(std::move(socket)) {}
  SocketStream(SocketStream&&) = default;
  SocketStream& operator=(SocketStream&&) = default;
  // Closes in the background, as Close() does, without waiting.
  ~SocketStream() = default;

 private:
  friend class Handle<SocketStream, StreamSocket>;
  static constexpr absl::string_view kHandleName = "TcpStream or UnixStream";
  static void LetGo(StreamSocket& socket) { socket.Close(StreamSocket::CloseMode::kGraceful); }
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_SOCKET_STREAM_H_
