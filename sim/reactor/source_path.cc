// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/reactor/source_path.h"

#include <cerrno>
#include <utility>

#include "absl/log/check.h"
#include "tandem/core/base/prefetch.h"
#include "tandem/core/io/datagram.h"
#include "tandem/sim/tcp/tcp_socket.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/udp/udp_socket.h"

namespace tandem::sim {
namespace {

// Of a source and what it belongs to.
constexpr size_t kSourceBytes = 256;
// How long accepting waits after a shortage that a fault says there is.
constexpr int64_t kShortagePauseNs = 10'000'000;

}  // namespace

void SourcePath::Arm(Source& source, uint64_t start) {
  stack_.Record(TraceKind::kArm, source.kind(), source.socket, source.budget);
  CHECK(source.kind() == Source::Kind::kAccept || source.budget > 0);
  Descriptor::Receive& receive = descriptors_[source.socket].receive;
  CHECK(receive.source == nullptr) << "two sources at once on one socket";
  receive.source = &source;
  receive.start = start;
  receive.disarming = false;
  if (IsReady(source)) Report(source.socket);
}

bool SourcePath::IsReady(const Source& source) const {
  if (source.kind() == Source::Kind::kReceiveDatagrams) {
    const UdpSocket* socket = stack_.FindDatagrams(source.socket);
    return socket == nullptr || socket->readable() || socket->receive_shutdown();
  }
  const TcpSocket* socket = stack_.Find(source.socket);
  if (socket == nullptr) return true;
  if (source.kind() == Source::Kind::kReceive) return socket->readable();
  return socket->listener() == nullptr || socket->listener()->acceptable();
}

void SourcePath::Disarm(SocketId socket) {
  Descriptor& descriptor = descriptors_[socket];
  const int64_t delay = draws_.Lateness(descriptor, socket, FaultDraws::Late::kCancel);
  if (delay == 0) {
    DisarmNow(descriptor, socket);
  } else {
    reports_.PushLater(Report::Disarm(socket, descriptor.receive.start), delay);
  }
}

void SourcePath::OnLateDisarm(SocketId socket, uint64_t start) {
  Descriptor& descriptor = descriptors_[socket];
  if (descriptor.receive.source != nullptr && descriptor.receive.start == start) DisarmNow(descriptor, socket);
}

void SourcePath::DisarmNow(Descriptor& descriptor, SocketId socket) {
  descriptor.receive.disarming = true;
  Report(socket);
}

void SourcePath::Report(SocketId socket) {
  Descriptor& descriptor = descriptors_[socket];
  if (descriptor.receive.source == nullptr || descriptor.receive.reported) return;
  descriptor.receive.reported = true;
  Prefetch(descriptor.receive.source, kSourceBytes);  // Until it is told there is some time.
  reports_.PushLater(sim::Report::Source(socket), draws_.Jitter(descriptor, socket));
}

void SourcePath::OnDescriptorFree() {
  if (!std::exchange(accepts_starved_, false)) return;
  slots_.ForEachSource([this](const Source& source) {
    if (source.kind() == Source::Kind::kAccept) Report(source.socket);
  });
}

bool SourcePath::Postpones(Descriptor& descriptor, SocketId socket, FaultDraws::Late what) {
  const int64_t delay = draws_.Lateness(descriptor, socket, what);
  if (delay == 0) return false;
  descriptor.receive.reported = true;
  reports_.PushLater(sim::Report::Source(socket), delay);
  return true;
}

void SourcePath::Look(SocketId socket) {
  Descriptor& descriptor = descriptors_[socket];
  descriptor.receive.reported = false;
  if (descriptor.receive.source == nullptr) return;
  if (Postpones(descriptor, socket, FaultDraws::Late::kLook)) [[unlikely]] {
    ++statistics_.buffer_shortages;
    return;
  }
  switch (descriptor.receive.source->kind()) {
    case Source::Kind::kAccept:
      LookForConnections(descriptor);
      return;
    case Source::Kind::kReceive:
      LookForBytes(descriptor);
      return;
    case Source::Kind::kReceiveDatagrams:
      LookForDatagrams(descriptor);
      return;
  }
}

int64_t SourcePath::Accept(SocketId listener) {
  const TcpSocket* const socket = stack_.Find(listener);
  const bool waits = socket != nullptr && socket->listener() != nullptr && socket->listener()->acceptable();
  if (!waits || stack_.out_of_descriptors()) return stack_.Accept(listener, &observer_);
  const int error = draws_.FailAccept(descriptors_[listener], listener);
  if (error != 0 && error != ECONNABORTED) return -error;
  const int64_t accepted = stack_.Accept(listener, &observer_);
  if (error == 0 || accepted < 0) return accepted;
  stack_.AbortConnection(static_cast<SocketId>(accepted));
  return -ECONNABORTED;
}

void SourcePath::LookForConnections(Descriptor& descriptor) {
  const Descriptor::Receive& receive = descriptor.receive;
  Source& source = *receive.source;
  while (!IsOver(receive) && IsReady(source)) {
    const int64_t result = Accept(source.socket);
    if (result == -ECONNABORTED) continue;
    if (result == -EMFILE || result == -ENFILE || result == -ENOBUFS) {
      ++statistics_.descriptor_shortages;
      accepts_starved_ = true;
      if (!stack_.out_of_descriptors() && !receive.disarming) {
        descriptor.receive.reported = true;
        reports_.PushLater(sim::Report::Source(source.socket), kShortagePauseNs);
      }
      break;
    }
    if (result < 0) {
      End(descriptor, SourceEnd::kError, static_cast<int>(-result));
      return;
    }
    ++statistics_.completions;
    program_.TellAccepted(source, static_cast<SocketId>(result));
    if (program_.is_over()) [[unlikely]]
      return;
  }
  if (!receive.disarming || Postpones(descriptor, source.socket, FaultDraws::Late::kEnd)) return;
  End(descriptor, SourceEnd::kDisarmed, 0);
}

void SourcePath::LookForBytes(Descriptor& descriptor) {
  const Descriptor::Receive& receive = descriptor.receive;
  Source& source = *receive.source;
  const SocketId id = source.socket;
  TcpSocket* const socket = stack_.Find(id);
  if (socket == nullptr) {
    End(descriptor, SourceEnd::kError, EBADF);
    return;
  }
  while (socket->receive_bytes() > 0 && source.delivered < source.budget && !IsOver(receive)) {
    const size_t wanted = source.budget - source.delivered + draws_.Overshoot(descriptor, id);
    const size_t limit = draws_.LimitReceive(descriptor, id, wanted, socket->receive_bytes());
    ++statistics_.completions;
    program_.TellReceived(source, socket->Take(limit));
    if (program_.is_over()) [[unlikely]]
      return;
    if (limit < wanted && source.delivered < source.budget) {
      Report(id);  // The rest in another Poll().
      return;
    }
  }
  const bool ends = source.delivered >= source.budget || receive.disarming || socket->readable();
  if (ends && Postpones(descriptor, id, FaultDraws::Late::kEnd)) return;
  if (source.delivered >= source.budget) {
    End(descriptor, SourceEnd::kBudget, 0);
    return;
  }
  SourceEnd end = SourceEnd::kDisarmed;
  int error = 0;
  if (!IsOver(receive) && socket->TakeEnd(&end, &error)) {
    End(descriptor, end, error);
  } else if (receive.disarming) {
    End(descriptor, SourceEnd::kDisarmed, 0);
  }
}

void SourcePath::LookForDatagrams(Descriptor& descriptor) {
  const Descriptor::Receive& receive = descriptor.receive;
  Source& source = *receive.source;
  const SocketId id = source.socket;
  UdpSocket* const socket = stack_.FindDatagrams(id);
  if (socket == nullptr) {
    End(descriptor, SourceEnd::kError, EBADF);
    return;
  }
  while (source.delivered < source.budget && !IsOver(receive)) {
    Datagram datagram;
    const int result = socket->Take(&datagram);
    if (result == -EAGAIN) break;
    if (result < 0) {
      End(descriptor, SourceEnd::kError, -result);
      return;
    }
    ++statistics_.completions;
    program_.TellDatagram(source, std::move(datagram));
    if (program_.is_over()) [[unlikely]]
      return;
    if (source.delivered == source.budget || !socket->readable()) continue;
    if (draws_.EndsDatagrams(descriptor, id)) {
      Report(id);  // The rest in another Poll().
      return;
    }
  }
  const bool ends = source.delivered >= source.budget || receive.disarming || socket->receive_shutdown();
  if (!ends || Postpones(descriptor, id, FaultDraws::Late::kEnd)) return;
  if (source.delivered >= source.budget) {
    End(descriptor, SourceEnd::kBudget, 0);
  } else if (receive.disarming) {
    End(descriptor, SourceEnd::kDisarmed, 0);
  } else {
    End(descriptor, SourceEnd::kEndOfStream, 0);
  }
}

void SourcePath::End(Descriptor& descriptor, SourceEnd end, int error) {
  Source& source = *std::exchange(descriptor.receive.source, nullptr);
  descriptor.receive.disarming = false;
  stack_.Record(TraceKind::kReceiveEnd, source.socket, end, error);
  program_.TellEnd(source, end, error);
}

}  // namespace tandem::sim
