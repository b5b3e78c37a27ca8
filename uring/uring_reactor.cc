// SPDX-License-Identifier: Apache-2.0
//
// A slot goes Free -> InKernel -> Reporting -> Free, with these side tracks: from Reporting back to InKernel (a
// multishot that ended early), to Waiting (a send that found the socket full), Starved or BackingOff and from there to
// InKernel again. What goes by steps (uring_steps.cc) is Ready or Waiting in between. Cancel and Disarm ask the kernel
// where it has the request (InKernel, Waiting), end it at the next Poll() where it waits here (Starved, BackingOff ->
// Ended), and do nothing where the end is being decided (Reporting, Ended) or Poll() looks at it anyway (Ready).

#include "tandem/uring/uring_reactor.h"

#include <liburing.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"
#include "tandem/posix/accept_errors.h"
#include "tandem/posix/clock.h"
#include "tandem/posix/socket_address.h"
#include "tandem/posix/sockets.h"
#include "tandem/uring/setup_error.h"

namespace tandem::uring {
namespace {

constexpr uint16_t kBufferGroup = 0;

// The answer to a request whose completion was lost; one that the kernel gives to none.
constexpr int32_t kLost = -EBADR;

// Whether a wait that ended with `error` (-errno) failed for want of memory, not for what was waited for.
bool IsPassing(int32_t error) {
  return error == -ECANCELED || error == -EAGAIN || error == -EINTR || error == kLost || posix::IsOutOfMemory(error);
}

// One request moves at most this much, which fits the kernel's 31 bits; the rest of a longer send follows.
constexpr size_t kMaxRequestBytes = size_t{1} << 30;

// A send that finds no room waits by a poll request, not by itself: a request that has come back to a full socket often
// enough (128 times) goes to a worker thread of the kernel, which sends on until all is sent, and whose sends a cancel
// does not end for certain.
constexpr int kSendFlags = MSG_NOSIGNAL | MSG_DONTWAIT;

// The kernel refuses to be entered: the loop's pauses.
constexpr posix::Pauses kEnterPauses{.first_ns = 1'000'000, .longest_ns = 10'000'000};
// How long to wait for the kernel's answer that everything was cancelled, before asking again.
constexpr int64_t kCancelAllNs = 10'000'000;

// No memory for the rings at start-up: the first and the longest pause before the next try, and for how long to try.
constexpr absl::Duration kSetupRetryFirst = absl::Milliseconds(1);
constexpr absl::Duration kSetupRetryLongest = absl::Milliseconds(100);
constexpr absl::Duration kSetupRetryLimit = absl::Seconds(2);

// A request that does nothing and is answered with `result`.
void PrepareAnswer(io_uring_sqe* sqe, int32_t result) {
  std::memset(sqe, 0, sizeof(*sqe));
  io_uring_prep_nop(sqe);
  if (result == 0) return;
  sqe->nop_flags = IORING_NOP_INJECT_RESULT;
  sqe->len = static_cast<uint32_t>(result);
}

static_assert(sizeof(IoSlice) == sizeof(iovec) && offsetof(IoSlice, data) == offsetof(iovec, iov_base) &&
              offsetof(IoSlice, size) == offsetof(iovec, iov_len));

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
  slots_.Leak();
  [[maybe_unused]] auto* const leaked = buffers_.release();
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
  if (told_of_loss_ || ring_->losses() != losses_seen_) RecoverLostCompletions();
  if (!watching_wakes_) WatchWakeDescriptor();
  const uint64_t completions_before = statistics_.completions;
  if (!starved_.empty()) ServeStarved();
  if (!back_off_.empty()) RetryBackedOff();
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
  until = std::min({until, back_off_.earliest(), next_side_report()});
  return starved_.empty() ? until : std::min(until, posix::ReadMonotonicClock() + StarvedReceives::kWait);
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
    // Without a wait the caller has something else to do, and a pause would only keep it from that.
    const absl::Duration pause = wait ? kEnterPauses.After(enter_failures_) : absl::ZeroDuration();
    AfterEnter(ring_->Enter(wait, timeout_ns),
               wait && timeout_ns >= 0 ? std::min(pause, absl::Nanoseconds(timeout_ns)) : pause);
  }
  if (WakeUp()) ++statistics_.wakes;
}

