// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/posix_reactor.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/log/check.h"
#include "tandem/posix/accept_errors.h"
#include "tandem/posix/adopted_sockets.h"
#include "tandem/posix/clock.h"
#include "tandem/posix/random_seed.h"
#include "tandem/posix/sockets.h"

namespace tandem::posix {
namespace {

// How many connections that failed before they were accepted one TryAccept() passes over.
constexpr int kMostFailedAccepts = 16;

// How many fork(2)s lie between the first process with a reactor and this one.
std::atomic<uint32_t> g_forks{0};

uint32_t CountForks() {
  [[maybe_unused]] static const int registered = pthread_atfork(nullptr, nullptr, [] { g_forks.fetch_add(1); });
  return g_forks.load();
}

// A receive of at least this much makes the next one go straight into a large block.
constexpr size_t kBulkBytes = 16384;

// Not virtual: it may be called while the reactor is being destroyed.
void WakeReactor(void* reactor) { static_cast<PosixReactor*>(reactor)->PosixReactor::Wake(); }

}  // namespace

int PosixReactor::OpenWakeDescriptor() {
  const int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return descriptor >= 0 ? descriptor : -errno;
}

PosixReactor::PosixReactor(int wake_descriptor)
    : wake_descriptor_(wake_descriptor),
      random_seed_(RandomSeed()),
      forks_(CountForks()),
      blocking_(&WakeReactor, this) {}

void PosixReactor::CheckProcess() const {
  CHECK_EQ(forks_, g_forks.load(std::memory_order_relaxed))
      << "a runtime does not survive fork(2): the child has to make its own, or to call exec or _exit";
}

PosixReactor::ClosingDescriptor::~ClosingDescriptor() { CloseNow(descriptor_); }

PosixReactor::~PosixReactor() {
  if (in_flight() == 0) return;
  [[maybe_unused]] HeapBufferPool* const leaked = heap_buffers_.release();
}

// --- Clocks ----------------------------------------------------------------------------------------------------------

Instant PosixReactor::ReadClock() { return ReadMonotonicClock(); }
int64_t PosixReactor::ReadWallClock() { return ReadRealtimeClock(); }

// --- Waking and signals ----------------------------------------------------------------------------------------------

void PosixReactor::Wake() {
  if (wake_state_.exchange(kNotified, std::memory_order_seq_cst) != kAsleep) return;
  const int saved_errno = errno;
  const uint64_t one = 1;
  // Fails only when the counter is full: after 2^64 wakes that nobody has read.
  (void)!write(wake_descriptor_.get(), &one, sizeof(one));
  errno = saved_errno;
}

bool PosixReactor::GoToSleep() {
  uint32_t state = kAwake;
  return wake_state_.compare_exchange_strong(state, kAsleep, std::memory_order_seq_cst);
}

bool PosixReactor::WakeUp() {
  return wake_state_.load(std::memory_order_relaxed) != kAwake &&
         wake_state_.exchange(kAwake, std::memory_order_acq_rel) == kNotified;
}

void PosixReactor::SetSignalHandler(std::function<void(int signal)> handler) {
  signals_.reset();
  signal_handler_ = std::move(handler);
  if (signal_handler_ != nullptr) signals_ = std::make_unique<Signals>(&WakeReactor, this);
}

int PosixReactor::WatchSignal(int signal, SignalWatch watch) {
  CHECK(signals_ != nullptr) << "no signal handler is set";
  return signals_->Watch(signal, watch);
}

void PosixReactor::ReportSignals() {
  if (signals_ == nullptr || !signals_->pending()) return;
  uint64_t pending = signals_->TakePending();
  for (int signal = 1; pending != 0; ++signal, pending >>= 1) {
    if ((pending & 1) == 0 || signal_handler_ == nullptr) continue;
    const std::function<void(int signal)> handler = signal_handler_;  // It may uninstall itself.
    handler(signal);
  }
}

// --- Receiving into the heap -----------------------------------------------------------------------------------------

int64_t PosixReactor::ReceiveIntoHeap(SocketId socket, size_t size, bool* bulk, Buffer* buffer) {
  CHECK_LE(size, kMaxHeapReceiveBytes);
  if (!*bulk || size < kBulkBytes) {
    if (scratch_ == nullptr) scratch_ = std::make_unique_for_overwrite<char[]>(kMaxHeapReceiveBytes);
    const int64_t received = ReceiveNow(socket, scratch_.get(), size);
    if (received <= 0) return received;
    *buffer = heap_buffers_->Copy({scratch_.get(), static_cast<size_t>(received)});
    *bulk = static_cast<size_t>(received) >= kBulkBytes;
    return received;
  }
  BufferBlock* const block = heap_buffers_->Allocate(size);
  *buffer = Buffer(block);
  const int64_t received = ReceiveNow(socket, block->memory, size);
  if (received <= 0) {
    buffer->Reset();
    return received;
  }
  block->end = static_cast<uint32_t>(received);
  *bulk = static_cast<size_t>(received) >= kBulkBytes;
  if (!*bulk) *buffer = heap_buffers_->Copy(buffer->view());
  return received;
}

// --- What waits aside ------------------------------------------------------------------------------------------------

bool PosixReactor::StartAside(Operation& operation) {
  switch (operation.kind) {
    case OperationKind::kRunBlocking:
    case OperationKind::kResolve:
      blocking_.Submit(operation);
      return true;
    case OperationKind::kClose:
      if (operation.may_block) lingering_.Start(operation);
      return operation.may_block;
    default:
      return false;
  }
}

bool PosixReactor::CancelAside(Operation& operation) {
  switch (operation.kind) {
    case OperationKind::kRunBlocking:
    case OperationKind::kResolve:
      blocking_.Cancel(operation);
      return true;
    case OperationKind::kClose:
      return operation.may_block;  // To be done in any case.
    default:
      return false;
  }
}

uint64_t PosixReactor::ReportBlocking() {
  uint64_t count = 0;
  if (!lingering_.empty()) {
    for (const LingeringCloses::Done& done : lingering_.TakeDone(ReadMonotonicClock())) {
      OnDescriptorFreed();
      ReportComplete(*done.operation, done.result);
      ++count;
    }
  }
  if (!blocking_.has_done()) return count;
  for (const BlockingCalls::Done& done : blocking_.TakeDone()) {
    ReportComplete(*done.operation, done.result);
    ++count;
  }
  return count;
}

// --- Sockets ---------------------------------------------------------------------------------------------------------

int64_t PosixReactor::OpenSocket(AddressFamily family, SocketType type) {
  const int64_t socket = posix::OpenSocket(family, type);
  if (socket < 0 || type != SocketType::kDatagram || family == AddressFamily::kUnix) return socket;
  multicast_interfaces_.erase(static_cast<SocketId>(socket));
  CoalesceDatagrams(static_cast<SocketId>(socket));
  return socket;
}

int PosixReactor::OpenSocketPair(SocketType type, SocketId (&sockets)[2]) {
  return posix::OpenSocketPair(type, sockets);
}
int PosixReactor::Bind(SocketId socket, const SocketAddress& address) { return posix::Bind(socket, address); }
int PosixReactor::Listen(SocketId socket, int backlog) { return posix::Listen(socket, backlog); }
int PosixReactor::ConnectDatagrams(SocketId socket, const SocketAddress& address) {
  return posix::ConnectDatagrams(socket, address);
}
int PosixReactor::Shutdown(SocketId socket, ShutdownHow how) { return posix::Shutdown(socket, how); }

int PosixReactor::SetOption(SocketId socket, SocketOption option, int value) {
  const int result = posix::SetOption(socket, option, value);
  if (option == SocketOption::kMulticastInterface && result == 0) multicast_interfaces_[socket] = value;
  return result;
}

int PosixReactor::GetOption(SocketId socket, SocketOption option, int* value) {
  const int result = posix::GetOption(socket, option, value);
  if (option != SocketOption::kMulticastInterface || result != -ENODATA) return result;
  const auto known = multicast_interfaces_.find(socket);
  *value = known == multicast_interfaces_.end() ? 0 : known->second;
  return 0;
}

int PosixReactor::SetMembership(SocketId socket, const MulticastGroup& group, bool join) {
  return posix::SetMembership(socket, group, join);
}
int PosixReactor::LocalAddress(SocketId socket, SocketAddress* address) { return posix::LocalAddress(socket, address); }
int PosixReactor::PeerAddress(SocketId socket, SocketAddress* address) { return posix::PeerAddress(socket, address); }
int PosixReactor::GetPeerCredentials(SocketId socket, PeerCredentials* credentials) {
  return posix::GetPeerCredentials(socket, credentials);
}

void PosixReactor::CloseDescriptor(int descriptor) {
  CloseNow(descriptor);
  OnDescriptorFreed();
}

int PosixReactor::DescribeSocket(int descriptor, SocketDescription* description) {
  return posix::DescribeSocket(descriptor, description);
}

int64_t PosixReactor::AdoptSocket(int descriptor) {
  const int result = PrepareSocket(descriptor);
  if (result < 0) return result;
  // Datagrams are not made to coalesce: others who have the socket open may not expect it.
  multicast_interfaces_.erase(descriptor);
  return descriptor;
}

int PosixReactor::TakeActivatedSockets(std::vector<ActivatedSocket>* sockets) {
  return posix::TakeActivatedSockets(sockets);
}

int64_t PosixReactor::TryAccept(SocketId socket) {
  for (int left = kMostFailedAccepts; left > 0; --left) {
    const int64_t result = AcceptNow(socket);
    if (result >= 0 || !ConcernsOneConnection(static_cast<int>(-result))) return result;
  }
  return -EAGAIN;  // A security module may answer EPERM for ever.
}

int64_t PosixReactor::TryReceive(SocketId socket, absl::Span<char> target) {
  return ReceiveNow(socket, target.data(), target.size());
}
int64_t PosixReactor::TrySend(SocketId socket, absl::Span<const IoSlice> slices) { return SendNow(socket, slices); }
int64_t PosixReactor::TryReceiveDatagrams(SocketId socket, std::vector<Datagram>* datagrams) {
  return datagram_receiver_.Receive(socket, *heap_buffers_, 1, datagrams);
}
int64_t PosixReactor::TrySendDatagrams(SocketId socket, absl::Span<const OutgoingDatagram> datagrams) {
  return SendDatagrams(socket, datagrams);
}

}  // namespace tandem::posix
