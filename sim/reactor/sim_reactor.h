// SPDX-License-Identifier: Apache-2.0
//
// The reactor of a simulated host: the contract of core/io/reactor.h over a HostStack.
//
// This file is the contract: clocks, signals, Poll(), and who does what. The work is done by its parts, one file each:
// what will be told (report_queue.h), what is in flight (descriptor_table.h, slots.h), connects, sends, sources, closes
// and errands, and what faults decide about them (fault_draws.h).
//
// One SimReactor is one run of a host's process; when the host starts again, it gets a new one on the same stack.
// Poll() reports what is there, in order, and never waits; what makes waiting possible in a program without a World is
// left to a derived class. Completions become reportable by events of the queue or by calls of the program, and then
// the HostWaker is told once.
//
// At most one kSend, kSendFile or kSendDatagrams and one kConnect in flight, and one Source armed, per socket
// (CHECKed).

#ifndef TANDEM_SIM_REACTOR_SIM_REACTOR_H_
#define TANDEM_SIM_REACTOR_SIM_REACTOR_H_

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/reactor/closes.h"
#include "tandem/sim/reactor/connects.h"
#include "tandem/sim/reactor/descriptor_table.h"
#include "tandem/sim/reactor/errands.h"
#include "tandem/sim/reactor/fault_draws.h"
#include "tandem/sim/reactor/host_waker.h"
#include "tandem/sim/reactor/operation_failures.h"
#include "tandem/sim/reactor/program.h"
#include "tandem/sim/reactor/report_queue.h"
#include "tandem/sim/reactor/send_path.h"
#include "tandem/sim/reactor/slots.h"
#include "tandem/sim/reactor/source_path.h"

namespace tandem::sim {

// 2030-01-01T00:00:00Z: the wall-clock time of virtual time 0, when a host's wall clock is right. Equal to what the
// interposed clocks show before a world starts.
inline constexpr int64_t kWallEpochNs = 1'893'456'000 * int64_t{1'000'000'000};

// What the process of a host opens after its end.
inline constexpr SocketId kVoidSocket = std::numeric_limits<SocketId>::max();

struct SimReactorOptions {
  SimReactorOptions() {}

  // True: an armed receive takes bytes as they arrive, as a multishot receive does, so a Disarm() is still followed by
  // what had arrived. False: bytes stay in the kernel until Poll(), as with epoll, and a Disarm() leaves them there.
  bool read_ahead = true;
  // Which run of the host's process this is, from 0: each run draws random numbers of its own.
  uint64_t run = 0;
};

class SimReactor : public Reactor, private StackObserver, private Program, private ReportQueue::Owner {
 public:
  // Everything outlives the reactor. `waker` may be null.
  SimReactor(HostStack& stack, HostWaker* waker, const SimReactorOptions& options = SimReactorOptions());
  // Abandons what is left.
  ~SimReactor() override;

  HostStack& stack() { return stack_; }

  // --- For the World ---

  // True when Poll() would report something.
  bool has_pending() const { return !reports_.empty() || woken_ || pending_signals_ != 0; }
  // True when nothing that happens elsewhere can reach the program: it waits for no operation, source or signal but
  // those that end it.
  bool hears_nothing() const;
  // A stream that the program waits to read from, by both addresses; its own first.
  struct Reader {
    SocketId socket;
    SocketAddress local;
    SocketAddress peer;
  };
  std::vector<Reader> Readers();
  // From now on nothing that the process calls has an effect, in the middle of its turn too: Submit and Arm are traced
  // no-ops that never report, and the other calls say what lets the caller go on to one of these: done, or would block.
  // To be followed by Abandon().
  void Stop();
  // The host crashed or its process was killed: Stop(), and OnAbandon() for every operation and source, in a fixed
  // order. Afterwards Submit and Arm are traced no-ops that never report; call Abandon() again after the program's
  // frames are destroyed, to give back what they submitted. Poll() reports nothing.
  void Abandon();
  bool abandoned() const { return abandoned_; }
  // Blocking work that a fault has made stick takes no longer.
  void EndStuckWork() { errands_.EndStuckWork(); }
  // The next Poll() reports `signal`. False when it is not watched: its default action is then the caller's.
  bool DeliverSignal(int signal);

  // --- Reactor ---

