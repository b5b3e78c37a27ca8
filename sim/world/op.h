// SPDX-License-Identifier: Apache-2.0
//
// The operations of a random workload: each has an address, so that it can be left out and changes no other.
//
//   for (const sim::Op& op : world.Ops("writer0", 25)) {
//     const std::string key = absl::StrCat("key", op.Draw("key", 10));
//     if (op.Draw("deletes", 4) == 0) ...
//   }
//
// A line of a scenario leaves some out, "skip writer0 from 3 to 7", and the shrinking of a failure does just that.

#ifndef TANDEM_SIM_WORLD_OP_H_
#define TANDEM_SIM_WORLD_OP_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "tandem/core/base/random.h"
#include "tandem/sim/random/choices.h"

namespace tandem::sim {

// Valid as long as its world.
class Op {
 public:
  Op(const Choices& choices, Entity entity, uint64_t number) : choices_(&choices), entity_(entity), number_(number) {}

  // From 0, whichever are left out.
  uint64_t number() const { return number_; }
  // A number below `bound`, each as likely as the next, which depends on the seed, the workload, the number of the
  // operation and `name`, and on nothing else. REQUIRES bound > 0.
  uint64_t Draw(absl::string_view name, uint64_t bound) const {
    return ReduceToRange(choices_->Draw(Choice::kTest, entity_.Part(name), 0), bound);
  }

 private:
  const Choices* choices_;
  Entity entity_;
  uint64_t number_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_WORLD_OP_H_
