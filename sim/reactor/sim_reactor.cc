// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/reactor/sim_reactor.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/log/check.h"
#include "absl/types/span.h"
#include "tandem/sim/network/ip.h"
#include "tandem/sim/reactor/file_read.h"
#include "tandem/sim/tcp/tcp_socket.h"
#include "tandem/sim/udp/udp_socket.h"

namespace tandem::sim {
namespace {

// Purposes of draws; 32 to 47 are those of sim_errands.cc.

// The two that cannot be caught: signal(7).
constexpr int kSigKill = 9;
constexpr int kSigStop = 19;

constexpr int64_t kLateMaxNs = 2'000'000;
constexpr uint64_t kOvershootMax = 4096;
constexpr int64_t kSlowWritePauseNs = 100'000;
// A slow write takes at most this many steps.
constexpr size_t kSlowWriteSteps = 16;
// A file is read in pieces of this size.
constexpr size_t kFilePiece = 16384;

// True for what concerns no socket.
bool IsErrand(const Operation& operation) {
  return operation.kind == OperationKind::kRunBlocking || operation.kind == OperationKind::kResolve;
}

size_t TotalSize(absl::Span<const IoSlice> slices) {
  CHECK_LE(slices.size(), Operation::kMaxSlices);
  size_t size = 0;
  for (const IoSlice& slice : slices) size += slice.size;
  return size;
}

size_t SendSize(const Operation& operation) {
  return operation.kind == OperationKind::kSendFile ? operation.file->count : TotalSize(operation.slices);
}

}  // namespace

SimReactor::SimReactor(HostStack& stack, HostWaker* waker, const SimReactorOptions& options)
    : stack_(stack),
      network_(stack.network()),
      waker_(waker),
      options_(options),
      process_(stack.entity().Part("run", options.run)),
      random_seed_(network_.choices().Draw(Choice::kProgram, stack.entity(), options.run)) {
  stack_.set_observer(this);
}

SimReactor::~SimReactor() { Abandon(); }

void SimReactor::Stop() {
  if (abandoned_) return;
  stack_.Record(TraceKind::kAbandon, operations_in_flight(), sources_armed());
  abandoned_ = stopped_ = true;
  if (stack_.observer() == this) stack_.set_observer(nullptr);
  for (const std::unique_ptr<DelayedReport>& delayed : delayed_) network_.events().Cancel(*delayed);
  for (const std::unique_ptr<Errand>& errand : errands_) network_.events().Cancel(*errand);
  reports_.clear();
  lingering_.clear();
  woken_ = false;
  pending_signals_ = 0;
}

void SimReactor::Abandon() {
  Stop();
  stopped_ = false;
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
  stack_.Record(TraceKind::kSignal, signal);
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
    if (abandoned_) [[unlikely]]
      break;  // What was told before this made a call that a crash waited for.
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
      case Report::Kind::kCancel:
      case Report::Kind::kDisarm:
        break;  // Take effect without a Poll().
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
  if (signal <= 0 || signal >= static_cast<int>(watched_signals_.size()) || signal == kSigKill || signal == kSigStop) {
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

Entity SimReactor::EntityOf(SocketId socket) const {
  if (const TcpSocket* stream = stack_.Find(socket)) return stream->entity();
  if (const UdpSocket* datagrams = stack_.FindDatagrams(socket)) return datagrams->entity();
  return process_;
}

uint64_t SimReactor::Draw(Choice what, SocketId socket, uint64_t ordinal, uint64_t part) const {
  return network_.choices().Draw(what, EntityOf(socket), ordinal, part);
}

// Every decision is counted, whether or not a fault needs it: a fault that begins later decides the same.

void SimReactor::Push(const Report& report) {
  const uint64_t ordinal = DescriptorOf(report.socket).reports++;
  if (stack_.faults().completion_jitter_max_ns <= 0) [[likely]] {
    PushNow(report);
    return;
  }
  PushJittered(report, Draw(Choice::kJitter, report.socket, ordinal));
}

void SimReactor::PushJittered(const Report& report, uint64_t draw) {
  const int64_t jitter = stack_.faults().completion_jitter_max_ns;
  if (jitter <= 0) {
    PushNow(report);
  } else {
    const auto delay = static_cast<int64_t>(ReduceToRange(draw, static_cast<uint64_t>(jitter) + 1));
    if (delay > 0) StackFaults::CountHit(stack_.faults().hits.completion_jitter);
    PushLater(report, delay);
  }
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
  if (report.kind == Report::Kind::kCancel) {
    OnLateCancel(report);
    return;
  }
  if (report.kind == Report::Kind::kDisarm) {
    OnLateDisarm(report);
    return;
  }
  if (report.kind == Report::Kind::kSend) DescriptorOf(report.socket).slow_write_waits = false;
  PushNow(report);
}

int64_t SimReactor::DrawLateness(Probability chance, Late what, SocketId socket) {
  const uint64_t ordinal = DescriptorOf(socket).lates[static_cast<size_t>(what)]++;
  if (chance.is_never()) [[likely]]
    return 0;
  const Choice choice = what == Late::kCancel ? Choice::kLateCancel
                        : what == Late::kLook ? Choice::kStall
                                              : Choice::kLateEnd;
  if (!chance.Hits(Draw(choice, socket, ordinal))) return 0;
  const uint64_t draw = Draw(choice, socket, ordinal, 1);
  return 1 + static_cast<int64_t>(ReduceToRange(draw, static_cast<uint64_t>(kLateMaxNs)));
}

bool SimReactor::PostponeLook(Probability chance, Late what, SocketId socket) {
  const int64_t delay = DrawLateness(chance, what, socket);
  if (delay == 0) return false;
  DescriptorOf(socket).source_reported = true;
  PushLater(Report{Report::Kind::kSource, socket, nullptr, 0}, delay);
  return true;
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
  if (!IsErrand(operation)) {
    Descriptor& descriptor = DescriptorOf(operation.socket);
    if (descriptor.send == &operation) {
      descriptor.send = nullptr;
      descriptor.send_ended = false;
    } else if (descriptor.connect == &operation) {
      descriptor.connect = nullptr;
      descriptor.connect_ended = false;
    }
  }
  FreeSlot(operation.reactor_slot);
  ++statistics_.completions;
  stack_.Record(TraceKind::kComplete, operation.kind, operation.socket, report.result);
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

SimReactor::Descriptor& SimReactor::NewDescriptor(SocketId socket) {
  CHECK_GE(socket, 0) << "not a socket";
  const auto index = static_cast<size_t>(socket);
  while (index >= descriptors_.size()) descriptors_.push_back(std::make_unique<Descriptor>());
  return *descriptors_[index];
}

void SimReactor::SubmitOperation(Operation& operation) {
  ++statistics_.submissions;
  CountCall();
  operation.reactor_slot = TakeSlot(&operation, nullptr);
  if (abandoned_) {
    stack_.Record(TraceKind::kSubmitDead, 0);
    return;
  }
  stack_.Record(TraceKind::kSubmit, operation.kind, operation.socket);
  switch (operation.kind) {
    case OperationKind::kConnect:
      StartConnect(operation);
      return;
    case OperationKind::kSend:
    case OperationKind::kSendFile:
      StartSend(operation);
      return;
    case OperationKind::kClose:
      StartClose(operation);
      return;
    case OperationKind::kSendDatagrams:
      StartSendDatagrams(operation);
      return;
    case OperationKind::kRunBlocking:
      StartWork(operation);
      return;
    case OperationKind::kResolve:
      StartLookup(operation);
      return;
    case OperationKind::kAwaitReadable:
    case OperationKind::kAwaitWritable:
      CHECK(false) << "a simulated process has no descriptors";
  }
}

void SimReactor::CancelOperation(Operation& operation) {
  if (abandoned_) return;
  stack_.Record(TraceKind::kCancel, operation.kind, operation.socket);
  if (IsErrand(operation)) {
    CancelErrand(operation);
    return;
  }
  const Descriptor& descriptor = DescriptorOf(operation.socket);
  const bool connects = descriptor.connect == &operation;
  if (!connects && descriptor.send != &operation) return;
  const int64_t delay = DrawLateness(stack_.faults().late_cancel, Late::kCancel, operation.socket);
  if (delay == 0) {
    CancelNow(operation);
    return;
  }
  Report report{Report::Kind::kCancel, operation.socket, &operation, 0};
  report.start = connects ? descriptor.connect_start : descriptor.send_start;
  PushLater(report, delay);
}

void SimReactor::OnLateCancel(const Report& report) {
  const Descriptor& descriptor = DescriptorOf(report.socket);
  const bool connects = descriptor.connect == report.operation && descriptor.connect_start == report.start;
  const bool sends = descriptor.send == report.operation && descriptor.send_start == report.start;
  if (connects || sends) CancelNow(*report.operation);
}

void SimReactor::CancelNow(Operation& operation) {
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
  descriptor.connect_start = statistics_.submissions;
  const int result = operation.address.is_unix() ? -EOPNOTSUPP : stack_.Connect(operation.socket, operation.address);
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
  const size_t size = SendSize(operation);
  CHECK_GT(size, 0u) << "an empty send";
  descriptor.send = &operation;
  descriptor.send_start = statistics_.submissions;
  descriptor.send_done = 0;
  descriptor.send_limit = size;
  descriptor.slow_write_step = 0;
  DrawSendFaults(descriptor, operation.socket, size);
  ContinueSend(operation.socket);
}

void SimReactor::DrawSendFaults(Descriptor& descriptor, SocketId socket, size_t size) {
  const StackFaults& faults = stack_.faults();
  const uint64_t ordinal = descriptor.sends++;
  if (faults.short_write.is_never() && faults.slow_write.is_never()) [[likely]]
    return;
  if (size > 1 && faults.short_write.Hits(Draw(Choice::kShortWrite, socket, ordinal))) {
    descriptor.send_limit = 1 + ReduceToRange(Draw(Choice::kShortWrite, socket, ordinal, 1), size - 1);
    StackFaults::CountHit(faults.hits.short_write);
  }
  if (faults.slow_write.Hits(Draw(Choice::kSlowWrite, socket, ordinal))) {
    StackFaults::CountHit(faults.hits.short_write);
    const size_t least = 1 + size / kSlowWriteSteps;
    descriptor.slow_write_step = least + ReduceToRange(Draw(Choice::kSlowWrite, socket, ordinal, 1), least);
  }
}

void SimReactor::ContinueSend(SocketId id) {
  Descriptor& descriptor = DescriptorOf(id);
  if (descriptor.send == nullptr || descriptor.send_ended || descriptor.slow_write_waits) return;
  if (descriptor.send->kind == OperationKind::kSendDatagrams) {
    ContinueSendDatagrams(descriptor, id);
    return;
  }
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
  const int64_t result = descriptor.send->kind == OperationKind::kSendFile ? WriteFile(descriptor, *socket, limit)
                                                                           : WriteSlices(descriptor, *socket, limit);
  if (result == -EAGAIN) return;
  if (result < 0) {
    EndSend(descriptor, descriptor.send_done > 0 ? static_cast<int64_t>(descriptor.send_done) : result);
    return;
  }
  descriptor.send_done += static_cast<size_t>(result);
  if (descriptor.send_done == descriptor.send_limit || descriptor.send->some_is_enough) {
    EndSend(descriptor, static_cast<int64_t>(descriptor.send_done));
    return;
  }
  NoteProgress(*descriptor.send);
  if (descriptor.slow_write_step != 0 && static_cast<size_t>(result) == limit) {
    descriptor.slow_write_waits = true;
    PushLater(Report{Report::Kind::kSend, id, nullptr, 0}, kSlowWritePauseNs);
  }
}

int64_t SimReactor::WriteSlices(const Descriptor& descriptor, TcpSocket& socket, size_t limit) {
  return socket.Write(descriptor.send->slices, descriptor.send_done, limit);
}

// As much as there is room for. What was read and found no room is read again later. Where the file ends, the send
// does.
int64_t SimReactor::WriteFile(Descriptor& descriptor, TcpSocket& socket, size_t limit) {
  const FileRange& file = *descriptor.send->file;
  std::array<char, kFilePiece> piece;
  size_t written = 0;
  while (written < limit) {
    const absl::Span<char> target = absl::MakeSpan(piece).subspan(0, limit - written);
    const int64_t count = ReadFileAt(file.descriptor, file.offset + descriptor.send_done + written, target);
    if (count < 0 && written == 0) return count;
    if (count <= 0) {
      descriptor.send_limit = descriptor.send_done + written;
      break;
    }
    const IoSlice slice{piece.data(), static_cast<size_t>(count)};
    const int64_t result = socket.Write(absl::MakeConstSpan(&slice, 1), 0, slice.size);
    if (result < 0) return written > 0 ? static_cast<int64_t>(written) : result;
    written += static_cast<size_t>(result);
    if (result < count) break;
  }
  return static_cast<int64_t>(written);
}

void SimReactor::StartSendDatagrams(Operation& operation) {
  Descriptor& descriptor = DescriptorOf(operation.socket);
  CHECK(descriptor.send == nullptr) << "two sends at once on one socket";
  CHECK(!operation.datagrams.empty()) << "an empty send";
  descriptor.send = &operation;
  descriptor.send_start = statistics_.submissions;
  descriptor.send_done = 0;
  descriptor.send_limit = operation.datagrams.size();
  descriptor.slow_write_step = 0;
  DrawSendFaults(descriptor, operation.socket, operation.datagrams.size());
  if (descriptor.slow_write_step == 0) {
    ContinueSendDatagrams(descriptor, operation.socket);
    return;
  }
  // The first ones wait, too: a cancel may find that nothing was sent.
  descriptor.slow_write_waits = true;
  PushLater(Report{Report::Kind::kSend, operation.socket, nullptr, 0}, kSlowWritePauseNs);
}

void SimReactor::ContinueSendDatagrams(Descriptor& descriptor, SocketId id) {
  UdpSocket* socket = stack_.FindDatagrams(id);
  if (socket == nullptr) {
    EndSend(descriptor, -EBADF);
    return;
  }
  size_t limit = descriptor.send_limit;
  if (descriptor.slow_write_step != 0) limit = std::min(limit, descriptor.send_done + descriptor.slow_write_step);
  while (descriptor.send_done < limit) {
    const int64_t result = socket->Send(descriptor.send->datagrams[descriptor.send_done]);
    if (result < 0) {
      EndSend(descriptor, descriptor.send_done > 0 ? static_cast<int64_t>(descriptor.send_done) : result);
      return;
    }
    ++descriptor.send_done;
  }
  if (limit == descriptor.send_limit) {
    EndSend(descriptor, static_cast<int64_t>(limit));
    return;
  }
  descriptor.slow_write_waits = true;
  PushLater(Report{Report::Kind::kSend, id, nullptr, 0}, kSlowWritePauseNs);
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
  // Drawn while the socket still says which one it is.
  const uint64_t draw = Draw(Choice::kJitter, operation.socket, descriptor.reports);
  const uint64_t ticket = operation.may_block ? next_ticket_++ : 0;
  const int result = stack_.Close(operation.socket, ticket);
  *descriptors_[static_cast<size_t>(operation.socket)] = Descriptor();
  if (result == -EINPROGRESS) {
    lingering_.push_back(LingeringClose{ticket, &operation, draw});
  } else {
    EndClose(operation, draw, result);
  }
}

void SimReactor::EndClose(Operation& operation, uint64_t draw, int64_t result) {
  PushJittered(Report{Report::Kind::kOperation, operation.socket, &operation, result}, draw);
}

void SimReactor::OnLingerEnd(uint64_t ticket) {
  const auto found = std::find_if(lingering_.begin(), lingering_.end(),
                                  [ticket](const LingeringClose& close) { return close.ticket == ticket; });
  CHECK(found != lingering_.end());
  const LingeringClose close = *found;
  lingering_.erase(found);
  EndClose(*close.operation, close.draw, 0);
}

// --- Sources ---

void SimReactor::ArmSource(Source& source) {
  ++statistics_.submissions;
  CountCall();
  source.reactor_slot = TakeSlot(nullptr, &source);
  if (abandoned_) {
    stack_.Record(TraceKind::kSubmitDead, 1);
    return;
  }
  stack_.Record(TraceKind::kArm, source.kind(), source.socket, source.budget);
  CHECK(source.kind() == Source::Kind::kAccept || source.budget > 0);
  Descriptor& descriptor = DescriptorOf(source.socket);
  CHECK(descriptor.source == nullptr) << "two sources at once on one socket";
  descriptor.source = &source;
  descriptor.source_start = statistics_.submissions;
  descriptor.disarming = false;
  if (IsReady(source)) ReportSource(source.socket);
}

// Whether there is something to tell `source`, if only that its socket is not one for it.
bool SimReactor::IsReady(const Source& source) const {
  if (source.kind() == Source::Kind::kReceiveDatagrams) {
    const UdpSocket* socket = stack_.FindDatagrams(source.socket);
    return socket == nullptr || socket->readable() || socket->receive_shutdown();
  }
  const TcpSocket* socket = stack_.Find(source.socket);
  if (socket == nullptr) return true;
  if (source.kind() == Source::Kind::kReceive) return socket->readable();
  return socket->acceptable() || socket->state() != TcpState::kListen;
}

void SimReactor::DisarmSource(Source& source) {
  if (abandoned_) return;
  stack_.Record(TraceKind::kDisarm, source.kind(), source.socket);
  Descriptor& descriptor = DescriptorOf(source.socket);
  const int64_t delay = DrawLateness(stack_.faults().late_cancel, Late::kCancel, source.socket);
  if (delay == 0) {
    DisarmNow(descriptor, source.socket);
    return;
  }
  Report report{Report::Kind::kDisarm, source.socket, nullptr, 0};
  report.start = descriptor.source_start;
  PushLater(report, delay);
}

void SimReactor::OnLateDisarm(const Report& report) {
  Descriptor& descriptor = DescriptorOf(report.socket);
  if (descriptor.source != nullptr && descriptor.source_start == report.start) DisarmNow(descriptor, report.socket);
}

void SimReactor::DisarmNow(Descriptor& descriptor, SocketId socket) {
  descriptor.disarming = true;
  ReportSource(socket);
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
  if (PostponeLook(stack_.faults().stall, Late::kLook, socket)) [[unlikely]] {
    ++statistics_.buffer_shortages;
    return;
  }
  switch (descriptor.source->kind()) {
    case Source::Kind::kAccept:
      TellAccepted(descriptor);
      return;
    case Source::Kind::kReceive:
      TellReceived(descriptor);
      return;
    case Source::Kind::kReceiveDatagrams:
      TellDatagrams(descriptor);
      return;
  }
}

void SimReactor::TellAccepted(Descriptor& descriptor) {
  Source& source = *descriptor.source;
  while ((!descriptor.disarming || options_.read_ahead) && IsReady(source)) {
    const int64_t result = stack_.Accept(source.socket);
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
    if (abandoned_) [[unlikely]]
      return;
  }
  if (!descriptor.disarming || PostponeLook(stack_.faults().late_end, Late::kEnd, source.socket)) return;
  EndSource(descriptor, SourceEnd::kDisarmed, 0);
}

// How many of the `wanted` bytes are taken now: fewer than there are by a short-read fault.
size_t SimReactor::DrawReceiveLimit(Descriptor& descriptor, const TcpSocket& socket, size_t wanted) {
  const StackFaults& faults = stack_.faults();
  const size_t bytes = std::min(wanted, socket.receive_bytes());
  if (bytes == 0) return wanted;
  const uint64_t ordinal = descriptor.receives++;
  if (faults.short_read.is_never()) [[likely]]
    return wanted;
  if (!faults.short_read.Hits(Draw(Choice::kShortRead, socket.id(), ordinal))) return wanted;
  const size_t limit = 1 + ReduceToRange(Draw(Choice::kShortRead, socket.id(), ordinal, 1), bytes);
  if (limit < bytes) StackFaults::CountHit(faults.hits.short_read);
  return limit;
}

// How many bytes beyond the budget are taken.
size_t SimReactor::DrawOvershoot(Descriptor& descriptor, SocketId socket) {
  const Probability chance = stack_.faults().overshoot;
  const uint64_t ordinal = descriptor.overshoots++;
  if (chance.is_never()) [[likely]]
    return 0;
  if (!chance.Hits(Draw(Choice::kOvershoot, socket, ordinal))) return 0;
  return 1 + ReduceToRange(Draw(Choice::kOvershoot, socket, ordinal, 1), kOvershootMax);
}

void SimReactor::TellReceived(Descriptor& descriptor) {
  Source& source = *descriptor.source;
  const SocketId id = source.socket;
  TcpSocket* socket = stack_.Find(id);
  if (socket == nullptr) {
    EndSource(descriptor, SourceEnd::kError, EBADF);
    return;
  }
  while (socket->receive_bytes() > 0 && source.delivered < source.budget &&
         (!descriptor.disarming || options_.read_ahead)) {
    size_t wanted = source.budget - source.delivered;
    wanted += DrawOvershoot(descriptor, id);
    const size_t limit = DrawReceiveLimit(descriptor, *socket, wanted);
    const bool short_read = limit < wanted;
    ++statistics_.completions;
    ReportReceived(source, socket->Take(limit));
    if (abandoned_) [[unlikely]]
      return;
    if (short_read && source.delivered < source.budget) {
      ReportSource(id);  // The rest in another Poll().
      return;
    }
  }
  const bool ends = source.delivered >= source.budget || descriptor.disarming || socket->readable();
  if (ends && PostponeLook(stack_.faults().late_end, Late::kEnd, id)) return;
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

void SimReactor::TellDatagrams(Descriptor& descriptor) {
  Source& source = *descriptor.source;
  const SocketId id = source.socket;
  UdpSocket* socket = stack_.FindDatagrams(id);
  if (socket == nullptr) {
    EndSource(descriptor, SourceEnd::kError, EBADF);
    return;
  }
  const StackFaults& faults = stack_.faults();
  while (source.delivered < source.budget && (!descriptor.disarming || options_.read_ahead)) {
    Datagram datagram;
    const int result = socket->Take(&datagram);
    if (result == -EAGAIN) break;
    if (result < 0) {
      EndSource(descriptor, SourceEnd::kError, -result);
      return;
    }
    ++statistics_.completions;
    ReportDatagram(source, std::move(datagram));
    if (abandoned_) [[unlikely]]
      return;
    if (source.delivered == source.budget || !socket->readable()) continue;
    const uint64_t ordinal = descriptor.receives++;
    if (faults.short_read.is_never()) [[likely]]
      continue;
    if (faults.short_read.Hits(Draw(Choice::kShortRead, id, ordinal))) {
      StackFaults::CountHit(faults.hits.short_read);
      ReportSource(id);  // The rest in another Poll().
      return;
    }
  }
  const bool ends = source.delivered >= source.budget || descriptor.disarming || socket->receive_shutdown();
  if (!ends || PostponeLook(faults.late_end, Late::kEnd, id)) return;
  if (source.delivered >= source.budget) {
    EndSource(descriptor, SourceEnd::kBudget, 0);
  } else if (descriptor.disarming) {
    EndSource(descriptor, SourceEnd::kDisarmed, 0);
  } else {
    EndSource(descriptor, SourceEnd::kEndOfStream, 0);
  }
}

void SimReactor::EndSource(Descriptor& descriptor, SourceEnd end, int error) {
  Source& source = *std::exchange(descriptor.source, nullptr);
  descriptor.disarming = false;
  FreeSlot(source.reactor_slot);
  ++statistics_.completions;
  stack_.Record(TraceKind::kReceiveEnd, source.socket, end, error);
  ReportEnd(source, end, error);
}

// --- Sockets ---

int64_t SimReactor::OpenSocket(AddressFamily family, SocketType type) {
  if (family == AddressFamily::kUnix) return -EOPNOTSUPP;
  CountCall();
  if (abandoned_) return AfterEnd(kVoidSocket);
  return type == SocketType::kStream ? stack_.Open(family) : stack_.OpenDatagrams(family);
}

int SimReactor::Bind(SocketId socket, const SocketAddress& address) {
  if (address.is_unix()) return -EOPNOTSUPP;
  return abandoned_ ? AfterEnd(0) : stack_.Bind(socket, address);
}

int SimReactor::Listen(SocketId socket, int backlog) {
  return abandoned_ ? AfterEnd(0) : stack_.Listen(socket, backlog);
}

int SimReactor::ConnectDatagrams(SocketId socket, const SocketAddress& address) {
  if (address.is_unix()) return -EOPNOTSUPP;
  if (abandoned_) return AfterEnd(0);
  UdpSocket* datagrams = stack_.FindDatagrams(socket);
  return datagrams == nullptr ? -EBADF : datagrams->Connect(address);
}

int SimReactor::SetMembership(SocketId socket, const MulticastGroup& group, bool join) {
  if (abandoned_) return AfterEnd(0);
  UdpSocket* datagrams = stack_.FindDatagrams(socket);
  return datagrams == nullptr ? -EBADF : datagrams->SetMembership(group, join);
}

int SimReactor::Shutdown(SocketId socket, ShutdownHow how) {
  CountCall();
  return abandoned_ ? AfterEnd(0) : stack_.Shutdown(socket, how);
}

int SimReactor::SetOption(SocketId socket, SocketOption option, int value) {
  return abandoned_ ? AfterEnd(0) : stack_.SetOption(socket, option, value);
}

int SimReactor::GetOption(SocketId socket, SocketOption option, int* value) {
  return abandoned_ ? AfterEnd(0) : stack_.GetOption(socket, option, value);
}

int SimReactor::LocalAddress(SocketId socket, SocketAddress* address) {
  return abandoned_ ? AfterEnd(0) : stack_.LocalAddress(socket, address);
}

int SimReactor::PeerAddress(SocketId socket, SocketAddress* address) {
  return abandoned_ ? AfterEnd(0) : stack_.PeerAddress(socket, address);
}

int64_t SimReactor::TryAccept(SocketId socket) {
  CountCall();
  return abandoned_ ? AfterEnd(-EAGAIN) : stack_.Accept(socket);
}

int64_t SimReactor::TryReceive(SocketId id, absl::Span<char> target) {
  CountCall();
  TcpSocket* socket = stack_.Find(id);
  if (abandoned_) return AfterEnd(-EAGAIN);
  if (socket == nullptr) return -EBADF;
  return socket->Read(target.subspan(0, DrawReceiveLimit(DescriptorOf(id), *socket, target.size())));
}

int64_t SimReactor::TrySend(SocketId id, absl::Span<const IoSlice> slices) {
  CountCall();
  TcpSocket* socket = stack_.Find(id);
  if (abandoned_) return AfterEnd(-EAGAIN);
  if (socket == nullptr) return -EBADF;
  const size_t size = TotalSize(slices);
  if (size == 0) return 0;
  Descriptor& descriptor = DescriptorOf(id);
  CHECK(descriptor.send == nullptr) << "two sends at once on one socket";
  descriptor.send_limit = size;
  descriptor.slow_write_step = 0;
  DrawSendFaults(descriptor, id, size);
  const size_t limit = descriptor.slow_write_step == 0 ? descriptor.send_limit
                                                       : std::min(descriptor.send_limit, descriptor.slow_write_step);
  return socket->Write(slices, 0, limit);
}

int64_t SimReactor::TryReceiveDatagrams(SocketId id, std::vector<Datagram>* datagrams) {
  CountCall();
  UdpSocket* socket = stack_.FindDatagrams(id);
  if (abandoned_) return AfterEnd(-EAGAIN);
  if (socket == nullptr) return -EBADF;
  Datagram datagram;
  if (const int error = socket->Take(&datagram); error != 0) return error;
  datagrams->push_back(std::move(datagram));
  return 1;
}

int64_t SimReactor::TrySendDatagrams(SocketId id, absl::Span<const OutgoingDatagram> datagrams) {
  CountCall();
  UdpSocket* socket = stack_.FindDatagrams(id);
  if (abandoned_) return AfterEnd(-EAGAIN);
  if (socket == nullptr) return -EBADF;
  if (datagrams.empty()) return 0;
  Descriptor& descriptor = DescriptorOf(id);
  CHECK(descriptor.send == nullptr) << "two sends at once on one socket";
  descriptor.send_limit = datagrams.size();
  descriptor.slow_write_step = 0;
  DrawSendFaults(descriptor, id, datagrams.size());
  for (size_t sent = 0; sent < descriptor.send_limit; ++sent) {
    const int64_t result = socket->Send(datagrams[sent]);
    if (result < 0) return sent > 0 ? static_cast<int64_t>(sent) : result;
  }
  return static_cast<int64_t>(descriptor.send_limit);
}

ReactorStatistics SimReactor::statistics() const {
  ReactorStatistics statistics = statistics_;
  statistics.operations_in_flight = operations_in_flight();
  statistics.sources_armed = sources_armed();
  statistics.description = options_.read_ahead ? "simulated, reads ahead" : "simulated, reads when asked";
  return statistics;
}

}  // namespace tandem::sim
