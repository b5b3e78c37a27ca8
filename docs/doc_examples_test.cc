// SPDX-License-Identifier: Apache-2.0
//
// Holds the pages against the sources of their examples: each block that is marked as an example is in a source word
// for word, and each example of a source is in a page. Each of docs/api.md has a test of its name; those of the other
// pages are parts of examples/tickets.

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

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
  std::string source;  // All of them.
  std::map<std::string, std::string> by_name;
};

// What is between `// [NAME]` and `// [end]`; `#` stands for `//` in files that are no C++.
Examples SourceExamples(const std::vector<std::string>& paths) {
  Examples examples;
  for (const std::string& path : paths) {
    const std::string text = ReadFile(path);
    const std::string comment = absl::EndsWith(path, ".cc") || absl::EndsWith(path, ".h") ? "\n//" : "\n#";
    examples.source += text;
    for (const auto& [name, code] : Sections(text, comment + " [", "]\n", comment + " [end]")) {
      EXPECT_TRUE(examples.by_name.emplace(name, code).second) << name << " is there twice";
    }
  }
  return examples;
}

// The blocks of `pages` that are marked as examples.
std::map<std::string, std::string> DocumentedExamples(const std::vector<std::string>& pages) {
  std::map<std::string, std::string> examples;
  for (const std::string& page : pages) {
    for (const auto& [name, block] : Sections(ReadFile(page), "<!-- example: ", " -->\n```", "\n```")) {
      examples[name] = block.substr(block.find('\n') + 1);  // Without the word for the language.
    }
  }
  return examples;
}

void ExpectEqual(const Examples& examples, const std::map<std::string, std::string>& documented) {
  for (const auto& [name, code] : examples.by_name) {
    ASSERT_TRUE(documented.contains(name)) << "no page has the example " << name;
    EXPECT_EQ(documented.at(name), code) << name;
  }
  for (const auto& [name, code] : documented) EXPECT_TRUE(examples.by_name.contains(name)) << name;
}

const std::vector<std::string>& ApiSources() {
  static const auto* paths =
      new std::vector<std::string>({"docs/api_examples_test.cc", "docs/api_real_examples_test.cc"});
  return *paths;
}

TEST(ApiDocument, EveryExampleIsInTheDocumentWordForWord) {
  const Examples examples = SourceExamples(ApiSources());
  EXPECT_GT(examples.by_name.size(), 30u);
  ExpectEqual(examples, DocumentedExamples({"docs/api.md"}));
}

TEST(ApiDocument, EveryExampleIsRun) {
  const Examples examples = SourceExamples(ApiSources());
  for (const auto& [name, code] : examples.by_name) {
    EXPECT_TRUE(absl::StrContains(examples.source, absl::StrCat("ApiExamples, ", name, ")"))) << name;
  }
}

TEST(Pages, EveryExampleIsInOneWordForWord) {
  const std::string folder = "examples/tickets/";
  const Examples examples = SourceExamples({folder + "tickets.h", folder + "tickets.cc", folder + "tickets_sim_test.cc",
                                            folder + "metrics.cc", folder + "server.cc", folder + "tickets.service",
                                            folder + "tickets.socket"});
  EXPECT_GT(examples.by_name.size(), 8u);
  ExpectEqual(examples, DocumentedExamples({"docs/testing.md", "docs/testing_cluster.md", "docs/logging.md",
                                            "docs/metrics.md", "docs/deployment.md"}));
}

}  // namespace
}  // namespace tandem
