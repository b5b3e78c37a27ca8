// SPDX-License-Identifier: Apache-2.0

#include "sim/sim_reactor.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "absl/log/check.h"
#include "sim/tcp.h"

namespace tandem::sim {
namespace {

// Purposes of draws.
constexpr uint64_t kDrawJitter = 1;
constexpr uint64_t kDrawShortRead = 2;
constexpr uint64_t kDrawShortReadSize = 3;
constexpr uint64_t kDrawShortWrite = 4;
constexpr uint64_t kDrawShortWriteSize = 5;
constexpr uint64_t kDrawSlowWrite = 6;
constexpr uint64_t kDrawSlowWriteSize = 7;

constexpr int64_t kSlowWritePauseNs = 100'000;
// A slow write takes at most this many steps.
constexpr size_t kSlowWriteSteps = 16;

uint64_t FromInt(int64_t value) { return static_cast<uint64_t>(value); }

}  // namespace

SimReactor::SimReactor(HostStack& stack, HostWaker* waker, const SimReactorOptions& options)
    : stack_(stack),
      network_(stack.network()),
      waker_(waker),
      options_(options),
      random_seed_(HashCombine(HashCombine(stack.seed(), HashName("program")), options.run)) {
  stack_.set_observer(this);
}

SimReactor::~SimReactor() { Abandon(); }

void SimReactor::Abandon() {
  if (!abandoned_) {
    network_.trace().Record(TraceKind::kAbandon, network_.now_ns(), stack_.index(), operations_in_flight(),
                            sources_armed());
  }
  abandoned_ = true;
  if (stack_.observer() == this) stack_.set_observer(nullptr);
  for (const std::unique_ptr<DelayedReport>& delayed : delayed_) network_.events().Cancel(*delayed);
  reports_.clear();
  woken_ = false;
  pending_signals_ = 0;
  signal_handler_ = nullptr;
  while (in_flight() > 0) {
    // The callbacks may submit anew; that is abandoned as well.
    for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
      const Slot taken = slots_[slot];
      if (taken.operation == nullptr && taken.source == nullptr) continue;
      FreeSlot(slot);
      if (taken.operation != nullptr) {
        ReportAbandoned(*taken.operation);
      } else {
        ReportAbandoned(*taken.source);
      }
    }
  }
}

bool SimReactor::DeliverSignal(int signal) {
  CHECK(signal > 0 && signal < static_cast<int>(watched_signals_.size())) << "not a signal: " << signal;
  SignalWatch& watch = watched_signals_[static_cast<size_t>(signal)];
  if (abandoned_ || watch == SignalWatch::kOff) return false;
  network_.trace().Record(TraceKind::kSignal, network_.now_ns(), stack_.index(), static_cast<uint64_t>(signal));
  if (watch == SignalWatch::kOnce) watch = SignalWatch::kOff;
  pending_signals_ |= uint64_t{1} << (signal - 1);
  NotifyRunnable();
  return true;
}

// --- Clock and loop ---

Instant SimReactor::ReadClock() { return Instant::FromNanoseconds(network_.now_ns() + clock_offset_ns_); }

int64_t SimReactor::ReadWallClock() { return kWallEpochNs + network_.now_ns() + wall_offset_ns_; }

bool SimReactor::Poll(Instant) {
  CHECK(!polling_) << "Poll() was called from a callback";
  ++statistics_.polls;
  polling_ = true;
  told_waker_ = false;
  woken_ = false;
  uint64_t signals = std::exchange(pending_signals_, 0);
  for (int signal = 1; signals != 0; ++signal, signals >>= 1) {
    if ((signals & 1) == 0 || signal_handler_ == nullptr) continue;
    const std::function<void(int signal)> handler = signal_handler_;  // It may uninstall itself.
    handler(signal);
  }
  polled_.swap(reports_);
  for (const Report& report : polled_) {
    switch (report.kind) {
      case Report::Kind::kOperation:
        TellOperation(report);
        break;
      case Report::Kind::kSend:
        ContinueSend(report.socket);
        break;
      case Report::Kind::kSource:
        TellSource(report.socket);
        break;
    }
  }
  polled_.clear();
  polling_ = false;
  if (has_pending()) NotifyRunnable();
  return true;
}

void SimReactor::Wake() {
  if (abandoned_) return;
  ++statistics_.wakes;
  woken_ = true;
  NotifyRunnable();
}

