// SPDX-License-Identifier: Apache-2.0
//
// The sources of a SimReactor: connections, bytes and datagrams on their way from its sockets to the program.

#ifndef TANDEM_SIM_REACTOR_SOURCE_PATH_H_
#define TANDEM_SIM_REACTOR_SOURCE_PATH_H_

#include <cstdint>

#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/stack_observer.h"
#include "tandem/sim/reactor/descriptor_table.h"
#include "tandem/sim/reactor/fault_draws.h"
#include "tandem/sim/reactor/program.h"
#include "tandem/sim/reactor/report_queue.h"
#include "tandem/sim/reactor/slots.h"

namespace tandem::sim {

class SourcePath {
 public:
  // `observer`: of what is accepted. `read_ahead`: SimReactorOptions. `slots` has what is armed.
  SourcePath(HostStack& stack, StackObserver& observer, Program& program, DescriptorTable& descriptors,
             FaultDraws& draws, ReportQueue& reports, const Slots& slots, ReactorStatistics& statistics,
             bool read_ahead)
      : stack_(stack),
        observer_(observer),
        program_(program),
        descriptors_(descriptors),
        draws_(draws),
        reports_(reports),
        slots_(slots),
        statistics_(statistics),
        read_ahead_(read_ahead) {}

  // `start` tells the armings of one source apart.
  void Arm(Source& source, uint64_t start);
  void Disarm(SocketId socket);
  // A disarm that was put off takes effect, if the arming is still that one.
  void OnLateDisarm(SocketId socket, uint64_t start);
  // The source of `socket`, if any, is worth looking at.
  void Report(SocketId socket);
  // A descriptor was closed: accepting may be possible again.
  void OnDescriptorFree();
  // The next connection of `listener`, or -errno: as HostStack::Accept(), under faults.
  int64_t Accept(SocketId listener);
  // Tells the program what there is for the source of `socket`, if any.
  void Look(SocketId socket);

 private:
  // Whether there is something to tell `source`, if only that its socket is not one for it.
  bool IsReady(const Source& source) const;
  // True when nothing that comes is for this arming any more.
  bool IsOver(const Descriptor::Receive& receive) const { return receive.disarming && !read_ahead_; }
  // True when a fault puts the look at a source off, which comes again later.
  bool Postpones(Descriptor& descriptor, SocketId socket, FaultDraws::Late what);
  void DisarmNow(Descriptor& descriptor, SocketId socket);
  void LookForConnections(Descriptor& descriptor);
  void LookForBytes(Descriptor& descriptor);
  void LookForDatagrams(Descriptor& descriptor);
  void End(Descriptor& descriptor, SourceEnd end, int error);

  HostStack& stack_;
  StackObserver& observer_;
  Program& program_;
  DescriptorTable& descriptors_;
  FaultDraws& draws_;
  ReportQueue& reports_;
  const Slots& slots_;
  ReactorStatistics& statistics_;
  const bool read_ahead_;
  bool accepts_starved_ = false;  // An accept source waits for a descriptor.
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REACTOR_SOURCE_PATH_H_
