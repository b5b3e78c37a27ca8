// SPDX-License-Identifier: Apache-2.0
//
// The command line of a program: Abseil's flags, with a --help that shows the program's own.
//
//   ABSL_FLAG(uint16_t, port, 7000, "TCP port to listen on");
//
//   int main(int argc, char** argv) {
//     tandem::ParseFlags(argc, argv, "A server of something. SIGINT or SIGTERM stops it.", __FILE__);

#ifndef TANDEM_CORE_BASE_COMMAND_LINE_H_
#define TANDEM_CORE_BASE_COMMAND_LINE_H_

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

#endif  // TANDEM_CORE_BASE_COMMAND_LINE_H_
