// SPDX-License-Identifier: Apache-2.0
//
// What a host says about itself, for libc's functions and for the system calls by number.

#ifndef TANDEM_SIM_PROCESS_INTERPOSE_IDENTITY_H_
#define TANDEM_SIM_PROCESS_INTERPOSE_IDENTITY_H_

#include <stddef.h>
#include <sys/sysinfo.h>
#include <sys/types.h>
#include <sys/utsname.h>

namespace tandem::sim::interpose {

// The user and the group of every process.
inline constexpr uid_t kHostUser = 1000;

// How many files a process may have open.
inline constexpr long kHostOpenFiles = 1 << 20;

void DescribeHost(utsname* name);
void DescribeMemory(struct sysinfo* info);

// A set of processors with the first one alone. Returns as the kernel: the bytes it filled, or -EINVAL.
long SetFirstProcessor(size_t bytes, void* set);

// As prlimit(2), for a process that runs: rlimit64 both, which may be null. Returns as the kernel.
long LimitOfHost(int resource, const void* wanted, void* found);

}  // namespace tandem::sim::interpose

#endif  // TANDEM_SIM_PROCESS_INTERPOSE_IDENTITY_H_
