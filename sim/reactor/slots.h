// SPDX-License-Identifier: Apache-2.0
//
// Everything that a process has in flight, in an order that does not depend on addresses.

#ifndef TANDEM_SIM_REACTOR_SLOTS_H_
#define TANDEM_SIM_REACTOR_SLOTS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tandem/core/io/reactor.h"

namespace tandem::sim {

class Slots {
 public:
  // At most one of them.
  struct Slot {
    Operation* operation = nullptr;
    Source* source = nullptr;
  };

  void Add(Operation& operation) { operation.reactor_slot = Take(Slot{&operation, nullptr}); }
  void Add(Source& source) { source.reactor_slot = Take(Slot{nullptr, &source}); }
  void Remove(const Operation& operation) { Free(operation.reactor_slot); }
  void Remove(const Source& source) { Free(source.reactor_slot); }

  template <typename Function>
  void ForEachSource(const Function& function) const {
    for (const Slot& slot : slots_) {
      if (slot.source != nullptr) function(*slot.source);
    }
  }
  // Takes everything out, what `function` adds as well, for each of which it is called.
  template <typename Function>
  void Drain(const Function& function) {
    while (free_.size() < slots_.size()) {
      for (uint32_t i = 0; i < slots_.size(); ++i) {
        const Slot slot = slots_[i];
        if (slot.operation == nullptr && slot.source == nullptr) continue;
        Free(i);
        function(slot);
      }
    }
  }

 private:
  uint32_t Take(const Slot& slot) {
    if (free_.empty()) {
      free_.push_back(static_cast<uint32_t>(slots_.size()));
      slots_.emplace_back();
    }
    const uint32_t index = free_.back();
    free_.pop_back();
    slots_[index] = slot;
    return index;
  }
  void Free(uint32_t index) {
    slots_[index] = Slot();
    free_.push_back(index);
  }

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REACTOR_SLOTS_H_