void SimReactor::SetSignalHandler(std::function<void(int signal)> handler) {
  signal_handler_ = std::move(handler);
  if (signal_handler_ == nullptr) watched_signals_.fill(SignalWatch::kOff);
}

int SimReactor::WatchSignal(int signal, SignalWatch watch) {
  if (signal <= 0 || signal >= static_cast<int>(watched_signals_.size()) || signal == SIGKILL || signal == SIGSTOP) {
    return -EINVAL;
  }
  if (!abandoned_) watched_signals_[static_cast<size_t>(signal)] = watch;
  return 0;
}

void SimReactor::NotifyRunnable() {
  if (polling_ || told_waker_ || waker_ == nullptr) return;
  told_waker_ = true;
  waker_->OnRunnable();
}

// --- Reports ---

uint64_t SimReactor::Draw(SocketId socket, uint64_t purpose, uint64_t ordinal) const {
  const TcpSocket* found = stack_.Find(socket);
  const uint64_t key = found == nullptr ? random_seed_ : HashCombine(random_seed_, found->key());
  return HashCombine(HashCombine(key, purpose), ordinal);
}

void SimReactor::Push(const Report& report) {
  const int64_t jitter = stack_.faults().completion_jitter_max_ns;
  if (jitter <= 0) [[likely]] {
    PushNow(report);
    return;
  }
  const uint64_t draw = Draw(report.socket, kDrawJitter, DescriptorOf(report.socket).reports++);
  PushLater(report, static_cast<int64_t>(ReduceToRange(draw, static_cast<uint64_t>(jitter) + 1)));
}

void SimReactor::PushNow(const Report& report) {
  reports_.push_back(report);
  NotifyRunnable();
}

void SimReactor::PushLater(const Report& report, int64_t delay_ns) {
  if (free_delayed_.empty()) {
    delayed_.push_back(std::make_unique<DelayedReport>(*this));
    free_delayed_.push_back(delayed_.back().get());
  }
  DelayedReport& delayed = *free_delayed_.back();
  free_delayed_.pop_back();
  delayed.report = report;
  network_.events().Schedule(delayed, network_.now_ns() + delay_ns);
}

void SimReactor::OnDelayed(DelayedReport& delayed) {
  const Report report = delayed.report;
  free_delayed_.push_back(&delayed);
  if (report.kind == Report::Kind::kSend) DescriptorOf(report.socket).slow_write_waits = false;
  PushNow(report);
}

void SimReactor::Complete(Operation& operation, int64_t result) {
  Push(Report{Report::Kind::kOperation, operation.socket, &operation, result});
}

// The source of `socket`, if any, is worth looking at.
void SimReactor::ReportSource(SocketId socket) {
  Descriptor& descriptor = DescriptorOf(socket);
  if (descriptor.source == nullptr || descriptor.source_reported) return;
  descriptor.source_reported = true;
  Push(Report{Report::Kind::kSource, socket, nullptr, 0});
}

void SimReactor::TellOperation(const Report& report) {
  Operation& operation = *report.operation;
  Descriptor& descriptor = DescriptorOf(operation.socket);
  if (descriptor.send == &operation) {
    descriptor.send = nullptr;
    descriptor.send_ended = false;
  } else if (descriptor.connect == &operation) {
    descriptor.connect = nullptr;
    descriptor.connect_ended = false;
  }
  FreeSlot(operation.reactor_slot);
  ++statistics_.completions;
  network_.trace().Record(TraceKind::kComplete, network_.now_ns(), stack_.index(),
                          static_cast<uint64_t>(operation.kind), FromInt(operation.socket), FromInt(report.result));
  ReportComplete(operation, report.result);
}

// --- Operations ---

uint32_t SimReactor::TakeSlot(Operation* operation, Source* source) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  slots_[slot] = Slot{operation, source};
  return slot;
}

void SimReactor::FreeSlot(uint32_t slot) {
  slots_[slot] = Slot();
  free_slots_.push_back(slot);
}

SimReactor::Descriptor& SimReactor::DescriptorOf(SocketId socket) {
  CHECK_GE(socket, 0) << "not a socket";
  const auto index = static_cast<size_t>(socket);
  while (index >= descriptors_.size()) descriptors_.push_back(std::make_unique<Descriptor>());
  return *descriptors_[index];
}

