// SPDX-License-Identifier: Apache-2.0
//
// The seam between Tandem and a world: what every reactor (io_uring, epoll, the simulator) implements.
//
// A reactor moves bytes and tells the time; it knows nothing of coroutines. It deals in two things:
//
//   Operation  one start, exactly one terminal completion (connect, send, send a file, send datagrams, close, run
//              blocking work, look up a name).
//   Source     armed once, any number of items, exactly one end per arming (accept, receive, receive datagrams).
//
// Both live in socket states (stream_socket.h, listener_socket.h, datagram_socket.h) that outlive every awaiter, so a
// cancelled call never leaves memory of a destroyed frame in the kernel's hands. Queues, budgets, ordering and lossless
// cancellation are in those states, above this seam: the simulator tests the code that ships.
//
// Submit, Cancel, Arm and Disarm never call back. Everything is reported from Poll(), and the callbacks in turn only
// change state and put coroutines into the ready queue; they may call Submit, Cancel, Arm and Disarm.
//
// Thread-hostile: a reactor belongs to one thread. Wake() alone may be called from any thread.

#ifndef TANDEM_CORE_IO_REACTOR_H_
#define TANDEM_CORE_IO_REACTOR_H_

#include <cerrno>
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
#include "core/io/datagram.h"
#include "core/io/reactor_kind.h"

namespace tandem {

class Reactor;

// Names an open socket within its reactor: the descriptor in real reactors. Never negative when valid.
using SocketId = int32_t;
inline constexpr SocketId kNoSocket = -1;

enum class SocketType : uint8_t {
  kStream,    // TCP, or a Unix stream socket.
  kDatagram,  // UDP, or a Unix datagram socket.
};

// A run of bytes to send. Has the layout of struct iovec.
struct IoSlice {
  const char* data = nullptr;
  size_t size = 0;
};

// A part of an open file, for kSendFile. `descriptor` is one of the program's own.
struct FileRange {
  int descriptor = -1;
  uint64_t offset = 0;
  uint64_t count = 0;  // Positive.
};

// Work that may block, for kRunBlocking.
class BlockingWork {
 public:
  // Called once, on another thread than the shard's; in the simulator on the one thread, outside of any shard. Must
  // neither throw nor touch tasks or sockets.
  virtual void Run() = 0;

 protected:
  ~BlockingWork() = default;
};

// A name to look up, and what was found, for kResolve.
struct NameLookup {
  std::string host;  // A host name; not an address in text.
  uint16_t port = 0;
  std::vector<SocketAddress>
      addresses;  // The result, best first, with `port`. Set when the operation completes with 0.
};

enum class OperationKind : uint8_t {
  kConnect,  // Connects the stream `socket` to `address`. Result 0.
  kSend,   // Sends `slices` in order, as MSG_WAITALL: result is the count sent. It is short when the call was cancelled
           // or the connection failed after some bytes, and may be short without a cause that shows: who wants all
           // sent submits the rest, and hears of a failure then. Never 0. An error with no byte sent is -errno. On a
           // Unix stream socket `descriptors` travel with the first byte.
  kClose,  // Closes `socket`. Nothing else may be in flight on it. Result 0 or -errno; the socket is gone either way.
           // With `may_block`, the close waits for the socket's linger time, which must not stop the loop. When the
           // system refuses a thread to wait in, it does not wait: what is unsent is still sent.
  kSendFile,       // As kSend, from `*file`, with the same promise about short results; the file may also end before
                   // its `count`. 0: nothing is left in it.
  kSendDatagrams,  // Sends `datagrams` in order, each whole or not at all: result is how many were sent, at least one;
                   // it stops at the first that fails or at a cancel, and may stop before for no cause that shows.
                   // -errno when the first one failed.
  kRunBlocking,    // Calls `work->Run()`. Result 0; or -ECANCELED or -EAGAIN, and then it was not and will not be
                   // called. -EAGAIN: the system refuses a thread to run it on. Once it runs it cannot be cancelled.
  kResolve,        // Looks `*lookup` up. Result 0; -ENOENT: there is no such name, or it has no address; -EAGAIN: the
                   // name servers failed for now, or the system refuses a thread to ask on; -EIO: they failed.
                   // Cancelling ends it at once.
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
  bool may_block = false;  // kClose.
  SocketId socket = kNoSocket;
  SocketAddress address;                         // kConnect.
  absl::Span<const IoSlice> slices;              // kSend. At most kMaxSlices, none empty.
  absl::Span<const int> descriptors;             // kSend. At most kMaxDescriptors.
  absl::Span<const OutgoingDatagram> datagrams;  // kSendDatagrams. At least one.
  union {
    const FileRange* file = nullptr;  // kSendFile.
    BlockingWork* work;               // kRunBlocking.
    NameLookup* lookup;               // kResolve.
  };
  static constexpr size_t kMaxSlices = 64;
  static constexpr size_t kMaxDescriptors = 253;  // SCM_MAX_FD of Linux, unix(7).

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
  kBudget,       // The budget is used up.
  kDisarmed,     // Disarm() was called.
  kError,        // The errno says why.
};

// A stream of items from one socket.
class Source {
 public:
  enum class State : uint8_t { kDisarmed, kArmed, kDisarming };
  enum class Kind : uint8_t { kAccept, kReceive, kReceiveDatagrams };

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
  // what it had in its completion queue. kReceiveDatagrams: how many datagrams, exactly; but those that the kernel has
  // coalesced (UDP_GRO) come together. Positive.
  size_t budget = 0;
  // kReceive on a Unix stream socket: deliver descriptors that come with the bytes (OnDescriptors()). Without it they
  // are closed, as read(2) does.
  bool wants_descriptors = false;

