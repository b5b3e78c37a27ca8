// SPDX-License-Identifier: Apache-2.0
//
// Sending a part of a file over a stream socket, in the kernel: sendfile(2).

#ifndef TANDEM_POSIX_SEND_FILE_H_
#define TANDEM_POSIX_SEND_FILE_H_

#include <cstdint>

#include "tandem/core/io/reactor.h"

namespace tandem::posix {

// Sends what does not have to wait for the socket of `file` after its first `done` bytes, at most 1 MiB so that one
// large file does not hold up a loop. Returns the count, 0 at the end of the file or of the range, or -errno (-EAGAIN:
// the socket takes no more now). Never raises SIGPIPE. It does wait for the disk, where the file is not in memory.
int64_t SendFileNow(SocketId socket, const FileRange& file, uint64_t done);

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_SEND_FILE_H_
