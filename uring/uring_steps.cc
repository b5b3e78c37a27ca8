// SPDX-License-Identifier: Apache-2.0
//
// What the reactor does itself when the ring says that a socket is ready: datagrams, files and descriptors, with the
// system calls that every real reactor makes. Each poll makes one bounded step of each, so none starves the others.
//
// Operations make their first step without waiting; sources wait first.

#include <poll.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/types/span.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/posix/back_off.h"
#include "tandem/posix/datagrams.h"
#include "tandem/posix/descriptors.h"
#include "tandem/posix/send_file.h"
#include "tandem/posix/sockets.h"
#include "tandem/uring/uring_reactor.h"

namespace tandem::uring {
namespace {

constexpr size_t kDatagramsPerStep = 256;

}  // namespace

void UringReactor::MakeReady(Slot& slot) {
  slot.phase = Phase::kReady;
  ready_.push_back(slot.index);
}

void UringReactor::RunReady() {
  ready_in_work_.swap(ready_);
  for (const uint32_t index : ready_in_work_) {
    Slot& slot = slots_.At(index);
    CHECK(slot.phase == Phase::kReady);
    if (slot.operation->state() == Operation::State::kCancelling) {
      Complete(slot, ResultOf(slot, -ECANCELED));
    } else {
      Step(slot, 0);
    }
  }
  ready_in_work_.clear();
}

// Makes the next step of `slot` after a wait that found `events`, 0 without a wait.
void UringReactor::Step(Slot& slot, uint32_t events) {
  slot.phase = Phase::kReporting;
  switch (slot.kind) {
    case Kind::kConnectUnix:
      return StepConnectUnix(slot);
    case Kind::kSendDescriptors:
      return StepSendDescriptors(slot, events);
    case Kind::kSendFile:
      return StepSendFile(slot, events);
    case Kind::kSendDatagrams:
      return StepSendDatagrams(slot, events);
    case Kind::kReceiveDescriptors:
      return StepReceiveDescriptors(slot);
    case Kind::kReceiveDatagrams:
      return StepReceiveDatagrams(slot, events);
    default:
      CHECK(false) << "this does not go by steps";
  }
}

// --- Connecting ------------------------------------------------------------------------------------------------------

// Never waits: a Unix socket is connected at once, or its listener's queue is full, of whose room no event tells.
void UringReactor::StepConnectUnix(Slot& slot) {
  const int result = posix::ConnectNow(slot.operation->socket, slot.operation->address);
  if (result == -EAGAIN) return RetryLater(slot, posix::kFullQueuePauses);
  Complete(slot, result);
}

// --- Sending ---------------------------------------------------------------------------------------------------------

void UringReactor::StepSendDescriptors(Slot& slot, uint32_t events) {
  const Operation& operation = *slot.operation;
  const int64_t sent = posix::SendWithDescriptors(operation.socket, operation.slices, operation.descriptors);
  if (sent <= 0) return AfterSendStep(slot, sent, 0, events);
  // The rest is a send like any other.
  slot.kind = Kind::kSend;
  slot.sent = static_cast<uint64_t>(sent);
  Start(slot);
}

void UringReactor::StepSendFile(Slot& slot, uint32_t events) {
  const Operation& operation = *slot.operation;
  const int64_t sent = posix::SendFileNow(operation.socket, *operation.file, slot.sent);
  if (sent == 0) return Complete(slot, static_cast<int64_t>(slot.sent));  // The end of the file.
  AfterSendStep(slot, sent, operation.file->count, events);
}

void UringReactor::StepSendDatagrams(Slot& slot, uint32_t events) {
  const Operation& operation = *slot.operation;
  const absl::Span<const OutgoingDatagram> left = operation.datagrams.subspan(slot.sent, kDatagramsPerStep);
  AfterSendStep(slot, posix::SendDatagrams(operation.socket, left), operation.datagrams.size(), events);
}

// Goes on after a step that sent `result`, or failed with it, of an operation that is done when `size` is sent.
void UringReactor::AfterSendStep(Slot& slot, int64_t result, uint64_t size, uint32_t events) {
  if (result > 0) {
    slot.sent += static_cast<uint64_t>(result);
    slot.failures = 0;
    if (slot.sent >= size) return Complete(slot, static_cast<int64_t>(slot.sent));
    NoteProgress(*slot.operation);
    return MakeReady(slot);
  }
  // A datagram may be lost to want of memory; a stream may not.
  if (posix::IsOutOfMemory(result) && slot.kind != Kind::kSendDatagrams) {
    return RetryLater(slot, posix::kShortagePauses);
  }
  if (result != -EAGAIN) return Complete(slot, ResultOf(slot, result));
  // Linux calls an unconnected Unix datagram socket writable whatever the queue of the one that is sent to.
  if ((events & POLLOUT) != 0) return RetryLater(slot, posix::kFullQueuePauses);
  WaitFor(slot, POLLOUT);
}

// --- Receiving -------------------------------------------------------------------------------------------------------

void UringReactor::StepReceiveDescriptors(Slot& slot) {
  Source& source = *slot.source;
  Buffer data;
  std::vector<OwnedDescriptor> descriptors;
  const int64_t received = posix::ReceiveWithDescriptors(source.socket, heap_buffers(),
                                                         source.budget - source.delivered, &data, &descriptors);
  if (received > 0) {
    slot.failures = 0;
    ++statistics_.completions;
    if (!descriptors.empty()) ReportDescriptors(source, std::move(descriptors));
    ReportReceived(source, std::move(data));
    return AfterReceived(slot);
  }
  switch (received) {
    case 0:
      return End(slot, SourceEnd::kEndOfStream, 0);
    case -EAGAIN:
      return Start(slot);
    case -ENOMEM:
    case -ENOBUFS:
      return RetryLater(slot, posix::kShortagePauses);
    default:
      return End(slot, SourceEnd::kError, static_cast<int>(-received));
  }
}

void UringReactor::StepReceiveDatagrams(Slot& slot, uint32_t events) {
  Source& source = *slot.source;
  const int64_t received =
      datagram_receiver().Receive(source.socket, heap_buffers(), source.budget - source.delivered, &arrived_);
  if (received > 0) {
    slot.failures = 0;
    for (Datagram& datagram : arrived_) {
      ++statistics_.completions;
      ReportDatagram(source, std::move(datagram));
    }
    arrived_.clear();
    return AfterReceived(slot);
  }
  switch (received) {
    case -EAGAIN:
      // After a shutdown the kernel calls the socket readable for ever.
      if ((events & POLLRDHUP) != 0) return End(slot, SourceEnd::kEndOfStream, 0);
      return Start(slot);
    case -ENOMEM:
    case -ENOBUFS:
      return RetryLater(slot, posix::kShortagePauses);
    default:
      return End(slot, SourceEnd::kError, static_cast<int>(-received));
  }
}

}  // namespace tandem::uring
