// SPDX-License-Identifier: Apache-2.0
//
// UringReactor: Reactor (core/io/reactor.h) on Linux' io_uring.
//
// One request of the kernel at a time stands for an Operation or an armed Source; its name is that of a slot
// (slot_table.h).
//
//   accept   Multishot. When descriptors run out the kernel ends it, also when nobody connects; the slot then waits for
//            a connection, backs off while there is one, and accepts again, sooner when this reactor closes a socket.
//   connect  Unix sockets by steps, see below: the kernel would try 128 times to connect to a listener whose queue is
//            full, and then leave it to a worker thread.
//   receive  Multishot into the buffer ring, ended by the kernel after `budget` bytes; where the kernel cannot do that
//            it is cancelled, and what had completed by then is delivered beyond the budget. When the ring runs dry the
//            sources queue up and are armed again, oldest first, as buffers come back. If none comes back within a few
//            polls they are served from heap_buffers() (starved_receives.h).
//   send     Without waiting; when the socket is full, a poll request waits for room, and the rest is sent then.
//   step     Datagrams, files and descriptors: the ring only waits for the socket (a poll request), and the system
//            calls that every real reactor makes follow, a bounded step at a time (uring_steps.cc). Multishot receives
//            of datagrams would save a system call for each batch, but cut off what is longer than a buffer of the
//            ring, and take from it what streams need.
//
// Blocking work runs on threads (posix/blocking_pool.h); closes that linger wait by the clock
// (posix/lingering_closes.h), since the kernel's own threads would report them before they are done.
//
// One io_uring_enter per Poll() at most waits; none is made when there is nothing to submit and completions are there.
// Poll() may return before `until` with nothing reported.
//
// A kernel without memory never ends the program. It refuses a request: that is made again, after a pause that grows.
// It refuses to be entered: the loop pauses. It finds no memory to keep a completion for which the queue has no room,
// and drops it: then all requests are cancelled, which those that still run survive as they do any refusal, and what
// stays unanswered was lost. Of those a connection fails with ECONNABORTED, since bytes of it may be lost; a close, an
// accept and a connect go on.
//
// Thread-hostile, but for Wake(). It may be created on another thread than the one that first calls Poll(); from then
// on it belongs to that one.

#ifndef TANDEM_URING_URING_REACTOR_H_
#define TANDEM_URING_URING_REACTOR_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/io/reactor_options.h"
#include "tandem/posix/back_off.h"
#include "tandem/posix/posix_reactor.h"
#include "tandem/uring/buffer_ring.h"
#include "tandem/uring/probe.h"
#include "tandem/uring/ring.h"
#include "tandem/uring/slot_table.h"
#include "tandem/uring/starved_receives.h"

namespace tandem::uring {

class UringReactor final : public posix::PosixReactor {
 public:
  // Errors: as SetupError() (uring/setup_error.h): the message names the cause and the cure. A lack of memory (ENOMEM)
  // is reported after two seconds of trying again.
  static absl::StatusOr<std::unique_ptr<UringReactor>> Create(const ReactorOptions& options);
  // With nothing in flight, frees everything; CHECKs that every Buffer is back. With something in flight it closes the
  // ring, but leaks the slots and all buffers: the kernel cancels what is in flight only later, and may write until
  // then.
  ~UringReactor() override;

  [[nodiscard]] bool Poll(Instant until) override;
  ReactorStatistics statistics() const override;

  // Completions that came for a slot that had been given up, and were dropped.
  uint64_t late_completions() const { return late_completions_; }

  // Enters of the kernel that left completions over, for which the queue had no room.
  uint64_t completion_overflows() const { return ring_->overflows(); }

  // Whether receives end exactly at their budget, in the kernel.
  bool has_receive_budget() const { return capabilities_.receive_budget; }

  // Does as if this kernel had no budget for receives.
  void DisableReceiveBudgetForTest() { capabilities_.receive_budget = false; }
  // The name of the request that `operation`, in flight, has in the kernel.
  uint64_t RequestNameForTest(const Operation& operation) const;
  uint64_t RequestNameForTest(const Source& source) const;
  // Makes the kernel post a completion with this name. Linux 6.10, unless `result` is 0.
  void PostCompletionForTest(uint64_t request_name, int32_t result = 0);
  // Makes the kernel answer the next request that a slot makes with `result`, and do nothing. Linux 6.10.
  void AnswerNextRequestForTest(int32_t result) { answers_for_test_.push_back(result); }
  // Takes the oldest completion that is there away, as if the kernel had found no memory to keep it. Returns whether
  // there was one.
  bool LoseCompletionForTest();
  // As if the kernel had said that it has lost some.
  void ClaimLossForTest() { told_of_loss_ = true; }

