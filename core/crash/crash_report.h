// SPDX-License-Identifier: Apache-2.0
//
// What a process says when a signal ends it: which one, the stack with files and lines, and the awaits of the task that
// ran. A failed CHECK and an exception that nobody catches end in SIGABRT, so they say it too.

#ifndef TANDEM_CORE_CRASH_CRASH_REPORT_H_
#define TANDEM_CORE_CRASH_CRASH_REPORT_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/async/await_stack.h"

namespace tandem {

// From now on SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP write a report to standard error before they end the
// process as they would have. A signal for which the program, or a sanitizer, has a handler keeps it; a sanitizer's own
// reports are followed by the awaits. Idempotent and thread-safe.
//
// A stack overflow is reported on the thread that called this. The lines come from the debug information of the binary
// (-g1 is enough): without it there are functions, or addresses.
void InstallCrashReport();

// Reads the debug information now that a report reads first, a quarter of a second for a binary of 10 MB: the reports
// of this process, and of all that are forked from it, come the sooner. Not to be called by several threads at once.
void PreloadCrashReport();

// What else a report says about the process, such as the virtual time, in whole lines. Called in a signal handler: it
// must not allocate.
using CrashContext = void (*)(TextWriter write);
// Null: nothing. Thread-safe.
void SetCrashContext(CrashContext context);

// What the process knows about a signal beyond its name, in whole lines; `context` is that of the handler. Called at
// the begin of each report, as above.
using CrashCause = void (*)(int signal, const void* context, TextWriter write);
// Null: nothing. Thread-safe.
void SetCrashCause(CrashCause cause);

// Called once, before anything is written about a crash that is the process's own doing: not when another process has
// sent the signal. In a signal handler: it must not allocate.
using CrashWitness = void (*)();
// Null: nothing. Thread-safe.
void SetCrashWitness(CrashWitness witness);

// True once a report is being written: what the process does from then on is no part of the program.
bool CrashReportHasBegun();

// Writes what a report ends with: the context, and the awaits of the running task, or those that an exception out of
// main has passed. Both may be nothing. Uses no heap.
void WriteCrashContext(TextWriter write);

// Writes the stack of the caller and the context, as a report does; to be followed by the end of the process. The
// first frames are left out while their files have one of `leave_out` in their paths. Needs InstallCrashReport().
void WriteStack(TextWriter write, absl::Span<const absl::string_view> leave_out);

// A report ends after so many seconds (30), and the process with it.
void SetReportLimitForTest(int seconds);

}  // namespace tandem

#endif  // TANDEM_CORE_CRASH_CRASH_REPORT_H_
