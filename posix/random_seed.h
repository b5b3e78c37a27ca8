// SPDX-License-Identifier: Apache-2.0
//
// Random numbers from the operating system.

#ifndef TANDEM_POSIX_RANDOM_SEED_H_
#define TANDEM_POSIX_RANDOM_SEED_H_

#include <cstdint>

namespace tandem::posix {

// 64 random bits from getrandom(). May wait, early in the boot of a machine only.
uint64_t RandomSeed();

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_RANDOM_SEED_H_
