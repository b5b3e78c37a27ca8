// SPDX-License-Identifier: Apache-2.0
//
// Descriptors 0, 1 and 2 of a process that was started without them.

#ifndef TANDEM_POSIX_STANDARD_DESCRIPTORS_H_
#define TANDEM_POSIX_STANDARD_DESCRIPTORS_H_

namespace tandem::posix {

// Opens /dev/null in the place of those that are closed: else the first socket would get such a number, and what the
// program logs would go to a client. The runtimes of Go and Rust do the same. Where /dev/null cannot be opened they
// stay closed.
void OpenStandardDescriptors();

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_STANDARD_DESCRIPTORS_H_
