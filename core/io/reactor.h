// SPDX-License-Identifier: Apache-2.0
//
// The seam between Tandem and a world: what every reactor (io_uring, epoll, the simulator) implements.
//
// A reactor moves bytes and tells the time; it knows nothing of coroutines. It deals in two things:
//
//   Operation  one start, exactly one terminal completion (connect, send, close).
//   Source     armed once, any number of items, exactly one end per arming (accept, receive).
//
// Both live in socket states (stream_socket.h, listener_socket.h) that outlive every awaiter, so a cancelled call never
// leaves memory of a destroyed frame in the kernel's hands. Queues, budgets, ordering and lossless cancellation are in
// those states, above this seam: the simulator tests the code that ships.
//
// Submit, Cancel, Arm and Disarm never call back. Everything is reported from Poll(), and the callbacks in turn only
// change state and put coroutines into the ready queue; they may call Submit, Cancel, Arm and Disarm.
//
// Thread-hostile: a reactor belongs to one thread. Wake() alone may be called from any thread.

#ifndef TANDEM_CORE_IO_REACTOR_H_
#define TANDEM_CORE_IO_REACTOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/instant.h"
#include "core/io/address.h"
#include "core/io/buffer.h"

namespace tandem {

class Reactor;

// Names an open socket within its reactor: the descriptor in real reactors. Never negative when valid.
using SocketId = int32_t;
inline constexpr SocketId kNoSocket = -1;

// A run of bytes to send. Has the layout of struct iovec.
struct IoSlice {
  const char* data = nullptr;
  size_t size = 0;
};

enum class OperationKind : uint8_t {
  kConnect,  // Connects `socket` to `address`. Result 0.
  kSend,   // Sends `slices` in order, as MSG_WAITALL: result is the count sent, short only when the call was cancelled
           // or the connection failed after some bytes. An error with no byte sent is -errno.
  kClose,  // Closes `socket`. Nothing else may be in flight on it. Result 0 or -errno; the socket is gone either way.
};

// One call in flight. The owner fills in the arguments while the operation is not in flight and keeps it, and what it
// points to, alive until OnComplete() (or OnAbandon()).
class Operation {
 public:
  enum class State : uint8_t {
    kIdle,        // Never submitted, or completed: may be submitted (again).
    kSubmitted,   // In flight.
    kCancelling,  // In flight, and Cancel() was called.
    kAbandoned,   // The simulated host crashed while this was in flight: no completion will come.
  };

  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  State state() const { return state_; }
  bool in_flight() const { return state_ == State::kSubmitted || state_ == State::kCancelling; }

  // The arguments.
  OperationKind kind = OperationKind::kSend;
  SocketId socket = kNoSocket;
  SocketAddress address;             // kConnect.
  absl::Span<const IoSlice> slices;  // kSend. At most kMaxSlices, none empty.
  static constexpr size_t kMaxSlices = 64;

  // For the reactor alone while in flight: where its own bookkeeping is.
  uint32_t reactor_slot = 0;

 protected:
  virtual ~Operation() { CHECK(!in_flight()) << "an operation was destroyed while the reactor still had it"; }

  // The one terminal completion; `result` >= 0, or -errno (-ECANCELED when it was cancelled and did nothing). The
  // operation is idle again when this is called and may be submitted anew or destroyed from here.
  virtual void OnComplete(int64_t result) = 0;
  // The host crashed; drop what was kept for the completion. May destroy the operation.
  virtual void OnAbandon() = 0;

 private:
  friend class Reactor;
  State state_ = State::kIdle;
};

// Why an arming ended.
enum class SourceEnd : uint8_t {
  kEndOfStream,  // The peer closed its sending half. Nothing will follow.
  kBudget,       // The byte budget is used up.
  kDisarmed,     // Disarm() was called.
  kError,        // The errno says why.
};

// A stream of items from one socket.
class Source {
 public:
  enum class State : uint8_t { kDisarmed, kArmed, kDisarming };
  enum class Kind : uint8_t { kAccept, kReceive };

  explicit Source(Kind kind) : kind_(kind) {}
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  Kind kind() const { return kind_; }
  State state() const { return state_; }
  // Armed, or on the way to the end of an arming: OnEnd() is still to come.
  bool armed() const { return state_ != State::kDisarmed; }

  // The arguments of Arm().
  SocketId socket = kNoSocket;
  // kReceive: how many bytes may be delivered before the arming ends with kBudget; a real reactor may overshoot by
  // what it had in its completion queue. Positive.
  size_t budget = 0;

  // For the reactor alone while armed.
  uint32_t reactor_slot = 0;
  size_t delivered = 0;

 protected:
  virtual ~Source() { CHECK(!armed()) << "a source was destroyed while the reactor still had it"; }

