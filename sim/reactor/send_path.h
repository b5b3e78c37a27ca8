// SPDX-License-Identifier: Apache-2.0
//
// The sends of a SimReactor: bytes, files and datagrams on their way into the send buffers of its sockets.

#ifndef TANDEM_SIM_REACTOR_SEND_PATH_H_
#define TANDEM_SIM_REACTOR_SEND_PATH_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/reactor/descriptor_table.h"
#include "tandem/sim/reactor/fault_draws.h"
#include "tandem/sim/reactor/program.h"
#include "tandem/sim/reactor/report_queue.h"

namespace tandem::sim {

class TcpSocket;
class UdpSocket;

class SendPath {
 public:
  SendPath(HostStack& stack, Program& program, DescriptorTable& descriptors, FaultDraws& draws, ReportQueue& reports)
      : stack_(stack), program_(program), descriptors_(descriptors), draws_(draws), reports_(reports) {}

  // A kSend, kSendFile or kSendDatagrams. `start` tells the submissions of one operation apart.
  void Start(Operation& operation, uint64_t start);
  // Moves bytes of the send in flight, if there is one, into the send buffer.
  void Continue(SocketId socket);
  // The pause of a slow write is over: the send is worth looking at.
  void EndPause(SocketId socket) { descriptors_[socket].send.pauses = false; }
  // Ends the send of this descriptor, unless it has ended.
  void Cancel(Descriptor& descriptor);
  // The host can take more for `socket`.
  void OnSendable(SocketId socket);

  // Sends at once, as far as that goes: how many bytes or datagrams, or -errno.
  int64_t Try(TcpSocket& socket, SocketId id, absl::Span<const IoSlice> slices);
  int64_t Try(UdpSocket& socket, SocketId id, absl::Span<const OutgoingDatagram> datagrams);

 private:
  void ContinueStream(Descriptor& descriptor, SocketId socket);
  void ContinueDatagrams(Descriptor& descriptor, SocketId socket);
  int64_t WriteFile(Descriptor::Send& send, TcpSocket& socket, size_t limit);
  // How much of the send may have been done after this step.
  static size_t EndOfStep(const Descriptor::Send& send);
  void Pause(Descriptor& descriptor, SocketId socket);
  void End(Descriptor& descriptor, int64_t result);
  // Ends with what was sent before or, if that is nothing, with `error`.
  void EndEarly(Descriptor& descriptor, int64_t error);

  HostStack& stack_;
  Program& program_;
  DescriptorTable& descriptors_;
  FaultDraws& draws_;
  ReportQueue& reports_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REACTOR_SEND_PATH_H_
