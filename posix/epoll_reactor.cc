// SPDX-License-Identifier: Apache-2.0
//
// A side is idle (it has neither operation nor source), queued, waiting for an event (`ready` is false), or backing off
// (in back_off_, until a time). Cancel and Disarm only queue the side: its next step reports the end. Closes are not
// of a side: nothing else may be in flight then.

#include "tandem/posix/epoll_reactor.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/errors.h"
#include "tandem/posix/accept_errors.h"
#include "tandem/posix/clock.h"
#include "tandem/posix/datagrams.h"
#include "tandem/posix/descriptors.h"
#include "tandem/posix/send_file.h"
#include "tandem/posix/sockets.h"

namespace tandem::posix {
namespace {

// Bounds of the work of one step, and of one Poll().
constexpr size_t kSendBytes = 262144;
constexpr int kAccepts = 16;
constexpr size_t kDatagrams = 64;
constexpr size_t kStepsPerPoll = 256;

// The kernel refuses to wait: the loop's pauses.
constexpr Pauses kWaitPauses{.first_ns = 1'000'000, .longest_ns = 10'000'000};

constexpr uint64_t kWakeEvent = ~uint64_t{0};
constexpr uint32_t kRegisteredEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;

std::string KernelRelease() {
  utsname names{};
  return uname(&names) == 0 ? names.release : "";
}

int DomainOf(SocketId socket) {
  int domain = AF_UNSPEC;
  socklen_t length = sizeof(domain);
  (void)getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &length);
  return domain;
}

}  // namespace

// --- Life ------------------------------------------------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<EpollReactor>> EpollReactor::Create() {
  const int epoll_descriptor = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_descriptor < 0) return ErrnoStatus(errno, "epoll_create1");
  const int wake_descriptor = OpenWakeDescriptor();
  if (wake_descriptor < 0) {
    CloseNow(epoll_descriptor);
    return ErrnoStatus(-wake_descriptor, "eventfd");
  }
  std::unique_ptr<EpollReactor> reactor(new EpollReactor(epoll_descriptor, wake_descriptor));
  // Nobody reads the counter: every write is an edge.
  epoll_event wake{.events = EPOLLIN | EPOLLET, .data = {.u64 = kWakeEvent}};
  if (epoll_ctl(epoll_descriptor, EPOLL_CTL_ADD, wake_descriptor, &wake) != 0) {
    return ErrnoStatus(errno, "epoll_ctl");
  }
  return reactor;
}

EpollReactor::EpollReactor(int epoll_descriptor, int wake_descriptor)
    : PosixReactor(wake_descriptor),
      epoll_descriptor_(epoll_descriptor),
      events_(std::make_unique<epoll_event[]>(kMaxEvents)) {}

EpollReactor::~EpollReactor() { CloseNow(epoll_descriptor_); }

ReactorStatistics EpollReactor::statistics() const {
  ReactorStatistics statistics = statistics_;
  statistics.operations_in_flight = operations_in_flight();
  statistics.sources_armed = sources_armed();
  statistics.description =
      absl::StrCat("epoll on Linux ", KernelRelease(), ": edge-triggered, waits to the ",
                   nanosecond_wait_ ? "nanosecond" : "millisecond (this kernel has no epoll_pwait2)");
  return statistics;
}

// --- Starts and cancels ----------------------------------------------------------------------------------------------

void EpollReactor::SubmitOperation(Operation& operation) {
  ++statistics_.submissions;
  if (operation.kind == OperationKind::kClose) return Close(operation);
  if (StartAside(operation)) return;
  if (DescriptorWaits::IsWait(operation)) return waits_.Submit(operation);
  Descriptor& descriptor = At(operation.socket);
  Side& side = descriptor.out;
  CHECK(side.operation == nullptr) << "two operations at once on one socket";
  side.operation = &operation;
  side.connecting = false;
  side.failures = 0;
  side.done = 0;
  if (side.ready) Queue(descriptor, side);
}

void EpollReactor::CancelOperation(Operation& operation) {
  if (CancelAside(operation)) return;
  if (DescriptorWaits::IsWait(operation)) return waits_.Cancel(operation);
  if (operation.kind == OperationKind::kClose) return;  // Always short, and to be done in any case.
  Descriptor& descriptor = At(operation.socket);
  CHECK(descriptor.out.operation == &operation);
  StopBackingOff(descriptor, descriptor.out);
  Queue(descriptor, descriptor.out);
}

