// SPDX-License-Identifier: Apache-2.0
//
// TcpStream: one end of a connected TCP byte stream.
//
// A handle: move it into whatever object owns the connection. The calls return operations that are awaited where they
// are made, `co_await stream.Read(span)`, and that can be given a deadline, `co_await stream.Read(span).By(instant)`.
// A call that is cancelled or times out loses nothing: bytes that arrived wait for the next one.
//
// One coroutine may read while others write; writes of several coroutines are sent one after the other, in the order
// in which they were begun, and never interleave. Belongs to one shard; must not outlive the runtime.

#ifndef TANDEM_CORE_NET_TCP_STREAM_H_
#define TANDEM_CORE_NET_TCP_STREAM_H_

#include <cerrno>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/async/combinators.h"
#include "core/base/ref.h"
#include "core/base/result.h"
#include "core/io/address.h"
#include "core/io/buffer.h"
#include "core/io/reactor.h"
#include "core/io/stream_socket.h"

namespace tandem {

class TcpStream;

namespace internal {

// What Read, Receive and ReadExactly share: waiting for input.
template <typename Derived>
class StreamInputOperation : public WithDeadline<Derived>, protected StreamSocket::Reader {
 public:
  std::string Describe() const override { return "input from " + socket_->peer().ToString(); }

 protected:
  explicit StreamInputOperation(Ref<StreamSocket> socket) : socket_(std::move(socket)) {}

  // True when the call was stopped before it had a result.
  bool stopped() const { return this->cause() != StopCause::kNone && !ready_; }

  Ref<StreamSocket> socket_;
  bool ready_ = false;

 private:
  bool Start() override {
    const bool needs_input = static_cast<Derived*>(this)->NeedsInput();
    if ((!needs_input || socket_->readable()) && OnReadable()) return true;
    socket_->StartReading(*this);
    return false;
  }
  void OnStop() override {
    socket_->StopReading(*this);
    this->Finish();
  }
  bool OnReadable() final {
    if (!static_cast<Derived*>(this)->Progress()) return false;
    ready_ = true;
    if (this->suspended()) this->Finish();
    return true;
  }
};

// What Write, WriteAll, WriteV and ShutdownWrite share: a place in the write queue.
template <typename Derived>
class StreamOutputOperation : public WithDeadline<Derived>, protected StreamSocket::Writer {
 public:
  std::string Describe() const override { return "room to write to " + socket_->peer().ToString(); }

 protected:
  StreamOutputOperation(Ref<StreamSocket> socket, Kind kind, absl::Span<const IoSlice> slices)
      : StreamSocket::Writer(kind, slices), socket_(std::move(socket)) {}

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
    refusal_ = socket_->write_error();
    if (refusal_ != 0) return true;
    if (kind_ != Kind::kShutdown && slices_.empty()) return true;
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

// Awaits to absl::StatusOr<size_t>. See TcpStream::Read().
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

// Awaits to absl::StatusOr<Buffer>. See TcpStream::Receive().
class [[nodiscard]] ReceiveOperation final : public internal::StreamInputOperation<ReceiveOperation> {
 public:
  explicit ReceiveOperation(Ref<StreamSocket> socket) : StreamInputOperation(std::move(socket)) {}
  absl::StatusOr<Buffer> TakeResult();

 private:
  friend class internal::StreamInputOperation<ReceiveOperation>;
  bool NeedsInput() const { return true; }
  bool Progress() { return true; }
};

// Awaits to IoResult. See TcpStream::ReadExactly().
class [[nodiscard]] ReadExactlyOperation final : public internal::StreamInputOperation<ReadExactlyOperation> {
 public:
  ReadExactlyOperation(Ref<StreamSocket> socket, absl::Span<char> target)
      : StreamInputOperation(std::move(socket)), target_(target) {}
  IoResult TakeResult();

 private:
  friend class internal::StreamInputOperation<ReadExactlyOperation>;
  bool NeedsInput() const { return !target_.empty(); }
  bool Progress();
  absl::Span<char> target_;
  size_t bytes_ = 0;
  absl::Status status_;
};

// Awaits to absl::StatusOr<size_t>. See TcpStream::Write().
class [[nodiscard]] WriteOperation final : public internal::StreamOutputOperation<WriteOperation> {
 public:
  WriteOperation(Ref<StreamSocket> socket, absl::string_view data)
      : StreamOutputOperation(std::move(socket), Kind::kSome, {}), slice_{data.data(), data.size()} {
    if (!data.empty()) slices_ = absl::MakeConstSpan(&slice_, 1);
  }
  absl::StatusOr<size_t> TakeResult();

