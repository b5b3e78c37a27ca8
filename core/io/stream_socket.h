// SPDX-License-Identifier: Apache-2.0
//
// The state of one connected byte stream: what outlives every call on it.
//
// Bytes that the reactor delivers wait here until somebody reads them, so a cancelled read loses nothing. Writes queue
// here, first in, first out; one send is in flight at a time and carries as many queued writes as fit. Closing is a
// protocol (Close()). The same code runs over every reactor.
//
// Counted: the handle, every call that waits and everything in flight hold a reference, so the state stays when the
// handle is gone and the memory that the kernel knows stays with it. Belongs to one shard.

#ifndef TANDEM_CORE_IO_STREAM_SOCKET_H_
#define TANDEM_CORE_IO_STREAM_SOCKET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/core/async/timer_queue.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/intrusive_list.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/closing_socket.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/member_operation.h"
#include "tandem/core/io/operation.h"
#include "tandem/core/io/own_reactor.h"
#include "tandem/core/io/socket_options.h"
#include "tandem/core/io/source.h"

namespace tandem {

class StreamSocket final : public Counted<StreamSocket>, public ClosingSocket {
 public:
  // How many bytes may wait unread in user memory before receiving pauses.
  static constexpr size_t kDefaultHighWaterMark = 128 * 1024;

  // Takes over an open socket. `peer` is for messages and PeerAddress(); none while there is no connection.
  static Ref<StreamSocket> Adopt(SocketId id, const SocketAddress& peer);
  // Gives the socket, which was never connected and has nothing in flight, to the caller; this state is then closed.
  SocketId ReleaseId();

  SocketId id() const { return id_; }
  // For calls with id().
  const OwnReactor& reactor() const { return reactor_; }
  const SocketAddress& peer() const { return peer_; }
  // kFailedPrecondition with EBADF, for calls on a closed stream.
  absl::Status ClosedStatus(absl::string_view operation) const;
  // The status for an errno of `operation` on this stream, with the peer in the message.
  absl::Status StatusFor(int error, absl::string_view operation) const;

  // kFailedPrecondition (EBADF) once Close() was called.
  absl::StatusOr<SocketAddress> LocalAddress() const;
  // Whether closing waits for unsent bytes, by SocketOption::kLinger: the wait must not stop the loop.
  void set_lingers(bool lingers) { connect_or_close_.may_block = lingers; }
  bool lingers() const { return connect_or_close_.may_block; }

  // --- Reading ---

  // A call that reads: from BeginReading() until it has taken what it gets, or was stopped.
  class Reader {
   public:
    // Input, an error, the end of the stream or Close() has come. Returns true when the reader is done waiting.
    virtual bool OnReadable() = 0;

   protected:
    ~Reader() = default;
  };

  // True when a read would not wait.
  bool readable() const { return !open() || !unread_.empty() || read_error_ != 0 || end_of_stream_; }
  // From here to EndReading() nobody but `reader` may read: CHECKed, since what the one was promised the other would
  // take.
  void BeginReading(Reader& reader);
  // The reader waits until it says that it is done, for `wanted` unread bytes (1 or more), be they more than the
  // high-water mark. REQUIRES that it has begun.
  void WaitForInput(size_t wanted = 1);
  // Does nothing when `reader` has not begun, or has ended.
  void EndReading(Reader& reader);

  // What readable() promised: bytes first, then the error (once), then the end of the stream (0, an empty buffer).
  // REQUIRES readable().
  absl::StatusOr<size_t> TakeBytes(absl::Span<char> target);
  absl::StatusOr<Buffer> TakeBuffer();
  // As TakeBytes(), but nothing is consumed, an error neither, which is the result when fewer than `min` bytes (1 or
  // more) are before it. REQUIRES readable(), or that there are `min` bytes.
  absl::StatusOr<size_t> PeekBytes(absl::Span<char> target, size_t min = 1) const;
  // Whether nothing more will be received.
  bool input_ended() const { return !open() || read_error_ != 0 || end_of_stream_; }
  // As TakeBytes() when readable(). Else, when no receive is armed, what the kernel has; nullopt when that is nothing,
  // or when a receive is armed, which delivers from Poll(). REQUIRES that nobody reads and that `target` is not empty.
  absl::StatusOr<std::optional<size_t>> TryTakeBytes(absl::Span<char> target);
  // Puts bytes before those that wait to be read. REQUIRES that nobody reads.
  absl::Status Unread(Buffer buffer);
  absl::Status Unread(absl::string_view bytes);
  // Ends the receiving half: what has arrived can still be read, then the end of the stream.
  absl::Status ShutdownRead();