void SimReactor::SubmitOperation(Operation& operation) {
  ++statistics_.submissions;
  operation.reactor_slot = TakeSlot(&operation, nullptr);
  if (abandoned_) {
    network_.trace().Record(TraceKind::kSubmitDead, network_.now_ns(), stack_.index(), 0);
    return;
  }
  network_.trace().Record(TraceKind::kSubmit, network_.now_ns(), stack_.index(), static_cast<uint64_t>(operation.kind),
                          FromInt(operation.socket));
  switch (operation.kind) {
    case OperationKind::kConnect:
      StartConnect(operation);
      return;
    case OperationKind::kSend:
      StartSend(operation);
      return;
    case OperationKind::kClose:
      StartClose(operation);
      return;
    default:
      CHECK(false) << "not an operation of the simulator yet";
  }
}

void SimReactor::CancelOperation(Operation& operation) {
  if (abandoned_) return;
  network_.trace().Record(TraceKind::kCancel, network_.now_ns(), stack_.index(), static_cast<uint64_t>(operation.kind),
                          FromInt(operation.socket));
  Descriptor& descriptor = DescriptorOf(operation.socket);
  if (descriptor.connect == &operation && !descriptor.connect_ended) {
    descriptor.connect_ended = true;
    Complete(operation, -ECANCELED);
  } else if (descriptor.send == &operation && !descriptor.send_ended) {
    EndSend(descriptor, descriptor.send_done > 0 ? static_cast<int64_t>(descriptor.send_done) : -int64_t{ECANCELED});
  }
}

void SimReactor::StartConnect(Operation& operation) {
  Descriptor& descriptor = DescriptorOf(operation.socket);
  CHECK(descriptor.connect == nullptr) << "two connects at once on one socket";
  descriptor.connect = &operation;
  const int result = stack_.Connect(operation.socket, operation.address);
  if (result == -EINPROGRESS) return;
  descriptor.connect_ended = true;
  Complete(operation, result);
}

void SimReactor::OnConnected(SocketId socket, int error) {
  Descriptor& descriptor = DescriptorOf(socket);
  if (descriptor.connect == nullptr || descriptor.connect_ended) return;
  descriptor.connect_ended = true;
  Complete(*descriptor.connect, -error);
}

void SimReactor::StartSend(Operation& operation) {
  Descriptor& descriptor = DescriptorOf(operation.socket);
  CHECK(descriptor.send == nullptr) << "two sends at once on one socket";
  CHECK_LE(operation.slices.size(), Operation::kMaxSlices);
  size_t size = 0;
  for (const IoSlice& slice : operation.slices) size += slice.size;
  CHECK_GT(size, 0u) << "an empty send";
  descriptor.send = &operation;
  descriptor.send_done = 0;
  descriptor.send_limit = size;
  descriptor.slow_write_step = 0;
  DrawSendFaults(descriptor, operation.socket, size);
  ContinueSend(operation.socket);
}

void SimReactor::DrawSendFaults(Descriptor& descriptor, SocketId socket, size_t size) {
  const StackFaults& faults = stack_.faults();
  if (faults.short_write.is_never() && faults.slow_write.is_never()) [[likely]]
    return;
  const uint64_t ordinal = descriptor.sends++;
  if (size > 1 && faults.short_write.Hits(Draw(socket, kDrawShortWrite, ordinal))) {
    descriptor.send_limit = 1 + ReduceToRange(Draw(socket, kDrawShortWriteSize, ordinal), size - 1);
  }
  if (faults.slow_write.Hits(Draw(socket, kDrawSlowWrite, ordinal))) {
    const size_t least = 1 + size / kSlowWriteSteps;
    descriptor.slow_write_step = least + ReduceToRange(Draw(socket, kDrawSlowWriteSize, ordinal), least);
  }
}

