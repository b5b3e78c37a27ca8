// SPDX-License-Identifier: Apache-2.0
//
// Passing descriptors of open files over Unix sockets: SCM_RIGHTS, unix(7).

#ifndef TANDEM_POSIX_DESCRIPTORS_H_
#define TANDEM_POSIX_DESCRIPTORS_H_

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"

namespace tandem::posix {

// Room for the control message of one send or receive with up to Operation::kMaxDescriptors descriptors.
struct DescriptorControl {
  alignas(cmsghdr) char bytes[CMSG_SPACE(Operation::kMaxDescriptors * sizeof(int))];
};

// Makes `message` carry `descriptors`, written to `*control`, which must live as long as `message`. Does nothing for
// none. Returns 0, or -EINVAL when there are more than Operation::kMaxDescriptors.
int AttachDescriptors(absl::Span<const int> descriptors, DescriptorControl* control, msghdr* message);

// Appends the descriptors that came with `message` to `*descriptors`.
void TakeDescriptors(const msghdr& message, std::vector<OwnedDescriptor>* descriptors);

// Sends what does not have to wait of `slices` over a Unix stream socket, and `descriptors` with its first byte.
// Returns the count of bytes, positive (and then the descriptors are gone too), or -errno.
int64_t SendWithDescriptors(SocketId socket, absl::Span<const IoSlice> slices, absl::Span<const int> descriptors);

// Receives up to `max` bytes (positive) that are there already from a Unix stream socket, and the descriptors that
// came with them, close-on-exec. Returns the count of bytes, 0 at the end of the stream, or -errno; `*data` and
// `*descriptors` are set only when it is positive. Without a free descriptor number (EMFILE) descriptors are lost, as
// in recvmsg(2).
int64_t ReceiveWithDescriptors(SocketId socket, HeapBufferPool& pool, size_t max, Buffer* data,
                               std::vector<OwnedDescriptor>* descriptors);

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_DESCRIPTORS_H_