void EpollReactor::ArmSource(Source& source) {
  ++statistics_.submissions;
  CHECK(source.kind() == Source::Kind::kAccept || source.budget > 0) << "a receive needs a budget";
  Descriptor& descriptor = At(source.socket);
  Side& side = descriptor.in;
  CHECK(side.source == nullptr) << "two sources at once on one socket";
  side.source = &source;
  side.failures = 0;
  if (side.ready) Queue(descriptor, side);
}

void EpollReactor::DisarmSource(Source& source) {
  Descriptor& descriptor = At(source.socket);
  CHECK(descriptor.in.source == &source);
  StopBackingOff(descriptor, descriptor.in);
  Queue(descriptor, descriptor.in);
}

void EpollReactor::Close(Operation& operation) {
  // Either way the number may be a new socket's as soon as it is closed.
  if (!operation.may_block) return closes_.push_back(&operation);
  Forget(At(operation.socket));
  (void)StartAside(operation);
}

// --- Descriptors and sides -------------------------------------------------------------------------------------------

EpollReactor::Descriptor& EpollReactor::At(SocketId socket) {
  CHECK_GE(socket, 0) << "not a socket";
  const size_t chunk = static_cast<size_t>(socket) / kDescriptorsPerChunk;
  if (chunk >= chunks_.size()) chunks_.resize(chunk + 1);
  if (chunks_[chunk] == nullptr) chunks_[chunk] = std::make_unique<Descriptor[]>(kDescriptorsPerChunk);
  Descriptor& descriptor = chunks_[chunk][static_cast<size_t>(socket) % kDescriptorsPerChunk];
  descriptor.id = socket;
  return descriptor;
}

EpollReactor::SideName EpollReactor::NameOf(const Descriptor& descriptor, const Side& side) {
  return static_cast<SideName>(descriptor.id) * 2 + (&side == &descriptor.out ? 1 : 0);
}

EpollReactor::Side& EpollReactor::SideAt(SideName name) {
  Descriptor& descriptor = At(static_cast<SocketId>(name / 2));
  return name % 2 != 0 ? descriptor.out : descriptor.in;
}

void EpollReactor::Queue(Descriptor& descriptor, Side& side) {
  if (side.queued) return;
  side.queued = true;
  queue_.push_back(NameOf(descriptor, side));
}

// The side would have to wait: its next step follows an event.
void EpollReactor::WaitFor(Descriptor& descriptor, Side& side) {
  if (!descriptor.registered && Register(descriptor) < 0) {
    // The limit of watched descriptors (epoll(7), max_user_watches), or no memory: without events there is the clock.
    return RetryLater(descriptor, side, kShortagePauses);
  }
  side.ready = false;
}

int EpollReactor::Register(Descriptor& descriptor) {
  const uint64_t name = uint64_t{descriptor.generation} << 32 | static_cast<uint32_t>(descriptor.id);
  epoll_event event{.events = kRegisteredEvents, .data = {.u64 = name}};
  if (epoll_ctl(epoll_descriptor_, EPOLL_CTL_ADD, descriptor.id, &event) != 0) return -errno;
  descriptor.registered = true;
  descriptor.stream_of_packets = DomainOf(descriptor.id) == AF_UNIX;
  return 0;
}

// The socket is about to be closed. It is taken out explicitly, since the kernel does so by itself only when nobody
// else has it open (a child process, a process that it was passed to).
void EpollReactor::Forget(Descriptor& descriptor) {
  CHECK(descriptor.in.source == nullptr && descriptor.out.operation == nullptr)
      << "a socket was closed with something in flight";
  epoll_event unused{};
  if (descriptor.registered) epoll_ctl(epoll_descriptor_, EPOLL_CTL_DEL, descriptor.id, &unused);
  ++descriptor.generation;
  descriptor.registered = false;
  descriptor.irregular = false;
  descriptor.receive_ended = false;
  descriptor.bulk = false;
  descriptor.in.ready = true;
  descriptor.out.ready = true;
  descriptor.out.kept_error = 0;
}

// --- The loop --------------------------------------------------------------------------------------------------------

