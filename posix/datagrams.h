// SPDX-License-Identifier: Apache-2.0
//
// Sending and receiving datagrams without waiting, many with one system call: UDP and Unix sockets.
//
// Sending puts runs of datagrams of one size to one destination into one message, which the kernel or the network card
// cuts up (UDP_SEGMENT, "GSO"). Receiving asks the kernel for the same in the other direction (UDP_GRO) and cuts here.
// Neither can be seen by the peer, or by the caller but for the time it takes.

#ifndef TANDEM_POSIX_DATAGRAMS_H_
#define TANDEM_POSIX_DATAGRAMS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"

namespace tandem::posix {

// Sends `datagrams`, in order, until one would have to wait or fails. Returns how many were sent, or -errno when the
// first was not: -EAGAIN when it would have to wait. 0 for no datagrams.
int64_t SendDatagrams(SocketId socket, absl::Span<const OutgoingDatagram> datagrams);

// Lets the kernel hand several datagrams of one sender over as one, which DatagramReceiver takes apart. For each new
// UDP socket; does nothing on other sockets and on kernels without it (Linux 5.0).
void CoalesceDatagrams(SocketId socket);

// Receives datagrams. Holds the memory that they are received into before each is copied to a block of its size; it is
// reserved at the first receive, and pages of it are used as datagrams fill them.
class DatagramReceiver {
 public:
  DatagramReceiver();
  DatagramReceiver(const DatagramReceiver&) = delete;
  DatagramReceiver& operator=(const DatagramReceiver&) = delete;
  ~DatagramReceiver();

  // Appends to `*datagrams` what is there, at most `max` (positive) or kMaxBatch messages of the kernel; those that it
  // has coalesced come together, so there may be more than `max`. Returns how many, at least one, or -errno: -EAGAIN
  // when there is none, an ICMP error (-ECONNREFUSED) once.
  //
  // `truncated` is set for datagrams of more than 512 KiB, which Unix sockets with raised limits can carry. Without a
  // free descriptor number (EMFILE) descriptors that came along are lost, as in recvmsg(2).
  int64_t Receive(SocketId socket, HeapBufferPool& pool, size_t max, std::vector<Datagram>* datagrams);

  static constexpr size_t kMaxBatch = 16;

 private:
  struct Scratch;

  std::unique_ptr<Scratch> scratch_;
  size_t coalesced_ = 1;  // The most datagrams that one message of the latest receive stood for.
};

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_DATAGRAMS_H_
