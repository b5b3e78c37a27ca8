// SPDX-License-Identifier: Apache-2.0
//
// The seam between Tandem and a world: what every reactor (io_uring, epoll, the simulator) implements.
//
// A reactor moves bytes and tells the time; it knows nothing of coroutines. It deals in two things:
//
//   Operation  (operation.h) one start, exactly one terminal completion: connect, send, send a file, send datagrams,
//              close, run blocking work, look up a name, wait for a descriptor.
//   Source     (source.h) armed once, any number of items, exactly one end per arming: accept, receive, receive
//              datagrams.
//
// Both live in socket states (stream_socket.h, listener_socket.h, datagram_socket.h) that outlive every awaiter, so a
// cancelled call never leaves memory of a destroyed frame in the kernel's hands. Queues, budgets, ordering and lossless
// cancellation are in those states, above this seam: the simulator tests the code that ships.
//
// Submit, Cancel, Arm and Disarm never call back. Everything is reported from Poll(), and the callbacks in turn only
// change state and put coroutines into the ready queue; they may call Submit, Cancel, Arm and Disarm.
//
// Thread-hostile: a reactor belongs to one thread. Wake() alone may be called from any thread.
//
// No part of the API that programs use: tandem.h has ReactorOptions and ReactorStatistics, and Reactor only by name.

#ifndef TANDEM_CORE_IO_REACTOR_H_
#define TANDEM_CORE_IO_REACTOR_H_

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/types/span.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/activated_socket.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/operation.h"
#include "tandem/core/io/own_reactor.h"
#include "tandem/core/io/reactor_statistics.h"
#include "tandem/core/io/socket_options.h"
#include "tandem/core/io/source.h"

namespace tandem {

enum class SignalWatch : uint8_t {
  kOff,     // The signal has the action that it had before.
  kOnce,    // The first one is reported, and the next has its default action, at once: a second SIGINT kills.
  kAlways,  // Each is reported.
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
    operation.progress_ = Instant::InfinitePast();
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

  // --- Descriptors from elsewhere. A simulated process has none. ---

  // -EBADF: it is not open. -ENOTSOCK. -EPROTONOSUPPORT: a socket of another protocol than TCP, UDP and Unix sockets.
  virtual int DescribeSocket(int /*descriptor*/, SocketDescription*) { return -EOPNOTSUPP; }
  // Takes over an open socket: makes it non-blocking and close-on-exec. Its SocketId; or -errno, and it stays as it is.
  virtual int64_t AdoptSocket(int /*descriptor*/) { return -EOPNOTSUPP; }
  // Those that this process was started with (sd_listen_fds(3)), the first time; later none. -EINVAL: the environment
  // is malformed. -EBADF: a descriptor that it names is not open.
  virtual int TakeActivatedSockets(std::vector<ActivatedSocket>*) { return 0; }
  // Whether there are kAwaitReadable and kAwaitWritable here.
  virtual bool awaits_descriptors() const { return false; }

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
  // Some of `operation` is done, and the rest waits.
  void NoteProgress(Operation& operation) { operation.progress_ = ReadClock(); }
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

  Counter in_flight_;
  Counter armed_;
};

inline OwnReactor::OwnReactor() : reactor_(&Reactor::Current()) {}

inline Reactor* OwnReactor::operator->() const {
  CHECK(reactor_ == &Reactor::Current()) << "a socket is used on another shard than its own";
  return reactor_;
}

}  // namespace tandem

#endif  // TANDEM_CORE_IO_REACTOR_H_
