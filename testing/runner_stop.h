// SPDX-License-Identifier: Apache-2.0
//
// The signals that ask the parent for an early end: Ctrl-C, and what Bazel sends some seconds before it kills a test.

#ifndef TANDEM_TESTING_RUNNER_STOP_H_
#define TANDEM_TESTING_RUNNER_STOP_H_

#include <string>

namespace tandem::testing {

// From now on the first SIGINT or SIGTERM is only noted, and says so on standard error; the next one ends the process.
// One that was ignored, as in the background of a shell, stays ignored.
void NoteStopSignals();

// The one that has come; 0: none.
int StopSignal();

// "stopped by SIGINT". REQUIRES StopSignal() != 0.
std::string StoppedBy();

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_STOP_H_
