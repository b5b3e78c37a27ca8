// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/standard_descriptors.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>

namespace tandem::posix {

void OpenStandardDescriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest number that is free: this one.
    if (open("/dev/null", O_RDWR) < 0) return;
  }
}

}  // namespace tandem::posix
