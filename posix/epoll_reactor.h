// SPDX-License-Identifier: Apache-2.0
//
// EpollReactor: Reactor (core/io/reactor.h) on epoll, for machines that refuse io_uring.
//
// A descriptor has two sides, in and out, and each side serves at most one Operation or Source at a time. A side is a
// small machine: a step tries the system call, reports what it gave, and on EAGAIN waits for the kernel. A step does a
// bounded piece of work, so that a busy socket holds nobody up; what could go on at once is queued for the next Poll().
// Nothing is read that nobody has asked for, and a socket that waits holds no buffer.
//
// Edge-triggered: a descriptor is registered once, when it first has to wait, for both directions, and each side
// remembers whether it may be ready. Level-triggered would need an epoll_ctl(2) whenever the interest changes: at each
// pause of a receive and around each send that waits. Edges need none; their price is an event now and then for which
// nobody waits. A side may only wait after it has seen EAGAIN, or a short receive on a socket where that says the same
// (which saves an echo server 3 to 5% of its processor time).
//
// An event carries the descriptor's number and generation, so one that was meant for a closed socket is not taken for
// its successor's.
//
// One epoll_wait(2) per Poll().
//
// Thread-hostile, but for Wake(). It may be created on another thread than the one that first calls Poll().

#ifndef TANDEM_POSIX_EPOLL_REACTOR_H_
#define TANDEM_POSIX_EPOLL_REACTOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/posix/back_off.h"
#include "tandem/posix/descriptor_waits.h"
#include "tandem/posix/posix_reactor.h"

struct epoll_event;

namespace tandem::posix {

class EpollReactor final : public PosixReactor {
 public:
  // Errors:
  //   kResourceExhausted  No free descriptor (EMFILE, ENFILE) or no memory for the epoll instance.
  static absl::StatusOr<std::unique_ptr<EpollReactor>> Create();
  // With something in flight, operations and sources are dropped without a report; the kernel holds nothing of theirs.
  ~EpollReactor() override;

  [[nodiscard]] bool Poll(Instant until) override;
  ReactorStatistics statistics() const override;

  // Events that came for a descriptor that had been closed, and were dropped.
  uint64_t late_events() const { return late_events_; }
  // Does as if this kernel had no epoll_pwait2(2).
  void DisableNanosecondWaitForTest() { nanosecond_wait_ = false; }

 private:
  // Names a side: twice the descriptor, plus one for out.
  using SideName = uint32_t;

  struct Side {
    Operation* operation = nullptr;  // At most one of the two is set.
    Source* source = nullptr;
    bool ready = true;  // May be: a try tells. When false, the descriptor is registered and an event will come.
    bool queued = false;
    bool backing_off = false;
    bool connecting = false;  // kConnect: connect(2) has begun.
    uint32_t failures = 0;    // In a row, for which to back off.
    int kept_error = 0;       // kSend: what ended the sends after some bytes of an operation.
    uint64_t done = 0;        // Bytes or datagrams of the operation.
  };

  struct Descriptor {
    SocketId id = kNoSocket;
    uint32_t generation = 0;
    bool registered = false;
    bool stream_of_packets = false;  // Its receives may be short although there is more: a Unix socket.
    bool irregular = false;          // Likewise: there is an end, an error or urgent data to come.
    bool receive_ended = false;      // EPOLLRDHUP was reported.
    bool bulk = false;               // See ReceiveIntoHeap().
    Side in;
    Side out;
  };

  static constexpr size_t kDescriptorsPerChunk = 256;
  static constexpr size_t kMaxEvents = 256;

  EpollReactor(int epoll_descriptor, int wake_descriptor);

  // --- Reactor ---
  void SubmitOperation(Operation& operation) override;
  void CancelOperation(Operation& operation) override;
  void ArmSource(Source& source) override;
  void DisarmSource(Source& source) override;
  // --- PosixReactor ---
  void OnDescriptorFreed() override;

  // --- Descriptors and sides ---
  Descriptor& At(SocketId socket);
  static SideName NameOf(const Descriptor& descriptor, const Side& side);
  Side& SideAt(SideName name);
  void Queue(Descriptor& descriptor, Side& side);
  void WaitFor(Descriptor& descriptor, Side& side);
  int Register(Descriptor& descriptor);
  void Forget(Descriptor& descriptor);
  void Close(Operation& operation);

  // --- The loop ---
  bool busy() const {
    return next_in_work_ < in_work_.size() || !queue_.empty() || !closes_.empty() || waits_.has_done();
  }
  void ReportWaits();
  void RunCloses();
  void RunQueue();
  void Wait(Instant until);
  int WaitForEvents(int64_t timeout_ns);
  void TakeEvents(int count);
  void TakeEvent(const epoll_event& event);

  // --- Steps ---
  void StepIn(Descriptor& descriptor);
  void Accept(Descriptor& descriptor);
  void Receive(Descriptor& descriptor);
  void ReceiveDatagrams(Descriptor& descriptor);
  void StepOut(Descriptor& descriptor);
  void Connect(Descriptor& descriptor);
  void Send(Descriptor& descriptor);
  int64_t SendRest(const Side& side, const Operation& operation);
  void SendFile(Descriptor& descriptor);
  void SendDatagrams(Descriptor& descriptor);

  // --- Ends ---
  void Complete(Descriptor& descriptor, int64_t result);
  void End(Descriptor& descriptor, SourceEnd end, int error);

  // --- Shortages ---
  void RetryLater(Descriptor& descriptor, Side& side, const Pauses& pauses);
  void StopBackingOff(Descriptor& descriptor, Side& side);
  void RetryBackedOff();

  const int epoll_descriptor_;
  DescriptorWaits waits_{epoll_descriptor_};
  // By number; they never move.
  std::vector<std::unique_ptr<Descriptor[]>> chunks_;

  // Sides that have something to do: those of the work list first, each once.
  std::vector<SideName> queue_;
  std::vector<SideName> in_work_;
  size_t next_in_work_ = 0;
  std::vector<Operation*> closes_;
  std::vector<Operation*> closes_in_work_;
  BackOff back_off_;
  uint32_t wait_failures_ = 0;  // In a row.

  const std::unique_ptr<epoll_event[]> events_;
  std::vector<Datagram> arrived_;

  std::atomic<bool> nanosecond_wait_ = true;  // Read by statistics().
  bool polling_ = false;
  ReactorStatistics statistics_;
  uint64_t late_events_ = 0;
};

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_EPOLL_REACTOR_H_
