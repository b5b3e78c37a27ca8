// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/base/command_line.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/parse.h"
#include "absl/flags/reflection.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tandem {

std::string HelpText(absl::string_view about, absl::string_view file) {
  std::map<std::string, std::string> texts;  // By name: the order of GetAllFlags() is none.
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (flag->Filename() != file) continue;
    texts.emplace(name, absl::StrCat("  --", name, "=", flag->DefaultValue(), "\n      ", flag->Help(), "\n"));
  }
  std::string help = absl::StrCat(about, "\n\nFlags, with their defaults:\n");
  for (const auto& [name, text] : texts) absl::StrAppend(&help, text);
  return help;
}

void ParseFlags(int argc, char** argv, absl::string_view about, absl::string_view file) {
  for (int i = 1; i < argc; ++i) {
    // Abseil's would exit with 1, and show nothing once the program has another name.
    if (absl::string_view(argv[i]) != "--help") continue;
    std::fputs(HelpText(about, file).c_str(), stdout);
    std::exit(0);
  }
  absl::SetProgramUsageMessage(about);
  if (const std::vector<char*> rest = absl::ParseCommandLine(argc, argv); rest.size() > 1) {
    std::fprintf(stderr, "unknown argument '%s'; flags have the form --name=value, and --help lists them\n", rest[1]);
    std::exit(1);
  }
}

}  // namespace tandem