 private:
  const IoSlice slice_;
};

// Awaits to IoResult. See TcpStream::WriteAll(), WriteV() and Write(Buffer).
class [[nodiscard]] WriteAllOperation final : public internal::StreamOutputOperation<WriteAllOperation> {
 public:
  WriteAllOperation(Ref<StreamSocket> socket, absl::string_view data)
      : StreamOutputOperation(std::move(socket), Kind::kAll, {}), slice_{data.data(), data.size()} {
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
  IoResult TakeResult();

 private:
  const IoSlice slice_{};
  Buffer buffer_;
};

// Awaits to absl::Status. See TcpStream::ShutdownWrite().
class [[nodiscard]] ShutdownWriteOperation final : public internal::StreamOutputOperation<ShutdownWriteOperation> {
 public:
  explicit ShutdownWriteOperation(Ref<StreamSocket> socket)
      : StreamOutputOperation(std::move(socket), Kind::kShutdown, {}) {}
  absl::Status TakeResult();
};

// Awaits to absl::Status (always OK). See TcpStream::Close().
class [[nodiscard]] CloseOperation final : public Leaf, private StreamSocket::Closer {
 public:
  explicit CloseOperation(Ref<StreamSocket> socket) : socket_(std::move(socket)) { set_uncancellable(); }
  std::string Describe() const override { return "the close of the stream to " + socket_->peer().ToString(); }
  absl::Status TakeResult() { return absl::OkStatus(); }

 private:
  bool Start() override;
  void OnStop() override {}
  void OnClosed() override { Finish(); }
  Ref<StreamSocket> socket_;
};

// Awaits to absl::StatusOr<TcpStream>. See TcpStream::Connect().
class [[nodiscard]] ConnectOperation final : public WithDeadline<ConnectOperation>, private StreamSocket::Connector {
 public:
  explicit ConnectOperation(const SocketAddress& address) : address_(address) {}
  std::string Describe() const override { return "a connection to " + address_.ToString(); }
  absl::StatusOr<TcpStream> TakeResult();

 private:
  bool Start() override;
  void OnStop() override { socket_->StopConnecting(); }
  void OnConnected(int error) override;

  const SocketAddress address_;
  Ref<StreamSocket> socket_;
  int error_ = 0;
};

class TcpStream {
 public:
  // No stream; only assignment, destruction and valid() make sense.
  TcpStream() = default;
  explicit TcpStream(Ref<StreamSocket> socket) : socket_(std::move(socket)) {}
  TcpStream(TcpStream&&) = default;
  TcpStream& operator=(TcpStream&& other) noexcept {
    if (this != &other) {
      CloseInBackground();
      socket_ = std::move(other.socket_);
    }
    return *this;
  }
  // Closes in the background, as Close() does, without waiting.
  ~TcpStream() { CloseInBackground(); }

  bool valid() const { return socket_.get() != nullptr; }

  // Connects to `address`. The stream has TCP_NODELAY set, since what is written is a message as often as not; see
  // set_no_delay(). When the call fails or is stopped, the socket is closed.
  //
  // Errors:
  //   kDeadlineExceeded    The deadline of the scope or of .By() passed first.
  //   kCancelled           The enclosing scope was cancelled.
  //   kUnavailable         ECONNREFUSED: nobody listens there. ETIMEDOUT: no answer to the SYN and its retries (about
  //                        two minutes on Linux: tcp(7), tcp_syn_retries). EHOSTUNREACH, ENETUNREACH: no route.
  //   kFailedPrecondition  EADDRNOTAVAIL: no ephemeral port is free.
  //   kResourceExhausted   EMFILE, ENFILE: no descriptor is free.
  //   kInvalidArgument     `address` is none.
  static ConnectOperation Connect(const SocketAddress& address) { return ConnectOperation(address); }

  // Reads between 1 and `target.size()` bytes and returns how many. Returns 0 once the peer has closed its sending
  // half; that is not an error.
  //
  // `target` must stay valid until the call has returned. At most one reading call may be pending (CHECKed). Lossless:
  // a call that is stopped has consumed nothing. The call copies from the receive buffer; Receive() does not.
  //
  // Errors:
  //   kDeadlineExceeded    The deadline of the scope or of .By() passed first.
  //   kCancelled           The enclosing scope was cancelled.
  //   kUnavailable         The connection is dead: ECONNRESET, ETIMEDOUT. Reported once, after all bytes that came
  //                        before; later reads return 0.
  //   kFailedPrecondition  EBADF: Close() was called, before or meanwhile.
  //   kInvalidArgument     `target` is empty.
  ReadOperation Read(absl::Span<char> target) { return ReadOperation(socket_, target); }

  // As Read(), but hands over the received bytes without a copy. Empty at the end of the stream. When the program holds
  // more than half of the kernel's receive buffers, the bytes are copied after all, so that the rest stays usable.
  ReceiveOperation Receive() { return ReceiveOperation(socket_); }

