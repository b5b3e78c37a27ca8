// SPDX-License-Identifier: Apache-2.0
//
// Processes whose addresses are the same on every run.
//
// Hash tables iterate by address, so a run repeats exactly only if its addresses do. They depend on address space
// randomisation, on the stack's size limit, and on the lengths of the arguments and the environment. This library
// starts the running executable again (through /proc/self/exe) with all of these fixed.
//
// Where the machine refuses to turn randomisation off (Docker's default profile does), everything goes on with
// randomised addresses: only portable programs (docs/simulation.md) replay exactly there.

#ifndef TANDEM_SIM_PROCESS_REEXEC_H_
#define TANDEM_SIM_PROCESS_REEXEC_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem::sim {

enum class AddressLayout { kFixed, kRandomized };

// Returns the layout of the running process.
AddressLayout CurrentAddressLayout();

// Replaces the process by itself, once, with fixed addresses, the same arguments and the same environment; does not
// return then. Returns at once when the addresses are fixed already, when the environment has TANDEM_ASLR=1, when a
// debugger or another tracer is attached, or when the machine refuses; a refusal is said on standard error.
AddressLayout ReexecOnce(char** argv, char** envp);

// The name under which a clean process finds itself: its argv has this one element.
inline constexpr char kCleanProcessName[] = "tandem-seed-zygote";

// The descriptor behind which a clean process finds its own ones.
inline constexpr int kFirstCleanDescriptor = 4;

struct CleanProcessOptions {
  // Left on to find programs that depend on the order of addresses.
  bool randomize_addresses = false;
  // Other values for what a program should not depend on: further variables of the environment, another current folder,
  // and other bytes in memory that malloc() gives out. No address changes by it; where addresses are random there is
  // another time zone as well.
  bool disturb = false;
  // Handed over in TakeConfiguration(). At most 4 KiB.
  std::string configuration;
  // descriptors[i] becomes kFirstCleanDescriptor + i. No others are inherited but standard output and error.
  std::vector<int> descriptors;
};

// Starts the running executable in a clean process: one argument, an environment of a fixed size that only holds what
// the sanitizers and the dynamic linker need, no signal mask or handler, standard input from /dev/null, a fixed umask
// and fixed limits of stack and open files. It has a process group of its own, so that what a terminal or a supervisor
// sends to all is for its parent to deal with, and dies with its parent. The caller waits for it.
absl::StatusOr<pid_t> StartCleanProcess(const CleanProcessOptions& options);

// For the first line of main(): whether this is a clean process.
bool IsCleanProcess(int argc, char** argv);

// To be called once in a clean process: reads what StartCleanProcess() handed over, and makes the variables that tests
// need (TEST_TMPDIR and the like) and TZ=UTC the environment. Allocates nothing. The configuration lives until the
// process ends.
absl::string_view TakeConfiguration();

}  // namespace tandem::sim

#endif  // TANDEM_SIM_PROCESS_REEXEC_H_
