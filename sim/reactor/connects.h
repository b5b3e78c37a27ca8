// SPDX-License-Identifier: Apache-2.0
//
// The connects of a SimReactor.

#ifndef TANDEM_SIM_REACTOR_CONNECTS_H_
#define TANDEM_SIM_REACTOR_CONNECTS_H_

#include <cstdint>

#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/reactor/descriptor_table.h"
#include "tandem/sim/reactor/fault_draws.h"
#include "tandem/sim/reactor/report_queue.h"

namespace tandem::sim {

class Connects {
 public:
  Connects(HostStack& stack, DescriptorTable& descriptors, FaultDraws& draws, ReportQueue& reports)
      : stack_(stack), descriptors_(descriptors), draws_(draws), reports_(reports) {}

  // `start` tells the submissions of one operation apart.
  void Start(Operation& operation, uint64_t start);
  // Ends the connect of this descriptor, unless it has ended.
  void Cancel(Descriptor& descriptor);
  // The host has connected `socket`, or not; `error` is 0 or a positive errno.
  void OnConnected(SocketId socket, int error);

 private:
  void End(Descriptor& descriptor, int64_t result);

  HostStack& stack_;
  DescriptorTable& descriptors_;
  FaultDraws& draws_;
  ReportQueue& reports_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REACTOR_CONNECTS_H_
