// SPDX-License-Identifier: Apache-2.0
//
// The zygote's and the children's side of the seed runner.

#ifndef TANDEM_TESTING_RUNNER_ZYGOTE_H_
#define TANDEM_TESTING_RUNNER_ZYGOTE_H_

#include "tandem/testing/runner_protocol.h"

namespace tandem::testing {

// The main() of the zygote: forks a child for each Command until the parent closes the pipe. Allocates nothing, so
// that all children start with the same memory.
[[noreturn]] void RunZygote();

// Starts LOG() in a process that runs a seed.
void InitializeSeedLog(const Detail& detail);

// The rest of a child's life: runs the seed, reports, and ends with _exit(). A disturbed one finds other bytes in
// memory that it has not written.
[[noreturn]] void RunSeedAndExit(const Command& command, bool disturbed);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_ZYGOTE_H_
