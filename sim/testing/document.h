// SPDX-License-Identifier: Apache-2.0
//
// What a page says between two marks, for tests that compare it with what it is made of.

#ifndef TANDEM_SIM_TESTING_DOCUMENT_H_
#define TANDEM_SIM_TESTING_DOCUMENT_H_

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tandem::sim {

// What `path` has between the line "<!-- begin: MARK -->" and the next "<!-- end -->". Empty: there is no such part.
// The file has to be among the test's data.
inline std::string MarkedPartOf(absl::string_view path, absl::string_view mark) {
  const char* const runfiles = std::getenv("TEST_SRCDIR");
  const char* const workspace = std::getenv("TEST_WORKSPACE");
  if (runfiles == nullptr || workspace == nullptr) return "";
  std::ifstream file(absl::StrCat(runfiles, "/", workspace, "/", path));
  std::stringstream content;
  content << file.rdbuf();
  const std::string text = content.str();
  const std::string begin = absl::StrCat("<!-- begin: ", mark, " -->\n");
  const size_t from = text.find(begin);
  if (from == std::string::npos) return "";
  const size_t to = text.find("<!-- end -->\n", from);
  if (to == std::string::npos) return "";
  return text.substr(from + begin.size(), to - from - begin.size());
}

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TESTING_DOCUMENT_H_
