// SPDX-License-Identifier: Apache-2.0
//
// Holds docs/api.md against the sources of its examples: each block is in a source word for word, each example of a
// source is in the document, and each has a test of its name.

#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// By name, what is between `begin`NAME`after_name` and `end`.
std::map<std::string, std::string> Sections(const std::string& text, absl::string_view begin,
                                            absl::string_view after_name, absl::string_view end) {
  std::map<std::string, std::string> sections;
  size_t at = 0;
  while ((at = text.find(begin, at)) != std::string::npos) {
    const size_t name = at + begin.size();
    const size_t name_end = text.find(after_name, name);
    const size_t code = name_end + after_name.size();
    at = text.find(end, code);
    if (name_end == std::string::npos || at == std::string::npos) {
      ADD_FAILURE() << "unfinished: " << text.substr(name, 40);
      break;
    }
    sections[text.substr(name, name_end - name)] = text.substr(code, at - code);
    at += end.size();
  }
  return sections;
}

struct Examples {
  std::string source;
  std::map<std::string, std::string> by_name;
};

Examples SourceExamples() {
  Examples examples;
  for (const char* path : {"docs/api_examples_test.cc", "docs/api_real_examples_test.cc"}) {
    const std::string text = ReadFile(path);
    examples.source += text;
    for (const auto& [name, code] : Sections(text, "\n// [", "]\n", "\n// [end]")) examples.by_name[name] = code;
  }
  return examples;
}

TEST(ApiDocument, EveryExampleIsInTheDocumentWordForWord) {
  const Examples examples = SourceExamples();
  const auto documented = Sections(ReadFile("docs/api.md"), "<!-- example: ", " -->\n```cpp\n", "\n```");
  EXPECT_GT(examples.by_name.size(), 30u);
  for (const auto& [name, code] : examples.by_name) {
    ASSERT_TRUE(documented.contains(name)) << "docs/api.md lacks the example " << name;
    EXPECT_EQ(documented.at(name), code) << name;
  }
  for (const auto& [name, code] : documented) EXPECT_TRUE(examples.by_name.contains(name)) << name;
}

TEST(ApiDocument, EveryExampleIsRun) {
  const Examples examples = SourceExamples();
  for (const auto& [name, code] : examples.by_name) {
    EXPECT_TRUE(absl::StrContains(examples.source, absl::StrCat("ApiExamples, ", name, ")"))) << name;
  }
}

}  // namespace
}  // namespace tandem
