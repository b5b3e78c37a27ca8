// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/descriptor_waits.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

namespace tandem::posix {

DescriptorWaits::~DescriptorWaits() {
  for (const Wait& wait : waits_) {
    if (wait.duplicate >= 0) close(wait.duplicate);
  }
}

void DescriptorWaits::Submit(Operation& operation) {
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(waits_.size()));
    waits_.emplace_back();
  }
  const uint32_t slot = free_.back();
  free_.pop_back();
  operation.reactor_slot = slot;
  Wait& wait = waits_[slot];
  wait.operation = &operation;
  wait.duplicate = fcntl(operation.socket, F_DUPFD_CLOEXEC, 0);
  if (wait.duplicate < 0) return End(slot, -errno);
  const uint32_t events = operation.kind == OperationKind::kAwaitReadable ? EPOLLIN : EPOLLOUT;
  epoll_event event{.events = events | EPOLLONESHOT,
                    .data = {.u64 = uint64_t{wait.generation} << 32 | kEventFlag | slot}};
  if (epoll_ctl(epoll_descriptor_, EPOLL_CTL_ADD, wait.duplicate, &event) == 0) return;
  // EPERM: a file that nobody can wait for, which is always ready, as for poll(2).
  const int error = errno;
  End(slot, error == EPERM ? 0 : -error);
}

void DescriptorWaits::Cancel(Operation& operation) {
  if (operation.reactor_slot != kNoSlot) End(operation.reactor_slot, -ECANCELED);
}

bool DescriptorWaits::OnEvent(uint64_t event) {
  const auto slot = static_cast<uint32_t>(event & (kEventFlag - 1));
  if (slot >= waits_.size() || waits_[slot].operation == nullptr || waits_[slot].generation != event >> 32) {
    return false;
  }
  End(slot, 0);
  return true;
}

void DescriptorWaits::End(uint32_t slot, int64_t result) {
  Wait& wait = waits_[slot];
  wait.operation->reactor_slot = kNoSlot;
  done_.push_back(Done{std::exchange(wait.operation, nullptr), result});
  ++wait.generation;
  free_.push_back(slot);
  if (wait.duplicate < 0) return;
  // Taken out explicitly: the file stays open, and epoll would go on watching it.
  epoll_event unused{};
  epoll_ctl(epoll_descriptor_, EPOLL_CTL_DEL, wait.duplicate, &unused);
  close(std::exchange(wait.duplicate, -1));
}

}  // namespace tandem::posix
