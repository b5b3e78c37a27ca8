// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/gist.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace tandem::testing {
namespace {

// Lines that GoogleTest writes, of which the first says no more than what was expected.
constexpr absl::string_view kWords[] = {"Value of: ", "Expected", "Failed"};

bool IsGoogleTests(absl::string_view line) {
  return std::any_of(std::begin(kWords), std::end(kWords),
                     [line](absl::string_view word) { return absl::StartsWith(line, word); });
}

// What GoogleTest writes behind a value.
constexpr absl::string_view kOfType = " (of type ";

// "server_test.cc:42: " of a line that begins so.
absl::string_view PlaceIn(absl::string_view line) {
  const size_t colon = line.find(": ");
  if (colon == line.npos || colon == 0 || !absl::ascii_isdigit(static_cast<unsigned char>(line[colon - 1]))) return "";
  const size_t number = line.find_last_not_of("0123456789", colon - 1);
  const bool is_place = number != line.npos && line[number] == ':' && line.find(' ') == colon + 1;
  return is_place ? line.substr(0, colon + 2) : "";
}

}  // namespace

std::string FailureGist(absl::string_view message) {
  const absl::string_view place = PlaceIn(message.substr(0, message.find('\n')));
  const std::vector<absl::string_view> lines = absl::StrSplit(absl::StripPrefix(message, place), '\n');
  absl::string_view said = lines[0];
  if (!IsGoogleTests(said)) return absl::StrCat(place, said);
  size_t next = 1;
  if (absl::StartsWith(said, "Value of: ")) {
    // A matcher's: "Expected: ", then "  Actual: " with a value that may have lines of its own, until its type.
    const auto actual = std::find_if(lines.begin(), lines.end(),
                                     [](absl::string_view line) { return absl::StartsWith(line, "  Actual: "); });
    if (actual != lines.end()) {
      said = absl::StripAsciiWhitespace(actual->substr(0, actual->find(kOfType)));
      if (absl::StartsWith(lines[next], "Expected: ")) {
        const auto last =
            std::find_if(actual, lines.end(), [](absl::string_view line) { return absl::StrContains(line, kOfType); });
        next = static_cast<size_t>(last - lines.begin()) + 1;
      }
    }
  }
  for (; next < lines.size(); ++next) {
    const absl::string_view line = lines[next];
    if (line.empty() || line.front() == ' ' || IsGoogleTests(line)) continue;
    said = absl::StripTrailingAsciiWhitespace(line);
    break;
  }
  return absl::StrCat(place, said);
}

}  // namespace tandem::testing
