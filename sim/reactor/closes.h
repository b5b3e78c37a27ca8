// SPDX-License-Identifier: Apache-2.0
//
// The closes of a SimReactor, and those among them that linger.

#ifndef TANDEM_SIM_REACTOR_CLOSES_H_
#define TANDEM_SIM_REACTOR_CLOSES_H_

#include <cstdint>
#include <vector>

#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/reactor/descriptor_table.h"
#include "tandem/sim/reactor/fault_draws.h"
#include "tandem/sim/reactor/report_queue.h"

namespace tandem::sim {

class Closes {
 public:
  Closes(HostStack& stack, DescriptorTable& descriptors, FaultDraws& draws, ReportQueue& reports)
      : stack_(stack), descriptors_(descriptors), draws_(draws), reports_(reports) {}

  void Start(Operation& operation);
  // The close with this ticket has lingered long enough.
  void OnLingerEnd(uint64_t ticket);
  void Clear() { lingering_.clear(); }

 private:
  struct Lingering {
    uint64_t ticket;
    Operation* operation;
    uint64_t draw;  // For its jitter.
  };

  void End(Operation& operation, int64_t result, uint64_t draw);

  HostStack& stack_;
  DescriptorTable& descriptors_;
  FaultDraws& draws_;
  ReportQueue& reports_;
  std::vector<Lingering> lingering_;
  uint64_t next_ticket_ = 1;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REACTOR_CLOSES_H_
