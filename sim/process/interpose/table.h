// SPDX-License-Identifier: Apache-2.0
//
// symbols.inc as data.

#ifndef TANDEM_SIM_PROCESS_INTERPOSE_TABLE_H_
#define TANDEM_SIM_PROCESS_INTERPOSE_TABLE_H_

#include <string>

#include "absl/types/span.h"

namespace tandem::sim {

enum class CallKind { kServed, kRefused, kAllowed };

struct CallEntry {
  const char* name;  // As the linker or, of a system call, the kernel knows it.
  const char* family;
  CallKind kind;
  const char* text;  // How it is served, why it is allowed, or what to use instead.
  long number;       // Of a system call; -1: a function.
};

// Every row, in the order of symbols.inc.
absl::Span<const CallEntry> CallTable();

// The row of a system call; null: it is none of those that speak of the machine.
const CallEntry* FindSystemCall(long number);

// The table as Markdown, for docs/simulation.md: a row for each family, kind and text.
std::string CallTableAsMarkdown();

}  // namespace tandem::sim

#endif  // TANDEM_SIM_PROCESS_INTERPOSE_TABLE_H_
