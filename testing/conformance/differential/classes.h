// SPDX-License-Identifier: Apache-2.0
//
// Where Linux itself may answer in several ways: results that count as equal. All of them are here.
//
//   reset  ECONNRESET and EPIPE, on a connection that was reset: a receive that was armed takes the ECONNRESET before
//          the next write, which then gets EPIPE.
//   gone   Once a call on a stream has told of the reset, the next read says so too, or gives the end of the stream:
//          the error is told once, and a write that took it leaves the end to the read.
//
// What can never be compared is not in results to begin with: how many bytes fill all buffers (flood), how much a peek
// shows, which port the kernel picks (names of ports, interpreter.h).

#ifndef TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_CLASSES_H_
#define TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_CLASSES_H_

#include <string>
#include <vector>

#include "tandem/testing/conformance/differential/program.h"

namespace tandem::testing {

// Replaces each result by the name of its class. Results that are alone in their class stay as they are. `results`
// may be shorter than the program.
std::vector<std::string> Classify(const Program& program, std::vector<std::string> results);

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_CLASSES_H_
