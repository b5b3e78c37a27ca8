// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/base/version.h"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

static_assert(TANDEM_VERSION_NUMBER ==
              TANDEM_VERSION_MAJOR * 1'000'000 + TANDEM_VERSION_MINOR * 1'000 + TANDEM_VERSION_PATCH);
static_assert(TANDEM_MAKE_VERSION(0, 9, 999) < TANDEM_MAKE_VERSION(0, 10, 0));
static_assert(TANDEM_MAKE_VERSION(0, 999, 999) < TANDEM_MAKE_VERSION(1, 0, 0));

std::string ContentOf(const std::string& path) {
  std::ifstream file(absl::StrCat(std::getenv("TEST_SRCDIR"), "/", std::getenv("TEST_WORKSPACE"), "/", path));
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

TEST(VersionTest, TheTextIsMadeOfTheNumbers) {
  EXPECT_EQ(TANDEM_VERSION, absl::StrCat(TANDEM_VERSION_MAJOR, ".", TANDEM_VERSION_MINOR, ".", TANDEM_VERSION_PATCH));
}

TEST(VersionTest, IsThatOfTheModuleAndOfTheNewestChanges) {
  const std::string module = ContentOf("MODULE.bazel");
  EXPECT_THAT(module, HasSubstr(absl::StrCat("    version = \"", TANDEM_VERSION, "\",\n")));
  const std::string changes = ContentOf("CHANGELOG.md");
  EXPECT_EQ(changes.find("\n## "), changes.find(absl::StrCat("\n## ", TANDEM_VERSION))) << "not the first heading";
}

}  // namespace
}  // namespace tandem