  // Reads exactly `target.size()` bytes. Not lossless: `bytes` says how many were consumed when the call is cut short.
  // Errors are those of Read(), and:
  //   kOutOfRange          The peer closed its sending half before.
  ReadExactlyOperation ReadExactly(absl::Span<char> target) { return ReadExactlyOperation(socket_, target); }

  // Writes at least one byte of `data` and returns how many. The memory may be reused as soon as the call returns,
  // however it ends. Returns 0 only for empty `data`. The bytes have then been taken by the kernel, not by the peer.
  //
  // Errors:
  //   kDeadlineExceeded, kCancelled  The call was stopped and nothing was sent.
  //   kUnavailable         EPIPE, ECONNRESET: the peer is gone, or ShutdownWrite() was called. ETIMEDOUT.
  //   kFailedPrecondition  EBADF: Close() was called. Without an errno: an earlier WriteAll was cut short, see
  //                        AcceptPartial().
  WriteOperation Write(absl::string_view data) { return WriteOperation(socket_, data); }

  // Writes all of `data`. `bytes` is how many were sent; they are all of `data` exactly when the status is OK. A call
  // that is cut short after some bytes (cancelled, timed out) poisons the sending half: later writes, and those already
  // queued, fail with kFailedPrecondition until AcceptPartial(), because a half-sent message must not be followed by
  // another by accident. Errors are those of Write().
  WriteAllOperation WriteAll(absl::string_view data) { return WriteAllOperation(socket_, data); }

  // As WriteAll(), for several pieces. `slices` and what they point to must stay valid until the call has returned.
  WriteAllOperation WriteV(absl::Span<const IoSlice> slices) { return WriteAllOperation(socket_, slices); }

  // As WriteAll(), for a buffer that the call takes over: what a Receive() returned goes out without a copy.
  WriteAllOperation Write(Buffer buffer) { return WriteAllOperation(socket_, std::move(buffer)); }

  // Declares that the peer can make sense of what a cut-short WriteAll() has sent; writing is allowed again.
  void AcceptPartial() { socket_->AcceptPartial(); }

  // Ends the sending half after everything that was queued before; the peer reads the end of the stream. Reading goes
  // on. A second call does nothing.
  //
  // Errors: those of Write(); kFailedPrecondition also for ENOTCONN, when the connection is gone.
  ShutdownWriteOperation ShutdownWrite() { return ShutdownWriteOperation(socket_); }

  // Closes the stream: pending calls end with kFailedPrecondition (EBADF), then the socket is closed. What the kernel
  // has taken is still sent to the peer; when received bytes were not read, the peer sees a reset, as on Linux. Cannot
  // be cancelled. Idempotent. Always OK.
  CloseOperation Close() { return CloseOperation(socket_); }

  // Closes with a reset: unsent bytes are dropped, and the peer sees ECONNRESET, never the end of the stream. Does not
  // wait; co_await Close() after it does.
  void Abort() { socket_->Close(StreamSocket::CloseMode::kReset); }

  // The address of this end. Errors: kFailedPrecondition after Close().
  absl::StatusOr<SocketAddress> LocalAddress() const;
  // The address of the other end; kept, so also known after the connection is gone.
  const SocketAddress& PeerAddress() const { return socket_->peer(); }

  // TCP_NODELAY (tcp(7)): false lets the kernel hold back small segments while others are unacknowledged.
  absl::Status set_no_delay(bool on);
  absl::StatusOr<bool> no_delay() const;
  // SO_RCVBUF and SO_SNDBUF in bytes (socket(7)): Linux doubles what is set, and enforces a minimum and a maximum.
  absl::Status set_receive_buffer_size(size_t bytes);
  absl::StatusOr<size_t> receive_buffer_size() const;
  absl::Status set_send_buffer_size(size_t bytes);
  absl::StatusOr<size_t> send_buffer_size() const;

  // How many received bytes may wait in user memory; beyond it the stream stops receiving and TCP slows the peer down.
  // Default 128 KiB. A reactor may overshoot by what the kernel had already handed over. REQUIRES bytes > 0.
  void set_high_water_mark(size_t bytes) { socket_->set_high_water_mark(bytes); }
  // Received bytes that wait to be read.
  size_t unread_bytes() const { return socket_->unread_bytes(); }

 private:
  void CloseInBackground() {
    if (socket_.get() != nullptr) socket_->Close(StreamSocket::CloseMode::kGraceful);
  }
  absl::Status SetOption(SocketOption option, int value, absl::string_view name);
  absl::StatusOr<int> GetOption(SocketOption option, absl::string_view name) const;

  Ref<StreamSocket> socket_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_TCP_STREAM_H_
