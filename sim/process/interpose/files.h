// SPDX-License-Identifier: Apache-2.0
//
// The rules about files, for all calls that open one.

#ifndef TANDEM_SIM_PROCESS_INTERPOSE_FILES_H_
#define TANDEM_SIM_PROCESS_INTERPOSE_FILES_H_

#include <sys/types.h>

#include "tandem/sim/process/interpose/calls.h"

namespace tandem::sim::interpose {

// As openat(2). In a world it ends the seed, by the name of the call, for a path that the rules forbid.
int Open(Served call, const char* name, int directory, const char* path, int flags, mode_t mode);

// Whether open(2) with these flags is for more than reading.
bool OpensToWrite(int flags);

// Ends the seed where this file may not be opened.
void CheckMayOpen(Mode mode, const char* name, int directory, const char* path, bool writes);

// Ends the seed where a file or folder of this path may not be made.
void CheckMayWrite(const char* name, const char* path);

}  // namespace tandem::sim::interpose

#endif  // TANDEM_SIM_PROCESS_INTERPOSE_FILES_H_
