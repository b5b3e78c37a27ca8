// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/reactor/file_read.h"

#include <unistd.h>

#include <cerrno>
#include <limits>

namespace tandem::sim {

int64_t ReadFileAt(int descriptor, uint64_t offset, absl::Span<char> target) {
  if (offset > static_cast<uint64_t>(std::numeric_limits<off_t>::max())) return -EINVAL;
  while (true) {
    const ssize_t count = pread(descriptor, target.data(), target.size(), static_cast<off_t>(offset));
    if (count >= 0) return count;
    if (errno == EINTR) continue;
    // What sendfile(2) says of a directory.
    return errno == EISDIR ? -EINVAL : -errno;
  }
}

}  // namespace tandem::sim
