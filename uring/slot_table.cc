// SPDX-License-Identifier: Apache-2.0

#include "tandem/uring/slot_table.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace tandem::uring {
namespace {

constexpr uint32_t kGenerationMask = 0xffffff;

}  // namespace

Slot& SlotTable::Take(Slot::Kind kind) {
  if (free_ == kNoSlot) {
    const auto first = static_cast<uint32_t>(chunks_.size() * kSlotsPerChunk);
    chunks_.push_back(std::make_unique<Slot[]>(kSlotsPerChunk));
    for (uint32_t i = kSlotsPerChunk; i-- > 0;) {
      Slot& slot = chunks_.back()[i];
      slot.index = first + i;
      slot.next = std::exchange(free_, slot.index);
    }
  }
  Slot& slot = At(free_);
  free_ = std::exchange(slot.next, kNoSlot);
  slot.kind = kind;
  slot.phase = Slot::Phase::kReporting;
  slot.cancel_queued = false;
  slot.poll_first = false;
  slot.found_room = false;
  slot.failures = 0;
  slot.ticket = 0;
  slot.sent = 0;
  return slot;
}

void SlotTable::Free(Slot& slot) {
  if (slot.vectors != nullptr) spare_vectors_.push_back(std::move(slot.vectors));
  slot.operation = nullptr;
  slot.source = nullptr;
  slot.phase = Slot::Phase::kFree;
  slot.generation = (slot.generation + 1) & kGenerationMask;
  slot.next = std::exchange(free_, slot.index);
}

Slot* SlotTable::Find(uint64_t name) {
  const auto index = static_cast<uint32_t>(name);
  if (index >= chunks_.size() * kSlotsPerChunk) return nullptr;
  Slot& slot = At(index);
  return slot.in_kernel() && NameOf(slot, slot.kind) == name ? &slot : nullptr;
}

std::vector<uint64_t> SlotTable::NamesInKernel() const {
  std::vector<uint64_t> names;
  for (uint32_t index = 0; index < chunks_.size() * kSlotsPerChunk; ++index) {
    const Slot& slot = At(index);
    if (slot.in_kernel()) names.push_back(NameOf(slot, slot.kind));
  }
  return names;
}

std::unique_ptr<iovec[]> SlotTable::TakeVectors() {
  if (spare_vectors_.empty()) return std::make_unique<iovec[]>(Operation::kMaxSlices);
  std::unique_ptr<iovec[]> vectors = std::move(spare_vectors_.back());
  spare_vectors_.pop_back();
  return vectors;
}

void SlotTable::Leak() {
  for (std::unique_ptr<Slot[]>& chunk : chunks_) {
    [[maybe_unused]] auto* const leaked = chunk.release();
  }
}

}  // namespace tandem::uring
