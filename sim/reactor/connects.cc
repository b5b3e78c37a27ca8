// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/reactor/connects.h"

#include <cerrno>

#include "absl/log/check.h"

namespace tandem::sim {

void Connects::Start(Operation& operation, uint64_t start) {
  Descriptor& descriptor = descriptors_[operation.socket];
  CHECK(descriptor.connect.operation == nullptr) << "two connects at once on one socket";
  descriptor.connect = Descriptor::Connect{&operation, /*ended=*/false, start};
  const int result = operation.address.is_unix() ? -EOPNOTSUPP : stack_.Connect(operation.socket, operation.address);
  if (result != -EINPROGRESS) End(descriptor, result);
}

void Connects::Cancel(Descriptor& descriptor) {
  if (!descriptor.connect.ended) End(descriptor, -ECANCELED);
}

void Connects::OnConnected(SocketId socket, int error) {
  Descriptor& descriptor = descriptors_[socket];
  if (descriptor.connect.operation != nullptr && !descriptor.connect.ended) End(descriptor, -error);
}

void Connects::End(Descriptor& descriptor, int64_t result) {
  descriptor.connect.ended = true;
  Operation& operation = *descriptor.connect.operation;
  reports_.PushLater(Report::Ended(operation, result), draws_.Jitter(descriptor, operation.socket));
}

}  // namespace tandem::sim