bool EpollReactor::Poll(Instant until) {
  CHECK(!polling_) << "Poll() was called from a callback";
  CheckProcess();
  polling_ = true;
  ++statistics_.polls;
  const uint64_t completions = statistics_.completions;
  RunCloses();
  if (!back_off_.empty()) RetryBackedOff();
  RunQueue();
  const bool waits = statistics_.completions == completions && !busy() && !has_side_reports();
  Wait(waits ? std::min({until, back_off_.earliest(), next_side_report()}) : Instant::InfinitePast());
  if (waits_.has_done()) ReportWaits();
  if (WakeUp()) ++statistics_.wakes;
  statistics_.completions += ReportBlocking();
  ReportSignals();
  polling_ = false;
  return true;
}

void EpollReactor::ReportWaits() {
  for (const DescriptorWaits::Done& done : waits_.TakeDone()) {
    ++statistics_.completions;
    ReportComplete(*done.operation, done.result);
  }
}

void EpollReactor::RunCloses() {
  if (closes_.empty()) return;
  closes_in_work_.swap(closes_);
  for (Operation* operation : closes_in_work_) {
    Forget(At(operation->socket));
    const int result = CloseNow(operation->socket);
    OnDescriptorFreed();
    ++statistics_.completions;
    ReportComplete(*operation, result);
  }
  closes_in_work_.clear();
}

// What is queued meanwhile is for the next poll, so that this ends.
void EpollReactor::RunQueue() {
  if (next_in_work_ == in_work_.size()) {
    in_work_.clear();
    in_work_.swap(queue_);
    next_in_work_ = 0;
  }
  for (size_t left = kStepsPerPoll; left > 0 && next_in_work_ < in_work_.size(); --left) {
    const SideName name = in_work_[next_in_work_++];
    Descriptor& descriptor = At(static_cast<SocketId>(name / 2));
    if (name % 2 != 0) {
      descriptor.out.queued = false;
      StepOut(descriptor);
    } else {
      descriptor.in.queued = false;
      StepIn(descriptor);
    }
  }
}

void EpollReactor::Wait(Instant until) {
  int64_t timeout_ns = 0;
  if (until == Instant::InfiniteFuture()) {
    timeout_ns = -1;
  } else if (until != Instant::InfinitePast()) {
    timeout_ns = std::max<int64_t>(0, until.nanoseconds() - ReadMonotonicClock().nanoseconds());
  }
  if (timeout_ns != 0 && !GoToSleep()) timeout_ns = 0;
  ++statistics_.enters;
  const int count = WaitForEvents(timeout_ns);
  if (count >= 0) {
    wait_failures_ = 0;
    return TakeEvents(count);
  }
  CHECK(errno != EBADF && errno != EINVAL && errno != EFAULT) << "epoll_wait: " << std::strerror(errno);
  // Out of memory, in some form. Without a wait the caller has something else to do.
  if (errno == EINTR || timeout_ns == 0) return;
  const absl::Duration pause = kWaitPauses.After(wait_failures_++);
  absl::SleepFor(timeout_ns < 0 ? pause : std::min(pause, absl::Nanoseconds(timeout_ns)));
}

// epoll_wait(2); a negative timeout is for ever.
int EpollReactor::WaitForEvents(int64_t timeout_ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  constexpr int64_t kMillisecond = 1'000'000;
  const int max_events = kMaxEvents;
  if (timeout_ns > 0 && nanosecond_wait_) {
    const timespec timeout{.tv_sec = timeout_ns / kSecond, .tv_nsec = timeout_ns % kSecond};
    const long count = syscall(SYS_epoll_pwait2, epoll_descriptor_, events_.get(), max_events, &timeout, nullptr, 0);
    // Linux before 5.11, or a filter that does not know it.
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(count);
    nanosecond_wait_ = false;
  }
  int64_t timeout_ms = timeout_ns;
  if (timeout_ns > 0) {
    timeout_ms = std::min<int64_t>((timeout_ns - 1) / kMillisecond + 1, std::numeric_limits<int>::max());
  }
  return epoll_wait(epoll_descriptor_, events_.get(), max_events, static_cast<int>(timeout_ms));
}

void EpollReactor::TakeEvents(int count) {
  for (int i = 0; i < count; ++i) TakeEvent(events_[static_cast<size_t>(i)]);
}