  // For the reactor alone while armed.
  uint32_t reactor_slot = 0;
  size_t delivered = 0;

 protected:
  virtual ~Source() { CHECK(!armed()) << "a source was destroyed while the reactor still had it"; }

  // kAccept: a connection was accepted and now belongs to the callee.
  virtual void OnAccepted(SocketId accepted) { CHECK(false) << "not an accept source: " << accepted; }
  // kReceive: bytes arrived. Never empty.
  virtual void OnReceived(Buffer) { CHECK(false) << "not a receive source"; }
  // kReceive with wants_descriptors: these came with the bytes of the OnReceived() that follows.
  virtual void OnDescriptors(std::vector<OwnedDescriptor>) { CHECK(false) << "not a source of descriptors"; }
  // kReceiveDatagrams: a datagram arrived. May be empty. An error that the kernel reports between datagrams (ICMP, on
  // a connected socket) ends the arming with kError and takes nothing with it: arming anew goes on.
  virtual void OnDatagram(Datagram) { CHECK(false) << "not a datagram source"; }
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
  kNoDelay,              // 0 or 1. TCP_NODELAY.
  kReceiveBufferSize,    // Bytes. SO_RCVBUF: Linux doubles the value and enforces a minimum; a get returns the result.
  kSendBufferSize,       // Bytes. SO_SNDBUF, likewise.
  kReuseAddress,         // 0 or 1. SO_REUSEADDR.
  kReusePort,            // 0 or 1. SO_REUSEPORT.
  kIpv6Only,             // 0 or 1. IPV6_V6ONLY.
  kLinger,               // Seconds, SO_LINGER: -1 off; 0: the close discards unsent bytes and sends RST; else the close
                         // waits up to so long for unsent bytes to be acknowledged.
  kError,                // Get only: the pending error, which this clears. SO_ERROR.
  kKeepAlive,            // 0 or 1. SO_KEEPALIVE.
  kKeepAliveIdle,        // Seconds of silence before the first probe. TCP_KEEPIDLE.
  kKeepAliveInterval,    // Seconds between probes. TCP_KEEPINTVL.
  kKeepAliveCount,       // Unanswered probes before the connection is given up. TCP_KEEPCNT.
  kUserTimeout,          // Milliseconds that sent bytes may stay unacknowledged; 0: the system's. TCP_USER_TIMEOUT.
  kQuickAck,             // 0 or 1; not permanent. TCP_QUICKACK.
  kTrafficClass,         // The DSCP and ECN byte, 0..255. IP_TOS, IPV6_TCLASS.
  kTimeToLive,           // 1..255. IP_TTL, IPV6_UNICAST_HOPS.
  kBroadcast,            // 0 or 1. SO_BROADCAST.
  kMulticastTimeToLive,  // 0..255. IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS.
  kMulticastLoop,        // 0 or 1: this host's members get a copy. IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP.
  kMulticastInterface,   // An interface's index, 0: the route decides. IP_MULTICAST_IF (ip_mreqn), IPV6_MULTICAST_IF.
  kPacketInfo,           // 0 or 1: Datagram::destination and interface_index are set. IP_PKTINFO, IPV6_RECVPKTINFO.
};

// Who is at the other end of a Unix stream socket, when it was connected. SO_PEERCRED, unix(7).
struct PeerCredentials {
  int64_t process_id = 0;
  uint32_t user_id = 0;
  uint32_t group_id = 0;
};

enum class SignalWatch : uint8_t {
  kOff,     // The signal has the action that it had before.
  kOnce,    // The first one is reported, and the next has its default action, at once: a second SIGINT kills.
  kAlways,  // Each is reported.
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
  // Watched signals do not have their default action; `handler` is called from Poll() with the signal's number, once
  // for any number of them that came since the last call. Null uninstalls, and un-watches all.
  virtual void SetSignalHandler(std::function<void(int signal)> handler) = 0;
  // 0, or -EINVAL: not a signal, or one that cannot be caught (signal(7)). REQUIRES a handler.
  virtual int WatchSignal(int signal, SignalWatch watch) = 0;

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

