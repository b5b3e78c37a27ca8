// SPDX-License-Identifier: Apache-2.0
//
// The global variables of the running program: what hosts that share a process could share without knowing.

#ifndef TANDEM_SIM_PROCESS_ISOLATION_GLOBALS_H_
#define TANDEM_SIM_PROCESS_ISOLATION_GLOBALS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem::sim {

struct GlobalVariable {
  std::string name;  // As C++ has it: "shop::orders", "Count()::calls".
  const char* address;
  size_t bytes;
  const char* guard =
      nullptr;  // A byte that changes when the variable is initialised at its first use; null: it is not.
};

// All variables of the executable that can be written and live as long as the process: at namespace scope, static
// within functions and classes, and thread_local ones, of the calling thread. Without those of the libraries that a
// simulation consists of (Tandem, Abseil, googletest, the standard library), which are known by their namespaces, and
// without shared libraries.
//
// Errors: kFailedPrecondition: the program has no table of symbols.
absl::StatusOr<std::vector<GlobalVariable>> ProgramGlobals();

}  // namespace tandem::sim

#endif  // TANDEM_SIM_PROCESS_ISOLATION_GLOBALS_H_
