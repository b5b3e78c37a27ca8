// SPDX-License-Identifier: Apache-2.0
//
// UringReactor: Reactor (core/io/reactor.h) on Linux' io_uring.
//
// One request of the kernel at a time stands for an Operation or an armed Source. It is named by a slot: `user_data` is
// the slot's index, its generation and the kind of request, never a pointer, so a completion that comes for a slot that
// was given up is recognised and dropped. The slot table grows and never shrinks, and slots never move.
//
//   accept   Multishot. When descriptors run out the kernel ends it; the slot then backs off and arms it again, sooner
//            when this reactor closes a socket.
//   receive  Multishot into the buffer ring, ended by the kernel after `budget` bytes; where the kernel cannot do that
//            it is cancelled, and what had completed by then is delivered beyond the budget. When the ring runs dry the
//            sources queue up and are armed again, oldest first, as buffers come back. If none comes back within a few
//            polls they are served from heap_buffers().
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
// Thread-hostile, but for Wake(). It may be created on another thread than the one that first calls Poll(); from then
// on it belongs to that one.

#ifndef TANDEM_URING_URING_REACTOR_H_
#define TANDEM_URING_URING_REACTOR_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/status/statusor.h"
#include "core/base/instant.h"
#include "core/io/datagram.h"
#include "core/io/reactor.h"
#include "core/io/reactor_options.h"
#include "posix/posix_reactor.h"
#include "uring/buffer_ring.h"
#include "uring/probe.h"
#include "uring/ring.h"

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

  // Whether receives end exactly at their budget, in the kernel.
  bool has_receive_budget() const { return capabilities_.receive_budget; }

  // Does as if this kernel had no budget for receives.
  void DisableReceiveBudgetForTest() { capabilities_.receive_budget = false; }
  // The name of the request that `operation`, in flight, has in the kernel.
  uint64_t RequestNameForTest(const Operation& operation) const;
  // Makes the kernel post a completion, result 0, with this name.
  void PostCompletionForTest(uint64_t request_name);

 private:
  static constexpr uint32_t kNoSlot = ~uint32_t{0};
  static constexpr uint32_t kSlotsPerChunk = 256;

  // What a completion is for; in the top byte of user_data.
  enum class Kind : uint8_t {
    kConnect,
    kSend,
    kClose,
    kAccept,
    kReceive,
    kAwait,  // A poll request and nothing else: always kWaiting.
    kCancel,
    kWake,
    // By steps.
    kSendDescriptors,  // The first bytes of a send; becomes kSend.
    kSendFile,
    kSendDatagrams,
    kReceiveDescriptors,
    kReceiveDatagrams,
  };

  // Where the request of a slot is.
  enum class Phase : uint8_t {
    kFree,        // The slot is not in use.
    kInKernel,    // Submitted, or queued to be.
    kWaiting,     // A poll request is in the kernel, in place of the request that could not wait by itself.
    kReporting,   // The kernel is done; a callback runs, and what to do next is decided after it.
    kStarved,     // A receive that found no buffer: in starved_.
    kBackingOff,  // An accept that found no descriptor, or something else to be tried again later: in backing_off_.
    kReady,       // An operation whose next step Poll() makes: in ready_.
    kEnded,       // The end is known and will be reported by Poll(): in ended_.
  };

  struct Slot {
    Operation* operation = nullptr;  // One of the two is set while in use.
    Source* source = nullptr;
    uint32_t index = 0;
    uint32_t generation = 0;  // 24 bits.
    Kind kind = Kind::kSend;
    Phase phase = Phase::kFree;
    bool cancel_queued = false;  // The kernel was asked to end the request.
    bool poll_first = false;     // kReceive: arm without trying first, which would need a buffer.
    bool found_room = false;     // kSend: a wait has ended, and nothing was sent since.
    uint32_t failures = 0;       // That led to back-offs, in a row.
    uint32_t next = kNoSlot;     // In the list of free slots.
    uint64_t ticket = 0;         // kReceive: when it began to starve; 0 when it does not.
    uint64_t sent = 0;           // Bytes, or datagrams.
    int64_t result = 0;          // kEnded, of an operation.
    Instant retry_at;            // kBackingOff.
    // kSend: the slices that are left, when a short send stopped within one. From spare_vectors_.
    std::unique_ptr<iovec[]> vectors;
    // What the kernel reads while the request runs.
    union {
      msghdr message = {};
      sockaddr_storage address;
    };
  };

  static absl::StatusOr<std::unique_ptr<UringReactor>> CreateOnce(const ReactorOptions& options);
  UringReactor(std::unique_ptr<Ring> ring, std::unique_ptr<BufferRing> buffers, Capabilities capabilities,
               int wake_descriptor);

  // --- Reactor ---
  void SubmitOperation(Operation& operation) override;
  void CancelOperation(Operation& operation) override;
  void ArmSource(Source& source) override;
  void DisarmSource(Source& source) override;
  void OnDescriptorFreed() override;

  // --- Slots ---
  Slot& SlotAt(uint32_t index) { return chunks_[index / kSlotsPerChunk][index % kSlotsPerChunk]; }
  const Slot& SlotAt(uint32_t index) const { return chunks_[index / kSlotsPerChunk][index % kSlotsPerChunk]; }
  Slot& TakeSlot(Kind kind);
  void FreeSlot(Slot& slot);
  static uint64_t NameOf(const Slot& slot, Kind kind);
  // The slot that `name` was made for, or null when it was given up since.
  Slot* FindSlot(uint64_t name);

  // --- Requests: fill in one submission entry each ---
  io_uring_sqe* NextEntry();
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
  static bool GoesBySteps(Kind kind) { return kind >= Kind::kSendDescriptors; }
  void MakeReady(Slot& slot);
  void RunReady();
  void Step(Slot& slot, uint32_t events);
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
  void BackOff(Slot& slot, bool at_once);
  void RetryBackedOff();

  // --- Waiting ---
  bool has_reports() const {
    return ring_->has_completions() || !stash_.empty() || !ended_.empty() || !ready_.empty() || has_side_reports();
  }
  Instant LimitWait(Instant until) const;
  void Enter(Instant until);

  std::unique_ptr<Ring> ring_;
  std::unique_ptr<BufferRing> buffers_;
  Capabilities capabilities_;

  std::vector<std::unique_ptr<Slot[]>> chunks_;
  uint32_t free_slot_ = kNoSlot;
  std::vector<std::unique_ptr<iovec[]>> spare_vectors_;

  // Completions that were taken from the ring before they could be reported, to make room; older than the ring's.
  std::vector<Completion> stash_;
  std::vector<Completion> stash_in_work_;
  std::vector<uint32_t> ended_;
  std::vector<uint32_t> ended_in_work_;
  std::vector<uint32_t> ready_;
  std::vector<uint32_t> ready_in_work_;
  std::vector<Datagram> arrived_;  // Empty between steps.

  absl::btree_set<std::pair<uint64_t, uint32_t>> starved_;  // Tickets and slots.
  uint64_t last_ticket_ = 0;
  uint32_t dry_polls_ = 0;  // Polls in a row with somebody starving and no buffer back.
  uint64_t releases_seen_ = 0;
  std::vector<uint32_t> backing_off_;
  std::vector<uint32_t> retrying_;

  bool watching_wakes_ = false;
  bool polling_ = false;
  ReactorStatistics statistics_;
  uint64_t late_completions_ = 0;
};

}  // namespace tandem::uring

#endif  // TANDEM_URING_URING_REACTOR_H_