  // Whether descriptors that come over a Unix socket are kept. Set before the first read.
  void set_wants_descriptors(bool wants) { source_.wants_descriptors = wants; }
  // Those that came with the next unread byte; none when there are none. A read never goes past the beginning of
  // bytes that have descriptors, and one that takes those bytes closes descriptors that nobody took, as read(2) does.
  std::vector<OwnedDescriptor> TakeDescriptors();

  size_t unread_bytes() const { return unread_.bytes(); }
  size_t high_water_mark() const { return high_water_mark_; }
  // Takes effect at the next arming. REQUIRES bytes > 0.
  void set_high_water_mark(size_t bytes);

  // --- Writing ---

  struct WriteListTag;

  // A call that writes. The memory of its slices stays valid until OnWritten().
  class Writer : public ListLink<WriteListTag> {
   public:
    enum class Kind : uint8_t {
      kSome,      // Done when at least one byte went.
      kAll,       // Done when all went.
      kFile,      // Done when all of the file's range went.
      kShutdown,  // Ends the sending half, after everything before it in the queue.
    };

    size_t bytes_written() const { return written_; }
    // 0, or why the writer ended early: ECANCELED, EBADF after Close(), EPIPE, ..., kPoisoned, kFileEnded, kStalled.
    int error() const { return error_; }
    static constexpr int kPoisoned = -1;
    static constexpr int kFileEnded = -2;
    static constexpr int kStalled = -3;
    // There is nothing to do.
    bool empty() const { return kind_ == Kind::kFile ? file_.count == 0 : kind_ != Kind::kShutdown && slices_.empty(); }

   protected:
    // `descriptors` travel with the first byte, on a Unix socket.
    Writer(Kind kind, absl::Span<const IoSlice> slices, absl::Span<const int> descriptors = {})
        : kind_(kind), slices_(slices), descriptors_(descriptors) {}
    explicit Writer(const FileRange& file) : kind_(Kind::kFile), file_(file) {}
    ~Writer() {
      if (linked()) Unlink();  // Only when a simulated crash destroys the frame.
    }
    // The writer has ended and left the queue.
    virtual void OnWritten() = 0;

    Kind kind_;
    absl::Span<const IoSlice> slices_;  // For kSome and kAll: at least one byte in all.
    absl::Span<const int> descriptors_;
    FileRange file_;  // For kFile: what is still to be sent.
    // The rest of a message: cut short again, even before anything went, it leaves the message half sent.
    bool resumes_ = false;

   private:
    friend class StreamSocket;
    void SkipEmptySlices();

    size_t next_slice_ = 0;    // The first slice that is not sent whole...
    size_t slice_offset_ = 0;  // ...and what of it is.
    size_t written_ = 0;
    int error_ = 0;
    bool in_flight_ = false;
    bool stopping_ = false;  // Ends with the send that is in flight, whatever that has done.
  };

  // Queues `writer`. OnWritten() follows from Poll(), but for a kShutdown with nothing before it, which is done within
  // this call. REQUIRES write_error() == 0 and !writer.empty().
  void StartWriting(Writer& writer);
  // Ends `writer` as soon as it is known what was sent of it.
  void StopWriting(Writer& writer, int error);
  // 0, EBADF after Close(), or Writer::kPoisoned after a WriteAll that was cut short.
  int write_error() const;
  // Allows writing again after a WriteAll was cut short.
  void AcceptPartial() { poisoned_ = false; }
  // Sends what the kernel takes at once of `data`; nullopt when that is nothing or when writers are queued.
  absl::StatusOr<std::optional<size_t>> TryWrite(absl::string_view data);
  // How long writers may wait without a byte that goes; then all of them end with kStalled. Measured from the last byte
  // that went, or from the call that began to write when nothing was queued, or from here. REQUIRES timeout > 0.
  void set_stall_timeout(absl::Duration timeout);
  absl::Duration stall_timeout() const;
  // For a test of how much work the queue does: writers that were looked at.
  uint64_t queue_steps_for_test() const { return queue_steps_; }
  // Ends the sending half as soon as nothing is queued. Nobody may write any more.
  void ShutdownWriteWhenSent();