// Goes on after an enter with `result`. What the kernel has not taken is still in the queue. Where it has refused for
// want of memory, and left nothing to be taken that would make it change its mind, the loop stops for `pause`.
void UringReactor::AfterEnter(int result, absl::Duration pause) {
  switch (result) {
    case -EBADR:  // It tells this once.
      told_of_loss_ = true;
      [[fallthrough]];
    case 0:
    case -ETIME:
    case -EINTR:
      enter_failures_ = 0;
      return;
    case -EBUSY:
    case -EAGAIN:
    case -ENOMEM:
    case -ENOBUFS:
      ++enter_failures_;
      if (!ring_->has_completions()) absl::SleepFor(pause);
      return;
    default:
      CHECK(false) << "io_uring_enter: " << std::strerror(-result);
  }
}

uint64_t UringReactor::RequestNameForTest(const Operation& operation) const {
  const Slot& slot = slots_.At(operation.reactor_slot);
  CHECK(slot.operation == &operation);
  return SlotTable::NameOf(slot, slot.kind);
}

uint64_t UringReactor::RequestNameForTest(const Source& source) const {
  const Slot& slot = slots_.At(source.reactor_slot);
  CHECK(slot.source == &source);
  return SlotTable::NameOf(slot, slot.kind);
}

void UringReactor::PostCompletionForTest(uint64_t request_name, int32_t result) {
  io_uring_sqe* sqe = NextEntry();
  PrepareAnswer(sqe, result);
  sqe->user_data = request_name;
}

bool UringReactor::LoseCompletionForTest() {
  AfterEnter(ring_->Enter(/*wait=*/false, -1), absl::ZeroDuration());
  Completion lost;
  if (!ring_->TakeCompletion(&lost)) return false;
  told_of_loss_ = true;
  return true;
}

// --- Requests --------------------------------------------------------------------------------------------------------

// An empty entry of the submission queue, to be named. Where the queue is full the kernel is entered, and completions
// are moved out of its way in time, so that a burst of starts does not overflow the completion queue.
io_uring_sqe* UringReactor::NextEntry() {
  while (true) {
    if (io_uring_sqe* sqe = ring_->GetEntry(); sqe != nullptr) return sqe;
    const int result = ring_->Enter(/*wait=*/false, -1);
    AfterEnter(result, kEnterPauses.After(enter_failures_));
    if (result < 0 || ring_->completion_count() >= ring_->completion_entries() / 2) StashCompletions();
  }
}

// Makes the request in `sqe` the one of `slot`.
void UringReactor::Name(io_uring_sqe* sqe, const Slot& slot) {
  if (!answers_for_test_.empty()) {
    PrepareAnswer(sqe, answers_for_test_.front());
    answers_for_test_.pop_front();
  }
  sqe->user_data = SlotTable::NameOf(slot, slot.kind);
}

