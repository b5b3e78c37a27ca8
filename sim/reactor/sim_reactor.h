// SPDX-License-Identifier: Apache-2.0
//
// The reactor of a simulated host: the contract of core/io/reactor.h over a HostStack.
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
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/random.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {

// 2030-01-01T00:00:00Z: the wall-clock time of virtual time 0, when a host's wall clock is right. Equal to what the
// interposed clocks show before a world starts.
inline constexpr int64_t kWallEpochNs = 1'893'456'000 * int64_t{1'000'000'000};

// What the process of a host opens after its end.
inline constexpr SocketId kVoidSocket = std::numeric_limits<SocketId>::max();

// Told when a host has something to do.
class HostWaker {
 public:
  // The reactor has turned from nothing to report to something to report. Called from events, from calls of the
  // program, and at the end of a Poll() that left something for the next one. Must not call Poll().
  virtual void OnRunnable() = 0;
  // Calls `work`, outside of any shard. Returns how long it slept, in nanoseconds.
  virtual int64_t RunWork(BlockingWork& work) {
    work.Run();
    return 0;
  }
  // The process does not run before or at this time, threads included; one that is past: it runs.
  virtual int64_t paused_until_ns() const { return -1; }

 protected:
  ~HostWaker() = default;
};

struct SimReactorOptions {
  SimReactorOptions() {}

  // True: an armed receive takes bytes as they arrive, as a multishot receive does, so a Disarm() is still followed by
  // what had arrived. False: bytes stay in the kernel until Poll(), as with epoll, and a Disarm() leaves them there.
  bool read_ahead = true;
  // Which run of the host's process this is, from 0: each run draws random numbers of its own.
  uint64_t run = 0;
  // How long blocking work waits for a thread and then takes, together; drawn for each, between these.
  int64_t work_min_ns = 10'000;
  int64_t work_max_ns = 1'000'000;
};

class SimReactor : public Reactor, private StackObserver {
 public:
  // Everything outlives the reactor. `waker` may be null.
  SimReactor(HostStack& stack, HostWaker* waker, const SimReactorOptions& options = SimReactorOptions());
  // Abandons what is left.
  ~SimReactor() override;

  HostStack& stack() { return stack_; }

  // --- For the World ---

  // True when Poll() would report something.
  bool has_pending() const { return !reports_.empty() || woken_ || pending_signals_ != 0; }
  // From now on nothing that the process calls has an effect, in the middle of its turn too: Submit and Arm are traced
  // no-ops that never report, and the other calls say what lets the caller go on to one of these: done, or would block.
  // To be followed by Abandon().
  void Stop();
  // The host crashed or its process was killed: Stop(), and OnAbandon() for every operation and source, in a fixed
  // order. Afterwards Submit and Arm are traced no-ops that never report; call Abandon() again after the program's
  // frames are destroyed, to give back what they submitted. Poll() reports nothing.
  void Abandon();
  bool abandoned() const { return abandoned_; }
  // The next Poll() reports `signal`. False when it is not watched: its default action is then the caller's.
  bool DeliverSignal(int signal);
  // What is added to the clocks of this host.
  void set_clock_offset_ns(int64_t offset_ns) { clock_offset_ns_ = offset_ns; }
  int64_t clock_offset_ns() const { return clock_offset_ns_; }
  void set_wall_offset_ns(int64_t offset_ns) { wall_offset_ns_ = offset_ns; }
  int64_t wall_offset_ns() const { return wall_offset_ns_; }

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

  // Something for Poll(): the end of an operation, or a socket that is worth looking at. Or, only ever delayed, a
  // cancel or a disarm that takes effect.
  struct Report {
    enum class Kind : uint8_t { kOperation, kSend, kSource, kCancel, kDisarm };
    Kind kind;
    SocketId socket;
    Operation* operation;  // kOperation: this has ended...
    int64_t result;        // ...with that.
    uint64_t start = 0;    // kCancel, kDisarm: which submission or arming is meant.
  };

  // What can be late, for draws.
  enum class Late : uint8_t { kCancel, kLook, kEnd };

  // What is in flight on a descriptor, and how many decisions of each kind there were about it.
  struct Descriptor {
    Operation* connect = nullptr;
    Operation* send = nullptr;
    Source* source = nullptr;
    bool connect_ended = false;    // Its report is on the way.
    bool send_ended = false;       // Likewise.
    bool source_reported = false;  // A report for the source is on the way.
    bool disarming = false;
    bool slow_write_waits = false;
    uint64_t connect_start = 0;  // Which submission it is.
    uint64_t send_start = 0;
    uint64_t source_start = 0;  // Which arming it is.
    size_t send_done = 0;
    size_t send_limit = 0;       // Where the send ends: its size, or less by a short-write fault.
    size_t slow_write_step = 0;  // A slow-write fault: this many bytes at a time. 0: no fault.
    uint64_t sends = 0;
    uint64_t receives = 0;
    uint64_t reports = 0;
    uint64_t overshoots = 0;
    std::array<uint64_t, 3> lates = {};  // By Late.
  };

  // A report that comes later: held back by completion jitter, or the next step of a slow write.
  class DelayedReport final : public Event {
   public:
    explicit DelayedReport(SimReactor& reactor) : reactor_(reactor) {}
    ~DelayedReport() override = default;
    Report report;

   private:
    void Run() override { reactor_.OnDelayed(*this); }
    SimReactor& reactor_;
  };

  // Something that takes time and concerns no socket: blocking work, or the lookup of a name.
  class Errand final : public Event {
   public:
    enum class Phase : uint8_t { kIdle, kLookup, kWorkWaits, kWorkRuns, kWorkSleeps };

