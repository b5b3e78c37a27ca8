// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/reactor/operation_failures.h"

#include <cstdint>
#include <optional>

#include "tandem/core/base/random.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/tcp/tcp_socket.h"

namespace tandem::sim {

int OperationFailures::Next(absl::Span<const int> errors) {
  if (!stack_.NextOperationFails()) [[likely]]
    return 0;
  const uint64_t draw = stack_.network().choices().Draw(Choice::kFailure, stack_.entity(), stack_.counts().operations);
  return errors[ReduceToRange(draw, errors.size())];
}

void OperationFailures::OfConnection(SocketId id) {
  const int error = Next({ECONNRESET, EPIPE, ETIMEDOUT});
  if (error == 0) return;
  if (TcpSocket* const socket = stack_.Find(id); socket != nullptr) socket->FailWith(error);
}

bool OperationFailures::EndsAtOnce(Operation& operation) {
  int error = 0;
  switch (operation.kind) {
    case OperationKind::kConnect:
      error = Next({ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL});
      if (error != 0) descriptors_[operation.socket].connect = {.operation = &operation, .ended = true};
      break;
    case OperationKind::kSendDatagrams:
      error = -OfDatagrams();
      if (error != 0) descriptors_[operation.socket].send = {.operation = &operation, .ended = true};
      break;
    case OperationKind::kResolve:
      error = Next({EAGAIN, ENOENT});
      break;
    case OperationKind::kSend:
    case OperationKind::kSendFile:
      OfConnection(operation.socket);
      break;
    default:
      break;
  }
  if (error != 0) reports_.PushLater(Report::Ended(operation, -error), std::nullopt);
  return error != 0;
}

}  // namespace tandem::sim
