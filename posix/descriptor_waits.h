// SPDX-License-Identifier: Apache-2.0
//
// kAwaitReadable and kAwaitWritable on an epoll instance that others use too.
//
// epoll knows a descriptor once, so each wait has a duplicate of its own: several may wait for one descriptor, also for
// one that the reactor itself watches, and none is disturbed when the program closes it.

#ifndef TANDEM_POSIX_DESCRIPTOR_WAITS_H_
#define TANDEM_POSIX_DESCRIPTOR_WAITS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "tandem/core/io/operation.h"

namespace tandem::posix {

class DescriptorWaits {
 public:
  struct Done {
    Operation* operation;
    int64_t result;
  };

  // `epoll_descriptor` outlives this.
  explicit DescriptorWaits(int epoll_descriptor) : epoll_descriptor_(epoll_descriptor) {}
  DescriptorWaits(const DescriptorWaits&) = delete;
  DescriptorWaits& operator=(const DescriptorWaits&) = delete;
  ~DescriptorWaits();

  static bool IsWait(const Operation& operation) {
    return operation.kind == OperationKind::kAwaitReadable || operation.kind == OperationKind::kAwaitWritable;
  }
  void Submit(Operation& operation);
  // Does nothing when the operation is done.
  void Cancel(Operation& operation);

  // Whether `event`, the data of an epoll_event, is of a wait.
  static bool IsEvent(uint64_t event) { return (event & kEventFlag) != 0; }
  // False when the event is late: its wait has ended.
  bool OnEvent(uint64_t event);

  // Operations that have ended, to be reported.
  bool has_done() const { return !done_.empty(); }
  std::vector<Done> TakeDone() { return std::exchange(done_, {}); }

 private:
  // Of the lower half of an event, which is a descriptor otherwise, and so never negative.
  static constexpr uint64_t kEventFlag = uint64_t{1} << 31;
  static constexpr uint32_t kNoSlot = ~uint32_t{0};

  struct Wait {
    Operation* operation = nullptr;  // Null when the slot is free.
    int duplicate = -1;
    uint32_t generation = 0;
  };

  void End(uint32_t slot, int64_t result);

  const int epoll_descriptor_;
  std::vector<Wait> waits_;
  std::vector<uint32_t> free_;
  std::vector<Done> done_;
};

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_DESCRIPTOR_WAITS_H_
