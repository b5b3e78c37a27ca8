// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/datagram_operations.h"

#include <algorithm>

#include "tandem/core/io/reactor.h"

namespace tandem {

namespace internal {

ReceivedDatagram CopyOut(Datagram datagram, absl::Span<char> target) {
  ReceivedDatagram received;
  received.size = std::min(target.size(), datagram.data.size());
  std::copy_n(datagram.data.data(), received.size, target.data());
  received.truncated = datagram.truncated || received.size < datagram.data.size();
  received.source = std::move(datagram.source);
  received.destination = std::move(datagram.destination);
  received.interface_index = datagram.interface_index;
  received.descriptors = std::move(datagram.descriptors);
  return received;
}

Datagram ForKeeps(Datagram datagram) {
  if (datagram.data.scarce()) datagram.data = Reactor::Current().heap_buffers().Copy(datagram.data.view());
  return datagram;
}

}  // namespace internal

absl::StatusOr<ReceivedDatagram> ReceiveFromOperation::TakeResult() {
  absl::Status status = EndStatus();
  if (!status.ok()) return status;
  return internal::CopyOut(std::move(datagram_), target_);
}

absl::StatusOr<Datagram> ReceiveDatagramOperation::TakeResult() {
  absl::Status status = EndStatus();
  if (!status.ok()) return status;
  return internal::ForKeeps(std::move(datagram_));
}

absl::StatusOr<std::vector<Datagram>> ReceiveManyOperation::TakeResult() {
  absl::Status status = EndStatus();
  if (!status.ok()) return status;
  std::vector<Datagram> datagrams;
  datagrams.reserve(std::min(max_, socket_->queued() + 1));
  datagrams.push_back(internal::ForKeeps(std::move(datagram_)));
  Datagram next;
  int error = 0;
  while (datagrams.size() < max_ && socket_->queued() > 0 && socket_->TakeReady(next, error)) {
    datagrams.push_back(internal::ForKeeps(std::move(next)));
  }
  return datagrams;
}

}  // namespace tandem