void UringReactor::SubmitOperation(Operation& operation) {
  ++statistics_.submissions;
  if (StartAside(operation)) return;
  Kind kind = Kind::kConnect;
  switch (operation.kind) {
    case OperationKind::kConnect:
      if (operation.address.is_unix()) kind = Kind::kConnectUnix;
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
  Slot& slot = slots_.Take(kind);
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
  Slot& slot = slots_.Take(kind);
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
      Name(sqe, slot);
      return;
    }
    case Kind::kSend:
      return StartSend(slot);
    case Kind::kClose: {
      io_uring_sqe* sqe = NextEntry();
      io_uring_prep_close(sqe, slot.operation->socket);
      Name(sqe, slot);
      return;
    }
    case Kind::kAccept: {
      io_uring_sqe* sqe = NextEntry();
      io_uring_prep_multishot_accept(sqe, slot.source->socket, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      Name(sqe, slot);
      return;
    }
    case Kind::kReceive:
      return StartReceive(slot);
    case Kind::kAwait:
      return WaitFor(slot, slot.operation->kind == OperationKind::kAwaitReadable ? POLLIN : POLLOUT);
    case Kind::kConnectUnix:
    case Kind::kSendDescriptors:
    case Kind::kSendFile:
    case Kind::kSendDatagrams:
      return MakeReady(slot);
    case Kind::kReceiveDescriptors:
      return WaitFor(slot, POLLIN);
    case Kind::kReceiveDatagrams:
      return WaitFor(slot, POLLIN | POLLRDHUP);
    case Kind::kCancel:
    case Kind::kCancelAll:
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
    if (slot.vectors == nullptr) slot.vectors = slots_.TakeVectors();
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
  Name(sqe, slot);
}

void UringReactor::StartSendOf(Slot& slot, const char* data, size_t size) {
  io_uring_sqe* sqe = NextEntry();
  io_uring_prep_send(sqe, slot.operation->socket, data, std::min(size, kMaxRequestBytes), kSendFlags);
  Name(sqe, slot);
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
  Name(sqe, slot);
}

// Makes the kernel end the receive before more than `left` bytes were delivered. It looks at the limit only after each
// buffer, and so may go beyond it by one; with bundles it cuts the last buffer to the limit, but prepares as many
// buffers as the limit allows for each receive, however small. So: without bundles, by less than a buffer, until less
// than a buffer is left, and that by bundles (of one buffer).
//
// A bundle of one buffer stays one. The limit cuts the buffer at the ring's head in place, for whichever receive takes
// it, and only that one: kernels that cut a second one as well (before 6.16) have no limit (6.17).
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
  io_uring_prep_poll_add(sqe, slot.socket(), events);
  Name(sqe, slot);
}

void UringReactor::QueueCancel(Slot& slot) {
  if (slot.cancel_queued) return;
  slot.cancel_queued = true;
  io_uring_sqe* sqe = NextEntry();
  io_uring_prep_cancel64(sqe, SlotTable::NameOf(slot, slot.kind), 0);
  // Success shows as the request's own completion. No request runs on a thread of the kernel, so a cancel fails only
  // when the request's completion is there already.
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = SlotTable::NameOf(slot, Kind::kCancel);
}

// Nobody reads the counter: every write makes the multishot poll complete once more.
void UringReactor::WatchWakeDescriptor() {
  watching_wakes_ = true;
  io_uring_sqe* sqe = NextEntry();
  io_uring_prep_poll_multishot(sqe, wake_descriptor(), POLLIN);
  sqe->user_data = SlotTable::NameOf(Kind::kWake);
}

void UringReactor::CancelOperation(Operation& operation) {
  if (CancelAside(operation)) return;
  Slot& slot = slots_.At(operation.reactor_slot);
  CHECK(slot.operation == &operation);
  if (slot.kind == Kind::kClose) return;  // Always short, and to be done in any case.
  if (slot.in_kernel()) return QueueCancel(slot);
  if (slot.phase != Phase::kBackingOff) return;
  back_off_.Remove(slot.index);
  EndLater(slot, ResultOf(slot, -ECANCELED));
}

