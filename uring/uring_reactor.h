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
//   send     MSG_WAITALL; the rest of a short send is submitted again, here.
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

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/instant.h"
#include "core/io/address.h"
#include "core/io/buffer.h"
#include "core/io/reactor.h"
#include "posix/signals.h"
#include "uring/buffer_ring.h"
#include "uring/probe.h"
#include "uring/ring.h"

namespace tandem::uring {

class UringReactor final : public Reactor {
 public:
  // Errors: as SetupError() (uring/setup_error.h): the message names the cause and the cure. A lack of memory (ENOMEM)
  // is reported after two seconds of trying again.
  static absl::StatusOr<std::unique_ptr<UringReactor>> Create(const ReactorOptions& options);
  // With nothing in flight, frees everything; CHECKs that every Buffer is back. With something in flight it closes the
  // ring, but leaks the slots and all buffers: the kernel cancels what is in flight only later, and may write until
  // then.
  ~UringReactor() override;

  Instant ReadClock() override;
  int64_t ReadWallClock() override;
  uint64_t random_seed() const override { return random_seed_; }

  [[nodiscard]] bool Poll(Instant until) override;
  void Wake() override;
  void SetSignalHandler(std::function<void(int signal)> handler) override;
  int WatchSignal(int signal, SignalWatch watch) override;

  int64_t OpenSocket(AddressFamily family, SocketType type) override;
  int Bind(SocketId socket, const SocketAddress& address) override;
  int Listen(SocketId socket, int backlog) override;
  int Shutdown(SocketId socket, ShutdownHow how) override;
  int SetOption(SocketId socket, SocketOption option, int value) override;
  int GetOption(SocketId socket, SocketOption option, int* value) override;
  int LocalAddress(SocketId socket, SocketAddress* address) override;
  int PeerAddress(SocketId socket, SocketAddress* address) override;

  HeapBufferPool& heap_buffers() override { return *heap_buffers_; }
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
  enum class Kind : uint8_t { kConnect, kSend, kClose, kAccept, kReceive, kCancel, kWake };

  // Where the request of a slot is.
  enum class Phase : uint8_t {
    kFree,        // The slot is not in use.
    kInKernel,    // Submitted, or queued to be.
    kWaiting,     // A poll request is in the kernel, in place of the request that could not wait by itself.
    kReporting,   // The kernel is done; a callback runs, and what to do next is decided after it.
    kStarved,     // A receive that found no buffer: in the list of starved slots.
    kBackingOff,  // An accept that found no descriptor: in backing_off_.
    kEnded,       // The end is known and will be reported by Poll(): in ended_.
  };

  struct Slot {
    Operation* operation = nullptr;  // One of the two is set while in use.
    Source* source = nullptr;
    uint32_t index = 0;
    uint32_t generation = 0;  // 24 bits.
    Kind kind = Kind::kSend;
    Phase phase = Phase::kFree;
    bool cancel_queued = false;   // The kernel was asked to end the request.
    bool poll_first = false;      // kReceive: arm without trying first, which would need a buffer.
    uint32_t failures = 0;        // kAccept: in a row.
    uint32_t previous = kNoSlot;  // In the list of starved slots.
    uint32_t next = kNoSlot;      // In that list, or in the list of free slots.
    uint64_t ticket = 0;          // kReceive: when it began to starve; 0 when it does not.
    size_t sent = 0;              // kSend.
    int64_t result = 0;           // kEnded, of an operation.
    Instant retry_at;             // kBackingOff.
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
               int wake_descriptor, uint64_t random_seed);

  // --- Reactor ---
  void SubmitOperation(Operation& operation) override;
  void CancelOperation(Operation& operation) override;
  void ArmSource(Source& source) override;
  void DisarmSource(Source& source) override;

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

  // --- Ends ---
  void Complete(Slot& slot, int64_t result);
  void End(Slot& slot, SourceEnd end, int error);
  void EndLater(Slot& slot, int64_t result);
  void ReportEnded();

  // --- Shortages ---
  void Starve(Slot& slot);
  void RemoveStarved(Slot& slot);
  void ServeStarved();
  void ReceiveFromHeap(Slot& slot);
  void BackOff(Slot& slot, bool at_once);
  void RetryBackedOff();

  // --- Waiting ---
  bool has_reports() const { return ring_->has_completions() || !stash_.empty() || !ended_.empty(); }
  Instant LimitWait(Instant until) const;
  void Enter(Instant until);
  bool GoToSleep();
  void ReportSignals();

  std::unique_ptr<Ring> ring_;
  std::unique_ptr<BufferRing> buffers_;
  std::unique_ptr<HeapBufferPool> heap_buffers_ = std::make_unique<HeapBufferPool>();
  Capabilities capabilities_;
  const int wake_descriptor_;
  const uint64_t random_seed_;

  std::vector<std::unique_ptr<Slot[]>> chunks_;
  uint32_t free_slot_ = kNoSlot;
  std::vector<std::unique_ptr<iovec[]>> spare_vectors_;

  // Completions that were taken from the ring before they could be reported, to make room; older than the ring's.
  std::vector<Completion> stash_;
  std::vector<Completion> stash_in_work_;
  std::vector<uint32_t> ended_;
  std::vector<uint32_t> ended_in_work_;

  uint32_t starved_first_ = kNoSlot;
  uint32_t starved_last_ = kNoSlot;
  uint64_t last_ticket_ = 0;
  uint32_t dry_polls_ = 0;  // Polls in a row with somebody starving and no buffer back.
  uint64_t releases_seen_ = 0;
  std::vector<uint32_t> backing_off_;
  std::vector<uint32_t> retrying_;

  // Who is to be woken, and whether: kAsleep is set by Poll() around a wait.
  enum WakeState : uint32_t { kAwake, kAsleep, kNotified };
  std::atomic<uint32_t> wake_state_{kAwake};
  bool watching_wakes_ = false;

  std::unique_ptr<posix::Signals> signals_;
  std::function<void(int signal)> signal_handler_;

  bool polling_ = false;
  ReactorStatistics statistics_;
  uint64_t late_completions_ = 0;
};

}  // namespace tandem::uring

#endif  // TANDEM_URING_URING_REACTOR_H_
