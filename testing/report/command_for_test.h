// SPDX-License-Identifier: Apache-2.0
//
// Other people's programs, which tests ask what they think of our files.

#ifndef TANDEM_TESTING_REPORT_COMMAND_FOR_TEST_H_
#define TANDEM_TESTING_REPORT_COMMAND_FOR_TEST_H_

#include <stdio.h>
#include <sys/wait.h>

#include <cstddef>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace tandem::testing {

// Runs `command` in a shell, with an empty home; gives its output, and fails the test if it fails. `program` is the
// one that the machine may lack.
inline std::string RunForTest(absl::string_view program, absl::string_view command) {
  FILE* const output =
      popen(absl::StrCat("export HOME=", ::testing::TempDir(), "; command -v ", program, " >/dev/null || { echo '",
                         program, " is not installed: run tools/setup'; exit 1; }; ", command)
                .c_str(),
            "r");
  std::string text;
  char part[4096];
  while (const size_t size = fread(part, 1, sizeof(part), output)) text.append(part, size);
  const int status = pclose(output);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << command << "\n" << text;
  return text;
}

inline std::vector<std::string> LinesForTest(absl::string_view text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

// A file of this test; its path.
inline std::string FileForTest(absl::string_view name, const std::string& content) {
  const std::string path =
      absl::StrCat(::testing::TempDir(), ::testing::UnitTest::GetInstance()->current_test_info()->name(), ".", name);
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_COMMAND_FOR_TEST_H_
