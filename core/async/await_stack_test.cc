// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/await_stack.h"

#include <source_location>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

TEST(ProjectPathTest, IsWithoutTheFoldersOfTheBuild) {
  EXPECT_EQ(ProjectPath("core/net/tcp.cc"), "core/net/tcp.cc");
  EXPECT_EQ(ProjectPath("./core/net/tcp.cc"), "core/net/tcp.cc");
  EXPECT_EQ(ProjectPath("/proc/self/cwd/core/net/tcp.cc"), "core/net/tcp.cc");
  EXPECT_EQ(ProjectPath("/home/ada/core/net/tcp.cc"), "/home/ada/core/net/tcp.cc");
  EXPECT_EQ(ProjectPath(""), "");
}

TEST(ProjectPathTest, OfAHeaderWithAPrefixIsWhereItLies) {
  EXPECT_EQ(ProjectPath("bazel-out/k8-fastbuild/bin/core/net/_virtual_includes/tcp/tandem/core/net/tcp.h"),
            "core/net/tcp.h");
  EXPECT_EQ(ProjectPath("bazel-out/k8-opt/bin/queue/_virtual_includes/queue/acme/queue.h"), "acme/queue.h");
}

TEST(WritePlaceTest, NamesFileLineAndFunction) {
  const std::source_location here = std::source_location::current();
  std::string text;
  WritePlace(here, [&text](absl::string_view part) { text += part; });
  EXPECT_TRUE(absl::StartsWith(text, "core/async/await_stack_test.cc:" + std::to_string(here.line()) + " in ")) << text;
  EXPECT_TRUE(absl::StrContains(text, "TestBody")) << text;
}

}  // namespace
}  // namespace tandem
