// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/reactor/closes.h"

#include <algorithm>
#include <cerrno>

#include "absl/log/check.h"

namespace tandem::sim {

void Closes::Start(Operation& operation) {
  const SocketId socket = operation.socket;
  const Descriptor& descriptor = descriptors_[socket];
  CHECK(!descriptor.in_use()) << "a socket was closed with something in flight on it";
  // Drawn while the socket still says which one it is.
  const uint64_t draw = draws_.DrawJitter(descriptor, socket);
  const uint64_t ticket = operation.may_block ? next_ticket_++ : 0;
  const int result = stack_.Close(socket, ticket);
  descriptors_.Forget(socket);
  if (result == -EINPROGRESS) {
    lingering_.push_back(Lingering{ticket, &operation, draw});
  } else {
    End(operation, result, draw);
  }
}

void Closes::OnLingerEnd(uint64_t ticket) {
  const auto found = std::find_if(lingering_.begin(), lingering_.end(),
                                  [ticket](const Lingering& close) { return close.ticket == ticket; });
  CHECK(found != lingering_.end());
  const Lingering close = *found;
  lingering_.erase(found);
  End(*close.operation, 0, close.draw);
}

void Closes::End(Operation& operation, int64_t result, uint64_t draw) {
  reports_.PushLater(Report::Ended(operation, result), draws_.JitterOf(draw));
}

}  // namespace tandem::sim
