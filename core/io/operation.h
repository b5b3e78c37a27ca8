// SPDX-License-Identifier: Apache-2.0
//
// Operation: one call in flight at a reactor (reactor.h), with one start and exactly one terminal completion.

#ifndef TANDEM_CORE_IO_OPERATION_H_
#define TANDEM_CORE_IO_OPERATION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/log/check.h"
#include "absl/types/span.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/socket_options.h"

namespace tandem {

class Reactor;

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
  // The result, best first, with `port`. Set when the operation completes with 0.
  std::vector<SocketAddress> addresses;
};

enum class OperationKind : uint8_t {
  kConnect,  // Connects the stream `socket` to `address`. Result 0.
  kSend,   // Sends `slices` in order, as MSG_WAITALL: result is the count sent. It is short when the call was cancelled
           // or the connection failed after some bytes, and may be short without a cause that shows: who wants all
           // sent submits the rest, and hears of a failure then. Never 0. An error with no byte sent is -errno. On a
           // Unix stream socket `descriptors` travel with the first byte.
  kClose,  // Closes `socket`. Nothing else may be in flight on it. Result 0 or -errno; the socket is gone either way.
           // With `may_block`, the result comes when all that was sent is acknowledged, or after the socket's linger
           // time, which stops neither the loop nor any other operation: what is unsent then is still sent.
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
  kAwaitReadable,  // Waits until the descriptor `socket`, which may be of any open file, is readable (poll(2), POLLIN),
                   // has an error or has been hung up. Result 0. Any number may wait for one descriptor. Only with
                   // Reactor::awaits_descriptors().
  kAwaitWritable,  // Likewise for POLLOUT.
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
  bool may_block = false;       // kClose.
  bool some_is_enough = false;  // kSend: completes rather than wait when it has sent some.
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

  // kSend and kSendFile, in flight: when the reactor was last seen to send some and to have the rest wait for room, or
  // for a later turn; InfinitePast() before.
  Instant progress() const { return progress_; }

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
  Instant progress_ = Instant::InfinitePast();
};

}  // namespace tandem

#endif  // TANDEM_CORE_IO_OPERATION_H_