void SimReactor::ContinueSend(SocketId id) {
  Descriptor& descriptor = DescriptorOf(id);
  if (descriptor.send == nullptr || descriptor.send_ended || descriptor.slow_write_waits) return;
  TcpSocket* socket = stack_.Find(id);
  if (socket == nullptr) {
    EndSend(descriptor, -EBADF);
    return;
  }
  // The error after some bytes is for the next call.
  if (descriptor.send_done > 0 && socket->has_error()) {
    EndSend(descriptor, static_cast<int64_t>(descriptor.send_done));
    return;
  }
  size_t limit = descriptor.send_limit - descriptor.send_done;
  if (descriptor.slow_write_step != 0) limit = std::min(limit, descriptor.slow_write_step);
  const int64_t result = socket->Write(descriptor.send->slices, descriptor.send_done, limit);
  if (result == -EAGAIN) return;
  if (result < 0) {
    EndSend(descriptor, descriptor.send_done > 0 ? static_cast<int64_t>(descriptor.send_done) : result);
    return;
  }
  descriptor.send_done += static_cast<size_t>(result);
  if (descriptor.send_done == descriptor.send_limit) {
    EndSend(descriptor, static_cast<int64_t>(descriptor.send_done));
  } else if (descriptor.slow_write_step != 0 && static_cast<size_t>(result) == limit) {
    descriptor.slow_write_waits = true;
    PushLater(Report{Report::Kind::kSend, id, nullptr, 0}, kSlowWritePauseNs);
  }
}

void SimReactor::EndSend(Descriptor& descriptor, int64_t result) {
  descriptor.send_ended = true;
  Complete(*descriptor.send, result);
}

void SimReactor::OnSendable(SocketId socket) {
  const Descriptor& descriptor = DescriptorOf(socket);
  if (descriptor.send == nullptr || descriptor.send_ended) return;
  // The bytes are copied by the program's side, in Poll(): a host that is paused does not send.
  PushNow(Report{Report::Kind::kSend, socket, nullptr, 0});
}

void SimReactor::StartClose(Operation& operation) {
  const Descriptor& descriptor = DescriptorOf(operation.socket);
  CHECK(descriptor.send == nullptr && descriptor.connect == nullptr && descriptor.source == nullptr)
      << "a socket was closed with something in flight on it";
  const int result = stack_.Close(operation.socket);
  *descriptors_[static_cast<size_t>(operation.socket)] = Descriptor();
  Complete(operation, result);
}

// --- Sources ---

void SimReactor::ArmSource(Source& source) {
  ++statistics_.submissions;
  source.reactor_slot = TakeSlot(nullptr, &source);
  if (abandoned_) {
    network_.trace().Record(TraceKind::kSubmitDead, network_.now_ns(), stack_.index(), 1);
    return;
  }
  network_.trace().Record(TraceKind::kArm, network_.now_ns(), stack_.index(), static_cast<uint64_t>(source.kind()),
                          FromInt(source.socket), source.budget);
  CHECK(source.kind() == Source::Kind::kAccept || source.budget > 0);
  Descriptor& descriptor = DescriptorOf(source.socket);
  CHECK(descriptor.source == nullptr) << "two sources at once on one socket";
  descriptor.source = &source;
  descriptor.disarming = false;
  const TcpSocket* socket = stack_.Find(source.socket);
  const bool accepts = source.kind() == Source::Kind::kAccept;
  const bool ready = socket == nullptr ||
                     (accepts ? socket->acceptable() || socket->state() != TcpState::kListen : socket->readable());
  if (ready) ReportSource(source.socket);
}

void SimReactor::DisarmSource(Source& source) {
  if (abandoned_) return;
  network_.trace().Record(TraceKind::kDisarm, network_.now_ns(), stack_.index(), static_cast<uint64_t>(source.kind()),
                          FromInt(source.socket));
  DescriptorOf(source.socket).disarming = true;
  ReportSource(source.socket);
}

void SimReactor::OnReceivable(SocketId socket) { ReportSource(socket); }

void SimReactor::OnAcceptable(SocketId socket) { ReportSource(socket); }

void SimReactor::OnDescriptorFree() {
  if (!std::exchange(accepts_starved_, false)) return;
  for (const Slot& slot : slots_) {
    if (slot.source != nullptr && slot.source->kind() == Source::Kind::kAccept) ReportSource(slot.source->socket);
  }
}

void SimReactor::TellSource(SocketId socket) {
  Descriptor& descriptor = DescriptorOf(socket);
  descriptor.source_reported = false;
  if (descriptor.source == nullptr) return;
  if (descriptor.source->kind() == Source::Kind::kAccept) {
    TellAccepted(descriptor);
  } else {
    TellReceived(descriptor);
  }
}