  // --- Connecting ---

  // A call that connects.
  class Connector {
   public:
    // `error` is 0 or a positive errno.
    virtual void OnConnected(int error) = 0;

   protected:
    ~Connector() = default;
  };
  void StartConnecting(const SocketAddress& address, Connector& connector);
  // OnConnected() still comes.
  void StopConnecting();

  // --- Closing ---

  enum class CloseMode : uint8_t {
    kGraceful,  // The kernel goes on sending what it has, then FIN; RST when input is unread, as Linux does.
    kReset,     // RST; what the kernel still had to send is dropped.
  };
  // Ends pending calls with EBADF, takes everything back from the reactor, then closes the socket. Idempotent.
  void Close(CloseMode mode = CloseMode::kGraceful);
  // For messages: "stream to 10.0.0.2:80".
  std::string Name() const { return "stream to " + peer_.ToString(); }

 private:
  friend class Counted<StreamSocket>;

  class ReceiveSource final : public Source {
   public:
    explicit ReceiveSource(StreamSocket& owner) : Source(Kind::kReceive), owner_(owner) {}

   private:
    void OnReceived(Buffer buffer) override;
    void OnDescriptors(std::vector<OwnedDescriptor> descriptors) override;
    void OnEnd(SourceEnd end, int error) override;
    void OnAbandon() override { owner_.DropRef(); }
    StreamSocket& owner_;
  };
  // Ends writers that wait for too long. Armed while a send is in flight.
  class StallTimer final : public Timer {
   public:
    explicit StallTimer(StreamSocket& owner) : owner_(owner) {}
    absl::Duration timeout;
    Instant last_sent;

   private:
    void OnTimer() override { owner_.OnStallTimer(); }
    StreamSocket& owner_;
  };

  StreamSocket(SocketId id, const SocketAddress& peer);
  ~StreamSocket();

  // Descriptors, and the number of bytes that had come before them.
  struct ArrivedDescriptors {
    uint64_t position = 0;
    std::vector<OwnedDescriptor> descriptors;
  };

  void ArmIfWanted();
  void Arm();
  void NotifyReader();
  uint64_t consumed_bytes() const { return received_bytes_ - unread_.bytes(); }
  size_t PassDescriptors(size_t limit);

  void SendQueued();
  void FinishShutdowns();
  void GatherFile(Writer& writer);
  bool GatherSlices();
  bool GatherSlicesOf(Writer& writer, size_t& count);
  void GatherSlice(const IoSlice& slice, size_t count);
  void StartStallTimer();
  void OnStallTimer();
  void OnSent(int64_t result);
  void OnSendError(int error);
  void OnFileSent(int64_t result);
  void Distribute(size_t bytes);
  void FinishWriter(Writer& writer, int error);
  void FailQueued(int error);
  void StopQueued(int error);

  void OnConnectOrCloseDone(int64_t result);
  void OnConnectDone(int64_t result);
  void ContinueClose();

  const OwnReactor reactor_;
  const SocketId id_;
  SocketAddress peer_;
  bool reset_ = false;
  bool end_of_stream_ = false;
  bool poisoned_ = false;
  bool shutdown_when_sent_ = false;
  bool paused_by_budget_ = false;
  int read_error_ = 0;
  size_t high_water_mark_ = kDefaultHighWaterMark;
  size_t wanted_ = 0;  // How many unread bytes the reader waits for; 0: nobody waits.
  BufferQueue unread_;
  uint64_t received_bytes_ = 0;
  std::vector<ArrivedDescriptors> descriptors_;  // In the order of their positions.
  Reader* reader_ = nullptr;                     // Who reads.
  Connector* connector_ = nullptr;
  ReceiveSource source_{*this};
  IntrusiveList<Writer, WriteListTag> writers_;
  MemberOperation<StreamSocket, &StreamSocket::OnSent> send_{*this};
  // What a send carries: one slice, as most do, or up to kMaxSlices.
  IoSlice slice_;
  std::unique_ptr<IoSlice[]> gather_;
  std::unique_ptr<StallTimer> stall_timer_;
  uint64_t queue_steps_ = 0;
  // One operation is enough: a close waits for the end of a connect.
  MemberOperation<StreamSocket, &StreamSocket::OnConnectOrCloseDone> connect_or_close_{*this};
};

}  // namespace tandem

#endif  // TANDEM_CORE_IO_STREAM_SOCKET_H_
