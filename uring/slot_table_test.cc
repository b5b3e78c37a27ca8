// SPDX-License-Identifier: Apache-2.0

#include "tandem/uring/slot_table.h"

#include <cstdint>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace tandem::uring {
namespace {

using Kind = Slot::Kind;
using Phase = Slot::Phase;

TEST(SlotTableTest, ANameFindsItsSlotWhileTheKernelHasTheRequest) {
  SlotTable slots;
  Slot& slot = slots.Take(Kind::kReceive);
  const uint64_t name = SlotTable::NameOf(slot, Kind::kReceive);
  EXPECT_EQ(SlotTable::KindOf(name), Kind::kReceive);
  EXPECT_EQ(slots.Find(name), nullptr);

  for (const Phase phase : {Phase::kInKernel, Phase::kWaiting}) {
    slot.phase = phase;
    EXPECT_EQ(slots.Find(name), &slot);
    EXPECT_EQ(slots.Find(SlotTable::NameOf(slot, Kind::kCancel)), nullptr);
    EXPECT_EQ(slots.NamesInKernel(), std::vector<uint64_t>{name});
  }
  for (const Phase phase : {Phase::kReporting, Phase::kStarved, Phase::kBackingOff, Phase::kReady, Phase::kEnded}) {
    slot.phase = phase;
    EXPECT_EQ(slots.Find(name), nullptr);
    EXPECT_TRUE(slots.NamesInKernel().empty());
  }
}

TEST(SlotTableTest, ASlotThatIsTakenAgainHasAnotherName) {
  SlotTable slots;
  std::set<uint64_t> names;
  for (int i = 0; i < 1000; ++i) {
    Slot& slot = slots.Take(Kind::kSend);
    EXPECT_EQ(slot.index, 0u);
    slot.phase = Phase::kInKernel;
    for (const uint64_t earlier : names) EXPECT_EQ(slots.Find(earlier), nullptr);
    names.insert(SlotTable::NameOf(slot, Kind::kSend));
    slots.Free(slot);
  }
  EXPECT_EQ(names.size(), 1000u);
}

TEST(SlotTableTest, SlotsStayWhereTheyAreWhileTheTableGrows) {
  SlotTable slots;
  std::vector<Slot*> taken;
  for (uint32_t i = 0; i < 2000; ++i) {
    taken.push_back(&slots.Take(Kind::kAccept));
    EXPECT_EQ(taken.back()->index, i);
  }
  for (uint32_t i = 0; i < 2000; ++i) EXPECT_EQ(&slots.At(i), taken[i]);
  EXPECT_EQ(slots.Find(uint64_t{1} << 20), nullptr);  // Beyond the table.
}

}  // namespace
}  // namespace tandem::uring