    explicit Errand(SimReactor& reactor) : reactor_(reactor) {}
    ~Errand() override = default;
    Phase phase = Phase::kIdle;
    Operation* operation = nullptr;
    uint64_t ordinal = 0;
    int64_t run_ns = 0;  // kWorkWaits: how long it will run.
    int error = 0;       // kLookup: a fault, as a positive errno.

   private:
    void Run() override { reactor_.OnErrand(*this); }
    SimReactor& reactor_;
  };

  void OnConnected(SocketId socket, int error) override;
  void OnSendable(SocketId socket) override;
  void OnReceivable(SocketId socket) override;
  void OnAcceptable(SocketId socket) override;
  void OnDescriptorFree() override;
  void OnLingerEnd(uint64_t ticket) override;

  Descriptor& DescriptorOf(SocketId socket) {
    const auto index = static_cast<size_t>(socket);  // Huge for what is not a socket.
    return index < descriptors_.size() ? *descriptors_[index] : NewDescriptor(socket);
  }
  Descriptor& NewDescriptor(SocketId socket);

  void CancelNow(Operation& operation);
  void DisarmNow(Descriptor& descriptor, SocketId socket);
  void OnLateCancel(const Report& report);
  void OnLateDisarm(const Report& report);
  // How long `what` is held up by the fault `chance`; 0: not at all.
  int64_t DrawLateness(Probability chance, Late what, SocketId socket);
  // True when the look at a source is to be repeated later, which it will be.
  bool PostponeLook(Probability chance, Late what, SocketId socket);
  void StartConnect(Operation& operation);
  // kSend and kSendFile.
  void StartSend(Operation& operation);
  void StartSendDatagrams(Operation& operation);
  void StartClose(Operation& operation);
  void StartWork(Operation& operation);
  void StartLookup(Operation& operation);
  void DrawSendFaults(Descriptor& descriptor, SocketId socket, size_t size);
  // Moves bytes of the send in flight into the send buffer.
  void ContinueSend(SocketId socket);
  int64_t WriteSlices(const Descriptor& descriptor, TcpSocket& socket, size_t limit);
  int64_t WriteFile(Descriptor& descriptor, TcpSocket& socket, size_t limit);
  void ContinueSendDatagrams(Descriptor& descriptor, SocketId socket);
  void EndSend(Descriptor& descriptor, int64_t result);
  Errand& NewErrand(Operation& operation, Errand::Phase phase);
  void OnErrand(Errand& errand);
  void CallWork(Errand& errand);
  void AnswerLookup(Errand& errand);
  void CancelErrand(const Operation& operation);
  void EndErrand(Errand& errand, int64_t result);
  void RecordWork(const Errand& errand, uint64_t what);
  void EndClose(Operation& operation, uint64_t draw, int64_t result);

  void Complete(Operation& operation, int64_t result);
  void ReportSource(SocketId socket);
  void Push(const Report& report);
  void PushJittered(const Report& report, uint64_t draw);
  void PushNow(const Report& report);
  void PushLater(const Report& report, int64_t delay_ns);
  void OnDelayed(DelayedReport& delayed);
  void NotifyRunnable();
  // What decisions about `socket` are addressed by.
  Entity EntityOf(SocketId socket) const;
  uint64_t Draw(Choice what, SocketId socket, uint64_t ordinal, uint64_t part = 0) const;

  void TellOperation(const Report& report);
  void TellSource(SocketId socket);
  void TellAccepted(Descriptor& descriptor);
  void TellReceived(Descriptor& descriptor);
  void TellDatagrams(Descriptor& descriptor);
  bool IsReady(const Source& source) const;
  size_t DrawOvershoot(Descriptor& descriptor, SocketId socket);
  size_t DrawReceiveLimit(Descriptor& descriptor, const TcpSocket& socket, size_t wanted);
  void EndSource(Descriptor& descriptor, SourceEnd end, int error);

  uint32_t TakeSlot(Operation* operation, Source* source);
  void FreeSlot(uint32_t slot);

  HostStack& stack_;
  Network& network_;
  HostWaker* const waker_;
  const SimReactorOptions options_;
  const Entity process_;  // This run of the host's process: "client/run#0".
  const uint64_t random_seed_;
  int64_t clock_offset_ns_ = 0;
  int64_t wall_offset_ns_ = 0;

  bool abandoned_ = false;
  bool stopped_ = false;  // In the middle of a turn; Abandon() is to come.
  bool polling_ = false;
  bool woken_ = false;
  bool told_waker_ = false;
  bool accepts_starved_ = false;  // An accept source waits for a descriptor.
  std::function<void(int signal)> signal_handler_;
  std::array<SignalWatch, 65> watched_signals_{};  // By number.
  uint64_t pending_signals_ = 0;                   // Bit `signal - 1`.

  struct Slot {
    Operation* operation = nullptr;
    Source* source = nullptr;
  };
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  // Closes that wait for their linger time.
  struct LingeringClose {
    uint64_t ticket;
    Operation* operation;
    uint64_t draw;
  };
  std::vector<LingeringClose> lingering_;
  uint64_t next_ticket_ = 1;
  std::vector<Report> reports_;
  std::vector<Report> polled_;  // What Poll() works on; kept for its memory.
  std::vector<std::unique_ptr<Descriptor>> descriptors_;
  std::vector<std::unique_ptr<DelayedReport>> delayed_;
  std::vector<DelayedReport*> free_delayed_;
  std::vector<std::unique_ptr<Errand>> errands_;
  uint64_t works_ = 0;                       // Blocking work so far.
  std::map<std::string, uint64_t> lookups_;  // Lookups so far, by name.
  ReactorStatistics statistics_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REACTOR_SIM_REACTOR_H_