  // A new socket, non-blocking, close-on-exec: TCP, UDP or Unix.
  virtual int64_t OpenSocket(AddressFamily family, SocketType type) = 0;
  // Two connected Unix sockets.
  virtual int OpenSocketPair(SocketType, SocketId (&)[2]) { return -EOPNOTSUPP; }
  virtual int Bind(SocketId socket, const SocketAddress& address) = 0;
  virtual int Listen(SocketId socket, int backlog) = 0;
  // Sets the peer of a datagram socket; no address: dissolves the association (connect(2), AF_UNSPEC).
  virtual int ConnectDatagrams(SocketId, const SocketAddress&) { return -EOPNOTSUPP; }
  virtual int Shutdown(SocketId socket, ShutdownHow how) = 0;
  virtual int SetOption(SocketId socket, SocketOption option, int value) = 0;
  virtual int GetOption(SocketId socket, SocketOption option, int* value) = 0;
  virtual int SetMembership(SocketId, const MulticastGroup&, bool /*join*/) { return -EOPNOTSUPP; }
  virtual int LocalAddress(SocketId socket, SocketAddress* address) = 0;
  virtual int PeerAddress(SocketId socket, SocketAddress* address) = 0;
  virtual int GetPeerCredentials(SocketId, PeerCredentials*) { return -EOPNOTSUPP; }
  // Closes a descriptor that came over a Unix socket.
  virtual void CloseDescriptor(int /*descriptor*/) {}

  // What is possible at once; -EAGAIN when that is nothing. REQUIRES that no source is armed and nothing is in flight
  // in that direction.
  virtual int64_t TryAccept(SocketId) { return -EOPNOTSUPP; }
  virtual int64_t TryReceive(SocketId, absl::Span<char>) { return -EOPNOTSUPP; }  // 0: the end of the stream.
  virtual int64_t TrySend(SocketId, absl::Span<const IoSlice>) { return -EOPNOTSUPP; }
  // Appends what is there: one datagram, or those that the kernel has coalesced to one (UDP_GRO). Their count.
  virtual int64_t TryReceiveDatagrams(SocketId, std::vector<Datagram>*) { return -EOPNOTSUPP; }
  virtual int64_t TrySendDatagrams(SocketId, absl::Span<const OutgoingDatagram>) { return -EOPNOTSUPP; }

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
  void ReportDescriptors(Source& source, std::vector<OwnedDescriptor> descriptors) {
    CHECK(source.armed());
    source.OnDescriptors(std::move(descriptors));
  }
  void ReportDatagram(Source& source, Datagram datagram) {
    CHECK(source.armed());
    ++source.delivered;
    source.OnDatagram(std::move(datagram));
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

// The reactor that an object was made on, for calls from there: a socket that is used on another shard would otherwise
// reach whatever has its number there.
class OwnReactor {
 public:
  Reactor* operator->() const {
    CHECK(reactor_ == &Reactor::Current()) << "a socket is used on another shard than its own";
    return reactor_;
  }

 private:
  Reactor* const reactor_ = &Reactor::Current();
};

// What a reactor is asked for. Every field has a default that suits a server; values outside of the ranges are clamped.
class ReactorOptions {
 public:
  ReactorOptions() {}  // User-declared: g++ 12 mishandles aggregates as arguments of awaited calls.

  // Which reactor, on a real machine; a simulation has one. kAuto leaves the choice to the environment variable
  // TANDEM_REACTOR (auto, uring or epoll), and without it to the kernel.
  ReactorKind kind() const { return kind_; }
  ReactorOptions& set_kind(ReactorKind kind) {
    kind_ = kind;
    return *this;
  }
  // The others are for io_uring; epoll needs none of them.
  //
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
  ReactorKind kind_ = ReactorKind::kAuto;
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
