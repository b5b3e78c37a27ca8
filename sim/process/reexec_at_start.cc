// SPDX-License-Identifier: Apache-2.0
//
// Linked into every program of the simulated world that has a main of its own: gives it fixed addresses before main()
// and before anything is printed. (The seed runner starts its own clean process and finds its addresses fixed.)

#include <unistd.h>

#include "tandem/sim/process/reexec.h"

namespace tandem::sim {
namespace {

// glibc hands the arguments of main() to initialisers.
__attribute__((constructor)) void ReexecAtStart(int /*argc*/, char** argv, char** envp) { ReexecOnce(argv, envp); }

}  // namespace
}  // namespace tandem::sim
