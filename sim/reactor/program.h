// SPDX-License-Identifier: Apache-2.0
//
// The program above a SimReactor, as the reactor's parts see it: who is told what happens.

#ifndef TANDEM_SIM_REACTOR_PROGRAM_H_
#define TANDEM_SIM_REACTOR_PROGRAM_H_

#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"

namespace tandem::sim {

class Program {
 public:
  // Its process is over, perhaps by the last call that it made: it is told nothing more.
  virtual bool is_over() const = 0;
  // Some of `operation` is done, and the rest waits.
  virtual void TellProgress(Operation& operation) = 0;
  virtual void TellAccepted(Source& source, SocketId accepted) = 0;
  virtual void TellReceived(Source& source, Buffer buffer) = 0;
  virtual void TellDatagram(Source& source, Datagram datagram) = 0;
  // `source` is no longer armed.
  virtual void TellEnd(Source& source, SourceEnd end, int error) = 0;

 protected:
  ~Program() = default;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REACTOR_PROGRAM_H_
