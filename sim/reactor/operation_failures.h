// SPDX-License-Identifier: Apache-2.0
//
// Calls of a SimReactor that fail because a test says that this one fails: World::FailOperation().
//
// What can fail: opening, binding and listening, connects, look-ups, sends, and receives from connections, each with
// the errors that the kernel has for it. Not closing and blocking work, nor what reactors try again by themselves, as
// accepts and receives of datagrams.

#ifndef TANDEM_SIM_REACTOR_OPERATION_FAILURES_H_
#define TANDEM_SIM_REACTOR_OPERATION_FAILURES_H_

#include <cerrno>

#include "absl/types/span.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/reactor/descriptor_table.h"
#include "tandem/sim/reactor/report_queue.h"

namespace tandem::sim {

class OperationFailures {
 public:
  OperationFailures(HostStack& stack, DescriptorTable& descriptors, ReportQueue& reports)
      : stack_(stack), descriptors_(descriptors), reports_(reports) {}

  // A call that can fail begins. With which error it does, as -errno; 0: it does not.
  int OfOpen() { return -Next({EMFILE, ENFILE, ENOBUFS, ENOMEM}); }
  int OfBind() { return -Next({EADDRINUSE, EADDRNOTAVAIL}); }
  int OfListen() { return -Next({EADDRINUSE}); }
  int OfDatagrams() { return -Next({ENETUNREACH, EHOSTUNREACH}); }
  // A call on a connection: if it fails, the connection dies of it, and the call finds out.
  void OfConnection(SocketId socket);
  // Ends `operation` if it fails, and says so; or lets its connection die.
  bool EndsAtOnce(Operation& operation);

 private:
  // One of `errors`; 0: none.
  int Next(absl::Span<const int> errors);

  HostStack& stack_;
  DescriptorTable& descriptors_;
  ReportQueue& reports_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REACTOR_OPERATION_FAILURES_H_
