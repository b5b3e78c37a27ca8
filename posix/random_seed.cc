// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/random_seed.h"

#include <sys/random.h>

#include <cerrno>

#include "absl/log/check.h"

namespace tandem::posix {

uint64_t RandomSeed() {
  uint64_t seed = 0;
  ssize_t count = 0;
  do {
    count = getrandom(&seed, sizeof(seed), 0);
  } while (count < 0 && errno == EINTR);
  PCHECK(count == sizeof(seed)) << "getrandom";
  return seed;
}

}  // namespace tandem::posix
