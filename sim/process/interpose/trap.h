// SPDX-License-Identifier: Apache-2.0
//
// What the trap and the interposed syscall() share.

#ifndef TANDEM_SIM_PROCESS_INTERPOSE_TRAP_H_
#define TANDEM_SIM_PROCESS_INTERPOSE_TRAP_H_

namespace tandem::sim::interpose {

// Whether the time stamp counter may be read from now on. Does nothing in a process that is not trapped.
void AllowTimeStampCounter(bool allow);

// True in a process whose system calls are trapped.
bool IsTrapped();

// A system call that is made by its number: the kernel's answer or the world's, a negative errno if it failed. Ends the
// seed by name where the table says so.
long SystemCall(long number, const long (&arguments)[6]);

}  // namespace tandem::sim::interpose

#endif  // TANDEM_SIM_PROCESS_INTERPOSE_TRAP_H_