void UringReactor::DisarmSource(Source& source) {
  Slot& slot = slots_.At(source.reactor_slot);
  CHECK(slot.source == &source);
  switch (slot.phase) {
    case Phase::kInKernel:
    case Phase::kWaiting:
      return QueueCancel(slot);
    case Phase::kStarved:
      starved_.Remove(slot.ticket, slot.index);
      return EndLater(slot, 0);
    case Phase::kBackingOff:
      back_off_.Remove(slot.index);
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
  const Kind kind = SlotTable::KindOf(completion.user_data);
  if (kind == Kind::kCancel) return;  // It failed: what it was for has ended.
  if (kind == Kind::kCancelAll) return;
  if (kind == Kind::kWake) {
    if ((completion.flags & IORING_CQE_F_MORE) == 0) watching_wakes_ = false;
    return;
  }
  Slot* slot = slots_.Find(completion.user_data);
  if (slot == nullptr) return DropLate(completion, kind);
  if (slot->phase == Phase::kWaiting) return OnWaited(*slot, completion.result);
  switch (kind) {
    case Kind::kConnect:
      return OnConnect(*slot, completion.result);
    case Kind::kSend:
      return OnSend(*slot, completion.result);
    case Kind::kClose:
      OnDescriptorFreed();
      return Complete(*slot, completion.result == kLost ? 0 : completion.result);
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
  if (kind == Kind::kAccept && completion.result >= 0) posix::CloseNow(completion.result);
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
  if (slot.kind == Kind::kAwait && !IsPassing(result)) return Complete(slot, std::min(result, 0));
  // Should there be more to it than want of memory, the next try says so.
  if (result < 0) return RetrySoon(slot, posix::kShortagePauses);
  if (slot.by_steps()) return Step(slot, static_cast<uint32_t>(result));
  slot.found_room = slot.kind == Kind::kSend;
  Start(slot);
}

void UringReactor::OnConnect(Slot& slot, int32_t result) {
  const bool again = slot.failures > 0;
  if (again && result == -EISCONN) return Complete(slot, 0);
  const bool waits = result == -EINPROGRESS || result == -EAGAIN || (again && result == -EALREADY);
  if (!waits && result != kLost) return Complete(slot, result);
  if (slot.operation->state() == Operation::State::kCancelling) return Complete(slot, -ECANCELED);
  if (waits) return WaitFor(slot, POLLOUT);
  RetrySoon(slot, posix::kShortagePauses);
}

void UringReactor::OnSend(Slot& slot, int32_t result) {
  if (result > 0) {
    slot.sent += static_cast<uint64_t>(result);
    slot.found_room = false;
    slot.failures = 0;
  }
  if (result == kLost) return Complete(slot, -ECONNABORTED);  // Nobody knows what was sent.
  uint64_t size = 0;
  for (const IoSlice& slice : slot.operation->slices) size += slice.size;
  if (slot.sent == size) return Complete(slot, static_cast<int64_t>(size));
  if (result > 0) NoteProgress(*slot.operation);
  const bool failed = result <= 0 && result != -EAGAIN && result != -EINTR && !posix::IsOutOfMemory(result);
  if (failed) return Complete(slot, ResultOf(slot, result));  // An error after some bytes shows at the next send.
  if (slot.operation->state() == Operation::State::kCancelling) return Complete(slot, ResultOf(slot, -ECANCELED));
  if (slot.operation->some_is_enough && slot.sent > 0) return Complete(slot, static_cast<int64_t>(slot.sent));
  // Room was found, and still nothing was sent: memory is short, and the kernel goes on calling the socket writable.
  if (posix::IsOutOfMemory(result) || slot.found_room) return RetryLater(slot, posix::kFullQueuePauses);
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

  // The kernel had no memory to wait with, or to tell the end.
  const bool given_up = error == ECANCELED || completion.result == kLost;
  if (source.state() == Source::State::kDisarming) {
    const bool ended =
        error == 0 || error == EAGAIN || given_up || posix::IsShortage(error) || posix::ConcernsOneConnection(error);
    return ended ? End(slot, SourceEnd::kDisarmed, 0) : End(slot, SourceEnd::kError, error);
  }
  if (error == 0) return Start(slot);
  if (error == EAGAIN) return WaitFor(slot, POLLIN);
  if (posix::IsShortage(error)) {
    // The kernel takes a number before it looks for a connection.
    if (!posix::IsReadable(source.socket)) return WaitFor(slot, POLLIN);
    ++statistics_.descriptor_shortages;
    return RetryLater(slot, posix::kShortagePauses);
  }
  if (given_up || posix::ConcernsOneConnection(error)) return RetrySoon(slot, posix::kShortagePauses);
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
    slot.failures = 0;
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
      ++statistics_.buffer_shortages;
      [[fallthrough]];
    case ENOMEM:
    case ECANCELED:  // The kernel had no memory to wait with, or was asked.
    case EAGAIN:
    case EINTR:
      if (disarming) return End(slot, SourceEnd::kDisarmed, 0);
      if (source.delivered >= source.budget) return End(slot, SourceEnd::kBudget, 0);
      if (error == ENOBUFS) return Starve(slot);
      if (error == EAGAIN) return WaitFor(slot, POLLIN);
      slot.cancel_queued = false;
      return RetrySoon(slot, posix::kShortagePauses);
    case -kLost:  // With bytes, perhaps.
      return End(slot, SourceEnd::kError, ECONNABORTED);
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
  slots_.Free(slot);
  ++statistics_.completions;
  ReportComplete(operation, result);
}

void UringReactor::End(Slot& slot, SourceEnd end, int error) {
  Source& source = *slot.source;
  slots_.Free(slot);
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
    Slot& slot = slots_.At(index);
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

void UringReactor::Starve(Slot& slot) {
  slot.phase = Phase::kStarved;
  starved_.Add(&slot.ticket, slot.index);
}

Slot& UringReactor::TakeOldestStarved() {
  Slot& slot = slots_.At(starved_.TakeOldest());
  slot.phase = Phase::kReporting;
  return slot;
}

void UringReactor::ServeStarved() {
  StarvedReceives::Share share = starved_.NextShare(*buffers_);
  for (; share.from_ring > 0 && !starved_.empty(); --share.from_ring) StartReceive(TakeOldestStarved());
  for (; share.from_heap > 0 && !starved_.empty(); --share.from_heap) ReceiveFromHeap(TakeOldestStarved());
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
  if (posix::IsOutOfMemory(received)) return RetrySoon(slot, posix::kShortagePauses);
  End(slot, SourceEnd::kError, static_cast<int>(-received));
}

// --- To be tried again later -----------------------------------------------------------------------------------------

void UringReactor::RetryLater(Slot& slot, const posix::Pauses& pauses) {
  slot.phase = Phase::kBackingOff;
  back_off_.Add(slot.index, posix::ReadMonotonicClock() + pauses.After(slot.failures++));
}

// As RetryLater(), but the first of some failures in a row costs no pause.
void UringReactor::RetrySoon(Slot& slot, const posix::Pauses& pauses) {
  if (slot.failures > 0) return RetryLater(slot, pauses);
  ++slot.failures;
  slot.phase = Phase::kBackingOff;
  back_off_.Add(slot.index, Instant::InfinitePast());
}

void UringReactor::OnDescriptorFreed() {
  back_off_.Hasten([this](uint32_t index) { return slots_.At(index).kind == Kind::kAccept; });
}

void UringReactor::RetryBackedOff() {
  back_off_.RetryDue(posix::ReadMonotonicClock(), [this](uint32_t index) {
    Slot& slot = slots_.At(index);
    if (slot.by_steps()) return Step(slot, 0);
    Start(slot);
  });
}

// --- Lost completions ------------------------------------------------------------------------------------------------

// The kernel had no memory to keep a completion until there was room for it, and does not say which one. So all
// requests are cancelled until the kernel has none; what then has no answer gets kLost. Poll() reports what is stashed.
void UringReactor::RecoverLostCompletions() {
  // Twice: what is about to be tried again by the kernel hides from the first.
  for (int quiet = 0; quiet < 2;) quiet = CancelAll() == 0 && !ring_->NeedsEnter() ? quiet + 1 : 0;
  absl::flat_hash_set<uint64_t> answered;
  for (const Completion& completion : stash_) {
    if ((completion.flags & IORING_CQE_F_MORE) == 0) answered.insert(completion.user_data);
  }
  for (const uint64_t name : slots_.NamesInKernel()) {
    if (!answered.contains(name)) stash_.push_back({.user_data = name, .result = kLost});
  }
  watching_wakes_ = false;
  told_of_loss_ = false;
  losses_seen_ = ring_->losses();
}

// Cancels all requests and stashes what completes. Returns how many the kernel has found, or -1 when it has not said.
int32_t UringReactor::CancelAll() {
  io_uring_sqe* sqe = NextEntry();
  io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
  sqe->user_data = SlotTable::NameOf(Kind::kCancelAll);
  const size_t before = stash_.size();
  do {
    AfterEnter(ring_->Enter(/*wait=*/true, kCancelAllNs), kEnterPauses.After(enter_failures_));
    StashCompletions();
  } while (ring_->unsubmitted() != 0);
  int32_t found = -1;
  for (size_t i = before; i < stash_.size(); ++i) {
    if (stash_[i].user_data == SlotTable::NameOf(Kind::kCancelAll)) found = stash_[i].result;
  }
  return found;
}

}  // namespace tandem::uring