  // kAccept: a connection was accepted and now belongs to the callee.
  virtual void OnAccepted(SocketId accepted) { CHECK(false) << "not an accept source: " << accepted; }
  // kReceive: bytes arrived. Never empty.
  virtual void OnReceived(Buffer) { CHECK(false) << "not a receive source"; }
  // The one end of an arming; `error` is positive for kError, else 0. The source is disarmed again when this is called
  // and may be armed anew or destroyed from here. Shortage of buffers (ENOBUFS) and of descriptors (EMFILE, ENFILE,
  // ENOMEM) does not end an arming: reactors back off, keep serving and resume by themselves.
  virtual void OnEnd(SourceEnd end, int error) = 0;
  // The host crashed; drop what was kept for the end. May destroy the source.
  virtual void OnAbandon() = 0;

 private:
  friend class Reactor;
  const Kind kind_;
  State state_ = State::kDisarmed;
};

enum class SocketOption : uint8_t {
  kNoDelay,            // 0 or 1. TCP_NODELAY.
  kReceiveBufferSize,  // Bytes. SO_RCVBUF: Linux doubles the value and enforces a minimum; a get returns the result.
  kSendBufferSize,     // Bytes. SO_SNDBUF, likewise.
  kReuseAddress,       // 0 or 1. SO_REUSEADDR.
  kReusePort,          // 0 or 1. SO_REUSEPORT.
  kIpv6Only,           // 0 or 1. IPV6_V6ONLY.
  kResetOnClose,       // 1: the close discards unsent bytes and sends RST. SO_LINGER {1, 0}.
  kError,              // Get only: the pending error, which this clears. SO_ERROR.
};

enum class ShutdownHow : uint8_t { kRead, kWrite, kBoth };

// Counters since the start of the reactor.
struct ReactorStatistics {
  uint64_t polls = 0;
  uint64_t enters = 0;       // System calls that drove the loop (io_uring_enter, epoll_wait).
  uint64_t submissions = 0;  // Operations started and sources armed.
  uint64_t completions = 0;  // Terminal completions and items.
  uint64_t operations_in_flight = 0;
  uint64_t sources_armed = 0;
  uint64_t buffer_shortages = 0;      // Times that no receive buffer was free.
  uint64_t descriptor_shortages = 0;  // Times that an accept found no free descriptor.
  uint64_t wakes = 0;
  std::string description;  // One line: which reactor, what it chose, and why not better.
};

class Reactor {
 public:
  Reactor() = default;
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;
  virtual ~Reactor() = default;

  // The reactor of the shard that runs on this thread. CHECKs that there is one.
  static Reactor& Current() {
    CHECK(current_ != nullptr) << "not on a Tandem shard: sockets belong to code that runs under Runtime::BlockOn";
    return *current_;
  }

  // --- Clock and loop ---

  // The monotonic time; a clock read, not cached (the executor caches it per turn).
  virtual Instant ReadClock() = 0;
  // The wall-clock time, nanoseconds since 1970-01-01 UTC.
  virtual int64_t ReadWallClock() = 0;
  // The seed of this shard's addressed random numbers: from the world's seed and the host's name in the simulator,
  // from the operating system otherwise.
  virtual uint64_t random_seed() const = 0;

  // Submits what is queued, waits until something is to be reported or the clock reaches `until`, reports everything
  // that is there, and returns. InfinitePast() means: do not wait. Returns false, having reported nothing, when
  // nothing can ever be reported: only in the simulator, where that means deadlock.
  [[nodiscard]] virtual bool Poll(Instant until) = 0;
  // Makes a Poll() that is waiting, or the next one, return soon. Thread-safe, async-signal-safe.
  virtual void Wake() = 0;
  // `handler` is called from Poll() when the process was asked to stop (SIGINT, SIGTERM). After the first such signal
  // the default action is back, so that a second one kills. Null uninstalls.
  virtual void SetStopSignalHandler(std::function<void()> handler) = 0;

  // --- Operations and sources ---

  // Starts `operation`. REQUIRES that it is not in flight. Failures are completions like any other.
  void Submit(Operation& operation) {
    CHECK(!operation.in_flight()) << "an operation was started twice";
    operation.state_ = Operation::State::kSubmitted;
    ++in_flight_;
    SubmitOperation(operation);
  }
  // Asks for the end of `operation`; its completion still comes, with its real result when that was faster. Does
  // nothing when it is not in flight or already cancelling.
  void Cancel(Operation& operation) {
    if (operation.state_ != Operation::State::kSubmitted) return;
    operation.state_ = Operation::State::kCancelling;
    CancelOperation(operation);
  }
  // Arms `source`. REQUIRES that it is not armed.
  void Arm(Source& source) {
    CHECK(!source.armed()) << "a source was armed twice";
    source.state_ = Source::State::kArmed;
    source.delivered = 0;
    ++armed_;
    ArmSource(source);
  }
  // Asks for the end of the arming; items may still come before OnEnd(). Does nothing when not armed.
  void Disarm(Source& source) {
    if (source.state_ != Source::State::kArmed) return;
    source.state_ = Source::State::kDisarming;
    DisarmSource(source);
  }

  // --- Sockets: calls that do not wait. Return 0 or a value, or -errno. ---