void SimReactor::TellAccepted(Descriptor& descriptor) {
  Source& source = *descriptor.source;
  while (!descriptor.disarming || options_.read_ahead) {
    const int64_t result = stack_.Accept(source.socket);
    if (result == -EAGAIN) break;
    if (result == -EMFILE) {
      ++statistics_.descriptor_shortages;
      accepts_starved_ = true;
      break;
    }
    if (result < 0) {
      EndSource(descriptor, SourceEnd::kError, static_cast<int>(-result));
      return;
    }
    ++statistics_.completions;
    ReportAccepted(source, static_cast<SocketId>(result));
  }
  if (descriptor.disarming) EndSource(descriptor, SourceEnd::kDisarmed, 0);
}

void SimReactor::TellReceived(Descriptor& descriptor) {
  Source& source = *descriptor.source;
  const SocketId id = source.socket;
  TcpSocket* socket = stack_.Find(id);
  if (socket == nullptr) {
    EndSource(descriptor, SourceEnd::kError, EBADF);
    return;
  }
  const StackFaults& faults = stack_.faults();
  while (socket->receive_bytes() > 0 && source.delivered < source.budget &&
         (!descriptor.disarming || options_.read_ahead)) {
    size_t limit = source.budget - source.delivered;
    bool short_read = false;
    if (!faults.short_read.is_never()) [[unlikely]] {
      const uint64_t ordinal = descriptor.receives++;
      short_read = faults.short_read.Hits(Draw(id, kDrawShortRead, ordinal));
      const size_t bytes = std::min(limit, socket->receive_bytes());
      if (short_read) limit = 1 + ReduceToRange(Draw(id, kDrawShortReadSize, ordinal), bytes);
    }
    ++statistics_.completions;
    ReportReceived(source, socket->Take(limit));
    if (short_read && source.delivered < source.budget) {
      ReportSource(id);  // The rest in another Poll().
      return;
    }
  }
  if (source.delivered >= source.budget) {
    EndSource(descriptor, SourceEnd::kBudget, 0);
    return;
  }
  SourceEnd end = SourceEnd::kDisarmed;
  int error = 0;
  if (!descriptor.disarming || options_.read_ahead) {
    if (socket->TakeEnd(&end, &error)) {
      EndSource(descriptor, end, error);
      return;
    }
  }
  if (descriptor.disarming) EndSource(descriptor, SourceEnd::kDisarmed, 0);
}

void SimReactor::EndSource(Descriptor& descriptor, SourceEnd end, int error) {
  Source& source = *std::exchange(descriptor.source, nullptr);
  descriptor.disarming = false;
  FreeSlot(source.reactor_slot);
  ++statistics_.completions;
  network_.trace().Record(TraceKind::kReceiveEnd, network_.now_ns(), stack_.index(), FromInt(source.socket),
                          static_cast<uint64_t>(end), FromInt(error));
  ReportEnd(source, end, error);
}

// --- Sockets ---

int64_t SimReactor::OpenSocket(AddressFamily family, SocketType type) {
  if (type != SocketType::kStream) return -EOPNOTSUPP;
  return abandoned_ ? -EBADF : stack_.Open(family);
}

int SimReactor::Bind(SocketId socket, const SocketAddress& address) {
  return abandoned_ ? -EBADF : stack_.Bind(socket, address);
}

int SimReactor::Listen(SocketId socket, int backlog) { return abandoned_ ? -EBADF : stack_.Listen(socket, backlog); }

int SimReactor::Shutdown(SocketId socket, ShutdownHow how) {
  return abandoned_ ? -EBADF : stack_.Shutdown(socket, how);
}

int SimReactor::SetOption(SocketId socket, SocketOption option, int value) {
  return abandoned_ ? -EBADF : stack_.SetOption(socket, option, value);
}

int SimReactor::GetOption(SocketId socket, SocketOption option, int* value) {
  return abandoned_ ? -EBADF : stack_.GetOption(socket, option, value);
}

int SimReactor::LocalAddress(SocketId socket, SocketAddress* address) {
  return abandoned_ ? -EBADF : stack_.LocalAddress(socket, address);
}

int SimReactor::PeerAddress(SocketId socket, SocketAddress* address) {
  return abandoned_ ? -EBADF : stack_.PeerAddress(socket, address);
}

ReactorStatistics SimReactor::statistics() const {
  ReactorStatistics statistics = statistics_;
  statistics.operations_in_flight = operations_in_flight();
  statistics.sources_armed = sources_armed();
  statistics.description = options_.read_ahead ? "simulated, reads ahead" : "simulated, reads when asked";
  return statistics;
}

}  // namespace tandem::sim
