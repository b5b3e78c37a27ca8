// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/reactor/sim_reactor.h"

#include <cerrno>
#include <csignal>
#include <utility>

#include "absl/log/check.h"
#include "absl/types/span.h"
#include "tandem/sim/tcp/tcp_socket.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/udp/udp_socket.h"

namespace tandem::sim {
namespace {

// The two that cannot be caught: signal(7).
constexpr int kSigKill = 9;
constexpr int kSigStop = 19;

}  // namespace

SimReactor::SimReactor(HostStack& stack, HostWaker* waker, const SimReactorOptions& options)
    : stack_(stack),
      network_(stack.network()),
      waker_(waker),
      options_(options),
      process_(stack.entity().Part("run", options.run)),
      random_seed_(network_.choices().Draw(Choice::kProgram, stack.entity(), options.run)),
      reports_(network_.events(), *this),
      draws_(stack, process_),
      failures_(stack, descriptors_, reports_),
      connects_(stack, descriptors_, draws_, reports_),
      sends_(stack, *this, descriptors_, draws_, reports_),
      sources_(stack, *this, *this, descriptors_, draws_, reports_, slots_, statistics_, options.read_ahead),
      closes_(stack, descriptors_, draws_, reports_),
      errands_(stack, process_, waker, reports_) {
  stack_.AddObserver(*this);
}

SimReactor::~SimReactor() { Abandon(); }

void SimReactor::Stop() {
  if (abandoned_) return;
  stack_.Record(TraceKind::kAbandon, operations_in_flight(), sources_armed());
  abandoned_ = stopped_ = true;
  stack_.RemoveObserver(*this);
  reports_.Clear();
  closes_.Clear();
  errands_.Clear();
  woken_ = false;
  pending_signals_ = 0;
}

void SimReactor::Abandon() {
  Stop();
  stopped_ = false;
  signal_handler_ = nullptr;
  // The callbacks may submit anew; that is abandoned as well.
  slots_.Drain([this](const Slots::Slot& slot) {
    if (slot.operation != nullptr) {
      ReportAbandoned(*slot.operation);
    } else {
      ReportAbandoned(*slot.source);
    }
  });
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

Instant SimReactor::ReadClock() { return Instant::FromNanoseconds(stack_.clock().MonotonicNs(network_.now_ns())); }

int64_t SimReactor::ReadWallClock() { return kWallEpochNs + stack_.clock().WallNs(network_.now_ns()); }

bool SimReactor::Poll(Instant) {
  CHECK(!polling_) << "Poll() was called from a callback";
  ++statistics_.polls;
  polling_ = true;
  told_waker_ = false;
  woken_ = false;
  if (pending_signals_ != 0) [[unlikely]] {
    TellSignals();
  }
  reports_.TellAll([this](const Report& report) {
    if (abandoned_) [[unlikely]]
      return false;  // What was told before this made a call that a crash waited for.
    switch (report.kind) {
      case Report::Kind::kOperation:
        TellOperation(report);
        break;
      case Report::Kind::kSend:
        sends_.Continue(report.socket);
        break;
      case Report::Kind::kSource:
        sources_.Look(report.socket);
        break;
      case Report::Kind::kCancel:
      case Report::Kind::kDisarm:
        break;  // Take effect without a Poll().
    }
    return true;
  });
  polling_ = false;
  if (has_pending()) NotifyRunnable();
  return true;
}

void SimReactor::TellSignals() {
  uint64_t signals = std::exchange(pending_signals_, 0);
  for (int signal = 1; signals != 0; ++signal, signals >>= 1) {
    if ((signals & 1) == 0 || signal_handler_ == nullptr) continue;
    const std::function<void(int signal)> handler = signal_handler_;  // It may uninstall itself.
    handler(signal);
  }
}

void SimReactor::TellOperation(const Report& report) {
  Operation& operation = *report.operation;
  if (!Errands::IsErrand(operation)) {
    Descriptor& descriptor = descriptors_[operation.socket];
    if (descriptor.send.operation == &operation) {
      descriptor.send.operation = nullptr;
      descriptor.send.ended = false;
    } else if (descriptor.connect.operation == &operation) {
      descriptor.connect = Descriptor::Connect();
    }
  }
  slots_.Remove(operation);
  ++statistics_.completions;
  stack_.Record(TraceKind::kComplete, operation.kind, operation.socket, report.result);
  ReportComplete(operation, report.result);
}

void SimReactor::TellEnd(Source& source, SourceEnd end, int error) {
  slots_.Remove(source);
  ++statistics_.completions;
  ReportEnd(source, end, error);
}

void SimReactor::OnDue(const Report& report) {
  switch (report.kind) {
    case Report::Kind::kCancel:
      OnLateCancel(report);
      return;
    case Report::Kind::kDisarm:
      sources_.OnLateDisarm(report.socket, report.start);
      return;
    case Report::Kind::kSend:
      sends_.EndPause(report.socket);
      break;
    case Report::Kind::kOperation:
    case Report::Kind::kSource:
      break;
  }
  reports_.Push(report);
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

// --- Operations and sources ---

void SimReactor::SubmitOperation(Operation& operation) {
  ++statistics_.submissions;
  CountCall();
  slots_.Add(operation);
  if (abandoned_) {
    stack_.Record(TraceKind::kSubmitDead, 0);
    return;
  }
  stack_.Record(TraceKind::kSubmit, operation.kind, operation.socket);
  if (failures_.EndsAtOnce(operation)) return;
  switch (operation.kind) {
    case OperationKind::kConnect:
      connects_.Start(operation, statistics_.submissions);
      return;
    case OperationKind::kSend:
    case OperationKind::kSendFile:
    case OperationKind::kSendDatagrams:
      sends_.Start(operation, statistics_.submissions);
      return;
    case OperationKind::kClose:
      closes_.Start(operation);
      return;
    case OperationKind::kRunBlocking:
    case OperationKind::kResolve:
      errands_.Start(operation);
      return;
    case OperationKind::kAwaitReadable:
    case OperationKind::kAwaitWritable:
      CHECK(false) << "a simulated process has no descriptors";
  }
}

void SimReactor::CancelOperation(Operation& operation) {
  if (abandoned_) return;
  stack_.Record(TraceKind::kCancel, operation.kind, operation.socket);
  if (Errands::IsErrand(operation)) {
    errands_.Cancel(operation);
    return;
  }
  Descriptor& descriptor = descriptors_[operation.socket];
  const bool connects = descriptor.connect.operation == &operation;
  if (!connects && descriptor.send.operation != &operation) return;
  const int64_t delay = draws_.Lateness(descriptor, operation.socket, FaultDraws::Late::kCancel);
  if (delay == 0) {
    CancelNow(operation);
  } else {
    reports_.PushLater(Report::Cancel(operation, connects ? descriptor.connect.start : descriptor.send.start), delay);
  }
}

void SimReactor::OnLateCancel(const Report& report) {
  const Descriptor& descriptor = descriptors_[report.socket];
  const bool connects = descriptor.connect.operation == report.operation && descriptor.connect.start == report.start;
  const bool sends = descriptor.send.operation == report.operation && descriptor.send.start == report.start;
  if (connects || sends) CancelNow(*report.operation);
}

void SimReactor::CancelNow(const Operation& operation) {
  Descriptor& descriptor = descriptors_[operation.socket];
  if (descriptor.connect.operation == &operation) {
    connects_.Cancel(descriptor);
  } else if (descriptor.send.operation == &operation) {
    sends_.Cancel(descriptor);
  }
}

void SimReactor::ArmSource(Source& source) {
  ++statistics_.submissions;
  CountCall();
  slots_.Add(source);
  if (abandoned_) {
    stack_.Record(TraceKind::kSubmitDead, 1);
    return;
  }
  if (source.kind() == Source::Kind::kReceive) failures_.OfConnection(source.socket);
  sources_.Arm(source, statistics_.submissions);
}

void SimReactor::DisarmSource(Source& source) {
  if (abandoned_) return;
  stack_.Record(TraceKind::kDisarm, source.kind(), source.socket);
  sources_.Disarm(source.socket);
}

// --- What the host says ---

void SimReactor::OnConnected(SocketId socket, int error) { connects_.OnConnected(socket, error); }

void SimReactor::OnSendable(SocketId socket) { sends_.OnSendable(socket); }

void SimReactor::OnReceivable(SocketId socket) { sources_.Report(socket); }

void SimReactor::OnAcceptable(SocketId socket) { sources_.Report(socket); }

void SimReactor::OnDescriptorFree() { sources_.OnDescriptorFree(); }

void SimReactor::OnLingerEnd(uint64_t ticket) { closes_.OnLingerEnd(ticket); }

// --- Sockets ---

int64_t SimReactor::OpenSocket(AddressFamily family, SocketType type) {
  if (family == AddressFamily::kUnix) return -EOPNOTSUPP;
  CountCall();
  if (abandoned_) return AfterEnd(kVoidSocket);
  if (const int error = failures_.OfOpen(); error != 0) return error;
  return type == SocketType::kStream ? stack_.Open(family, this) : stack_.OpenDatagrams(family, this);
}

int SimReactor::Bind(SocketId socket, const SocketAddress& address) {
  if (address.is_unix()) return -EOPNOTSUPP;
  if (abandoned_) return AfterEnd(0);
  if (const int error = failures_.OfBind(); error != 0) return error;
  return stack_.Bind(socket, address);
}

int SimReactor::Listen(SocketId socket, int backlog) {
  if (abandoned_) return AfterEnd(0);
  if (const int error = failures_.OfListen(); error != 0) return error;
  return stack_.Listen(socket, backlog);
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
  return abandoned_ ? AfterEnd(-EAGAIN) : sources_.Accept(socket);
}

int64_t SimReactor::TryReceive(SocketId id, absl::Span<char> target) {
  CountCall();
  TcpSocket* socket = stack_.Find(id);
  if (abandoned_) return AfterEnd(-EAGAIN);
  if (socket == nullptr) return -EBADF;
  failures_.OfConnection(id);
  const size_t limit = draws_.LimitReceive(descriptors_[id], id, target.size(), socket->receive_bytes());
  return socket->Read(target.subspan(0, limit));
}

int64_t SimReactor::TrySend(SocketId id, absl::Span<const IoSlice> slices) {
  CountCall();
  TcpSocket* socket = stack_.Find(id);
  if (abandoned_) return AfterEnd(-EAGAIN);
  if (socket == nullptr) return -EBADF;
  failures_.OfConnection(id);
  return sends_.Try(*socket, id, slices);
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
  if (const int error = failures_.OfDatagrams(); error != 0) return error;
  return sends_.Try(*socket, id, datagrams);
}

bool SimReactor::hears_nothing() const {
  if (in_flight() != 0 || has_pending()) return false;
  for (size_t signal = 0; signal < watched_signals_.size(); ++signal) {
    // Every program hears these two, which end it.
    if (signal != SIGINT && signal != SIGTERM && watched_signals_[signal] != SignalWatch::kOff) return false;
  }
  return true;
}

std::vector<SimReactor::Reader> SimReactor::Readers() {
  std::vector<Reader> readers;
  for (SocketId socket = 0; socket < descriptors_.end(); ++socket) {
    const Descriptor::Receive& receive = descriptors_[socket].receive;
    if (receive.source == nullptr || receive.source->kind() != Source::Kind::kReceive || receive.reported) continue;
    Reader reader{socket, SocketAddress(), SocketAddress()};
    if (stack_.LocalAddress(socket, &reader.local) != 0 || stack_.PeerAddress(socket, &reader.peer) != 0) continue;
    readers.push_back(reader);
  }
  return readers;
}

ReactorStatistics SimReactor::statistics() const {
  ReactorStatistics statistics = statistics_;
  statistics.operations_in_flight = operations_in_flight();
  statistics.sources_armed = sources_armed();
  statistics.description = options_.read_ahead ? "simulated, reads ahead" : "simulated, reads when asked";
  return statistics;
}

}  // namespace tandem::sim
