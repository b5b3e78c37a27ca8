// SPDX-License-Identifier: Apache-2.0
//
// Reading the files that a simulated program sends: the one place where the simulated world reads the disk. Files are
// those of the machine that runs the simulation, and a run replays as long as they do not change.

#ifndef TANDEM_SIM_REACTOR_FILE_READ_H_
#define TANDEM_SIM_REACTOR_FILE_READ_H_

#include <cstdint>

#include "absl/types/span.h"

namespace tandem::sim {

// Reads up to `target.size()` bytes of the open file `descriptor` at `offset`, without moving its position. Returns how
// many, 0 at the end of the file, or -errno as pread(2) and sendfile(2): -EBADF, -EINVAL when it is not a file that can
// be sent, -ESPIPE for a pipe.
int64_t ReadFileAt(int descriptor, uint64_t offset, absl::Span<char> target);

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REACTOR_FILE_READ_H_