  // A new TCP socket, non-blocking, close-on-exec.
  virtual int64_t OpenStreamSocket(AddressFamily family) = 0;
  virtual int Bind(SocketId socket, const SocketAddress& address) = 0;
  virtual int Listen(SocketId socket, int backlog) = 0;
  virtual int Shutdown(SocketId socket, ShutdownHow how) = 0;
  virtual int SetOption(SocketId socket, SocketOption option, int value) = 0;
  virtual int GetOption(SocketId socket, SocketOption option, int* value) = 0;
  virtual int LocalAddress(SocketId socket, SocketAddress* address) = 0;
  virtual int PeerAddress(SocketId socket, SocketAddress* address) = 0;

  // --- Memory and statistics ---

  // Pooled memory of this shard, for bytes that must leave the kernel's ring and for the simulator's segments.
  virtual HeapBufferPool& heap_buffers() = 0;
  virtual ReactorStatistics statistics() const = 0;
  // Operations in flight plus sources armed.
  uint64_t in_flight() const { return in_flight_ + armed_; }
  uint64_t operations_in_flight() const { return in_flight_; }
  uint64_t sources_armed() const { return armed_; }

 protected:
  virtual void SubmitOperation(Operation& operation) = 0;
  virtual void CancelOperation(Operation& operation) = 0;
  virtual void ArmSource(Source& source) = 0;
  virtual void DisarmSource(Source& source) = 0;

  // How implementations report. Each call ends the operation's or the arming's life in the reactor *before* the
  // callback, so that the callback may start it anew.
  void ReportComplete(Operation& operation, int64_t result) {
    CHECK(operation.in_flight()) << "a second completion for one start";
    operation.state_ = Operation::State::kIdle;
    --in_flight_;
    operation.OnComplete(result);
  }
  void ReportAccepted(Source& source, SocketId accepted) {
    CHECK(source.armed());
    source.OnAccepted(accepted);
  }
  void ReportReceived(Source& source, Buffer buffer) {
    CHECK(source.armed());
    source.delivered += buffer.size();
    source.OnReceived(std::move(buffer));
  }
  void ReportEnd(Source& source, SourceEnd end, int error) {
    CHECK(source.armed()) << "a second end for one arming";
    source.state_ = Source::State::kDisarmed;
    --armed_;
    source.OnEnd(end, error);
  }
  // For a simulated crash only.
  void ReportAbandoned(Operation& operation) {
    CHECK(operation.in_flight());
    operation.state_ = Operation::State::kAbandoned;
    --in_flight_;
    operation.OnAbandon();
  }
  void ReportAbandoned(Source& source) {
    CHECK(source.armed());
    source.state_ = Source::State::kDisarmed;
    --armed_;
    source.OnAbandon();
  }

 private:
  friend class Shard;
  static inline thread_local Reactor* current_ = nullptr;

  uint64_t in_flight_ = 0;
  uint64_t armed_ = 0;
};

// What a reactor is asked for. Every field has a default that suits a server; values outside of the ranges are clamped.
class ReactorOptions {
 public:
  ReactorOptions() {}  // User-declared: g++ 12 mishandles aggregates as arguments of awaited calls.

  // Submission queue entries, 1..32768; rounded up to a power of two.
  uint32_t ring_entries() const { return ring_entries_; }
  ReactorOptions& set_ring_entries(uint32_t entries) {
    ring_entries_ = entries;
    return *this;
  }
  // Receive buffers in the ring, rounded up to a power of two, at most 32768.
  uint32_t receive_buffers() const { return receive_buffers_; }
  ReactorOptions& set_receive_buffers(uint32_t count) {
    receive_buffers_ = count;
    return *this;
  }
  // Bytes in each receive buffer, 256 B..1 MiB.
  uint32_t receive_buffer_bytes() const { return receive_buffer_bytes_; }
  ReactorOptions& set_receive_buffer_bytes(uint32_t bytes) {
    receive_buffer_bytes_ = bytes;
    return *this;
  }
  // A kernel thread polls the submission queue (IORING_SETUP_SQPOLL): fewer system calls for one spinning processor.
  bool submission_thread() const { return submission_thread_; }
  ReactorOptions& set_submission_thread(bool on) {
    submission_thread_ = on;
    return *this;
  }

 private:
  uint32_t ring_entries_ = 1024;
  uint32_t receive_buffers_ = 1024;
  uint32_t receive_buffer_bytes_ = 16384;
  bool submission_thread_ = false;
};

// Makes the reactor of the world that this binary was linked with. Declared here, defined by exactly one reactor
// library. If the linker reports this symbol as undefined, the binary has no reactor: use tandem_binary() or
// tandem_test(), or add //uring:reactor, //sim:reactor or //core:reactor (what --config chooses) to its deps.
//
// Errors: those of the reactor; the message names the cause and the cure.
absl::StatusOr<std::unique_ptr<Reactor>> CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(
    const ReactorOptions& options);

}  // namespace tandem

#endif  // TANDEM_CORE_IO_REACTOR_H_
