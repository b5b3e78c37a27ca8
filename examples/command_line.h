// SPDX-License-Identifier: Apache-2.0
//
// The command line of the example servers: Abseil's flags, with a --help that shows the program's own.

#ifndef TANDEM_EXAMPLES_COMMAND_LINE_H_
#define TANDEM_EXAMPLES_COMMAND_LINE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace tandem {

// What --help prints: `about`, and the flags that `file` defines, with their defaults.
std::string HelpText(absl::string_view about, absl::string_view file);

// Sets the flags from the command line. `file` is __FILE__ of the source that defines them.
//
// Does not return for --help, which exits with 0, or for what is no flag of the program, which exits with 1 and says
// so.
void ParseFlags(int argc, char** argv, absl::string_view about, absl::string_view file);

}  // namespace tandem

#endif  // TANDEM_EXAMPLES_COMMAND_LINE_H_
