// SPDX-License-Identifier: Apache-2.0
//
// The standard output and error of the parent. All that it prints arrives, whatever the other end is, or the process
// says that it did not.
//
// A pipe, socket or terminal may be non-blocking because of somebody who shares it: the flag belongs to the open file,
// not to the descriptor. Once the other end is slow, write(2) fails with EAGAIN; stdio then drops what it holds and
// goes on, and a run ends with status 0 and without its result.

#ifndef TANDEM_TESTING_RUNNER_OUTPUT_H_
#define TANDEM_TESTING_RUNNER_OUTPUT_H_

#include <cstddef>

namespace tandem::testing {

// Writes all of `data`, waiting for room where the descriptor does not wait by itself. Returns false if that is not
// possible, with the reason in errno. Inside a world, too: it waits for the machine, and no virtual time passes.
bool WriteFully(int fd, const void* data, size_t size);

// Makes stdout and stderr streams that write by WriteFully(). Call it before anything is printed.
void KeepAllOutput();

// Writes what stdout still holds. Returns false if something that was printed to it is lost, and says so on standard
// error.
bool FinishOutput();

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_OUTPUT_H_
