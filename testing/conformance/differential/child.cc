// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/conformance/differential/child.h"

#include <cstddef>
#include <cstdio>
#include <iostream>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace tandem::testing {
namespace {

bool ParseHeader(absl::string_view line, std::array<uint8_t, 3>* network, bool* quick) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
  if (words.size() != 4 || words[0] != "program") return false;
  const std::vector<absl::string_view> bytes = absl::StrSplit(words[2], '.');
  if (bytes.size() != network->size()) return false;
  for (size_t i = 0; i < bytes.size(); ++i) {
    int value = 0;
    if (!absl::SimpleAtoi(bytes[i], &value) || value < 0 || value > 255) return false;
    (*network)[i] = static_cast<uint8_t>(value);
  }
  *quick = words[3] == "quick";
  return true;
}

}  // namespace

int ServePrograms(ChildWorld& world) {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::array<uint8_t, 3> network;
    bool quick = false;
    if (!ParseHeader(line, &network, &quick)) {
      std::fprintf(stderr, "expected \"program NUMBER A.B.C quick|patient\", not \"%s\"\n", line.c_str());
      return 2;
    }
    HostRunner& hosts = world.HostsFor(network);
    {
      Interpreter interpreter(hosts, world.PatienceFor(quick));
      while (std::getline(std::cin, line) && line != "end") {
        const absl::StatusOr<Step> step = ParseStep(line);
        if (!step.ok()) {
          std::fprintf(stderr, "%s\n", std::string(step.status().message()).c_str());
          return 2;
        }
        const std::string result = world.Falsify(*step, interpreter.Run(*step));
        std::fwrite(result.data(), 1, result.size(), stdout);
        std::fputc('\n', stdout);
      }
    }
    std::fputs(".\n", stdout);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace tandem::testing
