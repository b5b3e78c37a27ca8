// SPDX-License-Identifier: Apache-2.0
//
// RingQueue: first in, first out, in memory that grows to the longest queue there was and stays.

#ifndef TANDEM_CORE_SYNC_RING_QUEUE_H_
#define TANDEM_CORE_SYNC_RING_QUEUE_H_

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "absl/log/check.h"

namespace tandem::internal {

template <typename T>
class RingQueue {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  void Push(T&& item) {
    if (size_ == slots_.size()) Grow();
    Slot(size_).emplace(std::move(item));
    ++size_;
  }
  // REQUIRES !empty().
  T Pop() {
    DCHECK(!empty());
    T item = *std::move(Slot(0));
    Slot(0).reset();
    ++first_;
    --size_;
    return item;
  }

 private:
  static constexpr size_t kFirstSlots = 4;  // A power of two, as every size after it.

  std::optional<T>& Slot(size_t index) { return slots_[(first_ + index) & (slots_.size() - 1)]; }

  void Grow() {
    std::vector<std::optional<T>> grown(slots_.empty() ? kFirstSlots : 2 * slots_.size());
    for (size_t i = 0; i < size_; ++i) grown[i] = std::move(Slot(i));
    slots_ = std::move(grown);
    first_ = 0;
  }

  std::vector<std::optional<T>> slots_;
  size_t first_ = 0;  // Modulo the number of slots.
  size_t size_ = 0;
};

}  // namespace tandem::internal

#endif  // TANDEM_CORE_SYNC_RING_QUEUE_H_