  Instant ReadClock() override;
  int64_t ReadWallClock() override;
  uint64_t random_seed() const override { return random_seed_; }
  // Reports what was there when it was called; `until` does not matter. Always true.
  [[nodiscard]] bool Poll(Instant until) override;
  void Wake() override;
  void SetSignalHandler(std::function<void(int signal)> handler) override;
  int WatchSignal(int signal, SignalWatch watch) override;
  int64_t OpenSocket(AddressFamily family, SocketType type) override;
  int Bind(SocketId socket, const SocketAddress& address) override;
  int Listen(SocketId socket, int backlog) override;
  int ConnectDatagrams(SocketId socket, const SocketAddress& address) override;
  int Shutdown(SocketId socket, ShutdownHow how) override;
  int SetOption(SocketId socket, SocketOption option, int value) override;
  int GetOption(SocketId socket, SocketOption option, int* value) override;
  int SetMembership(SocketId socket, const MulticastGroup& group, bool join) override;
  int LocalAddress(SocketId socket, SocketAddress* address) override;
  int PeerAddress(SocketId socket, SocketAddress* address) override;
  int64_t TryAccept(SocketId socket) override;
  int64_t TryReceive(SocketId socket, absl::Span<char> target) override;
  int64_t TrySend(SocketId socket, absl::Span<const IoSlice> slices) override;
  int64_t TryReceiveDatagrams(SocketId socket, std::vector<Datagram>* datagrams) override;
  int64_t TrySendDatagrams(SocketId socket, absl::Span<const OutgoingDatagram> datagrams) override;
  HeapBufferPool& heap_buffers() override { return stack_.network().buffers(); }
  ReactorStatistics statistics() const override;

 protected:
  void SubmitOperation(Operation& operation) override;
  void CancelOperation(Operation& operation) override;
  void ArmSource(Source& source) override;
  void DisarmSource(Source& source) override;

 private:
  // What a call says after the end of its process: `in_turn` to one that does not know of it yet.
  int AfterEnd(int in_turn) const { return stopped_ ? in_turn : -EBADF; }

  // The program calls. What waits for this call happens first.
  void CountCall() {
    if (!abandoned_) stack_.CountCall();
  }

  // Of the host.
  void OnConnected(SocketId socket, int error) override;
  void OnSendable(SocketId socket) override;
  void OnReceivable(SocketId socket) override;
  void OnAcceptable(SocketId socket) override;
  void OnDescriptorFree() override;
  void OnLingerEnd(uint64_t ticket) override;

  // For the parts.
  bool is_over() const override { return abandoned_; }
  void TellProgress(Operation& operation) override { NoteProgress(operation); }
  void TellAccepted(Source& source, SocketId accepted) override { ReportAccepted(source, accepted); }
  void TellReceived(Source& source, Buffer buffer) override { ReportReceived(source, std::move(buffer)); }
  void TellDatagram(Source& source, Datagram datagram) override { ReportDatagram(source, std::move(datagram)); }
  void TellEnd(Source& source, SourceEnd end, int error) override;
  void OnReport() override { NotifyRunnable(); }
  void OnDue(const Report& report) override;

  void TellSignals();
  void TellOperation(const Report& report);
  // Cancels what `operation` is on its descriptor, if it is still in flight there.
  void CancelNow(const Operation& operation);
  void OnLateCancel(const Report& report);
  void NotifyRunnable();

  HostStack& stack_;
  Network& network_;
  HostWaker* const waker_;
  const SimReactorOptions options_;
  const Entity process_;  // This run of the host's process: "client/run#0".
  const uint64_t random_seed_;

  bool abandoned_ = false;
  bool stopped_ = false;  // In the middle of a turn; Abandon() is to come.
  bool polling_ = false;
  bool woken_ = false;
  bool told_waker_ = false;
  std::function<void(int signal)> signal_handler_;
  std::array<SignalWatch, 65> watched_signals_{};  // By number.
  uint64_t pending_signals_ = 0;                   // Bit `signal - 1`.

  ReactorStatistics statistics_;
  Slots slots_;
  DescriptorTable descriptors_;
  ReportQueue reports_;
  FaultDraws draws_;
  OperationFailures failures_;
  Connects connects_;
  SendPath sends_;
  SourcePath sources_;
  Closes closes_;
  Errands errands_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REACTOR_SIM_REACTOR_H_