 private:
  using Kind = Slot::Kind;
  using Phase = Slot::Phase;

  static absl::StatusOr<std::unique_ptr<UringReactor>> CreateOnce(const ReactorOptions& options);
  UringReactor(std::unique_ptr<Ring> ring, std::unique_ptr<BufferRing> buffers, Capabilities capabilities,
               int wake_descriptor);

  // --- Reactor ---
  void SubmitOperation(Operation& operation) override;
  void CancelOperation(Operation& operation) override;
  void ArmSource(Source& source) override;
  void DisarmSource(Source& source) override;
  void OnDescriptorFreed() override;

  // --- Requests: fill in one submission entry each ---
  io_uring_sqe* NextEntry();
  void Name(io_uring_sqe* sqe, const Slot& slot);
  void Start(Slot& slot);
  void StartSend(Slot& slot);
  void StartSendOf(Slot& slot, const char* data, size_t size);
  void StartReceive(Slot& slot);
  void LimitReceive(io_uring_sqe* sqe, size_t left) const;
  void WaitFor(Slot& slot, uint32_t events);
  void QueueCancel(Slot& slot);
  void WatchWakeDescriptor();

  // --- Completions ---
  void TakeCompletions();
  void StashCompletions();
  void Dispatch(const Completion& completion);
  void DropLate(const Completion& completion, Kind kind);
  void OnWaited(Slot& slot, int32_t result);
  void OnConnect(Slot& slot, int32_t result);
  void OnSend(Slot& slot, int32_t result);
  void OnAccept(Slot& slot, const Completion& completion);
  void OnReceive(Slot& slot, const Completion& completion);
  void AfterReceived(Slot& slot);

  // --- Steps ---
  void MakeReady(Slot& slot);
  void RunReady();
  void Step(Slot& slot, uint32_t events);
  void StepConnectUnix(Slot& slot);
  void StepSendDescriptors(Slot& slot, uint32_t events);
  void StepSendFile(Slot& slot, uint32_t events);
  void StepSendDatagrams(Slot& slot, uint32_t events);
  void StepReceiveDescriptors(Slot& slot);
  void StepReceiveDatagrams(Slot& slot, uint32_t events);
  void AfterSendStep(Slot& slot, int64_t result, uint64_t size, uint32_t events);

  // --- Ends ---
  // The result of an operation that ends with `error` (-errno), or was cancelled, after it may have sent something.
  static int64_t ResultOf(const Slot& slot, int64_t error) {
    return slot.sent > 0 ? static_cast<int64_t>(slot.sent) : error;
  }
  void Complete(Slot& slot, int64_t result);
  void End(Slot& slot, SourceEnd end, int error);
  void EndLater(Slot& slot, int64_t result);
  void ReportEnded();

  // --- Shortages ---
  void Starve(Slot& slot);
  Slot& TakeOldestStarved();
  void ServeStarved();
  void ReceiveFromHeap(Slot& slot);
  void RetryLater(Slot& slot, const posix::Pauses& pauses);
  void RetrySoon(Slot& slot, const posix::Pauses& pauses);
  void RetryBackedOff();

  // --- Lost completions ---
  void RecoverLostCompletions();
  int32_t CancelAll();

  // --- Waiting ---
  bool has_reports() const {
    return ring_->has_completions() || !stash_.empty() || !ended_.empty() || !ready_.empty() || has_side_reports();
  }
  Instant LimitWait(Instant until) const;
  void Enter(Instant until);
  void AfterEnter(int result, absl::Duration pause);

  std::unique_ptr<Ring> ring_;
  std::unique_ptr<BufferRing> buffers_;
  Capabilities capabilities_;

  SlotTable slots_;

  // Completions that were taken from the ring before they could be reported, to make room; older than the ring's.
  std::vector<Completion> stash_;
  std::vector<Completion> stash_in_work_;
  std::vector<uint32_t> ended_;
  std::vector<uint32_t> ended_in_work_;
  std::vector<uint32_t> ready_;
  std::vector<uint32_t> ready_in_work_;
  std::vector<Datagram> arrived_;  // Empty between steps.

  StarvedReceives starved_;
  posix::BackOff back_off_;

  uint32_t enter_failures_ = 0;  // In a row.
  bool told_of_loss_ = false;    // By EBADR.
  uint32_t losses_seen_ = 0;

  bool watching_wakes_ = false;
  bool polling_ = false;
  ReactorStatistics statistics_;
  uint64_t late_completions_ = 0;
  std::deque<int32_t> answers_for_test_;
};

}  // namespace tandem::uring

#endif  // TANDEM_URING_URING_REACTOR_H_