void EpollReactor::TakeEvent(const epoll_event& event) {
  if (event.data.u64 == kWakeEvent) return;
  if (DescriptorWaits::IsEvent(event.data.u64)) {
    if (!waits_.OnEvent(event.data.u64)) ++late_events_;
    return;
  }
  Descriptor& descriptor = At(static_cast<SocketId>(event.data.u64 & 0xffffffff));
  if (!descriptor.registered || descriptor.generation != event.data.u64 >> 32) {
    ++late_events_;
    return;
  }
  if ((event.events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0) descriptor.in.ready = true;
  if ((event.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) descriptor.out.ready = true;
  if ((event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0) descriptor.irregular = true;
  if ((event.events & EPOLLRDHUP) != 0) descriptor.receive_ended = true;
  // Nothing is closed by callbacks, only by RunCloses(), so the descriptor stays this socket's.
  StepIn(descriptor);
  StepOut(descriptor);
}

// --- Steps: in -------------------------------------------------------------------------------------------------------

void EpollReactor::StepIn(Descriptor& descriptor) {
  const Source* const source = descriptor.in.source;
  if (source == nullptr) return;
  if (source->state() == Source::State::kDisarming) return End(descriptor, SourceEnd::kDisarmed, 0);
  if (!descriptor.in.ready || descriptor.in.backing_off) return;
  switch (source->kind()) {
    case Source::Kind::kAccept:
      return Accept(descriptor);
    case Source::Kind::kReceive:
      return Receive(descriptor);
    case Source::Kind::kReceiveDatagrams:
      return ReceiveDatagrams(descriptor);
  }
}

void EpollReactor::Accept(Descriptor& descriptor) {
  Side& side = descriptor.in;
  Source& source = *side.source;
  for (int left = kAccepts; left > 0; --left) {
    const int64_t accepted = AcceptNow(source.socket);
    if (accepted >= 0) {
      side.failures = 0;
      ++statistics_.completions;
      ReportAccepted(source, static_cast<SocketId>(accepted));
      if (source.state() == Source::State::kDisarming) return End(descriptor, SourceEnd::kDisarmed, 0);
      continue;
    }
    const int error = static_cast<int>(-accepted);
    if (error == EAGAIN) return WaitFor(descriptor, side);
    if (IsShortage(error)) {
      // The kernel takes a number before it looks for a connection.
      if (!IsReadable(descriptor.id)) return WaitFor(descriptor, side);
      ++statistics_.descriptor_shortages;
      return RetryLater(descriptor, side, kShortagePauses);
    }
    if (!ConcernsOneConnection(error)) return End(descriptor, SourceEnd::kError, error);
    if (++side.failures > 1) return RetryLater(descriptor, side, kShortagePauses);
  }
  Queue(descriptor, side);
}

void EpollReactor::Receive(Descriptor& descriptor) {
  Side& side = descriptor.in;
  Source& source = *side.source;
  const size_t size = std::min(source.budget - source.delivered, kMaxHeapReceiveBytes);
  Buffer buffer;
  std::vector<OwnedDescriptor> descriptors;
  const int64_t received = source.wants_descriptors
                               ? ReceiveWithDescriptors(source.socket, heap_buffers(), size, &buffer, &descriptors)
                               : ReceiveIntoHeap(source.socket, size, &descriptor.bulk, &buffer);
  if (received > 0) {
    // Where a short receive says that there is no more, that saves the one that would say EAGAIN.
    const bool drained = static_cast<size_t>(received) < size && descriptor.registered &&
                         !descriptor.stream_of_packets && !descriptor.irregular;
    side.failures = 0;
    if (drained) side.ready = false;
    ++statistics_.completions;
    if (!descriptors.empty()) ReportDescriptors(source, std::move(descriptors));
    ReportReceived(source, std::move(buffer));
    if (source.state() == Source::State::kDisarming) return End(descriptor, SourceEnd::kDisarmed, 0);
    if (source.delivered >= source.budget) return End(descriptor, SourceEnd::kBudget, 0);
    if (!drained) Queue(descriptor, side);
    return;
  }
  if (received == 0) return End(descriptor, SourceEnd::kEndOfStream, 0);
  if (received == -EAGAIN) return WaitFor(descriptor, side);
  if (IsOutOfMemory(received)) {
    ++statistics_.buffer_shortages;
    return RetryLater(descriptor, side, kShortagePauses);
  }
  End(descriptor, SourceEnd::kError, static_cast<int>(-received));
}

void EpollReactor::ReceiveDatagrams(Descriptor& descriptor) {
  Side& side = descriptor.in;
  Source& source = *side.source;
  const size_t max = std::min(source.budget - source.delivered, kDatagrams);
  const int64_t received = datagram_receiver().Receive(source.socket, heap_buffers(), max, &arrived_);
  if (received > 0) {
    side.failures = 0;
    for (Datagram& datagram : arrived_) {
      ++statistics_.completions;
      ReportDatagram(source, std::move(datagram));
    }
    arrived_.clear();
    if (source.state() == Source::State::kDisarming) return End(descriptor, SourceEnd::kDisarmed, 0);
    if (source.delivered >= source.budget) return End(descriptor, SourceEnd::kBudget, 0);
    return Queue(descriptor, side);
  }
  // A socket whose receiving half was shut down says EAGAIN for ever.
  if (received == -EAGAIN && descriptor.receive_ended) return End(descriptor, SourceEnd::kEndOfStream, 0);
  if (received == -EAGAIN) return WaitFor(descriptor, side);
  if (IsOutOfMemory(received)) {
    ++statistics_.buffer_shortages;
    return RetryLater(descriptor, side, kShortagePauses);
  }
  End(descriptor, SourceEnd::kError, static_cast<int>(-received));
}

// --- Steps: out ------------------------------------------------------------------------------------------------------

void EpollReactor::StepOut(Descriptor& descriptor) {
  Side& side = descriptor.out;
  if (side.operation == nullptr) return;
  if (side.operation->state() == Operation::State::kCancelling) {
    return Complete(descriptor, side.done > 0 ? static_cast<int64_t>(side.done) : -ECANCELED);
  }
  if (!side.ready || side.backing_off) return;
  switch (side.operation->kind) {
    case OperationKind::kConnect:
      return Connect(descriptor);
    case OperationKind::kSend:
      return Send(descriptor);
    case OperationKind::kSendFile:
      return SendFile(descriptor);
    case OperationKind::kSendDatagrams:
      return SendDatagrams(descriptor);
    case OperationKind::kClose:
    case OperationKind::kRunBlocking:
    case OperationKind::kResolve:
    case OperationKind::kAwaitReadable:
    case OperationKind::kAwaitWritable:
      break;
  }
  CHECK(false) << "not an operation of a side";
}

void EpollReactor::Connect(Descriptor& descriptor) {
  Side& side = descriptor.out;
  if (side.connecting && !descriptor.registered) {
    // No event tells, but the kernel does when asked again.
    const int result = ConnectNow(descriptor.id, side.operation->address);
    if (result == -EALREADY || result == -EINPROGRESS) return WaitFor(descriptor, side);
    return Complete(descriptor, result == -EISCONN ? 0 : result);
  }
  if (side.connecting) {
    int error = 0;
    const int failed = posix::GetOption(descriptor.id, SocketOption::kError, &error);
    return Complete(descriptor, failed < 0 ? failed : -error);
  }
  const SocketAddress& address = side.operation->address;
  const int result = ConnectNow(descriptor.id, address);
  if (result == -EAGAIN && address.is_unix()) {
    // The listener's backlog is full.
    return RetryLater(descriptor, side, kFullQueuePauses);
  }
  if (result != -EINPROGRESS) return Complete(descriptor, result);
  side.connecting = true;
  // What was known of the socket before it had a connection.
  descriptor.irregular = false;
  descriptor.receive_ended = false;
  WaitFor(descriptor, side);
}

void EpollReactor::Send(Descriptor& descriptor) {
  Side& side = descriptor.out;
  const Operation& operation = *side.operation;
  if (side.kept_error != 0) return Complete(descriptor, -std::exchange(side.kept_error, 0));
  size_t size = 0;
  for (const IoSlice& slice : operation.slices) size += slice.size;
  for (size_t sent_in_step = 0; side.done < size && sent_in_step < kSendBytes;) {
    const int64_t sent = SendRest(side, operation);
    if (sent > 0) {
      side.done += static_cast<uint64_t>(sent);
      sent_in_step += static_cast<size_t>(sent);
    } else if (sent == -EAGAIN) {
      if (operation.some_is_enough && side.done > 0) return Complete(descriptor, static_cast<int64_t>(side.done));
      if (sent_in_step > 0) NoteProgress(*side.operation);
      return WaitFor(descriptor, side);
    } else if (IsOutOfMemory(sent)) {
      return RetryLater(descriptor, side, kShortagePauses);
    } else if (side.done == 0) {
      return Complete(descriptor, sent);
    } else {
      // The kernel tells an error once.
      side.kept_error = static_cast<int>(-sent);
      return Complete(descriptor, static_cast<int64_t>(side.done));
    }
  }
  if (side.done == size) return Complete(descriptor, static_cast<int64_t>(size));
  NoteProgress(*side.operation);
  Queue(descriptor, side);
}

// Sends what does not have to wait of what is left, at most kSendBytes.
int64_t EpollReactor::SendRest(const Side& side, const Operation& operation) {
  const absl::Span<const IoSlice> slices = operation.slices;
  CHECK_LE(slices.size(), Operation::kMaxSlices);
  std::array<IoSlice, Operation::kMaxSlices> rest;
  size_t count = 0;
  size_t skip = side.done;
  size_t left = kSendBytes;
  for (const IoSlice& slice : slices) {
    if (left == 0) break;
    if (skip >= slice.size) {
      skip -= slice.size;
      continue;
    }
    rest[count] = {.data = slice.data + skip, .size = std::min(slice.size - skip, left)};
    left -= rest[count++].size;
    skip = 0;
  }
  const absl::Span<const IoSlice> parts(rest.data(), count);
  if (side.done == 0 && !operation.descriptors.empty()) {
    return SendWithDescriptors(operation.socket, parts, operation.descriptors);
  }
  return SendNow(operation.socket, parts);
}

void EpollReactor::SendFile(Descriptor& descriptor) {
  Side& side = descriptor.out;
  const FileRange& file = *side.operation->file;
  if (side.kept_error != 0) return Complete(descriptor, -std::exchange(side.kept_error, 0));
  const int64_t sent = SendFileNow(descriptor.id, file, side.done);
  if (sent == -EAGAIN) return WaitFor(descriptor, side);
  if (IsOutOfMemory(sent)) return RetryLater(descriptor, side, kShortagePauses);
  if (sent < 0) return Complete(descriptor, side.done > 0 ? static_cast<int64_t>(side.done) : sent);
  side.done += static_cast<uint64_t>(sent);
  if (sent == 0 || side.done == file.count) return Complete(descriptor, static_cast<int64_t>(side.done));
  NoteProgress(*side.operation);
  Queue(descriptor, side);
}

void EpollReactor::SendDatagrams(Descriptor& descriptor) {
  Side& side = descriptor.out;
  const absl::Span<const OutgoingDatagram> left = side.operation->datagrams.subspan(side.done);
  const int64_t sent = posix::SendDatagrams(descriptor.id, left.subspan(0, kDatagrams));
  if (sent == -EAGAIN) {
    // No event tells when another socket's queue has room, unless this one is connected to it.
    if (!left.front().destination.is_unix()) return WaitFor(descriptor, side);
    return RetryLater(descriptor, side, kFullQueuePauses);
  }
  if (sent < 0) return Complete(descriptor, side.done > 0 ? static_cast<int64_t>(side.done) : sent);
  side.failures = 0;
  side.done += static_cast<uint64_t>(sent);
  if (side.done == side.operation->datagrams.size()) return Complete(descriptor, static_cast<int64_t>(side.done));
  Queue(descriptor, side);
}

// --- Ends ------------------------------------------------------------------------------------------------------------

void EpollReactor::Complete(Descriptor& descriptor, int64_t result) {
  Operation& operation = *std::exchange(descriptor.out.operation, nullptr);
  ++statistics_.completions;
  ReportComplete(operation, result);
}

void EpollReactor::End(Descriptor& descriptor, SourceEnd end, int error) {
  Source& source = *std::exchange(descriptor.in.source, nullptr);
  ++statistics_.completions;
  ReportEnd(source, end, error);
}

// --- Shortages -------------------------------------------------------------------------------------------------------

// Makes the side try again after a pause, which grows with its failures in a row.
void EpollReactor::RetryLater(Descriptor& descriptor, Side& side, const Pauses& pauses) {
  side.backing_off = true;
  back_off_.Add(NameOf(descriptor, side), ReadMonotonicClock() + pauses.After(side.failures++));
}

void EpollReactor::StopBackingOff(Descriptor& descriptor, Side& side) {
  if (std::exchange(side.backing_off, false)) back_off_.Remove(NameOf(descriptor, side));
}

void EpollReactor::RetryBackedOff() {
  back_off_.RetryDue(ReadMonotonicClock(), [this](SideName name) {
    Side& side = SideAt(name);
    side.backing_off = false;
    Queue(At(static_cast<SocketId>(name / 2)), side);
  });
}

void EpollReactor::OnDescriptorFreed() {
  back_off_.Hasten([this](SideName name) {
    const Source* const source = SideAt(name).source;
    return source != nullptr && source->kind() == Source::Kind::kAccept;
  });
}

}  // namespace tandem::posix
