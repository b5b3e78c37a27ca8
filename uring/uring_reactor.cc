// SPDX-License-Identifier: Apache-2.0
//
// A slot goes Free -> InKernel -> Reporting -> Free, with these side tracks: from Reporting back to InKernel (a
// multishot that ended early), to Waiting (a send that found the socket full), Starved or BackingOff and from there to
// InKernel again. What goes by steps (uring_steps.cc) is Ready or Waiting in between. Cancel and Disarm ask the kernel
// where it has the request (InKernel, Waiting), end it at the next Poll() where it waits here (Starved, BackingOff ->
// Ended), and do nothing where the end is being decided (Reporting, Ended) or Poll() looks at it anyway (Ready).

#include "uring/uring_reactor.h"

#include <liburing.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/base/instant.h"
#include "core/io/address.h"
#include "core/io/buffer.h"
#include "core/io/errors.h"
#include "core/io/reactor.h"
#include "posix/accept_errors.h"
#include "posix/clock.h"
#include "posix/socket_address.h"
#include "posix/sockets.h"
#include "uring/setup_error.h"

namespace tandem::uring {
namespace {

constexpr uint16_t kBufferGroup = 0;
constexpr uint32_t kGenerationMask = 0xffffff;

// One request moves at most this much, which fits the kernel's 31 bits; the rest of a longer send follows.
constexpr size_t kMaxRequestBytes = size_t{1} << 30;

// A send that finds no room waits by a poll request, not by itself: a request that has come back to a full socket often
// enough (128 times) goes to a worker thread of the kernel, which sends on until all is sent, and whose sends a cancel
// does not end for certain.
constexpr int kSendFlags = MSG_NOSIGNAL | MSG_DONTWAIT;

// A dry buffer ring: how many polls to wait for a buffer before the heap serves, how long such a poll waits, and how
// many sources one poll serves.
constexpr uint32_t kDryPolls = 4;
constexpr int64_t kDryWaitNs = 1'000'000;
constexpr int kHeapReceivesPerPoll = 16;

// No descriptor for an accept: the first and the longest pause.
constexpr int64_t kBackOffMinNs = 5'000'000;
constexpr int64_t kBackOffMaxNs = 100'000'000;

// Likewise for what the kernel says is ready and is not: a Unix socket whose peer's queue is full.
constexpr int64_t kShortBackOffMinNs = 1'000'000;
constexpr int64_t kShortBackOffMaxNs = 5'000'000;

// No memory for the rings at start-up: the first and the longest pause before the next try, and for how long to try.
constexpr absl::Duration kSetupRetryFirst = absl::Milliseconds(1);
constexpr absl::Duration kSetupRetryLongest = absl::Milliseconds(100);
constexpr absl::Duration kSetupRetryLimit = absl::Seconds(2);

static_assert(sizeof(IoSlice) == sizeof(iovec) && offsetof(IoSlice, data) == offsetof(iovec, iov_base) &&
              offsetof(IoSlice, size) == offsetof(iovec, iov_len));

template <typename Owner>
void Leak(Owner owner) {
  [[maybe_unused]] auto* const leaked = owner.release();
}

}  // namespace

// --- Life ------------------------------------------------------------------------------------------------------------

// The kernel gives the locked memory of a closed ring back a little later, so a process that starts right after others
// of its user have ended may find RLIMIT_MEMLOCK used up by rings that are gone.
absl::StatusOr<std::unique_ptr<UringReactor>> UringReactor::Create(const ReactorOptions& options) {
  absl::Duration pause = kSetupRetryFirst;
  for (absl::Duration waited = absl::ZeroDuration();;
       waited += pause, pause = std::min(2 * pause, kSetupRetryLongest)) {
    absl::StatusOr<std::unique_ptr<UringReactor>> reactor = CreateOnce(options);
    if (ErrnoOf(reactor.status()) != ENOMEM || waited >= kSetupRetryLimit) return reactor;
    absl::SleepFor(pause);
  }
}

absl::StatusOr<std::unique_ptr<UringReactor>> UringReactor::CreateOnce(const ReactorOptions& options) {
  const absl::StatusOr<Capabilities> capabilities = ProbeKernel();
  if (!capabilities.ok()) return capabilities.status();
  absl::StatusOr<std::unique_ptr<Ring>> ring = Ring::Create(options.ring_entries(), options.submission_thread());
  if (!ring.ok()) return ring.status();
  absl::StatusOr<std::unique_ptr<BufferRing>> buffers =
      BufferRing::Create(**ring, options.receive_buffers(), options.receive_buffer_bytes(), kBufferGroup);
  if (!buffers.ok()) return buffers.status();
  const int wake_descriptor = OpenWakeDescriptor();
  if (wake_descriptor < 0) return SetupError(-wake_descriptor, "eventfd", ReadSetupFacts());
  return std::unique_ptr<UringReactor>(
      new UringReactor(*std::move(ring), *std::move(buffers), *capabilities, wake_descriptor));
}

UringReactor::UringReactor(std::unique_ptr<Ring> ring, std::unique_ptr<BufferRing> buffers, Capabilities capabilities,
                           int wake_descriptor)
    : PosixReactor(wake_descriptor), ring_(std::move(ring)), buffers_(std::move(buffers)), capabilities_(capabilities) {
  statistics_.description =
      absl::StrCat("io_uring on Linux ", ReadSetupFacts().kernel, ": ", ring_->description(), ", ", buffers_->count(),
                   " receive buffers of ", buffers_->block_bytes(), " bytes, receive budget ",
                   capabilities_.receive_budget ? "in the kernel" : "by cancelling (this kernel has no receive limit)");
}

UringReactor::~UringReactor() {
  ring_.reset();
  if (in_flight() == 0) return;
  for (std::unique_ptr<Slot[]>& chunk : chunks_) Leak(std::move(chunk));
  Leak(std::move(buffers_));
}

ReactorStatistics UringReactor::statistics() const {
  ReactorStatistics statistics = statistics_;
  statistics.enters = ring_->enters();
  statistics.operations_in_flight = operations_in_flight();
  statistics.sources_armed = sources_armed();
  return statistics;
}

// --- The loop --------------------------------------------------------------------------------------------------------

bool UringReactor::Poll(Instant until) {
  CHECK(!polling_) << "Poll() was called from a callback";
  CheckProcess();
  polling_ = true;
  ++statistics_.polls;
  if (!watching_wakes_) WatchWakeDescriptor();
  const uint64_t completions_before = statistics_.completions;
  if (!starved_.empty()) ServeStarved();
  if (!backing_off_.empty()) RetryBackedOff();
  if (!ready_.empty()) RunReady();
  const bool reported = statistics_.completions != completions_before;
  Enter(reported || has_reports() ? Instant::InfinitePast() : LimitWait(until));
  TakeCompletions();
  if (!ended_.empty()) ReportEnded();
  statistics_.completions += ReportBlocking();
  ReportSignals();
  polling_ = false;
  return true;
}

Instant UringReactor::LimitWait(Instant until) const {
  if (until == Instant::InfinitePast()) return until;
  until = std::min(until, next_side_report());
  for (const uint32_t index : backing_off_) until = std::min(until, SlotAt(index).retry_at);
  if (!starved_.empty()) {
    until = std::min(until, posix::ReadMonotonicClock() + absl::Nanoseconds(kDryWaitNs));
  }
  return until;
}

// Makes the one system call of this poll, if one is needed.
void UringReactor::Enter(Instant until) {
  int64_t timeout_ns = -1;
  bool wait = until != Instant::InfinitePast();
  if (wait && until != Instant::InfiniteFuture()) {
    timeout_ns = until.nanoseconds() - posix::ReadMonotonicClock().nanoseconds();
    wait = timeout_ns > 0;
  }
  wait = wait && GoToSleep();
  if (wait || ring_->unsubmitted() != 0 || (!ring_->has_completions() && ring_->NeedsEnter())) {
    const int result = ring_->Enter(wait, timeout_ns);
    // EBUSY and EAGAIN: the completions have to be taken first, which is what follows; what could not be submitted is
    // still in the queue.
    CHECK(result == 0 || result == -ETIME || result == -EINTR || result == -EBUSY || result == -EAGAIN)
        << "io_uring_enter: " << std::strerror(-result);
  }
  if (WakeUp()) ++statistics_.wakes;
}

// --- Slots -----------------------------------------------------------------------------------------------------------

UringReactor::Slot& UringReactor::TakeSlot(Kind kind) {
  if (free_slot_ == kNoSlot) {
    const auto first = static_cast<uint32_t>(chunks_.size() * kSlotsPerChunk);
    chunks_.push_back(std::make_unique<Slot[]>(kSlotsPerChunk));
    for (uint32_t i = kSlotsPerChunk; i-- > 0;) {
      Slot& slot = chunks_.back()[i];
      slot.index = first + i;
      slot.next = std::exchange(free_slot_, slot.index);
    }
  }
  Slot& slot = SlotAt(free_slot_);
  free_slot_ = std::exchange(slot.next, kNoSlot);
  slot.kind = kind;
  slot.phase = Phase::kReporting;
  slot.cancel_queued = false;
  slot.poll_first = false;
  slot.found_room = false;
  slot.failures = 0;
  slot.ticket = 0;
  slot.sent = 0;
  return slot;
}

void UringReactor::FreeSlot(Slot& slot) {
  if (slot.vectors != nullptr) spare_vectors_.push_back(std::move(slot.vectors));
  slot.operation = nullptr;
  slot.source = nullptr;
  slot.phase = Phase::kFree;
  slot.generation = (slot.generation + 1) & kGenerationMask;
  slot.next = std::exchange(free_slot_, slot.index);
}

uint64_t UringReactor::NameOf(const Slot& slot, Kind kind) {
  return uint64_t{slot.index} | uint64_t{slot.generation} << 32 | static_cast<uint64_t>(kind) << 56;
}

UringReactor::Slot* UringReactor::FindSlot(uint64_t name) {
  const auto index = static_cast<uint32_t>(name);
  if (index >= chunks_.size() * kSlotsPerChunk) return nullptr;
  Slot& slot = SlotAt(index);
  const bool alive = slot.phase == Phase::kInKernel || slot.phase == Phase::kWaiting;
  return alive && NameOf(slot, slot.kind) == name ? &slot : nullptr;
}

uint64_t UringReactor::RequestNameForTest(const Operation& operation) const {
  const Slot& slot = SlotAt(operation.reactor_slot);
  CHECK(slot.operation == &operation);
  return NameOf(slot, slot.kind);
}

void UringReactor::PostCompletionForTest(uint64_t request_name) {
  io_uring_sqe* sqe = NextEntry();
  io_uring_prep_nop(sqe);
  sqe->user_data = request_name;
}

// --- Requests --------------------------------------------------------------------------------------------------------

io_uring_sqe* UringReactor::NextEntry() {
  while (true) {
    if (io_uring_sqe* sqe = ring_->GetEntry(); sqe != nullptr) return sqe;
    const int result = ring_->Enter(/*wait=*/false, -1);
    CHECK(result == 0 || result == -EINTR || result == -EBUSY || result == -EAGAIN)
        << "io_uring_enter: " << std::strerror(-result);
    if (result == -EBUSY || result == -EAGAIN) StashCompletions();
  }
}

void UringReactor::SubmitOperation(Operation& operation) {
  ++statistics_.submissions;
  if (StartAside(operation)) return;
  Kind kind = Kind::kConnect;
  switch (operation.kind) {
    case OperationKind::kConnect:
      break;
    case OperationKind::kSend:
      kind = operation.descriptors.empty() ? Kind::kSend : Kind::kSendDescriptors;
      break;
    case OperationKind::kClose:
      kind = Kind::kClose;
      break;
    case OperationKind::kSendFile:
      kind = Kind::kSendFile;
      break;
    case OperationKind::kSendDatagrams:
      kind = Kind::kSendDatagrams;
      break;
    case OperationKind::kAwaitReadable:
    case OperationKind::kAwaitWritable:
      kind = Kind::kAwait;
      break;
    case OperationKind::kRunBlocking:
    case OperationKind::kResolve:
      CHECK(false) << "these wait aside";
  }
  Slot& slot = TakeSlot(kind);
  slot.operation = &operation;
  operation.reactor_slot = slot.index;
  Start(slot);
}

void UringReactor::ArmSource(Source& source) {
  ++statistics_.submissions;
  Kind kind = Kind::kAccept;
  switch (source.kind()) {
    case Source::Kind::kAccept:
      break;
    case Source::Kind::kReceive:
      kind = source.wants_descriptors ? Kind::kReceiveDescriptors : Kind::kReceive;
      break;
    case Source::Kind::kReceiveDatagrams:
      kind = Kind::kReceiveDatagrams;
      break;
  }
  CHECK(kind == Kind::kAccept || source.budget > 0) << "a receive needs a budget";
  Slot& slot = TakeSlot(kind);
  slot.source = &source;
  source.reactor_slot = slot.index;
  Start(slot);
}

// Submits the request of `slot`, for the first time or again.
void UringReactor::Start(Slot& slot) {
  slot.phase = Phase::kInKernel;
  switch (slot.kind) {
    case Kind::kConnect: {
      const socklen_t length = posix::ToSockaddr(slot.operation->address, &slot.address);
      if (length == 0) return EndLater(slot, -EAFNOSUPPORT);
      io_uring_sqe* sqe = NextEntry();
      io_uring_prep_connect(sqe, slot.operation->socket, reinterpret_cast<const sockaddr*>(&slot.address), length);
      sqe->user_data = NameOf(slot, slot.kind);
      return;
    }
    case Kind::kSend:
      return StartSend(slot);
    case Kind::kClose: {
      io_uring_sqe* sqe = NextEntry();
      io_uring_prep_close(sqe, slot.operation->socket);
      sqe->user_data = NameOf(slot, slot.kind);
      return;
    }
    case Kind::kAccept: {
      io_uring_sqe* sqe = NextEntry();
      io_uring_prep_multishot_accept(sqe, slot.source->socket, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      sqe->user_data = NameOf(slot, slot.kind);
      return;
    }
    case Kind::kReceive:
      return StartReceive(slot);
    case Kind::kAwait:
      return WaitFor(slot, slot.operation->kind == OperationKind::kAwaitReadable ? POLLIN : POLLOUT);
    case Kind::kSendDescriptors:
    case Kind::kSendFile:
    case Kind::kSendDatagrams:
      return MakeReady(slot);
    case Kind::kReceiveDescriptors:
      return WaitFor(slot, POLLIN);
    case Kind::kReceiveDatagrams:
      return WaitFor(slot, POLLIN | POLLRDHUP);
    case Kind::kCancel:
    case Kind::kWake:
      break;
  }
  CHECK(false) << "no slot has this kind";
}

// Sends what is left after `slot.sent` bytes.
void UringReactor::StartSend(Slot& slot) {
  const absl::Span<const IoSlice> slices = slot.operation->slices;
  CHECK_LE(slices.size(), Operation::kMaxSlices);
  size_t first = 0;
  size_t offset = slot.sent;  // Into slices[first].
  while (first < slices.size() && offset >= slices[first].size) offset -= slices[first++].size;
  const size_t count = slices.size() - first;
  if (count == 0) return EndLater(slot, static_cast<int64_t>(slot.sent));
  if (count == 1) return StartSendOf(slot, slices[first].data + offset, slices[first].size - offset);

  // The caller's array does as it is, unless the first slice is to be sent from its middle.
  const void* vectors = slices.data() + first;
  if (offset != 0) {
    if (slot.vectors == nullptr && !spare_vectors_.empty()) {
      slot.vectors = std::move(spare_vectors_.back());
      spare_vectors_.pop_back();
    }
    if (slot.vectors == nullptr) slot.vectors = std::make_unique<iovec[]>(Operation::kMaxSlices);
    std::memcpy(slot.vectors.get(), vectors, count * sizeof(iovec));
    slot.vectors[0].iov_base = static_cast<char*>(slot.vectors[0].iov_base) + offset;
    slot.vectors[0].iov_len -= offset;
    vectors = slot.vectors.get();
  }
  slot.message = {};
  slot.message.msg_iov = static_cast<iovec*>(const_cast<void*>(vectors));  // The kernel only reads them.
  slot.message.msg_iovlen = count;
  io_uring_sqe* sqe = NextEntry();
  io_uring_prep_sendmsg(sqe, slot.operation->socket, &slot.message, kSendFlags);
  sqe->user_data = NameOf(slot, slot.kind);
}

void UringReactor::StartSendOf(Slot& slot, const char* data, size_t size) {
  io_uring_sqe* sqe = NextEntry();
  io_uring_prep_send(sqe, slot.operation->socket, data, std::min(size, kMaxRequestBytes), kSendFlags);
  sqe->user_data = NameOf(slot, slot.kind);
}

// Receives what is left of the budget.
void UringReactor::StartReceive(Slot& slot) {
  slot.phase = Phase::kInKernel;
  io_uring_sqe* sqe = NextEntry();
  io_uring_prep_recv_multishot(sqe, slot.source->socket, nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = buffers_->group();
  if (slot.poll_first) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
  if (capabilities_.receive_budget) LimitReceive(sqe, slot.source->budget - slot.source->delivered);
  sqe->user_data = NameOf(slot, slot.kind);
}

// Makes the kernel end the receive before more than `left` bytes were delivered. It looks at the limit only after each
// buffer, and so may go beyond it by one; with bundles it cuts the last buffer to the limit, but prepares as many
// buffers as the limit allows for each receive, however small. So: without bundles, by less than a buffer, until less
// than a buffer is left, and that by bundles (of one buffer).
void UringReactor::LimitReceive(io_uring_sqe* sqe, size_t left) const {
  const size_t block = buffers_->block_bytes();
  if (left < block) {
    sqe->ioprio |= IORING_RECVSEND_BUNDLE;
    sqe->optlen = static_cast<uint32_t>(left);
  } else {
    sqe->optlen = static_cast<uint32_t>(std::min(left, kMaxRequestBytes) - block + 1);
  }
}

// Waits for `events` and then starts the request again, or makes its next step. For sends and for steps; the other
// requests wait by themselves, but for a kernel that answers EAGAIN or EINPROGRESS on non-blocking sockets instead.
void UringReactor::WaitFor(Slot& slot, uint32_t events) {
  slot.phase = Phase::kWaiting;
  io_uring_sqe* sqe = NextEntry();
  const int socket = slot.operation != nullptr ? slot.operation->socket : slot.source->socket;
  io_uring_prep_poll_add(sqe, socket, events);
  sqe->user_data = NameOf(slot, slot.kind);
}

void UringReactor::QueueCancel(Slot& slot) {
  if (slot.cancel_queued) return;
  slot.cancel_queued = true;
  io_uring_sqe* sqe = NextEntry();
  io_uring_prep_cancel64(sqe, NameOf(slot, slot.kind), 0);
  // Success shows as the request's own completion. No request runs on a thread of the kernel, so a cancel fails only
  // when the request's completion is there already.
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = NameOf(slot, Kind::kCancel);
}

// Nobody reads the counter: every write makes the multishot poll complete once more.
void UringReactor::WatchWakeDescriptor() {
  watching_wakes_ = true;
  io_uring_sqe* sqe = NextEntry();
  io_uring_prep_poll_multishot(sqe, wake_descriptor(), POLLIN);
  sqe->user_data = static_cast<uint64_t>(Kind::kWake) << 56;
}

void UringReactor::CancelOperation(Operation& operation) {
  if (CancelAside(operation)) return;
  Slot& slot = SlotAt(operation.reactor_slot);
  CHECK(slot.operation == &operation);
  if (slot.kind == Kind::kClose) return;  // Always short, and to be done in any case.
  if (slot.phase == Phase::kInKernel || slot.phase == Phase::kWaiting) return QueueCancel(slot);
  if (slot.phase != Phase::kBackingOff) return;
  backing_off_.erase(std::find(backing_off_.begin(), backing_off_.end(), slot.index));
  EndLater(slot, ResultOf(slot, -ECANCELED));
}

void UringReactor::DisarmSource(Source& source) {
  Slot& slot = SlotAt(source.reactor_slot);
  CHECK(slot.source == &source);
  switch (slot.phase) {
    case Phase::kInKernel:
    case Phase::kWaiting:
      return QueueCancel(slot);
    case Phase::kStarved:
      starved_.erase({slot.ticket, slot.index});
      return EndLater(slot, 0);
    case Phase::kBackingOff:
      backing_off_.erase(std::find(backing_off_.begin(), backing_off_.end(), slot.index));
      return EndLater(slot, 0);
    case Phase::kReporting:
    case Phase::kEnded:
      return;
    case Phase::kReady:
    case Phase::kFree:
      break;
  }
  CHECK(false) << "an armed source without a slot";
}

// --- Completions -----------------------------------------------------------------------------------------------------

// Reports what is there now; what comes meanwhile is for the next poll, so that this ends.
void UringReactor::TakeCompletions() {
  if (!stash_.empty()) {
    stash_in_work_.swap(stash_);
    for (const Completion& completion : stash_in_work_) Dispatch(completion);
    stash_in_work_.clear();
  }
  Completion completion;
  for (uint32_t left = ring_->completion_count(); left > 0; --left) {
    // A full submission queue may have moved the ring's completions to the stash: those come first then.
    if (!stash_.empty() || !ring_->TakeCompletion(&completion)) return;
    Dispatch(completion);
  }
}

void UringReactor::StashCompletions() {
  Completion completion;
  while (ring_->TakeCompletion(&completion)) stash_.push_back(completion);
}

// The one place that knows all kinds of completions.
void UringReactor::Dispatch(const Completion& completion) {
  const auto kind = static_cast<Kind>(completion.user_data >> 56);
  if (kind == Kind::kCancel) return;  // It failed: what it was for has ended.
  if (kind == Kind::kWake) {
    if ((completion.flags & IORING_CQE_F_MORE) == 0) WatchWakeDescriptor();
    return;
  }
  Slot* slot = FindSlot(completion.user_data);
  if (slot == nullptr) return DropLate(completion, kind);
  if (slot->phase == Phase::kWaiting) return OnWaited(*slot, completion.result);
  switch (kind) {
    case Kind::kConnect:
      return OnConnect(*slot, completion.result);
    case Kind::kSend:
      return OnSend(*slot, completion.result);
    case Kind::kClose:
      OnDescriptorFreed();
      return Complete(*slot, completion.result);
    case Kind::kAccept:
      return OnAccept(*slot, completion);
    case Kind::kReceive:
      return OnReceive(*slot, completion);
    default:
      CHECK(false) << "what goes by steps only waits in the kernel";
  }
}

// Takes back what came with a completion that nobody waits for any more.
void UringReactor::DropLate(const Completion& completion, Kind kind) {
  ++late_completions_;
  if ((completion.flags & IORING_CQE_F_BUFFER) != 0) {
    buffers_->Return(static_cast<uint16_t>(completion.flags >> IORING_CQE_BUFFER_SHIFT));
  }
  if (kind == Kind::kAccept && completion.result > 0) posix::CloseNow(completion.result);
}

void UringReactor::OnWaited(Slot& slot, int32_t result) {
  const bool stop = slot.operation != nullptr ? slot.operation->state() == Operation::State::kCancelling
                                              : slot.source->state() == Source::State::kDisarming;
  if (stop && slot.source != nullptr) return End(slot, SourceEnd::kDisarmed, 0);
  if (slot.kind == Kind::kConnect && result >= 0) {
    int error = 0;
    const int failed = posix::GetOption(slot.operation->socket, SocketOption::kError, &error);
    return Complete(slot, failed < 0 ? failed : -error);
  }
  if (stop) return Complete(slot, ResultOf(slot, -ECANCELED));
  if (slot.kind == Kind::kAwait) return Complete(slot, std::min(result, 0));
  // Should the wait have failed, the step fails too and says why.
  if (GoesBySteps(slot.kind)) return Step(slot, static_cast<uint32_t>(std::max(result, 0)));
  slot.found_room = slot.kind == Kind::kSend;
  Start(slot);
}

void UringReactor::OnConnect(Slot& slot, int32_t result) {
  if (result == -EINPROGRESS || result == -EAGAIN) {
    if (slot.operation->state() == Operation::State::kCancelling) return Complete(slot, -ECANCELED);
    // A Unix listener whose backlog is full: nothing has begun that one could wait for.
    if (slot.operation->address.is_unix()) return BackOff(slot, /*at_once=*/false);
    return WaitFor(slot, POLLOUT);
  }
  Complete(slot, result);
}

void UringReactor::OnSend(Slot& slot, int32_t result) {
  if (result > 0) {
    slot.sent += static_cast<uint64_t>(result);
    slot.found_room = false;
    slot.failures = 0;
  }
  uint64_t size = 0;
  for (const IoSlice& slice : slot.operation->slices) size += slice.size;
  if (slot.sent == size) return Complete(slot, static_cast<int64_t>(size));
  if (result > 0) NoteProgress(*slot.operation);
  const bool failed = result <= 0 && result != -EAGAIN && result != -EINTR && !posix::IsOutOfMemory(result);
  if (failed) return Complete(slot, ResultOf(slot, result));  // An error after some bytes shows at the next send.
  if (slot.operation->state() == Operation::State::kCancelling) return Complete(slot, ResultOf(slot, -ECANCELED));
  if (slot.operation->some_is_enough && slot.sent > 0) return Complete(slot, static_cast<int64_t>(slot.sent));
  // Room was found, and still nothing was sent: memory is short, and the kernel goes on calling the socket writable.
  if (posix::IsOutOfMemory(result) || slot.found_room) return BackOff(slot, /*at_once=*/false);
  WaitFor(slot, POLLOUT);
}

void UringReactor::OnAccept(Slot& slot, const Completion& completion) {
  Source& source = *slot.source;
  const bool more = (completion.flags & IORING_CQE_F_MORE) != 0;
  const int error = completion.result < 0 ? -completion.result : 0;
  if (!more) slot.phase = Phase::kReporting;
  if (error == 0) {
    slot.failures = 0;
    ++statistics_.completions;
    ReportAccepted(source, completion.result);
  }
  if (more) return;

  if (source.state() == Source::State::kDisarming) {
    const bool ended = error == 0 || error == ECANCELED || error == EAGAIN || posix::IsShortage(error) ||
                       posix::ConcernsOneConnection(error);
    return ended ? End(slot, SourceEnd::kDisarmed, 0) : End(slot, SourceEnd::kError, error);
  }
  if (error == 0) return Start(slot);
  if (error == EAGAIN) return WaitFor(slot, POLLIN);
  if (posix::IsShortage(error)) {
    ++statistics_.descriptor_shortages;
    return BackOff(slot, /*at_once=*/false);
  }
  // ECANCELED: the kernel had no memory to wait with.
  if (error == ECANCELED || posix::ConcernsOneConnection(error)) return BackOff(slot, /*at_once=*/slot.failures == 0);
  End(slot, SourceEnd::kError, error);
}

void UringReactor::OnReceive(Slot& slot, const Completion& completion) {
  Source& source = *slot.source;
  const bool more = (completion.flags & IORING_CQE_F_MORE) != 0;
  const auto buffer_id = static_cast<uint16_t>(completion.flags >> IORING_CQE_BUFFER_SHIFT);
  if (!more) slot.phase = Phase::kReporting;
  if (completion.result > 0) {
    CHECK((completion.flags & IORING_CQE_F_BUFFER) != 0);
    slot.ticket = 0;
    slot.poll_first = false;
    ++statistics_.completions;
    ReportReceived(source, buffers_->Take(buffer_id, static_cast<uint32_t>(completion.result)));
    if (!more) return AfterReceived(slot);
    const bool used_up = source.delivered >= source.budget && source.state() == Source::State::kArmed;
    if (used_up && !capabilities_.receive_budget) QueueCancel(slot);
    return;
  }
  if ((completion.flags & IORING_CQE_F_BUFFER) != 0) buffers_->Return(buffer_id);
  if (more) return;

  const bool disarming = source.state() == Source::State::kDisarming;
  switch (const int error = -completion.result) {
    case 0:
      return End(slot, SourceEnd::kEndOfStream, 0);
    case ENOBUFS:
    case ENOMEM:
      ++statistics_.buffer_shortages;
      [[fallthrough]];
    case ECANCELED:
    case EAGAIN:
    case EINTR:
      if (disarming) return End(slot, SourceEnd::kDisarmed, 0);
      if (source.delivered >= source.budget) return End(slot, SourceEnd::kBudget, 0);
      if (error == ENOBUFS || error == ENOMEM) return Starve(slot);
      if (error == EAGAIN) return WaitFor(slot, POLLIN);
      slot.cancel_queued = false;
      return StartReceive(slot);
    default:
      return End(slot, SourceEnd::kError, error);
  }
}

// Decides what follows bytes that were delivered while the kernel has no request for `slot`.
void UringReactor::AfterReceived(Slot& slot) {
  const Source& source = *slot.source;
  if (source.state() == Source::State::kDisarming) return End(slot, SourceEnd::kDisarmed, 0);
  if (source.delivered >= source.budget) return End(slot, SourceEnd::kBudget, 0);
  Start(slot);
}

// --- Ends ------------------------------------------------------------------------------------------------------------

void UringReactor::Complete(Slot& slot, int64_t result) {
  Operation& operation = *slot.operation;
  FreeSlot(slot);
  ++statistics_.completions;
  ReportComplete(operation, result);
}

void UringReactor::End(Slot& slot, SourceEnd end, int error) {
  Source& source = *slot.source;
  FreeSlot(slot);
  ++statistics_.completions;
  ReportEnd(source, end, error);
}

// The end is known, and Poll() has to report it: of an operation with `result`, of a source that was disarmed.
void UringReactor::EndLater(Slot& slot, int64_t result) {
  slot.phase = Phase::kEnded;
  slot.result = result;
  ended_.push_back(slot.index);
}

void UringReactor::ReportEnded() {
  ended_in_work_.swap(ended_);
  for (const uint32_t index : ended_in_work_) {
    Slot& slot = SlotAt(index);
    CHECK(slot.phase == Phase::kEnded);
    if (slot.operation != nullptr) {
      Complete(slot, slot.result);
    } else {
      End(slot, SourceEnd::kDisarmed, 0);
    }
  }
  ended_in_work_.clear();
}

// --- No buffer for a receive -----------------------------------------------------------------------------------------

// A slot keeps its place among the starved until it has received something.
void UringReactor::Starve(Slot& slot) {
  slot.phase = Phase::kStarved;
  if (slot.ticket == 0) slot.ticket = ++last_ticket_;
  starved_.emplace(slot.ticket, slot.index);
}

UringReactor::Slot& UringReactor::TakeOldestStarved() {
  Slot& slot = SlotAt(starved_.begin()->second);
  starved_.erase(starved_.begin());
  slot.phase = Phase::kReporting;
  return slot;
}

void UringReactor::ServeStarved() {
  if (buffers_->releases() != releases_seen_) {
    releases_seen_ = buffers_->releases();
    dry_polls_ = 0;
  }
  for (uint32_t free = buffers_->available(); free > 0 && !starved_.empty(); --free) StartReceive(TakeOldestStarved());
  if (starved_.empty() || ++dry_polls_ < kDryPolls) return;
  // The program keeps its buffers, perhaps until it has received more.
  for (int i = 0; i < kHeapReceivesPerPoll && !starved_.empty(); ++i) ReceiveFromHeap(TakeOldestStarved());
}

// Receives what is there into memory of the heap pool. The kernel has no request for `slot`, so the order stays.
void UringReactor::ReceiveFromHeap(Slot& slot) {
  Source& source = *slot.source;
  const size_t size = std::min(source.budget - source.delivered, kMaxHeapReceiveBytes);
  Buffer buffer;
  bool bulk = false;
  const int64_t received = ReceiveIntoHeap(source.socket, size, &bulk, &buffer);
  slot.ticket = 0;
  slot.poll_first = true;  // The ring is dry: no buffer before there is data.
  if (received > 0) {
    ++statistics_.completions;
    ReportReceived(source, std::move(buffer));
    return AfterReceived(slot);
  }
  if (received == 0) return End(slot, SourceEnd::kEndOfStream, 0);
  if (received == -EAGAIN) return StartReceive(slot);
  if (posix::IsOutOfMemory(received)) return Starve(slot);
  End(slot, SourceEnd::kError, static_cast<int>(-received));
}

// --- To be tried again later -----------------------------------------------------------------------------------------

void UringReactor::BackOff(Slot& slot, bool at_once) {
  const uint32_t doublings = std::min<uint32_t>(slot.failures, 8);
  ++slot.failures;
  const bool is_accept = slot.kind == Kind::kAccept;
  const int64_t pause_ns = std::min((is_accept ? kBackOffMinNs : kShortBackOffMinNs) << doublings,
                                    is_accept ? kBackOffMaxNs : kShortBackOffMaxNs);
  slot.phase = Phase::kBackingOff;
  slot.retry_at = at_once ? Instant::InfinitePast() : posix::ReadMonotonicClock() + absl::Nanoseconds(pause_ns);
  backing_off_.push_back(slot.index);
}

void UringReactor::OnDescriptorFreed() {
  for (const uint32_t index : backing_off_) SlotAt(index).retry_at = Instant::InfinitePast();
}

void UringReactor::RetryBackedOff() {
  const Instant now = posix::ReadMonotonicClock();
  const auto due = std::partition(backing_off_.begin(), backing_off_.end(),
                                  [&](uint32_t index) { return SlotAt(index).retry_at > now; });
  retrying_.assign(due, backing_off_.end());
  backing_off_.erase(due, backing_off_.end());
  for (const uint32_t index : retrying_) Start(SlotAt(index));
}

}  // namespace tandem::uring
